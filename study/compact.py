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

from study.config.levels import defaults
from study.program import command
from study.records import StudyError


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog=command("study.compact"), description=str(__doc__).splitlines()[0]
    )
    made.add_argument(
        "folder", type=Path, metavar="DIR", help="folder of a study, such as outputs/digits"
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0; 1 if damaged points were left in place; 2 on an error, which is printed."""
    options: Any = parser().parse_args(arguments)
    from study.store.compaction import compact  # pandas, which the help does not wait for
    from study.store.part import Broken

    try:
        report = compact(options.folder, defaults()["store"]["lease_seconds"])
    except (StudyError, Broken) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(f"{options.folder.name or os.fspath(options.folder)}: {report}")
    if report.damaged:
        print(
            f"error: {report.damaged} damaged points;"
            f" {command('reports', 'status', str(options.folder))} lists them, --repair sets them"
            " aside",
            file=sys.stderr,
        )
    return int(report.damaged > 0)


if __name__ == "__main__":
    sys.exit(main())
