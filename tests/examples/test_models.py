"""A model of the user's own beside the stack: what its page says is true of both."""

from __future__ import annotations

import shlex

import pytest

import study
from reports.data.study import Study
from study.new import main as write_piece
from study.store import Store
from tests.reports.page_text import page_text

pytestmark = pytest.mark.slow


def test_the_page_says_nothing_of_the_stack_about_a_model(tmp_path):
    write_piece(["model", "mine_model", "--into", str(tmp_path / "mine")])
    plan = study.plan(
        None,
        "tracker=[]",
        "task.form=row",
        "updates=150",
        "hidden=16",
        "executor.workers=1",
        f"store.folder={tmp_path}",
        "name=models",
        model=["stack", "mine_model"],
        seed=range(2),
        config_dirs=[tmp_path / "mine"],
    )
    result = study.run(plan)
    assert list(result.points["status"]) == ["done"] * 4
    said = page_text(Study(Store(tmp_path / "models")))
    assert "layer 1 is" in said["design"] and "not used: cell, readout" in said["design"]
    assert "readout | last" not in said["design"]  # of the stack alone
    recipe = said["summary"]
    first = "mine_model" if "Recommended: mine_model" in said["recipe"] else "lstm"
    command = recipe[recipe.index("python -m study") : recipe.index("Take the trained")]
    typed = shlex.split(command.replace("\\\n", " "))
    assert "readout=own" not in typed
    if first == "mine_model":
        assert "model=mine_model" in typed and not any(w.startswith("cell=") for w in typed)
        assert "nn.LSTM" not in recipe
