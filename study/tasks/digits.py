"""Real handwritten digits as sequences: scikit-learn's 1,797 images of 8 x 8 pixels."""

from __future__ import annotations

from typing import Literal

import torch

from study.interfaces import Batch, TaskFacts, require
from study.tasks.shared.handwriting import COUNT, LICENCE, SIDE, SOURCE, WHITE, handwriting
from study.tasks.shared.images import CLASSES, Images


class Digits(Images):
    """Classify the digit; form pixel: 64 steps of 1; row: 8 steps of 8. Values are pixels/16.

    `permuted`: one fixed permutation of the 64 pixels. `lag`: the declared lag in steps, null for
    all of them. `validation` and `test` examples are split off stratified with `split_seed`.
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
        require(
            CLASSES <= test <= COUNT - validation - CLASSES,
            "digits",
            "test",
            f"between {CLASSES} and {COUNT - validation - CLASSES}",
            test,
        )
        require(
            0 <= split_seed < 2**32, "digits", "split_seed", "at least 0 and below 2^32", split_seed
        )
        self.form, self.permuted, self.lag, self.solved = form, permuted, lag, solved
        self.validation, self.test, self.split_seed = validation, test, split_seed
        self.side, self.white = SIDE, WHITE

    def load(self) -> None:
        images, labels, parts = handwriting(
            validation=self.validation, test=self.test, split_seed=self.split_seed
        )
        x, y = self.sequences(images.reshape(COUNT, -1)), torch.from_numpy(labels)
        self.parts = {part: Batch(x=x[index], y=y[index]) for part, index in parts.items()}

    @property
    def facts(self) -> TaskFacts:
        split = (
            f"stratified {len(self.parts['train'].x)}/{self.validation}/{self.test}, seed"
            f" {self.split_seed}"
        )
        return self.image_facts(split=split, source=SOURCE, licence=LICENCE)
