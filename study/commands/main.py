# PYTHON_ARGCOMPLETE_OK
"""gradient-study SUBCOMMAND …: finds the module of a subcommand and hands its arguments over.

Imports nothing heavy before it knows what to do.
"""

from __future__ import annotations

import argparse
import difflib
import gc
import importlib
import itertools
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from study import __version__
from study.commands.overrides import Overrides
from study.commands.training import TRAINING, sections, train
from study.config.levels import groups, listed
from study.config.paths import config_dirs
from study.records import StudyError

REPORTS = {
    "report": "write DIR/report.html, one self-contained page",
    "status": "count points done, diverged, failed, missing and damaged",
    "table": "print one row per point, or write the rows as CSV or Parquet",
    "check": "judge --fail-if conditions without rendering",
    "diff": "compare two studies",
    "index": "write one page that lists the studies in a folder",
    "export": "write a trained network with its module and a model card",
    "predict": "apply an exported network to new data",
}
# Subcommand -> its module, what it does.
MODULES = {
    "adopt": ("study.adopt.__main__", "make a study of runs that were trained elsewhere"),
    "new": ("study.new", "write a working piece of your own to start from"),
    "check-plugin": ("study.check", "run the battery of tests on a folder of your own pieces"),
    "compact": ("study.compact", "put the finished points of a study into few files"),
    "sync": ("study.sync", "upload what W&B logged offline"),
    "artifacts": ("study.artifacts", "log the report and the points table to W&B"),
    "signature": ("study.signature", "what a task says about its raw input, as JSON"),
}
LEVELS = {"levels": "list the levels of all groups, or of one, with their descriptions"}
ALIASES = {"render": "report"}
WITH_SECTIONS = ("report", "check")  # they take --config-dir
# They read the study of a folder, or of the overrides that it was trained with.
OF_STUDY = ("report", "status", "table", "check", "compact", "sync", "artifacts")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; its exit status. 2 with one sentence if there is no such subcommand."""
    if "_ARGCOMPLETE" in os.environ:
        from study.commands.completion import complete

        complete()
    given = list(sys.argv[1:] if arguments is None else arguments)
    # As python -m does it, but last: a folder of the user's own never replaces one of ours.
    sys.path.append(str(Path.cwd()))
    if not given or given[0] in ("-h", "--help"):
        parser().print_help()
        return 0 if given else 2
    if given[0] == "--version":
        print(f"rnn-gradient-study {__version__}")
        return 0
    name, rest = ALIASES.get(given[0], given[0]), given[1:]
    try:
        if name in TRAINING:
            return train(name, rest)
        return int(_command(name)(in_folder(name, rest) if name in OF_STUDY else rest) or 0)
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def start() -> None:
    """The entry point of the script."""
    try:
        sys.exit(main())
    except BrokenPipeError:  # the reader, such as head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    finally:
        gc.freeze()  # saves most of a second when Python exits


def parser() -> argparse.ArgumentParser:
    """Parses nothing but names of subcommands: their options would need imports."""
    about = {name: line for name, (_, line) in MODULES.items()}
    top = argparse.ArgumentParser(
        prog="gradient-study",
        description="Which recurrent recipe trains on my sequences, why, and how sure are we?",
        epilog="gradient-study SUBCOMMAND --help has the options of one.",
    )
    top.add_argument("--version", action="store_true", help="print the version")
    found = top.add_subparsers(metavar="SUBCOMMAND", title="subcommands")
    for name, line in {**TRAINING, **REPORTS, **about, **LEVELS}.items():
        found.add_parser(name, help=line)
    return top


def subcommands() -> list[str]:
    return [*TRAINING, *REPORTS, *MODULES, *LEVELS]


def _command(name: str) -> Callable[[Sequence[str]], int]:
    """The main function of a subcommand's module."""
    if name in REPORTS:
        run = importlib.import_module("reports.__main__").main
        return lambda rest: run([name, *rest])
    if name in MODULES:
        command: Callable[[Sequence[str]], int] = importlib.import_module(MODULES[name][0]).main
        return command
    if name in LEVELS:
        return list_levels
    raise StudyError(f"gradient-study: there is no subcommand {name!r}{nearest(name)}")


def in_folder(name: str, arguments: Sequence[str]) -> list[str]:
    """Arguments with the folder of a study instead of its overrides, if they begin with one.

    `report experiment=quick name=mine` reads outputs/mine. Raises StudyError.
    """
    first = next(iter(arguments), "")
    if not re.match(r"[\w./+]+=", first) or Path(first).is_dir():
        return list(arguments)
    folders = config_dirs(arguments)
    values = {after for word, after in itertools.pairwise(arguments) if word[:1] == "-"}
    kept = [
        word
        for word in arguments
        if (word.startswith("-") or word in values)
        and not word.startswith(("--config-dir", "-cd"))
        and word not in folders
    ]
    own = sections(folders) if name in WITH_SECTIONS else []
    return [str(Overrides(arguments).folder()), *own, *kept]


def nearest(name: str) -> str:
    if close := difflib.get_close_matches(name, [*subcommands(), *ALIASES], 1):
        return f"; did you mean {close[0]}?"
    return f"; there are {', '.join(subcommands())}"


def list_levels(arguments: Sequence[str]) -> int:
    """Print levels with their descriptions. Raises StudyError for an unknown group."""
    options = levels_parser().parse_args(arguments)
    for folder in options.config_dir:
        if not Path(folder).is_dir():
            raise StudyError(f"--config-dir: there is no folder {folder}")
    found = groups(options.config_dir)
    if options.group is not None and options.group not in found:
        close = difflib.get_close_matches(options.group, found, 1)
        hint = f"; did you mean {close[0]}?" if close else f"; there are {', '.join(found)}"
        raise StudyError(f"levels: there is no group {options.group!r}{hint}")
    print(listed(found if options.group is None else {options.group: found[options.group]}))
    return 0


def levels_parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="gradient-study levels", description=LEVELS["levels"])
    made.add_argument("group", nargs="?", metavar="GROUP", help="such as cell or search/sampler")
    made.add_argument(
        "--config-dir",
        action="append",
        default=[],
        metavar="DIR",
        help="folder with levels of your own (can be repeated)",
    )
    return made
