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
from study.config.loader import ALIAS, store_nodes, with_search_path
from study.config.params import check_params
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
        self.loader = with_search_path(hydra_context.config_loader, config.hydra.searchpath)
        self.composed = config

    def sweep(self, arguments: list[str]) -> int:
        """The exit status. Raises Finished if nothing could run."""
        try:
            params: Any = self.params
            if OmegaConf.is_config(params):
                params = OmegaConf.to_container(params, resolve=True)
            return self.carry_out(check_params(params), arguments)
        except (StudyError, HydraException) as error:
            raise Finished(print_error(error)) from None

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


class ConfirmSweeper(StudySweeper):
    """hydra/sweeper=confirm: trains the best arms of a study on fresh seeds (study.confirm)."""

    def train(self, sweep: Sweep, experiment: str | None) -> int:
        return confirm(self.loader, self.composed.hydra.job.config_name, sweep, experiment)


class CertainSweeper(StudySweeper):
    """hydra/sweeper=certain: adds seeds where they decide a question (study.certain)."""

    def train(self, sweep: Sweep, experiment: str | None) -> int:
        # SciPy's statistics take a second to import, and only races need them.
        from study.launch.certain import certain

        return certain(self.loader, self.composed.hydra.job.config_name, sweep, experiment)


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
    """Runs the jobs of any other sweeper as one study, which grows where they come in batches."""

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        self.loader = with_search_path(hydra_context.config_loader, config.hydra.searchpath)
        self.composed = config
        self.jobs: list[Sequence[str]] = []

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        self.jobs += job_overrides
        keys = list(dict.fromkeys(override.split("=")[0] for job in self.jobs for override in job))
        values = {
            key: list(
                dict.fromkeys(
                    override.split("=", 1)[1]
                    for job in self.jobs
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
                for job in self.jobs
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
    for cls in (
        StudySweeper,
        SearchSweeper,
        ConfirmSweeper,
        CertainSweeper,
        StudyLauncher,
        ConfigDirs,
    ):
        cls.__module__ = ALIAS
        plugins.register(cls)
