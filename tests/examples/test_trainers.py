"""The trainers of tests/examples, and the one that study.new writes: planned, run, resumed."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

import study
from reports.data.study import Study
from study.battery import check_trainer
from study.new import main as write_piece
from study.store import Store
from tests.reports.page_text import page_text

pytestmark = pytest.mark.slow

EXAMPLES = Path(__file__).parent / "trainers"
LOOP = ("tracker=[]", "task.form=row", "updates=40", "validate_every=10", "executor.workers=1")


def of_loop(folder: Path, name: str, config: Path):
    return study.plan(
        None,
        *LOOP,
        f"store.folder={folder}",
        "name=loops",
        trainer=name,
        hidden=[8, 16],
        seed=range(2),
        config_dirs=[config],
    )


@pytest.mark.parametrize("name", ["plain", "lightning"])
def test_a_loop_is_run_and_resumed(tmp_path, name):
    if name == "lightning":
        pytest.importorskip("pytorch_lightning")
    config = EXAMPLES if name == "lightning" else tmp_path / "mine"
    if name == "plain":
        write_piece(["trainer", name, "--into", str(config)])
    plan = of_loop(tmp_path, name, config)
    check_trainer(plan.points)
    result = study.run(plan)
    assert list(result.points["status"]) == ["done"] * 4
    assert result.points["score"].gt(0.15).all()
    assert result.table("states")["id"].nunique() == 4
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "All-NaN")
        assert Path(result.report()).exists()


def test_a_trainer_needs_no_gradients(tmp_path):
    plan = study.plan(
        "echo_state",
        "tracker=[]",
        "executor.workers=1",
        f"store.folder={tmp_path}",
        config_dirs=[EXAMPLES],
    )
    result = study.run(plan)
    assert list(result.points["status"]) == ["done"] * 6
    assert result.points["score"].gt(0.8).all()
    said = page_text(Study(Store(tmp_path / "echo_state")))
    assert "nn.LSTM" not in said["summary"] and "=own" not in said["summary"]
    assert "Tune the learning rate" not in said["summary"]
    design = said["design"]
    assert "optimizer.lr" not in design and "dropout" not in design
    assert "a seed is what the trainer of a network may draw from" in design
    assert "what it does with settings that are no factors is not known" in design
