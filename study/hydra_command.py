"""Train what a command line says: one point, or with -m a study. Hydra parses it."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import hydra
import yaml
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from study.config.compose import HydraComposition, check_complete, to_combination
from study.config.paths import conf_folder, config_dirs
from study.hydra_plugins import Finished, print_error, register
from study.launch.plan import make_plan
from study.launch.run import INTERRUPTED, NOTHING_RAN, prepare, run
from study.machine.signals import leaving_like_ctrl_c
from study.records import StudyError


def one_point(config: DictConfig) -> None:
    """Train a single point, as a study of one point."""
    if HydraConfig.get().mode == RunMode.MULTIRUN:  # one job of a launcher that is not ours
        told = "hydra/launcher: this tool trains points by executors; leave the launcher out and"
        raise Finished(print_error(StudyError(f"{told} use executor=local, slurm or ray")))
    choices = HydraConfig.get().runtime.choices
    base = HydraComposition(
        config=config,
        choices={
            str(key): value for key, value in choices.items() if not str(key).startswith("hydra/")
        },
    )
    try:
        check_complete(config)
        point = to_combination(base, [])
        prepare(point.config)
        status = run(make_plan([point], None, choices.get("experiment")))
    except StudyError as error:
        status = print_error(error)
    raise Finished(status)


def config_folders_on_path() -> None:
    """Put folders given with --config-dir on Python's path, for the pieces beside their YAML."""
    for folder in config_dirs(sys.argv[1:]):
        if not Path(folder).is_dir():  # Hydra checks the last one only
            raise Finished(print_error(StudyError(f"--config-dir: there is no folder {folder}")))
        sys.path.insert(0, folder)


def overrides_first(argv: Sequence[str]) -> list[str]:
    """Move overrides to the front: Hydra refuses overrides on both sides of --config-dir."""
    parser, options = get_args_parser(), list(argv)
    if all(argument.startswith("-") for argument in parser.parse_known_args(options)[1]):
        return options
    overrides = parser.parse_intermixed_args(options).overrides
    for override in overrides:
        options.remove(override)
    return [*overrides, *options]


def refuse_output_subdir(argv: Sequence[str]) -> None:
    """Refuse hydra.output_subdir: Hydra would write files into the current folder."""
    for argument in argv:
        key, _, value = argument.lstrip("+").partition("=")
        if key == "hydra.output_subdir" and value not in ("null", "None"):
            raise Finished(
                print_error(
                    StudyError(
                        f"hydra.output_subdir: must be null, got {value!r}: results and their"
                        " configurations go to store.folder/name"
                    )
                )
            )


FULL_ERROR = "HYDRA_FULL_ERROR"
# Settings of hydra-optuna-sweeper (conf/README.md has the table).
PLUGINS = {
    "n_trials": "search.trials, for each arm",
    "n_jobs": "executor.workers",
    "direction": "what the task says of its metric",
    "storage": "search.storage",
    "study_name": "name",
    "sampler": "search/sampler=NAME",
    "search_space": "the keys themselves, such as 'optimizer.lr=tag(log,interval(1e-4,1e-1))'",
    "custom_search_space": "a level file search/NAME.yaml",
    "max_failure_rate": "search.retries",
}
GROUP_NUMBER = "Config group override must be"  # start of Hydra's ValueError for cell=3


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Print configuration errors as one message each; HYDRA_FULL_ERROR=1 shows tracebacks."""
    if FULL_ERROR in os.environ:
        yield
        return
    os.environ[FULL_ERROR] = "1"
    try:
        yield
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise Finished(print_error(StudyError(compact(error)))) from None
    except Exception as error:
        if not str(error).startswith(GROUP_NUMBER):
            if not raised_in_hydra(error):
                raise
            raise Finished(
                print_error(
                    StudyError(
                        f"the configuration cannot be composed: {type(error).__name__}: {error}"
                    )
                )
            ) from None
        raise Finished(
            print_error(
                StudyError(
                    "a group takes the name of a level or a list of names, such as cell=gru or"
                    " probe=[transport], not a number"
                )
            )
        ) from None
    finally:
        os.environ.pop(FULL_ERROR, None)


def raised_in_hydra(error: BaseException) -> bool:
    """Whether Hydra or a library that it uses raised an error without a message for users.

    The cause is then a mistake in YAML or on the command line.
    """
    trace, innermost = error.__traceback__, ""
    while trace is not None:
        innermost, trace = str(trace.tb_frame.f_globals.get("__name__", "")), trace.tb_next
    return isinstance(error, UnicodeError | RecursionError) or innermost.split(".")[0] in (
        "hydra",
        "omegaconf",
        "yaml",
        "antlr4",
    )


def compact(error: Exception) -> str:
    """The message of an error of Hydra, OmegaConf or YAML; for an unknown key, what to do."""
    cause = error.__cause__
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and str(error).startswith(
        "Could not override"
    ):
        key = str(error).split("'")[1]
        if own := PLUGINS.get(key.removeprefix("hydra.sweeper.").removeprefix("search.")):
            return f"{key}: is a name of hydra-optuna-sweeper; here it is {own}"
        hint = (
            f"; a setting that only some levels of {key.split('.')[0]} have belongs in a level file"
            f" of its own, {key.split('.')[0]}/NAME.yaml"
            if "." in key
            else ""
        )
        return (
            f"{key}: there is no such key in this configuration; python -m study --cfg job"
            f" shows all keys{hint}"
        )
    if isinstance(error, yaml.YAMLError):
        return f"not readable as YAML: {error}"
    return f"{error}\n{cause}" if isinstance(cause, OmegaConfBaseException) else str(error)


def main() -> None:
    config_folders_on_path()
    refuse_output_subdir(sys.argv[1:])
    register()
    try:
        sys.argv[1:] = overrides_first(sys.argv[1:])
        with leaving_like_ctrl_c(), plain_errors():
            hydra.main(
                version_base="1.3", config_path=str(conf_folder().resolve()), config_name="config"
            )(one_point)()
    except Finished:
        raise
    except SystemExit as error:  # Hydra has printed what is wrong with the command line
        raise SystemExit(NOTHING_RAN if error.code else 0) from None
    except KeyboardInterrupt:
        print(
            "interrupted; finished points are kept, and the same command resumes", file=sys.stderr
        )
        raise SystemExit(INTERRUPTED) from None
