"""Hydra's own settings, below the key `hydra`: which hold here, and why the others are refused.

Points are trained together in worker processes and stored in store.folder/name, so there is no
folder and no process of a single job that such a setting could change.
"""

from __future__ import annotations

import re
from typing import Any

from hydra import __version__ as hydra_version
from hydra.conf import HydraConf
from hydra.core.utils import JobRuntime
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from hydra.utils import get_object
from omegaconf import DictConfig, OmegaConf

from study.config.levels import defaults
from study.config.loader import ALIAS
from study.program import command
from study.records import StudyError

STORED = "results and their configurations go to store.folder/name"
# Setting -> what does its job here. Anything but the default is refused.
INSTEAD = {
    "run.dir": f"{STORED}, such as store.folder=/data name=mine",
    "sweep.dir": f"{STORED}, such as store.folder=/data name=mine",
    "sweep.subdir": f"{STORED}; a point's folder has its id as its name",
    "output_subdir": STORED,
    "job.chdir": f"{STORED}, and every process stays in the folder where the command was started",
    "job.name": "name=… names the study",
    "job.config.override_dirname": (
        "no folder is named after overrides; points.parquet has a column for every factor"
    ),
}
SAMPLER = "search/sampler=NAME, with its settings in a file search/sampler/NAME.yaml"
# Settings of hydra-optuna-sweeper (conf/README.md has the table).
PLUGINS = {
    "n_trials": "search.trials, for each arm",
    "n_jobs": "executor.workers",
    "direction": "what the task says of its metric",
    "storage": "search.storage",
    "study_name": "name",
    "sampler.seed": "search.seed",
    "sampler": SAMPLER,
    "search_space": "the keys themselves, such as 'optimizer.lr=tag(log,interval(1e-4,1e-1))'",
    "custom_search_space": "a level file search/NAME.yaml",
    "max_failure_rate": "search.retries",
}
EXECUTORS = {"joblib": "local", "submitit": "slurm", "ray": "ray"}  # launcher -> executor
OF_A_JOB = ("on_job_start", "on_job_end")
LATER = ("on_compose_config",)  # events of later versions of Hydra
SWEEPER = ("_target_", "params")  # the settings of our sweepers
LAUNCHER = f"{ALIAS}.StudyLauncher"


def check_hydra_node(node: DictConfig, mode: RunMode) -> None:
    """Raise StudyError for a setting of Hydra's that would be ignored."""
    check_launcher(str(node.launcher.get("_target_", "")))
    for key in (str(key) for key in node.launcher if key != "_target_"):
        raise StudyError(f"hydra.launcher.{key}: there is no such key; executor=… has settings")
    if str(node.sweeper.get("_target_", "")).startswith(ALIAS):
        for key in (str(key) for key in node.sweeper if key not in SWEEPER):
            raise StudyError(
                of_optuna_sweeper(f"hydra.sweeper.{key}")
                or f"hydra.sweeper.{key}: there is no such key; factors are in hydra.sweeper.params"
            )
    before = OmegaConf.merge(OmegaConf.structured(HydraConf), {**defaults()["hydra"]})
    before.job.name = JobRuntime.instance().get("name")
    for key, instead in INSTEAD.items():
        default, given = (OmegaConf.select(each, key) for each in (before, node))
        if given != default:
            must = "left out" if key.startswith("job.") and default else _text(default)
            raise StudyError(f"hydra.{key}: must be {must}, got {_text(given)}: {instead}")
    if node.job_logging.get("root") is not None or {"handlers", "loggers"} & set(node.job_logging):
        raise StudyError(
            "hydra.job_logging: must be none; log.txt in the study's folder has the lines of every"
            " launch, with hydra.verbose=true debug lines as well"
        )
    for name, callback in node.callbacks.items():
        if isinstance(callback, DictConfig):
            _check_callback(f"hydra.callbacks.{name}", str(callback.get("_target_")), mode)


def check_python(node: DictConfig) -> None:
    """Raise StudyError for what only the command does, in an experiment planned from Python."""
    sweeper = node.runtime.choices.get("hydra/sweeper")
    if sweeper != "study":
        raise StudyError(
            "hydra/sweeper: study.plan plans the full factorial only; a search and a confirmation"
            f" are commands. The experiment chooses {sweeper!r}"
        )
    for key, other in (("callbacks", "code after study.run"), ("job.env_set", "os.environ")):
        if OmegaConf.select(node, key):
            raise StudyError(f"hydra.{key}: is for the command; from Python, use {other}")
    check_hydra_node(node, RunMode.MULTIRUN)


def check_launcher(target: str) -> None:
    """Refuse another launcher than ours, which would be ignored; `target`: its class."""
    if target != LAUNCHER:
        raise no_such_launcher(target)


def no_such_launcher(name: str) -> StudyError:
    """The error for another launcher; `name`: of its class or its level."""
    own = next((executor for part, executor in EXECUTORS.items() if part in name), "local")
    return StudyError(
        "hydra/launcher: this tool trains points by executors; leave the launcher out and use"
        f" executor={own}. Got {name}"
    )


def of_optuna_sweeper(key: str) -> str | None:
    """What a setting of hydra-optuna-sweeper is called here; None for another key."""
    name = key.removeprefix("hydra").lstrip("./").removeprefix("sweeper").lstrip("./")
    name = name.removeprefix("search.")
    own = PLUGINS.get(name) or PLUGINS.get(name.split(".")[0])
    return f"{key}: is a name of hydra-optuna-sweeper; here it is {own}" if own else None


def environment(config: DictConfig, mode: RunMode) -> dict[str, str]:
    """Variables of hydra.job.env_set and env_copy, for a whole launch. Raises StudyError."""
    variables = config.hydra.job.env_set
    for name, value in variables.items_ex(resolve=False):
        if mode == RunMode.MULTIRUN and re.search(r"\$\{(?!oc\.)", str(value)):
            raise StudyError(
                f"hydra.job.env_set.{name}: is the same for all points of a launch, so it must be a"
                f" text or ${{oc.env:NAME}}, got {value}"
            )
    if variables and OmegaConf.select(config, "executor.address"):
        raise StudyError(
            "hydra.job.env_set: workers of a running Ray cluster have the environment of their"
            " machines; set the variables there"
        )
    return {str(name): str(value) for name, value in variables.items()}


def _check_callback(key: str, target: str, mode: RunMode) -> None:
    try:
        found = get_object(target)
    except Exception as error:
        raise StudyError(f"{key}: {target} cannot be imported ({error})") from error
    events = {name for name in (*OF_A_JOB, *LATER) if _defines(found, name)}
    if late := events & {*LATER}:
        raise StudyError(f"{key}: Hydra {hydra_version} never calls {', '.join(sorted(late))}")
    if mode == RunMode.MULTIRUN and (of_a_job := events & {*OF_A_JOB}):
        write = command("study.new", "tracker", "NAME", "--into", "DIR")
        raise StudyError(
            f"{key}: points are trained in groups, not as jobs of Hydra, so"
            f" {' and '.join(sorted(of_a_job, reverse=True))} would never be called; a tracker of"
            f" your own gets every point ({write})"
        )


def _defines(found: Any, event: str) -> bool:
    return getattr(found, event, None) is not getattr(Callback, event, None)


def _text(value: Any) -> str:
    if OmegaConf.is_config(value):
        return str(OmegaConf.to_container(value))
    return repr(value) if isinstance(value, str) else str(value).lower().replace("none", "null")
