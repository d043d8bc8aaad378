"""Loss profile of the batch that training sees next, in place of the fixed probe batch."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from study.interfaces import LagNorms, Trace
from study.probes.loss import LossProfile


class TrainProfile(LossProfile):
    """‖∂ℓ/∂s_{a-k}‖ relative to ‖∂ℓ/∂s_a‖ on the training batch of the update made next; definitions as in LossProfile.

    Each member has its own batch, so points with different seeds see different examples: for one point over time, not to
    compare points. Costs what the loss profile costs on a batch of that size.
    """

    def __call__(self, trace: Trace) -> Mapping[str, LagNorms]:
        batch = trace.training_batch()
        if batch.lengths is None:
            return super().__call__(trace.on(batch))
        # Lengths differ between members, and with them the anchors.
        members = range(len(trace.seeds))
        alone = [super(TrainProfile, self).__call__(trace.on(batch).alone(member)) for member in members]
        return {name: LagNorms(torch.cat([one[name].norms for one in alone]), torch.stack([one[name].exists for one in alone])) for name in alone[0]}
