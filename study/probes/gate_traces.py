"""Gate traces: gate values of single examples, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from study.health.lags import check_examples, first_examples
from study.interfaces import ByStep, Cell, PointFacts, Probe, Trace, require
from study.probes.shared.onestep import gate_values, missing_gates


class GateTraces(Probe):
    """Means and quantiles over units of every gate, for the first `examples` of the probe batch.

    `gate.NAME.mean` [M, layers, n, T] of each gate NAME that `Cell.gates` returns, and
    `gate.NAME.pQQ`, quantiles in percent, interpolated linearly. Records nothing for an ungated
    cell. Costs one more pass through the gates of these examples.
    """

    def __init__(
        self, *, stages: Sequence[float], examples: int, quantiles: Sequence[float]
    ) -> None:
        require(
            all(0 <= share <= 1 for share in quantiles),
            "gate_traces",
            "quantiles",
            "shares of the units between 0 and 1",
            quantiles,
        )
        self.stages, self.examples, self.quantiles = stages, examples, quantiles

    def check(self, point: PointFacts) -> None:
        check_examples(self.examples, point.examples)
        if point.cell.keep and type(point.cell).gates is Cell.gates:
            raise ValueError(missing_gates(point.cell))

    def __call__(self, trace: Trace) -> Mapping[str, ByStep]:
        count = first_examples("gate_traces", self.examples, trace)
        found: dict[str, list[Tensor]] = {}
        for layer in range(1, len(trace.network().layers) + 1):
            for gate, values in gate_values(trace, layer, count, "gate_traces").items():
                by_step = values.transpose(1, 2)  # [M, n, T, H]
                found.setdefault(f"gate.{gate}.mean", []).append(by_step.mean(-1))
                for share in self.quantiles:
                    found.setdefault(f"gate.{gate}.p{100 * share:g}", []).append(
                        torch.quantile(by_step, share, dim=-1)
                    )
        return {
            name: ByStep(torch.stack(layers, dim=1), trace.last_step[:count])
            for name, layers in found.items()
        }
