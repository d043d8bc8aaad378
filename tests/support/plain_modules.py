"""A slow, plain reference for recurrent modules of torch.nn: one loop over layers and steps, zero
leaves as taps, torch's own derivatives.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

Loss = Callable[[Tensor, Tensor, Tensor | None], Tensor]


def gradients(
    module: nn.Module, x: Tensor, loss: Loss, first: tuple[Tensor, ...] | None = None
) -> list[list[Tensor]]:
    """Per layer and state name (h, then c), dL/ds_t [T, B, H] for x [T, B, D] and loss(output [T,
    B, H], h_n, c_n).
    """
    lstm = isinstance(module, nn.LSTM)
    zeros = x.new_zeros(module.num_layers, x.shape[1], module.hidden_size)
    first = first or ((zeros, zeros) if lstm else (zeros,))
    taps: list[list[list[Tensor]]] = []
    ends: list[tuple[Tensor, ...]] = []
    sequence = list(x)
    for layer in range(module.num_layers):
        state, of_layer, outputs = tuple(part[layer] for part in first), [], []
        for x_t in sequence:
            leaves = [torch.zeros_like(part, requires_grad=True) for part in state]
            # c's tap after h is formed
            state = tuple(
                part + leaf
                for part, leaf in zip(step(module, layer, x_t, state), leaves, strict=True)
            )
            of_layer.append(leaves)
            outputs.append(state[0])
        taps.append(of_layer)
        ends.append(state)
        sequence = outputs
    total = loss(
        torch.stack(sequence),
        torch.stack([end[0] for end in ends]),
        torch.stack([end[1] for end in ends]) if lstm else None,
    )
    flat = [leaf for of_layer in taps for leaves in of_layer for leaf in leaves]
    found = iter(torch.autograd.grad(total, flat, allow_unused=True, materialize_grads=True))
    by_step = [[[next(found) for _ in leaves] for leaves in of_layer] for of_layer in taps]
    return [
        [torch.stack([leaves[index] for leaves in of_layer]) for index in range(2 if lstm else 1)]
        for of_layer in by_step
    ]


def step(module: nn.Module, layer: int, x: Tensor, state: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    w_x, w_h = getattr(module, f"weight_ih_l{layer}"), getattr(module, f"weight_hh_l{layer}")
    b_x, b_h = (
        getattr(module, f"bias_{part}_l{layer}") if module.bias else 0.0 for part in ("ih", "hh")
    )
    of_x, of_h, h = x @ w_x.T + b_x, state[0] @ w_h.T + b_h, state[0]
    if isinstance(module, nn.RNN):
        return ((of_x + of_h).tanh() if module.nonlinearity == "tanh" else (of_x + of_h).relu(),)
    if isinstance(module, nn.LSTM):
        i, f, g, o = (of_x + of_h).chunk(4, -1)
        c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c
    (x_r, x_z, x_n), (h_r, h_z, h_n) = of_x.chunk(3, -1), of_h.chunk(3, -1)
    r, z = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
    return ((1 - z) * (x_n + r * h_n).tanh() + z * h,)


def log_ratios(gradient: Tensor, start: Tensor, anchor: Tensor) -> list[Tensor]:
    """Per example, log10 ‖g_{a-k}‖/‖start_a‖ for k = 0..a; gradient and start [T, B, ·]."""
    return [
        torch.stack(
            [
                gradient[int(a) - k, b].norm().log10() - start[int(a), b].norm().log10()
                for k in range(int(a) + 1)
            ]
        )
        for b, a in enumerate(anchor)
    ]


def mean_by_lag(of: list[Tensor]) -> Tensor:
    """Mean over the examples that have the lag and a gradient other than 0 there; NaN where there
    is none.
    """
    longest = max(len(one) for one in of)
    by_lag = [torch.stack([one[k] for one in of if len(one) > k]) for k in range(longest)]
    return torch.stack([logs[logs.isfinite()].mean() for logs in by_lag])
