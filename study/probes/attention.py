"""Attention map: how much each step of single examples counts in the readout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from study.health.lags import examples_fit, first_examples
from study.interfaces import ByStep, PointFacts, Probe, Trace


class AttentionMap(Probe):
    """`attention` [M, n, T]: α_t of the first `examples` of the probe batch at every valid step, 1
    in sum.

    Nothing is recorded for a readout without attention. Costs the readout once more.
    """

    def __init__(self, *, stages: Sequence[float], examples: int) -> None:
        self.stages, self.examples = stages, examples

    def check(self, of: PointFacts) -> None:
        examples_fit(self.examples, of.examples)

    def __call__(self, trace: Trace) -> Mapping[str, ByStep]:
        count = first_examples("attention", self.examples, trace)
        h = trace.network().layers[-1]["h"].detach()
        with torch.no_grad():
            weights = trace.readout.attention(trace.readout_params(), h, trace.batch.lengths)
        return (
            {}
            if weights is None
            else {"attention": ByStep(weights.transpose(1, 2)[:, :count], trace.last_step[:count])}
        )
