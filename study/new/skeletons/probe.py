"""A probe of your own: a scheduled measurement of a network while it trains."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from study.interfaces import Probe, Trace, require


class Skeleton(Probe):
    """`silent_units` [M, layers]: share of units with |h_t| < level at every valid step of every
    example.

    The contract (study/interfaces.py): a probe sees a Trace, the weights in fp64 and the fixed
    probe batch, and changes nothing. It returns {name: [M] or [M, layers] or [M, layers, lags],
    ByIndex, AtLags or ByStep}; members never mix. `stages` are shares of the updates. Steps beyond
    an example's last one are padding: leave them out.
    """

    def __init__(self, *, stages: Sequence[float], level: float) -> None:
        require(level > 0, "skeleton", "level", "greater than 0", level)
        self.stages, self.level = stages, level

    def __call__(self, trace: Trace) -> Mapping[str, Tensor]:
        steps = torch.arange(trace.batch.x.shape[2])[:, None]
        valid = (steps <= trace.last_step).to(trace.batch.x.device)  # [T, B]
        found = []
        for layer in trace.network().layers:
            h = layer["h"].detach()  # [M, T, B, H]
            found.append((h[:, valid].abs() < self.level).all(1).double().mean(-1))
        return {"silent_units": torch.stack(found, dim=1)}
