"""Attention map: the readout's weight of each step, for single examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from study.health.lags import check_examples, first_examples
from study.interfaces import ByStep, PointFacts, Probe, Trace


class AttentionMap(Probe):
    """`attention` [M, n, T]: weights α_t, which sum to 1, for the first `examples`.

    Records nothing for a readout without attention. Costs one more readout.
    """

    def __init__(self, *, stages: Sequence[float], examples: int) -> None:
        self.stages, self.examples = stages, examples

    def check(self, point: PointFacts) -> None:
        check_examples(self.examples, point.examples)

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
