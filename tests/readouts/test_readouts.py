"""Readouts against their formulas, by example and step."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from study import battery
from study.interfaces import Readout
from study.readouts.attention import Attention
from study.readouts.every import Every
from study.readouts.last import Last
from study.readouts.mean import Mean

M, T, B, H = 2, 7, 3, 5


def made(readout: Readout, outputs: int) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    params = {
        each.name: torch.randn(M, *each.shape, dtype=torch.float64, generator=random)
        for each in readout.shapes(H, outputs)
    }
    return params, torch.randn(M, T, B, H, dtype=torch.float64, generator=random)


@pytest.mark.parametrize("outputs", [1, 4])
def test_every_step_in_order(outputs):
    params, h = made(Every(), outputs)
    found = Every()(params, h, None)
    assert found.shape == (M, B, T, outputs)
    for m, b, t in np.ndindex(M, B, T):
        torch.testing.assert_close(
            found[m, b, t], params["weight"][m] @ h[m, t, b] + params["bias"][m]
        )


@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize("lengths", [None, [[7, 1, 4], [2, 7, 6]]])
def test_last_valid_step_of_each_example(outputs, lengths):
    params, h = made(Last(), outputs)
    found = Last()(params, h, None if lengths is None else torch.tensor(lengths))
    assert found.shape == (M, B, outputs)
    for m, b in np.ndindex(M, B):
        last = (lengths[m][b] if lengths else T) - 1
        torch.testing.assert_close(
            found[m, b], params["weight"][m] @ h[m, last, b] + params["bias"][m]
        )


@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize("lengths", [None, [[7, 1, 4], [2, 7, 6]]])
def test_mean_of_the_valid_steps_of_each_example(outputs, lengths):
    params, h = made(Mean(), outputs)
    found = Mean()(params, h, None if lengths is None else torch.tensor(lengths))
    for m, b in np.ndindex(M, B):
        steps = lengths[m][b] if lengths else T
        torch.testing.assert_close(
            found[m, b],
            params["weight"][m] @ (sum(h[m, t, b] for t in range(steps)) / steps)
            + params["bias"][m],
        )


@pytest.mark.parametrize("outputs", [1, 4])
@pytest.mark.parametrize("lengths", [None, [[7, 1, 4], [2, 7, 6]]])
def test_attention_weighs_the_valid_steps_of_each_example(outputs, lengths):
    params, h = made(Attention(), outputs)
    of = None if lengths is None else torch.tensor(lengths)
    found, weights = Attention()(params, h, of), Attention().attention(params, h, of)
    for m, b in np.ndindex(M, B):
        steps = lengths[m][b] if lengths else T
        e = [
            float(
                params["attend_score"][m, 0]
                @ torch.tanh(params["attend_weight"][m] @ h[m, t, b] + params["attend_bias"][m])
            )
            for t in range(steps)
        ]
        alpha = np.exp(e) / np.exp(e).sum()
        np.testing.assert_allclose(
            weights[m, :, b].numpy(), [*alpha, *[0] * (T - steps)], rtol=1e-12
        )
        mean = sum(float(a) * h[m, t, b] for t, a in enumerate(alpha))
        torch.testing.assert_close(found[m, b], params["weight"][m] @ mean + params["bias"][m])


@pytest.mark.parametrize(
    ("readout", "expected"),
    [(Last(), 0.0), (Mean(), 1 / T), (Attention(), 1 / T)],
    ids=lambda value: type(value).__name__,
)
def test_paths_that_do_not_lead_through_time(readout, expected):
    """With only the readout between state and loss, a step's gradient is its weight.

    Equal for all steps for the mean, and for attention with equal scores.
    """
    params, h = made(readout, 1)
    params |= {
        name: torch.zeros_like(value) for name, value in params.items() if name.startswith("attend")
    }
    h.requires_grad_()
    (grad,) = torch.autograd.grad(readout(params, h, None).sum(), h)
    torch.testing.assert_close(grad[:, 0], expected * params["weight"].expand(M, B, H))


class Padded(Mean):
    """A known mistake: the mean over all steps, padding included."""

    def __call__(self, params, h, lengths):
        return super().__call__(params, h, None)


class Mixing(Mean):
    def __call__(self, params, h, lengths):
        return super().__call__(params, h - h.mean(0, keepdim=True), lengths)


@pytest.mark.parametrize(
    ("readout", "told"),
    [(Padded(), "must be read from these alone"), (Mixing(), "depend")],
    ids=["padding", "members"],
)
def test_the_battery_finds_readouts_that_are_wrong(readout, told):
    with pytest.raises(AssertionError, match=told):
        battery.check_readout(readout)


@pytest.mark.parametrize(
    "readout", [Every(), Last(), Mean()], ids=lambda readout: type(readout).__name__
)
def test_the_standing_rule_of_readouts_applies_to_the_weight(readout):
    assert {each.name: (each.role, each.shape) for each in readout.shapes(H, 4)} == {
        "weight": ("readout", (4, H)),
        "bias": ("bias", (4,)),
    }
