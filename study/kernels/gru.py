"""Fused GRU layer (reset before the product) with a hand-written backward pass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from study.kernels import joined
from study.kernels.step_norms import squared_norms


class GRULayer(torch.autograd.Function):
    """x [M, T, B, D], gate order r, z, n -> h [T, M, B, H].

    n = 2s - 1 with s = σ(2·): the rows of n in the weights are doubled. `change` is n - h_{t-1}, so
    h_t = h_{t-1} + z⊙change. Backward, with G the gradient of h_t: z gets G⊙change, s gets 2G⊙z,
    R = dz_n W_n, r gets R⊙h_{t-1}, then G ← G⊙(1-z) + R⊙r + [dz_r, dz_z] W_rz.
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
        weight = joined.weights(weight_h, weight_x, bias)
        weight_rz, weight_n = weight[:, : 2 * hidden].contiguous(), 2 * weight[:, 2 * hidden :]
        across_rz, across_n = weight_rz.transpose(1, 2), weight_n.transpose(1, 2)
        hx = joined.states(x, hidden)
        reset = hx[:steps].clone()  # [r⊙h, x, 1]
        rz = x.new_empty(steps, *hx.shape[1:3], 2 * hidden)
        s, change = (x.new_empty(steps, *hx.shape[1:3], hidden) for _ in range(2))
        for t in range(steps):
            h = hx[t, ..., :hidden]
            r, z = torch.bmm(hx[t], across_rz, out=rz[t]).sigmoid_().chunk(2, dim=-1)
            torch.mul(r, h, out=reset[t, ..., :hidden])
            torch.bmm(reset[t], across_n, out=s[t]).sigmoid_()
            torch.mul(s[t], 2, out=change[t]).sub_(1).sub_(h)
            torch.addcmul(h, z, change[t], out=hx[t + 1, ..., :hidden])
        ctx.kept, ctx.sizes = (hx, reset, rz, s, change, weight_rz, weight_n), (hidden, x.shape[-1])
        return hx[1:, ..., :hidden]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        (hx, reset, rz, s, change, weight_rz, weight_n), (hidden, inputs) = ctx.kept, ctx.sizes
        dh_out = grads[0]
        dweight_rz, dweight_n = torch.zeros_like(weight_rz), torch.zeros_like(weight_n)
        dhx, dreset = torch.empty_like(hx[0]), torch.empty_like(hx[0])
        drz, dn = torch.empty_like(rz[0]), torch.empty_like(s[0])
        dr, dz = drz.chunk(2, dim=-1)
        dh, kept, back = torch.empty_like(s[0]), torch.empty_like(s[0]), torch.zeros_like(s[0])
        dx = hx.new_empty(*hx[1:].shape[:3], inputs) if ctx.needs_input_grad[0] else None
        squared = (
            dh_out.new_empty(dh_out.shape[:3], dtype=torch.float64)
            if ctx.needs_input_grad[4]
            else None
        )
        for t in reversed(range(len(s))):
            h, (r, z) = hx[t, ..., :hidden], rz[t].chunk(2, dim=-1)
            torch.add(back, dh_out[t], out=dh)
            if squared is not None:
                squared[t] = squared_norms(dh)
            torch.mul(dh, change[t], out=dz)
            torch.mul(dh, z, out=kept)
            torch.mul(kept, 2, out=dn)
            torch.ops.aten.sigmoid_backward(dn, s[t], grad_input=dn)
            torch.bmm(dn, weight_n, out=dreset)
            torch.mul(dreset[..., :hidden], h, out=dr)
            torch.ops.aten.sigmoid_backward(drz, rz[t], grad_input=drz)
            dweight_n.baddbmm_(dn.transpose(1, 2), reset[t])
            dweight_rz.baddbmm_(drz.transpose(1, 2), hx[t])
            torch.bmm(drz, weight_rz, out=dhx)
            torch.sub(dh, kept, out=back).addcmul_(dreset[..., :hidden], r).add_(dhx[..., :hidden])
            if dx is not None:
                torch.add(
                    dhx[..., hidden : hidden + inputs],
                    dreset[..., hidden : hidden + inputs],
                    out=dx[t],
                )
        dweight_h, dweight_x, dbias = joined.split(
            torch.cat([dweight_rz, 2 * dweight_n], dim=1), hidden, inputs
        )
        return (
            None if dx is None else dx.transpose(0, 1),
            dweight_x,
            dweight_h,
            dbias,
            None if squared is None else squared.transpose(0, 1),
        )
