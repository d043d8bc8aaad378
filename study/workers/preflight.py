"""The question a machine is asked before anything is queued for it, and the verdict on its answer.

The question is a program that any Python 3 can run, also where this package is missing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from study.records import StudyError
from study.workers.job import differences, software

UNSEEN, NO_PACKAGE = 21, 22  # exit statuses of the program
NO_PYTHON = 127  # of the shell

PROGRAM = f"""
import json, os, sys
study, token, answer = sys.argv[1:]
if not os.path.exists(os.path.join(study, token)):
    sys.exit({UNSEEN})
try:
    from study.workers.job import software
    content = {{"software": software()}}
except ImportError as error:
    content = {{"missing": str(error)}}
with open(answer + ".partial", "w") as file:
    json.dump(content, file)
os.rename(answer + ".partial", answer)
sys.exit({NO_PACKAGE} if "missing" in content else 0)
"""


def judge(where: str, folder: Path, status: int, answer: Path, python: str) -> None:
    """Raise StudyError unless the machine `where` can train a study in `folder`.

    `status`: exit status of the program. `answer`: the file it wrote.
    """
    if status == UNSEEN:
        raise StudyError(
            f"executor: {where} does not see {folder}, where results go; use a folder that every"
            " machine shares: store.folder=…"
        )
    if status == NO_PYTHON:
        raise StudyError(
            f"executor: {where} has no {python}; install the tool where every machine sees it, or"
            " give the path of its Python there: executor.python=…"
        )
    try:
        content: Mapping[str, Mapping[str, str]] = json.loads(answer.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StudyError(
            f"executor: {where} ended with status {status} and gave no answer; check that it sees"
            f" {folder} and has {python}"
        ) from error
    if "missing" in content:
        raise StudyError(
            f"executor: {where} has no rnn-gradient-study for {python} ({content['missing']});"
            " install the same version there"
        )
    if wrong := differences(content["software"], software()):
        raise StudyError(
            f"executor: {where} has {wrong}; a point's numbers must not depend on where it runs, so"
            " install the same versions there"
        )
