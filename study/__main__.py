"""`python -m study`: one point; `python -m study -m`: a study. Hydra owns the command line."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import hydra
import yaml
from hydra._internal.utils import get_args_parser
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from study.config.compose import HydraComposition, check_complete, to_combination
from study.config.paths import conf_folder, config_dirs
from study.hydra_plugins import Finished, register, say_error
from study.launch.plan import make_plan
from study.launch.run import INTERRUPTED, NOTHING_RAN, prepare, run
from study.machine.signals import leaving_like_ctrl_c
from study.records import StudyError


def one_point(config: DictConfig) -> None:
    """A single point is a group of one through the same engine."""
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
        status = say_error(error)
    raise Finished(status)


def config_folders_on_path() -> None:
    """A piece may lie beside its YAML: folders given with --config-dir are importable."""
    for folder in config_dirs(sys.argv[1:]):
        if not Path(folder).is_dir():  # Hydra looks at the last one only
            raise Finished(say_error(StudyError(f"--config-dir: there is no folder {folder}")))
        sys.path.insert(0, folder)


def overrides_first(argv: Sequence[str]) -> list[str]:
    """The same command line in an order that Hydra reads: its parser refuses overrides on both
    sides of --config-dir FOLDER.
    """
    parser, options = get_args_parser(), list(argv)
    if all(argument.startswith("-") for argument in parser.parse_known_args(options)[1]):
        return options
    overrides = parser.parse_intermixed_args(options).overrides
    for override in overrides:
        options.remove(override)
    return [*overrides, *options]


def refuse_output_subdir(argv: Sequence[str]) -> None:
    """Hydra would write configurations of its own into the folder where one stands."""
    for argument in argv:
        key, _, value = argument.lstrip("+").partition("=")
        if key == "hydra.output_subdir" and value not in ("null", "None"):
            raise Finished(
                say_error(
                    StudyError(
                        f"hydra.output_subdir: must be null, got {value!r}: results and their"
                        " configurations go to store.folder/name"
                    )
                )
            )


FULL = "HYDRA_FULL_ERROR"
GROUP_NUMBER = "Config group override must be"  # Hydra's words for cell=3, a bare ValueError


@contextlib.contextmanager
def one_message() -> Iterator[None]:
    """Hydra hands its errors on instead of printing tracebacks or hints of its own.

    HYDRA_FULL_ERROR=1 shows them whole.
    """
    if FULL in os.environ:
        yield
        return
    os.environ[FULL] = "1"
    try:
        yield
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        raise Finished(say_error(StudyError(compact(error)))) from None
    except Exception as error:
        if not str(error).startswith(GROUP_NUMBER):
            if not raised_in_hydra(error):
                raise
            raise Finished(
                say_error(
                    StudyError(
                        f"the configuration cannot be composed: {type(error).__name__}: {error}"
                    )
                )
            ) from None
        raise Finished(
            say_error(
                StudyError(
                    "a group takes the name of a level or a list of names, such as cell=gru or"
                    " probe=[transport], not a number"
                )
            )
        ) from None
    finally:
        os.environ.pop(FULL, None)


def raised_in_hydra(error: BaseException) -> bool:
    """Whether Hydra, or what reads files for it, raised an error that it has no words for: a
    mistake in YAML or on the command line.
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
    """What Hydra, OmegaConf or YAML say, with a way out that works where a key is not there."""
    cause = error.__cause__
    if isinstance(cause, ConfigAttributeError | ConfigKeyError) and str(error).startswith(
        "Could not override"
    ):
        key = str(error).split("'")[1]
        own = (
            f"; a setting that only some levels of {key.split('.')[0]} have belongs to a level file"
            f" of its own, {key.split('.')[0]}/NAME.yaml"
            if "." in key
            else ""
        )
        return (
            f"{key}: there is no such key in what the command chooses; python -m study --cfg job"
            f" shows all of them{own}"
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
        with leaving_like_ctrl_c(), one_message():
            hydra.main(
                version_base="1.3", config_path=str(conf_folder().resolve()), config_name="config"
            )(one_point)()
    except Finished:
        raise
    except SystemExit as error:  # Hydra has told what was wrong with the command line
        raise SystemExit(NOTHING_RAN if error.code else 0) from None
    except KeyboardInterrupt:
        print("interrupted; what is stored is whole, the same command goes on", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


if __name__ == "__main__":
    # all that was imported stays: looking through it again takes as long as planning some points
    gc.freeze()
    try:
        main()
    finally:
        gc.freeze()  # and once more before Python ends: most of a second
