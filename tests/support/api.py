"""The API page, made from docstrings: python -m tests.support.api DIR (make api)."""

from __future__ import annotations

import sys
from pathlib import Path

import pdoc

import study

# The doors that other code may import.
DOORS = (
    "study",
    "study.interfaces",
    "study.battery",
    "study.diagnostics.gradient_profile",
    "study.diagnostics.watch",
    "study.records",
    "reports.api",
    "reports.blocks",
    "reports.interfaces",
)


def write(folder: Path) -> Path:
    """Write a page per door; returns the first one.

    pdoc sees only names that a module holds, and `study` imports its functions when first asked.
    """
    for name in study.__all__:
        setattr(study, name, getattr(study, name))
    pdoc.pdoc(*DOORS, output_directory=folder)
    return folder / "index.html"


if __name__ == "__main__":
    print(write(Path(sys.argv[1])))
