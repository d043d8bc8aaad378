"""Gate traces: what the gates of single examples do, step by step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from study.health.lags import examples_fit, first_examples
from study.interfaces import ByStep, Cell, PointFacts, Probe, Trace, require
from study.probes.shared.onestep import gate_values, silent


class GateTraces(Probe):
    """Of the first `examples` of the probe batch, every gate NAME that the cell tells
    (`Cell.gates`), layer and valid step:

    `gate.NAME.mean` [M, layers, n, T] over units, and `gate.NAME.pQQ`, its quantiles over units
    (linear between two), QQ in percent.

    An ungated cell has none of them, and nothing is recorded for it. Costs the gates of these
    examples once more.
    """

    def __init__(
        self, *, stages: Sequence[float], examples: int, quantiles: Sequence[float]
    ) -> None:
        require(
            all(0 <= one <= 1 for one in quantiles),
            "gate_traces",
            "quantiles",
            "shares of the units between 0 and 1",
            quantiles,
        )
        self.stages, self.examples, self.quantiles = stages, examples, quantiles

    def check(self, of: PointFacts) -> None:
        examples_fit(self.examples, of.examples)
        if of.cell.keep and type(of.cell).gates is Cell.gates:
            raise ValueError(silent(of.cell))

    def __call__(self, trace: Trace) -> Mapping[str, ByStep]:
        count = first_examples("gate_traces", self.examples, trace)
        found: dict[str, list[Tensor]] = {}
        for layer in range(1, len(trace.network().layers) + 1):
            for gate, values in gate_values(trace, layer, count, "gate_traces").items():
                over = values.transpose(1, 2)  # [M, n, T, H]
                found.setdefault(f"gate.{gate}.mean", []).append(over.mean(-1))
                for share in self.quantiles:
                    found.setdefault(f"gate.{gate}.p{100 * share:g}", []).append(
                        torch.quantile(over, share, dim=-1)
                    )
        return {
            name: ByStep(torch.stack(of, dim=1), trace.last_step[:count])
            for name, of in found.items()
        }
