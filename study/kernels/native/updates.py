"""What follows the gradients of an update, in one pass over them where torch needs a dozen.

Every value is rounded as torch rounds it: no product and sum are fused, and sums over a row's
values, whose order is torch's own, are left to torch. Arrays are [M, P] unless they say otherwise,
settings [M or 1, 1]; a weight decay that spares columns is [M or 1, P].
"""

from __future__ import annotations

from typing import Any

import numpy as np

from study.kernels.native.maths import rounded


@rounded
def adam_moments(
    grads: Any,
    params: Any,
    t: Any,
    m: Any,
    v: Any,
    beta1: Any,
    beta2: Any,
    decay: Any,
    decays: bool,
    new_t: Any,
    new_m: Any,
    new_v: Any,
    below: Any,
) -> None:
    """As study/optimizers/adam.py, up to the root: `below` is v̂; t [M, 1]."""
    one = grads.dtype.type(1)
    for i in range(len(grads)):
        b1, b2 = beta1[i % len(beta1), 0], beta2[i % len(beta2), 0]
        new_t[i, 0] = t[i, 0] + one
        rest1, rest2, correct = (
            one - b1,
            one - b2,
            grads.dtype.type(1 - np.float64(b2) ** np.float64(new_t[i, 0])),
        )
        of_row, by_column = i % len(decay), decay.shape[1] > 1
        for j in range(grads.shape[1]):
            g = grads[i, j]
            if decays:
                g = g + decay[of_row, j if by_column else 0] * params[i, j]
            second = b2 * v[i, j] + rest2 * g * g
            new_m[i, j], new_v[i, j], below[i, j] = (
                b1 * m[i, j] + rest1 * g,
                second,
                second / correct,
            )


@rounded
def adam_move(
    params: Any, m: Any, root: Any, lr: Any, eps: Any, beta1: Any, t: Any, new: Any
) -> None:
    """The rest: root = √v̂; `new` may be `root`."""
    for i in range(len(params)):
        rate, e = lr[i % len(lr), 0], eps[i % len(eps), 0]
        correct = params.dtype.type(1 - np.float64(beta1[i % len(beta1), 0]) ** np.float64(t[i, 0]))
        for j in range(params.shape[1]):
            new[i, j] = params[i, j] - m[i, j] / correct * rate / (root[i, j] + e)


@rounded
def sgd(
    grads: Any,
    params: Any,
    velocity: Any,
    lr: Any,
    momentum: Any,
    decay: Any,
    new: Any,
    new_velocity: Any,
) -> None:
    """As study/optimizers/sgd.py."""
    for i in range(len(grads)):
        rate, kept = lr[i % len(lr), 0], momentum[i % len(momentum), 0]
        of_row, by_column = i % len(decay), decay.shape[1] > 1
        for j in range(grads.shape[1]):
            g = grads[i, j] + decay[of_row, j if by_column else 0] * params[i, j]
            moved = kept * velocity[i, j] + g
            new_velocity[i, j] = moved
            new[i, j] = params[i, j] - rate * moved


@rounded
def rmsprop_square(
    grads: Any, params: Any, v: Any, alpha: Any, decay: Any, new_v: Any, root: Any
) -> None:
    """As study/optimizers/rmsprop.py, up to the root of the new v, which is in `root` too."""
    one = grads.dtype.type(1)
    for i in range(len(grads)):
        kept = alpha[i % len(alpha), 0]
        rest, of_row, by_column = one - kept, i % len(decay), decay.shape[1] > 1
        for j in range(grads.shape[1]):
            g = grads[i, j] + decay[of_row, j if by_column else 0] * params[i, j]
            square = kept * v[i, j] + rest * g * g
            new_v[i, j], root[i, j] = square, square


@rounded
def rmsprop_move(
    grads: Any,
    params: Any,
    b: Any,
    root: Any,
    lr: Any,
    eps: Any,
    momentum: Any,
    decay: Any,
    new_b: Any,
    new: Any,
) -> None:
    """The rest: root = √v; `new` may be `root`."""
    for i in range(len(grads)):
        rate, e, kept = lr[i % len(lr), 0], eps[i % len(eps), 0], momentum[i % len(momentum), 0]
        of_row, by_column = i % len(decay), decay.shape[1] > 1
        for j in range(grads.shape[1]):
            g = grads[i, j] + decay[of_row, j if by_column else 0] * params[i, j]
            moved = kept * b[i, j] + g / (root[i, j] + e)
            new_b[i, j], new[i, j] = moved, params[i, j] - rate * moved


@rounded
def settle(
    loss: Any,
    norm: Any,
    grads: Any,
    clipped: Any,
    params: Any,
    update: int,
    alive: Any,
    diverged_at: Any,
    changed: Any,
) -> tuple[bool, bool]:
    """Whether all members are alive, and whether clipping changed any of their gradients.

    Sets `alive` [M] to false, and `diverged_at` to `update`, for members that are no longer finite;
    `changed` [M]: whether clipping changed a member's gradients, whose norm is finite.
    """
    all_alive, any_changed = True, False
    for i in range(len(params)):
        other = 0
        for j in range(params.shape[1]):
            other += clipped[i, j] != grads[i, j]
        finite = np.isfinite(norm[i])
        changed[i] = other > 0 and finite
        outside = 0
        for j in range(params.shape[1]):
            outside += not np.isfinite(params[i, j])
        finite = finite and np.isfinite(loss[i]) and outside == 0
        if alive[i] and not finite:
            alive[i], diverged_at[i] = False, update
        all_alive, any_changed = all_alive and alive[i], any_changed or changed[i]
    return all_alive, any_changed


@rounded
def products(grads: Any, clipped: Any, into: Any) -> None:
    """into = grads·clipped in float64."""
    for i in range(len(grads)):
        for j in range(grads.shape[1]):
            into[i, j] = np.float64(grads[i, j]) * np.float64(clipped[i, j])


@rounded
def turned(norm: Any, length: Any, dots: Any, changed: Any, scales: Any, cosines: Any) -> None:
    """How clipping scaled and turned gradients that it changed; 1 for the others; all [M].

    norm and length: before and after; dots: sums of the products of both.
    """
    for i in range(len(norm)):
        ratio = length[i] / norm[i]
        unseen = 1 - 2.0**-53 if ratio == 1 else ratio
        scales[i] = unseen if changed[i] else 1.0
        cosines[i] = dots[i] / (norm[i] * length[i]) if changed[i] else 1.0


@rounded
def cross_entropies(outputs: Any, total: Any, y: Any, losses: Any, less: Any) -> None:
    """Losses total - outputs[y] [N], and less = outputs - total, from outputs [N, C], total [N].

    Raises IndexError for a class that is none of the C.
    """
    for n in range(len(outputs)):
        if not 0 <= y[n] < outputs.shape[1]:
            raise IndexError("a class is not one of the outputs")
        losses[n] = total[n] - outputs[n, y[n]]
        for c in range(outputs.shape[1]):
            less[n, c] = outputs[n, c] - total[n]


@rounded
def at_outputs(shares: Any, y: Any, weight: Any) -> None:
    """Turns the classes' shares [N, C] into the gradient of the mean loss, of `weight` each."""
    for n in range(len(shares)):
        for c in range(shares.shape[1]):
            shares[n, c] *= weight
        shares[n, y[n]] -= weight
