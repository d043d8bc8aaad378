"""The subcommands that train: what they add to the arguments that Hydra gets."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from study.commands.overrides import SWEEPER, Overrides
from study.config.help import asks_for_help
from study.config.levels import groups, listed
from study.config.paths import config_dirs

TRAINING = {
    "run": "train a study, or one point if nothing varies and no experiment is named",
    "point": "train one point",
    "plan": "print what run would train; trains nothing",
    "search": "tune every arm of a study with the same budget",
    "confirm": "train the best arms of a study again, on fresh seeds",
    "certain": "add seeds to a study where they decide, until its question is answered",
}
WITH_RESULTS = (0, 1, 130)  # statuses of study.launch.run
MULTIRUN = ("-m", "--multirun")
REPORT = "--report"


def train(name: str, arguments: Sequence[str]) -> int:
    """Run a subcommand as `python -m study` would; the exit status."""
    if asks_for_help(arguments):
        made = parser(name)
        made.print_help()
        print(f"\nlevels of each group:\n\n{listed(groups(config_dirs(arguments)))}")
        return 0
    module = importlib.import_module("study.__main__")
    given = [argument for argument in arguments if argument != REPORT]
    folder = Overrides(given).folder() if REPORT in arguments else None
    # Named as by python -m: messages, jobs of executors and study.json repeat this command.
    sys.argv = [str(module.__file__), *for_hydra(name, given)]
    try:
        module.start()
    except SystemExit as end:
        if folder is None or not isinstance(end.code, int) or end.code not in WITH_RESULTS:
            raise
        if (folder / "study.json").exists() and "plan=true" not in sys.argv:
            failed = report(folder, config_dirs(given)) != 0
            return end.code or int(failed)
        return end.code
    return 0


def report(folder: Path, config_folders: Sequence[str]) -> int:
    """Render a study's report and log it to W&B where the study is tracked; the exit status."""
    arguments = ["render", str(folder), *sections(config_folders)]
    rendered = importlib.import_module("reports.__main__").main(arguments)
    return int(rendered or importlib.import_module("study.artifacts").main([str(folder)]))


def sections(config_folders: Sequence[str]) -> list[str]:
    """The option of a report for a folder with sections of the user's own."""
    own = [path for path in config_folders if (Path(path) / "section").is_dir()]
    return ["--config-dir", own[-1]] if own else []


def for_hydra(name: str, arguments: Sequence[str]) -> list[str]:
    """The arguments of `python -m study` that do what a subcommand says."""
    given = list(arguments)
    if name == "plan":
        given.append("plan=true")
    if name == "search":
        keys = {key_of(argument) for argument in given}
        given += [] if SWEEPER in keys else [f"{SWEEPER}=optuna"]
        chosen = "search" in keys or "search" in Overrides(given).chosen
        given += [] if chosen else ["search=default"]
    if name in ("confirm", "certain"):
        given.append(f"{SWEEPER}={name}")
    many = name in ("search", "confirm", "certain") or (name != "point" and varies(given))
    return ["-m", *given] if many and not set(MULTIRUN) & set(given) else given


def varies(arguments: Sequence[str]) -> bool:
    """Whether overrides name an experiment or several values of a key, as Hydra reads them."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from hydra.errors import HydraException

    folders = config_dirs(arguments)
    for argument in arguments:
        if argument.startswith("-") or argument in folders or "=" not in argument:
            continue
        try:
            (override,) = OverridesParser.create().parse_overrides([argument])
        except HydraException:
            continue  # Hydra will say what is wrong with it
        if override.is_sweep_override():
            return True
        if key_of(argument) in ("experiment", SWEEPER) and override.value() is not None:
            return True
    return False


def key_of(argument: str) -> str:
    return argument.lstrip("+").partition("=")[0]


def parser(name: str) -> argparse.ArgumentParser:
    """The parser of the help and of completion: what is typed goes to Hydra as it stands."""
    made = argparse.ArgumentParser(
        prog=f"gradient-study {name}",
        description=TRAINING[name],
        epilog="gradient-study levels GROUP lists levels; --hydra-help has Hydra's own options.",
    )
    made.add_argument(
        "overrides",
        nargs="*",
        metavar="KEY=VALUE",
        help="a level of a group (cell=gru), a setting (hidden=64), several of them"
        " (cell=rnn,lstm), an experiment (experiment=digits)",
    )
    made.add_argument(
        "--config-dir",
        action="append",
        metavar="DIR",
        help="folder with levels and pieces of your own (can be repeated)",
    )
    made.add_argument(
        REPORT, action="store_true", help="then write the report, of an interrupted study as well"
    )
    made.add_argument(
        "--cfg", choices=("job", "hydra", "all"), help="print the configuration and stop"
    )
    made.add_argument("--info", nargs="?", help="print what Hydra knows and stop")
    made.add_argument("--hydra-help", action="store_true", help="Hydra's own help")
    return made
