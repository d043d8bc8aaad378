"""Cells linear in their state: one class gives them step, compiled kernel and gradients."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from study.interfaces import Cell, Native, Params, State
from study.kernels.step_norms import squared_norms


class LinearCell(Cell):
    """h_t = a_t ⊙ h_{t-1} + b_t, with a_t and b_t computed from the inputs alone.

    A subclass gives `shapes` and `coefficients`, and `named_gates` if it has gates. Then
    dh_t/dh_{t-k} = a_t ⊙ … ⊙ a_{t-k+1}, exactly, and a compiled pass over time is as fast as
    memory allows.
    """

    @abstractmethod
    def coefficients(self, params: Params, x: Tensor) -> tuple[Tensor, Tensor]:
        """a and b, each [M, T, B, H], for x [M, T, B, D]."""

    def named_gates(self, kept: Tensor) -> Mapping[str, Tensor]:
        """Gates [M, B, H] of a step that keeps the share a = `kept`; default: none."""
        return {}

    def project(self, params: Params, x: Tensor) -> Tensor:
        return torch.cat(self.coefficients(params, x), dim=-1)

    def step(self, params: Params, x: Tensor, state: State) -> State:
        a, b = x.chunk(2, dim=-1)
        return (a * state[0] + b,)

    def gates(self, params: Params, x: Tensor, state: State) -> Mapping[str, Tensor]:
        return self.named_gates(x.chunk(2, dim=-1)[0])

    def native(self, params: Params) -> Native:
        return _Scanned(self, params)

    @classmethod
    def has_kernel(cls, kernel: str) -> bool:
        """The compiled pass does what `coefficients` says, unless a subclass steps otherwise."""
        if kernel != "native":
            return super().has_kernel(kernel)
        own = ("step", "project", "native")
        return all(getattr(cls, name) is getattr(LinearCell, name) for name in own)


class _Scanned:
    """The layer by study/kernels/native/scan.py."""

    def __init__(self, cell: LinearCell, params: Params) -> None:
        self.cell, self.params = cell, params

    def outputs(
        self, x: Tensor, step_norms: Tensor | None = None, *, last_step_only: bool = False
    ) -> Tensor:
        h: Tensor = _Scan.apply(*self.cell.coefficients(self.params, x), step_norms, None)
        return h[:, -1:] if last_step_only else h

    def states(self, x: Tensor, taps: State) -> State:
        h: Tensor = _Scan.apply(*self.cell.coefficients(self.params, x), None, taps[0])
        return (h,)


class _Scan(torch.autograd.Function):
    """h [M, T, B, H] from a and b; gradients of a, b, of step norms [M, T, B], and at states."""

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, b: Tensor, step_norms: Tensor | None, tap: Tensor | None
    ) -> Tensor:
        # imported here, since importing the compiler is slow
        from study.kernels.native import scan

        a, b = a.contiguous(), b.contiguous()
        h = torch.empty_like(b)
        for parts in zip(*map(_rows, (a, b, h)), strict=True):
            scan.forward(*parts)
        ctx.save_for_backward(a, h)
        return h

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        from study.kernels.native import scan

        a, h = ctx.saved_tensors
        dh = grads[0].clone(memory_format=torch.contiguous_format)
        da = torch.empty_like(a)
        for parts in zip(*map(_rows, (a, h, dh, da)), strict=True):
            scan.backward(*parts)
        wants = ctx.needs_input_grad
        return da, dh, squared_norms(dh) if wants[2] else None, dh if wants[3] else None


def _rows(value: Tensor) -> list[Any]:
    """Of each member [T, B·H]."""
    return [member.detach().flatten(1).numpy() for member in value]
