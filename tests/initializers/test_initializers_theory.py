"""Initializers from theory: gate biases, criticality, sparse and row-normalized weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from study.battery.shared import init_facts
from study.config.check import check
from study.config.network import input_drive
from study.config.setup import set_up
from study.initializers.chrono import Chrono
from study.initializers.critical import Critical, solve
from study.initializers.he import He
from study.initializers.lecun import LeCun
from study.initializers.sparse import Sparse
from study.initializers.unit_norm_rows import UnitNormRows
from study.interfaces import Batch, Block
from study.numerics.streams import generator
from study.records import StudyError
from study.training.state import initial_weights
from tests.support.helpers import point
from tests.training.test_engine import CELLS

H = 64


def weights(cell: str, node: dict[str, Any], seed: int = 0, **changes: Any) -> dict[str, Tensor]:
    of = point(seed, cell=CELLS[cell], initializer=node, hidden=H, **changes)
    model = set_up(of.config).model
    return {
        name: value[0]
        for name, value in model.named(initial_weights(set_up(of.config), model)[None]).items()
    }


def chrono(t_max: Any = "auto") -> dict[str, Any]:
    return {"_target_": "study.initializers.chrono.Chrono", "t_max": t_max, "gain": 1.0}


def square(rule: Any, size: int = 200, **facts: Any) -> Tensor:
    return rule(
        Block("recurrent", "h", (size, size), 1),
        generator(0, "square"),
        init_facts(hidden=size, **facts),
    )


@pytest.mark.parametrize(("rule", "variance"), [(He(), 2 / 200), (LeCun(), 1 / 200)])
def test_variance_follows_the_fan_in_of_the_block(rule, variance):
    block = rule(Block("recurrent", "f", (50, 200), 1), generator(0, "fan"), init_facts())
    assert float(block.square().mean()) == pytest.approx(variance, rel=0.05)
    assert abs(float(block.mean())) < 4 * math.sqrt(variance / block.numel())


def test_rows_have_unit_norm():
    torch.testing.assert_close(
        torch.linalg.vector_norm(square(UnitNormRows(norm=0.8)), dim=1),
        torch.full((200,), 0.8, dtype=torch.float64),
    )


def test_sparse_units_hear_fifteen_others_and_the_radius_is_as_asked():
    block = square(Sparse(links=15, radius=0.95))
    assert ((block != 0).sum(1) == 15).all()
    assert ((block != 0).sum(0) != 15).any(), "in-links, not out-links"
    assert float(torch.linalg.eigvals(block).abs().max()) == pytest.approx(0.95)
    assert (square(Sparse(links=15, radius=1.1), size=8) != 0).all(), "of eight units all are heard"


def test_sparse_links_that_form_no_cycle_are_refused():
    facts, refused = init_facts(), 0
    for seed in range(60):
        try:
            block = Sparse(links=1, radius=0.95)(
                Block("recurrent", "h", (2, 2), 1), generator(seed, "s"), facts
            )
            assert float(torch.linalg.eigvals(block).abs().max()) == pytest.approx(0.95)
        except ValueError as error:
            refused += "enough for a cycle among 2 units" in str(error)
    assert refused == 0, (
        "two rows of one link each always hold a cycle: the rule must not refuse what it can do"
    )
    with pytest.raises(ValueError, match="square, as those of recurrent weights"):
        Sparse(links=15, radius=0.95)(Block("input", "h", (8, 2), 1), generator(0, "s"), facts)


def test_chrono_spreads_forgetting_over_the_lag_and_pairs_the_input_gate():
    found = weights("lstm", chrono(), depth=2)
    for layer in (1, 2):
        i, f, g, o = found[f"layer{layer}.bias"].split(H)
        assert torch.equal(i, -f), "minus the same draws"
        assert (g == 0).all()
        assert (o == 0).all()
        u = f.exp().numpy()
        assert u.min() >= 1
        assert u.max() <= 8, "T_max - 1 of a lag of 9"
        expected = (np.arange(H) + 0.5) / H
        assert np.abs((np.sort(u) - 1) / 7 - expected).max() < 1.63 / math.sqrt(H), (
            "uniform: Kolmogorov-Smirnov at 1 %"
        )
    assert not torch.equal(found["layer1.bias"], found["layer2.bias"])
    other = weights("lstm", chrono(), seed=1, depth=2)
    assert not torch.equal(found["layer1.bias"], other["layer1.bias"])
    assert float(weights("lstm", chrono(200))["layer1.bias"].max()) > math.log(100)


@pytest.mark.parametrize(("cell", "sign"), [("gru", -1), ("gru_reset_after", 1)])
def test_chrono_keeps_in_both_conventions_of_the_gru(cell, sign):
    """The forget time of a unit at zero state, -1/ln(keep), must be near u.

    With the wrong sign, the unit would forget at once.
    """
    found = weights(cell, chrono(100))
    r, z, n = found["layer1.bias"].split(H)
    assert (sign * z >= 0).all()
    assert (r == 0).all()
    assert (n == 0).all()
    keep = torch.sigmoid(sign * z)
    assert float((-1 / keep.log()).median()) > 30
    if cell == "gru_reset_after":
        assert (found["layer1.bias_hn"] == 0).all()


@pytest.mark.parametrize(
    ("cell", "node", "told"),
    [
        ("rnn", chrono(), "chrono: cell must be one with a gate that keeps the past"),
        (
            "lstm",
            {"_target_": "study.initializers.critical.Critical"},
            "critical: cell must be h_t = φ",
        ),
        ("lstm", chrono(2), "chrono: t_max must be auto or a number of steps above 2, got 2"),
    ],
)
def test_a_cell_that_a_rule_does_not_fit_is_refused_before_training(cell, node, told):
    with pytest.raises(StudyError, match="initializer") as refused:
        check(point(cell=CELLS[cell], initializer=node).config)
    assert told in str(refused.value)


def test_critical_gain_is_the_one_of_the_literature():
    """Schoenholz 2017: tanh networks are critical at (σ_w², σ_b²) = (1.76, .05).

    Without drive at 1; ReLU at 2.
    """
    assert solve(torch.tanh, 0.05)[0] ** 2 == pytest.approx(1.76, abs=0.005)
    assert solve(torch.tanh, 0.0)[0] ** 2 == pytest.approx(1.0, abs=1e-6)
    assert solve(torch.relu, 0.3)[0] ** 2 == pytest.approx(2.0, abs=1e-12)
    gains = [solve(torch.tanh, drive)[0] for drive in (0.01, 0.1, 1.0)]
    assert gains == sorted(gains), "the more the input saturates, the larger the gain"


def test_the_input_drive_is_that_of_the_valid_steps():
    x = torch.tensor([[[3.0, 1.0], [1.0, 1.0], [9.0, 9.0]], [[2.0, 0.0], [0.0, 0.0], [0.0, 4.0]]])
    assert input_drive(Batch(x=x, y=x)) == pytest.approx((10 + 2 + 162 + 4 + 0 + 16) / 12)
    assert input_drive(Batch(x=x, y=x, lengths=torch.tensor([2, 3]))) == pytest.approx(
        (10 + 2 + 4 + 0 + 16) / 10
    )


@pytest.mark.parametrize("drive", [0.05, 0.5])
def test_critical_networks_keep_the_mean_square_gradient_on_white_noise(drive):
    """χ = 1 within 3 % per step at H = 256 in both layers.

    The plain orthogonal network loses more than 5 %.
    """
    size, steps, examples = 256, 50, 32
    facts = init_facts(hidden=size, inputs=4, input_drive=drive)
    rng = generator(0, "white")
    x = drive**0.5 * torch.randn(steps, examples, 4, dtype=torch.float64, generator=rng)
    for layer, inputs in ((1, 4), (2, size)):
        w_x = facts.input_rule(Block("input", "h", (size, inputs), layer), rng, facts)
        w_h = Critical()(Block("recurrent", "h", (size, size), layer), rng, facts)
        h, states = torch.zeros(examples, size, dtype=torch.float64), []
        for x_t in x:
            h = torch.tanh(h @ w_h.T + x_t @ w_x.T)
            states.append(h)
        gradient = torch.randn(examples, size, dtype=torch.float64, generator=rng)
        squares = [gradient.square().sum(1).mean()]
        for h in reversed(states[20:]):  # once the state has forgotten that it began at 0
            gradient = ((1 - h**2) * gradient) @ w_h
            squares.append(gradient.square().sum(1).mean())
        chi = float((squares[-1] / squares[0]) ** (1 / (len(squares) - 1)))
        assert chi == pytest.approx(1, abs=0.03)
        scale = float(torch.linalg.matrix_norm(w_h, 2))
        assert chi / scale**2 < 0.95, "the gain is what does it"
        x = torch.stack(states)


def test_chrono_takes_the_length_where_the_task_declares_no_lag():
    rule = Chrono(t_max="auto", gain=1.0)
    facts = init_facts(lag=None, steps=500, keep={"f": 1})
    bias = rule(Block("bias", "f", (1000,), 1), generator(0, "b"), facts)
    assert math.log(400) < float(bias.max()) <= math.log(499)
