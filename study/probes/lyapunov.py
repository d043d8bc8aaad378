"""Lyapunov exponents of the recurrence on the probe batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from study.health.lags import check_examples, check_lags, first_examples
from study.interfaces import ByIndex, PointFacts, Probe, Trace, require
from study.probes.shared.onestep import LayerSteps, layer_steps
from study.probes.shared.spectra import qr, random_orthogonal
from study.records import StudyError


class Lyapunov(Probe):
    """`lyapunov` [M, layers, S]: exponents λ_i = (1/K) Σ ln R_ii, nats per step, largest first.

    J_t Q_{t-1} = Q_t R_t (Benettin et al. 1980; Engelken et al. 2023). The first share `drop` of a
    sequence's T−1 steps, during which Q aligns with the flow, is left out, K steps remain; mean
    over the first `examples` of the probe batch. −∞: a direction lost to rounding within one step,
    such as a dead ReLU unit. A layer's input is held constant (see onestep: the network has no
    other exponents).

    These are exponents of a finite sequence with its own input: whether λ_1 differs from 0 takes
    several seeds to decide. Costs, per step, S passes through it and a QR of S×S for each example:
    seconds per stage (see its YAML).
    """

    def __init__(self, *, stages: Sequence[float], examples: int, drop: float) -> None:
        require(examples >= 1, "lyapunov", "examples", "at least 1", examples)
        require(0 <= drop < 1, "lyapunov", "drop", "a share from 0 to below 1", drop)
        self.stages, self.examples, self.drop = stages, examples, drop

    def check(self, point: PointFacts) -> None:
        check_examples(self.examples, point.examples)
        check_lags(None, point.facts.steps - 1, first=1)

    def __call__(self, trace: Trace) -> Mapping[str, ByIndex]:
        examples = first_examples("lyapunov", self.examples, trace)
        shortest = int(trace.last_step[:examples].min())
        if shortest < 1:
            raise StudyError(
                "probe.lyapunov: an example of one step has no Jacobian between its states; leave"
                " the probe out of the list probe=[…]"
            )
        layers = [
            layer_steps(trace, layer, examples)
            for layer in range(1, len(trace.network().layers) + 1)
        ]
        found = [
            exponents(
                layer, self.drop, random_orthogonal(layer.size, trace.generator("lyapunov"))
            ).mean(1)
            for layer in layers
        ]
        return {"lyapunov": ByIndex(torch.stack(found, dim=1))}


def exponents(layer: LayerSteps, drop: float, q: Tensor) -> Tensor:
    """λ [M, B, S] of each example, largest first; `q` [S, S] is the orthogonal start."""
    members, _, examples, size = layer.before.shape
    q = q.to(layer.before).expand(members, examples, size, size)
    dropped = (drop * layer.last).floor().long()
    total = torch.zeros_like(q[..., 0])
    for step in range(1, int(layer.last.max()) + 1):
        q, _, logs = qr(layer.jacobian(layer.last.clamp(max=step)) @ q)
        counts = (step > dropped) & (step <= layer.last)
        total = total + torch.where(counts.to(q.device)[:, None], logs, 0.0)
    mean = total / (layer.last - dropped).to(total)[:, None]
    return mean.sort(dim=-1, descending=True).values
