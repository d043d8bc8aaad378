"""Check that a stack's pieces fit one another, on two steps of two members."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from study.config.build import as_study_error
from study.interfaces import Params, TaskFacts
from study.model import Model, of_block
from study.numerics.streams import generator
from study.records import StudyError


def check_forward(model: Model, facts: TaskFacts) -> None:
    """Run two steps of two members through encoder, cell and readout, and check all shapes."""
    params = model.named(torch.zeros(2, model.width))
    x = torch.zeros(2, 2, 2, facts.inputs)
    name = type(model.cell).__name__
    with (
        as_study_error("encoder", f"{type(model.encoder).__name__} fails on two steps of zeros"),
        torch.no_grad(),
    ):
        encoded = model.encoded(params, x.transpose(1, 2))
    if encoded.shape != (2, 2, 2, model.read):
        got = tuple(encoded.shape)
        raise StudyError(
            f"encoder: {type(model.encoder).__name__} must return [M, T, B, D'] ="
            f" {(2, 2, 2, model.read)}, with D' from its `outputs`, got {got}"
        )
    read = _check_block(model, params, encoded)
    with as_study_error("cell", f"{name} fails on two steps of zeros"), torch.no_grad():
        _check_step(model, params, read.transpose(1, 2))
        outputs = model.plain().unrolled(params, x, None)
        model.forward(params, x, None)
        tapped = model.unrolled(params, x, None)
    for layer in (*outputs.layers, *tapped.layers):
        for (state, steps), width in zip(
            layer.items(), model.cell.widths(model.hidden), strict=True
        ):
            if steps.shape != (2, 2, 2, width):
                raise StudyError(
                    f"cell: {name} gives state {state} of shape {tuple(steps[:, 0].shape)}; it must"
                    f" be [M, B, width] = {(2, 2, width)}"
                )
    expected = (2, 2, 2, facts.outputs) if facts.every_step else (2, 2, facts.outputs)
    if outputs.outputs.shape != expected:
        raise StudyError(
            f"readout: outputs must be [M, B, …] = {expected}, got {tuple(outputs.outputs.shape)}"
        )


def _check_block(model: Model, params: Params, encoded: Tensor) -> Tensor:
    """What the first layer's cell reads; checks the shapes before and after a cell of zeros."""
    block, expected = model.block, (2, 2, 2, model.hidden)
    if block is None:
        return encoded
    name = type(block).__name__
    with as_study_error("block", f"{name} fails on two steps of zeros"), torch.no_grad():
        x = model.embedded(params, encoded)
        read = model.before(params, 1, x)
        after = block.after(of_block(params, 1), x, torch.zeros(expected))
    for what, value in (("before", read), ("after", after)):
        if tuple(value.shape) != expected:
            raise StudyError(
                f"block: {what} of {name} must return [M, T, B, hidden] = {expected}, got"
                f" {tuple(value.shape)}"
            )
    return read


def _check_step(model: Model, params: Mapping[str, Tensor], x: Tensor) -> None:
    """Check that the first step of the first layer returns one [M, B, width] per state."""
    cell, name = model.cell, type(model.cell).__name__
    expected = [(2, 2, width) for width in cell.widths(model.hidden)]
    if len(expected) != len(cell.states) or expected[0][2] != model.hidden:
        raise StudyError(
            f"cell: widths of {name} must be one for each of {cell.states}, the first hidden ="
            f" {model.hidden}, got {cell.widths(model.hidden)}"
        )
    weights = {
        key.removeprefix("layer1."): value
        for key, value in params.items()
        if key.startswith("layer1.")
    }
    returned = cell.step(weights, cell.project(weights, x)[:, 0], tuple(map(torch.zeros, expected)))
    if not isinstance(returned, tuple):
        raise StudyError(
            f"cell: step of {name} must return a tuple, one [M, B, width] for each of"
            f" {cell.states}, got {type(returned).__name__}"
        )
    got = [tuple(state.shape) for state in returned]
    if got != expected:
        raise StudyError(
            f"cell: step of {name} must return [M, B, width] = {', '.join(map(str, expected))} for"
            f" {', '.join(cell.states)}, got {', '.join(map(str, got))}"
        )


def check_members(model: Model, facts: TaskFacts) -> None:
    """Check that a member's outputs do not change with another member's weights and examples.

    Otherwise a point's numbers would silently depend on the group it is trained in.
    """
    rng = generator(0, "check, members")
    first, second, third = torch.randn(3, model.width, generator=rng)
    x = torch.randn(3, 2, 2, facts.inputs, generator=rng)
    with torch.no_grad():
        one, other = (
            [
                model.forward(params, pair, None)[0],
                model.plain().unrolled(params, pair, None).outputs[0],
            ]
            for params, pair in (
                (model.named(torch.stack([first, second])), x[:2]),
                (model.named(torch.stack([first, third])), x[::2]),
            )
        )
    if not all(
        torch.allclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True)
        for a, b in zip(one, other, strict=True)
    ):
        pieces = {
            "encoder": model.encoder,
            "block": model.block,
            "cell": model.cell,
            "readout": model.readout,
        }
        there = {key: type(piece).__name__ for key, piece in pieces.items() if piece is not None}
        *keys, last = there
        subject = f"{', '.join(keys)} or {last}: {' or '.join(there.values())} mixes members"
        raise StudyError(
            f"{subject}: outputs of one member change with the weights of another. The first axis"
            " of every tensor is M"
        )
