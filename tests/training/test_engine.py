"""The engine: a point's numbers depend on nothing but the point."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from study.config.setup import set_up
from study.interfaces import Point
from study.machine.provenance import failure
from study.store import Store
from study.training.engine import store_failure
from study.training.evaluation import evaluate
from study.training.loop import train
from study.training.probing import probe_batch
from study.training.state import prepare, with_stages
from study.training.step import training_batch
from tests import ROOT
from tests.support.helpers import HEALTH, point, run

CELLS = {
    "rnn": {"_target_": "study.cells.rnn.RNN", "nonlinearity": "tanh"},
    "rnn_relu": {"_target_": "study.cells.rnn.RNN", "nonlinearity": "relu"},
    "lstm": {"_target_": "study.cells.lstm.LSTM"},
    "gru": {"_target_": "study.cells.gru.GRU"},
    "gru_reset_after": {"_target_": "study.cells.gru_reset_after.GRUResetAfter"},
}
NORMAL = {"_target_": "study.initializers.normal.Normal", "std": "auto"}
NO_CLIP = {"_target_": "study.clipping.none.NoClip"}
TABLES = ("history", "profile", "states", "layers", "measures", "traces", "test")


def same_point(one: Store, other: Store, id: str, tables: tuple[str, ...] = TABLES) -> None:
    """Every number that is stored, bit for bit, but for the time it took."""
    for table in tables:
        pd.testing.assert_frame_equal(
            one.table(table, [id]), other.table(table, [id]), check_exact=True
        )
    rows = [
        {key: value for key, value in store.result(id)["row"].items() if key != "seconds"}
        for store in (one, other)
    ]
    assert rows[0] == rows[1]
    for name, value in one.weights(id).items():
        np.testing.assert_array_equal(value, other.weights(id)[name])


def members(**shared: Any) -> list[Point]:
    """Three points of one group that differ in everything a group allows."""
    slow = {
        "_target_": "study.optimizers.adam.Adam",
        "lr": 0.001,
        "beta1": 0.9,
        "beta2": 0.999,
        "eps": 1e-8,
        "weight_decay": 0.01,
    }
    value = {"_target_": "study.clipping.value.Value", "threshold": 0.05}
    return [
        point(0, "a", **shared),
        point(1, "b", **shared, initializer=NORMAL, clip=NO_CLIP),
        point(2, "c", **shared, optimizer=slow, clip=value),
    ]


@pytest.mark.parametrize(
    ("name", "kernel"),
    [*((name, "auto") for name in CELLS), ("lstm", "reference"), ("gru", "reference")],
)
@pytest.mark.parametrize(
    ("depth", "hidden", "batch", "inputs"),
    [(1, 7, 21, 1), (2, 8, 16, 1), (2, 5, 18, 3), (1, 32, 5, 3)],
)
def test_numbers_do_not_depend_on_company(tmp_path, name, kernel, depth, hidden, batch, inputs):
    """M = 1, 2, 3 with inputs of width 1 and 3, outputs of width 1 and odd sizes, bit for bit."""
    task = {**point().config["task"], "inputs": inputs}
    points = members(
        cell=CELLS[name],
        depth=depth,
        hidden=hidden,
        batch=batch,
        dropout=0.3,
        task=task,
        kernel=kernel,
    )
    three = run(points, tmp_path / "three")
    for count in (1, 2):
        fewer = run(points[3 - count :], tmp_path / f"{count}")
        for each in points[3 - count :]:
            same_point(three, fewer, each.id)
    backwards = run(points[::-1], tmp_path / "backwards")
    same_point(three, backwards, "a")


@pytest.mark.parametrize(
    ("name", "kernel", "readout"),
    [
        ("lstm", "native", "attention.Attention"),
        ("gru", "fused", "attention.Attention"),
        ("rnn", "fused", "mean.Mean"),
    ],
)
def test_readouts_of_many_steps_know_no_company(tmp_path, name, kernel, readout):
    """Sums over steps and softmax, on the memory layouts of all kinds of kernels; one hidden size
    that is trained one by one.
    """
    for hidden, batch in ((7, 5), (32, 3)):
        points = members(
            cell=CELLS[name],
            hidden=hidden,
            batch=batch,
            kernel=kernel,
            readout={"_target_": f"study.readouts.{readout}"},
        )
        three, alone = (
            run(points, tmp_path / f"three-{hidden}"),
            run(points[2:], tmp_path / f"alone-{hidden}"),
        )
        same_point(three, alone, "c")


def test_numbers_are_the_same_in_another_process(tmp_path):
    here = run(members(), tmp_path / "here")
    code = (
        "import sys; from pathlib import Path; from tests.training.test_engine import run, members;"
        " run(members(), Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "there")], check=True, cwd=ROOT)
    for id in "abc":
        same_point(here, Store(tmp_path / "there"), id)


def test_probes_change_no_number(tmp_path):
    probed, plain = run(members(), tmp_path / "probed"), run(members(probe={}), tmp_path / "plain")
    for id in "abc":
        pd.testing.assert_frame_equal(
            probed.table("history", [id]), plain.table("history", [id]), check_exact=True
        )
        assert probed.result(id)["row"]["score"] == plain.result(id)["row"]["score"]
        assert plain.result(id)["row"].get("verdict") is None
        assert len(plain.table("states", [id])) == 0


def test_there_is_no_gradient_between_members():
    training = prepare(members(), "cpu")
    params = training.params.clone().requires_grad_()
    batch = training_batch(training, 0)
    loss = training.task.loss(
        training.model.forward(training.model.named(params), batch.x, None), batch
    )
    for member in range(3):
        (grad,) = torch.autograd.grad(loss[member], params, retain_graph=True)
        for other in range(3):
            assert bool((grad[other] != 0).any()) == (other == member)


def test_a_member_that_is_not_finite_is_frozen_and_its_neighbours_go_on(tmp_path):
    def sgd(lr: float) -> dict[str, Any]:
        return {
            "_target_": "study.optimizers.sgd.SGD",
            "lr": lr,
            "momentum": 0.0,
            "weight_decay": 0.0,
        }

    relu, free = CELLS["rnn_relu"], NO_CLIP
    points = [
        point(0, "calm", cell=relu, clip=free, optimizer=sgd(0.01)),
        point(1, "wild", cell=relu, clip=free, optimizer=sgd(1e12)),
    ]
    both, alone = run(points, tmp_path / "both"), run(points[:1], tmp_path / "alone")
    same_point(both, alone, "calm")
    row = both.result("wild")["row"]
    assert row["status"] == row["outcome"] == "diverged"
    assert 0 < row["diverged_at"] < 6
    assert row["first_nonfinite"].startswith(("layer1.h at step", "loss", "outputs", "gradient of"))
    assert row["first_nonfinite"] in row["reason"]
    assert np.isfinite(row["max_grad_norm"])
    history = both.table("history", ["wild"])
    assert history["update"].max() == row["diverged_at"]
    assert both.table("states", ["wild"])["update"].max() <= row["diverged_at"]
    assert all(np.isfinite(value).all() for value in both.weights("wild").values())
    assert both.result("calm")["row"]["status"] == "done"
    probed = both.table("states", ["wild"]).query("layer == 'network'").dropna(subset=["D", "U"])
    assert row["D"] == probed["D"].iloc[-1], "its last finite probe, not a median of three"


def test_test_data_are_read_only_after_training(monkeypatch):
    training = prepare(members(), "cpu")
    asked = []
    original = training.task.split
    monkeypatch.setattr(
        training.task, "split", lambda part: asked.append(part) or original(part), raising=False
    )
    train(training, lambda update: None)
    assert set(asked) == {"validation"}
    evaluate(training)
    assert asked.count("test") == 2


def test_scored_weights_are_those_of_the_best_validation(tmp_path):
    store = run(members(updates=12, validate_every=2), tmp_path)
    for id in "abc":
        row, history = store.result(id)["row"], store.table("history", [id])
        best = history["val_score"].min()  # mse: lower is better
        assert row["val_score"] == best
        assert row["val_loss"] == history["val_loss"][history["val_score"].idxmin()]
        assert row["score"] == pytest.approx(store.table("test", [id])["value"].mean())


def test_history_counts_clipped_updates_like_an_independent_recount(tmp_path):
    store = run(members(updates=20), tmp_path)
    for id, threshold in (("a", 1.0), ("b", np.inf)):
        history = store.table("history", [id]).dropna(subset=["grad_norm"])
        assert len(history) == 20
        over = history["grad_norm"] > threshold
        assert store.result(id)["row"]["clip_rate"] == pytest.approx(over.mean(), abs=1 / 20)
        np.testing.assert_allclose(
            history["clip_scale"][over] * history["grad_norm"][over], 1.0, rtol=1e-5
        )
        assert (
            history["clip_scale"][~over & (history["grad_norm"] < threshold * 0.999)] == 1
        ).all()
    assert store.result("b")["row"]["clip_rate"] == 0
    assert (store.table("history", ["c"])["clip_cosine"].dropna() < 1).any(), (
        "clipping by value turns the gradient"
    )


def test_stages_are_shares_of_the_updates_at_least_one_apart():
    def stages(updates: int) -> dict[int, int]:
        return with_stages((setup := set_up(point(updates=updates).config)).probes, setup.updates)[
            "transport"
        ][1]

    assert stages(400) == {0: 0, 4: 1, 12: 2, 40: 3, 120: 4, 240: 5, 320: 6, 400: 7}
    assert list(stages(10)) == [0, 1, 2, 3, 4, 6, 8, 10]
    assert list(stages(2)) == [0, 1, 2]
    assert list(stages(1)) == [0, 1]


def test_seeds_share_the_data_order_between_arms_but_not_the_weights():
    training = prepare([point(3, "a"), point(3, "b", initializer=NORMAL), point(4, "c")], "cpu")
    batch = training_batch(training, 5)
    assert torch.equal(batch.x[0], batch.x[1])
    assert not torch.equal(batch.x[0], batch.x[2])
    named = training.model.named(training.params)
    assert torch.equal(named["layer1.weight_x"][0], named["layer1.weight_x"][1]), (
        "the recurrent rule moves no other weight"
    )
    assert not torch.equal(named["layer1.weight_h"][0], named["layer1.weight_h"][1])
    bias = named["layer1.bias"][0]
    assert bias[8:16].tolist() == [1.0] * 8, "forget bias 1"
    assert bias[:8].abs().sum() == 0
    assert bias[16:].abs().sum() == 0


def test_every_point_is_probed_on_the_same_examples_the_first_ones_of_validation():
    for points in (
        [point(0, "a"), point(1, "b")],
        [point(7, "c", initializer=NORMAL, clip=NO_CLIP)],
    ):
        training = prepare(points, "cpu")
        batch, validation = probe_batch(training), training.task.split("validation")
        count = batch.x.shape[1]
        assert count >= 32
        assert all(torch.equal(member, validation.x[:count].double()) for member in batch.x)
        assert all(torch.equal(member, validation.y[:count].double()) for member in batch.y)


def test_a_failure_is_stored_with_reason_and_without_paths(tmp_path):
    store_failure(members(), tmp_path, failure(RuntimeError(f"boom in {tmp_path}/x"), tmp_path))
    result = Store(tmp_path).result("b")
    assert result["row"]["status"] == "failed"
    assert result["row"]["reason"] == "RuntimeError: boom in <study>/x"
    assert str(tmp_path) not in str(result)
    assert Store(tmp_path).points()["status"].tolist() == ["failed"] * 3


def test_clocks_that_jump_change_no_number_and_no_seconds(tmp_path, monkeypatch):
    """The wall clock goes back ten years at every look; what is measured is measured by clocks that
    only go on.
    """
    calm = run([point(0)], tmp_path / "calm")
    now = [2.0e9]

    def jumping() -> float:
        now[0] -= 3.0e8
        return now[0]

    monkeypatch.setattr("study.training.engine.time.time", jumping)
    jumped = run([point(0)], tmp_path / "jumped")
    same_point(calm, jumped, "p0")
    assert 0 < jumped.result("p0")["row"]["seconds"] < 3.0e8, "less than one look moves that clock"


def test_a_short_schedule_still_has_a_verdict(tmp_path):
    store = run([point(updates=1, validate_every=10, health=HEALTH)], tmp_path)
    row = store.points().iloc[0]
    assert row["verdict"] in ("carries", "opens", "shut", "closes", "explodes", "mixed")
    assert store.table("states", store.ids())["update"].tolist() == [0, 0, 1, 1]
