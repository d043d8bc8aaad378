"""`python -m study` trains one point, `python -m study -m` a study. Hydra parses the command."""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Sequence

from study.config.help import asks_for_help, text
from study.machine.processes import warm
from study.machine.system import check_system
from study.records import StudyError

TRAINING = "study.hydra_command"
# What every worker needs: the engine, compiled kernels, what probes use of scipy.
EARLY = ("study.executors.local", "study.kernels.native.loaded", "scipy.linalg")
NO_TRAINING = ("plan=true", "--cfg", "-c", "--info", "-i", "--hydra-help", "--shell-completion")


def main() -> None:
    """The command of sys.argv; help alone needs neither Hydra nor torch, which take seconds."""
    if asks_for_help(sys.argv[1:]):
        print(text(sys.argv[1:]))
    else:
        _check_system()
        importlib.import_module(TRAINING).main()


def start() -> None:
    """`main` where it is all that this process does."""
    try:
        if not asks_for_help(sys.argv[1:]):
            _check_system()
            _start_early(sys.argv[1:])
            importlib.import_module(TRAINING)
            # Imported objects stay: collecting them again would take as long as planning points.
            gc.freeze()
        main()
    finally:
        gc.freeze()  # saves most of a second when Python exits


def _start_early(arguments: Sequence[str]) -> None:
    """Start the process that workers are forked from, if this command may train: it imports torch
    and the compiler of the kernels while this process imports torch and plans.
    """
    if not any(argument.startswith(NO_TRAINING) for argument in arguments):
        warm(EARLY)


def _check_system() -> None:
    try:
        check_system()
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None


if __name__ == "__main__":
    start()
