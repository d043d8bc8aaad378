"""Gradient noise scale: the batch size at which noise and signal of the gradient are equal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from study.interfaces import Batch, PointFacts, Probe, Trace


class NoiseScale(Probe):
    """`noise_scale` [M]: B = tr(Σ)/|G|² in examples, McCandlish et al. 2018, "simple noise scale".

    From the unbiased estimates of their appendix A.1 on the training batch of b examples and its
    `parts` of s examples: `gradient_square` |G|² = (b·|G_b|² - s·mean|G_s|²)/(b - s) and
    `gradient_variance` tr(Σ) = (mean|G_s|² - |G_b|²)/(1/s - 1/b).

    A single batch is a noisy estimate: if |G|² comes out as 0 or below, the scale is NaN; average
    the two estimates over stages before dividing. Batches far above B waste examples. Costs a
    forward and backward pass in fp64 over the training batch per stage.
    """

    reads = "gradients"

    def __init__(self, *, stages: Sequence[float], parts: int) -> None:
        if parts < 2:
            raise ValueError(f"noise_scale: parts must be at least 2, got {parts}")
        self.stages, self.parts = stages, parts

    def check(self, point: PointFacts) -> None:
        if point.batch < self.parts:
            raise ValueError(
                f"noise_scale: parts must be at most the {point.batch} examples of a batch, got"
                f" {self.parts}"
            )

    def __call__(self, trace: Trace) -> Mapping[str, Tensor]:
        batch = trace.training_batch()
        small = batch.x.shape[1] // self.parts
        parts = [_examples(batch, part * small, (part + 1) * small) for part in range(self.parts)]
        gradients = [_flat(trace, part) for part in parts]
        mean_of_squares = torch.stack([gradient.square().sum(1) for gradient in gradients]).mean(0)
        # parts have equal size, so the mean of their gradients is that of the batch
        square_of_mean = torch.stack(gradients).mean(0).square().sum(1)
        large = small * self.parts
        square = (large * square_of_mean - small * mean_of_squares) / (large - small)
        variance = (mean_of_squares - square_of_mean) / (1 / small - 1 / large)
        return {
            "noise_scale": (variance / square).where(square > 0, torch.nan),
            "gradient_square": square,
            "gradient_variance": variance,
        }


def _examples(batch: Batch, start: int, end: int) -> Batch:
    rows = slice(start, end)
    return Batch(
        x=batch.x[:, rows],
        y=batch.y[:, rows],
        lengths=None if batch.lengths is None else batch.lengths[:, rows],
    )


def _flat(trace: Trace, batch: Batch) -> Tensor:
    return torch.cat([gradient.flatten(1) for gradient in trace.gradients(batch).values()], dim=1)
