"""Gates: how many are stuck, and how long the keep gate keeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from study.interfaces import ByIndex, Cell, Measurable, Probe, Trace, require
from study.probes.shared.onestep import gate_values, silent


class Gates(Probe):
    """Of every gate the cell tells (`Cell.gates`), over all valid steps and examples of the probe
    batch, per layer:

    `closed.NAME` [M, layers]: share below `low`; `open.NAME`: share above `high`.
    Of every keep gate, f its value where `keep` says +1 and 1 minus it where −1:
    `timescale.NAME` [M, layers]: mean of −1/ln f over units, steps and examples, in steps; f = 1
    counts as 1 − 2⁻⁵³. `unit_timescale.NAME` [M, layers, H]: −1/⟨ln f⟩ of each unit, ⟨·⟩ over steps
    and examples, longest first: what remains of c after many steps is the product of all f, and a
    single step near 1 does not rule it as it rules the mean above.

    An ungated cell has none of them, and nothing is recorded for it. Costs the gates of all steps
    once more.
    """

    def __init__(self, *, stages: Sequence[float], low: float, high: float) -> None:
        require(0 < low < high < 1, "gates", "low and high", "0 < low < high < 1", (low, high))
        self.stages, self.low, self.high = stages, low, high

    def check(self, of: Measurable) -> None:
        if of.cell.keep and type(of.cell).gates is Cell.gates:
            raise ValueError(silent(of.cell))

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
    """Share [M] of True; NaN for a member with a gate that is not a number."""
    return torch.where(values.isnan().any(-1).any(-1), torch.nan, which.double().mean((1, 2)))
