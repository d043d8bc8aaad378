"""Layers that are linear in their state, over long sequences block after block of steps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from study.interfaces import Params
from study.kernels.step_norms import STEP_NORMS

WHOLE = 2**22  # most values of a state over all steps of a member that are computed at once
BLOCK = 2**18  # those of a block: what it computes stays in a cache
X, FIRST, NORMS = "/x", "/first", "/norms"  # beside the names of parameters


class Run(Protocol):
    """Outputs [M, T, B, H], or of the last step alone, and the state after it, from a first state.

    `first` [M, B, ·] is None at the beginning. Gradients reach params, x, `first` and `step_norms`.
    """

    def __call__(
        self,
        params: Params,
        x: Tensor,
        first: Tensor | None,
        step_norms: Tensor | None,
        *,
        last_step_only: bool,
    ) -> tuple[Tensor, Tensor]: ...


def outputs(
    run: Run,
    params: Params,
    x: Tensor,
    width: int,
    step_norms: Tensor | None,
    *,
    last_step_only: bool,
) -> Tensor:
    """Outputs of a layer with states of `width` values for x [M, T, B, D].

    Of a long sequence, x, outputs and a state a block are kept: what else the gradients need is
    computed again, block after block. Whether and how depends on T, B and `width` alone.
    """
    _, steps, batch, _ = x.shape
    if steps * batch * width <= WHOLE:
        return run(params, x, None, step_norms, last_step_only=last_step_only)[0]
    block = max(1, BLOCK // (batch * width))
    names = [name for name in params if name != STEP_NORMS]
    values = [params[name] for name in names]
    found: Tensor = _Blocks.apply(run, names, block, last_step_only, x, step_norms, *values)
    return found


class _Blocks(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        run: Run,
        names: list[str],
        block: int,
        last_step_only: bool,
        x: Tensor,
        step_norms: Tensor | None,
        *values: Tensor,
    ) -> Tensor:
        params, parts = dict(zip(names, values, strict=True)), x.split(block, dim=1)
        # one tensor each, made at once: pieces among what is thrown away would hold its memory
        states = found = x.new_empty(0)
        for number, part in enumerate(parts):
            first = states[number - 1] if number else None
            h, state = run(params, part, first, None, last_step_only=last_step_only)
            if not number:
                states = state.new_empty(len(parts), *state.shape)
                steps = 1 if last_step_only else x.shape[1]
                found = h.new_empty(len(h), steps, *h.shape[2:])
            states[number] = state
            at = 0 if last_step_only else number * block
            found[:, at : at + h.shape[1]] = h
        ctx.run, ctx.names, ctx.block, ctx.last_step_only = run, names, block, last_step_only
        ctx.norms = step_norms is not None
        ctx.save_for_backward(x, states, *values)
        return found

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        x, after, *values = ctx.saved_tensors
        states = [None, *after[:-1]]
        totals: list[Tensor | None] = [None] * len(values)
        wants, carry = ctx.needs_input_grad, None
        dx = torch.zeros_like(x) if wants[4] else None
        norms = x.new_zeros(x.shape[:3], dtype=torch.float64) if wants[5] else None
        parts = list(range(0, x.shape[1], ctx.block))
        given: list[Tensor | None] = list(grads[0].split(ctx.block, dim=1))
        while len(given) < len(parts):  # of the last step alone: one part
            given.insert(0, None)
        for start, first, dh in reversed(list(zip(parts, states, given, strict=True))):
            here = slice(start, start + ctx.block)
            found = _block(ctx, x[:, here], first, values, dh, carry)
            carry = found[FIRST]
            for whole, part in ((dx, found[X]), (norms, found[NORMS])):
                if whole is not None and part is not None:
                    whole[:, here] = part
            for number, name in enumerate(ctx.names):
                one, total = found[name], totals[number]
                totals[number] = one if total is None else total if one is None else total + one
        return None, None, None, None, dx, norms, *totals


def _block(
    ctx: Any,
    x: Tensor,
    first: Tensor | None,
    values: list[Tensor],
    dh: Tensor | None,
    carry: Tensor | None,
) -> dict[str, Tensor | None]:
    """Gradients of one block by name, from those of its outputs and of the state after it."""
    wanted = ctx.needs_input_grad[6:]
    with torch.enable_grad():
        params: Mapping[str, Tensor] = {
            name: value.detach().requires_grad_(want)
            for name, value, want in zip(ctx.names, values, wanted, strict=True)
        }
        leaves: dict[str, Tensor] = {name: one for name, one in params.items() if one.requires_grad}
        x = leaves[X] = x.detach().requires_grad_(ctx.needs_input_grad[4])
        if first is not None:
            first = leaves[FIRST] = first.detach().requires_grad_()
        norms = None
        if ctx.norms:
            members, steps, batch, _ = x.shape
            norms = torch.zeros(members, steps, batch, dtype=torch.float64).requires_grad_()
            leaves[NORMS] = norms
        h, state = ctx.run(params, x, first, norms, last_step_only=ctx.last_step_only)
        ends = [(h, dh), (state, carry)]
        ends = [(value, grad) for value, grad in ends if grad is not None]
        into = {name: one for name, one in leaves.items() if one.requires_grad}
        found = torch.autograd.grad(
            [value for value, _ in ends],
            list(into.values()),
            [grad for _, grad in ends],
            allow_unused=True,
        )
    return {**dict.fromkeys([*ctx.names, X, FIRST, NORMS]), **dict(zip(into, found, strict=True))}
