"""Train what a command line says: one point, or with -m a study. Hydra parses it."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

import hydra
import yaml
from hydra._internal.hydra import Hydra
from hydra._internal.utils import get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import env_override
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from study.config.compose import HydraComposition, check_complete, to_combination
from study.config.hydra_node import (
    check_hydra_node,
    environment,
    no_such_launcher,
    of_optuna_sweeper,
)
from study.config.loader import StudyLoader
from study.config.paths import conf_folder, config_dirs
from study.config.schema import OPTIONAL
from study.hydra_plugins import Finished, print_error, register
from study.launch.plan import make_plan
from study.launch.run import INTERRUPTED, NOTHING_RAN, OK, prepare, run
from study.machine.signals import leaving_like_ctrl_c
from study.program import training
from study.records import StudyError


class StudyHydra(Hydra):
    """Hydra, which refuses what it would ignore here, and ends with our exit status.

    It ends after its callbacks have run: on_job_end and on_run_end, or on_multirun_end.
    """

    for_the_launch: contextlib.ExitStack | None = None

    def __init__(self, task_name: str, config_loader: ConfigLoader) -> None:
        super().__init__(task_name, StudyLoader(config_loader.get_search_path()))

    def compose_config(
        self,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        with_log_configuration: bool = False,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        try:
            config = super().compose_config(
                config_name,
                overrides,
                run_mode,
                with_log_configuration,
                from_shell,
                validate_sweep_overrides,
            )
            if self.for_the_launch is not None:  # rather than to show
                check_hydra_node(config.hydra, run_mode)
                variables = environment(config, run_mode)
                self.for_the_launch.enter_context(env_override(variables))
        except KeyError as error:
            if innermost(error) != "os":
                raise
            missing = f"hydra.job.env_copy: there is no environment variable {error}"
            raise Finished(print_error(StudyError(missing))) from None
        except StudyError as error:
            raise Finished(print_error(error)) from None
        return config

    def run(self, *arguments: Any, **options: Any) -> NoReturn:
        with contextlib.ExitStack() as self.for_the_launch:
            status = super().run(*arguments, **options).return_value
        raise Finished(status)

    def multirun(self, *arguments: Any, **options: Any) -> NoReturn:
        with contextlib.ExitStack() as self.for_the_launch:
            status = super().multirun(*arguments, **options)
        raise Finished(status if isinstance(status, int) else OK)


def one_point(config: DictConfig) -> int:
    """Train a single point, as a study of one point; the exit status."""
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
        return run(make_plan([point], None, choices.get("experiment")))
    except StudyError as error:
        return print_error(error)


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


FULL_ERROR = "HYDRA_FULL_ERROR"
LAUNCHERS = "hydra/launcher/"
EXAMPLES = {
    "search": "search=default",
    "encoder": "encoder=conv",
    "block": "block=prenorm_residual",
    "penalty": "penalty=pascanu",
    "schedule": "schedule=warmup_cosine",
    "average": "average=ema",
    "model": "model=stack",
    "trainer": "trainer=engine",
}  # of groups without a level of their own
GROUP_NUMBER = "Config group override must be"  # start of Hydra's ValueError for cell=3


@contextlib.contextmanager
def help_when_printed() -> Iterator[None]:
    """Python from 3.14 on checks a help text when an option is declared, and refuses the one that
    Hydra 1.3 writes when it is printed.
    """
    checked = getattr(argparse.ArgumentParser, "_check_help", None)
    if checked is None:
        yield
        return
    setattr(argparse.ArgumentParser, "_check_help", lambda *_: None)  # noqa: B010
    try:
        yield
    finally:
        setattr(argparse.ArgumentParser, "_check_help", checked)  # noqa: B010


@contextlib.contextmanager
def our_hydra() -> Iterator[None]:
    """Let hydra.main start StudyHydra, which has no place among Hydra's plugins."""
    hydra._internal.hydra.Hydra = StudyHydra  # type: ignore[misc]
    try:
        yield
    finally:
        hydra._internal.hydra.Hydra = Hydra  # type: ignore[misc]


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
    return isinstance(error, UnicodeError | RecursionError) or innermost(error) in (
        "hydra",
        "omegaconf",
        "yaml",
        "antlr4",
    )


def innermost(error: BaseException) -> str:
    """The package whose line raised an error."""
    trace, name = error.__traceback__, ""
    while trace is not None:
        name, trace = str(trace.tb_frame.f_globals.get("__name__", "")), trace.tb_next
    return name.split(".")[0]


def compact(error: Exception) -> str:
    """The message of an error of Hydra, OmegaConf or YAML; for an unknown key, what to do."""
    cause = error.__cause__
    if isinstance(error, ConfigCompositionException) and "No match in the defaults" in str(error):
        key = str(error).split("'")[1]
        return f"{key}: there is nothing to override{choose_first(key) or f'. {error}'}"
    if isinstance(error, MissingConfigException) and str(error.missing_cfg_file).startswith(
        LAUNCHERS
    ):
        return str(no_such_launcher(str(error.missing_cfg_file).removeprefix(LAUNCHERS)))
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and str(error).startswith(
        "Could not override"
    ):
        key = str(error).split("'")[1]
        if own := of_optuna_sweeper(key):
            return own
        if key.startswith("hydra.launcher."):
            return str(no_such_launcher(key.removeprefix("hydra.")))
        if key.startswith("hydra."):
            return (
                f"{key}: there is no such key; +{key}=… adds one, such as an environment variable"
                f" or a callback, and {training(many=False)} --cfg hydra shows all keys"
            )
        hint = choose_first(key) or (
            f"; a setting that only some levels of {key.split('.')[0]} have belongs in a level file"
            f" of its own, {key.split('.')[0]}/NAME.yaml"
            if "." in key
            else ""
        )
        return (
            f"{key}: there is no such key in this configuration; {training(many=False)} --cfg job"
            f" shows all keys{hint}"
        )
    if isinstance(error, yaml.YAMLError):
        return f"not readable as YAML: {error}"
    return f"{error}\n{cause}" if isinstance(cause, OmegaConfBaseException) else str(error)


def choose_first(key: str) -> str:
    """For a key of a group that is null unless one chooses a level: what to type before it."""
    group = re.split("[./]", key)[0]
    if group not in OPTIONAL or any(typed.startswith(f"{group}=") for typed in sys.argv[1:]):
        return ""
    return f"; {group} is null unless a level of it is chosen first, such as {EXAMPLES[group]}"


def main() -> None:
    config_folders_on_path()
    register()
    try:
        with help_when_printed():
            sys.argv[1:] = overrides_first(sys.argv[1:])
        with leaving_like_ctrl_c(), plain_errors(), help_when_printed(), our_hydra():
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
