"""Who knows hydra-optuna-sweeper by heart is told what a setting is called here."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.commands import call

SEARCH = ("-m", "hydra/sweeper=optuna", "search=lr", "cell=lstm", "initializer=orthogonal")
SAID = {
    "hydra.sweeper.n_trials=10": "hydra.sweeper.n_trials: is a name of hydra-optuna-sweeper; here",
    "search.n_trials=10": "here it is search.trials, for each arm",
    "hydra.sweeper.sampler.seed=1": "here it is search.seed",
    "hydra/sweeper/sampler=tpe": "here it is search/sampler=NAME",
    "+hydra.sweeper.study_name=x": "here it is name",
    "search.n_jobs=2": "here it is executor.workers",
    "hydra.sweeper.direction=maximize": "here it is what the task says of its metric",
    "hydra.sweeper.max_failure_rate=0.1": "here it is search.retries",
    "hidden=interval(8,64)": "; write hidden=int(interval(8,64))",
    "batch=interval(8,64)": "; write batch=int(interval(8,64))",
}


@pytest.mark.parametrize("typed", SAID)
def test_the_error_has_our_name(tmp_path: Path, typed: str):
    ran = call(tmp_path, "study", *SEARCH, typed, "plan=true", "tracker=[]", "name=plugin")
    assert ran.returncode == 2 and SAID[typed] in ran.stderr, ran.stderr
