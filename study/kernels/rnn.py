"""Fused plain recurrent layer with a hand-written backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from study.kernels import joined
from study.kernels.step_norms import squared_norms


class RNNLayer(torch.autograd.Function):
    """h_t = φ(W_x x_t + W_h h_{t-1} + b), φ ReLU or tanh: x [M, T, B, D] -> h [T, M, B, H]."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight_x: Tensor,
        weight_h: Tensor,
        bias: Tensor,
        relu: bool,
        step_norms: Tensor | None,
    ) -> Tensor:
        hidden = weight_h.shape[-1]
        weight, hx = joined.weights(weight_h, weight_x, bias), joined.states(x, hidden)
        across = (weight if relu else 2 * weight).transpose(1, 2)
        z = x.new_empty(*hx.shape[1:3], hidden)
        for t in range(x.shape[1]):
            torch.bmm(hx[t], across, out=z)
            after = hx[t + 1, ..., :hidden]
            torch.clamp(z, min=0, out=after) if relu else joined.tanh_of_half(z, after)
        ctx.hx, ctx.weight, ctx.relu, ctx.sizes = hx, weight, relu, (hidden, x.shape[-1])
        return hx[1:, ..., :hidden]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        hx, weight, (hidden, inputs) = ctx.hx, ctx.weight, ctx.sizes
        dh_out = grads[0]
        dweight, dhx, dz = (
            torch.zeros_like(weight),
            torch.zeros_like(hx[0]),
            torch.empty_like(dh_out[0], memory_format=torch.contiguous_format),
        )
        dx = hx.new_empty(*hx[1:].shape[:3], inputs) if ctx.needs_input_grad[0] else None
        squared = (
            dh_out.new_empty(dh_out.shape[:3], dtype=torch.float64)
            if ctx.needs_input_grad[5]
            else None
        )
        for t in reversed(range(len(dh_out))):
            dh = torch.add(dhx[..., :hidden], dh_out[t], out=dz)
            if squared is not None:
                squared[t] = squared_norms(dh)
            h = hx[t + 1, ..., :hidden]
            if ctx.relu:
                dz.mul_(h > 0)
            else:
                torch.ops.aten.tanh_backward(dh, h, grad_input=dz)
            dweight.baddbmm_(dz.transpose(1, 2), hx[t])
            torch.bmm(dz, weight, out=dhx)
            if dx is not None:
                dx[t] = dhx[..., hidden : hidden + inputs]
        dweight_h, dweight_x, dbias = joined.split(dweight, hidden, inputs)
        return (
            None if dx is None else dx.transpose(0, 1),
            dweight_x,
            dweight_h,
            dbias,
            None,
            None if squared is None else squared.transpose(0, 1),
        )
