"""Gradient terms, Ω, layer profile and gates, against plain loops and theory."""

from __future__ import annotations

import math

import pytest
import torch

from study.cells.gru import GRU
from study.cells.gru_reset_after import GRUResetAfter
from study.cells.lstm import LSTM
from study.health.lags import anchors
from study.interfaces import Cell
from study.probes.gates import Gates
from study.probes.gradient_share import GradientShare, terms
from study.probes.layer_profile import LayerProfile
from study.probes.pascanu import Pascanu
from study.records import StudyError
from study.training.trace import StageTrace
from tests.probes.test_probes_spectra import small
from tests.support import plain
from tests.support.helpers import LRU, Linear, MinGRU, orthogonal, trace

CELLS = plain.every_cell()
GATED = {"lstm": LSTM(), "gru": GRU(), "gru_reset_after": GRUResetAfter()}


def share(of: StageTrace, count: int = 3) -> dict[str, torch.Tensor]:
    return dict(GradientShare(stages=[0], anchors=count)(of))


def omega(of: StageTrace, floor: float = 1e-20) -> dict[str, torch.Tensor]:
    return dict(Pascanu(stages=[0], floor=floor)(of))


def depth(of: StageTrace, lags: list[int] | None = None) -> torch.Tensor:
    return LayerProfile(stages=[0], lags=lags, anchors=3)(of)["log10_depth"].values


def gates(of: StageTrace) -> dict[str, torch.Tensor]:
    return {
        name: getattr(value, "values", value) if name.startswith("unit") else value
        for name, value in Gates(stages=[0], low=0.05, high=0.95)(of).items()
    }


def one_by_one(of: StageTrace) -> list[StageTrace]:
    """Each example alone, without its padding."""
    whole = {key: value for key, value in vars(of).items() if not key.startswith("_")}
    parts = []
    for example in range(of.batch.x.shape[1]):
        steps = plain.length(of, example)
        batch = type(of.batch)(
            of.batch.x[:, example : example + 1, :steps], of.batch.y[:, example : example + 1], None
        )
        parts.append(StageTrace(**whole | {"batch": batch}))
    return parts


# --- gradient share -------------------------------------------------------------------------------


@pytest.mark.parametrize("every_step", [False, True], ids=["terminal", "every step"])
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_terms_equal_those_of_weights_of_their_own_at_every_step(cell, every_step):
    of = small(
        cell,
        every_step=every_step,
        steps=7,
        lengths=torch.tensor([7, 4, 6]),
        lag=3 if every_step else None,
    )
    at = anchors(of, 3)
    expected: dict[tuple[int, int], dict[str, torch.Tensor]] = {}
    for example in range(3):
        for anchor in at:
            a = int(anchor[example])
            for layer, of_layer in enumerate(plain.terms(of, example, a)):
                for step, named in enumerate(of_layer[: a + 1]):
                    total = expected.setdefault((layer, a - step), {})
                    for name, grad in named.items():
                        total[name] = total.get(name, 0) + grad / (3 * len(at))
    logs = share(of)["log10_gradient"]
    assert logs.shape == (1, 2, 7)
    for layer, of_layer in enumerate(terms(of, 3)):
        for lag, found in enumerate(of_layer):
            for name, value in expected[layer, lag].items():
                assert torch.allclose(found[name], value, rtol=1e-10, atol=1e-15), (
                    layer,
                    lag,
                    name,
                )
            norm = torch.sqrt(sum(value.square().sum() for value in expected[layer, lag].values()))
            assert torch.allclose(logs[0, layer, lag], norm.log10(), atol=1e-9) or (
                norm == 0 and logs[0, layer, lag] == -torch.inf
            )


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_terms_add_up_to_the_gradient_of_the_loss(cell):
    of = small(cell, lengths=None)
    expected = of.gradients(of.batch)
    for layer, of_layer in enumerate(terms(of, 1), start=1):
        total: dict[str, torch.Tensor] = {}
        for term in of_layer:
            total = {name: value + total.get(name, 0) for name, value in term.items()}
        for name, value in total.items():
            assert torch.allclose(
                value, expected[f"layer{layer}.{name}"], rtol=1e-10, atol=1e-14
            ), (layer, name)


def test_terms_reach_down_to_1e_300_without_zeros():
    of = trace(Linear(), {"layer1.weight_h": orthogonal(6, 0.001)}, steps=100, hidden=6, examples=2)
    found = share(of)
    logs = found["log10_gradient"][0, 0]
    assert logs.isfinite().all()
    slope = (logs[90] - logs[10]) / 80
    assert logs[98] < -290
    assert float(slope) == pytest.approx(-3, abs=0.02), (
        "each step back is a thousandth, whatever the inputs were"
    )
    assert float(found["mean_lag"]) < 0.01


def test_mean_lag_of_equal_terms_is_in_the_middle():
    """h = h + x with loss y = Σ_t w·x_t: for equal inputs, terms of W_x and W_h are monotonic.

    Those of LRU's λ = 1 alone are linear.
    """
    of = trace(LRU(), {"layer1.decay": torch.ones(4)}, steps=21, hidden=4, examples=3)
    found = share(of)
    weights = 10 ** found["log10_gradient"][0, 0]
    assert float(found["mean_lag"]) == pytest.approx(
        float((weights * torch.arange(21)).sum() / weights.sum())
    )
    assert 5 < float(found["mean_lag"]) < 15


# --- Ω --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("every_step", [False, True], ids=["terminal", "every step"])
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_omega_equals_dense_jacobians_and_plain_gradients(cell, every_step):
    of = small(cell, every_step=every_step)
    found = omega(of)
    for layer in range(2):
        omegas, counts = [], []
        for example in range(3):
            last = plain.length(of, example) - 1
            gradients, jacobians = (
                plain.state_gradients(of, example, last)[layer],
                plain.jacobians(of, layer + 1, example),
            )
            largest = max(gradient.norm() for gradient in gradients)
            ratios = [
                (G @ J).norm() / G.norm()
                for G, J in zip(gradients[1:], jacobians, strict=True)
                if G.norm() > 1e-20 * largest
            ]
            omegas += [sum((ratio - 1) ** 2 for ratio in ratios)] if ratios else []
            counts.append(len(ratios))
        assert float(found["omega"][0, layer]) == pytest.approx(
            float(sum(omegas) / len(omegas)), rel=1e-9
        )
        assert float(found["omega_terms"][0, layer]) == pytest.approx(sum(counts) / 3)


@pytest.mark.parametrize("gain", [0.3, 0.9, 1.0, 1.1])
def test_omega_of_a_linear_orthogonal_recurrence(gain):
    found = omega(trace(Linear(), {"layer1.weight_h": orthogonal(6, gain)}, steps=30, hidden=6))
    assert float(found["omega"]) == pytest.approx(29 * (gain - 1) ** 2, rel=1e-11, abs=1e-25)
    assert float(found["omega_terms"]) == 29


def test_omega_drops_what_is_too_small_relative_to_the_largest_and_not_to_one():
    weights = {"layer1.weight_h": orthogonal(6, 1e-3)}
    of = trace(Linear(), weights, steps=30, hidden=6)
    assert float(omega(of)["omega_terms"]) == 7, "1, 1e-3, …, 1e-18 of the largest"
    tiny = trace(
        Linear(),
        weights | {"readout.weight": 1e-40 * of.params["readout.weight"][0]},
        steps=30,
        hidden=6,
    )
    assert torch.allclose(omega(tiny)["omega"], omega(of)["omega"], rtol=1e-9)
    assert float(omega(tiny)["omega_terms"]) == 7
    none = trace(Linear(), weights | {"readout.weight": torch.zeros(1, 6)}, steps=30, hidden=6)
    assert omega(none)["omega"].isnan().all()
    assert float(omega(none)["omega_terms"]) == 0


# --- layer profile --------------------------------------------------------------------------------


@pytest.mark.parametrize("every_step", [False, True], ids=["terminal", "every step"])
@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_layer_profile_equals_plain_gradients(cell, every_step):
    of = small(cell, every_step=every_step, depth=3)
    lags = [0, 2, 5]
    found = depth(of, lags)
    for number, lag in enumerate(lags):
        for layer in range(3):
            ratios = []
            for anchor in anchors(of, 3):
                for example in range(3):
                    step = int(anchor[example]) - lag
                    if step >= 0:
                        norms = [
                            of_layer[step].norm()
                            for of_layer in plain.state_gradients(of, example, int(anchor[example]))
                        ]
                        if norms[layer] > 0 and norms[-1] > 0:
                            ratios.append(torch.log10(norms[layer] / norms[-1]))
            expected = torch.stack(ratios).mean() if ratios else torch.tensor(torch.nan)
            assert torch.allclose(
                found[0, layer, number], expected.double(), atol=1e-9, equal_nan=True
            ), (layer, lag)


def test_layer_profile_sees_depth_and_not_time():
    """Linear layers with orthogonal input weights of gain .1: a factor of 1/100 over two layers.

    At every lag, since time has no effect.
    """
    weights = {
        "layer1.weight_h": torch.zeros(6, 6),
        "layer2.weight_h": torch.zeros(6, 6),
        "layer3.weight_h": 0.5 * torch.eye(6),
    }
    weights |= {f"layer{layer}.weight_x": orthogonal(6, 0.1) for layer in (2, 3)}
    of = trace(Linear(), weights, steps=20, hidden=6, depth=3)
    expected = torch.tensor([-2.0, -1.0, 0.0], dtype=torch.float64)
    found = depth(of, [0, 10, 19])
    assert torch.allclose(found[0], expected[:, None].expand(3, 3), atol=1e-12), (
        "the top layer's decay of .5 a step does not show"
    )


def test_layer_profile_of_one_layer_is_nought():
    assert (depth(trace(LSTM(), {}, steps=8), [0, 4]) == 0).all()


# --- gates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", GATED)
def test_gates_equal_their_equations_one_step_at_a_time(name):
    of = small(GATED[name])
    H, found = 3, gates(of)
    for layer in (1, 2):
        params, by_gate = plain.layer_params(of, layer), {}
        names = GATED[name].shapes(2, H)[0].gates
        for example in range(3):
            x, states = plain.walk(of, example)[layer - 1]
            for t in range(len(x)):
                for number, gate in enumerate(names):
                    rows = slice(number * H, (number + 1) * H)
                    z = (
                        params["weight_x"][0, rows] @ x[t]
                        + params["weight_h"][0, rows] @ states[t][:H]
                        + params["bias"][0, rows]
                    )
                    by_gate.setdefault(gate, []).append(1 / (1 + torch.exp(-z)))
        for gate in {"lstm": "ifo"}.get(name, "rz"):
            values = torch.stack(by_gate[gate])
            assert float(found[f"closed.{gate}"][0, layer - 1]) == pytest.approx(
                float((values < 0.05).double().mean())
            )
            assert float(found[f"open.{gate}"][0, layer - 1]) == pytest.approx(
                float((values > 0.95).double().mean())
            )
        keep = {"lstm": "f"}.get(name, "z")
        kept = 1 - torch.stack(by_gate[keep]) if name == "gru" else torch.stack(by_gate[keep])
        assert float(found[f"timescale.{keep}"][0, layer - 1]) == pytest.approx(
            float((-1 / kept.log()).mean()), rel=1e-10
        )
        units = (-1 / kept.log().mean(0)).sort(descending=True).values
        assert torch.allclose(found[f"unit_timescale.{keep}"][0, layer - 1], units, rtol=1e-10)


@pytest.mark.parametrize("bias", [-4.0, 0.0, 4.0])
@pytest.mark.parametrize(
    ("cell", "gate", "sign"), [(LSTM(), "f", 1), (GRU(), "z", -1), (GRUResetAfter(), "z", 1)]
)
def test_without_weights_the_timescale_is_that_of_the_bias(cell, gate, sign, bias):
    zeros = {f"layer1.{p.name}": torch.zeros(p.shape) for p in cell.shapes(2, 5)}
    of = trace(
        cell,
        zeros
        | {
            "layer1.bias": torch.cat(
                [
                    torch.full((5,), bias if each == gate else 0.0)
                    for each in cell.shapes(2, 5)[0].gates
                ]
            )
        },
        steps=9,
        hidden=5,
    )
    found = gates(of)
    assert float(found[f"timescale.{gate}"]) == pytest.approx(
        -1 / math.log(1 / (1 + math.exp(-sign * bias))), rel=1e-10
    )
    assert float(found[f"closed.{gate}"]) == (1 if bias < 0 else 0)
    assert float(found[f"open.{gate}"]) == (1 if bias > 0 else 0)


def test_a_gate_that_never_forgets_has_a_finite_timescale():
    bias = torch.cat(
        [torch.full((5,), 60.0 if gate == "f" else 0.0) for gate in LSTM().shapes(2, 5)[0].gates]
    )
    zeros = {f"layer1.{p.name}": torch.zeros(p.shape) for p in LSTM().shapes(2, 5)}
    assert float(
        gates(trace(LSTM(), zeros | {"layer1.bias": bias}, steps=4, hidden=5))["timescale.f"]
    ) == pytest.approx(2.0**53)


class Silent(LSTM):
    """Has a keep gate, but does not define `gates`."""

    gates = Cell.gates


def test_ungated_cells_have_no_gates_and_one_that_hides_them_is_told_so():
    for cell in (CELLS["rnn"], Linear(), MinGRU()):
        assert gates(trace(cell, {}, steps=4)) == {}
    with pytest.raises(
        StudyError, match="Silent has keep gate f but returns no gates.*define Silent.gates"
    ):
        gates(trace(Silent(), {}, steps=4))


# --- lengths, bad input ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
def test_unequal_lengths_equal_sequences_one_by_one(name):
    of = small(CELLS[name])
    alone = one_by_one(of)
    assert torch.allclose(
        omega(of)["omega"], torch.stack([omega(one)["omega"] for one in alone]).mean(0), rtol=1e-9
    )
    assert torch.allclose(
        depth(of, [0, 4]), torch.stack([depth(one, [0, 4]) for one in alone]).mean(0), atol=1e-9
    )
    for layer, of_layer in enumerate(terms(of, 1)):
        by_example = [
            list(list(terms(one, 1))[layer]) if layer == 0 else list(_second(one)) for one in alone
        ]
        for lag, found in enumerate(of_layer):
            for key, value in found.items():
                expected = (
                    sum(of_example[lag][key] for of_example in by_example if lag < len(of_example))
                    / 3
                )
                assert torch.allclose(value, expected, rtol=1e-9, atol=1e-15)
    if name != "rnn":
        steps = torch.tensor([float(plain.length(of, example)) for example in range(3)])
        for key, value in gates(of).items():
            if not key.startswith("unit"):
                expected = sum(
                    weight * gates(one)[key]
                    for weight, one in zip(steps / steps.sum(), alone, strict=True)
                )
                assert torch.allclose(value, expected.double(), rtol=1e-6)


def _second(of: StageTrace):
    _, second = terms(of, 1)
    return second


def test_what_cannot_be_measured_is_told():
    of = small(CELLS["rnn"])
    with pytest.raises(
        StudyError, match=r"probe.layer_profile: lags must lie between 0 and 8 .*9 steps.*got 12"
    ):
        depth(of, [0, 12])
    with pytest.raises(ValueError, match="gates: low and high must be 0 < low < high < 1"):
        Gates(stages=[0], low=0.9, high=0.1)
    with pytest.raises(ValueError, match="pascanu: floor must be above 0 and below 1, got 2"):
        Pascanu(stages=[0], floor=2)
    with pytest.raises(ValueError, match="gradient_share: anchors must be at least 1, got 0"):
        GradientShare(stages=[0], anchors=0)
