"""An objective with a known optimum and no training, for benchmarks of samplers and tests."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import torch

from study.interfaces import require
from study.numerics.streams import generator
from study.search.objectives import Objective, OnValidation, Outcome, TrialRequest


class Bowl(Objective):
    """score = (1 - squared distance to the best setting) · (1 - exp(-rate · share of the updates)).

    Distances: 0.6 per decade of optimizer.lr from `lr`, 1 per 64 units of hidden from `hidden`, 1
    per 4 doublings of batch from `batch`; each further layer costs `layer`. The best score is 1, at
    depth 1. `noise`: standard deviation between replicates; `seconds`: duration of a validation.
    """

    def __init__(
        self,
        *,
        lr: float,
        hidden: int,
        batch: int,
        layer: float,
        rate: float,
        noise: float,
        seconds: float,
    ) -> None:
        require(lr > 0, "bowl", "lr", "above 0", lr)
        self.lr, self.hidden, self.batch, self.layer, self.rate, self.noise, self.seconds = (
            lr,
            hidden,
            batch,
            layer,
            rate,
            noise,
            seconds,
        )

    def higher_is_better(self, config: Mapping[str, Any]) -> bool:
        return True

    def score(self, config: Mapping[str, Any]) -> float:
        """The score of a setting after all updates, without noise."""
        decades = math.log10(config["optimizer"]["lr"] / self.lr)
        width, examples = (
            (config["hidden"] - self.hidden) / 64,
            math.log2(config["batch"] / self.batch) / 4,
        )
        return (
            1 - (0.6 * decades) ** 2 - width**2 - examples**2 - self.layer * (config["depth"] - 1)
        )

    def run(
        self,
        trials: Sequence[TrialRequest],
        device: str,
        on_validation: OnValidation,
        objectives: Collection[str],
    ) -> list[Outcome]:
        return [
            self._run(index, trial, on_validation, objectives) for index, trial in enumerate(trials)
        ]

    def _run(
        self,
        index: int,
        trial: TrialRequest,
        on_validation: OnValidation,
        objectives: Collection[str],
    ) -> Outcome:
        config, start = trial.points[0].config, time.perf_counter()
        draws = [
            float(
                torch.randn(
                    (), generator=generator(point.seed, f"bowl {trial.name}"), dtype=torch.float64
                )
            )
            * self.noise
            for point in trial.points
        ]
        scores, step, pruned = [0.0], 0, False
        for step in range(trial.validations + 1):
            if self.seconds:
                time.sleep(self.seconds)
            learned = 1 - math.exp(-self.rate * step / trial.validations)
            scores = [self.score(config) * learned + draw for draw in draws]
            if on_validation(index, step, sum(scores) / len(scores)) and step < trial.validations:
                pruned = True
                break
        examples = round(
            config["updates"] * config["batch"] * len(scores) * step / trial.validations
        )
        values = {
            "score": sum(scores) / len(scores),
            "health": -abs(math.log10(config["optimizer"]["lr"] / self.lr)),
            "cost": float(config["hidden"]),
        }
        reason = f"pruned after {step} of {trial.validations} validations" if pruned else None
        chosen = {name: values[name] for name in objectives}
        return Outcome(
            "pruned" if pruned else "done",
            chosen,
            scores,
            self.noise or None,
            examples,
            time.perf_counter() - start,
            reason,
        )
