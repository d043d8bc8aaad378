"""A search sees validation data only."""

from __future__ import annotations

import pytest

from study.grouping import load_task
from study.search.findings import summary
from study.tasks.arrays import Arrays
from tests.helpers import run
from tests.search.helpers import SMALL, plan, searched

LR = ["search=lr", "optimizer.lr=interval(1e-3,1e-1)", "search.trials=4", *SMALL]


@pytest.fixture
def asked_for(monkeypatch):
    """The splits that were asked for; asking for the test data raises, and behind it there are none."""
    parts: list[str] = []
    split = Arrays.split

    def guarded(task, part):
        parts.append(part)
        if part == "test":
            raise AssertionError("a search has read test data")
        return split(task, part)

    monkeypatch.setattr(Arrays, "split", guarded)
    return parts


@pytest.mark.parametrize(
    "further",
    [
        ["search.together=1"],
        ["search.together=4"],
        ["search.replicates=3"],
        ["search/pruner=median", "search.pruner.n_startup_trials=1", "search.pruner.n_warmup_steps=0", "search.budget=trials"],
        ["search.objectives=[score,health,cost]"],
        ["search/sampler=random", "batch=choice(8,16)", "depth=range(1,3)"],
    ],
    ids=["alone", "together", "replicates", "pruned", "several objectives", "structure"],
)
def test_no_path_of_a_search_reads_test_data(tmp_path, asked_for, further):
    spec, _ = plan(tmp_path, *LR, *further)
    slots, said = searched(spec)
    assert [event["event"] for event in said].count("stored") == 4, said
    assert "validation" in asked_for
    assert "test" not in asked_for
    assert summary(spec, slots)["arms"][0]["best"]["score"] > 0.05


def test_the_guard_sees_a_study_read_its_test_data(tmp_path, asked_for):
    """The same guard fires where test data are read: the engine's own evaluation of a point."""
    from study.search.spec import asked

    spec, _ = plan(tmp_path, *LR)
    points = asked(spec, spec.arms[0], 0, spec.arms[0].default).points
    load_task(points[0].config["task"])
    with pytest.raises(AssertionError, match="test data"):
        run(points, tmp_path)
