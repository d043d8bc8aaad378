"""Gradient norms by tensor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from study.interfaces import Probe, Trace
from study.probes.shared.tensors import by_tensor, norms


class GradientNorm(Probe):
    """`gradient_norm NAME`, `clipped_norm NAME`: norm of each tensor's gradient in the next update.

    Before and after clipping; [M, layers] for the tensors of a layer, [M] for the readout's. Their
    squares sum to the squared norm of this update in history.parquet. Costs one more training
    update per stage, shared with the other probes that use it.
    """

    reads = "gradients"

    def __init__(self, *, stages: Sequence[float]) -> None:
        self.stages = stages

    def __call__(self, trace: Trace) -> Mapping[str, Tensor]:
        step = trace.next_step()
        return {
            **by_tensor("gradient_norm", norms(step.grads)),
            **by_tensor("clipped_norm", norms(step.clipped)),
        }
