"""Pascanu's regularizer: every step should preserve the norm of the gradient.

Pascanu, Mikolov & Bengio 2013 (arXiv 1211.5063), eq. 9 and 10.
"""

from __future__ import annotations

import torch
from torch import Tensor

from study.interfaces import Cell, LayerPass, Penalty, PerMember, UpdatePass, require


class Pascanu(Penalty):
    """α·Ω, Ω = Σ_t (‖G_t J_t‖ / ‖G_t‖ − 1)², t = 2..T, mean over examples, sum over layers.

    G_t is the total derivative of the task's loss at the layer's states s_t, J_t = ∂s_t/∂s_{t-1}:
    the Ω that the probe `pascanu` measures. Its gradient is immediate: G_t, s_{t-1} and the inputs
    are constants, and J_t varies with the recurrent weights only. Terms with ‖G_t‖ below `floor`
    times the example's largest are dropped. (In the paper s_t is the pre-activation, so that
    J_t = W φ'(s_{t-1}); here s_t are the cell's states, for a plain network J_t = φ'(…) W, and φ'
    is differentiated as well. This serves every cell.)
    """

    reads_states = True

    def __init__(self, *, strength: PerMember, floor: float) -> None:
        self.strength, self.floor = torch.as_tensor(strength), floor
        require(bool((self.strength >= 0).all()), "pascanu", "strength", "at least 0", strength)
        require(0 < floor < 1, "pascanu", "floor", "above 0 and below 1", floor)

    def __call__(self, update: UpdatePass) -> Tensor:
        assert update.cell is not None  # one that reads states sees the stack only
        omegas = [self._omega(update.cell, layer) for layer in update.layers]
        examples = update.valid.amax(1).sum(1)
        return self.strength * torch.stack(omegas).sum(0) / examples

    def _omega(self, cell: Cell, layer: LayerPass) -> Tensor:
        """Σ over steps and examples, [M]."""
        G = torch.cat(layer.gradients, dim=-1)
        # scaled, since squares of float32 underflow below 1e-19
        largest = G.abs().amax(-1, keepdim=True)
        scale = torch.where(largest > 0, largest, 1.0)
        length = (G / scale).square().sum(-1, keepdim=True).sqrt()
        unit = G / scale / torch.where(length > 0, length, 1.0)
        norms = (length * scale)[..., 0]
        counts = (norms != 0) & ~(norms < self.floor * norms.amax(1, keepdim=True))
        kept = pulled_back(cell, layer, unit[:, 1:])
        return torch.where(counts[:, 1:], (kept - 1).square(), 0.0).sum((1, 2))


def pulled_back(cell: Cell, layer: LayerPass, cotangents: Tensor) -> Tensor:
    """‖J_tᵀ v‖ [M, T-1, B] for every v [M, T-1, B, S] of steps 2..T, differentiable in the weights.

    All steps at once, as if they were further examples.
    """
    params = {
        name: value if layer.roles[name] == "recurrent" else value.detach()
        for name, value in layer.params.items()
    }
    x = cell.project(params, layer.x.detach())[:, 1:].flatten(1, 2)
    before = tuple(state.detach()[:, 1:].flatten(1, 2).requires_grad_() for state in layer.before)
    width = before[0].shape[-1]
    back = torch.autograd.grad(
        cell.step(params, x, before),
        before,
        [part.flatten(1, 2) for part in cotangents.split(width, dim=-1)],
        create_graph=True,
        materialize_grads=True,
        allow_unused=True,
    )
    square = torch.cat(back, dim=-1).square().sum(-1).unflatten(1, cotangents.shape[1:3])
    # the gradient of a square root at 0 is infinite; here it is 0
    return torch.where(square > 0, torch.where(square > 0, square, 1.0).sqrt(), 0.0)
