"""The Hydra sweeper and launcher, registered in code.

Hydra 1.3 takes plugins only from the package `hydra_plugins`; this module makes itself known there
under an alias, so that nothing has to be installed beside the package.
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
    """Our own exit status, told apart from Hydra's, which is 1 for every mistake."""


class StudySweeper(Sweeper):
    """The full factorial of the experiment's factors, run as one study."""

    def __init__(self, params: DictConfig | None) -> None:
        self.params = params

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.loader = hydra_context.config_loader
        self.composed = config

    def sweep(self, arguments: list[str]) -> Any:
        try:
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
            status = say_error(error)
        raise Finished(status)

    def carry_out(self, params: dict[str, Any], arguments: list[str]) -> int:
        """Exit status of what was declared and typed."""
        experiment = self.composed.hydra.runtime.choices.get("experiment")
        of = read_sweep(self.loader, params, arguments)
        if not of.factors:
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
        prepare(_chosen(self.composed))
        return self.train(of, experiment)

    def train(self, of: Sweep, experiment: str | None) -> int:
        return run(
            make_plan(
                compose_all(self.loader, self.composed.hydra.job.config_name, of), of, experiment
            )
        )


class ConfirmSweeper(StudySweeper):
    """hydra/sweeper=confirm: the best arms of a study again, on fresh seeds (study.confirm)."""

    def train(self, of: Sweep, experiment: str | None) -> int:
        return confirm(self.loader, self.composed.hydra.job.config_name, of, experiment)


class SearchSweeper(StudySweeper):
    """hydra/sweeper=optuna: settings of every arm searched with the same budget, on validation data
    (study.search).
    """

    def carry_out(self, params: dict[str, Any], arguments: list[str]) -> int:
        # Optuna takes a second to import, and nothing else needs it
        from study.search.launch import launch

        return launch(self.loader, self.composed, params, arguments)


class ConfigDirs(SearchPathPlugin):
    """--config-dir given more than once: Hydra itself takes the last folder only."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        for folder in config_dirs(sys.argv[1:])[:-1]:
            search_path.append(provider="command-line", path=f"file://{Path(folder).absolute()}")


class StudyLauncher(Launcher):
    """Takes the jobs of any other sweeper and runs them as one study through the same engine."""

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
                    o.split("=", 1)[1]
                    for job in job_overrides
                    for o in job
                    if o.split("=")[0] == key
                )
            )
            for key in keys
        }
        of = Sweep(
            factors={key: of_key for key, of_key in values.items() if len(of_key) > 1}, fixed=[]
        )
        try:
            combinations = [
                to_combination(
                    compose(self.loader, self.composed.hydra.job.config_name, list(job)),
                    list(of.factors),
                )
                for job in job_overrides
            ]
            status = run(
                make_plan(combinations, of, self.composed.hydra.runtime.choices.get("experiment"))
            )
        except (StudyError, HydraException) as error:
            status = say_error(error)
        if status:
            raise Finished(status)
        return [JobReturn(overrides=list(job), status=JobStatus.COMPLETED) for job in job_overrides]


def _chosen(config: DictConfig) -> dict[str, Any]:
    """What was composed first, without Hydra's own part and as it is written: values may still be
    swept or missing.
    """
    return {
        str(key): OmegaConf.to_container(node, resolve=False) if OmegaConf.is_config(node) else node
        for key, node in config.items_ex(resolve=False)
        if key != "hydra"
    }


def say_error(error: Exception) -> int:
    """One clear message, and the exit status for nothing could run."""
    print(f"error: {error}", file=sys.stderr)
    return 2


def register() -> None:
    """Make sweeper, launcher, help and the types of the root keys known to Hydra."""
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
