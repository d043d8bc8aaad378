"""What a machine is asked before anything is queued for it: a program of its own, for any Python 3,
that needs nothing of ours there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from study.records import StudyError
from study.workers.jobs import differences, software

UNSEEN, NO_PACKAGE, NO_PYTHON = 21, 22, 127  # exit statuses of the program; the last is a shell's

PROGRAM = f"""
import json, os, sys
study, token, answer = sys.argv[1:]
if not os.path.exists(os.path.join(study, token)):
    sys.exit({UNSEEN})
try:
    from study.workers.jobs import software
    told = {{"software": software()}}
except ImportError as error:
    told = {{"missing": str(error)}}
with open(answer + ".partial", "w") as file:
    json.dump(told, file)
os.rename(answer + ".partial", answer)
sys.exit({NO_PACKAGE} if "missing" in told else 0)
"""


def judge(where: str, folder: Path, status: int, answer: Path, python: str) -> None:
    """Raises StudyError unless a machine has answered that it can train this study."""
    if status == UNSEEN:
        raise StudyError(
            f"executor: {where} does not see {folder}, where results go; use a folder that every"
            " machine shares: store.folder=…"
        )
    if status == NO_PYTHON:
        raise StudyError(
            f"executor: {where} has no {python}; install the tool where every machine sees it, or"
            " name its python there: executor.python=…"
        )
    try:
        told: Mapping[str, Mapping[str, str]] = json.loads(answer.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StudyError(
            f"executor: {where} has ended with status {status} and without an answer; does it see"
            f" {folder}, and has it {python}?"
        ) from error
    if "missing" in told:
        raise StudyError(
            f"executor: {where} has no rnn-gradient-study for {python} ({told['missing']}); install"
            " the same version there"
        )
    if wrong := differences(told["software"], software()):
        raise StudyError(
            f"executor: {where} has {wrong}; a point's numbers must not depend on where it runs, so"
            " install the same versions there"
        )
