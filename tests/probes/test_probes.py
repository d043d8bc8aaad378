"""Probes against values from theory and against plain autograd."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from study.cells.gru import GRU
from study.cells.gru_reset_after import GRUResetAfter
from study.cells.lstm import LSTM
from study.cells.rnn import RNN
from study.health.lags import joint_norm, norm
from study.health.profiles import Thresholds, logs, states
from study.interfaces import Cell, LagNorms
from study.probes.loss import LossProfile
from study.probes.recurrence import Recurrence
from study.probes.transport import Transport
from study.training.trace import StageTrace
from tests.support import plain
from tests.support.helpers import LRU, Linear, MinGRU, orthogonal, trace

H = 8
CELLS = plain.every_cell()


def transport(of: StageTrace) -> dict[str, LagNorms]:
    return dict(Transport(stages=[0])(of))


def loss_profile(of: StageTrace, anchors: int = 8) -> dict[str, LagNorms]:
    return dict(LossProfile(stages=[0], anchors=anchors)(of))


def powers(factor: float, lags: int) -> torch.Tensor:
    return factor ** torch.arange(lags, dtype=torch.float64)


def close(norms: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    error = ((norms - expected).abs() / expected).max()
    assert error < tolerance, f"relative error {error:.2e}"


def zero_weights(cell: Cell, bias: torch.Tensor, inputs: int = 2) -> dict[str, torch.Tensor]:
    weights = {f"layer1.{p.name}": torch.zeros(p.shape) for p in cell.shapes(inputs, H)}
    return weights | {"layer1.bias": bias}


@pytest.mark.parametrize("gain", [0.3, 0.9, 1.0, 1.1])
@pytest.mark.parametrize("probe", [transport, loss_profile])
def test_linear_orthogonal_decays_by_its_gain(gain, probe):
    norms = probe(trace(Linear(), {"layer1.weight_h": orthogonal(H, gain)}, steps=60))[
        "1/s" if probe is transport else "1/h"
    ].norms
    close(norms, powers(gain, 60).expand_as(norms), 1e-13)


def test_the_line_through_a_linear_orthogonal_profile_has_the_slope_of_its_gain():
    norms = transport(trace(Linear(), {"layer1.weight_h": orthogonal(H, 0.9)}, steps=60))["1/s"]
    limits = Thresholds(
        exploding=1.0, fading=-2.0, vanishing=-4.0, undefined=0.1, horizon=1e-3, bootstrap=20
    )
    (row,) = states(
        logs(norms.norms.numpy(), norms.exists.numpy()), 59, limits, np.random.default_rng(0)
    )
    assert row["slope"] == pytest.approx(math.log10(0.9), abs=1e-13)
    assert row["residual_sd"] < 1e-13
    assert [row["D"], row["D_low"], row["D_high"]] == pytest.approx(
        [math.log10(0.9) * (np.median(range(54, 60)) - 1)] * 3, abs=1e-12
    )
    assert row["state"] == "fading"


def test_linear_diagonal_decays_by_mode():
    d = torch.linspace(0.2, 1.1, H, dtype=torch.float64)
    weights = {
        "layer1.weight_h": torch.diag(d),
        "readout.weight": torch.eye(H, dtype=torch.float64)[2:3],
    }
    norms = loss_profile(trace(Linear(), weights, steps=40))["1/h"].norms
    close(norms, powers(float(d[2]), 40).expand_as(norms), 1e-12)


@pytest.mark.parametrize("gain", [0.5, 1.0, 1.5])
def test_tanh_never_carries_more_than_its_gain(gain):
    norms = transport(
        trace(RNN(nonlinearity="tanh"), {"layer1.weight_h": orthogonal(H, gain)}, steps=40)
    )["1/s"].norms
    assert (norms <= powers(gain, 40) * (1 + 1e-12)).all()
    assert (norms > 0).all()


@pytest.mark.parametrize("forget_bias", [0.0, 1.0, 3.0])
def test_lstm_without_weights_keeps_its_forget_gate_to_the_power_of_the_lag(forget_bias):
    gates = LSTM().shapes(2, H)[0].gates
    bias = torch.cat([torch.full((H,), forget_bias if gate == "f" else 0.5) for gate in gates])
    of = trace(LSTM(), zero_weights(LSTM(), bias), steps=52)
    keep = 1 / (1 + math.exp(-forget_bias))
    for norms in (transport(of)["1/s"].norms, loss_profile(of)["1/c"].norms):
        relative = norms[..., 1:] / norms[..., 1:2]
        close(relative, powers(keep, 51).expand_as(relative), 1e-12)
    if forget_bias == 1.0:
        assert keep**50 == pytest.approx(1.576e-7, rel=1e-3)


def test_lstm_loss_on_the_last_output_has_no_gradient_at_the_last_cell_state():
    profile = loss_profile(trace(LSTM(), {}, steps=6))
    assert (profile["1/c"].norms[..., 0] == 0).all()
    assert (profile["1/c"].norms[..., 1] > 0).all()
    assert torch.equal(profile["1/s"].norms[..., 0], torch.ones_like(profile["1/s"].norms[..., 0]))


@pytest.mark.parametrize("bias", [-1.0, 0.0, 2.0])
@pytest.mark.parametrize(("cell", "sign"), [(GRU(), -1), (GRUResetAfter(), 1)])
def test_gru_without_weights_keeps_its_update_gate_to_the_power_of_the_lag(cell, sign, bias):
    gates = cell.shapes(2, H)[0].gates
    z = torch.cat([torch.full((H,), bias if gate == "z" else 0.0) for gate in gates])
    norms = transport(trace(cell, zero_weights(cell, z), steps=40))["1/s"].norms
    close(norms, powers(1 / (1 + math.exp(-sign * bias)), 40).expand_as(norms), 1e-12)


def test_losses_at_every_step_are_not_summed():
    of = trace(Linear(), {"layer1.weight_h": 0.5 * torch.eye(H)}, steps=40, every_step=True, lag=20)
    for norms in (loss_profile(of)["1/h"], transport(of)["1/s"]):
        lags = torch.where(norms.exists, norms.norms, powers(0.5, 40))
        close(lags, powers(0.5, 40).expand_as(lags), 1e-12)


def test_a_layer_does_not_inherit_its_neighbours_flow():
    weights = {
        "layer1.weight_h": 0.1 * torch.eye(H, dtype=torch.float64),
        "layer2.weight_h": torch.eye(H),
    }
    found = transport(trace(Linear(), weights, steps=30, depth=2))
    close(found["1/s"].norms, powers(0.1, 30).expand_as(found["1/s"].norms), 1e-12)
    close(found["2/s"].norms, torch.ones_like(found["2/s"].norms), 1e-12)
    assert (found["network/s"].norms[..., -1] > 0.1).all()


def test_diagonal_cells_decay_by_mode():
    d = torch.linspace(0.3, 0.99, H, dtype=torch.float64)
    pick = {"readout.weight": torch.eye(H, dtype=torch.float64)[5:6]}
    norms = loss_profile(trace(LRU(), {"layer1.decay": d, **pick}, steps=40))["1/h"].norms
    close(norms, powers(float(d[5]), 40).expand_as(norms), 1e-12)
    of = trace(MinGRU(), pick, steps=30)
    z = (of.batch.x[0] @ of.params["layer1.weight_x"][0, :H].T).sigmoid()[..., 5]
    expected = torch.cat(
        [torch.ones(len(z), 1, dtype=z.dtype), (1 - z).flip(1).cumprod(1)[:, :-1]], dim=1
    )
    close(loss_profile(of)["1/h"].norms[0], expected, 1e-12)


def uneven(cell: Cell, **changes) -> StageTrace:
    """Two layers, three examples of 9, 5 and 7 steps, padded."""
    return trace(
        cell,
        {},
        **{
            "steps": 9,
            "depth": 2,
            "hidden": 3,
            "examples": 3,
            "lengths": torch.tensor([9, 5, 7]),
            **changes,
        },
    )


def same_by_lag(
    found: LagNorms, row: int, gradients: list[torch.Tensor], start: torch.Tensor, anchor: int
) -> None:
    """Compare one row of a profile with gradients [S] by step, backwards from the anchor.

    Relative to `start` at the anchor; 0/0, of a layer without gradient, counts as 0.
    """
    norms = torch.stack([gradient.norm() for gradient in gradients[: anchor + 1]]).flip(0)
    expected = norms if start == 0 and not norms.any() else norms / start
    assert found.exists[row].sum() == anchor + 1
    assert torch.allclose(found.norms[0, row, : anchor + 1], expected, rtol=1e-10, atol=1e-300)


@pytest.mark.parametrize("every_step", [False, True], ids=["terminal", "every step"])
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_loss_profiles_equal_plain_autograd_of_one_sequence_after_the_other(cell, every_step):
    """For every cell, by layer and state: each example unpadded, each anchor alone."""
    of = uneven(cell, every_step=every_step, lag=3 if every_step else None)
    found, widths = loss_profile(of, anchors=2), cell.widths(3)
    for number, anchor in enumerate([[3, 3, 3], [8, 4, 6]] if every_step else [[8, 4, 6]]):
        for example, a in enumerate(anchor):
            layers, row = plain.state_gradients(of, example, a), 3 * number + example
            for layer, gradients in enumerate(layers, start=1):
                start = gradients[a].norm()
                parts = zip(*(g.split(widths) for g in gradients), strict=True)
                for name, of_state in zip(cell.states, parts, strict=True):
                    same_by_lag(found[f"{layer}/{name}"], row, list(of_state), start, a)
                if len(cell.states) > 1:
                    same_by_lag(found[f"{layer}/s"], row, gradients, start, a)
            whole = [torch.cat(step) for step in zip(*layers, strict=True)]
            same_by_lag(found["network/s"], row, whole, whole[a].norm(), a)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_transport_equals_plain_autograd_of_one_sequence_after_the_other(cell):
    """For every cell: one direction for the network, one per layer; each example unpadded."""
    of = uneven(cell)
    size, found = sum(cell.widths(3)), transport(of)

    def directions(width: int, numbers: torch.Generator) -> torch.Tensor:
        u = torch.randn(3, width, dtype=torch.float64, generator=numbers)
        return u / u.norm(dim=1, keepdim=True)

    whole, numbers = directions(2 * size, of.generator("transport")), of.generator("transport")
    alone = [directions(size, numbers) for _ in range(2)]
    for example, a in enumerate((8, 4, 6)):
        layers = plain.tapped(
            of,
            example,
            lambda states, a=a, u=whole[example]: torch.cat([states[0][a], states[1][a]]) @ u,
        )
        joint_norm = [torch.cat(step) for step in zip(*layers, strict=True)]
        same_by_lag(found["network/s"], example, joint_norm, joint_norm[a].norm(), a)
        for layer in (
            1,
            2,
            # what enters at a layer never comes back to it from above, so that its own taps are
            # those of the layer alone
        ):
            own = plain.tapped(
                of,
                example,
                lambda states, a=a, layer=layer, u=alone[layer - 1][example]: (
                    states[layer - 1][a] @ u
                ),
            )[layer - 1]
            assert float(own[a].norm()) == pytest.approx(1, abs=1e-14), (
                "h and c are coordinates of their own: at the anchor stands the direction itself"
            )
            same_by_lag(found[f"{layer}/s"], example, own, own[a].norm(), a)


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_a_layers_transport_is_its_own_whatever_the_other_carries(cell):
    of = uneven(cell)
    above = {
        name: -3 * value if name.startswith("layer2.") else value
        for name, value in of.params.items()
    }
    one, other = transport(of), transport(StageTrace(**{**vars(uneven(cell)), "params": above}))
    assert torch.equal(one["1/s"].norms, other["1/s"].norms)
    assert not torch.equal(one["network/s"].norms, other["network/s"].norms)


def test_retain_grad_on_the_fused_layer_is_zero_where_the_probe_is_not():
    torch.manual_seed(0)
    fused = torch.nn.LSTM(2, H, batch_first=True).double()
    parts = {
        "layer1.weight_x": fused.weight_ih_l0,
        "layer1.weight_h": fused.weight_hh_l0,
        "layer1.bias": fused.bias_ih_l0 + fused.bias_hh_l0,
    }
    of = trace(LSTM(), {name: value.detach() for name, value in parts.items()}, steps=10)
    output, _ = fused(of.batch.x[0])
    output.retain_grad()
    (output[:, -1] @ of.params["readout.weight"][0].T - of.batch.y[0]).square().sum().backward()
    assert output.grad is not None
    assert (output.grad[:, :-1] == 0).all(), "this is the trap: only the direct term"
    assert (loss_profile(of)["1/h"].norms > 0).all()


def test_padded_examples_equal_their_sequences_one_by_one():
    lengths = torch.tensor([4, 9, 6])
    for probe in (transport, loss_profile):
        padded = trace(LSTM(), {}, steps=9, examples=3, lengths=lengths)
        joint_norm = probe(padded)
        name = "1/s"
        for index, length in enumerate(lengths.tolist()):
            alone = trace(LSTM(), {}, steps=9, examples=3, lengths=torch.full((3,), length))
            same = StageTrace(
                **{
                    **vars(alone),
                    "batch": type(alone.batch)(padded.batch.x[:, :, :length], padded.batch.y, None),
                }
            )
            close(
                joint_norm[name].norms[:, index, :length],
                probe(same)[name].norms[:, index, :length],
                1e-10,
            )
            assert joint_norm[name].exists[index].sum() == length


def test_profiles_reach_down_to_1e_300_without_zeros():
    norms = transport(trace(Linear(), {"layer1.weight_h": orthogonal(H, 0.001)}, steps=100))[
        "1/s"
    ].norms
    assert float(norms[..., -1].max()) < 1e-296
    close(norms, powers(0.001, 100).expand_as(norms), 1e-10)


def test_recurrence_reads_radius_and_saturation():
    of = trace(
        LSTM(),
        {"layer1.weight_h": torch.cat([orthogonal(H, gain) for gain in (0.5, 1.7, 0.2, 0.9)])},
        steps=5,
    )
    found = Recurrence(stages=[0], level=0.95)(of)
    assert found["spectral_radius"].item() == pytest.approx(1.7)
    h = of.network().layers[0]["h"]
    assert found["saturation"].item() == pytest.approx(float((h.abs() > 0.95).double().mean()))


@pytest.mark.parametrize(("size", "padding"), [(100.0, 0.0), (0.1, 1e4)])
def test_saturation_of_padded_examples_is_that_of_their_own_steps(size, padding):
    """Zero padding would hide saturation, other padding could fake it."""
    weights = {
        "layer1.weight_h": torch.zeros(H, H),
        "layer1.weight_x": size * torch.ones(H, 2),
        "layer1.bias": torch.zeros(H),
    }
    of = trace(
        RNN(nonlinearity="tanh"), weights, steps=9, examples=3, lengths=torch.tensor([9, 2, 4])
    )
    for example, length in enumerate((9, 2, 4)):
        of.batch.x[0, example, length:] = padding
    h = of.network().layers[0]["h"][0].transpose(0, 1)
    valid = torch.cat([h[example, :length] for example, length in enumerate((9, 2, 4))])
    found = Recurrence(stages=[0], level=0.95)(of)["saturation"].item()
    assert found == pytest.approx(float((valid.abs() > 0.95).double().mean()))
    assert found > 0.9 if size > 1 else found == 0


@pytest.mark.parametrize(
    ("dtype", "exponents"),
    [(torch.float64, (-307, -200, -150, 0, 150, 200, 307)), (torch.float32, (-37, -20, 0, 20, 37))],
)
def test_norms_neither_overflow_nor_vanish_and_are_a_rows_own(dtype, exponents):
    """Rows whose squares fit and rows whose squares do not, side by side."""
    rows = torch.randn(
        len(exponents), 6, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    ).clamp(-1, 1)
    rows = torch.stack(
        [row * 10.0**exponent for row, exponent in zip(rows, exponents, strict=True)]
    ).to(dtype)
    expected = (
        torch.linalg.vector_norm(rows.double() * 2.0**-40, dim=-1) * 2.0**40
        if dtype == torch.float32
        else torch.stack(
            [
                torch.linalg.vector_norm(row / 10.0**exponent, dim=-1) * 10.0**exponent
                for row, exponent in zip(rows, exponents, strict=True)
            ]
        )
    )
    for lay in (
        lambda values: values,
        lambda values: values.transpose(1, 2).contiguous().transpose(1, 2),
    ):
        found = norm(lay(rows))
        torch.testing.assert_close(
            found.double(), expected, rtol=1e-5 if dtype == torch.float32 else 1e-13, atol=0
        )
        for number, row in enumerate(rows):
            assert torch.equal(found[number], norm(lay(torch.stack([row, row])))[1])
    bad = torch.tensor([[0.0, 0.0], [torch.inf, 1.0], [torch.nan, 1.0], [3.0, 4.0]], dtype=dtype)
    assert norm(bad).nan_to_num(-1, 7).tolist() == [0.0, 7.0, -1.0, 5.0]


def test_states_together_are_a_members_own_whatever_stands_behind_the_last_whole_vector():
    """With few examples, members end inside a vector, whose remainder rounds differently."""
    parts = [
        torch.rand(7, 5, 41, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        for seed in range(3)
    ]
    found = joint_norm(parts)
    torch.testing.assert_close(
        found, (parts[0] ** 2 + parts[1] ** 2 + parts[2] ** 2).sqrt(), rtol=1e-14, atol=0
    )
    for member in range(7):
        assert torch.equal(
            joint_norm([part[member : member + 1].clone() for part in parts])[0], found[member]
        )
    assert joint_norm(
        [
            torch.tensor([3e-200, 3e200, torch.inf, 0.0]).double(),
            torch.tensor([4e-200, 4e200, 1.0, 0.0]).double(),
        ]
    ).allclose(torch.tensor([5e-200, 5e200, torch.inf, 0.0]).double(), rtol=1e-14, atol=0)
