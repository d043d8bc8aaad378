"""Checks of cells."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from study.battery.shared import (
    COMPANY,
    SIZES,
    STEPS,
    NoReadout,
    check_company,
    run_cell,
    some_inputs,
    some_weights,
)
from study.interfaces import CELL_KERNELS, Cell
from study.kernels import reference
from study.model import Model
from study.numerics.streams import generator


def check_cell(cell: Cell) -> None:
    """Check shapes, independence of members, gradients, `keep`, `gates` and kernels of a cell.

    Members have the same bits in any company, and no gradient flows between them; autograd equals
    central differences.
    """
    for inputs, hidden, batch in SIZES:
        _cell_shapes(cell, inputs, hidden, batch)
        _cell_members(cell, inputs, hidden, batch)
    _cell_differences(cell)
    _cell_keep(cell)
    _cell_gates(cell)
    for kernel in CELL_KERNELS:
        if cell.has_kernel(kernel):
            _cell_kernel(cell, kernel)


def _outputs(cell: Cell, kernel: str, params: dict[str, Tensor], x: Tensor, hidden: int) -> Tensor:
    """Outputs h [M, T, B, H] by one of the cell's kernels or by the reference."""
    if kernel == "native":
        native = cell.native(params)
        assert native is not None, f"{type(cell).__name__}: native returned None"
        return native.outputs(x)
    h = cell.layer(params, x) if kernel == "fused" else run_cell(cell, params, x, hidden)
    assert h is not None, f"{type(cell).__name__}: kernel {kernel} returned None"
    return h


def _cell_kernel(cell: Cell, kernel: str) -> None:
    """The kernel equals single steps in fp64: outputs and all gradients, including the input's."""
    name = type(cell).__name__
    for inputs, hidden, batch in SIZES:
        x = some_inputs(inputs, batch, [0, 1], torch.float64).requires_grad_()
        params = {
            key: value.detach().requires_grad_()
            for key, value in some_weights(cell, inputs, hidden, [0, 1], torch.float64).items()
        }
        weighting = torch.randn(
            2, STEPS, batch, hidden, dtype=torch.float64, generator=generator(0, "weighting")
        )
        found = []
        for which in ("reference", kernel):
            h = _outputs(cell, which, params, x, hidden)
            grads = torch.autograd.grad((h * weighting).sum(), [x, *params.values()])
            found.append((h.detach(), *grads))
        for key, one, other in zip(("h", "x", *params), *found, strict=True):
            error = float((one - other).abs().max())
            where = "outputs" if key == "h" else f"the gradient of {key}"
            assert error < 1e-10, (
                f"{name}: kernel {kernel} differs from its steps by {error:.1e} in {where}; do not"
                " inherit a kernel of another cell"
            )
        if kernel == "native":
            _cell_taps(cell, inputs, hidden, batch)


def _cell_taps(cell: Cell, inputs: int, hidden: int, batch: int) -> None:
    """The native kernel gives probes the states and total derivatives of single steps.

    Its last h alone equals the last of all outputs.
    """
    name, found = type(cell).__name__, []
    x, params = (
        some_inputs(inputs, batch, [0, 1], torch.float64),
        some_weights(cell, inputs, hidden, [0, 1], torch.float64),
    )
    for kernel in ("reference", "native"):
        model = Model(
            cell=cell,
            readout=NoReadout(),
            inputs=inputs,
            outputs=1,
            hidden=hidden,
            depth=1,
            dropout=0.0,
            kernel=kernel,
        )
        unrolled = model.unrolled(
            {f"layer1.{key}": value for key, value in params.items()},
            x.transpose(1, 2).requires_grad_(),
            None,
        )
        (states,) = unrolled.layers
        assert tuple(states) == cell.states
        value = torch.stack(
            [(state[:, STEPS // 2] * torch.arange(hidden)).sum() for state in states.values()]
        ).sum()
        (derivatives,) = unrolled.derivatives(value)
        found.append([*states.values(), *derivatives.values()])
    names = [f"state {key}" for key in cell.states] + [
        f"the total derivative at {key}" for key in cell.states
    ]
    for quantity, one, other in zip(names, *found, strict=True):
        assert one.shape == other.shape and (one - other).abs().max() < 1e-10, (
            f"{name}: kernel native differs from its steps in {quantity}"
        )
    native = cell.native(params)
    assert native is not None
    last = native.outputs(x, last_step_only=True)
    assert last.shape[1] == 1 and torch.equal(last, native.outputs(x)[:, -1:]), (
        f"{name}: kernel native returns another last step with last_step_only"
    )


def _cell_shapes(cell: Cell, inputs: int, hidden: int, batch: int) -> None:
    name = type(cell).__name__
    assert cell.states[0] == "h", f"{name}: states must begin with the output h, got {cell.states}"
    states = reference.unroll(
        cell,
        some_weights(cell, inputs, hidden, [0, 1]),
        some_inputs(inputs, batch, [0, 1]),
        hidden,
        taps=True,
    )
    assert len(states) == STEPS
    widths = cell.widths(hidden)
    assert len(widths) == len(cell.states) and widths[0] == hidden, (
        f"{name}: widths must be one for each of {cell.states}, that of h {hidden}, got {widths}"
    )
    for state in states:
        assert len(state) == len(cell.states), (
            f"{name}: step returned {len(state)} states, `states` names {len(cell.states)}"
        )
        for part, width in zip(state, widths, strict=True):
            assert part.shape == (2, batch, width), (
                f"{name}: a state has shape {tuple(part.shape)}, expected {(2, batch, width)}"
            )


def _cell_members(cell: Cell, inputs: int, hidden: int, batch: int) -> None:
    name = type(cell).__name__

    def outcome(members: Sequence[int], kernel: str) -> tuple[Tensor, dict[str, Tensor]]:
        params = {
            key: value.detach().requires_grad_()
            for key, value in some_weights(cell, inputs, hidden, members).items()
        }
        x = some_inputs(inputs, batch, members)
        h = _outputs(cell, kernel, params, x, hidden)
        grads = torch.autograd.grad(
            h[:, -1].square().sum(),
            list(params.values()),
            materialize_grads=True,
            allow_unused=True,
        )
        return h.detach(), dict(zip(params, grads, strict=True))

    for member, kernel in itertools.product(
        range(3), ["reference", *(name for name in CELL_KERNELS if cell.has_kernel(name))]
    ):
        pair = [member, (member + 1) % 3]
        h3, grads3 = outcome([0, 1, 2], kernel)
        h2, grads2 = outcome(pair, kernel)
        size = f"inputs {inputs}, hidden {hidden}, batch {batch}, kernel {kernel}"
        check_company(h3[member], h2[0], f"{name} ({size}): a member's outputs depend")
        for key in grads3:
            what = f"{name} ({size}): a member's gradient of {key} depends"
            check_company(grads3[key][member], grads2[key][0], what)
    params = {
        key: value.detach().requires_grad_()
        for key, value in some_weights(cell, inputs, hidden, [0, 1]).items()
    }
    h = run_cell(cell, params, some_inputs(inputs, batch, [0, 1]), hidden)
    for key, grad in zip(
        params,
        torch.autograd.grad(
            h[0].sum(), list(params.values()), materialize_grads=True, allow_unused=True
        ),
        strict=True,
    ):
        assert (grad[1] == 0).all(), (
            f"{name}: member 0's output has a gradient with respect to member 1's {key}; {COMPANY}"
        )


def _cell_differences(cell: Cell) -> None:
    """Autograd equals central differences in fp64, with steps too small to meet a kink."""
    inputs, hidden, batch = 2, 3, 4
    x, params = (
        some_inputs(inputs, batch, [0], torch.float64),
        some_weights(cell, inputs, hidden, [0], torch.float64),
    )
    leaves = {key: value.clone().requires_grad_() for key, value in params.items()}
    grads = torch.autograd.grad(
        run_cell(cell, leaves, x, hidden).square().sum(),
        list(leaves.values()),
        materialize_grads=True,
        allow_unused=True,
    )
    step = 1e-6
    for (key, value), grad in zip(params.items(), grads, strict=True):
        for index in range(value.numel()):
            moved = []
            for sign in (1, -1):
                shifted = value.clone()
                shifted.view(-1)[index] += sign * step
                moved.append(run_cell(cell, {**params, key: shifted}, x, hidden).square().sum())
            difference = float(moved[0] - moved[1]) / (2 * step)
            error = abs(difference - float(grad.reshape(-1)[index])) / max(1.0, abs(difference))
            assert error < 1e-6, (
                f"{type(cell).__name__}: gradient of {key}[{index}] differs from central"
                f" differences by {error:.1e}"
            )


def _cell_keep(cell: Cell) -> None:
    """With zero weights, moving a keep gate's bias as `keep` states preserves more of a state."""
    hidden, name = 4, type(cell).__name__
    for gate, sign in cell.keep.items():
        passed = []
        for bias in (3.0 * sign, -3.0 * sign):
            params, found = {}, False
            for parameter in cell.shapes(2, hidden):
                params[parameter.name] = torch.zeros(2, *parameter.shape, dtype=torch.float64)
                if parameter.role == "bias" and gate in parameter.gates:
                    rows = parameter.block[0]
                    start, found = parameter.gates.index(gate) * rows, True
                    params[parameter.name][:, start : start + rows] = bias
            assert found, f"{name}: `keep` names gate {gate}, which has no bias"
            state = tuple(
                torch.full((2, 3, width), 0.5, dtype=torch.float64, requires_grad=True)
                for width in cell.widths(hidden)
            )
            x = cell.project(params, torch.zeros(2, 1, 3, 2, dtype=torch.float64))[:, 0]
            after = cell.step(params, x, state)
            passed.append(
                [
                    torch.autograd.grad(
                        new.sum(), old, retain_graph=True, materialize_grads=True, allow_unused=True
                    )[0]
                    for new, old in zip(after, state, strict=True)
                ]
            )
        assert any((more > less).all() for more, less in zip(*passed, strict=True)), (
            f"{name}: the bias of gate {gate} does not keep the past in the direction `keep` states"
        )


def _cell_gates(cell: Cell) -> None:
    """`gates` returns known names, the shape of a state, values in [0, 1], and all keep gates."""
    name, (inputs, hidden, batch) = type(cell).__name__, SIZES[1]
    params = some_weights(cell, inputs, hidden, [0, 1])
    state = tuple(
        torch.randn(2, batch, width, generator=generator(0, "state", number))
        for number, width in enumerate(cell.widths(hidden))
    )
    gates = cell.gates(
        params, cell.project(params, some_inputs(inputs, batch, [0, 1]))[:, 0], state
    )
    named = {gate for parameter in cell.shapes(inputs, hidden) for gate in parameter.gates}
    assert set(gates) <= named, (
        f"{name}: gates are named {', '.join(sorted(gates))}, the parameters' gates are"
        f" {', '.join(sorted(named))}"
    )
    assert not gates or set(cell.keep) <= set(gates), (
        f"{name}: `gates` leaves out the keep gate {', '.join(sorted(set(cell.keep) - set(gates)))}"
    )
    for gate, value in gates.items():
        assert value.shape in ((2, batch, hidden), (2, batch, 1)), (
            f"{name}: gate {gate} has shape {tuple(value.shape)}, h {(2, batch, hidden)}"
        )
        assert ((value >= 0) & (value <= 1)).all(), f"{name}: gate {gate} leaves [0, 1]"
