"""Clip rules against torch and by hand."""

from __future__ import annotations

import pytest
import torch

from study.clipping.none import NoClip
from study.clipping.norm import Norm
from study.clipping.value import Value


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
    torch.testing.assert_close(call(Norm(threshold=torch.tensor([2.0])), grads)[0], expected, rtol=1e-6, atol=0)


def test_norm_keeps_direction_is_idempotent_and_leaves_small_gradients_alone():
    rule = Norm(threshold=torch.tensor([1.0, 1.0, 50.0]))
    grads = torch.randn(3, 40, generator=torch.Generator().manual_seed(1)) * torch.tensor([[3.0], [0.01], [3.0]])
    clipped = call(rule, grads)
    assert torch.equal(clipped[1:], grads[1:]), "below its own member's threshold: bit for bit"
    assert float(torch.cosine_similarity(clipped[0], grads[0], dim=0)) == pytest.approx(1)
    torch.testing.assert_close(call(rule, clipped), clipped, rtol=2e-6, atol=0)


def test_value_clamps_by_each_members_threshold():
    grads = torch.tensor([[-5.0, 0.5, 5.0]] * 2)
    assert call(Value(threshold=torch.tensor([1.0, 2.0])), grads).tolist() == [[-1, 0.5, 1], [-2, 0.5, 2]]


def test_none_changes_nothing():
    grads = torch.randn(2, 5)
    assert call(NoClip(), grads) is grads


@pytest.mark.parametrize("rule", [Norm, Value])
@pytest.mark.parametrize("threshold", [0, -1.0, torch.tensor([1.0, 0.0])])
def test_thresholds_must_be_positive(rule, threshold):
    with pytest.raises(ValueError, match="threshold must be greater than 0"):
        rule(threshold=threshold)
