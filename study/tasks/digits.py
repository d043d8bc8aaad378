"""Real handwritten digits as sequences: scikit-learn's 1,797 images of 8 x 8 pixels, 16 grey levels."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from study.interfaces import Batch, TaskFacts, require
from study.tasks.arrays import Arrays
from study.tasks.losses import correct, cross_entropy

COUNT, SIDE, CLASSES = 1797, 8, 10


class Digits(Arrays):
    """Which digit was it? form pixel: 64 steps of 1; row: 8 steps of 8. Values pixels/16.

    `permuted` shuffles the 64 pixels by one fixed permutation. `lag` is the declared lag in steps, null for all of
    them. Stratified split by `split_seed`: 1,077 to train, `validation` and `test` examples (360 each).
    """

    def __init__(
        self,
        *,
        form: Literal["pixel", "row"],
        permuted: bool,
        lag: int | None,
        validation: int,
        test: int,
        split_seed: int,
        solved: float,
    ) -> None:
        require(form in ("pixel", "row"), "digits", "form", "pixel or row", form)
        require(lag is None or lag > 0, "digits", "lag", "greater than 0 or null", lag)
        require(0 < solved <= 1, "digits", "solved", "an accuracy above 0 and at most 1", solved)
        require(validation >= CLASSES, "digits", "validation", f"at least {CLASSES}", validation)
        require(CLASSES <= test <= COUNT - validation - CLASSES, "digits", "test", f"between {CLASSES} and {COUNT - validation - CLASSES}", test)
        require(0 <= split_seed < 2**32, "digits", "split_seed", "at least 0 and below 2^32", split_seed)
        self.form, self.permuted, self.lag, self.solved = form, permuted, lag, solved
        self.validation, self.test, self.split_seed = validation, test, split_seed

    @property
    def steps(self) -> int:
        return SIDE * SIDE if self.form == "pixel" else SIDE

    def load(self) -> None:
        from sklearn.datasets import load_digits  # takes two seconds to import: only where digits are used
        from sklearn.model_selection import train_test_split

        x, y = load_digits(return_X_y=True)
        if self.permuted:
            x = x[:, np.random.default_rng(self.split_seed).permutation(SIDE * SIDE)]
        rest, test = train_test_split(np.arange(COUNT), test_size=self.test, stratify=y, random_state=self.split_seed)
        train, validation = train_test_split(rest, test_size=self.validation, stratify=y[rest], random_state=self.split_seed)
        sequences = torch.from_numpy((x / 16).astype(np.float32)).reshape(COUNT, self.steps, -1)
        labels = torch.from_numpy(y.astype(np.int64))
        self.parts = {name: Batch(x=sequences[index], y=labels[index]) for name, index in (("train", train), ("validation", validation), ("test", test))}

    @property
    def facts(self) -> TaskFacts:
        # The best guess that ignores the image: the most frequent class, or the class frequencies for the loss.
        shares = torch.bincount(self.parts["train"].y, minlength=CLASSES) / len(self.parts["train"].y)
        return TaskFacts(
            inputs=1 if self.form == "pixel" else SIDE,
            outputs=CLASSES,
            steps=self.steps,
            lag=self.lag if self.lag is not None else self.steps,
            every_step=False,
            loss="cross-entropy, nats",
            metric="accuracy",
            higher_is_better=True,
            baseline_loss=float(-(shares * shares.log()).sum()) if bool((shares > 0).all()) else math.log(CLASSES),
            baseline=float(shares.max()),
            solved=self.solved,
            split=f"stratified {len(self.parts['train'].x)}/{self.validation}/{self.test}, seed {self.split_seed}",
            source="scikit-learn's digits: UCI Optical Recognition of Handwritten Digits (Alpaydin & Kaynak 1998), test part",
            licence="CC BY 4.0",
        )

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        return cross_entropy(outputs, batch.y).mean(1)

    def step_loss(self, outputs: Tensor, batch: Batch, anchor: Tensor) -> Tensor:
        return cross_entropy(outputs, batch.y)

    def metric(self, outputs: Tensor, batch: Batch) -> Tensor:
        return correct(outputs, batch.y)
