"""How far an update moves each tensor, relative to its size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from study.interfaces import Probe, Trace
from study.probes.shared.tensors import by_tensor, norms


class UpdateRatio(Probe):
    """`update_ratio NAME`: ‖Δθ‖/‖θ‖ of the next update by tensor, [M, layers], the readout's [M].

    1e-4 to 1e-2 is usual; NaN if ‖θ‖ = 0, as for biases at initialization. Costs one more training
    update per stage.
    """

    reads = "gradients"

    def __init__(self, *, stages: Sequence[float]) -> None:
        self.stages = stages

    def __call__(self, trace: Trace) -> Mapping[str, Tensor]:
        step = trace.next_step()
        moved = norms({name: step.after[name] - before for name, before in step.before.items()})
        size = norms(step.before)
        ratios = {
            name: (moved[name] / size[name]).where(size[name] > 0, float("nan")) for name in moved
        }
        return by_tensor("update_ratio", ratios)
