"""The linear map of cells and readouts; its bits do not depend on the number of members."""

from __future__ import annotations

import torch
from torch import Tensor


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x [M, T, B, D], weight [M, O, D], bias [M, O] or None -> [M, T, B, O].

    Products of width 1 are element-wise, since matrix libraries round them differently.
    """
    members, steps, batch, width = x.shape
    if width == 1:
        y = x * weight[:, None, None, :, 0]
    elif weight.shape[1] == 1:
        y = (x * weight[:, None]).sum(-1, keepdim=True)
    else:
        y = torch.bmm(x.reshape(members, steps * batch, width), weight.transpose(1, 2)).view(
            members, steps, batch, -1
        )
    return y if bias is None else y + bias[:, None, None]


def linear_backward(x: Tensor, weight: Tensor, at_y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients at x, weight and bias of `linear` from those at y [M, T, B, O], as by autograd."""
    members, steps, batch, width = x.shape
    at_bias = at_y.sum_to_size(members, 1, 1, weight.shape[1])[:, 0, 0]
    if width == 1 or weight.shape[1] == 1:
        row = weight[:, None, None, :, 0] if width == 1 else weight[:, None]
        at_row = (at_y * x).sum_to_size(row.shape)
        return (at_y * row).sum_to_size(x.shape), at_row.reshape(weight.shape), at_bias
    rows, flat = x.reshape(members, steps * batch, width), at_y.reshape(members, steps * batch, -1)
    at_weight = torch.bmm(rows.transpose(1, 2), flat).transpose(1, 2)
    return torch.bmm(flat, weight).view(x.shape), at_weight, at_bias


def orthogonal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """A uniformly random fp64 matrix with orthonormal columns, or rows if there are fewer rows.

    Q of the QR decomposition of a normal matrix, times the signs of R's diagonal, without which it
    would not be uniform (Mezzadri 2007).
    """
    q, r = torch.linalg.qr(
        torch.randn(
            max(rows, columns), min(rows, columns), dtype=torch.float64, generator=generator
        )
    )
    q = q * r.diagonal().sign()
    return q if rows >= columns else q.T
