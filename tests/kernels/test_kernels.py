"""Compiled kernels against the reference: odd sizes, chunks, Inf and NaN, single members."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest
import torch
from threadpoolctl import threadpool_info

from study.cells.gru import GRU
from study.cells.gru_reset_after import GRUResetAfter
from study.cells.lstm import LSTM
from study.cells.rnn import RNN
from study.kernels import reference
from study.kernels.native import layer
from study.kernels.native.maths import compiled, sigmoid
from study.kernels.native.vectors import WIDE, load, store, width
from study.machine.cache import cache_folder
from study.model import Model
from study.readouts.last import Last
from study.training.compile import compile_cell
from study.training.precision import fixed_numerics
from tests import ROOT

CELLS = {
    "tanh": RNN(nonlinearity="tanh"),
    "relu": RNN(nonlinearity="relu"),
    "lstm": LSTM(),
    "gru": GRU(),
    "reset_after": GRUResetAfter(),
}


@compiled
def sigmoid_(values):
    """In place, for whole vectors; the remainder is unchanged."""
    for index in range(0, values.size - width(values) + 1, width(values)):
        store(values, index, sigmoid(load(values, index)))


@pytest.fixture(params=CELLS)
def cell(request):
    return CELLS[request.param]


def weights(cell, members, inputs, hidden, dtype=torch.float64):
    drawn = torch.Generator().manual_seed(hidden)
    return {
        one.name: (
            (
                torch.randn(members, *one.shape, generator=drawn, dtype=torch.float64) / hidden**0.5
            ).to(dtype)
        )
        for one in cell.shapes(inputs, hidden)
    }


def inputs(members, steps, batch, width, dtype=torch.float64):
    return torch.randn(
        members,
        steps,
        batch,
        width,
        generator=torch.Generator().manual_seed(steps),
        dtype=torch.float64,
    ).to(dtype)


def outcome(cell, kernel, params, x, weighting=None):
    """h and the gradients of x and all weights."""
    leaves = {"x": x, **params}
    leaves = {name: value.detach().clone().requires_grad_() for name, value in leaves.items()}
    rest = {name: value for name, value in leaves.items() if name != "x"}
    h = (
        cell.native(rest).outputs(leaves["x"])
        if kernel == "native"
        else reference.outputs(cell, rest, leaves["x"], cell_hidden(cell, params))
    )
    weighting = torch.ones_like(h) if weighting is None else weighting
    return h.detach(), dict(
        zip(leaves, torch.autograd.grad(h, list(leaves.values()), weighting), strict=True)
    )


def cell_hidden(cell, params):
    return params["weight_h"].shape[-1]


@pytest.mark.parametrize(
    ("members", "steps", "batch", "width", "hidden"),
    [
        (1, 1, 1, 1, 1),
        (3, 7, 5, 3, 7),
        (2, 11, 100, 2, 9),
        (2, 5, 300, 1, 3),
        (2, 19, 40, 17, 24),
        (1, 6, 16, 40, 20),
    ],
)
def test_it_equals_the_reference(cell, members, steps, batch, width, hidden):
    """Every number of vectors per row; remainders of panels, stretches, rows and units."""
    params, x = weights(cell, members, width, hidden), inputs(members, steps, batch, width)
    weighting = inputs(members, steps, batch, hidden)
    (h, grads), (expected, wanted) = (
        outcome(cell, kernel, params, x, weighting) for kernel in ("native", "reference")
    )
    assert (h - expected).abs().max() < 1e-12
    for name, grad in wanted.items():
        assert (grads[name] - grad).abs().max() < 1e-10 * max(1.0, float(grad.abs().max())), name


def test_single_precision_is_as_near_to_the_truth_as_the_reference(cell):
    exact = weights(cell, 2, 3, 20), inputs(2, 40, 16, 3)
    true_h, true = outcome(cell, "reference", *exact)
    errors = {}
    for kernel in ("native", "reference"):
        h, grads = outcome(
            cell,
            kernel,
            weights(cell, 2, 3, 20, torch.float32),
            inputs(2, 40, 16, 3, torch.float32),
        )
        errors[kernel] = [
            float((h - true_h).abs().max()),
            *(float((grads[name] - true[name]).norm() / true[name].norm()) for name in true),
        ]
    assert all(
        ours < 10 * theirs + 1e-7
        for ours, theirs in zip(errors["native"], errors["reference"], strict=True)
    ), errors


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_stays_visible(cell, bad, dtype):
    params, x = weights(cell, 2, 2, 8, dtype), inputs(2, 6, 4, 2, dtype)
    params["weight_h"][1, 0, 0] = bad
    h, grads = outcome(cell, "native", params, x)
    assert h[0].isfinite().all()
    assert all(grad[0].isfinite().all() for grad in grads.values()), "another member's"
    expected, _ = outcome(cell, "reference", params, x)
    assert torch.equal(h[1].isfinite(), expected[1].isfinite())
    assert not grads["weight_h"][1].isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("far", [50.0, 90.0, 800.0, 1e4])
def test_saturated_gates_are_exactly_shut_or_open(far, dtype):
    """exp of large arguments neither becomes NaN nor leaves [0, 1]."""
    values = torch.tensor(
        [-far, far, -0.0, 0.0, float("inf"), -float("inf"), float("nan"), *[1.0] * 9], dtype=dtype
    )
    found = values.clone()
    sigmoid_(found.numpy())
    assert torch.allclose(found[:6], torch.sigmoid(values[:6]), atol=1e-7, rtol=0)
    assert ((found[:6] >= 0) & (found[:6] <= 1)).all()
    assert found[6].isnan()


@pytest.mark.parametrize(
    ("dtype", "near", "digits"), [(torch.float32, 1.2e-7, 3e-6), (torch.float64, 3e-16, 1e-14)]
)
def test_the_sigmoid_is_right_everywhere(dtype, near, digits):
    values = torch.linspace(-30, 30, 102_400, dtype=torch.float64)
    found = values.to(dtype, copy=True)
    exact = torch.sigmoid(found.double())
    sigmoid_(found.numpy())
    assert (found - exact).abs().max() < near
    low = values < -1
    assert ((found - exact).abs() / exact)[low].max() < digits, (
        "what nearly shuts a gate keeps its digits"
    )


def test_a_lone_member_is_computed_once_and_its_shadow_is_the_same(cell, monkeypatch):
    single, x = weights(cell, 1, 3, 16, torch.float32), inputs(1, 6, 8, 3, torch.float32)
    doubled = {name: value.expand(2, *value.shape[1:]) for name, value in single.items()}
    calls = []
    one_member = layer._member
    monkeypatch.setattr(
        layer, "_member", lambda member, arrays: calls.append(member) or one_member(member, arrays)
    )
    h, grads = outcome(cell, "native", doubled, x.expand(2, *x.shape[1:]))
    assert set(calls) == {0}
    three = {name: torch.cat([value, value + 1, value]) for name, value in single.items()}
    h3, grads3 = outcome(cell, "native", three, x.expand(3, *x.shape[1:]))
    for member in (0, 1):
        assert torch.equal(h[member], h3[0])
        assert all(torch.equal(grads[name][member], grads3[name][0]) for name in grads)


def test_equal_members_with_unequal_gradients_are_computed_apart(cell):
    params, x = weights(cell, 1, 3, 16), inputs(1, 6, 8, 3)
    params, x = (
        {name: value.expand(2, *value.shape[1:]).clone() for name, value in params.items()},
        x.expand(2, *x.shape[1:]),
    )
    weighting = inputs(2, 6, 8, 16)
    _, grads = outcome(cell, "native", params, x, weighting)
    _, wanted = outcome(cell, "reference", params, x, weighting)
    assert all((grads[name] - grad).abs().max() < 1e-10 for name, grad in wanted.items())


@pytest.mark.parametrize("doubled", [False, True])
def test_total_derivatives_at_all_states_are_those_of_the_reference(cell, doubled):
    """Of a loss, of a direction at one step, and of gradients at c alone, for one or all layers."""
    found = {}
    drawn = torch.Generator().manual_seed(3)
    flat = torch.randn(1 if doubled else 2, 4000, generator=drawn, dtype=torch.float64)
    x = torch.randn(len(flat), 5, 9, 3, generator=drawn, dtype=torch.float64)
    if doubled:
        flat, x = flat.repeat(2, 1), x.repeat(2, 1, 1, 1)
    lengths = torch.tensor([[9, 4, 7, 1, 9]]).expand(2, -1)
    for kernel in ("native", "reference"):
        model = Model(
            cell=cell,
            readout=Last(),
            inputs=3,
            outputs=2,
            hidden=7,
            depth=2,
            dropout=0.0,
            kernel=kernel,
        )
        of = model.unrolled(
            model.named(flat[:, : model.width]), x.clone().requires_grad_(), lengths
        )
        (saliency,) = torch.autograd.grad(of.outputs.sum(), of.inputs, retain_graph=True)
        values = {
            "loss": of.outputs.square().mean(1),
            "direction": of.layers[1]["h"][:, 5] * torch.arange(7),
            "other": of.layers[0][cell.states[-1]][:, 6].sum(),
        }
        found[kernel] = [
            saliency,
            *(state.detach() for layer in of.layers for state in layer.values()),
        ]
        found[kernel] += [
            part
            for value in values.values()
            for layers in (None, [0])
            for layer in of.derivatives(value, layers)
            for part in layer.values()
        ]
    assert len(found["native"]) == len(found["reference"])
    for ours, theirs in zip(found["native"], found["reference"], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-11, atol=1e-14)
    assert not doubled or all(torch.equal(one[0], one[1]) for one in found["native"])


class SaysNothing(Last):
    last_step_only = False


def test_a_readout_of_the_last_step_is_given_that_alone_and_no_number_changes(cell):
    drawn = torch.Generator().manual_seed(3)
    flat, x = torch.randn(3, 4000, generator=drawn), torch.randn(3, 5, 9, 3, generator=drawn)
    found, seen = [], []
    for readout in (Last(), SaysNothing()):
        model = Model(
            cell=cell,
            readout=readout,
            inputs=3,
            outputs=2,
            hidden=7,
            depth=2,
            dropout=0.0,
            kernel="native",
        )
        leaf = flat[:, : model.width].clone().requires_grad_()
        layer = model._layer
        model._layer = lambda *given, layer=layer, **asked: (
            seen.append((h := layer(*given, **asked)).shape[1]) or h
        )
        outputs = model.forward(model.named(leaf), x, None)
        found.append((outputs.detach(), *torch.autograd.grad(outputs.square().sum(), [leaf])))
    assert seen == [9, 1, 9, 9]
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


class MeanOfLast(Last):
    def __call__(self, params, h, lengths):
        return super().__call__(params, h.mean(1, keepdim=True), None)


def test_what_a_readout_inherits_is_not_said_of_its_own_way():
    assert Last().reads_last_step_only()
    assert not SaysNothing().reads_last_step_only()
    assert not MeanOfLast().reads_last_step_only()


def test_states_that_are_no_numbers_let_the_gradient_through_as_torch_has_it():
    """A ReLU network that blew up has not vanished."""
    params, x = weights(RNN(nonlinearity="relu"), 1, 2, 8), inputs(1, 4, 3, 2)
    x[0, 1, 0] = float("nan")
    _, grads = outcome(RNN(nonlinearity="relu"), "native", params, x)
    _, wanted = outcome(RNN(nonlinearity="relu"), "reference", params, x)
    for name, grad in wanted.items():
        torch.testing.assert_close(grads[name], grad, equal_nan=True)


def test_products_have_one_thread_in_training_and_denormals_are_flushed():
    torch.set_flush_denormal(False)
    assert float(torch.tensor([1e-39]) * 1) > 0
    with fixed_numerics():
        assert float(torch.tensor([1e-39]) * 1) == 0
        blas = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
        assert blas
        assert all(pool["num_threads"] == 1 for pool in blas)


@pytest.mark.slow
def test_the_same_on_a_processor_with_narrower_vectors(tmp_path):
    """Compiled for narrow vectors, and cached separately."""
    if not WIDE:
        pytest.skip("this processor's are the narrow ones: all tests here are of them")
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.narrow"],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert " passed" in done.stdout


def test_compiled_code_is_kept_by_version_and_setup_compiles_what_training_and_probes_need():
    from study.kernels.native import rnn

    if "NUMBA_CACHE_DIR" not in os.environ:
        kept = Path(rnn.forward._cache.cache_path)
        assert kept.parent == cache_folder() / "kernels"
        assert numba.__version__ in kept.name
    compile_cell((ROOT / "conf" / "cell" / "rnn.yaml").read_text())
    for function in (rnn.forward, rnn.backward):
        dtypes = {one.dtype for signature in function.signatures for one in signature[:1]}
        assert {str(dtype) for dtype in dtypes} >= {"float32", "float64"}
