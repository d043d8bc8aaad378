"""Adaptive clip rules against plain references from their papers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from study.clipping.agc import AGC
from study.clipping.autoclip import AutoClip
from study.clipping.layer_norm import LayerNorm
from study.clipping.norm import Norm
from study.clipping.zclip import ZClip
from study.config.build import build
from study.records import StudyError
from tests.support.helpers import point, run
from tests.training.test_engine import same_point

SLICES = {
    "layer1.weight_h": (slice(0, 24), (6, 4)),
    "layer1.bias": (slice(24, 30), (6,)),
    "readout.weight": (slice(30, 38), (2, 4)),
}


def path(updates: int = 120, members: int = 3, spikes: bool = True) -> Tensor:
    """Gradients [updates, M, 38] whose norms vary by a small factor, with occasional spikes."""
    rng = torch.Generator().manual_seed(3)
    grads = (
        torch.randn(updates, members, 38, generator=rng)
        * torch.randn(updates, members, 1, generator=rng).mul(0.4).exp()
    )
    if spikes:
        grads[60, 0] *= 40
        grads[61, 0] *= 8
        grads[90, 1] *= 15
    return grads


def clipped(rule: Any, grads: Tensor, params: Tensor) -> Tensor:
    state, found = rule.init(params, SLICES), []
    for g in grads:
        before = g.clone()
        after, state = rule(g, params, state)
        assert torch.equal(g.nan_to_num(7.0), before.nan_to_num(7.0)), (
            "a gradient is not changed in place"
        )
        found.append(after)
    return torch.stack(found)


def weights(members: int = 3) -> Tensor:
    return torch.randn(members, 38, generator=torch.Generator().manual_seed(5))


def test_autoclip_is_numpys_percentile_of_the_history():
    grads = path()
    p = torch.tensor([10.0, 50.0, 100.0])
    found = clipped(AutoClip(percentile=p), grads, weights())
    for m in range(3):
        history: list[float] = []
        for t in range(len(grads)):
            g = grads[t, m].double().numpy()
            history.append(np.linalg.norm(g))
            limit = np.percentile(history, float(p[m]))
            expected = g * min(1.0, limit / history[-1])
            np.testing.assert_allclose(found[t, m], expected, rtol=1e-6)
    assert torch.equal(found[:, 2], grads[:, 2]), "the 100th percentile clips nothing"
    assert torch.equal(found[0], grads[0]), "the first norm is its own percentile"


def test_autoclip_forgets_norms_that_are_not_finite():
    grads = path(30, spikes=False)
    broken = grads.clone()
    broken[10, 0, 3] = math.inf
    one, other = (clipped(AutoClip(percentile=10.0), of, weights()) for of in (grads, broken))
    assert torch.equal(one[:, 1:], other[:, 1:]), "other members do not notice"
    keep = [t for t in range(30) if t != 10]
    alone = clipped(AutoClip(percentile=10.0), grads[keep], weights())
    torch.testing.assert_close(other[11:, 0], alone[10:, 0])


def test_zclip_is_the_algorithm_of_its_paper():
    grads, threshold, decay, warmup = path(), 2.5, 0.97, 25
    found = clipped(ZClip(threshold=threshold, decay=decay, warmup=warmup), grads, weights())
    fired = 0
    for m in range(3):
        norms = [float(np.linalg.norm(grads[t, m].double().numpy())) for t in range(len(grads))]
        mean, variance = float(np.mean(norms[:warmup])), float(np.var(norms[:warmup]))
        assert torch.equal(found[:warmup, m], grads[:warmup, m])
        for t in range(warmup, len(grads)):
            std = math.sqrt(variance)
            z = (norms[t] - mean) / (std + 1e-6)
            after = mean + (threshold**2 / z) * std if z > threshold else norms[t]
            fired += z > threshold
            np.testing.assert_allclose(
                found[t, m], grads[t, m].double().numpy() * (after / norms[t]), rtol=1e-5
            )
            mean = decay * mean + (1 - decay) * after
            variance = decay * variance + (1 - decay) * (after - mean) ** 2
    assert fired >= 3
    assert float(found[60, 0].norm()) < float(grads[60, 0].norm()) / 10, "a spike of 40 is caught"


def test_zclip_ignores_what_is_not_finite():
    grads = path(60, spikes=False)
    grads[40, 0, 0] = math.nan
    found = clipped(ZClip(threshold=2.5, decay=0.97, warmup=25), grads, weights())
    assert found[41:].isfinite().all()
    keep = [t for t in range(60) if t != 40]
    torch.testing.assert_close(
        found[41:, 0],
        clipped(ZClip(threshold=2.5, decay=0.97, warmup=25), grads[keep], weights())[40:, 0],
    )


@pytest.mark.parametrize("readout", [False, True])
def test_agc_works_unit_by_unit(readout):
    """Brock 2021, equation 3, with the units of its reference code.

    Rows of matrices, whole vectors; the last layer is left out.
    """
    grads, params = path(4, spikes=False) * 0.05, weights() * torch.tensor([[1.0], [1e-6], [1.0]])
    found = clipped(AGC(ratio=0.05, floor=1e-3, readout=readout), grads, params)
    for t in range(4):
        for m in range(3):
            for name, (where, shape) in SLICES.items():
                g, w = (
                    of[m, where].double().numpy().reshape(shape if len(shape) > 1 else (1, -1))
                    for of in (grads[t], params)
                )
                limit = 0.05 * np.maximum(np.linalg.norm(w, axis=1, keepdims=True), 1e-3)
                length = np.linalg.norm(g, axis=1, keepdims=True)
                expected = np.where(length > limit, g * limit / length, g)
                if name.startswith("readout") and not readout:
                    expected = g
                np.testing.assert_allclose(found[t, m, where], expected.reshape(-1), rtol=1e-5)
    assert not torch.equal(found[:, 0, 24:30], grads[:, 0, 24:30])


def test_layer_norm_shortens_each_tensor_by_itself():
    grads = path(3, spikes=False)
    found = clipped(LayerNorm(threshold=torch.tensor([1.0, 2.0, 1e6])), grads, weights())
    for where, _ in SLICES.values():
        for m, limit in enumerate((1.0, 2.0, 1e6)):
            before, after = grads[:, m, where].norm(dim=-1), found[:, m, where].norm(dim=-1)
            torch.testing.assert_close(after, before.clamp(max=limit), rtol=1e-5, atol=0)
            assert (
                torch.cosine_similarity(found[:, m, where], grads[:, m, where], dim=-1) > 0.99999
            ).all()
    assert torch.equal(found[:, 2], grads[:, 2])
    assert (torch.cosine_similarity(found[:, 0], grads[:, 0], dim=-1) < 0.999).any(), (
        "the whole gradient turns"
    )


@pytest.mark.parametrize(
    "rule",
    [LayerNorm(threshold=1.0), AGC(ratio=0.05, floor=1e-3, readout=True)],
    ids=lambda rule: type(rule).__name__,
)
def test_rules_without_memory_do_nothing_the_second_time(rule):
    (grads,), params = path(1, spikes=False), weights()
    once, state = rule(grads, params, rule.init(params, SLICES))
    assert not torch.equal(once, grads)
    torch.testing.assert_close(rule(once, params, state)[0], once, rtol=1e-6, atol=0)
    small = grads * 1e-6
    assert torch.equal(rule(small, params, state)[0], small), "and nothing at all below their limit"


def test_a_finite_gradient_whose_norm_overflows_is_shortened_and_not_lost():
    """fp32 squares overflow above 1.8e19: torch's rule sets such a gradient to zero."""
    grads = torch.tensor([[3e25, 4e25, 0.0], [3.0, 4.0, 0.0]])
    found, _ = Norm(threshold=torch.tensor([1.0, 1.0]))(grads, torch.zeros(2, 3), None)
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.8, 0.0]] * 2), rtol=1e-5, atol=0)


RULES = {
    "layer_norm": {"_target_": "study.clipping.layer_norm.LayerNorm", "threshold": 0.1},
    "agc": {"_target_": "study.clipping.agc.AGC", "ratio": 0.01, "floor": 0.001, "readout": False},
    "autoclip": {"_target_": "study.clipping.autoclip.AutoClip", "percentile": 10.0},
    "zclip": {
        "_target_": "study.clipping.zclip.ZClip",
        "threshold": 0.1,
        "decay": 0.9,
        "warmup": 3,
    },
    "norm": {"_target_": "study.clipping.norm.Norm", "threshold": 0.5},
    "value": {"_target_": "study.clipping.value.Value", "threshold": 0.05},
    "none": {"_target_": "study.clipping.none.NoClip"},
}


def test_rules_of_all_classes_share_a_group_and_give_the_numbers_they_give_alone(tmp_path):
    points = [
        point(seed, f"{name}{seed}", clip=node, updates=12)
        for name, node in RULES.items()
        for seed in (0, 1)
    ]
    together = run(points, tmp_path / "together")
    for of in points[::2]:
        same_point(together, run([of], tmp_path / of.id), of.id)
    starts = [
        together.table("profile", [f"{name}0"])
        .query("stage == 0")
        .drop(columns="id")
        .reset_index(drop=True)
        for name in RULES
    ]
    assert all(start.equals(starts[0]) for start in starts), "clipping never touches a probe"
    for name in RULES:
        row = together.result(f"{name}0")["row"]
        assert row["clip_rate"] > 0 or name in ("none", "zclip"), (
            f"{name} never fired; zclip may not, in twelve calm updates"
        )
        history = together.table("history", [f"{name}0"]).dropna(subset=["grad_norm"])
        fired = history["clip_scale"] != 1
        assert row["clip_rate"] == pytest.approx(fired.mean())
        if name in ("norm", "autoclip", "zclip", "none"):
            np.testing.assert_allclose(history["clip_cosine"], 1, atol=1e-6)
        else:
            assert (history["clip_cosine"][fired] < 0.99999).any(), f"{name} turns the gradient"


@pytest.mark.parametrize(
    ("name", "change", "told"),
    [
        (
            "autoclip",
            {"percentile": 0},
            "autoclip: percentile must be above 0 and at most 100, got 0",
        ),
        ("zclip", {"decay": 1.0}, "zclip: decay must be between 0 and 1, got 1.0"),
        ("zclip", {"warmup": 1}, "zclip: warmup must be at least 2 updates, got 1"),
        ("agc", {"ratio": -0.1}, "agc: ratio must be greater than 0, got -0.1"),
        ("agc", {"readout": 1}, "readout must be true or false, got 1"),
        ("layer_norm", {"threshold": 0}, "layer_norm: threshold must be greater than 0, got 0"),
    ],
)
def test_impossible_settings_are_refused(name, change, told):
    with pytest.raises(StudyError) as refused:
        build({**RULES[name], **change}, "clip")
    assert told in str(refused.value)
