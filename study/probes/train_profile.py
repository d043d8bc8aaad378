"""Loss profile of the batch that training sees, in place of the fixed probe batch: of every update,
off its own backward pass.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from study.interfaces import LagNorms, PointFacts, Trace
from study.probes.loss import LossProfile


class TrainProfile(LossProfile):
    """‖∂ℓ/∂h_{a-k}‖ relative to ‖∂ℓ/∂h_a‖ on the batch of the update made next, ℓ its mean loss and
    a each example's last step.

    `every` updates: what the way back of training holds anyway (study/kernels/reach.py), by layer,
    without quantiles, in training's precision: of float32, norms below 1e-38 are 0 and counted as
    that. null: at `stages` instead, by a pass of its own in fp64, h and c, as LossProfile, with
    `anchors` of losses at every step; whose sum, which training follows back, would hide every
    decay. Each member has its own batch, so points with different seeds see different examples: for
    one point over time, not to compare points.
    """

    def __init__(self, *, every: int | None, stages: Sequence[float], anchors: int) -> None:
        super().__init__(stages=stages, anchors=anchors)
        if every is not None and every < 1:
            raise ValueError(f"train_profile: every must be at least 1 or null, got {every}")
        self.every = every

    def check(self, of: PointFacts) -> None:
        if self.every is not None and of.facts.every_step:
            raise ValueError(
                "every must be null for losses at every step, whose sum would hide every decay:"
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
