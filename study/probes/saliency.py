"""Saliency: gradient of the loss at each input step of single examples (Simonyan 2014)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from study.health.lags import check_examples, first_examples, norm
from study.interfaces import ByStep, PointFacts, Probe, Trace


class Saliency(Probe):
    """`saliency` [M, n, T]: ‖∂ℓ/∂x_t‖ over input channels, for the first `examples` of the batch.

    ℓ is the loss of the example's last valid step alone; the derivative is total, through all
    layers and any direct paths of the readout, in units of the loss per unit of input. `input`
    [M, n, T], at the first stage only: ‖x_t − x̄‖, x̄ the mean over the example's valid steps, which
    shows where the input changes. Costs one forward and one backward pass of these examples.
    """

    reads = "inputs"

    def __init__(self, *, stages: Sequence[float], examples: int) -> None:
        self.stages, self.examples = stages, examples

    def check(self, point: PointFacts) -> None:
        check_examples(self.examples, point.examples)

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
