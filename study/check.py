"""Whether a folder of your own pieces keeps the rules: python -m study.check DIR (make check-plugin
DIR=DIR).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from study.battery.folder import check
from study.records import StudyError


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0; 1 where a piece breaks a rule; 2 where there is nothing to check."""
    parser = argparse.ArgumentParser(
        prog="python -m study.check", description="judge a folder of your own pieces by the battery"
    )
    parser.add_argument(
        "folder",
        type=Path,
        metavar="DIR",
        help="what --config-dir is given: DIR/cell/*.yaml, DIR/task/*.yaml, … and their modules",
    )
    asked = parser.parse_args(arguments)
    wrong = 0
    try:
        for name, told in check(asked.folder):
            wrong += told is not None
            print(
                f"{'ok   ' if told is None else 'WRONG'}"
                f" {name}{'' if told is None else f': {told}'}",
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
