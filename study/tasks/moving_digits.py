"""Videos of scikit-learn's handwritten digits, which move over a canvas, then stand still."""

from __future__ import annotations

import functools
import math
from typing import Literal

import torch

from study.interfaces import PARTS, Batch, TaskFacts, require
from study.numerics.streams import generator
from study.tasks.shared.classes import OneClass
from study.tasks.shared.generated import FIXED_SEED, Generated
from study.tasks.shared.handwriting import LICENCE, SIDE, SOURCE, handwriting

# (rows down, columns right) per frame
HEADINGS = ((0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1), (-1, 0), (-1, 1))


class MovingDigits(OneClass, Generated):
    """x [moving + still, canvas²]: frames of one digit on a torus of canvas x canvas pixels.

    It moves by one pixel per frame along one of 8 headings, then rests. `target` motion: predict
    the heading, which the last frames do not show; digit: predict the digit. Digits, places and
    headings are drawn anew each update; training, validation and test use different images
    (stratified with `split_seed`).
    """

    def __init__(
        self,
        *,
        target: Literal["motion", "digit"],
        canvas: int,
        moving: int,
        still: int,
        lag: int | None,
        examples: int,
        split_seed: int,
        solved: float,
    ) -> None:
        require(target in ("motion", "digit"), "moving_digits", "target", "motion or digit", target)
        require(canvas >= SIDE, "moving_digits", "canvas", f"at least {SIDE} pixels", canvas)
        require(moving >= 2, "moving_digits", "moving", "at least 2 frames", moving)
        require(still >= 0, "moving_digits", "still", "at least 0 frames", still)
        require(lag is None or lag > 0, "moving_digits", "lag", "greater than 0 or null", lag)
        require(examples >= 2, "moving_digits", "examples", "at least 2", examples)
        require(
            0 <= split_seed < 2**32,
            "moving_digits",
            "split_seed",
            "at least 0 and below 2^32",
            split_seed,
        )
        require(
            0 < solved <= 1, "moving_digits", "solved", "an accuracy above 0 and at most 1", solved
        )
        self.target, self.canvas, self.moving, self.still = target, canvas, moving, still
        self.lag, self.examples, self.split_seed, self.solved = lag, examples, split_seed, solved

    @property
    def classes(self) -> int:
        return len(HEADINGS) if self.target == "motion" else 10

    def load(self) -> None:
        images, labels, parts = handwriting(validation=0.25, test=0.2, split_seed=self.split_seed)
        self.digits = {
            part: (torch.from_numpy(images[index]), torch.from_numpy(labels[index]))
            for part, index in parts.items()
        }

    @property
    def facts(self) -> TaskFacts:
        sizes = "/".join(str(len(y)) for _, y in self.digits.values())
        return TaskFacts(
            inputs=self.canvas**2,
            outputs=self.classes,
            steps=self.moving + self.still,
            lag=self.lag if self.lag is not None else max(self.still, 1),
            every_step=False,
            loss="cross-entropy, nats",
            metric="accuracy",
            higher_is_better=True,
            baseline_loss=math.log(self.classes),
            baseline=1 / self.classes,
            solved=self.solved,
            split=(
                f"digits {sizes}, seed {self.split_seed}; films drawn anew, validation and test"
                f" {self.examples}"
            ),
            source=SOURCE,
            licence=LICENCE,
        )

    def draw(self, rng: torch.Generator, batch: int) -> Batch:
        return self._films("train", rng, batch)

    @functools.cached_property
    def _fixed(self) -> dict[str, Batch]:
        return {
            part: self._films(part, generator(FIXED_SEED, f"fixed {part}"), self.examples)
            for part in PARTS
        }

    def _films(self, part: str, rng: torch.Generator, batch: int) -> Batch:
        images, labels = self.digits[part]
        which = torch.randint(0, len(images), (batch,), generator=rng)
        heading = torch.randint(0, len(HEADINGS), (batch,), generator=rng)
        begin = torch.randint(0, self.canvas, (batch, 2), generator=rng)
        shift = torch.arange(self.moving + self.still).clamp(max=self.moving - 1)
        # [B, T, 2]: the upper left corner
        at = (
            begin[:, None] + shift[:, None] * torch.tensor(HEADINGS)[heading][:, None]
        ) % self.canvas
        inside = torch.arange(SIDE)
        rows, columns = ((at[..., axis, None] + inside) % self.canvas for axis in (0, 1))
        place = (rows[..., :, None] * self.canvas + columns[..., None, :]).flatten(2)
        frames = torch.zeros(batch, len(shift), self.canvas**2).scatter(
            2, place, images[which].flatten(1)[:, None].expand(-1, len(shift), -1)
        )
        return Batch(x=frames, y=heading if self.target == "motion" else labels[which])
