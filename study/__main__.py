"""`python -m study`: one point; `python -m study -m`: a study. Hydra owns the command line."""

from __future__ import annotations

import sys

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from study.composition import Base, finish
from study.launcher import INTERRUPTED, NOTHING_RAN, run
from study.paths import conf_folder
from study.planning import make_plan
from study.plugins import Finished, register, say_error
from study.records import StudyError


def one_point(config: DictConfig) -> None:
    """A single point is a group of one through the same engine."""
    choices = HydraConfig.get().runtime.choices
    base = Base(config=config, choices={str(key): value for key, value in choices.items() if not str(key).startswith("hydra/")})
    try:
        status = run(make_plan([finish(base, [])], None, choices.get("experiment")))
    except StudyError as error:
        status = say_error(error)
    raise Finished(status)


def config_folders_on_path() -> None:
    """A piece may lie beside its YAML: folders given with --config-dir are importable."""
    arguments = sys.argv[1:]
    for index, argument in enumerate(arguments):
        if argument in ("--config-dir", "-cd") and index + 1 < len(arguments):
            sys.path.insert(0, arguments[index + 1])
        elif argument.startswith("--config-dir="):
            sys.path.insert(0, argument.split("=", 1)[1])


def main() -> None:
    config_folders_on_path()
    register()
    try:
        hydra.main(version_base="1.3", config_path=str(conf_folder().resolve()), config_name="config")(one_point)()
    except Finished:
        raise
    except SystemExit as error:  # Hydra has told what was wrong with the command line
        raise SystemExit(NOTHING_RAN if error.code else 0) from None
    except KeyboardInterrupt:
        print("interrupted before anything was trained", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


if __name__ == "__main__":
    main()
