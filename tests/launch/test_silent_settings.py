"""What would be ignored without a word is refused: equal recipes, equal names, idle settings."""

from __future__ import annotations

from pathlib import Path

import pytest

import study
from study.cells.mingru import MinGRU
from study.config.canonical import typed
from study.new import create
from study.records import StudyError
from tests.support.commands import call

REFUSED = {
    "equal names": (
        ("optimizer={lr:0.1},{lr:0.0001}", "seed=0,1"),
        "same levels and different settings",
        "(optimizer.lr: 0.1 and 0.0001). Sweep optimizer.lr itself",
    ),
    "one number written twice": (("clip.threshold=1,1.0", "seed=0"), "would be the same point", ""),
    "dropout below one layer": (
        ("dropout=0,0.1", "seed=0,1"),
        "dropout changes nothing here: it lies between layers, and there is one",
        "dropout: [OTHERS]",
    ),
    "forget bias of a plain cell": (
        ("cell=rnn", "weights.forget_bias=0,1", "seed=0,1"),
        "weights.forget_bias changes nothing here: RNN has no gate f",
        "",
    ),
    "forget bias that the initializer fills": (
        ("initializer=chrono", "weights.forget_bias=0,1", "seed=0,1"),
        "weights.forget_bias changes nothing here: the initializer fills the biases",
        "",
    ),
    "a key twice": (("seed=0,1,2", "seed=3"), "seed: is given twice, the second time", "seed=3"),
    "an unknown key": (("+x=1", "seed=0,1"), "x: there is no such key", ""),
    "several names": (("name=mine_${hidden}", "hidden=8,16"), "name: is the same for all", ""),
    "several folders": (("store.folder=a,b", "hidden=8,16"), "store: is the same for all", ""),
    "another launcher": (
        ("hydra/launcher=basic", "cell=rnn,gru"),
        "hydra/launcher: this tool trains points by executors",
        "",
    ),
    "joblib": (("hydra/launcher=joblib", "cell=rnn,gru"), "use executor=local", ""),
    "both of another": (
        ("hydra/sweeper=basic", "hydra/launcher=basic", "cell=rnn,gru"),
        "hydra/launcher: this tool trains points by executors",
        "",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_in_one_sentence(tmp_path: Path, name: str):
    arguments, *told = REFUSED[name]
    named = [] if name == "several names" else ["name=refused"]
    ran = call(tmp_path, "study", "-m", *arguments, "updates=2", "tracker=[]", *named)
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert all(each in ran.stderr for each in told), ran.stderr
    assert not (tmp_path / "outputs").exists()


def test_whole_numbers_are_those_of_the_constructors_type():
    one, other = (
        study.plan(None, "tracker=[]", f"clip.threshold={threshold}", seed=0)
        for threshold in ("1", "1.0")
    )
    assert [point.id for point in one.points] == [point.id for point in other.points]
    assert type(one.points[0].config["clip"]["threshold"]) is float
    # a setting whose type is a whole number stays one
    node = {"_target_": "study.tasks.adding.Adding", "steps": 8, "solved": 1}
    assert typed({"task": node})["task"] == {**node, "solved": 1.0}
    assert type(typed({"task": node})["task"]["steps"]) is int


def test_idle_settings_are_one_point(tmp_path: Path):
    without, idle = (
        study.plan(None, "tracker=[]", f"dropout={share}", depth=1, seed=0) for share in (0, 0.3)
    )
    assert without.points[0].id == idle.points[0].id
    deep = study.plan(None, "tracker=[]", "dropout=0.3", depth=2, seed=0)
    assert deep.points[0].id != study.plan(None, "tracker=[]", depth=2, seed=0).points[0].id
    with pytest.raises(StudyError, match="changes nothing here"):
        study.plan(None, "tracker=[]", dropout=[0, 0.3], depth=[1, 2], seed=0)


def test_what_trains_is_part_of_the_identity(tmp_path: Path):
    """An executor of the user's own may train anything: its points are not those of our engine."""
    create("executor", "own_trains", tmp_path)
    ours, theirs = (
        study.plan(None, "tracker=[]", executor=name, seed=0, config_dirs=[tmp_path])
        for name in ("local", "own_trains")
    )
    assert ours.points[0].id != theirs.points[0].id
    assert study.plan(None, "tracker=[]", executor="slurm", seed=0).points[0].id in {
        ours.points[0].id
    }


def test_points_of_a_compiled_cell_whose_numbers_changed_are_others(
    monkeypatch: pytest.MonkeyPatch,
):
    def ids() -> list[str]:
        return [
            study.plan(None, "tracker=[]", f"kernel={kernel}", cell=cell, seed=0).points[0].id
            for cell in ("mingru", "lstm")
            for kernel in ("native", "reference")
        ]

    now = ids()
    monkeypatch.setattr(MinGRU, "native_version", MinGRU.native_version + 1)
    changed = [one != other for one, other in zip(now, ids(), strict=True)]
    assert changed == [True, False, False, False]
