"""Gradient norms tensor by tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from study.interfaces import Probe, Trace
from study.probes.shared.tensors import by_tensor, norms


class GradientNorm(Probe):
    """`gradient_norm NAME` and `clipped_norm NAME`: norm of each tensor's gradient in the update
    made next, before and after clipping.

    [M, layers] for the tensors of a layer, [M] for the readout's. Their squares add up to the
    square of the norm that history.parquet has for this update. Costs one more training update a
    stage, shared with the other probes of it.
    """

    def __init__(self, *, stages: Sequence[float]) -> None:
        self.stages = stages

    def __call__(self, trace: Trace) -> Mapping[str, Tensor]:
        step = trace.next_step()
        return {
            **by_tensor("gradient_norm", norms(step.grads)),
            **by_tensor("clipped_norm", norms(step.clipped)),
        }
