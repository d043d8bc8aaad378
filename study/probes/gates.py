"""Gates: shares of closed and open gates, and time scales of keep gates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from study.interfaces import ByIndex, Cell, PointFacts, Probe, Trace, require
from study.probes.shared.onestep import gate_values, missing_gates


class Gates(Probe):
    """Shares and time scales of every gate that `Cell.gates` returns, over the probe batch.

    `closed.NAME` [M, layers]: share of values below `low`; `open.NAME`: share above `high`. For
    keep gates, with f the gate's value if `keep` is +1, and 1 minus the value if −1:
    `timescale.NAME` [M, layers]: mean of −1/ln f over units, steps and examples, in steps; f = 1
    counts as 1 − 2⁻⁵³. `unit_timescale.NAME` [M, layers, H]: −1/⟨ln f⟩ of each unit, ⟨·⟩ over steps
    and examples, longest first. The product of all f decides what remains of c after many steps;
    unlike `timescale`, it is not dominated by single steps near 1.

    Records nothing for an ungated cell. Costs one more pass through the gates.
    """

    def __init__(self, *, stages: Sequence[float], low: float, high: float) -> None:
        require(0 < low < high < 1, "gates", "low and high", "0 < low < high < 1", (low, high))
        self.stages, self.low, self.high = stages, low, high

    def check(self, point: PointFacts) -> None:
        if point.cell.keep and type(point.cell).gates is Cell.gates:
            raise ValueError(missing_gates(point.cell))

    def __call__(self, trace: Trace) -> Mapping[str, Tensor | ByIndex]:
        found: dict[str, list[Tensor]] = {}
        for layer in range(1, len(trace.network().layers) + 1):
            for quantity, value in self._layer(trace, layer).items():
                found.setdefault(quantity, []).append(value)
        by_layer = {quantity: torch.stack(values, dim=1) for quantity, values in found.items()}
        return {
            quantity: ByIndex(value) if value.ndim == 3 else value
            for quantity, value in by_layer.items()
        }

    def _layer(self, trace: Trace, layer: int) -> Mapping[str, Tensor]:
        gates = gate_values(trace, layer, len(trace.last_step), "gates")
        # [T, B]
        valid = (torch.arange(trace.batch.x.shape[2])[:, None] <= trace.last_step).to(
            trace.batch.x.device
        )
        found: dict[str, Tensor] = {}
        for name, gate in gates.items():
            values = gate[:, valid]  # [M, valid steps, H]
            found[f"closed.{name}"] = _share(values < self.low, values)
            found[f"open.{name}"] = _share(values > self.high, values)
            if name in trace.cell.keep:
                kept = values if trace.cell.keep[name] > 0 else 1 - values
                logs = kept.clamp(max=1 - 2.0**-53).log()
                found[f"timescale.{name}"] = (-1 / logs).mean((1, 2))
                found[f"unit_timescale.{name}"] = (
                    (-1 / logs.mean(1)).sort(dim=-1, descending=True).values
                )
        return found


def _share(which: Tensor, values: Tensor) -> Tensor:
    """Share [M] of True; NaN for a member with a NaN gate."""
    return torch.where(values.isnan().any(-1).any(-1), torch.nan, which.double().mean((1, 2)))
