"""Small networks and inputs shared by the checks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from study.interfaces import Block, Cell, InitFacts, Initializer, Parameter, Params, Readout
from study.kernels import reference
from study.model import Model
from study.numerics.streams import generator

# Aligned blocks, as laid out by the model: batch · hidden a multiple of 32, weights of 16. Members
# of other sizes are trained one by one (Model.whole_blocks).
SIZES = ((1, 12, 24), (4, 16, 16), (3, 32, 32))  # inputs, hidden, batch


STEPS = 6

# Ends every message about members that mix.
COMPANY = "see study/COMPANY.md"
ROUNDING = 1e-5  # of the largest value: what the order of a member's own sums may change


def check_company(one: Tensor, other: Tensor, what: str) -> None:
    """Check that values of a member have the same bits in two companies.

    `what`: the start of the message, such as "GRU: a member's outputs depend".
    """
    if torch.equal(one, other):
        return
    error = float("inf")
    if one.shape == other.shape:
        error = float((one - other).abs().max() / one.abs().max().clamp(min=1e-30))
    why = (
        f"it rounds differently, by {error:.0e} of the largest value, since the order of a"
        " member's own sums follows the number of members"
        if error < ROUNDING
        else f"it mixes members, by {error:.0e} of the largest value"
    )
    raise AssertionError(f"{what} on its company: {why}; {COMPANY}")


def some_weights(
    cell: Cell, inputs: int, hidden: int, members: Sequence[int], dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """Random weights [M, …] by name, in the model's layout, drawn from each member's number."""
    model = Model(
        cell=cell,
        readout=NoReadout(),
        inputs=inputs,
        outputs=1,
        hidden=hidden,
        depth=1,
        dropout=0.0,
        kernel="reference",
    )
    flat = torch.stack(
        [
            0.5 * torch.randn(model.width, dtype=torch.float64, generator=generator(m, "weights"))
            for m in members
        ]
    ).to(dtype)
    return {name.removeprefix("layer1."): value for name, value in model.named(flat).items()}


class NoReadout(Readout):
    every_step = False

    def shapes(self, hidden: int, outputs: int) -> tuple[Parameter, ...]:
        return ()

    def __call__(self, params: Params, h: Tensor, lengths: Tensor | None) -> Tensor:
        return h[:, -1]


def some_inputs(
    inputs: int, batch: int, members: Sequence[int], dtype: torch.dtype = torch.float32
) -> Tensor:
    return torch.stack(
        [
            torch.randn(STEPS, batch, inputs, dtype=torch.float64, generator=generator(m, "x"))
            for m in members
        ]
    ).to(dtype)


def run_cell(cell: Cell, params: dict[str, Tensor], x: Tensor, hidden: int) -> Tensor:
    """Outputs h [M, T, B, H]."""
    return torch.stack(
        [state[0] for state in reference.unroll(cell, params, x, hidden, taps=False)], dim=1
    )


class Standing(Initializer):
    """A standing rule with variance 1/fan_in."""

    def __call__(self, block: Block, generator: torch.Generator, facts: InitFacts) -> Tensor:
        return (
            torch.randn(block.shape, dtype=torch.float64, generator=generator)
            * block.shape[-1] ** -0.5
        )


def init_facts(**changes: Any) -> InitFacts:
    """Facts of a tanh cell on a task of 20 steps; `changes` replace fields by name."""
    plain: dict[str, Any] = {
        "steps": 20,
        "lag": 20,
        "input_drive": 0.3,
        "inputs": 2,
        "hidden": 32,
        "keep": {},
        "input_rule": Standing(),
        "activation": torch.tanh,
        "stream": lambda *key: generator(0, "shared", *key),
    }
    return InitFacts(**plain | changes)


def some_rows(members: int, seed: int = 0, width: int = 96) -> Tensor:
    return torch.stack(
        [
            torch.randn(width, generator=generator(seed, "rows", m)) * 10.0 ** (m - 1)
            for m in range(members)
        ]
    )


SLICES = {
    "layer1.weight_h": (slice(0, 64), (8, 8)),
    "layer1.bias": (slice(64, 72), (8,)),
    "readout.weight": (slice(72, 96), (3, 8)),
}


def check_unchanged(piece: str, given: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """Check that a call left its arguments as they were: probes call it apart from training."""
    for name, value in given.items():
        assert _same(value, before[name]), (
            f"{piece}: changed its {name} in place; return new tensors instead"
        )


def _same(value: Any, other: Any) -> bool:
    """Whether two nestings hold equal tensors, arrays and values; NaN equals NaN."""
    if isinstance(value, Tensor):
        return torch.equal(value.nan_to_num(), other.nan_to_num())
    if isinstance(value, Mapping):
        return all(_same(item, other[key]) for key, item in value.items())
    if isinstance(value, list | tuple):
        pairs = zip(value, other, strict=True)
        return all(_same(item, like) for item, like in pairs)
    return bool(np.array_equal(value, other))
