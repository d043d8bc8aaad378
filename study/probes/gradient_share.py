"""Gradient share by lag: how much each lag contributes to the gradient."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from study.health.lags import anchors, norm, state_gradients
from study.interfaces import Params, Probe, Trace, require
from study.probes.shared.onestep import layer_steps


class GradientShare(Probe):
    """Terms by lag k of ∂L/∂θ = Σ_k Σ_examples ∂ℓ/∂s_{a-k} · ∂⁺s_{a-k}/∂θ, for each layer.

    ∂⁺ holds s_{a-k-1} constant. `log10_gradient` [M, layers, lags]: log10 of the norm of each term,
    over all parameters of the layer together; −∞ if it is exactly 0. The terms sum exactly to the
    gradient of the mean loss; their norms sum to more if terms cancel. `mean_lag` [M, layers]:
    Σ k·‖term_k‖ / Σ ‖term_k‖, in steps.

    ℓ is the loss of step a alone, L its mean over the probe batch. Losses of the last step have one
    anchor a, the last valid step; losses at every step have `anchors` evenly spaced ones, whose
    terms of equal lag are summed. Costs, per anchor, one backward pass and one more forward and
    backward pass through every step; holds the gradients of all anchors in memory.
    """

    def __init__(self, *, stages: Sequence[float], anchors: int) -> None:
        require(anchors >= 1, "gradient_share", "anchors", "at least 1", anchors)
        self.stages, self.anchors = stages, anchors

    def __call__(self, trace: Trace) -> Mapping[str, Tensor]:
        logs = [
            torch.stack([_log_norm(term) for term in of_layer], dim=-1)
            for of_layer in terms(trace, self.anchors)
        ]
        decades = torch.stack(logs, dim=1)
        largest = decades.amax(-1, keepdim=True)
        weights = 10.0 ** (decades - torch.where(largest.isfinite(), largest, 0.0))
        lags = torch.arange(decades.shape[-1]).to(weights)
        return {"log10_gradient": decades, "mean_lag": (weights * lags).sum(-1) / weights.sum(-1)}


def terms(trace: Trace, count: int) -> Iterator[Iterator[Params]]:
    """For each layer, an iterator over the terms {parameter: [M, …]} of lag 0, 1, …

    One at a time, since all of them may not fit into memory.
    """
    network, at = trace.network(), anchors(trace, count)
    losses = [trace.task.step_loss(network.outputs, trace.batch, anchor) for anchor in at]
    by_anchor = [state_gradients(network, loss / (loss.shape[1] * len(at))) for loss in losses]
    for layer in range(len(network.layers)):
        yield _layer_terms(trace, layer + 1, at, [gradients[layer] for gradients in by_anchor])


def _layer_terms(
    trace: Trace, layer: int, at: Sequence[Tensor], gradients: Sequence[Tensor]
) -> Iterator[Params]:
    examples = len(trace.last_step)
    steps = layer_steps(trace, layer, examples)
    for lag in range(max(int(anchor.max()) for anchor in at) + 1):
        total: dict[str, Tensor] = {}
        for anchor, of_anchor in zip(at, gradients, strict=True):
            step = (anchor - lag).clamp(min=0)
            exists = (anchor >= lag).to(of_anchor.device)[:, None]
            cotangents = of_anchor[
                :, step.to(of_anchor.device), torch.arange(examples, device=of_anchor.device)
            ]
            for name, grad in steps.parameter_gradients(
                step, torch.where(exists, cotangents, 0.0)
            ).items():
                total[name] = total[name] + grad if name in total else grad
        yield total


def _log_norm(term: Params) -> Tensor:
    """log10 of the norm [M] of all tensors together."""
    flat = torch.cat([value.flatten(1) for value in term.values()], dim=1)
    return norm(flat).log() / math.log(10)
