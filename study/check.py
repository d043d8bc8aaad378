"""Test a folder of your own pieces: python -m study.check DIR (make check-plugin DIR=DIR)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from study.program import command
from study.records import StudyError


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog=command("study.check"),
        description="run the battery of tests on a folder of your own pieces",
    )
    made.add_argument(
        "folder",
        type=Path,
        metavar="DIR",
        help="the folder for --config-dir: DIR/cell/*.yaml, DIR/task/*.yaml, … and their modules",
    )
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Return exit status 0; 1 if a piece breaks a rule; 2 if there is nothing to check."""
    options = parser().parse_args(arguments)
    from study.battery.folder import check  # torch, which the help does not wait for

    wrong = 0
    try:
        for name, failure in check(options.folder):
            wrong += failure is not None
            print(
                f"{'ok   ' if failure is None else 'WRONG'}"
                f" {name}{'' if failure is None else f': {failure}'}",
                flush=True,
            )
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if wrong:
        print(f"{wrong} of the pieces break{'s' if wrong == 1 else ''} a rule", file=sys.stderr)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
