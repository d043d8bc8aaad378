"""Captions: spell the names of real digits in a strip of images, letter by letter."""

from __future__ import annotations

import functools
from collections import Counter
from typing import Any

import torch
from torch import Tensor

from study.interfaces import PARTS, Batch, TaskFacts, require
from study.numerics.streams import generator
from study.tasks.shared.generated import FIXED_SEED, Generated
from study.tasks.shared.handwriting import COUNT, LICENCE, SIDE, SOURCE, handwriting
from study.tasks.shared.losses import at_step, cross_entropy

STRIDE = 2  # columns of the strip per step
# columns that a step sees: one more on either side, so that 3 x 3 filters act as on the whole strip
WINDOW = STRIDE + 2
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
# a space ends each name
LETTERS = "".join(sorted({letter for name in NAMES for letter in name})) + " "
CODE = {letter: place for place, letter in enumerate(LETTERS)}


class Caption(Generated):
    """Reads a strip of `digits` images through a moving window, then spells their names.

    x [4 digits + letters, 32 + letters + 1]: first 8 x 4 pixels of the strip, row by row, which
    move by 2 columns per step, with an encoder (encoder=conv) or without (encoder=none); then, one
    step per letter, the previous letter (teacher forcing, with a start symbol). Captions differ in
    length. Cross-entropy and accuracy are over letters alone. Strips are drawn anew each update;
    training, validation and test use different images.
    """

    def __init__(
        self, *, digits: int, lag: int | None, examples: int, split_seed: int, solved: float
    ) -> None:
        require(digits >= 1, "caption", "digits", "at least 1", digits)
        require(lag is None or lag > 0, "caption", "lag", "greater than 0 or null", lag)
        require(examples >= 2, "caption", "examples", "at least 2", examples)
        require(
            0 <= split_seed < 2**32,
            "caption",
            "split_seed",
            "at least 0 and below 2^32",
            split_seed,
        )
        require(0 < solved <= 1, "caption", "solved", "an accuracy above 0 and at most 1", solved)
        self.digits, self.lag, self.examples, self.split_seed, self.solved = (
            digits,
            lag,
            examples,
            split_seed,
            solved,
        )

    @property
    def columns(self) -> int:
        """Steps that read the strip."""
        return SIDE * self.digits // STRIDE

    @property
    def steps(self) -> int:
        return self.columns + self.digits * (max(map(len, NAMES)) + 1)

    def load(self) -> None:
        images, labels, parts = handwriting(validation=0.25, test=0.2, split_seed=self.split_seed)
        pixels = torch.from_numpy(images).reshape(COUNT, SIDE, SIDE)
        self.images = {
            part: (pixels[index], torch.from_numpy(labels[index])) for part, index in parts.items()
        }

    @functools.cached_property
    def letter_shares(self) -> Tensor:
        """Frequency of each letter if all names are equally likely."""
        counts = Counter("".join(f"{name} " for name in NAMES))
        return torch.tensor(
            [counts[letter] / counts.total() for letter in LETTERS], dtype=torch.float64
        )

    @property
    def facts(self) -> TaskFacts:
        shares = self.letter_shares
        sizes = "/".join(str(len(y)) for _, y in self.images.values())
        return TaskFacts(
            inputs=SIDE * WINDOW + len(LETTERS) + 1,
            outputs=len(LETTERS),
            steps=self.steps,
            lag=self.lag if self.lag is not None else self.columns,
            every_step=True,
            loss="cross-entropy over the letters, nats",
            metric="share of letters right",
            higher_is_better=True,
            baseline_loss=float(-(shares * shares.log()).sum()),
            baseline=float(shares.max()),
            solved=self.solved,
            split=(
                f"images {sizes}, seed {self.split_seed}; strips drawn anew, validation and test"
                f" {self.examples}"
            ),
            source=SOURCE,
            licence=LICENCE,
        )

    def draw(self, rng: torch.Generator, batch: int) -> Batch:
        return self._strips("train", rng, batch)

    @functools.cached_property
    def _fixed(self) -> dict[str, Batch]:
        return {
            part: self._strips(part, generator(FIXED_SEED, f"fixed {part}"), self.examples)
            for part in PARTS
        }

    def _strips(self, part: str, rng: torch.Generator, batch: int) -> Batch:
        images, labels = self.images[part]
        which = torch.randint(0, len(images), (batch, self.digits), generator=rng)
        captions = ["".join(f"{NAMES[digit]} " for digit in row) for row in labels[which].tolist()]
        y = torch.full((batch, self.steps), -1)  # -1: no letter to predict
        x = torch.zeros(batch, self.steps, self.facts.inputs)
        strip = images[which].transpose(1, 2).flatten(2)  # [B, rows, columns]
        margin = (WINDOW - STRIDE) // 2
        # [B, rows, steps, WINDOW]
        windows = torch.nn.functional.pad(strip, (margin, margin)).unfold(2, WINDOW, STRIDE)
        x[:, : self.columns, : SIDE * WINDOW] = windows.transpose(1, 2).flatten(2)
        for row, caption in enumerate(captions):
            letters = torch.tensor([CODE[letter] for letter in caption])
            y[row, self.columns : self.columns + len(letters)] = letters
            before = torch.cat([torch.tensor([len(LETTERS)]), letters[:-1]])
            x[row, self.columns + torch.arange(len(letters)), SIDE * WINDOW + before] = 1.0
        return Batch(
            x=x, y=y, lengths=self.columns + torch.tensor([len(caption) for caption in captions])
        )

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        return _over_letters(self._by_step(outputs, batch), batch.y).mean(1)

    def step_loss(self, outputs: Tensor, batch: Batch, anchor: Tensor) -> Tensor:
        return at_step(self._by_step(outputs, batch), anchor)

    def metric(self, outputs: Tensor, batch: Batch) -> Tensor:
        return _over_letters((outputs.argmax(-1) == batch.y).double(), batch.y)

    def signature(self) -> dict[str, Any]:
        return super().signature() | {
            "input": {"kind": "numbers", "steps": self.steps, "varying": True},
            "output": {"kind": "classes", "classes": list(LETTERS), "name": "letter"},
        }

    def _by_step(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Losses [M, B, T], 0 where there is no letter to predict."""
        return torch.where(batch.y >= 0, cross_entropy(outputs, batch.y.clamp(min=0)), 0.0)


def _over_letters(values: Tensor, y: Tensor) -> Tensor:
    letters = y >= 0
    return (values * letters).sum(-1) / letters.sum(-1)
