"""Evaluate on fixed examples: validation during training, test data once at the end."""

from __future__ import annotations

import torch
from torch import Tensor

from study.config.network import evaluation_chunk
from study.interfaces import Batch
from study.training.state import Training
from study.training.step import to_device


def validate(training: Training, update: int) -> None:
    """Record validation loss and score; keep the best weights so far, the earliest on ties."""
    loss, metric = evaluate_on(training, training.params, training.task.split("validation"))
    score = metric.mean(1)
    alive = training.alive
    better = (
        (score > training.best_score)
        if training.task.facts.higher_is_better
        else (score < training.best_score)
    )
    better = better & alive
    training.best_score = torch.where(better, score, training.best_score)
    training.best_loss = torch.where(better, loss, training.best_loss)
    training.best_params = torch.where(better[:, None], training.params, training.best_params)
    training.validations.append(
        (update, torch.where(alive, loss, torch.nan), torch.where(alive, score, torch.nan))
    )


def evaluate_on(training: Training, params: Tensor, examples: Batch) -> tuple[Tensor, Tensor]:
    """Mean loss [M] and metric [M, B] on fixed examples, in chunks that fit the cache."""
    everyone = torch.zeros(len(training.points), dtype=torch.long)
    named = training.model.named(params)
    chunk = evaluation_chunk(examples.x.shape[1], training.task.facts)
    losses, metrics, counts = [], [], []
    with torch.no_grad():
        for start in range(0, len(examples.x), chunk):
            part = slice(start, start + chunk)
            lengths = None if examples.lengths is None else examples.lengths[part][None]
            batch = to_device(
                training, Batch(examples.x[part][None], examples.y[part][None], lengths), everyone
            )
            outputs = training.model.forward(named, batch.x, batch.lengths)
            counts.append(batch.x.shape[1])
            losses.append(training.task.loss(outputs, batch).double() * counts[-1])
            metrics.append(training.task.metric(outputs, batch).double())
    return torch.stack(losses).sum(0) / sum(counts), torch.cat(metrics, dim=1)


def evaluate(training: Training) -> None:
    """Evaluate the best weights on test and training data, the final weights on test data.

    Test data are read here and nowhere else.
    """
    _, training.evaluations["test"] = evaluate_on(
        training, training.best_params, training.task.split("test")
    )
    _, training.evaluations["final"] = evaluate_on(
        training, training.params, training.task.split("test")
    )
    _, training.evaluations["train"] = evaluate_on(
        training, training.best_params, training.task.split("train")
    )
