"""A search sees validation data only."""

from __future__ import annotations

from typing import Any

import pytest

from study.config import tasks as task_module
from study.search.findings import summary
from study.tasks.digits import Digits
from study.tasks.shared.arrays import Arrays
from study.tasks.shared.generated import Generated
from tests.search.helpers import SMALL, plan, searched
from tests.support.helpers import run

LR = ["search=lr", "optimizer.lr=interval(1e-3,1e-1)", "search.trials=4", *SMALL]
ADDING = [
    "search=lr",
    "search.trials=4",
    "task=adding",
    "task.steps=8",
    "task.examples=16",
    *SMALL[1:],
]


class Seal:
    """Test data behind a seal.

    `broken`: what was read of them, but for the check at loading and the data's hash.
    """

    def __init__(self) -> None:
        self.open, self.broken = False, []

    def opened(self, call: Any) -> Any:
        def inside(*arguments: Any) -> Any:
            before, self.open = self.open, True
            try:
                return call(*arguments)
            finally:
                self.open = before

        return inside


class Sealed:
    """Stands in for a batch: whoever reads anything of it breaks the seal, also where what is
    raised is swallowed.
    """

    def __init__(self, part: Any, seal: Seal) -> None:
        self.part, self.seal = part, seal

    def __getattr__(self, name: str) -> Any:
        if not self.seal.open:
            self.seal.broken.append(name)
            raise AssertionError("a search has read test data")
        return getattr(self.part, name)


@pytest.fixture
def seal(monkeypatch):
    """Every task that is loaded from here on has sealed test data, whoever asks for them and
    however.
    """
    seal, load, split = Seal(), Digits.load, Generated.split

    def loaded(task):
        load(task)
        task.parts["test"] = Sealed(task.parts["test"], seal)

    monkeypatch.setattr(Digits, "load", loaded)
    monkeypatch.setattr(
        Generated,
        "split",
        lambda task, part: Sealed(split(task, part), seal) if part == "test" else split(task, part),
    )
    monkeypatch.setattr(Arrays, "data_hash", seal.opened(Arrays.data_hash))
    # shapes and finiteness, once a process
    monkeypatch.setattr(task_module, "_check_examples", seal.opened(task_module._check_examples))
    task_module._load_task.cache_clear()
    yield seal
    task_module._load_task.cache_clear()


@pytest.mark.parametrize(
    "arguments",
    [
        [*LR, "search.together=1"],
        [*LR, "search.together=4"],
        [*LR, "search.replicates=3"],
        [
            *LR,
            "search/pruner=median",
            "search.pruner.n_startup_trials=1",
            "search.pruner.n_warmup_steps=0",
            "search.budget=trials",
        ],
        [*LR, "search.objectives=[score,health,cost]"],
        [*LR, "search/sampler=random", "batch=choice(8,16)", "depth=range(1,3)"],
        ADDING,
    ],
    ids=["alone", "together", "replicates", "pruned", "several objectives", "structure", "drawn"],
)
def test_no_path_of_a_search_reads_test_data(tmp_path, seal, arguments):
    spec, _ = plan(tmp_path, *arguments)
    slots, said = searched(spec)
    assert [event["event"] for event in said].count("stored") == 4, said
    assert seal.broken == []
    assert summary(spec, slots)["arms"][0]["best"]["score"] > 0.05


@pytest.mark.parametrize("arguments", [LR, ADDING], ids=["kept", "drawn"])
def test_the_seal_breaks_where_a_study_reads_its_test_data(tmp_path, seal, arguments):
    """The same seal, and the engine's own evaluation of a point."""
    from study.search.spec import trial_request

    spec, _ = plan(tmp_path, *arguments)
    points = trial_request(spec, spec.arms[0], 0, spec.arms[0].default).points
    with pytest.raises(AssertionError, match="test data"):
        run(points, tmp_path)
    assert seal.broken
