"""Initial weights block by block; each known mistake has a test that fails on it."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from study.battery.shared import init_facts
from study.cells.gru import GRU
from study.cells.gru_reset_after import GRUResetAfter
from study.cells.lstm import LSTM
from study.cells.rnn import RNN
from study.initializers.chrono import Chrono
from study.initializers.he import He
from study.initializers.identity import Identity
from study.initializers.lecun import LeCun
from study.initializers.normal import Normal
from study.initializers.orthogonal import Orthogonal
from study.initializers.pytorch import PyTorch
from study.initializers.sparse import Sparse
from study.initializers.unit_norm_rows import UnitNormRows
from study.initializers.xavier_normal import XavierNormal
from study.initializers.xavier_uniform import XavierUniform
from study.interfaces import Block, Initializer
from study.model import Model
from study.numerics.streams import generator
from tests.support.helpers import PlainReadout

H = 64
STANDING = {"input": XavierUniform(), "readout": XavierUniform()}


def weights(
    cell,
    initializer: Initializer,
    seed: int = 0,
    inputs: int = 1,
    hidden: int = H,
    forget_bias: float = 1.0,
) -> dict[str, Tensor]:
    model = Model(
        cell=cell,
        readout=PlainReadout(every_step=False),
        inputs=inputs,
        outputs=10,
        hidden=hidden,
        depth=2,
        dropout=0.0,
        kernel="fused",
    )
    facts = init_facts(
        steps=64, lag=64, input_drive=0.2, hidden=hidden, keep=cell.keep, activation=cell.activation
    )
    row = model.initial(
        initializer=initializer, standing=STANDING, forget_bias=forget_bias, facts=facts, seed=seed
    )
    return {name: value[0] for name, value in model.named(row[None]).items()}


def gain(block: Tensor) -> float:
    """Root mean square of the singular values."""
    return float(torch.linalg.svdvals(block).square().mean().sqrt())


@pytest.mark.parametrize(
    ("initializer", "expected", "tolerance"),
    [
        (Orthogonal(gain=1.0), 1, 1e-12),
        (Orthogonal(gain=0.7), 0.7, 1e-12),
        (XavierUniform(), 1, 0.03),
        (XavierNormal(), 1, 0.03),
        (Normal(std="auto"), 1, 0.03),
        (Normal(std=0.01), 0.01 * 8, 0.003),
        (Normal(std=0.4), 0.4 * 8, 0.1),
        (PyTorch(), 1 / math.sqrt(3), 0.02),
        (Identity(alpha=0.9, input_std=0.001), 0.9, 1e-12),
        (He(), math.sqrt(2), 0.04),
        (LeCun(), 1, 0.03),
        (UnitNormRows(norm=1.0), 1, 1e-12),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Initializer) else "",
)
@pytest.mark.parametrize(
    "cell",
    [RNN(nonlinearity="tanh"), LSTM(), GRU(), GRUResetAfter()],
    ids=lambda cell: type(cell).__name__,
)
def test_gain_of_every_gate_block(cell, initializer, expected, tolerance):
    """On the stacked 4H x H matrix, gains would be .5 or .632, and .577 or .707 for three gates."""
    for layer in (1, 2):
        blocks = weights(cell, initializer)[f"layer{layer}.weight_h"].split(H)
        assert len(blocks) == len(cell.shapes(1, H)[0].gates)
        for block in blocks:
            assert gain(block) == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize(
    "cell",
    [RNN(nonlinearity="tanh"), LSTM(), GRU(), GRUResetAfter()],
    ids=lambda cell: type(cell).__name__,
)
def test_rules_with_a_radius_or_biases_fill_block_by_block_too(cell):
    for block in weights(cell, Sparse(links=15, radius=0.95))["layer2.weight_h"].split(H):
        assert ((block != 0).sum(1) == 15).all()
        assert float(torch.linalg.eigvals(block).abs().max()) == pytest.approx(0.95)
    if cell.keep:
        for block in weights(cell, Chrono(t_max=50, gain=0.9))["layer2.weight_h"].split(H):
            torch.testing.assert_close(block @ block.T, 0.81 * torch.eye(H, dtype=torch.float64))


def test_orthogonal_blocks_are_orthogonal_and_differ():
    blocks = weights(LSTM(), Orthogonal(gain=1.0))["layer1.weight_h"].split(H)
    for block in blocks:
        assert float((block @ block.T - torch.eye(H)).abs().max()) < 1e-12
    assert not torch.equal(blocks[0], blocks[1])


def test_orthogonal_is_uniform_over_the_group():
    """Without the sign fix, QR is biased: for 2 x 2, Q's first entry would always be negative."""
    rule, facts = Orthogonal(gain=1.0), init_facts(hidden=2)
    draws = torch.stack(
        [
            rule(Block("recurrent", "h", (2, 2), 1), generator(seed, "q"), facts)
            for seed in range(400)
        ]
    )
    positive = (draws[:, 0, 0] > 0).double().mean()
    assert abs(float(positive) - 0.5) < 0.1
    reflections = (torch.linalg.det(draws) < 0).double().mean()
    assert abs(float(reflections) - 0.5) < 0.1
    angles = np.sort(np.arctan2(draws[:, 1, 0].numpy(), draws[:, 0, 0].numpy()) / (2 * np.pi) % 1)
    assert np.abs(angles - np.arange(400) / 400).max() < 1.63 / math.sqrt(400), (
        "Kolmogorov-Smirnov at 1 %"
    )


def test_std_is_no_variance():
    block = weights(RNN(nonlinearity="tanh"), Normal(std=0.1))["layer1.weight_h"]
    assert float(block.std()) == pytest.approx(0.1, rel=0.05)


def test_forget_bias_is_set_once_in_its_gate():
    bias = weights(LSTM(), Orthogonal(gain=1.0))["layer2.bias"]
    i, f, g, o = bias.split(H)
    assert (f == 1).all()
    assert all((other == 0).all() for other in (i, g, o))
    assert (weights(LSTM(), Orthogonal(gain=1.0), forget_bias=0.0)["layer2.bias"] == 0).all()
    for cell in (RNN(nonlinearity="tanh"), GRU(), GRUResetAfter()):
        found = weights(cell, Orthogonal(gain=1.0))
        assert all((value == 0).all() for name, value in found.items() if "bias" in name), (
            "no other bias is drawn or set"
        )


@pytest.mark.parametrize(
    "rule", [Normal(std=0.4), XavierUniform(), XavierNormal()], ids=lambda rule: type(rule).__name__
)
def test_the_recurrent_rule_moves_no_other_weight(rule):
    cells = (RNN(nonlinearity="tanh"), LSTM())
    for cell in cells:
        one, other = weights(cell, Orthogonal(gain=1.0)), weights(cell, rule)
        for name in one:
            assert torch.equal(one[name], other[name]) == (not name.endswith("weight_h")), name
    x = weights(RNN(nonlinearity="tanh"), Orthogonal(gain=1.0))["layer1.weight_x"]
    assert float(x.abs().max()) <= math.sqrt(6 / (1 + H)), "Xavier with fan-in 1, not orthogonal"


def test_pytorch_speaks_for_everything_in_the_layer():
    found = weights(LSTM(), PyTorch())
    for name in ("weight_x", "weight_h", "bias"):
        value = found[f"layer1.{name}"]
        assert float(value.abs().max()) <= 1 / math.sqrt(H)
        assert float(value.abs().max()) > 0.9 / math.sqrt(H)
    assert torch.equal(
        found["readout.weight"], weights(LSTM(), Orthogonal(gain=1.0))["readout.weight"]
    ), "but not for the readout"


def test_identity_starts_as_an_adder():
    found = weights(RNN(nonlinearity="relu"), Identity(alpha=0.5, input_std=0.001), inputs=200)
    assert torch.equal(found["layer1.weight_h"], 0.5 * torch.eye(H, dtype=torch.float64))
    assert float(found["layer1.weight_x"].std()) == pytest.approx(0.001, rel=0.05)
    assert float(found["layer2.weight_x"].std()) == pytest.approx(0.001, rel=0.05)
    assert (found["layer1.bias"] == 0).all()
    assert (weights(LSTM(), Identity(alpha=1.0, input_std=0.001))["layer1.bias"] == 0).all(), (
        "it speaks for biases: no forget bias either"
    )


@pytest.mark.parametrize(
    "rule", [XavierUniform(), XavierNormal()], ids=lambda rule: type(rule).__name__
)
@pytest.mark.parametrize("shape", [(300, 100), (100, 300)])
def test_xavier_takes_both_fans_of_the_block(rule, shape):
    block = rule(Block("input", "h", shape, 1), generator(0, "fans"), init_facts(hidden=64))
    assert float(block.square().mean()) == pytest.approx(2 / 400, rel=0.03)


@pytest.mark.parametrize("shape", [(12, 5), (5, 12)])
def test_orthogonal_blocks_that_are_not_square_have_singular_values_of_the_gain(shape):
    block = Orthogonal(gain=0.7)(
        Block("readout", "y", shape, 0), generator(0, "q"), init_facts(hidden=64)
    )
    assert block.shape == shape
    torch.testing.assert_close(
        torch.linalg.svdvals(block), torch.full((5,), 0.7, dtype=torch.float64)
    )


def test_seeds_differ_and_repeat():
    one, again, other = (
        weights(LSTM(), Normal(std="auto"), seed=seed)["layer1.weight_h"] for seed in (0, 0, 1)
    )
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Orthogonal(gain=0.0),
        lambda: Normal(std=-1.0),
        lambda: Identity(alpha=0.0, input_std=1.0),
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="greater than 0"):
        wrong()


def test_std_as_text_says_what_is_allowed():
    with pytest.raises(
        ValueError, match="std must be auto or a number greater than 0, got 'large'"
    ):
        Normal(std="large")
