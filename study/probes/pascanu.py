"""Pascanu's Ω: how far single steps are from preserving the norm of the gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from study.health.lags import check_lags, norm, state_gradients
from study.interfaces import PointFacts, Probe, Trace, require
from study.probes.shared.onestep import layer_steps


class Pascanu(Probe):
    """`omega` [M, layers]: Σ_k (‖G_{k+1} J_{k+1}‖ / ‖G_{k+1}‖ − 1)², k = 1..T−1.

    Pascanu 2013, eq. 9. Mean over the probe batch; G_t is the total derivative at s_t of the loss
    of the last valid step alone, J_t the layer's ∂s_t/∂s_{t-1}. 0: every step preserves the norm;
    1 per step: the gradient is lost at once, or doubled. Terms with ‖G_{k+1}‖ below `floor` times
    the largest ‖G_t‖ of the example and layer are dropped. `omega_terms` [M, layers] is the mean
    number of remaining terms: Ω of few terms is unreliable, of none NaN. Costs one backward pass,
    and one more forward and backward pass through every step.
    """

    def __init__(self, *, stages: Sequence[float], floor: float) -> None:
        require(0 < floor < 1, "pascanu", "floor", "above 0 and below 1", floor)
        self.stages, self.floor = stages, floor

    def check(self, point: PointFacts) -> None:
        check_lags(None, point.facts.steps - 1, first=1)

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
            # Gradients of padding are 0 and drop out; NaN counts and stays visible.
            counts = (norms[:, step] != 0) & ~(norms[:, step] < self.floor * largest)
            unit = (
                gradients[:, step] / torch.where(norms[:, step] > 0, norms[:, step], 1.0)[..., None]
            )
            kept = norm(steps.pull_back(trace.last_step.clamp(max=step), unit[:, :, None])[:, :, 0])
            omega = omega + torch.where(counts, (kept - 1).square(), 0.0)
            terms = terms + counts
        defined = terms > 0
        mean = torch.where(defined, omega, 0.0).sum(1) / defined.sum(1)
        return mean, terms.mean(1)
