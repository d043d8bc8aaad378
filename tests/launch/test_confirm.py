"""make confirm: the best arms by validation, again, on seeds nobody used; the page that shows them;
and the recipe's command gives its point again.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path

from reports.analysis.confirmation import confirmation
from reports.analysis.recipe import command, folded, point_of, recipe
from reports.blocks import Listing
from reports.data.study import Study
from reports.export.export import point_config
from reports.export.how_to_run import how_to_run
from study.config.compose import compose_all, read_sweep
from study.config.paths import conf_folder
from study.hydra_plugins import register
from study.launch.arms import fresh_seeds
from study.launch.confirm import best_arms, confirm
from study.launch.plan import make_plan
from study.records import StudyError
from study.store import Store
from study.store.search import SearchStore
from tests import ROOT
from tests.support.commands import call

FIXED = [
    "updates=60",  # enough to learn something: else nothing is recommended
    "hidden=16",
    "batch=32",
    "tracker=[]",
    "executor.workers=1",
    "health.stages=[0,1]",
    "validate_every=20",
]
FACTORS = ["cell=rnn,gru", "initializer=orthogonal,normal", "seed=0,3"]


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "study", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=240,
    )


@pytest.fixture(scope="module")
def confirmed(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """A study of 4 arms with two seeds, its two best arms confirmed on three."""
    folder = tmp_path_factory.mktemp("confirm")
    first = call(folder, "study", "-m", "experiment=quick", *FACTORS, *FIXED)
    assert first.returncode == 0, first.stdout + first.stderr
    return folder, run(
        folder,
        "-m",
        "experiment=quick",
        "hydra/sweeper=confirm",
        "study.confirm.arms=2",
        "study.confirm.seeds=3",
        *FACTORS,
        *FIXED,
    )


@pytest.fixture(scope="module")
def planned(confirmed):
    """What a command line plans in this process: loader, what is declared, the plan."""
    register()
    loader = ConfigLoaderImpl(create_config_search_path(str(conf_folder().resolve())))

    def plan(*changed: str):
        keys = {line.split("=")[0] for line in changed}
        lines = ["experiment=quick", f"store.folder={confirmed[0] / 'outputs'}", *FACTORS, *FIXED]
        of = read_sweep(
            loader, {}, [*(line for line in lines if line.split("=")[0] not in keys), *changed]
        )
        return loader, of, make_plan(compose_all(loader, "config", of), of, "quick")

    return plan


def test_the_best_arms_by_validation_are_trained_on_fresh_seeds(confirmed):
    folder, ran = confirmed
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert [path.name for path in (folder / "outputs").iterdir()] == ["quick"], (
        "the confirmation lies in the study's own folder"
    )
    study, again = (
        Store(folder / "outputs" / "quick"),
        Store(folder / "outputs" / "quick" / "quick-confirm"),
    )
    points = study.points()
    assert sorted(points["seed"].unique()) == [0, 3], "the study's own points are untouched"
    means = points.groupby(["cell", "initializer"])["val_score"].mean().sort_values(ascending=False)
    fresh = again.points()
    assert sorted(fresh["seed"].unique()) == [4, 5, 6]
    trained = set(fresh[["cell", "initializer"]].itertuples(index=False, name=None))
    assert len(fresh) == 6 and len(trained) == 2
    assert min(means[arm] for arm in trained) >= max(means.drop(list(trained)))
    for key in ("hidden", "batch", "updates"):
        assert set(fresh[key]) == set(points[key]), "the same settings as in the study"


def test_the_page_shows_fresh_seeds_beside_those_that_chose(confirmed):
    folder, _ = confirmed
    shown = call(folder, "reports", "render", "outputs/quick")
    assert shown.returncode == 0, shown.stderr
    html = (folder / "outputs" / "quick" / "report.html").read_text(encoding="utf-8")
    text = re.sub(r"<[^>]+>", "", html)
    assert "Trained again on 3 fresh seeds it has " in text, "the first screen tells it"
    assert "Confirmed on 3 fresh seeds" in text and ">Confirmed on fresh seeds</span>" in html
    of = confirmation(Study(Store(folder / "outputs" / "quick")))
    again = Store(folder / "outputs" / "quick" / "quick-confirm").points()
    assert (
        of is not None
        and of.fresh
        and of.missing == 0
        and list(of.seeds) == [4, 5, 6]
        and len(of.arms) == 2
    )
    assert sorted(score for arm in of.arms for score in arm.fresh) == pytest.approx(
        sorted(again["score"])
    )
    assert all(len(arm.screened) == 2 and arm.estimate.n == 3 for arm in of.arms)
    first, second = of.arms
    assert first.behind.n == 0 and second.behind.value == pytest.approx(
        sum(first.fresh) / 3 - sum(second.fresh) / 3
    )
    assert second.p >= 0.1 - 1e-3, "three seeds against three cannot reach .05"


def test_the_recipes_command_gives_its_point_again(confirmed):
    folder, _ = confirmed
    study = Study(Store(folder / "outputs" / "quick"))
    id = point_of(study, recipe(study).first)
    shown = folded(command(study, id, point_config(study.store, id)))
    assert shown in [block.text for block in how_to_run(study, id) if isinstance(block, Listing)]
    words = shlex.split(shown.replace("\\\n", ""))
    assert words[:3] == ["python", "-m", "study"] and "name=again" in words
    ran = call(folder, *words[2:])
    assert ran.returncode == 0, ran.stdout + ran.stderr
    again = Store(folder / "outputs" / "again")
    assert again.ids() == [id], "the same identity"
    pd.testing.assert_frame_equal(
        again.table("history", [id]), study.store.table("history", [id]), check_exact=True
    )


def test_another_command_than_the_studys_is_refused(planned):
    _, _, plan = planned("updates=4")
    with pytest.raises(
        StudyError,
        match=(
            r"8 of the 8 points of this command are not stored.*last trained with: python -m study"
            r" -m experiment=quick"
        ),
    ):
        best_arms(plan, Store(plan.folder))
    _, _, plan = planned("seed=0")
    with pytest.raises(
        StudyError,
        match=r"seed: the best arms are chosen by all seeds of the study \(0, 3\), not by 0",
    ):
        best_arms(plan, Store(plan.folder))
    loader, of, _ = planned("study.confirm.arms=0")
    with pytest.raises(
        StudyError, match=re.escape("study.confirm.arms: must be at least 1, got 0")
    ):
        confirm(loader, "config", of, "quick")
    _, _, plan = planned("name=never_ran")
    with pytest.raises(
        StudyError,
        match="8 of the 8 points of this command are not stored, so its best arms are not known",
    ):
        best_arms(plan, Store(plan.folder))


def test_seeds_of_the_study_and_of_its_search_are_not_fresh(planned, tmp_path):
    _, _, plan = planned()
    assert fresh_seeds(Store(plan.folder), plan, 2) == [4, 5]
    SearchStore(tmp_path / "search").write({"seeds": [7, 1000]}, {})
    assert fresh_seeds(Store(tmp_path), plan, 3) == [1001, 1002, 1003]
