"""python -m study.signature: what a task says about its raw input and its answers, as JSON.

For exports of points that were stored before points kept it. Reads the task's node of a composed
configuration as JSON from standard input; prints {"signature": …, "data_hash": …}.
"""

from __future__ import annotations

import json
import sys

from study.config.tasks import load_task, signature
from study.records import StudyError


def main() -> int:
    """Exit status: 0, or 2 with one sentence on standard error."""
    try:
        task = load_task(json.load(sys.stdin))
        print(json.dumps({"signature": signature(task), "data_hash": task.data_hash()}))
    except StudyError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
