"""Clip rules against torch and by hand."""

from __future__ import annotations

import pytest
import torch

from study.clipping.none import NoClip
from study.clipping.norm import Norm
from study.clipping.value import Value
from study.training.outcome import record_update
from study.training.probing import NextUpdate
from study.training.results import gradients
from study.training.state import prepare
from study.training.step import step as training_step
from tests.support.helpers import point


def call(rule, grads):
    return rule(grads, torch.zeros_like(grads), None)[0]


def test_three_four_five():
    clipped = call(Norm(threshold=torch.tensor([1.0])), torch.tensor([[3.0, 4.0]]))
    assert float(clipped.norm()) == pytest.approx(0.9999998, abs=1e-7)
    torch.testing.assert_close(clipped / clipped.norm(), torch.tensor([[0.6, 0.8]]))


@pytest.mark.parametrize("split", [[100], [60, 40], [1] * 100])
def test_norm_equals_torch_however_parameters_are_split(split):
    grads = torch.randn(1, 100, generator=torch.Generator().manual_seed(0))
    parameters = [torch.nn.Parameter(part.clone()) for part in grads[0].split(split)]
    for parameter, part in zip(parameters, grads[0].split(split), strict=True):
        parameter.grad = part.clone()
    torch.nn.utils.clip_grad_norm_(parameters, 2.0)
    expected = torch.cat([parameter.grad for parameter in parameters])
    torch.testing.assert_close(
        call(Norm(threshold=torch.tensor([2.0])), grads)[0], expected, rtol=1e-6, atol=0
    )


def test_norm_keeps_direction_is_idempotent_and_leaves_small_gradients_alone():
    rule = Norm(threshold=torch.tensor([1.0, 1.0, 50.0]))
    grads = torch.randn(3, 40, generator=torch.Generator().manual_seed(1)) * torch.tensor(
        [[3.0], [0.01], [3.0]]
    )
    clipped = call(rule, grads)
    assert torch.equal(clipped[1:], grads[1:]), "below its own member's threshold: bit for bit"
    assert float(torch.cosine_similarity(clipped[0], grads[0], dim=0)) == pytest.approx(1)
    torch.testing.assert_close(call(rule, clipped), clipped, rtol=2e-6, atol=0)


def test_value_clamps_by_each_members_threshold():
    grads = torch.tensor([[-5.0, 0.5, 5.0]] * 2)
    assert call(Value(threshold=torch.tensor([1.0, 2.0])), grads).tolist() == [
        [-1, 0.5, 1],
        [-2, 0.5, 2],
    ]


def test_counter_and_telemetry_of_a_trained_model_equal_a_recount_by_torch():
    """Norms before and after, cosines and clipped updates, recomputed with torch.nn.utils."""
    limit, pinch = 0.5, 0.5
    rules = [
        {"_target_": "study.clipping.norm.Norm", "threshold": limit},
        {"_target_": "study.clipping.value.Value", "threshold": pinch},
    ]
    training, counts = (
        prepare([point(seed, clip=rule) for seed, rule in enumerate(rules)], "cpu"),
        [0, 0],
    )
    for update in range(20):
        of = NextUpdate(training, update % 6).step()
        training_step(training, update % 6)
        for member, (clip, threshold) in enumerate(
            ((torch.nn.utils.clip_grad_norm_, limit), (torch.nn.utils.clip_grad_value_, pinch))
        ):
            parameters = [torch.nn.Parameter(value[member].float()) for value in of.before.values()]
            for parameter, grad in zip(parameters, of.grads.values(), strict=True):
                parameter.grad = grad[member].float().clone()
            before = torch.cat([parameter.grad.flatten() for parameter in parameters]).double()
            clip(parameters, threshold)
            after = torch.cat([parameter.grad.flatten() for parameter in parameters]).double()
            torch.testing.assert_close(
                torch.cat([value[member].flatten() for value in of.clipped.values()]),
                after,
                rtol=1e-6,
                atol=0,
            )
            assert float(training.norms[-1][member]) == pytest.approx(
                float(before.norm()), rel=1e-6
            )
            assert float(training.scales[-1][member]) == pytest.approx(
                float(after.norm() / before.norm()), rel=1e-6
            )
            assert float(training.cosines[-1][member]) == pytest.approx(
                float(before @ after / before.norm() / after.norm()), rel=1e-6
            )
            fired = (
                bool(before.norm() > threshold)
                if member == 0
                else bool((before.abs() > threshold).any())
            )
            assert bool(training.scales[-1][member] != 1) == fired
            counts[member] += fired
    assert all(0 < count < 20 for count in counts), counts
    for member in range(2):
        history = {
            "grad_norm": [row[member] for row in training.norms],
            "clip_scale": [row[member] for row in training.scales],
        }
        assert gradients(history)["clip_rate"] == counts[member] / 20


def test_an_update_of_which_only_a_tiny_tensor_was_clipped_counts():
    """Its norm is the same to the last bit, so the ratio alone would count it as untouched."""
    training = prepare([point(0), point(1)], "cpu")
    grads = torch.full((2, 10), 1e3)
    grads[:, 0] = 1e-6
    clipped = grads.clone()
    clipped[0, 0] = 1e-7
    norms = torch.linalg.vector_norm(grads, dim=1, dtype=torch.float64)
    record_update(training, torch.zeros(2), norms, grads, clipped)
    assert norms[0] == torch.linalg.vector_norm(clipped[0], dtype=torch.float64)
    assert (training.scales[-1] != 1).tolist() == [True, False]
    assert float(training.scales[-1][0]) == pytest.approx(1)


def test_none_changes_nothing():
    grads = torch.randn(2, 5)
    assert call(NoClip(), grads) is grads


@pytest.mark.parametrize("rule", [Norm, Value])
@pytest.mark.parametrize("threshold", [0, -1.0, torch.tensor([1.0, 0.0])])
def test_thresholds_must_be_positive(rule, threshold):
    with pytest.raises(ValueError, match="threshold must be greater than 0"):
        rule(threshold=threshold)
