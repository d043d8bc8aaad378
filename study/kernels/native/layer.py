"""The compiled kernels as one differentiable function of torch: members one by one, [M, T, B, D] ->
[M, T, B, H].

Inside, examples are the last axis: [M, T, ·, B], filled up with zeros to whole vectors. What is
filled up stays zero at every step.
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
class Layer:
    """One layer by a compiled kernel (interfaces.Native): a module with `forward`, `backward` and
    `buffers`, joined weights, hidden units.

    `further`: extra arguments of forward and backward. `others`: the buffers [T + 1, H, B] that
    hold the states beside h.

    backward(hx, weights…, buffers…, dh_out, gradients of the other states…, gradients of the
    weights…, dx, reach, taps, further…): gradients of states [≤ T, H, B] are those of the last
    steps, earlier ones have none. It fills those of the weights, dx [T, D, B], reach [T, B] =
    ‖dL/dh_t‖² and taps [T, S·H, B] = dL/ds_t, all states side by side; what is empty is not asked
    for.
    """

    module: Any
    weights: tuple[Tensor, ...]
    hidden: int
    further: tuple[Any, ...] = ()
    others: tuple[int, ...] = ()

    def outputs(
        self, x: Tensor, reach: Tensor | None = None, *, last_step_only: bool = False
    ) -> Tensor:
        (h,) = _Layer.apply(self, x, reach, last_step_only, 0, *self.weights)
        return h

    def states(self, x: Tensor, taps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = _Layer.apply(
            self, x, None, False, len(taps), *taps, *self.weights
        )
        return found


def weights(weight_h: Tensor, weight_x: Tensor, bias: Tensor) -> Tensor:
    """[M, rows, H + D + 1]: what [h, x, 1] is multiplied with."""
    return torch.cat([weight_h, weight_x, bias.unsqueeze(-1)], dim=-1)


class _Layer(torch.autograd.Function):
    """States [M, T, B, H] of all steps from zero states, or of the final one [M, 1, B, H]; those
    beside h where there are taps.
    """

    @staticmethod
    def forward(
        ctx: Any,
        of: Layer,
        x: Tensor,
        reach: Tensor | None,
        last_step_only: bool,
        count: int,
        *given: Tensor,
    ) -> tuple[Tensor, ...]:
        members, steps, batch, inputs = x.shape
        parts = tuple(part.contiguous() for part in given[count:])
        hx = _states(x, of.hidden)
        kept = steps if any(ctx.needs_input_grad) else 1
        buffers = [
            x.new_empty(members, *shape)
            for shape in of.module.buffers(
                kept if not count else steps, hx.shape[3], of.hidden, hx.shape[2]
            )
        ]
        ctx.of, ctx.inputs, ctx.buffers, ctx.parts, ctx.hx, ctx.count = (
            of,
            inputs,
            buffers,
            parts,
            hx,
            count,
        )
        ctx.alone, ours = _doubled(x, *parts), _arrays(hx, *parts, *buffers)
        ctx.set_materialize_grads(False)
        for member in range(1 if ctx.alone else members):
            of.module.forward(*_of(member, ours), *of.further)
        others = [buffers[number] for number in of.others] if count else []
        if ctx.alone:
            for filled in (hx, *others):
                filled[1] = filled[0]
        return tuple(
            states[:, steps if last_step_only else 1 :, : of.hidden, :batch].transpose(2, 3)
            for states in (hx, *others)
        )

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        of, hx, inputs, count = ctx.of, ctx.hx, ctx.inputs, ctx.count
        if all(grad is None for grad in grads):
            return (None,) * len(ctx.needs_input_grad)
        members, steps, across = len(hx), hx.shape[1] - 1, hx.shape[3]
        needs, batch = (
            ctx.needs_input_grad,
            next(grad for grad in grads if grad is not None).shape[2],
        )
        dparts = [
            part.new_empty(
                members, *(part.shape[1:] if any(needs[5 + count :]) else (0, part.shape[2]))
            )
            for part in ctx.parts
        ]
        dx = hx.new_empty(members, steps, inputs if needs[1] else 0, across)
        reach = hx.new_zeros(
            (members, steps, across) if needs[2] else (members, 0, 0), dtype=torch.float64
        )
        dstates = hx.new_empty(members, steps if count else 0, count * of.hidden, across)
        alone = ctx.alone and _doubled(*(grad for grad in grads if grad is not None))
        ours, made = _arrays(hx, *ctx.parts, *ctx.buffers), _arrays(*dparts, dx, reach, dstates)
        nothing = hx.new_empty(0, of.hidden, across).numpy()
        # the last one's values may still be in the cache
        for member in reversed(range(1 if alone else members)):
            if ctx.alone and member == 1:  # its buffers were not filled
                of.module.forward(*_of(1, ours), *of.further)
            direct = [
                nothing if grad is None else _by_unit(grad[member], across).numpy()
                for grad in grads
            ]
            direct += [nothing] * (1 + len(of.others) - len(direct))
            of.module.backward(*_of(member, ours), *direct, *_of(member, made), *of.further)
        if alone:
            for array in made:
                array[1] = array[0]
        taps = (
            [part[..., :batch].transpose(2, 3) for part in dstates.split(of.hidden, dim=2)]
            if count
            else []
        )
        return (
            None,
            dx[..., :batch].transpose(2, 3) if needs[1] else None,
            reach[..., :batch] if needs[2] else None,
            None,
            None,
            *taps,
            *(dparts if any(needs[5 + count :]) else [None] * len(dparts)),
        )


def _states(x: Tensor, hidden: int) -> Tensor:
    """[M, T + 1, K, B']: states (h_0 = 0, the others to come), x, ones, and a row of zeros where K
    would be odd.
    """
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
