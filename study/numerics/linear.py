"""The one linear map of cells and readouts, with the same bits whatever the number of members."""

from __future__ import annotations

import torch
from torch import Tensor


def linear(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """x [M, T, B, D], weight [M, O, D], bias [M, O] or None -> [M, T, B, O].

    Products of width 1 are element-wise: matrix libraries take other paths for them and round
    differently.
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
    """A random matrix with orthonormal columns (rows, where there are fewer), uniform over them
    (Mezzadri 2007), in fp64.

    Q of the QR decomposition of a normal matrix; without the signs of R's diagonal it would not be
    uniformly distributed.
    """
    q, r = torch.linalg.qr(
        torch.randn(
            max(rows, columns), min(rows, columns), dtype=torch.float64, generator=generator
        )
    )
    q = q * r.diagonal().sign()
    return q if rows >= columns else q.T
