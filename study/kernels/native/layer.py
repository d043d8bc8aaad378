"""The compiled kernels as one differentiable function of torch: members one by one, [M, T, B, D] -> [M, T, B, H].

Inside, examples are the last axis: [M, T, ·, B], filled up with zeros to whole vectors. What is filled up stays zero at every step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from study.kernels.native.sizes import LANES
from study.kernels.native.turning import turn


@dataclass(frozen=True)
class Compiled:
    """One kind of layer: a module with `forward`, `backward` and `buffers`, and further arguments of the first two."""

    module: Any
    further: tuple[Any, ...] = ()


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
        hx = _states(x, hidden)
        kept = steps if any(ctx.needs_input_grad) else 1
        buffers = [x.new_empty(members, *shape) for shape in kernel.module.buffers(kept, hx.shape[3], hidden, hx.shape[2])]
        ctx.kernel, ctx.inputs, ctx.buffers, ctx.parts, ctx.hx = kernel, inputs, buffers, parts, hx
        ctx.alone, ours = _doubled(x, *parts), _arrays(hx, *parts, *buffers)
        for member in range(1 if ctx.alone else members):
            kernel.module.forward(*_of(member, ours), *kernel.further)
        if ctx.alone:
            hx[1] = hx[0]
        return hx[:, 1:, :hidden, :batch].transpose(2, 3)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        (dh,), hx, inputs = grads, ctx.hx, ctx.inputs
        members, steps, batch, _ = dh.shape
        across = hx.shape[3]
        dparts = [torch.empty_like(part) for part in ctx.parts]
        dx = hx.new_empty(members, steps, inputs if ctx.needs_input_grad[2] else 0, across)
        reach = hx.new_zeros((members, steps, across) if ctx.needs_input_grad[3] else (members, 0, 0), dtype=torch.float64)
        alone, ours, made = ctx.alone and _doubled(dh), _arrays(hx, *ctx.parts, *ctx.buffers), _arrays(*dparts, dx, reach)
        for member in reversed(range(1 if alone else members)):  # the last one's values may still be in the cache
            if ctx.alone and member == 1:  # its buffers were not filled
                ctx.kernel.module.forward(*_of(1, ours), *ctx.kernel.further)
            ctx.kernel.module.backward(*_of(member, ours), _by_unit(dh[member], across).numpy(), *_of(member, made), *ctx.kernel.further)
        if alone:
            for array in made:
                array[1] = array[0]
        needs = ctx.needs_input_grad
        return None, None, dx[..., :batch].transpose(2, 3) if needs[2] else None, reach[..., :batch] if needs[3] else None, *dparts


def _states(x: Tensor, hidden: int) -> Tensor:
    """[M, T + 1, K, B']: states (h_0 = 0, the others to come), x, ones, and a row of zeros where K would be odd."""
    members, steps, batch, inputs = x.shape
    width = hidden + inputs + 1
    hx = x.new_empty(members, steps + 1, width + width % 2, math.ceil(batch / LANES) * LANES)
    hx[:, 0, :hidden] = 0
    hx[:, :, hidden:, batch:] = 0
    hx[:, :steps, hidden : width - 1, :batch] = x.transpose(2, 3)
    hx[:, :, width - 1 :, :batch] = 0
    hx[:, :, width - 1, :batch] = 1
    return hx


def _by_unit(dh: Tensor, across: int) -> Tensor:
    """[T, H, B'] of dh [T, B, H], contiguous."""
    turned = dh.transpose(1, 2)
    if turned.is_contiguous() and turned.shape[2] == across:
        return turned
    steps, _, hidden = dh.shape
    made = dh.new_empty(steps, hidden, across)
    turn(dh.contiguous().numpy(), made.numpy())
    return made


def _doubled(*tensors: Tensor) -> bool:
    """Whether these are a lone member and its shadow: then one is computed."""
    return len(tensors[0]) == 2 and all(torch.equal(one[0], one[1]) for one in tensors)


def _arrays(*tensors: Tensor) -> Sequence[Any]:
    return [tensor.detach().numpy() for tensor in tensors]


def _of(member: int, arrays: Sequence[Any]) -> Sequence[Any]:
    return [array[member] for array in arrays]
