"""Evaluate on fixed examples: validation during training, test data once at the end."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from study.config.network import evaluation_chunk
from study.interfaces import Batch, Part, Task
from study.training.direct import of_members
from study.training.rates import validated
from study.training.state import Training
from study.training.step import to_device

# Draws of a bootstrap over examples, for the error of a score of a whole split: fewer of many.
DRAWS, LEAST_DRAWS, DRAWN = 100, 20, 200_000


@dataclass(frozen=True)
class Evaluated:
    """`loss` [M], `metric` [M, B] by example, and `outputs` [M, B, …] if metrics read them."""

    task: Task
    examples: Batch
    loss: Tensor
    metric: Tensor
    outputs: Tensor | None

    @property
    def by_example(self) -> bool:
        """Whether the score is the mean of `metric`."""
        return all(one["by_example"] for one in self.task.facts.metrics[:1])

    @functools.cached_property
    def score(self) -> Tensor:
        """[M]."""
        return self.metric.mean(1) if self.by_example else self._score_of(None)

    @functools.cached_property
    def error(self) -> Tensor:
        """Standard error [M] of the score over the examples; by bootstrap for a whole split.

        Draws without a score are left out, as of AUROC without one of the classes; NaN where most
        have none.
        """
        count = self.metric.shape[1]
        if self.by_example:
            return torch.stack([of_member.std() for of_member in self.metric]) / count**0.5
        generator = torch.Generator().manual_seed(0)  # the same for every point
        draws = max(LEAST_DRAWS, min(DRAWS, DRAWN // count))
        drawn = (torch.randint(count, (count,), generator=generator) for _ in range(draws))
        scores = torch.stack([self._score_of(index) for index in drawn], dim=1)
        kept = [own[own.isfinite()] for own in scores]
        none = torch.tensor(torch.nan, dtype=scores.dtype, device=scores.device)
        return torch.stack([own.std() if 2 * len(own) >= draws else none for own in kept])

    def every(self) -> Mapping[str, Tensor]:
        """[M] of each of facts.metrics, by name."""
        if self.outputs is None:
            return {}
        names = [one["name"] for one in self.task.facts.metrics]
        return self.task.over_split(self.outputs, self.examples, names)

    def _score_of(self, index: Tensor | None) -> Tensor:
        """The score of a whole split, or of some of its examples."""
        assert self.outputs is not None
        name, y = self.task.facts.metrics[0]["name"], self.examples.y
        if index is None:
            return self.task.over_split(self.outputs, self.examples, [name])[name]
        drawn = Batch(self.examples.x[:0], y[index], None)
        return self.task.over_split(self.outputs[:, index], drawn, [name])[name]


def validate(training: Training, update: int) -> None:
    """Record validation loss and score; keep the best weights so far, the earliest on ties."""
    found = evaluate_on(training, training.scored, "validation")
    loss, score = found.loss, found.score
    alive = training.alive
    better = (
        (score > training.best_score)
        if training.task.facts.higher_is_better
        else (score < training.best_score)
    )
    better = better & alive
    training.best_score = torch.where(better, score, training.best_score)
    training.best_loss = torch.where(better, loss, training.best_loss)
    training.best_params = torch.where(better[:, None], training.scored, training.best_params)
    validated(training, loss)
    training.validations.append(
        (update, torch.where(alive, loss, torch.nan), torch.where(alive, score, torch.nan))
    )


def evaluate_on(training: Training, params: Tensor, part: Part) -> Evaluated:
    """Losses, metrics and outputs on a split, in chunks that fit the cache."""
    examples = training.task.split(part)
    everyone = [0] * len(training.points)
    named, keep = training.model.named(params), bool(training.task.facts.metrics)
    size = evaluation_chunk(examples.x.shape[1], training.task.facts)
    losses, metrics, counts, kept = [], [], [], []
    with torch.no_grad():
        for start in range(0, len(examples.x), size):
            chunk = slice(start, start + size)
            lengths = None if examples.lengths is None else examples.lengths[chunk][None]
            one = Batch(examples.x[chunk][None], examples.y[chunk][None], lengths)
            if training.direct is None:
                batch = to_device(training, one, everyone)
                outputs = training.model.forward(named, batch.x, batch.lengths)
            else:
                batch = of_members(one, everyone, training.dtype)
                outputs = training.direct.outputs(params, one, training.distinct)
            counts.append(batch.x.shape[1])
            losses.append(training.task.loss(outputs, batch).double() * counts[-1])
            metrics.append(training.task.metric(outputs, batch).double())
            kept += [outputs] if keep else []
    return Evaluated(
        training.task,
        examples,
        loss=torch.stack(losses).sum(0) / sum(counts),
        metric=torch.cat(metrics, dim=1),
        outputs=torch.cat(kept, dim=1) if keep else None,
    )


def evaluate(training: Training) -> None:
    """Evaluate the best weights on test and training data, the final weights on test data.

    Test data are read here and nowhere else. Further metrics are of the best weights, also on
    validation.
    """
    test = evaluate_on(training, training.best_params, "test")
    training.evaluations = {
        "test": test,
        "final": evaluate_on(training, training.scored, "test"),
        "train": evaluate_on(training, training.best_params, "train"),
    }
    if training.task.facts.metrics:
        validation = evaluate_on(training, training.best_params, "validation")
        training.metrics = {"validation": validation.every(), "test": test.every()}
