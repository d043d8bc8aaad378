"""What figures draw: hue for the cell alone, curves by recipe, what decides a verdict."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from reports.analysis.clip_limits import clip_limits
from reports.blocks import Figure
from reports.data.profiles import deciding
from reports.data.study import Study
from reports.documents.sections import build, declared_sections
from reports.figures.curves import LOST
from reports.figures.hues import hue_key, hue_of, hues
from reports.figures.theme import INK
from reports.formatting import level
from tests.reports.synthetic import edit_points, make

FACTORS = {"initializer": ["orthogonal", "normal"], "cell": ["rnn", "gru"]}
BUILT = {one.name: one for one in declared_sections()}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    """4 recipes of 3 seeds; one network of the first is lost."""
    folder = tmp_path_factory.mktemp("drawn") / "drawn"
    store = make(folder, factors=FACTORS, steps=16, updates=60, examples=20)
    lost = iter([True])
    edit_points(store, lambda row: {"outcome": "silently diverged"} if next(lost, False) else {})
    return Study(store)


def test_hue_is_the_cells_and_else_the_first_factors() -> None:
    assert hue_key(FACTORS) == "cell" and hue_key({"task": [], "clip": []}) == "clip"
    assert hue_key({}) == ""
    assert set(hues(FACTORS, "initializer", FACTORS["initializer"]).values()) == {INK}
    assert len(set(hues(FACTORS, "cell", FACTORS["cell"]).values())) == 2
    assert hue_of(FACTORS, {"cell": "gru"}) == hues(FACTORS, "cell", FACTORS["cell"])["gru"]
    assert hue_of(FACTORS, {"initializer": "normal"}) == INK == hue_of({}, {})


def lines(study: Study, name: str, **where: Any) -> list[Any]:
    section = build(BUILT[name]).render(study)
    (figure, *_) = [block for block in section.blocks if isinstance(block, Figure)]
    return [line for axis in figure.picture.build(False).axes for line in axis.lines]


def test_curves_are_of_recipes_and_lost_networks_are_red(study: Study) -> None:
    drawn = lines(study, "learning_curves")
    red = [line for line in drawn if line.get_color() == LOST]
    own = hues(study.factors, "cell", study.levels("cell")).values()
    medians = [line for line in drawn if line.get_color() in own and len(line.get_xdata()) > 1]
    kept = [line for line in drawn if line.get_color() in own and len(line.get_xdata()) == 1]
    assert len(red) == 2, "one network, as loss and as score"
    assert len(medians) == len(kept) == 2 * len(study.arms)


def test_what_decides_a_verdict_is_the_networks_own_line(study: Study) -> None:
    rows = deciding(study.table("profile"), ["cell"])
    assert set(rows["last"]) == {False, True}
    at_one = rows.loc[rows["lag"] == 1, "value"].to_numpy(dtype=float)
    assert np.allclose(at_one, 0.0), "relative to lag 1"
    black = [line for line in lines(study, "gradient_flow") if line.get_color() == INK]
    assert len(black) >= 2 * len(study.arms), "first and last probe of every panel"


def test_norms_that_are_clipped_to_are_read_from_the_configurations() -> None:
    rules = {
        "a": {"_target_": "study.clipping.norm.Norm", "threshold": 1.0},
        "b": {"_target_": "study.clipping.value.Value", "threshold": 0.1},
        "c": {"_target_": "study.clipping.norm.Norm", "threshold": 0.5},
    }
    stored: Any = SimpleNamespace(
        store=SimpleNamespace(config=lambda id: {"clip": rules[id]} if id in rules else {})
    )
    points = pd.DataFrame({"id": ["a", "b", "c", "own"], "arm": range(4)})
    assert clip_limits(stored, points) == [0.5, 1.0], "a limit of single values is no norm"


def test_what_is_on_or_off_reads_as_words() -> None:
    assert [level("tuned", text) for text in ("True", "False")] == ["tuned", "default"]
    assert level("model.bidirectional", "True") == "bidirectional on"
    assert level("depth", "2") == "depth 2"
