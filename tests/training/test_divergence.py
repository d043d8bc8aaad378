"""Every way a run can end badly, provoked by real training: non-finite in each of its places, and
silent.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from study.health.verdicts import OutcomeLimits, Run, outcome, spike_update
from study.interfaces import Batch, Point
from study.training.results import _largest
from tests.support.helpers import HEALTH, Sum, point, run
from tests.training.test_engine import CELLS, NO_CLIP

DIGITS = {
    "_target_": "study.tasks.digits.Digits",
    "form": "row",
    "permuted": False,
    "lag": None,
    "validation": 360,
    "test": 360,
    "split_seed": 0,
    "solved": 0.9,
}
LAST = {"_target_": "study.readouts.last.Last"}


def sgd(lr: float, momentum: float) -> dict[str, Any]:
    return {
        "_target_": "study.optimizers.sgd.SGD",
        "lr": lr,
        "momentum": momentum,
        "weight_decay": 0.0,
    }


def digits(seed: int, id: str, lr: float, **changes: Any) -> Point:
    shared = {
        "task": DIGITS,
        "readout": LAST,
        "cell": CELLS["rnn"],
        "clip": NO_CLIP,
        "hidden": 32,
        "batch": 64,
        "updates": 150,
        "validate_every": 10,
    }
    return point(seed, id, **(shared | changes), optimizer=sgd(lr, 0.9))


def test_silent_divergence_after_progress_and_before_any(tmp_path):
    """A plain network on digits by row under SGD with momentum: every number stays finite, and the
    run is lost.
    """
    # chaotic: which of them learn first depends on the processor
    back = {f"back{seed}": digits(seed, f"back{seed}", 0.4) for seed in range(6)}
    store = run([*back.values(), digits(0, "blown", 1.0), digits(0, "calm", 0.05)], tmp_path)
    rows = {id: store.result(id)["row"] for id in (*back, "blown", "calm")}
    assert {id: row["status"] for id, row in rows.items()} == dict.fromkeys(rows, "done"), (
        "no NaN anywhere"
    )
    loss = {id: store.table("history", [id])["val_loss"].dropna() / math.log(10) for id in rows}
    assert min(loss[id].min() for id in back) < 0.8, "some had learned"
    assert all(loss[id].iloc[-1] > 0.95 for id in back)
    assert {rows[id]["outcome"] for id in back} == {"silently diverged"}
    assert loss["blown"].min() > 0.95, "it never learned"
    assert loss["blown"].iloc[-1] > 2
    assert rows["blown"]["outcome"] == "silently diverged"
    assert rows["calm"]["outcome"] in ("learning", "solved")


class Shock(Sum):
    """Targets are ±1 at random, which nobody can learn; those of update 40 are 300 times as large,
    as one broken file among many would be.
    """

    def sample(self, stream: Any, update: int, batch: int) -> Batch:
        x = torch.rand(batch, self.steps, self.inputs, generator=stream(update))
        y = torch.randint(0, 2, (batch, 1), generator=stream(update, 1)) * 2.0 - 1
        return Batch(x=x, y=300 * y if update == 40 else y)


def test_silent_divergence_by_a_gradient_spike_alone_and_by_weights_that_blew_up_alone(tmp_path):
    """No progress to lose, no loss far above the baseline; each is told by the one sign it has, and
    not without it.
    """
    shock = point(
        0,
        "spike",
        cell=CELLS["rnn"],
        clip=NO_CLIP,
        optimizer=sgd(0.03, 0.0),
        batch=64,
        updates=150,
        validate_every=10,
    )
    shock = replace(
        shock,
        config={
            **shock.config,
            "task": {
                "_target_": "tests.training.test_divergence.Shock",
                "steps": 9,
                "inputs": 1,
                "every_step": False,
                "lag": 9,
            },
        },
    )
    calm = replace(
        shock,
        id="calm",
        config={**shock.config, "clip": {"_target_": "study.clipping.norm.Norm", "threshold": 1.0}},
    )
    large = {"_target_": "study.initializers.normal.Normal", "std": 0.4}
    grown = digits(
        1, "grown", 0.05, task={**DIGITS, "form": "pixel"}, initializer=large, batch=32, updates=60
    )
    for points, id, sign in (([shock, calm], "spike", "spike"), ([grown], "grown", "radius_blown")):
        store = run(points, tmp_path)
        row, node = store.result(id)["row"], dict(HEALTH)
        history = store.table("history", [id])
        loss = history["val_loss"].dropna() / row["baseline_loss"]
        assert row["status"] == "done"
        assert loss.min() >= 0.95, "it never learned"
        assert max(loss.iloc[-2:]) < 2, "nor is it far above the baseline"
        assert row["outcome"] == "silently diverged"
        of = Run(
            diverged=False,
            solved=False,
            updates=[],
            val_loss=loss.tolist(),
            baseline_loss=1.0,
            grad_norm=history["grad_norm"].tolist(),
            **{
                name: _largest(store.table("measures", [id]), quantity)
                for name, quantity in (("radius", "spectral_radius"), ("saturation", "saturation"))
            },
        )
        judged = [
            outcome(
                of,
                OutcomeLimits(
                    **{name: (node | change)[name] for name in OutcomeLimits.__dataclass_fields__}
                ),
            )
            for change in ({}, {sign: math.inf})
        ]
        assert judged == ["silently diverged", "stuck"]
    assert spike_update(store.table("history", ["spike"])["grad_norm"].tolist(), 6.0) == 40
    assert store.result("calm")["row"]["outcome"] == "stuck", "clipped, the same spike does nothing"


def weights(readout_std: float) -> dict[str, Any]:
    readout = {"_target_": "study.initializers.normal.Normal", "std": readout_std}
    return {
        "input": {"_target_": "study.initializers.xavier_uniform.XavierUniform"},
        "readout": readout,
        "forget_bias": 1.0,
    }


def identity(input_std: float) -> dict[str, Any]:
    return {
        "_target_": "study.initializers.identity.Identity",
        "alpha": 1.0,
        "input_std": input_std,
    }


@pytest.mark.parametrize(
    ("named", "update", "changes"),
    [
        ("layer1.h at step ", 1, {"optimizer": sgd(1e30, 0.0)}),
        ("outputs at step 1", 0, {"initializer": identity(10.0), "weights": weights(1e38)}),
        ("loss", 0, {"weights": weights(1e25)}),
        ("gradient of layer1.bias", 0, {"initializer": identity(1e-8), "weights": weights(1e24)}),
        ("update of the weights", 0, {"weights": weights(1e3), "optimizer": sgd(1e38, 0.0)}),
    ],
)
def test_the_first_tensor_that_was_not_finite_is_named(tmp_path, named, update, changes):
    """ReLU states overflow; with finite states the outputs; with these the squared error; with a
    finite loss its gradient; then the step.
    """
    shared = {"cell": CELLS["rnn_relu"], "clip": NO_CLIP, "optimizer": sgd(0.01, 0.0)}
    store = run([point(0, "bad", **(shared | changes)), point(1, "good", **shared)], tmp_path)
    row, history = store.result("bad")["row"], store.table("history", ["bad"])
    assert row["first_nonfinite"].startswith(named)
    assert row["diverged_at"] == update
    finite = history["grad_norm"].dropna().to_numpy(dtype=float)
    finite = finite[np.isfinite(finite)]
    if len(finite):
        assert row["last_grad_norm"] == finite[-1]
    else:
        assert row["last_grad_norm"] is None
    last = (
        f"last finite gradient norm {finite[-1]:.3g}"
        if len(finite)
        else "there was no finite gradient norm"
    )
    assert row["reason"] == f"not finite at update {update + 1}: {row['first_nonfinite']}; {last}"
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
    assert (layers["lag"] == 8).all(), (
        "the task's lag of 9 is longer than the 8 steps back that a sequence of 9 has"
    )
