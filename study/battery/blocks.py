"""Checks of what surrounds the recurrence of each layer."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from study.battery.encoders import check_encoder
from study.interfaces import Encoder, LayerBlock, Parameter, Params

WIDTHS = (16, 32)


def check_block(block: LayerBlock) -> None:
    """Check roles, shapes, independence of members, steps and examples, and gradients.

    As an encoder that reads and returns H values a step: before and after, with a cell between
    that returns what it reads. Every parameter must affect the outputs.
    """
    roles = {parameter.role for parameter in block.shapes(WIDTHS[0])}
    assert roles <= {"readout", "bias"}, (
        f"{type(block).__name__}: roles must be readout or bias, got {', '.join(sorted(roles))}"
    )
    around = type(type(block).__name__, (_Around,), {})
    check_encoder(around(block))


class _Around(Encoder):
    def __init__(self, block: LayerBlock) -> None:
        self.block = block

    def outputs(self, inputs: int) -> int:
        if inputs not in WIDTHS:
            raise ValueError(f"tried with {WIDTHS} values a step")
        return inputs

    def shapes(self, inputs: int) -> tuple[Parameter, ...]:
        return tuple(
            replace(one, role="input") if one.role == "readout" else one
            for one in self.block.shapes(inputs)
        )

    def __call__(self, params: Params, x: Tensor) -> Tensor:
        return self.block.after(params, x, self.block.before(params, x))
