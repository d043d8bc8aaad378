"""Checks of penalties."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from study.battery.shared import COMPANY, SIZES, STEPS, NoReadout, check_company, check_unchanged
from study.cells.lstm import LSTM
from study.cells.rnn import RNN
from study.interfaces import Cell, LayerPass, Penalty, UpdatePass
from study.model import Model
from study.numerics.streams import generator
from study.update_pass import state_taps, update_pass, valid_steps

CELLS = (RNN(nonlinearity="tanh"), LSTM())


def check_penalty(make_penalty: Callable[[int], Penalty]) -> None:
    """Check values, gradients, and independence of members and of padding.

    `make_penalty(M)` builds the penalty for M members. Gradients are compared with central
    differences in fp64, with respect to everything that the penalty does not hold constant.
    """
    penalty = make_penalty(3)
    for cell in CELLS:
        for size in SIZES:
            _values(penalty, cell, size)
            _members(make_penalty, cell, size)
            _padding(penalty, cell, size)
        _zeros(penalty, cell)
        _differences(make_penalty(2), cell)


def _pass(
    penalty: Penalty,
    cell: Cell,
    size: tuple[int, int, int],
    members: Sequence[int],
    dtype: torch.dtype = torch.float32,
    scale: float = 0.5,
) -> UpdatePass:
    """A pass of two layers over examples of two lengths, drawn from each member's number."""
    inputs, hidden, batch = size
    model = Model(
        cell=cell,
        readout=NoReadout(),
        inputs=inputs,
        outputs=1,
        hidden=hidden,
        depth=2,
        dropout=0.0,
        kernel="reference",
    )

    def drawn(purpose: str, *shape: int) -> Tensor:
        draws = [
            torch.randn(shape, dtype=torch.float64, generator=generator(m, purpose))
            for m in members
        ]
        return torch.stack(draws).to(dtype)

    weights = model.named(scale * drawn("weights", model.width))
    leaves = {name: value.clone().requires_grad_() for name, value in weights.items()}
    x = drawn("x", batch, STEPS, inputs)
    short = torch.arange(batch) % 2
    lengths = (STEPS - 2 * short).expand(len(members), batch)
    outputs, layers = model.stepwise(leaves, x, lengths, [], [], taps=True)
    # the loss looks at long examples only, so that nothing flows through padding
    loss = (outputs * (1 - short)[:, None]).square().sum()
    at_states = torch.autograd.grad(loss, state_taps(layers), allow_unused=True, retain_graph=True)
    return update_pass(
        model,
        leaves,
        layers if penalty.reads_states else [],
        at_states,
        valid_steps(model, x, lengths),
    )


def _applied(penalty: Penalty, update: UpdatePass) -> tuple[Tensor, dict[str, Tensor]]:
    """The term and its gradients by parameter; checks shape and that it depends on a parameter."""
    term, name = penalty(update), type(penalty).__name__
    members = len(update.valid)
    got = tuple(term.shape) if isinstance(term, Tensor) else type(term).__name__
    assert got == (members,), f"{name}: must return one value per member, ({members},), got {got}"
    assert term.requires_grad, f"{name}: depends on no parameter, so it would change nothing"
    grads = torch.autograd.grad(
        term.sum(),
        list(update.params.values()),
        allow_unused=True,
        materialize_grads=True,
        retain_graph=True,
    )
    return term, dict(zip(update.params, grads, strict=True))


def _values(penalty: Penalty, cell: Cell, size: tuple[int, int, int]) -> None:
    name, update = type(penalty).__name__, _pass(penalty, cell, size, [0, 1, 2])
    before = copy.deepcopy([value.detach() for value in _tensors(update)])
    term, grads = _applied(penalty, update)
    now = [value.detach() for value in _tensors(update)]
    check_unchanged(name, {"pass": now}, {"pass": before})
    for what, value in {"the term": term, **grads}.items():
        assert value.isfinite().all(), f"{name}: {what} is not finite"
    assert any((grad != 0).any() for grad in grads.values()), f"{name}: its gradient is 0"
    first = torch.autograd.grad(term[0], list(update.params.values()), allow_unused=True)
    assert all(grad is None or (grad[1:] == 0).all() for grad in first), (
        f"{name}: member 0's term has a gradient with respect to another member's weights;"
        f" {COMPANY}"
    )


def _members(
    make_penalty: Callable[[int], Penalty], cell: Cell, size: tuple[int, int, int]
) -> None:
    three, two = make_penalty(3), make_penalty(2)
    name = type(three).__name__
    term, grads = _applied(three, _pass(three, cell, size, [0, 1, 2]))
    for member in range(3):
        pair = _pass(two, cell, size, [member, (member + 1) % 3])
        term_of_two, grads_of_two = _applied(two, pair)
        check_company(term[member], term_of_two[0], f"{name}: a member's term depends")
        for key, grad in grads.items():
            what = f"{name}: a member's gradient of {key} depends"
            check_company(grad[member], grads_of_two[key][0], what)


def _padding(penalty: Penalty, cell: Cell, size: tuple[int, int, int]) -> None:
    """Inputs and states at padding may be anything."""
    name, update = type(penalty).__name__, _pass(penalty, cell, size, [0, 1, 2])
    padding = update.valid[..., None] == 0

    def other(value: Tensor) -> Tensor:
        return torch.where(padding, 0.7, value)

    # the state before the first padded step is valid, and is read by no valid step
    changed = replace(
        update,
        layers=[
            replace(
                layer,
                x=other(layer.x),
                before=tuple(map(other, layer.before)),
                after=tuple(map(other, layer.after)),
            )
            for layer in update.layers
        ],
    )
    assert torch.equal(penalty(update), penalty(changed)), (
        f"{name}: depends on padding; leave out what `valid` marks with 0"
    )


def _zeros(penalty: Penalty, cell: Cell) -> None:
    """Where all weights are zero, so are states and gradients: no root or quotient may fail."""
    term, grads = _applied(penalty, _pass(penalty, cell, SIZES[-1], [0, 1, 2], scale=0.0))
    for what, value in {"the term": term, **grads}.items():
        assert value.isfinite().all(), (
            f"{type(penalty).__name__}: with all weights at 0, {what} is not finite"
        )


def _differences(penalty: Penalty, cell: Cell) -> None:
    update = _pass(penalty, cell, (2, 4, 2), [0, 1], torch.float64)
    given = [value.detach().clone().requires_grad_() for value in _tensors(update)]
    found = torch.autograd.grad(penalty(_with(update, given)).sum(), given, allow_unused=True)
    varying = [index for index, grad in enumerate(found) if grad is not None]

    def term(*values: Tensor) -> Tensor:
        return penalty(_with(update, [*given], dict(zip(varying, values, strict=True))))

    right = torch.autograd.gradcheck(
        term, [given[index] for index in varying], raise_exception=False
    )
    assert right, (
        f"{type(penalty).__name__}: its gradients are not those of its term (central differences in"
        " fp64); detach what is held constant"
    )


def _tensors(update: UpdatePass) -> list[Tensor]:
    """Everything that a term may be differentiated by: parameters, inputs and states."""
    return [
        *update.params.values(),
        *(value for layer in update.layers for value in (layer.x, *layer.before, *layer.after)),
    ]


def _with(
    update: UpdatePass, tensors: Sequence[Tensor], changed: dict[int, Tensor] | None = None
) -> UpdatePass:
    """The pass with these `_tensors` instead, each on its own."""
    each = iter([(changed or {}).get(index, value) for index, value in enumerate(tensors)])
    params = {name: next(each) for name in update.params}

    def layer_with(number: int, layer: LayerPass) -> LayerPass:
        return replace(
            layer,
            params={name: params[f"layer{number}.{name}"] for name in layer.params},
            x=next(each),
            before=tuple(next(each) for _ in layer.before),
            after=tuple(next(each) for _ in layer.after),
        )

    layers = [layer_with(number, layer) for number, layer in enumerate(update.layers, start=1)]
    return replace(update, params=params, layers=layers)
