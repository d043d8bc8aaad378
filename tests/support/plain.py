"""Slow, plain references for the probes: one example at a time, one step at a time, torch's own
derivatives, mpmath where fp64 ends.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import mpmath
import torch
import yaml
from torch import Tensor

from study.cells.ntm import NTM
from study.config.build import build
from study.config.paths import conf_folder
from study.interfaces import Cell, Params
from study.training.trace import StageTrace
from tests.support.helpers import LRU, Linear, MinGRU

mpmath.mp.dps = 400


def every_cell() -> dict[str, Cell]:
    """Every cell of conf/cell, one with a smaller memory, and three whose answers are known."""
    files = sorted((Path(conf_folder()) / "cell").glob("*.yaml"))
    return {path.stem: build(yaml.safe_load(path.read_text()), "cell") for path in files} | {
        "ntm": NTM(slots=3, slot_width=2),
        "linear": Linear(),
        "real lru": LRU(),
        "plain mingru": MinGRU(),
    }


def layer_params(of: StageTrace, layer: int) -> Params:
    return {
        name.split(".")[1]: value
        for name, value in of.params.items()
        if name.startswith(f"layer{layer}.")
    }


def length(of: StageTrace, example: int) -> int:
    return of.batch.x.shape[2] if of.batch.lengths is None else int(of.batch.lengths[0, example])


def step(of: StageTrace, params: Params, x: Tensor, state: Tensor) -> Tensor:
    """Next state [S] from a state [S] and the input x [D] of one step."""
    parts = tuple(part[None, None] for part in state.split(of.cell.widths(of.model.hidden)))
    return torch.cat(
        [
            part[0, 0]
            for part in of.cell.step(
                params, of.cell.project(params, x[None, None, None])[:, 0], parts
            )
        ]
    )


def walk(of: StageTrace, example: int) -> list[tuple[Tensor, list[Tensor]]]:
    """For each layer its inputs [T, D] and its states s_0 = 0, s_1, …, s_T of one example, without
    its padding.
    """
    x, layers = of.batch.x[0, example, : length(of, example)], []
    for layer in range(1, of.model.depth + 1):
        states = [torch.zeros(sum(of.cell.widths(of.model.hidden)), dtype=torch.float64)]
        for x_t in x:
            states.append(step(of, layer_params(of, layer), x_t, states[-1]))
        layers.append((x, states))
        x = torch.stack(states[1:])[:, : of.model.hidden]
    return layers


def jacobians(of: StageTrace, layer: int, example: int) -> list[Tensor]:
    """J_2, …, J_T of a layer."""
    x, states = walk(of, example)[layer - 1]
    params = layer_params(of, layer)
    return [
        torch.autograd.functional.jacobian(lambda s, t=t: step(of, params, x[t], s), states[t])
        for t in range(1, len(x))
    ]


def exact(matrix: Tensor) -> mpmath.matrix:
    return mpmath.matrix(matrix.tolist())


def log_singular_values(product: mpmath.matrix) -> Tensor:
    """ln σ, largest first; −∞ where 1e-150 below the largest: the factors are fp64 numbers, and
    that is a true zero.
    """
    values = mpmath.svd_r(product, compute_uv=False)
    logs = [
        float(mpmath.log(value)) if value > values[0] * mpmath.mpf(10) ** -150 else -torch.inf
        for value in values
    ]
    return torch.tensor(logs, dtype=torch.float64)


def loss(of: StageTrace, example: int, anchor: int, outputs: list[Tensor]) -> Tensor:
    """Loss of tests.support.helpers.Sum at one step of one example, from the top layer's outputs
    h.
    """
    y = of.params["readout.weight"][0] @ outputs[anchor]
    target = of.batch.y[0, example, anchor] if of.task.facts.every_step else of.batch.y[0, example]
    return (y - target).square().sum()


def state_gradients(of: StageTrace, example: int, anchor: int) -> list[list[Tensor]]:
    """G_t [S] of each layer and step for the loss of one step."""
    return tapped(
        of,
        example,
        lambda states: loss(
            of, example, anchor, [state[: of.model.hidden] for state in states[-1]]
        ),
    )


def tapped(
    of: StageTrace, example: int, followed: Callable[[list[list[Tensor]]], Tensor]
) -> list[list[Tensor]]:
    """Total derivative [S] at each layer and step of what is followed, a number made of the states:
    gradients of zero leaves added to every state, in a loop over layers and steps.
    """
    x, taps, every = of.batch.x[0, example, : length(of, example)], [], []
    for layer in range(1, of.model.depth + 1):
        state, states, leaves = (
            torch.zeros(sum(of.cell.widths(of.model.hidden)), dtype=torch.float64),
            [],
            [],
        )
        for x_t in x:
            leaves.append(torch.zeros_like(state, requires_grad=True))
            state = step(of, layer_params(of, layer), x_t, state) + leaves[-1]
            states.append(state)
        taps.append(leaves)
        every.append(states)
        x = torch.stack(states)[:, : of.model.hidden]
    flat = [leaf for leaves in taps for leaf in leaves]
    grads = iter(
        torch.autograd.grad(followed(every), flat, materialize_grads=True, allow_unused=True)
    )
    return [[next(grads) for _ in leaves] for leaves in taps]


def terms(of: StageTrace, example: int, anchor: int) -> list[list[dict[str, Tensor]]]:
    """By layer and step: the loss's gradient of weights that this step has for itself, one copy of
    all weights a step.
    """
    x, copies = of.batch.x[0, example, : length(of, example)], []
    for layer in range(1, of.model.depth + 1):
        state, outputs, of_layer = (
            torch.zeros(sum(of.cell.widths(of.model.hidden)), dtype=torch.float64),
            [],
            [],
        )
        for x_t in x:
            of_layer.append(
                {
                    name: value.clone().requires_grad_()
                    for name, value in layer_params(of, layer).items()
                }
            )
            state = step(of, of_layer[-1], x_t, state)
            outputs.append(state[: of.model.hidden])
        copies.append(of_layer)
        x = torch.stack(outputs)
    flat = [leaf for of_layer in copies for named in of_layer for leaf in named.values()]
    grads = iter(
        torch.autograd.grad(
            loss(of, example, anchor, list(x)), flat, materialize_grads=True, allow_unused=True
        )
    )
    return [[{name: next(grads) for name in named} for named in of_layer] for of_layer in copies]
