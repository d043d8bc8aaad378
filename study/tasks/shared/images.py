"""Base of tasks that read images as sequences: pixel by pixel or row by row, in order or by one
fixed permutation.
"""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from study.interfaces import TaskFacts
from study.tasks.shared.arrays import Arrays
from study.tasks.shared.classes import OneClass

CLASSES = 10


class Images(OneClass, Arrays):
    """Which of 10 classes is the image of? form pixel: side² steps of 1; row: side steps of side.

    `lag` in steps, null for all of them.
    """

    form: Literal["pixel", "row"]
    permuted: bool
    lag: int | None
    split_seed: int
    solved: float
    side: int

    @property
    def steps(self) -> int:
        return self.side**2 if self.form == "pixel" else self.side

    def sequences(self, pixels: np.ndarray) -> Tensor:
        """[N, steps, inputs] in fp32 of pixels [N, side²]; the permutation is drawn by
        `split_seed`.
        """
        if self.permuted:
            pixels = pixels[:, np.random.default_rng(self.split_seed).permutation(self.side**2)]
        return torch.from_numpy(np.ascontiguousarray(pixels, np.float32)).reshape(
            len(pixels), self.steps, -1
        )

    def stated(self, *, split: str, source: str, licence: str) -> TaskFacts:
        # The best guess that ignores the image: the most frequent class, or the class frequencies
        # for the loss.
        shares = torch.bincount(self.parts["train"].y, minlength=CLASSES) / len(
            self.parts["train"].y
        )
        return TaskFacts(
            inputs=1 if self.form == "pixel" else self.side,
            outputs=CLASSES,
            steps=self.steps,
            lag=self.lag if self.lag is not None else self.steps,
            every_step=False,
            loss="cross-entropy, nats",
            metric="accuracy",
            higher_is_better=True,
            baseline_loss=(
                float(-(shares * shares.log()).sum())
                if bool((shares > 0).all())
                else math.log(CLASSES)
            ),
            baseline=float(shares.max()),
            solved=self.solved,
            split=split,
            source=source,
            licence=licence,
        )
