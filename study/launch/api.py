"""The Python API, exported by `import study`: plan a study, run it, read its results.

```python
import study

plan = study.plan("quick", cell=["rnn", "gru"], seed=range(3))
print(plan)                                   # factors, points, groups, estimated time
result = study.run(plan)                      # or study.load("outputs/quick")
result.points                                 # one row per point
result.figure("gradient_flow", cell="gru")    # a matplotlib figure
result.report()                               # renders the page and returns its path
```

`python -m study -m` and this API share every step after the command line: `plan.command` is the
command that makes the same plan, and each can resume the other's studies.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf

from reports.api import Result, load
from study.config.compose import compose_all, read_sweep
from study.config.hydra_node import check_python
from study.config.loader import config_loader
from study.config.params import check_params, written
from study.config.paths import config_dirs as config_dirs_of
from study.launch.describe import text
from study.launch.plan import Plan, look_again, make_plan
from study.launch.run import INTERRUPTED
from study.launch.run import run as carry_out
from study.records import StudyError

__all__ = ["Result", "load", "plan", "run"]

Values = str | int | float | bool | None


@dataclass(frozen=True, repr=False)
class StudyPlan(Plan):
    """A plan that prints itself: factors, exclusions, points, groups, estimated time."""

    # The working directory when it was made, which relative paths of the study refer to.
    directory: Path = Path()

    def __str__(self) -> str:
        return text(self)

    __repr__ = __str__


def plan(
    experiment: str | None = None,
    *overrides: str,
    config_dirs: Sequence[str | Path] = (),
    **levels: Values | Iterable[Values],
) -> StudyPlan:
    """Plan a study; trains nothing and writes nothing.

    experiment: a file in conf/experiment, or in experiment/ of a folder in `config_dirs`; None for
    no factors besides those given here.
    overrides: as typed on the command line, such as "optimizer.lr=0.01,0.001".
    config_dirs: folders with your own configuration and pieces, as given with --config-dir.
    levels: a configuration key with one value, or with several values, which make it a factor:
    cell=["rnn", "gru"], seed=range(3), hidden=64. A list for probe or tracker is a list of pieces:
    tracker=[] is none.

    Raises StudyError with the key, what is allowed and what came.
    """
    typed = [*overrides, *(_override(key, value) for key, value in levels.items())]
    _check_arguments(experiment, typed)
    given = [config_dirs] if isinstance(config_dirs, str | Path) else config_dirs
    folders = [_importable(folder) for folder in given]
    loader = config_loader(folders)
    if experiment is not None and "=" in experiment:
        raise StudyError(
            "plan: the first argument is the name of an experiment, or None; overrides follow it."
            f" Got {experiment!r}"
        )
    chosen = [] if experiment is None else [f"experiment={experiment}"]
    try:
        sweep = read_sweep(loader, _factors(loader, [*chosen, *typed]), [*chosen, *typed])
        combinations = compose_all(loader, "config", sweep)
    except HydraException as error:
        raise StudyError(str(error)) from error
    plan = make_plan(combinations, sweep if sweep.factors else None, experiment)
    options = [part for folder in folders for part in ("--config-dir", folder)]
    multirun = ["-m"] if sweep.factors else []
    command = shlex.join(["python", "-m", "study", *multirun, *options, *chosen, *typed])
    values = {field.name: getattr(plan, field.name) for field in fields(plan)}
    return StudyPlan(**values | {"command": command}, directory=Path.cwd())


def run(plan: StudyPlan) -> Result:
    """Train the missing points of a plan, with progress, and return the study's results.

    Ctrl-C raises KeyboardInterrupt; finished points are kept, and the same call resumes. Points
    that failed are listed in `Result.failed`. Raises StudyError if nothing can be trained.
    """
    if plan.settings.plan_only:
        raise StudyError("plan: must be false to run a study; study.plan plans it without this key")
    with contextlib.chdir(plan.directory), _as_command(plan.command):
        status = carry_out(look_again(plan))
    if status == INTERRUPTED:
        raise KeyboardInterrupt
    options = tuple(config_dirs_of(shlex.split(plan.command)))
    return Result(plan.directory / plan.folder, options)


def _check_arguments(experiment: object, typed: Sequence[str]) -> None:
    if experiment is not None and not isinstance(experiment, str):
        raise StudyError(
            f"experiment: must be the name of one experiment or None, got {experiment!r}"
        )
    for override in typed:
        key = override.lstrip("+~").partition("=")[0]
        if key == "experiment":
            raise StudyError(
                f"experiment: must be the first argument of study.plan, got {override!r}"
            )
        if key in ("hydra/sweeper", "hydra/launcher"):
            raise StudyError(
                f"{key}: study.plan plans the full factorial only; a search and a confirmation are"
                f" commands, such as python -m study -m … hydra/sweeper=optuna. Got {override!r}"
            )


def _factors(loader: ConfigLoader, overrides: Sequence[str]) -> dict[str, Any]:
    """Factors that the experiment declares under hydra.sweeper.params."""
    composed = loader.load_configuration(
        config_name="config", overrides=list(overrides), run_mode=RunMode.MULTIRUN
    )
    check_python(composed.hydra)
    params = composed.hydra.sweeper.params
    return check_params(OmegaConf.to_container(params) if OmegaConf.is_config(params) else params)


def _override(key: str, value: Any) -> str:
    """Write a key with one or several values as an override of Hydra's command line."""
    if isinstance(value, Mapping):
        raise StudyError(f"{key}: must be a value or a list of values, got {value!r}")
    if isinstance(value, str | Path) or not isinstance(value, Iterable):
        return f"{key}={written(value)}"
    values = [written(each) for each in value]
    # These groups hold several pieces at once: their list is one choice, not a factor.
    is_one_choice = key in ("probe", "tracker") or not values
    return f"{key}=[{','.join(values)}]" if is_one_choice else f"{key}={','.join(values)}"


def _importable(folder: str | Path) -> str:
    """Put a folder on Python's path, for the pieces beside its YAML; return its absolute path."""
    path = Path(folder).resolve()
    if not path.is_dir():
        raise StudyError(f"config_dirs: there is no folder {folder}")
    if str(path) not in sys.path:
        sys.path.insert(0, str(path))
    return str(path)


@contextlib.contextmanager
def _as_command(command: str) -> Iterator[None]:
    """Set sys.argv as if this command ran: messages quote it, and jobs of executors repeat it."""
    before = sys.argv
    sys.argv = ["__main__.py", *shlex.split(command)[3:]]
    try:
        yield
    finally:
        sys.argv = before
