"""Cells against torch.nn (outputs and all gradients) and against their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from study.cells.gru import GRU
from study.cells.gru_reset_after import GRUResetAfter
from study.cells.lstm import LSTM
from study.cells.rnn import RNN
from study.interfaces import Cell
from study.model import Model
from study.numerics.linear import linear
from tests.support.helpers import PlainReadout

D, H, B, T = 3, 6, 4, 12


def torch_layer(kind: str, depth: int) -> torch.nn.RNNBase:
    """torch's layer, chosen by name rather than by our cell, which could swap tanh and ReLU."""
    settings = {
        "input_size": D,
        "hidden_size": H,
        "num_layers": depth,
        "batch_first": True,
        "dtype": torch.float64,
    }
    if kind in ("tanh", "relu"):
        return torch.nn.RNN(nonlinearity=kind, **settings)
    return {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU}[kind](**settings)


def ours(theirs: torch.nn.RNNBase, cell: Cell, depth: int) -> dict[str, Tensor]:
    """Our tensors from torch's: one bias per gate, except for the GRU's b_hn."""
    tensors = {}
    for layer in range(depth):
        weight_x, weight_h, bias_x, bias_h = (
            getattr(theirs, f"{name}_l{layer}").detach()
            for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        bias = bias_x + bias_h
        if isinstance(cell, GRUResetAfter):
            bias = torch.cat([bias[: 2 * H], bias_x[2 * H :]])
            tensors[f"layer{layer + 1}.bias_hn"] = bias_h[2 * H :]
        tensors |= {
            f"layer{layer + 1}.weight_x": weight_x,
            f"layer{layer + 1}.weight_h": weight_h,
            f"layer{layer + 1}.bias": bias,
        }
    tensors["readout.weight"] = torch.eye(H, dtype=torch.float64)
    return {name: value[None].clone().requires_grad_() for name, value in tensors.items()}


@pytest.mark.parametrize(
    ("kind", "cell"),
    [
        ("tanh", RNN(nonlinearity="tanh")),
        ("relu", RNN(nonlinearity="relu")),
        ("lstm", LSTM()),
        ("gru", GRUResetAfter()),
    ],
)
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("kernel", ["native", "fused", "reference"])
def test_equals_torch_nn_in_outputs_and_all_gradients(kind, cell, depth, kernel):
    torch.manual_seed(depth)
    theirs = torch_layer(kind, depth)
    params = ours(theirs, cell, depth)
    model = Model(
        cell=cell,
        readout=PlainReadout(every_step=True),
        inputs=D,
        outputs=H,
        hidden=H,
        depth=depth,
        dropout=0.0,
        kernel=kernel,
    )
    x = torch.randn(B, T, D, dtype=torch.float64, requires_grad=True)
    x_ours = x.detach().clone().requires_grad_()
    expected, _ = theirs(x)
    found = model.forward(params, x_ours[None], None)[0]
    assert float((found - expected).detach().abs().max()) < 1e-10
    weighting = torch.randn_like(expected)
    (expected * weighting).sum().backward()
    (found * weighting).sum().backward()
    assert float((x_ours.grad - x.grad).abs().max()) < 1e-10
    for layer in range(depth):
        for name, torchs in (("weight_x", "weight_ih"), ("weight_h", "weight_hh")):
            difference = (
                params[f"layer{layer + 1}.{name}"].grad[0]
                - getattr(theirs, f"{torchs}_l{layer}").grad
            )
            assert float(difference.abs().max()) < 1e-10, (layer, name)
        bias = getattr(theirs, f"bias_ih_l{layer}").grad
        assert float((params[f"layer{layer + 1}.bias"].grad[0] - bias).abs().max()) < 1e-10
        if isinstance(cell, GRUResetAfter):
            difference = (
                params[f"layer{layer + 1}.bias_hn"].grad[0]
                - getattr(theirs, f"bias_hh_l{layer}").grad[2 * H :]
            )
            assert float(difference.abs().max()) < 1e-10


def test_gru_equals_its_formula_written_out():
    """r,z = σ(…), h̃ = tanh(W x + U (r⊙h) + b), h = (1-z)⊙h + z⊙h̃, in numpy."""
    rng = np.random.default_rng(0)
    W, U, b, x = (
        rng.normal(size=(3, H, D)),
        rng.normal(size=(3, H, H)),
        rng.normal(size=(3, H)),
        rng.normal(size=(B, T, D)),
    )

    def sigmoid(a):
        return 1 / (1 + np.exp(-a))

    h, expected = np.zeros((B, H)), []
    for t in range(T):
        r = sigmoid(x[:, t] @ W[0].T + h @ U[0].T + b[0])
        z = sigmoid(x[:, t] @ W[1].T + h @ U[1].T + b[1])
        candidate = np.tanh(x[:, t] @ W[2].T + (r * h) @ U[2].T + b[2])
        h = (1 - z) * h + z * candidate
        expected.append(h)
    model = Model(
        cell=GRU(),
        readout=PlainReadout(every_step=True),
        inputs=D,
        outputs=H,
        hidden=H,
        depth=1,
        dropout=0.0,
        kernel="fused",
    )
    params = {
        "layer1.weight_x": W.reshape(3 * H, D),
        "layer1.weight_h": U.reshape(3 * H, H),
        "layer1.bias": b.reshape(3 * H),
        "readout.weight": np.eye(H),
    }
    found = model.forward(
        {name: torch.from_numpy(value)[None] for name, value in params.items()},
        torch.from_numpy(x)[None],
        None,
    )[0]
    np.testing.assert_allclose(found.numpy(), np.stack(expected, 1), atol=1e-12)


def both_grus(U: Tensor, b_r: Tensor, steps: int = 5) -> tuple[Tensor, Tensor]:
    """Outputs of the two GRUs with the same weights, z mapped between the conventions (negated)."""
    torch.manual_seed(3)
    W, b, x = (
        torch.randn(3, H, D).double(),
        torch.randn(3, H).double(),
        torch.randn(1, B, steps, D).double(),
    )
    b[0] = b_r
    flip = torch.tensor([1.0, -1.0, 1.0]).double()[:, None]
    outputs = []
    for cell, sign in ((GRU(), torch.ones(3, 1).double()), (GRUResetAfter(), flip)):
        model = Model(
            cell=cell,
            readout=PlainReadout(every_step=True),
            inputs=D,
            outputs=H,
            hidden=H,
            depth=1,
            dropout=0.0,
            kernel="fused",
        )
        params = {
            "layer1.weight_x": (sign[..., None] * W).reshape(1, 3 * H, D),
            "layer1.weight_h": (sign[..., None] * U).reshape(1, 3 * H, H),
            "layer1.bias": (sign * b).reshape(1, 3 * H),
            "layer1.bias_hn": torch.zeros(1, H).double(),
            "readout.weight": torch.eye(H).double()[None],
        }
        outputs.append(model.forward(params, x, None)[0])
    return outputs[0], outputs[1]


def test_the_two_grus_agree_where_theory_says_and_differ_elsewhere():
    diagonal = torch.diag_embed(torch.randn(3, H).double())
    before, after = both_grus(diagonal, torch.zeros(H).double())
    assert float((before - after).abs().max()) < 1e-12, "diagonal U with b_hn = 0"
    full = torch.randn(3, H, H).double()
    before, after = both_grus(full, torch.full((H,), 60.0).double())
    assert float((before - after).abs().max()) < 1e-9, "r = 1"
    before, after = both_grus(full, torch.zeros(H).double())
    assert float((before - after).abs().max()) > 0.01, "generic weights: two cells"


def test_variable_lengths_read_each_examples_last_step():
    from study.readouts.last import Last

    model = Model(
        cell=LSTM(),
        readout=Last(),
        inputs=D,
        outputs=2,
        hidden=8,
        depth=2,
        dropout=0.0,
        kernel="fused",
    )
    params = model.named(torch.randn(1, model.width).double())
    x, lengths = torch.randn(1, 3, 9, D).double(), torch.tensor([[9, 4, 6]])
    together = model.forward(params, x, lengths)
    for index, length in enumerate(lengths[0].tolist()):
        alone = model.forward(params, x[:, index : index + 1, :length], None)
        assert float((together[0, index] - alone[0, 0]).abs().max()) < 1e-12


@pytest.mark.parametrize(
    "cell", [LSTM(), GRU(), GRUResetAfter()], ids=lambda cell: type(cell).__name__
)
def test_the_keep_gates_bias_is_the_share_that_is_kept(cell):
    """With zero weights, ds_t/ds_{t-1} = σ(b_f), textbook GRU σ(-b_z), torch's GRU σ(b_z)."""
    ((gate, sign),) = cell.keep.items()
    for bias in (1.0, -2.0):
        params = {
            parameter.name: torch.zeros(1, *parameter.shape, dtype=torch.float64)
            for parameter in cell.shapes(D, H)
        }
        start = (
            next(
                parameter for parameter in cell.shapes(D, H) if parameter.name == "bias"
            ).gates.index(gate)
            * H
        )
        params["bias"][:, start : start + H] = bias
        state = tuple(
            torch.full((1, B, H), 0.3, dtype=torch.float64, requires_grad=True) for _ in cell.states
        )
        after = cell.step(
            params, cell.project(params, torch.zeros(1, 1, B, D, dtype=torch.float64))[:, 0], state
        )
        (grad,) = torch.autograd.grad(after[-1].sum(), state[-1])
        expected = 1 / (1 + np.exp(-sign * bias))
        assert float((grad - expected).abs().max()) < 1e-14
    assert {LSTM: {"f": 1}, GRU: {"z": -1}, GRUResetAfter: {"z": 1}}[type(cell)] == cell.keep


def test_gates_lie_where_their_names_say():
    """The order of blocks in a tensor is torch's."""
    assert {parameter.gates for parameter in LSTM().shapes(D, H)} == {("i", "f", "g", "o")}
    assert {parameter.gates for parameter in GRU().shapes(D, H)} == {("r", "z", "n")}
    assert {parameter.gates for parameter in GRUResetAfter().shapes(D, H)} == {
        ("r", "z", "n"),
        ("hn",),
    }
    assert {parameter.gates for parameter in RNN(nonlinearity="tanh").shapes(D, H)} == {("h",)}


def test_an_unknown_nonlinearity_is_refused():
    with pytest.raises(ValueError, match="nonlinearity must be tanh or relu, got 'sigmoid'"):
        RNN(nonlinearity="sigmoid")


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 5), (5, 1), (1, 1), (16, 32)])
def test_linear_is_the_product(inputs, outputs):
    random = torch.Generator().manual_seed(0)
    x, weight, bias = (
        torch.randn(shape, generator=random)
        for shape in ((3, 8, 32, inputs), (3, outputs, inputs), (3, outputs))
    )
    expected = (
        torch.einsum("mtbd,mod->mtbo", x.double(), weight.double()) + bias.double()[:, None, None]
    )
    three = linear(x, weight, bias)
    torch.testing.assert_close(three.double(), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        linear(x, weight, None), three - bias[:, None, None], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize(("inputs", "outputs"), [(1, 5), (1, 32), (5, 1), (1, 1), (16, 32)])
def test_linear_has_the_same_bits_whatever_the_number_of_members(inputs, outputs):
    """Outputs and gradients.

    Widths of 1 are element-wise: at M = 1, matrix products of that width round differently.
    """

    def bits(count: int) -> list[Tensor]:
        random = torch.Generator().manual_seed(0)
        tensors = [
            torch.randn(shape, generator=random)[:count]
            for shape in ((3, 8, 32, inputs), (3, outputs, inputs), (3, outputs))
        ]
        weighting = torch.randn(3, 8, 32, outputs, generator=random)[:count]
        leaves = [tensor.clone().requires_grad_() for tensor in tensors]
        y = linear(*leaves)
        return [y.detach(), *torch.autograd.grad((y * weighting).sum(), leaves)]

    three = bits(3)
    for count in (1, 2) if 1 in (inputs, outputs) else (2,):
        for found, expected in zip(bits(count), three, strict=True):
            assert torch.equal(found, expected[:count])
