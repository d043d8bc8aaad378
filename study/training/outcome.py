"""The outcome of an update: its weights taken over, its numbers recorded."""

from __future__ import annotations

import torch
from torch import Tensor

from study.numerics.norms import known_true
from study.training.state import Training


def finished(
    training: Training,
    update: int,
    loss: Tensor,
    norm: Tensor,
    grads: Tensor,
    clipped: Tensor,
    params: Tensor,
) -> None:
    """Take over new weights, but those of members that are no longer finite; record the update."""
    finite = loss.isfinite() & norm.isfinite() & params.abs().amax(1).isfinite()
    fails_now = training.alive & ~finite
    training.diverged_at = torch.where(fails_now, update, training.diverged_at)
    training.alive = training.alive & finite
    training.params = (
        params
        if known_true(training.alive.all())
        else torch.where(training.alive[:, None], params, training.params)
    )
    record_update(training, loss, norm, grads, clipped)


def record_update(
    training: Training, loss: Tensor, norm: Tensor, grads: Tensor, clipped: Tensor
) -> None:
    """Record loss, gradient norm before clipping, and how clipping scaled and turned the gradient.

    Scale and cosine are 1 for members whose gradient the rule left unchanged.
    """
    training.losses.append(loss.detach())
    training.norms.append(norm)
    # On bytes, because `any` takes ten times as long.
    changed = ((clipped != grads).view(torch.uint8).amax(1) > 0) & norm.isfinite()
    scales, cosines = torch.ones_like(norm), torch.ones_like(norm)
    if not known_true(~changed.any()):
        rows = masked_indices(changed)
        before, after = grads[rows].double(), clipped[rows].double()
        length = torch.linalg.vector_norm(after, dim=1)
        ratio, cosine = length / norm[rows], before.mul_(after).sum(1) / (norm[rows] * length)
        # 1 means unchanged. If clipping changed too little to show in the whole norm, the scale is
        # the next smaller number.
        scales[rows] = torch.where(changed[rows], torch.where(ratio == 1, 1 - 2.0**-53, ratio), 1.0)
        cosines[rows] = torch.where(changed[rows], cosine, 1.0)
    training.scales.append(scales)
    training.cosines.append(cosines)


def masked_indices(members: Tensor) -> Tensor:
    """Indices of the members in a mask, at least two, since one is summed in another order.

    On a GPU, all members, since reading the mask would synchronize.
    """
    if members.device.type != "cpu":
        return torch.arange(len(members), device=members.device)
    (rows,) = members.nonzero(as_tuple=True)
    return rows.repeat(2) if len(rows) == 1 else rows


def settled(
    training: Training,
    update: int,
    loss: Tensor,
    norm: Tensor,
    grads: Tensor,
    clipped: Tensor,
    params: Tensor,
) -> None:
    """As `finished`, compiled; the numbers are the same to the last bit."""
    from study.kernels.native import updates

    alive, diverged_at = training.alive.clone(), training.diverged_at.clone()
    changed = torch.empty_like(alive)
    before, after = grads.numpy(), clipped.contiguous().numpy()
    all_alive, any_changed = updates.settle(
        loss.numpy(),
        norm.numpy(),
        before,
        after,
        params.contiguous().numpy(),
        update,
        alive.numpy(),
        diverged_at.numpy(),
        changed.numpy(),
    )
    training.alive, training.diverged_at = alive, diverged_at
    training.params = params if all_alive else torch.where(alive[:, None], params, training.params)
    scales, cosines = torch.ones_like(norm), torch.ones_like(norm)
    if any_changed:
        both = torch.empty(grads.shape, dtype=torch.float64)
        updates.products(before, after, both.numpy())
        length = torch.linalg.vector_norm(clipped, dim=1, dtype=torch.float64)
        updates.turned(
            *(each.numpy() for each in (norm, length, both.sum(1), changed, scales, cosines))
        )
    training.losses.append(loss)
    training.norms.append(norm)
    training.scales.append(scales)
    training.cosines.append(cosines)
