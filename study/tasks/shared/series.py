"""Base of tasks over your own sequences, which it checks, splits, standardises and pads."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from study.interfaces import PARTS, Batch, TaskFacts, require
from study.machine.resources import memory
from study.records import StudyError
from study.tasks.shared import solved, splitting
from study.tasks.shared.arrays import Arrays
from study.tasks.shared.metric_names import check_fit, described, named, of_quantiles, with_targets
from study.tasks.shared.metrics import LOSS_OF_QUANTILES, METRICS, PINBALL, Metric
from study.tasks.shared.notes import of_columns, of_targets
from study.tasks.shared.own_settings import check_losses, check_split
from study.tasks.shared.parts import Division
from study.tasks.shared.reading import (
    Names,
    Read,
    check_finite,
    check_memory,
    check_numbers,
    check_rows,
    classes_of,
    too_large,
)
from study.tasks.shared.scaling import Scale, pieces, scale
from study.tasks.shared.scoring import Scoring, weights_of_classes
from study.tasks.shared.standardising import (
    check_scale,
    of_constants,
    of_far_values,
    padded,
    target_scale,
)
from study.tasks.shared.windows import Spans, Windows, hash_of, of_part

__all__ = ["Names", "Read", "Series"]  # what tasks need


class Series(Arrays):
    """Classification or regression at the last valid step.

    Classification has cross-entropy and accuracy, regression the mean squared error of the
    standardised target. Inputs are standardised by channel, over the valid steps of the training
    examples; a channel that is constant there is 0 in all parts. `validation` and `test` are shares
    (test None: `read` sets `parts`). `split`: stratified (drawn with `split_seed`, classes in equal
    shares; at random for regression), time (in file order, the last ones are the test set; once
    called chronological), group or file (`read` sets `groups` or `parts`). Where `read` sets
    `groups`, no split divides one. `lag`: in steps, null for all of them; `solved`: in the metric's
    units. After `load`, `warnings` has what the plan and the page must say of the data.
    """

    choices: tuple[str, ...] = ("window", "missing")  # TaskFacts.choices
    target_names: tuple[str, ...] = ()  # of several targets, by which metrics are seen too
    windows: Mapping[str, Windows] | None = None  # by part, where examples are views
    later: Mapping[str, Any] = {"metrics": None, "class_weights": None, "quantiles": None}

    def __init__(
        self,
        *,
        kind: Literal["classification", "regression"],
        split: Literal["time", "stratified", "group", "file", "chronological"],
        validation: float,
        test: float | None,
        split_seed: int,
        lag: int | None,
        solved: float | None,
        metrics: Sequence[str] | None,
        class_weights: Literal["balanced"] | Mapping[str, float] | None,
        quantiles: Sequence[float] | None,
    ) -> None:
        name = type(self).__name__.lower()
        require(
            kind in ("classification", "regression"),
            name,
            "kind",
            "classification or regression",
            kind,
        )
        shares = {"validation": validation, "test": test}
        self.shares = check_split(name, split, shares, split_seed)
        require(lag is None or lag > 0, name, "lag", "greater than 0 or null", lag)
        require(solved is None or solved > 0, name, "solved", "greater than 0 or null", solved)
        check_losses(name, kind, class_weights, quantiles)
        self.kind, self.how, self.split_seed = kind, split, split_seed
        self.division = Division(split, self.shares, split_seed, kind == "classification")
        self.lag, self.solved, self.class_weights = lag, solved, class_weights
        self.quantiles = None if quantiles is None else tuple(map(float, quantiles))
        usual = [PINBALL] if quantiles is not None else ["mse"] if self.target_names else None
        asked = usual if metrics is None else metrics
        self.metrics: tuple[Metric, ...] = ()
        if asked is not None:
            self.metrics = named(asked, kind, self.quantiles, name, self.target_names)
        self.warnings: list[str] = []

    @abstractmethod
    def read(self) -> Read:
        """The data; StudyError that says what is wrong with them, and where."""

    def load(self) -> None:
        data = self.read()
        self.warnings = list(data.warnings)
        if self.how == "chronological":
            self.warnings.append("task.split: chronological is now called time, and means the same")
        if data.windows is not None:
            self._load_windows(data, data.windows)
            return
        if not len(data.sequences):
            raise StudyError(f"task: {data.source} holds no sequence")
        self.lengths = np.array([len(sequence) for sequence in data.sequences])
        self.steps = int(self.lengths.max())
        check_memory(data, self.lengths, memory())
        check_finite(data, self.lengths)
        if self.kind == "regression":
            check_numbers(data)
        self.classes = classes_of(data) if self.kind == "classification" else []
        parts = self.divide(data)
        self.division.check(data, parts)
        self.warnings += self.division.warnings
        if self.classes:
            self.warnings += splitting.missing_classes(parts, data.targets, self.classes)
        self._set_scale(data, scale(pieces(data.sequences, self.lengths, parts["train"])))
        x, warnings = padded(data, self.lengths, self.scale, parts)
        self.warnings += warnings
        y = self._targets(data, parts["train"])
        lengths = torch.from_numpy(self.lengths) if len(set(self.lengths.tolist())) > 1 else None
        self.parts = {
            part: Batch(x[part], y[index], None if lengths is None else lengths[index])
            for part, index in parts.items()
        }
        self.warnings += of_far_values(data, self.parts)
        self.data = replace(data, sequences=())  # what is trained on are `parts`
        self._set_scoring()

    def _load_windows(self, data: Read, spans: Spans) -> None:
        """Windows as views: trained on all of them, evaluated on some."""
        self.steps, self.lengths, self.classes = spans.window, np.array([spans.window]), []
        self.data, counts = replace(data, windows=None), {p: spans.count(p) for p in PARTS}
        rows = sum(map(len, spans.series))
        need = 4.0 * rows * spans.series[0].shape[1]
        if need > memory():
            raise StudyError(too_large(data, memory(), f"{rows} rows are {need / 1e9:.0f} GB"))
        for name, values in zip(spans.names, spans.series, strict=True):
            check_rows(data, name.strip(" ,") or "the series", values)
        found = scale(spans.pieces())
        targets = target_scale(data, spans.targets("train"), self.target_names)
        self.target_mean, self.target_deviation = targets
        for place in np.flatnonzero(found.constant[-spans.outputs :]):
            # also if the rows behind the last windows differ
            name = f" {self.target_names[place]}" if self.target_names else ""
            raise StudyError(
                f"task: {data.source}: the target{name} is the same number in all training windows,"
                f" {found.mean[place - spans.outputs]:.6g}; there is nothing to predict from"
            )
        self._set_scale(data, found)
        rows_read, moved = spans.standardised(found)
        self.warnings += of_constants(data, found, {"other rows": moved})
        self.windows = {part: of_part(spans, part, rows_read, found, targets) for part in PARTS}
        self.parts = {
            part: self.windows[part].batch(torch.from_numpy(spans.evaluated(part)))
            for part in PARTS
        }
        for part in PARTS[1:]:
            if len(self.parts[part].x) < counts[part]:
                self.warnings.append(
                    f"{part} is measured on {len(self.parts[part].x):,} of its {counts[part]:,}"
                    " windows, evenly spaced"
                )
        self.warnings += of_far_values(data, self.parts)
        self._set_scoring()

    def sample(self, stream: Callable[..., torch.Generator], update: int, batch: int) -> Batch:
        """As of all fixed data; where windows are views, each is drawn from all of them."""
        if self.windows is None:
            return super().sample(stream, update, batch)
        train = self.windows["train"]
        return train.batch(torch.randint(len(train), (batch,), generator=stream(update)))

    def _hash(self) -> str:
        return super()._hash() if self.windows is None else hash_of(self.windows)

    def divide(self, data: Read) -> dict[str, np.ndarray]:
        """The examples of each part, before anything but targets, groups and parts is known."""
        self.division = replace(self.division, warnings=[])
        return self.division(data)

    def _set_scale(self, data: Read, found: Scale) -> None:
        self.scale, self.mean, self.deviation = found, found.mean, found.deviation
        check_scale(data, found, one_length=len(set(self.lengths.tolist())) == 1)

    def _targets(self, data: Read, train: np.ndarray) -> Tensor:
        if self.kind == "classification":
            number = {name: place for place, name in enumerate(self.classes)}
            return torch.tensor([number[name] for name in data.targets.tolist()])
        y = data.targets.astype(np.float64).reshape(len(data.targets), -1)
        self.target_mean, self.target_deviation = target_scale(data, y[train], self.target_names)
        return torch.from_numpy((y - self.target_mean) / self.target_deviation).float()

    # --- facts ------------------------------------------------------------------------------------

    @property
    def facts(self) -> TaskFacts:
        share = (
            {
                name: float((errors / self.target_deviation**2).mean())
                for name, errors in self.data.rules.items()
            }
            if self.kind == "regression"
            else {}
        )
        train, validation = self.parts["train"], self.parts["validation"]
        baseline_loss, baseline = self.scoring.baseline(train.y, validation.y, share)
        rules = (
            f"; {', '.join(f'{name} {error:.3g}' for name, error in share.items())}"
            if share
            else ""
        )
        counts = [
            str(len(self.parts[part].x if self.windows is None else self.windows[part]))
            for part in PARTS
        ]
        usual = METRICS["accuracy" if self.kind == "classification" else "mse"]
        measured = [
            described(
                one,
                self.guesses[one.name],
                targets=len(self.scoring.mean),
                named=bool(self.target_names),
            )
            for one in self.scoring.metrics
        ]
        first = next(iter(self.scoring.metrics), usual)
        baseline = self.guesses.get(first.name, baseline)
        rule, warnings = solved.rule(
            first, baseline, self.parts, asked=self.solved, forecast=bool(share)
        )
        return TaskFacts(
            inputs=train.x.shape[-1],
            outputs=len(self.classes) or train.y.shape[-1] * len(self.quantiles or (1,)),
            steps=self.steps,
            lag=self.lag if self.lag is not None else self.steps,
            every_step=False,
            loss=self._loss_name(),
            metric=measured[0]["text"] if measured else usual.text,
            higher_is_better=bool((self.metrics or (usual,))[0].higher_is_better),
            baseline_loss=baseline_loss,
            baseline=baseline,
            solved=rule,
            split=f"{self.division.describe(self.data)} {'/'.join(counts)}{rules}",
            source=self.data.source,
            licence=self.data.licence,
            choices=self.choices,
            notes=[
                *of_columns(self.data.columns, self.data.left_out),
                *of_targets(self.target_names, self._naive_errors()),
                *self.data.notes,
            ],
            warnings=(*self.warnings, *warnings),
            metrics=measured,
        )

    def signature(self) -> dict[str, Any]:
        taken = {
            "kind": "numbers",
            "columns": list(self.data.columns),
            "mean": self.mean.tolist(),
            "deviation": self.deviation.tolist(),
            "steps": self.steps,
            "varying": self.parts["train"].lengths is not None,
        }
        if self.kind == "classification":
            names = [_text(name) for name in self.classes]
            return {"input": taken, "output": {"kind": "classes", "classes": names}}
        return {
            "input": taken,
            "output": {
                "kind": "numbers",
                "mean": self.target_mean.repeat(len(self.quantiles or (1,))).tolist(),
                "deviation": self.target_deviation.repeat(len(self.quantiles or (1,))).tolist(),
                **({} if self.quantiles is None else {"quantiles": list(self.quantiles)}),
            },
        }

    def _naive_errors(self) -> dict[str, np.ndarray]:
        """Standardised squared errors [O] on validation of rules without training."""
        if self.kind == "classification":
            return {}
        constant = self.parts["validation"].y.double().square().mean(0).numpy()
        rules = {
            name: errors / self.target_deviation**2 for name, errors in self.data.rules.items()
        }
        return {"constant": constant, **rules}

    def _loss_name(self) -> str:
        if self.kind == "classification":
            return "cross-entropy, nats" + (
                "" if self.class_weights is None else ", by class weights"
            )
        return METRICS["mse"].text if self.quantiles is None else LOSS_OF_QUANTILES

    # --- losses -----------------------------------------------------------------------------------

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        return self.step_loss(outputs, batch, batch.y).mean(1)

    def step_loss(self, outputs: Tensor, batch: Batch, anchor: Tensor) -> Tensor:
        return self.scoring.losses(outputs, batch.y)

    def metric(self, outputs: Tensor, batch: Batch) -> Tensor:
        """The score by example, or the usual metric where the score is one of a whole split."""
        first = next(iter(self.metrics), None)
        if first is None or first.by_example is None:
            first = METRICS["accuracy"] if self.kind == "classification" else METRICS["mse"]
            if self.quantiles is not None:
                (first,) = named([PINBALL], self.kind, self.quantiles, "task", ())
        return self.scoring.by_example(first, outputs, batch.y)

    def over_split(
        self, outputs: Tensor, batch: Batch, names: Sequence[str]
    ) -> Mapping[str, Tensor]:
        asked = [one for one in self.scoring.metrics if one.name in names]
        return self.scoring.over_split(asked, outputs, batch.y.to(outputs.device))

    def _set_scoring(self) -> None:
        """How outputs are scored; StudyError where the data do not allow what was asked for."""
        measured = (*self.metrics, *(of_quantiles(self.quantiles) if self.quantiles else ()))
        measured = with_targets(measured, self.target_names)
        classes = self.kind == "classification"
        naive = np.zeros(1) if self.data.naive is None else self.data.naive
        present = all(
            len(self.parts[part].y.unique()) == len(self.classes) for part in PARTS[1:] if classes
        )
        fits = {"every class": present, "levels": self.data.levels, "a forecast": bool(naive.all())}
        check_fit(measured, fits, len(self.classes))
        weights = None
        if self.class_weights is not None:
            names = [str(_text(name)) for name in self.classes]
            train = self.parts["train"].y
            weights = weights_of_classes(self.class_weights, names, train, self.data.source)
        self.scoring = Scoring(
            kind=self.kind,
            classes=len(self.classes),
            metrics=measured,
            weights=weights,
            quantiles=self.quantiles,
            mean=np.zeros(1) if classes else self.target_mean,
            deviation=np.ones(1) if classes else self.target_deviation,
            naive=naive,
        )
        self.guesses = self.scoring.best_guesses(
            self.parts["train"].y, self.parts["validation"].y, self.data.guessed
        )


def _text(name: Any) -> Any:
    return name.decode() if isinstance(name, bytes) else name
