"""Loss profile of the training batch, taken from the backward pass of training itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from study.interfaces import LagNorms, PointFacts, Trace
from study.probes.loss import LossProfile


class TrainProfile(LossProfile):
    """‖∂ℓ/∂h_{a-k}‖ relative to ‖∂ℓ/∂h_a‖ on the batch of the next update.

    ℓ is the batch's mean loss, a each example's last step. With `every` = N, at every N-th update,
    norms come from the backward pass of training (study/kernels/step_norms.py): by layer, of h,
    without quantiles, in training's precision, where float32 norms below 1e-38 are 0. With null, at
    `stages`, by a separate fp64 pass, of h and c, as in LossProfile, with `anchors` for losses at
    every step, whose sum would hide any decay. Points with different seeds see different batches:
    use it to follow one point over time, not to compare points.
    """

    def __init__(self, *, every: int | None, stages: Sequence[float], anchors: int) -> None:
        super().__init__(stages=stages, anchors=anchors)
        if every is not None and every < 1:
            raise ValueError(f"train_profile: every must be at least 1 or null, got {every}")
        self.every = every

    def check(self, point: PointFacts) -> None:
        if self.every is not None and point.facts.every_step:
            raise ValueError(
                "every must be null for losses at every step, whose sum would hide any decay:"
                " probe.train_profile.every=null"
            )

    def __call__(self, trace: Trace) -> Mapping[str, LagNorms]:
        batch = trace.training_batch()
        if batch.lengths is None:
            return super().__call__(trace.on(batch))
        # Lengths differ between members, and with them the anchors.
        members = range(len(trace.seeds))
        alone = [
            super(TrainProfile, self).__call__(trace.on(batch).alone(member)) for member in members
        ]
        return {
            name: LagNorms(
                torch.cat([one[name].norms for one in alone]),
                torch.stack([one[name].exists for one in alone]),
            )
            for name in alone[0]
        }
