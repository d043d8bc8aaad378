"""Saliency: where in the input of single examples the loss looks (Simonyan 2014, step by step)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from study.health.lags import examples_fit, first_examples, norm
from study.interfaces import ByStep, PointFacts, Probe, Trace


class Saliency(Probe):
    """Of the first `examples` of the probe batch, for every valid step t:

    `saliency` [M, n, T]: ‖∂ℓ/∂x_t‖ over the input's channels, ℓ the loss of the example's last
    valid step alone. It is the total derivative, through all layers and, where the readout has
    them, its direct paths. Units of the loss a unit of the input. `input` [M, n, T], at the first
    probe only: ‖x_t − x̄‖, x̄ the mean over the example's own steps: where something happens in it.

    Costs one forward and one backward pass of these examples.
    """

    def __init__(self, *, stages: Sequence[float], examples: int) -> None:
        self.stages, self.examples = stages, examples

    def check(self, of: PointFacts) -> None:
        examples_fit(self.examples, of.examples)

    def __call__(self, trace: Trace) -> Mapping[str, ByStep]:
        count = first_examples("saliency", self.examples, trace)
        last = trace.last_step[:count]
        network = trace.network()
        loss = trace.task.step_loss(network.outputs, trace.batch, trace.last_step)[:, :count]
        (grad,) = torch.autograd.grad(
            loss.sum(),
            [network.inputs],
            retain_graph=True,
            materialize_grads=True,
            allow_unused=True,
        )
        found = {"saliency": ByStep(norm(grad[:, :count]), last)}
        return (
            found | {"input": ByStep(_distance(trace.batch.x[:, :count], last), last)}
            if trace.stage == 0
            else found
        )


def _distance(x: Tensor, last: Tensor) -> Tensor:
    """‖x_t − x̄‖ [M, n, T] for x [M, n, T, D]."""
    valid = (torch.arange(x.shape[2]) <= last[:, None]).to(x)[..., None]
    mean = (x * valid).sum(2, keepdim=True) / valid.sum(1, keepdim=True)
    return norm(x - mean)
