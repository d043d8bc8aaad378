"""python -m study.signature: what a task says about its raw input and its answers, as JSON.

For exports of points that were stored before points kept it. Reads the task's node of a composed
configuration as JSON from standard input; prints {"signature": …, "data_hash": …}.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from study.program import command
from study.records import StudyError


def parser() -> argparse.ArgumentParser:
    return argparse.ArgumentParser(
        prog=command("study.signature"),
        description="print as JSON what a task says about its raw input and its answers; reads the"
        " task's node of a composed configuration as JSON from standard input",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0, or 2 with one sentence on standard error."""
    parser().parse_args(arguments)
    from study.config.tasks import load_task, signature  # torch, which the help does not wait for

    try:
        task = load_task(json.load(sys.stdin))
        print(json.dumps({"signature": signature(task), "data_hash": task.data_hash()}))
    except StudyError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
