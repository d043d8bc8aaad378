"""The compiled kernels as one autograd function, [M, T, B, D] -> [M, T, B, H], member by member.

Inside, examples are the last axis, [M, T, ·, B], padded with zeros to whole vectors. The padding
stays zero at every step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from study.kernels.native.sizes import LANES
from study.kernels.native.transpose import transpose

Source = tuple[str, int] | None  # a parameter and its first row; None: zeros


@dataclass(frozen=True)
class Rows:
    """So many rows of the joined weights: recurrent and input weights, and bias."""

    count: int
    weight_h: Source
    weight_x: Source
    bias: Source


@dataclass(frozen=True)
class Layer:
    """One layer computed by a compiled kernel (interfaces.Native).

    module: has `forward`, `backward` and `buffers`. weights: the joined weights. hidden: H.
    further: extra arguments of forward and backward. others: indices of the buffers [T + 1, H, B]
    that hold the states other than h.

    backward(hx, weights…, buffers…, dh_out, gradients of the other states…, gradients of the
    weights…, dx, step_norms, taps, further…): the gradients of states, [≤ T, H, B], belong to the
    last steps; earlier steps have none. It fills the gradients of the weights, dx [T, D, B],
    step_norms [T, B] = ‖dL/dh_t‖² and taps [T, S·H, B] = dL/ds_t, all states side by side. Empty
    arrays are skipped.
    """

    module: Any
    weights: tuple[Tensor, ...]
    hidden: int
    further: tuple[Any, ...] = ()
    others: tuple[int, ...] = ()
    rows: tuple[Rows, ...] = ()

    def outputs(
        self, x: Tensor, step_norms: Tensor | None = None, *, last_step_only: bool = False
    ) -> Tensor:
        (h,) = _Layer.apply(self, x, step_norms, last_step_only, 0, *self.weights)
        return h

    def states(self, x: Tensor, taps: Sequence[Tensor]) -> tuple[Tensor, ...]:
        found: tuple[Tensor, ...] = _Layer.apply(
            self, x, None, False, len(taps), *taps, *self.weights
        )
        return found


def plain(count: int) -> tuple[Rows, ...]:
    """All rows of parameters weight_h, weight_x and bias, in their order."""
    return (Rows(count, ("weight_h", 0), ("weight_x", 0), ("bias", 0)),)


def weights(weight_h: Tensor, weight_x: Tensor, bias: Tensor) -> Tensor:
    """The joined weights [M, rows, H + D + 1] that multiply [h, x, 1]."""
    return torch.cat([weight_h, weight_x, bias.unsqueeze(-1)], dim=-1)


class _Layer(torch.autograd.Function):
    """States [M, T, B, H] of all steps from zero states, or [M, 1, B, H] of the final step.

    With taps, all states are returned, else h alone.
    """

    @staticmethod
    def forward(
        ctx: Any,
        layer: Layer,
        x: Tensor,
        step_norms: Tensor | None,
        last_step_only: bool,
        count: int,
        *given: Tensor,
    ) -> tuple[Tensor, ...]:
        members, steps, batch, inputs = x.shape
        parts = tuple(part.contiguous() for part in given[count:])
        hx = _states(x, layer.hidden)
        kept = steps if any(ctx.needs_input_grad) else 1
        buffers = [
            x.new_empty(members, *shape)
            for shape in layer.module.buffers(
                kept if not count else steps, hx.shape[3], layer.hidden, hx.shape[2]
            )
        ]
        ctx.layer, ctx.inputs, ctx.buffers, ctx.parts, ctx.hx, ctx.count = (
            layer,
            inputs,
            buffers,
            parts,
            hx,
            count,
        )
        ctx.duplicated, inputs_and_buffers = (
            _is_duplicated(x, *parts),
            _arrays(hx, *parts, *buffers),
        )
        ctx.set_materialize_grads(False)
        for member in range(1 if ctx.duplicated else members):
            layer.module.forward(*_member(member, inputs_and_buffers), *layer.further)
        others = [buffers[number] for number in layer.others] if count else []
        if ctx.duplicated:
            for filled in (hx, *others):
                filled[1] = filled[0]
        return tuple(
            states[:, steps if last_step_only else 1 :, : layer.hidden, :batch].transpose(2, 3)
            for states in (hx, *others)
        )

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Any, ...]:
        layer, hx, inputs, count = ctx.layer, ctx.hx, ctx.inputs, ctx.count
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
        step_norms = hx.new_zeros(
            (members, steps, across) if needs[2] else (members, 0, 0), dtype=torch.float64
        )
        dstates = hx.new_empty(members, steps if count else 0, count * layer.hidden, across)
        duplicated = ctx.duplicated and _is_duplicated(
            *(grad for grad in grads if grad is not None)
        )
        inputs_and_buffers, results = (
            _arrays(hx, *ctx.parts, *ctx.buffers),
            _arrays(*dparts, dx, step_norms, dstates),
        )
        nothing = hx.new_empty(0, layer.hidden, across).numpy()
        # backwards: the last member's values may still be in the cache
        for member in reversed(range(1 if duplicated else members)):
            if ctx.duplicated and member == 1:  # forward has not filled its buffers
                layer.module.forward(*_member(1, inputs_and_buffers), *layer.further)
            direct = [
                nothing if grad is None else _units_first(grad[member], across).numpy()
                for grad in grads
            ]
            direct += [nothing] * (1 + len(layer.others) - len(direct))
            layer.module.backward(
                *_member(member, inputs_and_buffers),
                *direct,
                *_member(member, results),
                *layer.further,
            )
        if duplicated:
            for array in results:
                array[1] = array[0]
        taps = (
            [part[..., :batch].transpose(2, 3) for part in dstates.split(layer.hidden, dim=2)]
            if count
            else []
        )
        return (
            None,
            dx[..., :batch].transpose(2, 3) if needs[1] else None,
            step_norms[..., :batch] if needs[2] else None,
            None,
            None,
            *taps,
            *(dparts if any(needs[5 + count :]) else [None] * len(dparts)),
        )


def _states(x: Tensor, hidden: int) -> Tensor:
    """[M, T + 1, K, B']: states (h_0 = 0, the others unset), x, ones; zeros if K is odd."""
    members, steps, batch, inputs = x.shape
    width = hidden + inputs + 1
    hx = x.new_empty(members, steps + 1, width + width % 2, math.ceil(batch / LANES) * LANES)
    hx[:, 0, :hidden] = 0
    hx[:, :, hidden:, batch:] = 0
    hx[:, :steps, hidden : width - 1, :batch] = x.transpose(2, 3)
    hx[:, :, width - 1 :, :batch] = 0
    hx[:, :, width - 1, :batch] = 1
    return hx


def _units_first(dh: Tensor, across: int) -> Tensor:
    """Contiguous [T, H, B'] from dh [T, B, H]."""
    transposed = dh.transpose(1, 2)
    if transposed.is_contiguous() and transposed.shape[2] == across:
        return transposed
    steps, _, hidden = dh.shape
    out = dh.new_empty(steps, hidden, across)
    transpose(dh.contiguous().numpy(), out.numpy())
    return out


def _is_duplicated(*tensors: Tensor) -> bool:
    """Whether these hold a single member twice: then one copy is computed."""
    return len(tensors[0]) == 2 and all(torch.equal(tensor[0], tensor[1]) for tensor in tensors)


def _arrays(*tensors: Tensor) -> Sequence[Any]:
    return [tensor.detach().numpy() for tensor in tensors]


def _member(member: int, arrays: Sequence[Any]) -> Sequence[Any]:
    return [array[member] for array in arrays]
