"""Cells linear in their state: one class gives them step, compiled kernel and gradients."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from study.cells.shared import in_blocks
from study.interfaces import Cell, Native, Params, State
from study.kernels.step_norms import squared_norms

CONTIGUOUS = torch.contiguous_format


class LinearCell(Cell):
    """h_t = a_t ⊙ h_{t-1} + b_t, with a_t and b_t computed from the inputs alone.

    A subclass gives `shapes` and `coefficients`, and `named_gates` if it has gates. Then
    dh_t/dh_{t-k} = a_t ⊙ … ⊙ a_{t-k+1}, exactly, and a compiled pass over time is as fast as
    memory allows.
    """

    native_version = 2

    @abstractmethod
    def coefficients(self, params: Params, x: Tensor) -> tuple[Tensor, Tensor]:
        """a and b, each [M, T, B, H], for x [M, T, B, D]: every step by itself, as long sequences
        come in blocks of steps.
        """

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
        with torch.no_grad():
            hidden = self.cell.coefficients(self.params, x[:, :1])[0].shape[-1]
        return in_blocks.outputs(
            self._run, self.params, x, hidden, step_norms, last_step_only=last_step_only
        )

    def states(self, x: Tensor, taps: State) -> State:
        h: Tensor = _Scan.apply(*self.cell.coefficients(self.params, x), None, None, taps[0], False)
        return (h,)

    def _run(
        self,
        params: Params,
        x: Tensor,
        first: Tensor | None,
        step_norms: Tensor | None,
        *,
        last_step_only: bool,
    ) -> tuple[Tensor, Tensor]:
        a, b = self.cell.coefficients(params, x)
        h: Tensor = _Scan.apply(a, b, first, step_norms, None, last_step_only)
        return h, h[:, -1]


class _Scan(torch.autograd.Function):
    """h [M, T, B, H], or its last step, from a, b and the state before them (None: zeros).

    Gradients of a, b, of that state, of step norms [M, T, B], and at states.
    """

    @staticmethod
    def forward(
        ctx: Any,
        a: Tensor,
        b: Tensor,
        first: Tensor | None,
        step_norms: Tensor | None,
        tap: Tensor | None,
        last_step_only: bool,
    ) -> Tensor:
        # imported here, since importing the compiler is slow
        from study.kernels.native import scan

        a, b, h = a.contiguous(), b.contiguous(), torch.empty_like(b, memory_format=CONTIGUOUS)
        first = torch.zeros_like(b[:, 0]) if first is None else first.contiguous()
        for parts in zip(_rows(a), _rows(b), _row(first), _rows(h), strict=True):
            scan.forward(*parts)
        ctx.save_for_backward(a, first, h)
        return h[:, -1:].clone() if last_step_only else h

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        from study.kernels.native import scan

        a, first, h = ctx.saved_tensors
        given, carry = grads[0].contiguous(), torch.zeros_like(first)
        dh, da = torch.empty_like(h), torch.empty_like(a)
        every = zip(
            *(_rows(a), _row(first), _rows(h), _rows(given), _row(carry), _rows(dh), _rows(da)),
            strict=True,
        )
        for parts in every:
            scan.backward(*parts)
        wants = ctx.needs_input_grad
        norms = squared_norms(dh) if wants[3] else None
        return da, dh, carry if wants[2] else None, norms, dh if wants[4] else None, None


def _rows(value: Tensor) -> list[Any]:
    """Of each member [T, B·H]."""
    return [member.detach().flatten(1).numpy() for member in value]


def _row(value: Tensor) -> list[Any]:
    """Of each member [B·H]."""
    return [member.detach().flatten().numpy() for member in value]
