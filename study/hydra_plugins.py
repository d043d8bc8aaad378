"""The Hydra sweeper and launcher, registered in code.

Hydra 1.3 finds plugins only in the package `hydra_plugins`; this module registers itself there
under an alias, so that no second package has to be installed.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from study.config.compose import Sweep, compose, compose_all, read_sweep, to_combination
from study.config.loader import ALIAS, store_nodes
from study.config.paths import config_dirs
from study.launch.confirm import confirm
from study.launch.plan import make_plan
from study.launch.run import prepare, run
from study.records import StudyError


class Finished(SystemExit):
    """Carries our exit status, unlike the plain SystemExit of Hydra, which is always 1."""


class StudySweeper(Sweeper):
    """Runs the full factorial of the experiment's factors as one study."""

    def __init__(self, params: DictConfig | None) -> None:
        self.params = params

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.loader = hydra_context.config_loader
        self.composed = config
        self.launched_by = str(config.hydra.launcher.get("_target_", ""))

    def sweep(self, arguments: list[str]) -> Any:
        try:
            _check_launcher(self.launched_by)
            params = (
                OmegaConf.to_container(self.params, resolve=True)
                if OmegaConf.is_config(self.params)
                else self.params or {}
            )
            if not isinstance(params, dict):
                raise StudyError(
                    "hydra.sweeper.params: must be {key: values}, such as {cell: 'rnn,gru',"
                    f" seed: '0,1'}}, got {params!r}"
                )
            status = self.carry_out({str(key): value for key, value in params.items()}, arguments)
        except (StudyError, HydraException) as error:
            status = print_error(error)
        raise Finished(status)

    def carry_out(self, params: dict[str, Any], arguments: list[str]) -> int:
        """Run what experiment and command line declare; return the exit status."""
        experiment = self.composed.hydra.runtime.choices.get("experiment")
        sweep = read_sweep(self.loader, params, arguments)
        if not sweep.factors:
            where = (
                f"experiment/{experiment}.yaml under hydra.sweeper.params"
                if experiment
                else "an experiment (experiment=digits)"
            )
            ways = (
                f"Declare them in {where} or type them: cell=rnn,lstm seed=0,1,2. One point is"
                " trained without -m"
            )
            raise StudyError(
                f"nothing varies: a study needs at least one factor or several seeds. {ways}"
            )
        prepare(_unresolved(self.composed))
        return self.train(sweep, experiment)

    def train(self, sweep: Sweep, experiment: str | None) -> int:
        return run(
            make_plan(
                compose_all(self.loader, self.composed.hydra.job.config_name, sweep),
                sweep,
                experiment,
            )
        )


INSTEAD = {"joblib": "local", "submitit": "slurm", "ray": "ray"}  # launcher -> executor


def _check_launcher(target: str) -> None:
    """Refuse another launcher than ours, which would be ignored."""
    if target.rpartition(".")[2] != StudyLauncher.__name__:
        own = next((executor for name, executor in INSTEAD.items() if name in target), "local")
        raise StudyError(
            f"hydra/launcher: this tool trains points by executors; leave the launcher out and use"
            f" executor={own}. Got {target}"
        )


class ConfirmSweeper(StudySweeper):
    """hydra/sweeper=confirm: trains the best arms of a study on fresh seeds (study.confirm)."""

    def train(self, sweep: Sweep, experiment: str | None) -> int:
        return confirm(self.loader, self.composed.hydra.job.config_name, sweep, experiment)


class SearchSweeper(StudySweeper):
    """hydra/sweeper=optuna: tunes every arm with the same budget, on validation data."""

    def carry_out(self, params: dict[str, Any], arguments: list[str]) -> int:
        # Importing Optuna takes a second, and only searches need it.
        from study.search.launch import launch

        return launch(self.loader, self.composed, params, arguments)


class ConfigDirs(SearchPathPlugin):
    """Allows several --config-dir options: Hydra itself uses the last folder only."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in config_dirs(sys.argv[1:])[:-1]:
            search_path.append(provider="command-line", path=f"file://{Path(folder).absolute()}")


class StudyLauncher(Launcher):
    """Runs the jobs of any other sweeper as one study."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.loader = hydra_context.config_loader
        self.composed = config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        keys = list(
            dict.fromkeys(override.split("=")[0] for job in job_overrides for override in job)
        )
        values = {
            key: list(
                dict.fromkeys(
                    override.split("=", 1)[1]
                    for job in job_overrides
                    for override in job
                    if override.split("=")[0] == key
                )
            )
            for key in keys
        }
        sweep = Sweep(
            factors={key: levels for key, levels in values.items() if len(levels) > 1}, fixed=[]
        )
        try:
            combinations = [
                to_combination(
                    compose(self.loader, self.composed.hydra.job.config_name, list(job)),
                    list(sweep.factors),
                )
                for job in job_overrides
            ]
            status = run(
                make_plan(
                    combinations, sweep, self.composed.hydra.runtime.choices.get("experiment")
                )
            )
        except (StudyError, HydraException) as error:
            status = print_error(error)
        if status:
            raise Finished(status)
        return [JobReturn(overrides=list(job), status=JobStatus.COMPLETED) for job in job_overrides]


def _unresolved(config: DictConfig) -> dict[str, Any]:
    """The configuration without Hydra's node and unresolved: values may be swept or missing."""
    return {
        str(key): OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else node
        for key, node in config.items_ex(resolve=False)
        if key != "hydra"
    }


def print_error(error: Exception) -> int:
    """Print an error on one line and return exit status 2: nothing could run."""
    print(f"error: {error}", file=sys.stderr)
    return 2


def register() -> None:
    """Register sweepers, launcher, help and the types of the root keys with Hydra."""
    plugins = Plugins.instance()
    parent = sys.modules.setdefault("hydra_plugins", types.ModuleType("hydra_plugins"))
    if not hasattr(parent, "__path__"):
        parent.__path__ = []
    sys.modules[ALIAS] = sys.modules[__name__]
    parent.rnn_gradient_study = sys.modules[__name__]  # type: ignore[attr-defined]
    store_nodes()
    for cls in (StudySweeper, SearchSweeper, ConfirmSweeper, StudyLauncher, ConfigDirs):
        cls.__module__ = ALIAS
        plugins.register(cls)
