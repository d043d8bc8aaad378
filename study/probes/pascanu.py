"""Pascanu's Ω: how far single steps are from keeping the norm of the gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from study.health.lags import lags_fit, norm, state_gradients
from study.interfaces import PointFacts, Probe, Trace, require
from study.probes.shared.onestep import layer_steps


class Pascanu(Probe):
    """`omega` [M, layers]: Σ_k (‖G_{k+1} J_{k+1}‖ / ‖G_{k+1}‖ − 1)² of an example, k = 1..T−1, mean
    over the probe batch (Pascanu 2013, eq. 9).

    G_t is the total derivative at s_t of the loss of the last valid step alone, J_t the layer's own
    ∂s_t/∂s_{t-1}. 0: every step keeps the norm; 1 a step: everything is lost at once, or doubled.
    Terms with ‖G_{k+1}‖ below `floor` times the largest ‖G_t‖ of that example and layer are
    dropped: relative, so that the scale of a loss does not matter. `omega_terms` [M, layers] is the
    mean number of terms that were left; an Ω of few terms says little, of none it is NaN.

    Costs one backward pass, and each step forward and back once more.
    """

    def __init__(self, *, stages: Sequence[float], floor: float) -> None:
        require(0 < floor < 1, "pascanu", "floor", "above 0 and below 1", floor)
        self.stages, self.floor = stages, floor

    def check(self, of: PointFacts) -> None:
        lags_fit(None, of.facts.steps - 1, first=1)

    def __call__(self, trace: Trace) -> Mapping[str, Tensor]:
        network, last = trace.network(), trace.last_step
        loss = trace.task.step_loss(network.outputs, trace.batch, last)
        gradients = state_gradients(network, loss)
        omegas, terms = zip(
            *(self._omega(trace, number, grads) for number, grads in enumerate(gradients, start=1)),
            strict=True,
        )
        return {"omega": torch.stack(omegas, dim=1), "omega_terms": torch.stack(terms, dim=1)}

    def _omega(self, trace: Trace, layer: int, gradients: Tensor) -> tuple[Tensor, Tensor]:
        """(Ω [M], terms [M]) of one layer from its G [M, T, B, S]."""
        steps = layer_steps(trace, layer, len(trace.last_step))
        norms = norm(gradients)
        largest = norms.amax(1)
        omega, terms = torch.zeros_like(largest), torch.zeros_like(largest)
        for step in range(1, norms.shape[1]):
            # Nothing leads from the loss to padding, so its gradients are 0 and drop out; NaN
            # counts, and shows.
            counts = (norms[:, step] != 0) & ~(norms[:, step] < self.floor * largest)
            unit = (
                gradients[:, step] / torch.where(norms[:, step] > 0, norms[:, step], 1.0)[..., None]
            )
            kept = norm(steps.pull_back(trace.last_step.clamp(max=step), unit[:, :, None])[:, :, 0])
            omega = omega + torch.where(counts, (kept - 1).square(), 0.0)
            terms = terms + counts
        there = terms > 0
        mean = torch.where(there, omega, 0.0).sum(1) / there.sum(1)
        return mean, terms.mean(1)
