"""Put the finished points of a study into few files: python -m study.compact DIR.

Every command reads compacted points as it reads folders. A kill at any moment loses nothing
(study/store/compaction.py); the same command continues.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from study.config.paths import conf_folder
from study.records import StudyError
from study.store.compaction import compact
from study.store.part import Broken


def lease_seconds() -> float:
    """store.lease_seconds of the main configuration."""
    text = (conf_folder() / "config.yaml").read_text(encoding="utf-8")
    return float(yaml.safe_load(text)["store"]["lease_seconds"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0; 1 if damaged points were left in place; 2 on an error, which is printed."""
    parser = argparse.ArgumentParser(
        prog="python -m study.compact", description=str(__doc__).splitlines()[0]
    )
    parser.add_argument(
        "folder", type=Path, metavar="DIR", help="folder of a study, such as outputs/digits"
    )
    options: Any = parser.parse_args(arguments)
    try:
        report = compact(options.folder, lease_seconds())
    except (StudyError, Broken) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.folder.name or os.fspath(options.folder)}: {report}")
    if report.damaged:
        print(
            f"error: {report.damaged} damaged points; python -m reports status {options.folder}"
            " lists them, --repair sets them aside",
            file=sys.stderr,
        )
    return int(report.damaged > 0)


if __name__ == "__main__":
    sys.exit(main())
