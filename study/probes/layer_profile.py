"""Layer profile: decay of the gradient over depth at a fixed step, separate from that over time."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from study.health.lags import anchors, check_lags, chosen_lags, norm, state_gradients
from study.interfaces import AtLags, PointFacts, Probe, Trace, require


class LayerProfile(Probe):
    """`log10_depth` [M, layers, lags]: ‖∂ℓ/∂s^l_{a-k}‖ / ‖∂ℓ/∂s^L_{a-k}‖ in decades.

    L is the top layer. Geometric mean over examples; ℓ is the loss of step a alone, s all states of
    a layer (LSTM: h and c). Compare layers at one lag to see the decay over depth alone. `lags` k,
    null: 0 and 10, 50, 100 % of the judged lag. Losses at every step have `anchors` evenly spaced
    a. Examples that are too short, or whose gradient is 0 at either layer, are left out; NaN if
    none remain. Costs one backward pass per anchor.
    """

    def __init__(
        self, *, stages: Sequence[float], lags: Sequence[int] | None, anchors: int
    ) -> None:
        require(
            lags is None or len(lags) > 0, "layer_profile", "lags", "null or a list of lags", lags
        )
        require(anchors >= 1, "layer_profile", "anchors", "at least 1", anchors)
        self.stages, self.lags, self.anchors = stages, lags, anchors

    def check(self, point: PointFacts) -> None:
        check_lags(self.lags, point.facts.steps - 1, first=0)

    def __call__(self, trace: Trace) -> Mapping[str, AtLags]:
        network, at = trace.network(), anchors(trace, self.anchors)
        lags = chosen_lags("layer_profile", self.lags, torch.cat(at), trace.facts.lag, first=0)
        logs = [self._logs(trace, anchor, lags) for anchor in at]
        ratios = torch.cat([log - log[-1:] for log in logs], dim=2)  # [layers, M, B·anchors, lags]
        known = torch.cat(
            [((log > -torch.inf) & (log[-1:] > -torch.inf)) | log.isnan() for log in logs], dim=2
        )
        mean = torch.where(known, ratios, 0.0).sum(2) / known.sum(2)
        assert len(mean) == len(network.layers)
        return {"log10_depth": AtLags(mean.transpose(0, 1), lags)}

    def _logs(self, trace: Trace, anchor: Tensor, lags: Sequence[int]) -> Tensor:
        """log10 ‖G‖ [layers, M, B, lags]; −∞ for zeros and beyond an example's length."""
        loss = trace.task.step_loss(trace.network().outputs, trace.batch, anchor)
        norms = torch.stack([norm(grads) for grads in state_gradients(trace.network(), loss)])
        by_lag = []
        for lag in lags:
            step, exists = (
                (anchor - lag).clamp(min=0).to(norms.device),
                (anchor >= lag).to(norms.device),
            )
            by_lag.append(
                torch.where(
                    exists, norms[:, :, step, torch.arange(len(step), device=norms.device)], 0.0
                )
            )
        return torch.stack(by_lag, dim=-1).log() / math.log(10)
