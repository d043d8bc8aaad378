"""Spectrum of the recurrent weights: eigenvalues and singular values, gate by gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from study.interfaces import ByIndex, Cell, Parameter, PointFacts, Probe, Trace


class Spectrum(Probe):
    """Eigenvalues and singular values of every gate block of W_h, largest modulus first.

    `eigenvalue_real.GATE`, `eigenvalue_imag.GATE`, `singular_value.GATE` [M, layers, H]; NaN if the
    block is not finite. A recurrent vector, as in diagonal cells, counts as a diagonal matrix. If
    several recurrent tensors have a gate of the same name, the tensor's name comes first:
    `eigenvalue_real.weight_h.f`. Costs eigenvalues and singular values of one H×H matrix per gate
    and layer.
    """

    def __init__(self, *, stages: Sequence[float]) -> None:
        self.stages = stages

    def check(self, point: PointFacts) -> None:
        _recurrent(point.cell, point.hidden)

    def __call__(self, trace: Trace) -> Mapping[str, ByIndex]:
        found: dict[str, list[Tensor]] = {}
        for layer in range(1, len(trace.network().layers) + 1):
            for gate, block in blocks(trace, layer).items():
                finite = block.isfinite().all(-1).all(-1)[:, None]
                clean = torch.where(finite[..., None], block, 0.0)
                values = torch.linalg.eigvals(clean)
                values = values.gather(
                    -1, values.abs().argsort(dim=-1, descending=True, stable=True)
                )
                parts = {
                    "eigenvalue_real": values.real,
                    "eigenvalue_imag": values.imag,
                    "singular_value": torch.linalg.svdvals(clean),
                }
                for name, part in parts.items():
                    found.setdefault(f"{name}.{gate}", []).append(
                        torch.where(finite, part, torch.nan)
                    )
        return {quantity: ByIndex(torch.stack(values, dim=1)) for quantity, values in found.items()}


def blocks(trace: Trace, layer: int) -> dict[str, Tensor]:
    """Recurrent blocks [M, H, H] by gate."""
    recurrent = _recurrent(trace.cell, trace.network().layers[0]["h"].shape[-1])
    gates = [gate for parameter in recurrent for gate in parameter.gates]
    found = {}
    for parameter in recurrent:
        tensor = trace.layer_params(layer)[parameter.name]
        for gate, block in zip(
            parameter.gates, tensor.split(parameter.block[0], dim=1), strict=True
        ):
            name = gate if gates.count(gate) == 1 else f"{parameter.name}.{gate}"
            found[name] = block if block.ndim == 3 else torch.diag_embed(block)
    return found


def _recurrent(cell: Cell, hidden: int) -> list[Parameter]:
    recurrent = [parameter for parameter in cell.shapes(1, hidden) if parameter.role == "recurrent"]
    if not recurrent:
        name = type(cell).__name__
        raise ValueError(
            f"{name} has no recurrent weights, so there is no spectrum of them; leave the probe out"
            " of the list probe=[…]"
        )
    return recurrent
