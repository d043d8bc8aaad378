"""Fused LSTM layer: all steps in one autograd function with a hand-written backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from study.kernels import joined
from study.kernels.step_norms import squared_norms


class LSTMLayer(torch.autograd.Function):
    """x [M, T, B, D], gate order i, f, g, o -> h [T, M, B, H].

    g = tanh(z) = 2s - 1 with s = σ(2z): the rows of g in the weights are doubled, so that one
    sigmoid computes all four gates. Backward, with G the gradient of h_t and C that of c_t:
    C += G⊙o⊙(1-tanh²c); the gates get C⊙g, C⊙c_{t-1}, 2C⊙i and G⊙tanh(c), times the sigmoid's
    derivative; then C ← C⊙f, and G is the product with W_h.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight_x: Tensor,
        weight_h: Tensor,
        bias: Tensor,
        step_norms: Tensor | None,
    ) -> Tensor:
        hidden, steps = weight_h.shape[-1], x.shape[1]
        weight, hx = joined.weights(weight_h, weight_x, bias), joined.states(x, hidden)
        weight[:, 2 * hidden : 3 * hidden] *= 2
        across = weight.transpose(1, 2)
        gates = x.new_empty(steps, *hx.shape[1:3], 4 * hidden)
        c, tanh_c = (
            x.new_zeros(steps + 1, *hx.shape[1:3], hidden),
            x.new_empty(steps, *hx.shape[1:3], hidden),
        )
        double = torch.empty_like(c[0])
        for t in range(steps):
            i, f, s, o = torch.bmm(hx[t], across, out=gates[t]).sigmoid_().chunk(4, dim=-1)
            torch.mul(f, c[t], out=c[t + 1]).addcmul_(i, s, value=2).sub_(i)
            joined.tanh_of_half(torch.mul(c[t + 1], 2, out=double), tanh_c[t])
            torch.mul(o, tanh_c[t], out=hx[t + 1, ..., :hidden])
        ctx.hx, ctx.gates, ctx.c, ctx.tanh_c, ctx.weight, ctx.sizes = (
            hx,
            gates,
            c,
            tanh_c,
            weight,
            (hidden, x.shape[-1]),
        )
        return hx[1:, ..., :hidden]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hx, gates, c, tanh_c, weight, (hidden, inputs) = (
            ctx.hx,
            ctx.gates,
            ctx.c,
            ctx.tanh_c,
            ctx.weight,
            ctx.sizes,
        )
        dh_out = grads[0]
        dweight, dhx, dz = (
            torch.zeros_like(weight),
            torch.zeros_like(hx[0]),
            torch.empty_like(gates[0]),
        )
        di, df, ds, do = dz.chunk(4, dim=-1)
        dh, dc, part = torch.empty_like(c[0]), torch.zeros_like(c[0]), torch.empty_like(c[0])
        dx = hx.new_empty(*hx[1:].shape[:3], inputs) if ctx.needs_input_grad[0] else None
        squared = (
            dh_out.new_empty(dh_out.shape[:3], dtype=torch.float64)
            if ctx.needs_input_grad[4]
            else None
        )
        for t in reversed(range(len(gates))):
            i, f, s, o = gates[t].chunk(4, dim=-1)
            torch.add(dhx[..., :hidden], dh_out[t], out=dh)
            if squared is not None:
                squared[t] = squared_norms(dh)
            torch.mul(dh, tanh_c[t], out=do)
            dc += torch.ops.aten.tanh_backward(
                torch.mul(dh, o, out=part), tanh_c[t], grad_input=part
            )
            torch.mul(dc, s, out=part).mul_(2)
            torch.sub(part, dc, out=di)
            torch.mul(dc, c[t], out=df)
            torch.mul(dc, i, out=ds).mul_(2)
            torch.ops.aten.sigmoid_backward(dz, gates[t], grad_input=dz)
            dweight.baddbmm_(dz.transpose(1, 2), hx[t])
            torch.bmm(dz, weight, out=dhx)
            dc *= f
            if dx is not None:
                dx[t] = dhx[..., hidden : hidden + inputs]
        dweight[:, 2 * hidden : 3 * hidden] *= 2
        dweight_h, dweight_x, dbias = joined.split(dweight, hidden, inputs)
        return (
            None if dx is None else dx.transpose(0, 1),
            dweight_x,
            dweight_h,
            dbias,
            None if squared is None else squared.transpose(0, 1),
        )
