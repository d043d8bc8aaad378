"""Probes of the next training update, against that update and against plain autograd."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from study.cells.lstm import LSTM
from study.config.check import check
from study.config.paths import conf_folder
from study.hydra_plugins import register
from study.interfaces import Batch
from study.probes.gradient_norm import GradientNorm
from study.probes.loss import LossProfile
from study.probes.noise_scale import NoiseScale
from study.probes.train_profile import TrainProfile
from study.probes.update_ratio import UpdateRatio
from study.records import StudyError
from study.training.probing import NextUpdate
from study.training.state import prepare
from study.training.step import step, training_batch
from tests.support.helpers import Descent, Sum, point, run, trace
from tests.training.test_engine import CELLS, TABLES, members, same_point

VALUE = {"_target_": "study.clipping.value.Value", "threshold": 0.01}


def every_probe() -> dict[str, Any]:
    """All probes of conf/, with their stages."""
    register()
    names = sorted(path.stem for path in (Path(conf_folder()) / "probe").glob("*.yaml"))
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_folder().resolve())):
        node = OmegaConf.to_container(
            compose("config", overrides=[f"probe=[{','.join(names)}]"]), resolve=True
        )
    assert isinstance(node, dict)
    return node["probe"]


def test_the_next_update_is_the_one_training_makes():
    training = prepare([point(0, "a"), point(1, "b", clip=VALUE), point(2, "c")], "cpu")
    for update in range(4):
        before = training.params.clone()
        told = NextUpdate(training, update).step()
        again = NextUpdate(training, update).step()
        assert torch.equal(training.params, before), "looking changes nothing"
        step(training, update)
        for name, value in training.model.named(training.params).items():
            assert torch.equal(told.after[name], value.double())
            assert torch.equal(told.after[name], again.after[name])
        assert torch.equal(
            told.before["layer1.weight_h"], training.model.named(before)["layer1.weight_h"].double()
        )
        norm = (
            torch.stack([value.flatten(1).square().sum(1) for value in told.grads.values()])
            .sum(0)
            .sqrt()
        )
        torch.testing.assert_close(norm, training.norms[update], rtol=1e-6, atol=0)


def test_numbers_of_training_do_not_depend_on_probes_and_those_of_probes_not_on_company(tmp_path):
    probes = every_probe()
    points = members(probe=probes, updates=4, validate_every=2)
    together = run(points, tmp_path / "together")
    for each in points:
        alone = run([each], tmp_path / f"alone-{each.id}")
        bare = run(
            [replace(each, config={**each.config, "probe": {}})], tmp_path / f"bare-{each.id}"
        )
        same_point(together, alone, each.id)
        pd.testing.assert_frame_equal(
            together.table("history", [each.id]), bare.table("history", [each.id]), check_exact=True
        )
        for name, value in bare.weights(each.id).items():
            np.testing.assert_array_equal(value, together.weights(each.id)[name])
        measured = together.table("measures", [each.id])
        assert {
            name for name in probes if name not in {"transport", "loss", "train_profile"}
        } >= set(measured["probe"])
    assert "measures" in TABLES


def test_at_the_end_the_last_batch_is_taken_once_more():
    training = prepare([point(0, "a"), point(1, "b")], "cpu")
    last, before, end = (NextUpdate(training, update).batch() for update in (5, 4, 6))
    assert torch.equal(end.x, last.x)
    assert not torch.equal(end.x, before.x)


def test_update_ratio_and_gradient_norms_by_tensor():
    of = trace(LSTM(), {"layer1.bias": torch.zeros(32)}, steps=4, depth=2)
    ratio = UpdateRatio(stages=[0])(of)
    # the trace's step is a twentieth of the weights
    assert ratio["update_ratio weight_h"][0].tolist() == pytest.approx([0.05, 0.05])
    assert ratio["update_ratio readout.weight"].tolist() == pytest.approx([0.05])
    assert ratio["update_ratio bias"].isnan().tolist() == [[True, False]]
    norms = GradientNorm(stages=[0])(of)
    weight = of.params["layer2.weight_x"]
    assert norms["gradient_norm weight_x"][0, 1].item() == pytest.approx(weight.norm().item())
    assert norms["clipped_norm weight_x"][0, 1].item() == pytest.approx(weight.norm().item() / 2)


def test_noise_scale_with_single_examples_is_the_sample_covariance():
    of = trace(LSTM(), {}, steps=5, examples=12)
    found = NoiseScale(stages=[0], parts=12)(of)
    gradients = torch.stack(
        [
            torch.cat(
                [
                    g.flatten()
                    for g in of.gradients(Batch(of.batch.x[:, [i]], of.batch.y[:, [i]])).values()
                ]
            )
            for i in range(12)
        ]
    )
    mean = gradients.mean(0)
    covariance = (gradients - mean).square().sum() / 11
    square = mean.square().sum() - covariance / 12
    assert found["gradient_variance"].item() == pytest.approx(covariance.item())
    assert found["gradient_square"].item() == pytest.approx(square.item())
    assert found["noise_scale"].item() == pytest.approx((covariance / square).item())


def test_gradients_are_autograds():
    of = trace(LSTM(), {}, steps=5, examples=6, depth=2)
    leaves = {name: value.clone().requires_grad_() for name, value in of.params.items()}
    unrolled = of.model.unrolled(leaves, of.batch.x, None)
    of.task.loss(unrolled.outputs, of.batch).sum().backward()
    for name, gradient in of.gradients(of.batch).items():
        torch.testing.assert_close(gradient, leaves[name].grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("every_step", [False, True])
def test_train_profile_is_the_loss_profile_of_the_training_batch(every_step):
    of = trace(LSTM(), {}, steps=7, examples=5, every_step=every_step)
    other = Batch(x=of.batch.x.flip(2), y=of.batch.y)
    found = TrainProfile(every=None, stages=[0], anchors=3)(
        replace(of, next_update=Descent(of.params, other))
    )
    expected = LossProfile(stages=[0], anchors=3)(of.on(other))
    assert found.keys() == expected.keys()
    for name in found:
        torch.testing.assert_close(found[name].norms, expected[name].norms)


def test_train_profile_takes_lengths_that_differ_between_members():
    lengths = torch.tensor([[3, 7], [7, 5]])
    one = trace(LSTM(), {}, steps=7, examples=2)
    params = {name: torch.cat([value, 2 * value]) for name, value in one.params.items()}
    batch = Batch(
        x=torch.cat([one.batch.x, one.batch.x.flip(1)]),
        y=torch.cat([one.batch.y] * 2),
        lengths=lengths,
    )
    both = replace(one, params=params, seeds=[0, 1], next_update=Descent(params, batch))
    found = TrainProfile(every=None, stages=[0], anchors=1)(both)["1/s"]
    assert found.exists.sum(-1).tolist() == lengths.tolist()
    for member in range(2):
        alone = LossProfile(stages=[0], anchors=1)(both.on(batch).alone(member))["1/s"]
        torch.testing.assert_close(found.norms[member], alone.norms[0])


def test_more_parts_than_examples_is_told_before_training():
    from study.config.check import check

    node = {"_target_": "study.probes.noise_scale.NoiseScale", "stages": [0], "parts": 99}
    with pytest.raises(
        StudyError,
        match=(
            r"probe\.noise_scale: noise_scale: parts must be at most the 16 examples of a batch,"
            r" got 99"
        ),
    ):
        check(point(probe={"noise_scale": node}).config)


# --- off the backward pass of training ------------------------------------------------------------

PROFILE = {
    "_target_": "study.probes.train_profile.TrainProfile",
    "every": 1,
    "stages": [0],
    "anchors": 1,
}


class Uneven(Sum):
    """Examples of different lengths, which differ between members."""

    def sample(self, stream, update, batch):
        of = super().sample(stream, update, batch)
        lengths = torch.randint(4, self.steps + 1, (batch,), generator=stream(update, "lengths"))
        return Batch(of.x, of.y, lengths)

    def split(self, part):
        of = super().split(part)
        return Batch(of.x, of.y, torch.full((len(of.x),), self.steps))


@pytest.mark.parametrize("kernel", ["native", "fused", "reference"])
@pytest.mark.parametrize("cell", ["rnn", "rnn_relu", "lstm", "gru", "gru_reset_after"])
def test_each_update_tells_what_its_own_backward_pass_holds(cell, kernel):
    """Against autograd at every state of an unrolled pass, in fp64.

    Two layers, different lengths, also a single member.
    """
    if (cell, kernel) == ("gru_reset_after", "fused"):
        pytest.skip("it has none")
    task = {**point().config["task"], "_target_": "tests.probes.test_training_probes.Uneven"}
    shared = {
        "cell": CELLS[cell],
        "kernel": kernel,
        "dtype": "float64",
        "depth": 2,
        "task": task,
        "hidden": 6,
        "batch": 5,
        "probe": {"p": PROFILE},
    }
    for points in ([point(0, **shared), point(1, **shared)], [point(2, **shared)]):
        training = prepare(points, "cpu")
        for update in range(2):
            batch = training_batch(training, update)
            params = training.model.named(training.params)
            step(training, update)
            found = training.measured[-1]
            assert (found.stage, found.update, len(training.measured)) == (
                update,
                update,
                update + 1,
            )
            x = batch.x.clone().requires_grad_()
            unrolled = training.model.plain().unrolled(params, x, batch.lengths)
            loss = training.task.loss(unrolled.outputs, batch).sum()
            for number, layer in enumerate(unrolled.derivatives(loss), start=1):
                norms = layer["h"].norm(dim=-1).transpose(1, 2)  # [M, B, T]
                columns = found.profiles[f"{number}/h"]
                for member in range(len(training.points)):
                    for lag in (0, 1, 3, 8):
                        ratios = [
                            float(norms[member, b, last - lag] / norms[member, b, last])
                            for b, last in enumerate((batch.lengths[member] - 1).tolist())
                            if last >= lag
                        ]
                        assert columns["n"][member, lag] == len(ratios)
                        good = np.array([ratio for ratio in ratios if ratio > 0])
                        assert columns["n_zero"][member, lag] == len(ratios) - len(good)
                        if len(good):
                            assert columns["log10_mean"][member, lag] == pytest.approx(
                                np.log10(good).mean(), abs=1e-9
                            )
                            assert columns["log10_rms"][member, lag] == pytest.approx(
                                0.5 * np.log10((good**2).sum() / len(ratios)), abs=1e-9
                            )


def test_looking_at_every_update_changes_no_number_and_is_stored(tmp_path):
    shared = {"depth": 2, "dropout": 0.2, "updates": 6}
    for kernel in ("native", "fused", "reference"):
        probed, plain = (
            run(members(probe=probe, kernel=kernel, **shared), tmp_path / f"{kernel}{len(probe)}")
            for probe in ({"p": PROFILE}, {})
        )
        alone = run(
            members(probe={"p": PROFILE}, kernel=kernel, **shared)[2:], tmp_path / f"{kernel}-alone"
        )
        for id in "abc":
            pd.testing.assert_frame_equal(
                probed.table("history", [id]), plain.table("history", [id]), check_exact=True
            )
        same_point(probed, alone, "c")
        rows = probed.table("profile", ["a"])
        assert rows.groupby("layer")["update"].unique().map(list).to_dict() == {
            "1": list(range(6)),
            "2": list(range(6)),
        }
        assert (rows[rows["lag"] == 0]["log10_mean"] == 0).all()
    sparse = run(members(probe={"p": {**PROFILE, "every": 4}}, **shared), tmp_path / "sparse")
    assert sorted(sparse.table("profile", ["b"])["update"].unique()) == [0, 4]


def test_where_it_cannot_be_read_off_that_is_told():
    every_step = point(
        task={**point().config["task"], "every_step": True},
        readout={"_target_": "tests.support.helpers.PlainReadout", "every_step": True},
    )
    with pytest.raises(
        StudyError, match="whose sum would hide any decay: probe.train_profile.every=null"
    ):
        check({**every_step.config, "probe": {"train_profile": PROFILE}})
    training = prepare(
        [
            point(
                probe={"p": PROFILE}, cell={"_target_": "tests.probes.test_training_probes.Silent"}
            )
        ],
        "cpu",
    )
    with pytest.raises(
        StudyError,
        match=(
            "kernel native of Silent does not compute gradient norms by step; use kernel=reference"
            " or every=null"
        ),
    ):
        step(training, 0)


class Silent(LSTM):
    """A cell whose kernel ignores the step norms."""

    def native(self, params):
        known = super().native(params)
        return SimpleNamespace(
            outputs=lambda x, reach, last_step_only: known.outputs(
                x, last_step_only=last_step_only
            ),
            states=known.states,
        )
