"""Loss profile: gradient of one step's loss at the states before it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from study.health.lags import anchor_from_end, anchors, by_lag, gradient_norms, joint_norm, shifted
from study.interfaces import LagNorms, ProfileProbe, Trace
from study.records import NETWORK


class LossProfile(ProfileProbe):
    """‖∂ℓ/∂h_{a-k}‖ and ‖∂ℓ/∂c_{a-k}‖ relative to ‖∂ℓ/∂s_a‖, ℓ the loss of step a alone.

    Losses of the last step have one anchor, the last valid step. Losses at every step have
    `anchors` evenly spaced ones with a backward pass each: the sum over later losses would hide any
    decay.
    """

    reads = "states"

    def __init__(self, *, stages: Sequence[float], anchors: int) -> None:
        if anchors < 1:
            raise ValueError(f"loss: anchors must be at least 1, got {anchors}")
        self.stages, self.anchors = stages, anchors

    def __call__(self, trace: Trace) -> Mapping[str, LagNorms]:
        parts: dict[str, list[LagNorms]] = {}
        for anchor in anchors(trace, self.anchors):
            for name, norms in self._profile(trace, anchor).items():
                parts.setdefault(name, []).append(norms)
        return {
            name: LagNorms(
                torch.cat([part.norms for part in by_anchor], dim=1),
                torch.cat([part.exists for part in by_anchor]),
            )
            for name, by_anchor in parts.items()
        }

    def _profile(self, trace: Trace, anchor: Tensor) -> dict[str, LagNorms]:
        network = trace.network()
        loss = trace.task.step_loss(network.outputs, trace.batch, anchor)
        layers = gradient_norms(network.derivatives(loss))
        profiles: dict[str, LagNorms] = {}
        joint: list[Tensor] = []
        for number, (layer, backward) in enumerate(
            zip(layers, network.backward, strict=True), start=1
        ):
            all_states = joint_norm(list(layer.values()))
            own = anchor_from_end(trace, anchor) if backward else anchor
            joint += [
                shifted(norms, own, anchor) if backward else norms for norms in layer.values()
            ]
            states = layer if len(layer) == 1 else {**layer, "s": all_states}
            profiles |= {
                f"{number}/{name}": by_lag(norms, all_states, own) for name, norms in states.items()
            }
        if len(layers) > 1:
            all_states = joint_norm(joint)
            profiles[f"{NETWORK}/s"] = by_lag(all_states, all_states, anchor)
        return profiles
