"""Probes of the update that training makes next, against the update it then makes, and against plain autograd."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from study.cells.lstm import LSTM
from study.interfaces import Batch
from study.paths import conf_folder
from study.plugins import register
from study.probes.gradient_norm import GradientNorm
from study.probes.loss import LossProfile
from study.probes.noise_scale import NoiseScale
from study.probes.train_profile import TrainProfile
from study.probes.update_ratio import UpdateRatio
from study.records import StudyError
from study.training import NextUpdate, prepare, step
from tests.helpers import Descent, point, run, trace
from tests.test_engine import TABLES, members, same_point

VALUE = {"_target_": "study.clipping.value.Value", "threshold": 0.01}


def every_probe() -> dict[str, Any]:
    """All probes of conf/, each with its stages."""
    register()
    names = sorted(path.stem for path in (Path(conf_folder()) / "probe").glob("*.yaml"))
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_folder().resolve())):
        node = OmegaConf.to_container(compose("config", overrides=[f"probe=[{','.join(names)}]"]), resolve=True)
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
        assert torch.equal(told.before["layer1.weight_h"], training.model.named(before)["layer1.weight_h"].double())
        norm = torch.stack([value.flatten(1).square().sum(1) for value in told.grads.values()]).sum(0).sqrt()
        torch.testing.assert_close(norm, training.norms[update], rtol=1e-6, atol=0)


def test_numbers_of_training_do_not_depend_on_probes_and_those_of_probes_not_on_company(tmp_path):
    probes = every_probe()
    points = members(probe=probes, updates=4, validate_every=2)
    together = run(points, tmp_path / "together")
    for each in points:
        alone = run([each], tmp_path / f"alone-{each.id}")
        bare = run([replace(each, config={**each.config, "probe": {}})], tmp_path / f"bare-{each.id}")
        same_point(together, alone, each.id)
        pd.testing.assert_frame_equal(together.table("history", [each.id]), bare.table("history", [each.id]), check_exact=True)
        for name, value in bare.weights(each.id).items():
            np.testing.assert_array_equal(value, together.weights(each.id)[name])
        measured = together.table("measures", [each.id])
        assert {name for name in probes if name not in {"transport", "loss", "train_profile"}} >= set(measured["probe"])
    assert "measures" in TABLES


def test_at_the_end_the_last_batch_is_taken_once_more():
    training = prepare([point(0, "a"), point(1, "b")], "cpu")
    last, before, end = (NextUpdate(training, update).batch() for update in (5, 4, 6))
    assert torch.equal(end.x, last.x)
    assert not torch.equal(end.x, before.x)


def test_update_ratio_and_gradient_norms_by_tensor():
    of = trace(LSTM(), {"layer1.bias": torch.zeros(32)}, steps=4, depth=2)
    ratio = UpdateRatio(stages=[0])(of)
    assert ratio["update_ratio weight_h"][0].tolist() == pytest.approx([0.05, 0.05])  # the trace's step is a twentieth of the weights
    assert ratio["update_ratio readout.weight"].tolist() == pytest.approx([0.05])
    assert ratio["update_ratio bias"].isnan().tolist() == [[True, False]]
    norms = GradientNorm(stages=[0])(of)
    weight = of.params["layer2.weight_x"]
    assert norms["gradient_norm weight_x"][0, 1].item() == pytest.approx(weight.norm().item())
    assert norms["clipped_norm weight_x"][0, 1].item() == pytest.approx(weight.norm().item() / 2)


def test_noise_scale_with_single_examples_is_the_sample_covariance():
    of = trace(LSTM(), {}, steps=5, examples=12)
    found = NoiseScale(stages=[0], parts=12)(of)
    gradients = torch.stack([torch.cat([g.flatten() for g in of.gradients(Batch(of.batch.x[:, [i]], of.batch.y[:, [i]])).values()]) for i in range(12)])
    mean = gradients.mean(0)
    covariance = (gradients - mean).square().sum() / 11
    square = mean.square().sum() - covariance / 12
    assert found["gradient_variance"].item() == pytest.approx(covariance.item())
    assert found["gradient_square"].item() == pytest.approx(square.item())
    assert found["noise_scale"].item() == pytest.approx((covariance / square).item())


def test_gradients_are_autograds():
    of = trace(LSTM(), {}, steps=5, examples=6, depth=2)
    leaves = {name: value.clone().requires_grad_() for name, value in of.params.items()}
    unrolled = of.model.unrolled(leaves, of.batch.x, None, connected=True)
    of.task.loss(unrolled.outputs, of.batch).sum().backward()
    for name, gradient in of.gradients(of.batch).items():
        torch.testing.assert_close(gradient, leaves[name].grad, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("every_step", [False, True])
def test_train_profile_is_the_loss_profile_of_the_training_batch(every_step):
    of = trace(LSTM(), {}, steps=7, examples=5, every_step=every_step)
    other = Batch(x=of.batch.x.flip(2), y=of.batch.y)
    found = TrainProfile(stages=[0], anchors=3)(replace(of, next_update=Descent(of.params, other)))
    expected = LossProfile(stages=[0], anchors=3)(of.on(other))
    assert found.keys() == expected.keys()
    for name in found:
        torch.testing.assert_close(found[name].norms, expected[name].norms)


def test_train_profile_takes_lengths_that_differ_between_members():
    lengths = torch.tensor([[3, 7], [7, 5]])
    one = trace(LSTM(), {}, steps=7, examples=2)
    params = {name: torch.cat([value, 2 * value]) for name, value in one.params.items()}
    batch = Batch(x=torch.cat([one.batch.x, one.batch.x.flip(1)]), y=torch.cat([one.batch.y] * 2), lengths=lengths)
    both = replace(one, params=params, seeds=[0, 1], next_update=Descent(params, batch))
    found = TrainProfile(stages=[0], anchors=1)(both)["1/s"]
    assert found.exists.sum(-1).tolist() == lengths.tolist()
    for member in range(2):
        alone = LossProfile(stages=[0], anchors=1)(both.on(batch).alone(member))["1/s"]
        torch.testing.assert_close(found.norms[member], alone.norms[0])


def test_more_parts_than_examples_is_told_before_training():
    from study.checking import check

    node = {"_target_": "study.probes.noise_scale.NoiseScale", "stages": [0], "parts": 99}
    with pytest.raises(StudyError, match=r"probe\.noise_scale: noise_scale: parts must be at most the 16 examples of a batch, got 99"):
        check(point(probe={"noise_scale": node}).config)
