"""Layer profile: how the gradient decays over depth at a fixed step, apart from how it decays over
time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from study.health.lags import anchors, chosen_lags, lags_fit, norm, state_gradients
from study.interfaces import AtLags, PointFacts, Probe, Trace, require


class LayerProfile(Probe):
    """`log10_depth` [M, layers, lags]: geometric mean over examples of ‖∂ℓ/∂s^l_{a-k}‖ /
    ‖∂ℓ/∂s^L_{a-k}‖, L the top layer, in decades.

    ℓ is the loss of step a alone, s all states of a layer (LSTM: h and c). Read across layers at
    one lag: decay over depth, whatever time has done to both. `lags` k, null: 0 and 10, 50, 100 %
    of the lag that is judged. Losses at every step have `anchors` evenly spaced a. Examples without
    the lag, or whose gradient is 0 at either layer, are left out; NaN if none is left.

    Costs one backward pass an anchor.
    """

    def __init__(
        self, *, stages: Sequence[float], lags: Sequence[int] | None, anchors: int
    ) -> None:
        require(
            lags is None or len(lags) > 0, "layer_profile", "lags", "null or a list of lags", lags
        )
        require(anchors >= 1, "layer_profile", "anchors", "at least 1", anchors)
        self.stages, self.lags, self.anchors = stages, lags, anchors

    def check(self, of: PointFacts) -> None:
        lags_fit(self.lags, of.facts.steps - 1, first=0)

    def __call__(self, trace: Trace) -> Mapping[str, AtLags]:
        network, at = trace.network(), anchors(trace, self.anchors)
        lags = chosen_lags("layer_profile", self.lags, torch.cat(at), trace.facts.lag, first=0)
        logs = [self._logs(trace, anchor, lags) for anchor in at]
        ratios = torch.cat([of - of[-1:] for of in logs], dim=2)  # [layers, M, B·anchors, lags]
        known = torch.cat(
            [((of > -torch.inf) & (of[-1:] > -torch.inf)) | of.isnan() for of in logs], dim=2
        )
        mean = torch.where(known, ratios, 0.0).sum(2) / known.sum(2)
        assert len(mean) == len(network.layers)
        return {"log10_depth": AtLags(mean.transpose(0, 1), lags)}

    def _logs(self, trace: Trace, anchor: Tensor, lags: Sequence[int]) -> Tensor:
        """log10 ‖G‖ [layers, M, B, lags]; −∞ for zeros and where an example has not the lag."""
        loss = trace.task.step_loss(trace.network().outputs, trace.batch, anchor)
        norms = torch.stack([norm(grads) for grads in state_gradients(trace.network(), loss)])
        by_lag = []
        for lag in lags:
            step, there = (
                (anchor - lag).clamp(min=0).to(norms.device),
                (anchor >= lag).to(norms.device),
            )
            by_lag.append(
                torch.where(
                    there, norms[:, :, step, torch.arange(len(step), device=norms.device)], 0.0
                )
            )
        return torch.stack(by_lag, dim=-1).log() / math.log(10)
