"""Losses and metrics of a loaded task over one's own data, and outputs of guesses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from study.records import StudyError
from study.tasks.shared.losses import cross_entropy, pinball, squared_error
from study.tasks.shared.metrics import CLASSES, MEDIAN, Answers, Metric
from study.tasks.shared.solved import perfect_or


@dataclass(frozen=True)
class Scoring:
    """`metrics`: those asked for, the score first; [] for the usual one.

    `classes`: their number C. `weights`: of classes [C], with mean 1 over the training examples, or
    None. Regression: `mean` and `deviation` [O] of the targets, `quantiles` [Q] or None, `naive`
    [O] as in Answers. Outputs are [M, B, C], or [M, B, O·Q] with the quantiles of a target side by
    side.
    """

    kind: str
    classes: int
    metrics: tuple[Metric, ...]
    weights: Tensor | None
    quantiles: tuple[float, ...] | None
    mean: np.ndarray
    deviation: np.ndarray
    naive: np.ndarray

    def losses(self, outputs: Tensor, y: Tensor) -> Tensor:
        """Losses [M, B]."""
        if self.kind == CLASSES:
            losses = cross_entropy(outputs, y)
            return losses if self.weights is None else losses * self.weights.to(losses)[y]
        if self.quantiles is None:
            return squared_error(outputs, y)
        at = torch.tensor(self.quantiles).to(outputs)
        return pinball(self._by_quantile(outputs), y, at)

    def by_example(self, metric: Metric, outputs: Tensor, y: Tensor) -> Tensor:
        """[M, B] of a metric that is one by example."""
        assert metric.by_example is not None
        if self.kind == CLASSES:
            return metric.by_example(outputs, y)
        split = self._by_quantile(outputs)
        if metric.target is not None:
            own = slice(metric.target, metric.target + 1)
            split, y = split[..., own, :], y[..., own]
        found = metric.by_example(split if metric.of_quantiles else self._middle(split), y)
        return found * float(self._unit(metric)) if metric.in_units else found

    def over_split(
        self, metrics: Sequence[Metric], outputs: Tensor, y: Tensor
    ) -> dict[str, Tensor]:
        """[M] of each metric, from outputs [M, N, …] and targets [N, …] of a whole split.

        NaN where a network's outputs are not finite.
        """
        found = {
            one.name: self.by_example(one, outputs, y.expand(len(outputs), *y.shape)).mean(
                1, dtype=torch.float64
            )
            for one in metrics
            if one.by_example is not None
        }
        whole = [one for one in metrics if one.over_split is not None]
        numbers = [self._numbers(whole, member, y) for member in outputs] if whole else []
        for place, one in enumerate(whole):
            values = [of[place] for of in numbers]
            found[one.name] = torch.tensor(values, dtype=torch.float64, device=outputs.device)
        return {one.name: found[one.name] for one in metrics}

    def _numbers(self, metrics: Sequence[Metric], outputs: Tensor, y: Tensor) -> list[float]:
        if not outputs.isfinite().all():
            return [float("nan")] * len(metrics)
        given = self._answers(outputs, y)
        return [
            one.over_split(given.of(one.target)) for one in metrics if one.over_split is not None
        ]

    def _answers(self, outputs: Tensor, y: Tensor) -> Answers:
        """Of one network: outputs [N, …]."""
        values, targets = _numpy(outputs), y.cpu().numpy()
        if self.kind == CLASSES:
            return Answers(targets, values.argmax(-1), values, np.ones(0), np.ones(0))
        split = _numpy(self._by_quantile(outputs)) * self.deviation[:, None] + self.mean[:, None]
        middle = _numpy(self._middle(self._by_quantile(outputs))) * self.deviation + self.mean
        unit = np.ones(1) if len(self.mean) == 1 else self.deviation
        targets = targets.astype(np.float64) * self.deviation + self.mean
        return Answers(targets, middle, split, unit, self.naive)

    def _unit(self, metric: Metric) -> float:
        """What a standardised error is multiplied by: several targets have no common unit."""
        if metric.target is not None:
            return float(self.deviation[metric.target])
        return float(self.deviation[0]) if len(self.deviation) == 1 else 1.0

    def _by_quantile(self, outputs: Tensor) -> Tensor:
        """[..., O·Q] -> [..., O, Q]."""
        return outputs.unflatten(-1, (len(self.mean), -1))

    def _middle(self, split: Tensor) -> Tensor:
        """The median of [..., O, Q], or the only output."""
        if self.quantiles is None:
            return split[..., 0]
        # without a median, nothing that is measured reads it
        return split[..., self.quantiles.index(MEDIAN) if MEDIAN in self.quantiles else 0]

    # --- guesses ----------------------------------------------------------------------------------

    def constant(self, train: Tensor) -> Tensor:
        """Outputs [K] of the best constant answer, from the training targets [N, …]."""
        if self.kind == CLASSES:
            shares = torch.bincount(train, minlength=self.classes) / len(train)
            return shares.clamp(min=1e-12).log()
        return self._quantiles_of(train) if self.quantiles else torch.zeros(train.shape[-1])

    def rule(self, guessed: Mapping[str, np.ndarray], train: Tensor) -> Tensor:
        """Outputs [N, K] on validation of a rule without training, such as persistence.

        guessed: its answers [n, O] on train and validation, in the target's units. Quantiles are
        its answers plus the quantiles of its errors in training.
        """
        standard = {
            part: torch.from_numpy((values - self.mean) / self.deviation).float()
            for part, values in guessed.items()
        }
        if not self.quantiles:
            return standard["validation"]
        errors = self._quantiles_of(train - standard["train"])
        return standard["validation"].repeat_interleave(len(self.quantiles), -1) + errors

    def best_guesses(
        self, train: Tensor, validation: Tensor, guessed: Mapping[str, Mapping[str, np.ndarray]]
    ) -> dict[str, float]:
        """Of each metric the best value on validation of rules without training.

        train, validation: their targets. guessed: the answers of rules, as `rule` takes them.
        """
        if not self.metrics:
            return {}
        constant = self.constant(train).expand(len(validation), -1)
        outputs = [constant, *(self.rule(of, train) for of in guessed.values())]
        found = self.over_split(self.metrics, torch.stack(outputs), validation)
        return {
            one.name: float(values[0])
            if one.higher_is_better is None
            else float(values.max() if one.higher_is_better else values.min())
            for one, values in zip(self.metrics, found.values(), strict=True)
        }

    def baseline(
        self, train: Tensor, validation: Tensor, rules: Mapping[str, float]
    ) -> tuple[float, float]:
        """(loss, usual score) on validation of the best guess that ignores the sequence.

        rules: standardised squared errors of rules without training.
        """
        if self.kind == CLASSES:
            shares = torch.bincount(train, minlength=self.classes) / len(train)
            score = float(shares.max())
            if self.weights is not None:  # their mean over training examples is 1
                shares = shares * self.weights.float()
            return float(-(shares * shares.clamp(min=1e-12).log()).sum()), score
        loss = perfect_or(float(validation.square().mean()), 0.0)  # the mean is 0
        score = min([loss, *(perfect_or(error, 0.0) for error in rules.values())])
        if self.quantiles is not None:
            constant = self.constant(train).expand(len(validation), -1)
            loss = float(self.losses(constant, validation).mean())
        return loss, score

    def _quantiles_of(self, values: Tensor) -> Tensor:
        """[O·Q] of values [N, O]."""
        found = np.quantile(values.double().numpy(), self.quantiles or (), axis=0)
        return torch.from_numpy(found.T.reshape(-1).copy()).float()


def weights_of_classes(
    asked: Literal["balanced"] | Mapping[str, float],
    classes: Sequence[str],
    train: Tensor,
    source: str,
) -> Tensor:
    """[C], with mean 1 over the training examples, whose classes are `train` [N]."""
    counts = torch.bincount(train, minlength=len(classes)).double()
    if isinstance(asked, str):
        weights = counts.clamp(min=1).reciprocal()
    else:
        given = {str(name): float(weight) for name, weight in asked.items()}
        wrong = next((name for name in given if name not in classes), None)
        lacking = next((name for name in classes if name not in given), None)
        if wrong is not None or lacking is not None:
            problem = f"no class {wrong!r}" if wrong is not None else f"a class {lacking!r} too"
            raise StudyError(
                f"task.class_weights: {source} has {problem}; its classes are {', '.join(classes)}"
            )
        weights = torch.tensor([given[name] for name in classes], dtype=torch.float64)
    return weights * (counts.sum() / (weights * counts).sum())


def _numpy(tensor: Tensor) -> np.ndarray:
    found: np.ndarray = tensor.detach().to("cpu", torch.float64).numpy()
    return found
