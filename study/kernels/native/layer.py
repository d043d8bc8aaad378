"""The compiled kernels as one differentiable function of torch: members one by one, [M, T, B, D] -> [M, T, B, H]."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

ROWS = 256  # examples × steps that one product of the weights' gradient takes: what is read twice stays in the cache


@dataclass(frozen=True)
class Compiled:
    """One kind of layer: a module with `forward`, `backward` and `buffers`, and further arguments of the first two."""

    module: Any
    further: tuple[Any, ...] = ()
    wide: bool = False  # whether a buffer has the width of [h, x, 1]


def weights(weight_h: Tensor, weight_x: Tensor, bias: Tensor) -> Tensor:
    """[M, rows, H + D + 1]: what [h, x, 1] is multiplied with."""
    return torch.cat([weight_h, weight_x, bias.unsqueeze(-1)], dim=-1)


def run(kernel: Compiled, x: Tensor, hidden: int, *parts: Tensor, reach: Tensor | None = None) -> Tensor:
    """h [M, T, B, H] of all steps from zero states, for x [M, T, B, D] and the joined weights of the kernel. `reach`: study/kernels/reach.py."""
    h: Tensor = _Layer.apply(kernel, hidden, x, reach, *parts)
    return h


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, kernel: Compiled, hidden: int, x: Tensor, reach: Tensor | None, *parts: Tensor) -> Tensor:
        members, steps, batch, inputs = x.shape
        parts = tuple(part.contiguous() for part in parts)
        hx = x.new_empty(members, steps + 1, batch, hidden + inputs + 1)
        hx[:, 0, :, :hidden] = 0
        hx[:, :steps, :, hidden : hidden + inputs] = x
        hx[:, :, :, hidden + inputs] = 1
        shapes = kernel.module.buffers(steps, batch, hidden, *([hx.shape[-1]] if kernel.wide else []))
        kept = [x.new_empty(members, *shape) for shape in shapes]
        ctx.kernel, ctx.inputs, ctx.kept, ctx.parts, ctx.hx = kernel, inputs, kept, parts, hx
        ctx.alone = _doubled(x, *parts)
        for member in range(1 if ctx.alone else members):
            kernel.module.forward(*_of(member, hx, *parts, *kept), *kernel.further)
        if ctx.alone:
            hx[1] = hx[0]
        return hx[:, 1:, :, :hidden]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        dh, hx, inputs = grads[0].contiguous(), ctx.hx, ctx.inputs
        members, steps, batch, _ = dh.shape
        dparts = [torch.zeros_like(part) for part in ctx.parts]
        dx = hx.new_empty(members, steps, batch, inputs if ctx.needs_input_grad[2] else 0)
        reach = hx.new_zeros((members, steps, batch) if ctx.needs_input_grad[3] else (members, 0, 0), dtype=torch.float64)
        chunk = min(max(1, ROWS // batch), steps)
        alone = ctx.alone and _doubled(dh)
        for member in range(1 if alone else members):
            if ctx.alone and member == 1:  # its buffers were not filled
                ctx.kernel.module.forward(*_of(1, hx, *ctx.parts, *ctx.kept), *ctx.kernel.further)
            ctx.kernel.module.backward(*_of(member, hx, *ctx.parts, *ctx.kept, dh, *dparts, dx, reach), chunk, *ctx.kernel.further)
        if alone:
            for made in (dx, reach, *dparts):
                made[1] = made[0]
        return None, None, dx if ctx.needs_input_grad[2] else None, reach if ctx.needs_input_grad[3] else None, *dparts


def _doubled(*tensors: Tensor) -> bool:
    """Whether these are a lone member and its shadow: then one is computed."""
    return len(tensors[0]) == 2 and all(torch.equal(one[0], one[1]) for one in tensors)


def _of(member: int, *tensors: Tensor) -> Sequence[Any]:
    return [tensor[member].numpy() for tensor in tensors]
