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
