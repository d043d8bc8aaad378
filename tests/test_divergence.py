"""Every way a run can end badly, provoked by real training: non-finite in each of its places, and silent."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from study.interfaces import Point
from tests.helpers import point, run
from tests.test_engine import CELLS, NO_CLIP

DIGITS = {
    "_target_": "study.tasks.digits.Digits", "form": "row", "permuted": False, "lag": None, "validation": 360, "test": 360, "split_seed": 0, "solved": 0.9
}  # fmt: skip
LAST = {"_target_": "study.readouts.last.Last"}


def sgd(lr: float, momentum: float) -> dict[str, Any]:
    return {"_target_": "study.optimizers.sgd.SGD", "lr": lr, "momentum": momentum, "weight_decay": 0.0}


def digits(seed: int, id: str, lr: float, **changes: Any) -> Point:
    shared = {"task": DIGITS, "readout": LAST, "cell": CELLS["rnn"], "clip": NO_CLIP, "hidden": 32, "batch": 64, "updates": 150, "validate_every": 10}
    return point(seed, id, **(shared | changes), optimizer=sgd(lr, 0.9))


def test_silent_divergence_after_progress_and_before_any(tmp_path):
    """A plain network on digits by row under SGD with momentum: every number stays finite, and the run is lost."""
    back = {f"back{seed}": digits(seed, f"back{seed}", 0.4) for seed in range(6)}  # chaotic: which of them learn first depends on the processor
    store = run([*back.values(), digits(0, "blown", 1.0), digits(0, "calm", 0.05)], tmp_path)
    rows = {id: store.result(id)["row"] for id in (*back, "blown", "calm")}
    assert {id: row["status"] for id, row in rows.items()} == dict.fromkeys(rows, "done"), "no NaN anywhere"
    loss = {id: store.table("history", [id])["val_loss"].dropna() / math.log(10) for id in rows}
    assert min(loss[id].min() for id in back) < 0.8, "some had learned"
    assert all(loss[id].iloc[-1] > 0.95 for id in back)
    assert {rows[id]["outcome"] for id in back} == {"silently diverged"}
    assert loss["blown"].min() > 0.95, "it never learned"
    assert loss["blown"].iloc[-1] > 2
    assert rows["blown"]["outcome"] == "silently diverged"
    assert rows["calm"]["outcome"] in ("learning", "solved")


@pytest.mark.parametrize("where", ["state", "loss", "gradient", "update"])
def test_the_first_tensor_that_was_not_finite_is_named(tmp_path, monkeypatch, where):
    """ReLU states overflow; with finite states the squared error does; with a finite loss its gradient; then the step."""
    import study.training as module

    real = module.loss_and_gradients

    def broken(training: Any, params: torch.Tensor, update: int) -> tuple[torch.Tensor, torch.Tensor, list[Any]]:
        loss, grads, reached = real(training, params, update)
        if update == 3 and where == "loss":
            loss = loss + torch.tensor([math.nan, 0.0])
        if update == 3 and where == "gradient":
            grads = grads.index_put((torch.tensor(0), torch.tensor(training.model.slices["layer1.weight_h"][0].start)), torch.tensor(math.inf))
        if where == "update":  # a finite gradient and a finite rate, whose product is none
            grads = grads * torch.tensor([[1e38 if update == 3 else 1e-4], [1.0]])
        return loss, grads, reached

    monkeypatch.setattr(module, "loss_and_gradients", broken)
    monkeypatch.setattr("study.postmortem.loss_and_gradients", broken)
    huge = 1e30 if where == "state" else 0.01 if where != "update" else 1e4
    bad = point(0, "bad", cell=CELLS["rnn_relu"], clip=NO_CLIP, optimizer=sgd(huge, 0.0))
    store = run([bad, point(1, "good", cell=CELLS["rnn_relu"], clip=NO_CLIP, optimizer=sgd(0.01, 0.0))], tmp_path)
    row, history = store.result("bad")["row"], store.table("history", ["bad"])
    named = {
        "state": ("layer1.h at step", "outputs", "loss"),
        "loss": ("loss",),
        "gradient": ("gradient of layer1.weight_h",),
        "update": ("update of the weights",),
    }
    assert row["first_nonfinite"].startswith(named[where])
    if where in ("loss", "gradient"):
        assert row["diverged_at"] == 3
    finite = history["grad_norm"].dropna().to_numpy(dtype=float)
    finite = finite[np.isfinite(finite)]
    assert row["last_grad_norm"] == finite[-1]
    assert f"at update {row['diverged_at'] + 1}: {row['first_nonfinite']}; last finite gradient norm {finite[-1]:.3g}" == row["reason"].removeprefix(
        "not finite "
    )
    assert store.result("good")["row"]["status"] == "done"


def test_layers_have_verdicts_of_their_own_and_the_network_decides(tmp_path):
    store = run([point(0, "a", depth=2)], tmp_path)
    layers = store.table("layers", ["a"]).set_index("layer")
    row = store.result("a")["row"]
    assert list(layers.index) == ["network", "1", "2"]
    for name in ("state_init", "state", "verdict", "D", "U", "D_init", "horizon"):
        assert layers.loc["network", name] == row[name]
    states = store.table("states", ["a"])
    for layer, own in states.groupby("layer"):
        last = own.sort_values("stage").tail(3)
        assert layers.loc[layer, "D"] == np.median(last["D"])
        assert layers.loc[layer, "D_low"] <= layers.loc[layer, "D"] <= layers.loc[layer, "D_high"]
        assert layers.loc[layer, "state_init"] == own.sort_values("stage")["state"].iloc[0]
    assert (layers["lag"] == 8).all(), "the task's lag of 9 is longer than the 8 steps back that a sequence of 9 has"
