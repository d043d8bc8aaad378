"""Base of tasks that read images as sequences of pixels or rows, permuted or not."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from study.interfaces import TaskFacts
from study.tasks.shared.arrays import Arrays
from study.tasks.shared.classes import OneClass

CLASSES = 10


class Images(OneClass, Arrays):
    """Classify images into 10 classes; form pixel: side² steps of 1; row: side steps of side.

    `lag`: in steps, null for all of them. `white`: the largest value of a raw pixel, which becomes
    1; raw images have side · pool rows, and pixels are means over blocks of pool x pool.
    """

    form: Literal["pixel", "row"]
    permuted: bool
    lag: int | None
    split_seed: int
    solved: float
    side: int
    white: int = 1
    pool: int = 1

    @property
    def steps(self) -> int:
        return self.side**2 if self.form == "pixel" else self.side

    def sequences(self, pixels: np.ndarray) -> Tensor:
        """[N, steps, inputs] in fp32 from pixels [N, side²]; `split_seed` draws the permutation."""
        if self.permuted:
            pixels = pixels[:, self._order()]
        return torch.from_numpy(np.ascontiguousarray(pixels, np.float32)).reshape(
            len(pixels), self.steps, -1
        )

    def _order(self) -> np.ndarray:
        """The fixed permutation of the pixels."""
        return np.random.default_rng(self.split_seed).permutation(self.side**2)

    def signature(self) -> dict[str, Any]:
        return super().signature() | {
            "input": {
                "kind": "image",
                "side": self.side * self.pool,
                "pool": self.pool,
                "white": self.white,
                "steps": self.steps,
                "order": self._order().tolist() if self.permuted else None,
            }
        }

    def image_facts(self, *, split: str, source: str, licence: str) -> TaskFacts:
        # baseline: the most frequent class; baseline loss: the class frequencies
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
            choices=("form", "pool"),
            split=split,
            source=source,
            licence=licence,
        )
