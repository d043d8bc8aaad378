"""Recurrences of today against their formulas written out, and against what theory says of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from torch import Tensor

from study.cells.cornn import CoRNN
from study.cells.deltanet import DeltaNet
from study.cells.indrnn import IndRNN
from study.cells.lem import LEM
from study.cells.lru import LRU, eigenvalues
from study.cells.lstm import LSTM
from study.cells.lstm_layernorm import LSTMLayerNorm
from study.cells.lstm_peephole import LSTMPeephole
from study.cells.mingru import MinGRU
from study.cells.minlstm import MinLSTM
from study.cells.mlstm import MLSTM
from study.cells.ntm import NTM
from study.cells.orthogonal_rnn import OrthogonalRNN, orthogonal
from study.cells.shared import in_blocks
from study.cells.slstm import SLSTM
from study.interfaces import Cell
from study.kernels import reference
from study.kernels.step_norms import STEP_NORMS
from study.model import Model
from tests.support.helpers import PlainReadout

H, B, T = 4, 3, 7
Weights = Mapping[str, np.ndarray]


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def drawn(cell: Cell, inputs: int, seed: int = 0) -> dict[str, Tensor]:
    """Weights [1, …] of one layer."""
    generator = torch.Generator().manual_seed(seed)
    return {
        one.name: 0.5 * torch.randn(1, *one.shape, dtype=torch.float64, generator=generator)
        for one in cell.shapes(inputs, H)
    }


def series(inputs: int, steps: int = T) -> Tensor:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(1, steps, B, inputs, dtype=torch.float64, generator=generator)


def blocks(w: Weights, name: str, count: int) -> list[np.ndarray]:
    return np.split(w[name], count)


def mingru(w: Weights, x: np.ndarray, s: list[np.ndarray]) -> list[np.ndarray]:
    (Wz, Wn), (bz, bn) = blocks(w, "weight_x", 2), blocks(w, "bias", 2)
    z = sigmoid(x @ Wz.T + bz)
    return [(1 - z) * s[0] + z * (x @ Wn.T + bn)]


def minlstm(w: Weights, x: np.ndarray, s: list[np.ndarray]) -> list[np.ndarray]:
    (Wf, Wi, Wn), (bf, bi, bn) = blocks(w, "weight_x", 3), blocks(w, "bias", 3)
    f, i = sigmoid(x @ Wf.T + bf), sigmoid(x @ Wi.T + bi)
    return [f / (f + i) * s[0] + i / (f + i) * (x @ Wn.T + bn)]


def indrnn(w: Weights, x: np.ndarray, s: list[np.ndarray]) -> list[np.ndarray]:
    return [np.maximum(x @ w["weight_x"].T + w["weight_u"] * s[0] + w["bias"], 0)]


def lru(w: Weights, x: np.ndarray, s: list[np.ndarray]) -> list[np.ndarray]:
    B_ = np.vectorize(complex)(*blocks(w, "weight_b", 2))
    C = np.vectorize(complex)(*blocks(w, "weight_c", 2))
    a = np.exp(-np.exp(w["nu"]) + 1j * np.exp(w["theta"]))
    c = a * (s[1] + 1j * s[2]) + np.exp(w["gamma"]) * (x @ B_.T)
    return [(c @ C.T).real + x @ w["weight_d"].T, c.real, c.imag]


def slstm(w: Weights, x: np.ndarray, s: list[np.ndarray]) -> list[np.ndarray]:
    """Without the exponent that is carried along: m is what the largest was."""
    h, c, n, m = s
    i, f, z, o = np.split(x @ w["weight_x"].T + h @ w["weight_h"].T + w["bias"], 4, axis=1)
    c, n = np.exp(m) * c, np.exp(m) * n
    c, n = sigmoid(f) * c + np.exp(i) * np.tanh(z), sigmoid(f) * n + np.exp(i)
    m = np.maximum(np.log(sigmoid(f)) + m, i)
    return [sigmoid(o) * c / n, c * np.exp(-m), n * np.exp(-m), m]


def orthogonal_rnn(w: Weights, x: np.ndarray, s: list[np.ndarray]) -> list[np.ndarray]:
    A, one = (w["skew"] - w["skew"].T) / 2, np.eye(H)
    z = x @ w["weight_x"].T + s[0] @ (np.linalg.inv(one + A) @ (one - A)).T
    return [np.sign(z) * np.maximum(np.abs(z) + w["bias"], 0)]


def cornn(w: Weights, x: np.ndarray, s: list[np.ndarray]) -> list[np.ndarray]:
    y, z = s
    inner = y @ w["weight_h"].T + z @ w["weight_z"].T + x @ w["weight_x"].T + w["bias"]
    z = z + 0.1 * (np.tanh(inner) - 2.0 * y - 0.5 * z)
    return [y + 0.1 * z, z]


def lem(w: Weights, x: np.ndarray, s: list[np.ndarray]) -> list[np.ndarray]:
    y, z = s
    V, W, b = blocks(w, "weight_x", 4), blocks(w, "weight_h", 4), blocks(w, "bias", 4)
    d, e = (0.5 * sigmoid(y @ W[k].T + x @ V[k].T + b[k]) for k in (0, 1))
    z = (1 - d) * z + d * np.tanh(y @ W[2].T + x @ V[2].T + b[2])
    return [(1 - e) * y + e * np.tanh(z @ W[3].T + x @ V[3].T + b[3]), z]


def mlstm(w: Weights, x: np.ndarray, s: list[np.ndarray]) -> list[np.ndarray]:
    """Without the exponent that is carried along."""
    _, C, n, m = s
    C, n = np.exp(m)[..., None] * C.reshape(B, H, H), np.exp(m) * n
    q, k, v, o = np.split(x @ w["weight_x"].T + w["bias"], 4, axis=1)
    i, f = np.split(x @ w["weight_g"].T + w["bias_g"], 2, axis=1)
    k = k / H**0.5
    C = sigmoid(f)[..., None] * C + np.exp(i)[..., None] * np.einsum("bi,bj->bij", v, k)
    n = sigmoid(f) * n + np.exp(i) * k
    read = np.einsum("bij,bj->bi", C, q) / np.maximum(np.abs((n * q).sum(1)), 1)[:, None]
    m = np.maximum(np.log(sigmoid(f)) + m, i)
    kept = (C * np.exp(-m)[..., None]).reshape(B, H * H)
    return [sigmoid(o) * read, kept, n * np.exp(-m), m]


def deltanet(w: Weights, x: np.ndarray, s: list[np.ndarray]) -> list[np.ndarray]:
    q, k, v = np.split(x @ w["weight_x"].T + w["bias"], 3, axis=1)
    q, k = (z * sigmoid(z) for z in (q, k))
    q, k = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in (q, k))
    beta, S = sigmoid(x @ w["weight_g"].T + w["bias_g"]), s[1].reshape(B, H, H)
    S = np.stack(
        [
            one @ (np.eye(H) - b * np.outer(key, key)) + b * np.outer(value, key)
            for one, b, key, value in zip(S, beta[:, 0], k, v, strict=True)
        ]
    )
    return [np.einsum("bij,bj->bi", S, q), S.reshape(B, H * H)]


def lstm_layernorm(w: Weights, x: np.ndarray, s: list[np.ndarray]) -> list[np.ndarray]:
    def ln(z: np.ndarray) -> np.ndarray:
        shape = (z.shape[-1],)
        return torch.nn.functional.layer_norm(torch.from_numpy(z), shape).numpy()

    z = ln(x @ w["weight_x"].T) * w["gain_x"] + ln(s[0] @ w["weight_h"].T) * w["gain_h"] + w["bias"]
    i, f, g, o = np.split(z, 4, axis=1)
    c = sigmoid(f) * s[1] + sigmoid(i) * np.tanh(g)
    return [sigmoid(o) * np.tanh(ln(c) * w["gain_c"] + w["bias_c"]), c]


def lstm_peephole(w: Weights, x: np.ndarray, s: list[np.ndarray]) -> list[np.ndarray]:
    z = x @ w["weight_x"].T + s[0] @ w["weight_h"].T + w["bias"]
    (i, f, g, o), p = np.split(z, 4, axis=1), blocks(w, "peepholes", 3)
    c = sigmoid(f + p[1] * s[1]) * s[1] + sigmoid(i + p[0] * s[1]) * np.tanh(g)
    return [sigmoid(o + p[2] * c) * np.tanh(c), c]


def ntm(w: Weights, x: np.ndarray, s: list[np.ndarray]) -> list[np.ndarray]:
    """One example at a time, heads and slots by loops; 3 slots of 2 values."""
    found = []
    for e in range(B):
        h, c, M, *before = (part[e] for part in s)
        i, f, g, o = np.split(x[e] @ w["weight_x"].T + h @ w["weight_h"].T + w["bias"], 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        u, M = sigmoid(o) * np.tanh(c), M.reshape(3, 2).copy()
        said = w["weight_heads"] @ u + w["bias_heads"]
        heads, erase, add = (said[:8], said[8:16]), sigmoid(said[16:18]), said[18:]
        weights = []
        for number, (head, was) in enumerate(zip(heads, before, strict=True)):
            k, beta, mix = head[:2], np.log1p(np.exp(head[2])), sigmoid(head[3])
            cosines = np.array([k @ m / max(np.hypot(*k) * np.hypot(*m), 1e-300) for m in M])
            content = np.exp(beta * cosines) / np.exp(beta * cosines).sum()
            gated = mix * content + (1 - mix) * (np.eye(3)[0] + was)
            shift = np.exp(head[4:7]) / np.exp(head[4:7]).sum()
            moved = [
                sum(shift[by + 1] * gated[(slot - by) % 3] for by in (-1, 0, 1))
                for slot in range(3)
            ]
            sharp = np.array(moved) ** (1 + np.log1p(np.exp(head[7])))
            weights.append(sharp / sharp.sum())
            if number == 0:
                M = M * (1 - np.outer(weights[0], erase)) + np.outer(weights[0], add)
        h = u + w["weight_r"] @ (weights[1] @ M)
        found.append([h, c, M.ravel(), *(one - np.eye(3)[0] for one in weights)])
    return [np.stack(parts) for parts in zip(*found, strict=True)]


FORMULAS = [
    (MinGRU(), mingru),
    (MinLSTM(), minlstm),
    (IndRNN(nonlinearity="relu", lowest=0.0, highest=1.0), indrnn),
    (LRU(r_min=0.5, r_max=0.9, largest_phase=3.0), lru),
    (SLSTM(), slstm),
    (OrthogonalRNN(), orthogonal_rnn),
    (CoRNN(step_length=0.1, frequency=2.0, damping=0.5), cornn),
    (LEM(step_length=0.5), lem),
    (LSTMLayerNorm(), lstm_layernorm),
    (LSTMPeephole(), lstm_peephole),
    (MLSTM(), mlstm),
    (DeltaNet(), deltanet),
    (NTM(slots=3, slot_width=2), ntm),
]


@pytest.mark.parametrize(
    ("cell", "formula"), FORMULAS, ids=lambda one: getattr(one, "__name__", "")
)
@pytest.mark.parametrize("inputs", [1, 3])
def test_states_are_those_of_the_papers_formula(cell, formula, inputs):
    params, x = drawn(cell, inputs), series(inputs)
    found = reference.unroll(cell, params, x, H, taps=False)
    weights = {name: value[0].numpy() for name, value in params.items()}
    state = [np.zeros((B, width)) for width in cell.widths(H)]
    for t, here in enumerate(found):
        state = formula(weights, x[0, t].numpy(), state)
        for name, one, due in zip(cell.states, here, state, strict=True):
            np.testing.assert_allclose(one[0].numpy(), due, rtol=1e-9, atol=1e-11, err_msg=name)


def model(cell: Cell, kernel: str, inputs: int = 2) -> Model:
    return Model(
        cell=cell,
        readout=PlainReadout(every_step=False),
        inputs=inputs,
        outputs=1,
        hidden=H,
        depth=1,
        dropout=0.0,
        kernel=kernel,
    )


def test_a_linear_cell_has_the_compiled_pass_unless_it_steps_otherwise():
    class Own(MinGRU):
        def step(self, params, x, state):
            return (0 * state[0],)

    assert MinGRU().has_kernel("native") and MinLSTM().has_kernel("native")
    assert not Own().has_kernel("native") and not MinGRU().has_kernel("fused")


@pytest.mark.parametrize("every", [True, False])
@pytest.mark.parametrize(
    "cell",
    [MinGRU(), MinLSTM(), LRU(r_min=0.5, r_max=0.99, largest_phase=3.0)],
    ids=lambda cell: type(cell).__name__,
)
def test_a_long_sequence_in_blocks_is_the_same_as_step_after_step(monkeypatch, cell, every):
    """Outputs, gradients of weights and inputs, and norms at every step; 7 steps in blocks of 3."""
    monkeypatch.setattr(in_blocks, "WHOLE", 2 * B * H)
    monkeypatch.setattr(in_blocks, "BLOCK", 3 * B * H)
    params = {name: value.requires_grad_() for name, value in drawn(cell, 2).items()}
    norms = torch.zeros(1, T, B, dtype=torch.float64, requires_grad=True)
    x = series(2).requires_grad_()
    into = [*params.values(), x, norms]
    found = cell.native(params).outputs(x, norms, last_step_only=not every)
    due = reference.outputs(cell, params | {STEP_NORMS: norms}, x, H)[:, 0 if every else -1 :]
    torch.testing.assert_close(found, due, rtol=1e-12, atol=1e-12)
    scale = torch.linspace(1, 2, due.numel(), dtype=torch.float64).view_as(due)
    ours, theirs = (torch.autograd.grad((scale * h.sin()).sum(), into) for h in (found, due))
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kernel", ["native", "reference"])
def test_what_a_linear_cell_lets_through_is_the_product_of_its_shares(kernel):
    """dL/dh_{T-k} = dL/dh_T ⊙ Π(1 − z), at the end read by a row of ones."""
    cell, steps = MinGRU(), 60
    params, x = drawn(cell, 2), series(2, steps)
    of = model(cell, kernel)
    named = {f"layer1.{name}": value for name, value in params.items()}
    named["readout.weight"] = torch.ones(1, 1, H, dtype=torch.float64)
    unrolled = of.unrolled(named, x.transpose(1, 2).clone().requires_grad_(), None)
    (found,) = unrolled.derivatives(unrolled.outputs)
    kept, _ = cell.coefficients(params, x)
    due = kept.flip(1).cumprod(1).flip(1)[:, 1:]
    torch.testing.assert_close(found["h"][:, :-1], due, rtol=1e-12, atol=0)


@pytest.mark.parametrize("kernel", ["native", "reference"])
def test_an_lru_lets_through_powers_of_its_eigenvalues(kernel):
    cell, steps = LRU(r_min=0.5, r_max=0.99, largest_phase=6.28), 40
    params, x = drawn(cell, 2), series(2, steps)
    params |= {
        name: value[None]
        for name, value in cell.first(2, H, torch.Generator().manual_seed(0)).items()
    }
    sizes = torch.stack(eigenvalues(params)).square().sum(0).sqrt()
    assert ((sizes >= 0.5) & (sizes <= 0.99)).all()
    torch.testing.assert_close(params["gamma"].exp(), (1 - sizes**2).sqrt())
    named = {f"layer1.{name}": value for name, value in params.items()}
    named["readout.weight"] = torch.ones(1, 1, H, dtype=torch.float64)
    unrolled = model(cell, kernel).unrolled(named, x.transpose(1, 2).clone().requires_grad_(), None)
    (found,) = unrolled.derivatives(unrolled.outputs)
    size = (found["re"].square() + found["im"].square()).sqrt()
    # the last state is read in its own step; from the one before on, one power a step
    lags = torch.arange(steps - 1, dtype=torch.float64).flip(0)[:, None, None]
    due = size[:, -2:-1] * sizes[:, None, None] ** (lags[None])
    torch.testing.assert_close(size[:, :-1], due, rtol=1e-10, atol=0)


def test_an_orthogonal_matrix_is_orthogonal_after_a_thousand_updates():
    cell = OrthogonalRNN()
    params = {name: value.requires_grad_() for name, value in drawn(cell, 2).items()}
    optimizer = torch.optim.Adam(params.values(), lr=0.02)
    x, before = series(2, 3), orthogonal(params).detach()
    for _ in range(1000):
        optimizer.zero_grad()
        (reference.outputs(cell, params, x, H)[:, -1].sum() - 1).square().backward()
        optimizer.step()
    after = orthogonal(params).detach()[0]
    assert (after - before).abs().max() > 0.05, "else this tests nothing"
    error = (after @ after.T - torch.eye(H, dtype=torch.float64)).abs().max()
    assert error < 1e-12


def test_undriven_oscillators_lose_what_their_damping_says():
    """One step is a linear map of determinant 1 − Δ ε: over k steps states shrink by its root."""
    cell = CoRNN(step_length=0.1, frequency=2.0, damping=0.5)
    params = {name: torch.zeros_like(value) for name, value in drawn(cell, 1).items()}

    def step(state: Tensor) -> Tensor:
        y, z = state.view(2, 1, 1, 1).expand(2, 1, 1, H)
        return torch.stack([part[0, 0, 0] for part in cell.step(params, 0 * y, (y, z))])

    jacobian = torch.autograd.functional.jacobian(step, torch.ones(2, dtype=torch.float64))
    np.testing.assert_allclose(
        np.abs(np.linalg.eigvals(jacobian.numpy())), (1 - 0.1 * 0.5) ** 0.5, rtol=1e-12
    )


def test_a_memory_that_is_written_by_the_delta_rule_replaces_what_a_key_stood_for():
    """Three keys at right angles, the first written twice, β = 1: each finds its last value."""
    cell, one = DeltaNet(), torch.eye(H, dtype=torch.float64)
    keys, values = one[[0, 1, 2, 0]], torch.arange(16, dtype=torch.float64).view(4, H)
    state = (torch.zeros(1, 1, H).double(), torch.zeros(1, 1, H * H).double())
    for key, value in zip(keys, values, strict=True):
        x = torch.cat([key, key, value, torch.ones(1).double()])[None, None]
        state = cell.step({}, x, state)
    memory = state[1].view(H, H)
    torch.testing.assert_close(memory @ one[0], values[3])
    torch.testing.assert_close(memory @ one[1], values[1])
    torch.testing.assert_close(memory @ one[3], torch.zeros(H).double())


def test_a_machine_that_moves_its_heads_copies_what_it_is_shown():
    """By hand: the writing head moves on by a slot a step and puts what it is shown there; sent
    back, by content, to a mark on the first slot, the reading head gives it back in order.
    """
    slots, width, sure = 6, 3, 200.0
    cell = NTM(slots=slots, slot_width=width)
    head, nothing = width + 6, torch.zeros(width)
    stay, on = torch.tensor([-sure, sure, -sure]), torch.tensor([-sure, -sure, sure])
    mark = torch.tensor([1.0, 0.0, 0.0])

    def told(key: Tensor, by_content: float, shift: Tensor) -> Tensor:
        return torch.cat([key, torch.tensor([sure, by_content]), shift, torch.tensor([sure])])

    def says(write: Tensor, read: Tensor, erase: float, add: Tensor) -> Tensor:
        return torch.cat([write, read, torch.full((width,), erase), add])

    shown = torch.tensor([[0.0, 1, 2], [0, -3, 1], [0, 2, 2]])
    wait = told(nothing, -sure, stay)
    program = [says(wait, wait, sure, mark)]
    program += [says(told(nothing, -sure, on), wait, sure, one) for one in shown]
    keep = says(wait, told(mark, sure, stay), -sure, nothing)  # to the mark, nothing is written
    program += [keep, *[says(wait, told(nothing, -sure, on), -sure, nothing)] * 3]
    state = tuple(torch.zeros(1, 1, size).double() for size in cell.widths(1))
    zeros = {one.name: torch.zeros(1, *one.shape).double() for one in cell.shapes(1, 1)}
    zeros["weight_r"][0, 0] = torch.tensor([1.0, 10, 100])  # h is what was read, in digits
    read = []
    for said in program:
        assert len(said) == 2 * head + 2 * width
        x = torch.zeros(1, 1, 4).double()
        state = cell.step(zeros | {"bias_heads": said[None].double()}, x, state)
        read.append(state[0].item())
    memory = state[2].view(slots, width).float()
    torch.testing.assert_close(memory, torch.cat([mark[None], shown, torch.zeros(2, width)]))
    np.testing.assert_allclose(read[-4:], [1, 210, 70, 220], atol=1e-6)


def test_with_peepholes_it_starts_as_the_lstm():
    cell = LSTMPeephole()
    params = drawn(cell, 2)
    (peepholes,) = cell.first(2, H, torch.Generator()).values()
    at_first = params | {"peepholes": peepholes[None]}
    plain = {name: value for name, value in params.items() if name != "peepholes"}
    assert torch.equal(
        reference.outputs(cell, at_first, series(2), H),
        reference.outputs(LSTM(), plain, series(2), H),
    )
