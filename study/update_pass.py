"""What a penalty sees of an update (interfaces.UpdatePass), made from a forward pass by steps."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from study.interfaces import LayerPass, Params, State, UpdatePass
from study.model import Model, StepwiseLayer, of_layer


def update_pass(
    model: Model,
    leaves: Params,
    layers: Sequence[StepwiseLayer],
    gradients: Sequence[Tensor | None],
    valid: Tensor,
) -> UpdatePass:
    """The pass in the dtype of `leaves`, whatever products were rounded to.

    `layers`: as `Model.stepwise` returns them with taps, none for a penalty that reads no states;
    `gradients`: those of the task's loss at their `state_taps`.
    """
    each = iter(gradients)
    return UpdatePass(
        cell=model.cell,
        params=leaves,
        roles=model.roles,
        layers=[
            _layer_pass(model, of_layer(leaves, number), number, layer, each)
            for number, layer in enumerate(layers, start=1)
        ],
        valid=valid,
    )


def state_taps(layers: Sequence[StepwiseLayer]) -> list[Tensor]:
    """The states of all layers and steps, one [M, B, H] each."""
    return [state for layer in layers for states in layer.after for state in states]


def valid_steps(model: Model, x: Tensor, lengths: Tensor | None) -> Tensor:
    """[M, T, B'] for x [M, B, T, D]: 1 at the steps of examples and 0 at padding."""
    members, examples, steps, _ = x.shape
    if lengths is None:
        lengths = torch.full((members, examples), steps, device=x.device)
    # examples that fill up the batch have no steps
    lengths = torch.nn.functional.pad(lengths, (0, model.padded_batch(examples) - examples))
    step = torch.arange(steps, device=x.device)[None, :, None]
    return (step < lengths[:, None]).to(x.dtype)


def _layer_pass(
    model: Model,
    params: Params,
    number: int,
    layer: StepwiseLayer,
    gradients: Iterator[Tensor | None],
) -> LayerPass:
    dtype = next(iter(params.values())).dtype
    after = _stacked(layer.after, dtype)
    zeros = tuple(torch.zeros_like(state[:, 0]) for state in after)
    return LayerPass(
        params=params,
        roles={
            parameter.name: parameter.role
            for of, parameter in model.parameters.values()
            if of == number
        },
        x=layer.x.to(dtype),
        before=tuple(
            torch.cat([start[:, None].to(dtype), state[:, :-1]], dim=1)
            for start, state in zip(layer.first or zeros, after, strict=True)
        ),
        after=after,
        gradients=_stacked([_or_zeros(step, gradients) for step in layer.after], dtype),
    )


def _or_zeros(step: State, gradients: Iterator[Tensor | None]) -> State:
    """The next gradients; zeros at states that the loss does not depend on."""
    found = [next(gradients) for _ in step]
    return tuple(
        torch.zeros_like(state) if grad is None else grad
        for state, grad in zip(step, found, strict=True)
    )


def _stacked(steps: Sequence[State], dtype: torch.dtype) -> State:
    """One [M, T, B, H] per state from one State per step."""
    return tuple(torch.stack(each, dim=1).to(dtype) for each in zip(*steps, strict=True))
