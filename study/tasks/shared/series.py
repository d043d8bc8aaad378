"""Base of tasks over your own sequences, which it checks, splits, standardises and pads."""

from __future__ import annotations

import itertools
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
from study.tasks.shared.metrics import (
    LOSS_OF_QUANTILES,
    METRICS,
    NEEDS,
    PINBALL,
    TOP,
    described,
    named,
    of_quantiles,
)
from study.tasks.shared.notes import of_columns
from study.tasks.shared.reading import (
    Names,
    Read,
    check_finite,
    check_numbers,
    check_rows,
    classes_of,
    labels_of,
    part_names,
)
from study.tasks.shared.scaling import SAME, Scale, chunks, pieces, scale, stacked
from study.tasks.shared.scoring import Scoring
from study.tasks.shared.windows import Spans, Windows, hash_of, of_part

__all__ = ["Names", "Read", "Series", "part_names", "split_groups"]  # what tasks need

MIN_EXAMPLES = 2  # per part
SPLITS = ("time", "stratified", "group", "file")
NAMED = 5  # channels named in one sentence
WHAT_FOLLOWS = ": scores there do not show whether the sequence is read"
NO_RULE = (
    "there is no rule for solved: on validation a guess that does not read the sequence is perfect;"
    " no network counts as solved, and stop.solved_checks ends none early"
)
FAR = 1000  # training deviations from the mean beyond which values are reported


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
        require(
            split in (*SPLITS, "chronological"),
            name,
            "split",
            "time, stratified, group or file",
            split,
        )
        require(test is not None or split == "file", name, "test", "a share, or split=file", test)
        self.shares = {"validation": validation} | ({} if test is None else {"test": test})
        for key, share in self.shares.items():
            require(
                isinstance(share, int | float) and 0 < share < 1,
                name,
                key,
                "a share above 0 and below 1",
                share,
            )
        require(
            sum(self.shares.values()) < 1,
            name,
            "test",
            f"a share below {1 - validation:g}, what validation leaves",
            test,
        )
        require(lag is None or lag > 0, name, "lag", "greater than 0 or null", lag)
        require(solved is None or solved > 0, name, "solved", "greater than 0 or null", solved)
        require(
            0 <= split_seed < 2**32, name, "split_seed", "at least 0 and below 2^32", split_seed
        )
        self.kind, self.how, self.split_seed = kind, split, split_seed
        self.lag, self.solved = lag, solved
        self._set_metrics(name, metrics, class_weights, quantiles)
        self.warnings: list[str] = []

    def _set_metrics(
        self,
        name: str,
        metrics: Sequence[str] | None,
        class_weights: Literal["balanced"] | Mapping[str, float] | None,
        quantiles: Sequence[float] | None,
    ) -> None:
        require(
            quantiles is None
            or (
                self.kind == "regression"
                and len(quantiles) > 0
                and all(0 < one < 1 for one in quantiles)
                and all(one < other for one, other in itertools.pairwise(quantiles))
            ),
            name,
            "quantiles",
            "a rising list of numbers between 0 and 1, for numbers and not for classes, or null",
            quantiles if quantiles is None else list(quantiles),
        )
        require(
            class_weights is None or self.kind == "classification",
            name,
            "class_weights",
            "null for task.kind=regression",
            class_weights,
        )
        if isinstance(class_weights, Mapping):
            require(
                bool(class_weights) and all(weight > 0 for weight in class_weights.values()),
                name,
                "class_weights",
                "balanced, or a weight above 0 by class",
                dict(class_weights),
            )
        self.quantiles = None if quantiles is None else tuple(map(float, quantiles))
        self.class_weights = class_weights
        asked = [PINBALL] if metrics is None and quantiles is not None else metrics
        self.metrics = () if asked is None else named(asked, self.kind, self.quantiles, name)

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
        self._check_memory(data)
        check_finite(data, self.lengths)
        if self.kind == "regression":
            check_numbers(data)
        self.classes = classes_of(data) if self.kind == "classification" else []
        parts = self._split(data)
        for part, index in parts.items():
            if len(index) < MIN_EXAMPLES:
                raise StudyError(
                    f"task: {data.source} cannot be split into {', '.join(PARTS)}:"
                    f" {_counted(len(index))} of {len(data.sequences)} would be left to {part}, and"
                    f" at least {MIN_EXAMPLES} are needed{self._help(data)}"
                )
        if self.classes:
            self.warnings += splitting.missing_classes(parts, data.targets, self.classes)
            present = set(data.targets[parts["train"]].tolist())
            if len(present) < 2:
                raise StudyError(
                    f"task: all training examples of {data.source} are of the class"
                    f" {min(present)!r}; task.split=stratified draws them from all classes"
                )
        self._scale(data, scale(pieces(data.sequences, self.lengths, parts["train"])))
        x, y = self._padded(data, parts), self._targets(data, parts["train"])
        lengths = torch.from_numpy(self.lengths) if len(set(self.lengths.tolist())) > 1 else None
        self.parts = {
            part: Batch(x[part], y[index], None if lengths is None else lengths[index])
            for part, index in parts.items()
        }
        self._warn_of_far_values(data)
        self.data = replace(data, sequences=())  # what is trained on are `parts`
        self._set_scoring()

    def _load_windows(self, data: Read, spans: Spans) -> None:
        """Windows as views: trained on all of them, evaluated on some."""
        self.steps, self.lengths, self.classes = spans.window, np.array([spans.window]), []
        self.data, counts = replace(data, windows=None), {p: spans.count(p) for p in PARTS}
        rows = sum(map(len, spans.series))
        need = 4.0 * rows * spans.series[0].shape[1]
        if need > memory():
            raise StudyError(self._too_large(data, f"{rows} rows are {need / 1e9:.0f} GB"))
        for name, values in zip(spans.names, spans.series, strict=True):
            check_rows(data, name.strip(" ,") or "the series", values)
        found = scale(spans.pieces())
        self._scale_targets(data, spans.targets("train")[:, None])
        if found.constant[-1]:  # also if the rows behind the last windows differ
            raise StudyError(
                f"task: {data.source}: the target is the same number in all training windows,"
                f" {found.mean[-1]:.6g}; there is nothing to predict from"
            )
        self._scale(data, found)
        rows_read, moved = spans.standardised(found)
        self._warn_of_constants(data, {"other rows": moved})
        target = (float(self.target_mean[0]), float(self.target_deviation[0]))
        self.windows = {part: of_part(spans, part, rows_read, found, target) for part in PARTS}
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
        self._warn_of_far_values(data)
        self._set_scoring()

    def sample(self, stream: Callable[..., torch.Generator], update: int, batch: int) -> Batch:
        """As of all fixed data; where windows are views, each is drawn from all of them."""
        if self.windows is None:
            return super().sample(stream, update, batch)
        train = self.windows["train"]
        return train.batch(torch.randint(len(train), (batch,), generator=stream(update)))

    def _hash(self) -> str:
        return super()._hash() if self.windows is None else hash_of(self.windows)

    # --- checks -----------------------------------------------------------------------------------

    def _check_memory(self, data: Read) -> None:
        longest = int(self.lengths.argmax())
        need = 4.0 * len(data.sequences) * self.steps * data.sequences[longest].shape[1]
        if need > memory():
            raise StudyError(
                self._too_large(
                    data,
                    f"{data.names[longest]} has {self.steps} steps, and {len(data.sequences)}"
                    f" sequences padded to that are {need / 1e9:.0f} GB; cut long sequences into"
                    " pieces",
                )
            )

    def _too_large(self, data: Read, problem: str) -> str:
        return (
            f"task: {data.source} does not fit the memory of this machine, {memory() / 1e9:.0f} GB:"
            f" {problem}"
        )

    # --- splitting --------------------------------------------------------------------------------

    def _split(self, data: Read) -> dict[str, np.ndarray]:
        strata = data.targets if self.kind == "classification" else None
        if data.parts is not None:
            return self._split_by_file(data, strata)
        if self.how == "file":
            raise StudyError(
                f"task.split: file needs the part of each example, and {data.source} has none"
            )
        count = len(data.targets)  # sources may ask for the split before they have sequences
        if data.groups is not None:
            parts = split_groups(
                data.groups,
                self.shares,
                how=self.how,
                seed=self.split_seed,
                strata=strata,
                source=data.source,
            )
            self.warnings += splitting.sizes_off(_sizes(parts), self.shares, "whole groups")
            return parts
        if self.how == "group":
            raise StudyError(
                f"task.split: group needs the group of each example, and {data.source} has none"
            )
        counts = {part: max(1, round(share * count)) for part, share in self.shares.items()}
        if self.how != "stratified":
            last = count - counts["test"]
            everyone = np.arange(count)
            return {
                "train": everyone[: max(last - counts["validation"], 0)],
                "validation": everyone[max(last - counts["validation"], 0) : last],
                "test": everyone[last:],
            }
        try:
            return splitting.at_random(counts, strata, self.split_seed, count)
        except ValueError:  # a class is too small for that
            return self._spread(count, self.shares, strata)

    def _split_by_file(self, data: Read, strata: np.ndarray | None) -> dict[str, np.ndarray]:
        parts: dict[str, np.ndarray]
        if isinstance(data.parts, np.ndarray):
            of = part_names(data.parts, data.names)
            parts = {part: np.flatnonzero(of == part) for part in PARTS}
        else:
            parts = {part: np.asarray(index) for part, index in (data.parts or {}).items()}
        if not all(len(parts.get(part, ())) for part in ("train", "test")):
            raise StudyError(f"task.split: {data.source} must give examples to train and to test")
        for part, index in parts.items():
            if 0 < len(index) < MIN_EXAMPLES:
                raise StudyError(
                    f"task.split: {data.source} gives {_counted(len(index))} to {part}; at least"
                    f" {MIN_EXAMPLES} are needed"
                )
        if data.groups is not None:
            self._check_groups(data, parts)
        if len(parts.get("validation", ())):
            return {part: parts[part] for part in PARTS}
        others, share = parts["train"], {"validation": self.shares["validation"]}
        inside = None if strata is None else strata[others]
        if data.groups is not None:
            drawn = splitting.spread(
                share, labels_of(data.groups[others]), inside, self.split_seed, fill=True
            )
        else:
            try:
                drawn = splitting.at_random(share, inside, self.split_seed, len(others))
            except ValueError:
                drawn = self._spread(len(others), share, inside)
        return {part: others[index] for part, index in drawn.items()} | {"test": parts["test"]}

    def _spread(
        self, count: int, shares: Mapping[str, float], strata: np.ndarray | None
    ) -> dict[str, np.ndarray]:
        """Examples of classes that are too small to be in every part, training ones first."""
        parts = splitting.spread(shares, np.arange(count), strata, self.split_seed, fill=False)
        self.warnings += splitting.sizes_off(_sizes(parts), shares, "classes of few examples")
        return parts

    def _check_groups(self, data: Read, parts: Mapping[str, np.ndarray]) -> None:
        """Check that the file's own parts divide no group."""
        groups = labels_of(np.asarray(data.groups))
        for one, other in itertools.combinations(parts, 2):
            both = np.intersect1d(groups[parts[one]], groups[parts[other]])
            if len(both):
                raise StudyError(
                    f"task.split: {data.source} has examples of the group {both[0].item()!r} in"
                    f" {one} and in {other}"
                )

    def _help(self, data: Read) -> str:
        """What to do about a part without examples."""
        if data.parts is not None and self.kind == "classification":
            return (
                "; classes of one training example cannot be held out: with task.split=stratified"
                " and task.test, all parts are drawn from all examples"
            )
        if data.groups is not None:
            return "; there are too few groups"
        if self.kind == "classification":
            least, count = min(
                zip(*np.unique(data.targets, return_counts=True), strict=True),
                key=lambda pair: int(pair[1]),
            )
            return (
                f"; the smallest class, {str(least)!r}, has {count} examples; larger"
                " task.validation and task.test may help"
            )
        return "; larger task.validation and task.test may help"

    # --- standardising ----------------------------------------------------------------------------

    def _scale(self, data: Read, found: Scale) -> None:
        self.scale, self.mean, self.deviation = found, found.mean, found.deviation
        wrong = ~(np.isfinite(self.mean) & np.isfinite(self.deviation) & (self.deviation > 0))
        if wrong.any():
            raise StudyError(
                f"task: {data.source}: values of {self._channels(data, wrong)} are too large or"
                " too small to compute their mean and deviation; change their unit"
            )
        if found.constant.all() and len(set(self.lengths.tolist())) == 1:
            raise StudyError(
                f"task: {data.source}: {self._channels(data, found.constant)}: constant in"
                " training; there is nothing to learn from"
            )

    def _padded(self, data: Read, parts: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
        """[N, T, D] of each part, standardised; padding is 0, the mean."""
        width, x, moved = len(self.mean), {}, {}
        for part, index in parts.items():
            x[part] = np.zeros((len(index), self.steps, width), np.float32)
            moved[part] = np.zeros(width, bool)
            for chunk in chunks(self.lengths[index], width):
                steps = stacked(data.sequences, index[chunk])
                moved[part] |= self.scale.moved(steps)
                if isinstance(data.sequences, np.ndarray):
                    x[part][chunk] = self.scale(steps).reshape(len(chunk), -1, width)
                    continue
                ends = np.cumsum(self.lengths[index[chunk]])[:-1]
                for row, scaled in zip(chunk, np.split(self.scale(steps), ends), strict=True):
                    x[part][row, : len(scaled)] = scaled
        self._warn_of_constants(data, moved)
        return {part: torch.from_numpy(values) for part, values in x.items()}

    def _targets(self, data: Read, train: np.ndarray) -> Tensor:
        if self.kind == "classification":
            number = {name: place for place, name in enumerate(self.classes)}
            return torch.tensor([number[name] for name in data.targets.tolist()])
        y = data.targets.astype(np.float64).reshape(len(data.targets), -1)
        self._scale_targets(data, y[train])
        return torch.from_numpy((y - self.target_mean) / self.target_deviation).float()

    def _scale_targets(self, data: Read, y: np.ndarray) -> None:
        self.target_mean, self.target_deviation = y.mean(0), y.std(0)
        low, high = y.min(0), y.max(0)
        same = high - low <= SAME * np.maximum(np.abs(low), np.abs(high))
        if same.any():
            which = "the target" if len(same) == 1 else f"target {int(same.argmax())} (from 0)"
            raise StudyError(
                f"task: {data.source}: {which} is the same number in all training examples,"
                f" {low[int(same.argmax())]:.6g}; there is nothing to predict"
            )

    def _warn_of_constants(self, data: Read, moved: Mapping[str, np.ndarray]) -> None:
        """moved: by part, the constant channels that have another value there."""
        still = self.scale.constant.copy()
        for part, channels in moved.items():
            if channels.any():
                self.warnings.append(
                    f"{self._channels(data, channels)}: constant in training and not in {part};"
                    " what cannot be scaled is read as 0 in all parts"
                )
                still &= ~channels
        if still.any():
            self.warnings.append(f"{self._channels(data, still)}: constant in training, read as 0")

    def _warn_of_far_values(self, data: Read) -> None:
        most = {}
        for part, of in self.parts.items():
            flat = of.x.flatten(0, 1)
            most[part] = torch.maximum(flat.amax(0), -flat.amin(0)).double().numpy()
        for part in PARTS[1:]:
            far = (most[part] > FAR) & (most[part] > 10 * most["train"])
            if far.any():
                self.warnings.append(
                    f"{self._channels(data, far)}: values in {part} lie up to"
                    f" {most[part].max():.2g} training deviations from the training mean"
                )

    def _channels(self, data: Read, which: np.ndarray) -> str:
        numbers = np.flatnonzero(which)
        names = [
            repr(data.columns[number]) if len(data.columns) == len(which) else str(number)
            for number in numbers[:NAMED]
        ]
        more = f" and {len(numbers) - NAMED} more" if len(numbers) > NAMED else ""
        unit = "channel" if len(numbers) == 1 else "channels"
        counted = "" if len(data.columns) == len(which) else " (from 0)"
        return f"{unit} {', '.join(names)}{more}{counted}"

    # --- facts ------------------------------------------------------------------------------------

    @property
    def facts(self) -> TaskFacts:
        train = self.parts["train"]
        share = (
            {
                name: float(error / (self.target_deviation**2).mean())
                for name, error in self.data.rules.items()
            }
            if self.kind == "regression"
            else {}
        )
        baseline_loss, baseline = self._baseline(share)
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
            described(one, self.guesses[one.name], targets=len(self.scoring.mean))
            for one in self.scoring.metrics
        ]
        rule, warnings = self._solved_from(baseline, forecast=bool(share))
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
            split=f"{self.data.split or self._split_name()} {'/'.join(counts)}{rules}",
            source=self.data.source,
            licence=self.data.licence,
            choices=self.choices,
            notes=[*of_columns(self.data.columns, self.data.left_out), *self.data.notes],
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

    def _loss_name(self) -> str:
        if self.kind == "classification":
            return "cross-entropy, nats" + (
                "" if self.class_weights is None else ", by class weights"
            )
        return METRICS["mse"].text if self.quantiles is None else LOSS_OF_QUANTILES

    def _baseline(self, share: Mapping[str, float]) -> tuple[float, float]:
        """(loss, score) of the best guess that ignores the sequence. share: errors of rules."""
        train, validation = self.parts["train"], self.parts["validation"]
        if self.kind == "classification":
            shares = torch.bincount(train.y, minlength=len(self.classes)) / len(train.y)
            score = float(shares.max())
            if self.scoring.weights is not None:  # their mean over training examples is 1
                shares = shares * self.scoring.weights.float()
            loss = float(-(shares * shares.clamp(min=1e-12).log()).sum())
        else:
            loss = solved.perfect_or(float(validation.y.square().mean()), 0.0)  # the mean is 0
            score = min([loss, *(solved.perfect_or(error, 0.0) for error in share.values())])
            if self.quantiles is not None:
                constant = self.scoring.constant(train.y).expand(len(validation.y), -1)
                loss = float(self.scoring.losses(constant, validation.y).mean())
        first = next(iter(self.scoring.metrics), None)
        return loss, score if first is None else self.guesses[first.name]

    def _guesses(self) -> dict[str, float]:
        """Of each metric the best value on validation of rules without training."""
        train, validation = self.parts["train"].y, self.parts["validation"].y
        if not self.scoring.metrics:
            return {}
        constant = self.scoring.constant(train).expand(len(validation), -1)
        outputs = [constant, *(self.scoring.rule(of, train) for of in self.data.guessed.values())]
        found = self.scoring.over_split(self.scoring.metrics, torch.stack(outputs), validation)
        return {
            one.name: float(values[0])
            if one.higher_is_better is None
            else float(values.max() if one.higher_is_better else values.min())
            for one, values in zip(self.scoring.metrics, found.values(), strict=True)
        }

    def _solved_from(self, baseline: float, *, forecast: bool) -> tuple[float | None, list[str]]:
        """(the rule for solved, what to say of it). `baseline`: score of the best guess."""
        same = self._same_targets()
        warnings = [f"all targets of {part} are the same{WHAT_FOLLOWS}" for part in same]
        usual = METRICS["accuracy" if self.kind == "classification" else "mse"]
        first = next(iter(self.scoring.metrics), usual)
        guess, higher = baseline, bool(first.higher_is_better)
        if first.name == "accuracy":
            y = self.parts["validation"].y
            guess = float(torch.bincount(y).max()) / len(y)  # the best constant
            rule = solved.accuracy(guess)
        else:
            usual_share = solved.ERROR if first.name == "mse" else solved.HALFWAY
            share = solved.BEATS if forecast else usual_share
            rule = solved.between(guess, first.perfect, share)
        rule = None if "validation" in same else rule
        if self.solved is None:
            if rule is None:
                warnings.append(NO_RULE)
            return rule, warnings
        if solved.meets(guess, self.solved, higher_is_better=higher):
            warnings.append(
                f"task.solved={self.solved:g} is met without reading the sequence: the best guess"
                f" scores {guess:.4g} on validation"
            )
        if not solved.meets(first.perfect, self.solved, higher_is_better=higher):
            warnings.append(
                f"task.solved={self.solved:g} cannot be met: a perfect score is {first.perfect:g}"
            )
        return self.solved, warnings

    def _same_targets(self) -> list[str]:
        """Validation and test, where all their targets are one."""
        return [part for part in PARTS[1:] if bool((y := self.parts[part].y).eq(y[0]).all())]

    def _split_name(self) -> str:
        if self.data.parts is not None:
            return "as the file says,"
        if self.how in ("time", "chronological"):
            groups = "" if self.data.groups is None else ", whole groups"
            return ("by time" if self.how == "time" else self.how) + groups
        kind = "stratified" if self.kind == "classification" else "random"
        by = "" if self.data.groups is None else "by group, "
        return f"{by}{kind}, seed {self.split_seed},"

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
                (first,) = named([PINBALL], self.kind, self.quantiles, "task")
        return self.scoring.by_example(first, outputs, batch.y)

    def over_split(
        self, outputs: Tensor, batch: Batch, names: Sequence[str]
    ) -> Mapping[str, Tensor]:
        asked = [one for one in self.scoring.metrics if one.name in names]
        return self.scoring.over_split(asked, outputs, batch.y.to(outputs.device))

    def _set_scoring(self) -> None:
        """How outputs are scored; StudyError where the data do not allow what was asked for."""
        measured = (*self.metrics, *(of_quantiles(self.quantiles) if self.quantiles else ()))
        classes = self.kind == "classification"
        naive = np.zeros(1) if self.data.naive is None else self.data.naive
        present = all(
            len(self.parts[part].y.unique()) == len(self.classes) for part in PARTS[1:] if classes
        )
        fits = {"every class": present, "levels": self.data.levels, "a forecast": naive.all()}
        for one in measured:
            for need in one.needs:
                if not fits[need]:
                    raise StudyError(f"task.metrics: {one.name} {NEEDS[need]}")
            if one.name.startswith(TOP) and int(one.name.removeprefix(TOP)) >= len(self.classes):
                raise StudyError(
                    f"task.metrics: {one.name} is 1 whatever the answer: there are"
                    f" {len(self.classes)} classes"
                )
        self.scoring = Scoring(
            kind=self.kind,
            classes=len(self.classes),
            metrics=measured,
            weights=self._class_weights() if self.class_weights is not None else None,
            quantiles=self.quantiles,
            mean=np.zeros(1) if classes else self.target_mean,
            deviation=np.ones(1) if classes else self.target_deviation,
            naive=naive,
        )
        self.guesses = self._guesses()

    def _class_weights(self) -> Tensor:
        """[C], with mean 1 over the training examples."""
        counts = torch.bincount(self.parts["train"].y, minlength=len(self.classes)).double()
        if self.class_weights == "balanced":
            weights = counts.clamp(min=1).reciprocal()
        else:
            assert isinstance(self.class_weights, Mapping)
            given = {str(name): float(weight) for name, weight in self.class_weights.items()}
            names = [str(_text(name)) for name in self.classes]
            wrong = next((name for name in given if name not in names), None)
            lacking = next((name for name in names if name not in given), None)
            if wrong is not None or lacking is not None:
                problem = f"no class {wrong!r}" if wrong is not None else f"a class {lacking!r} too"
                raise StudyError(
                    f"task.class_weights: {self.data.source} has {problem}; its classes are"
                    f" {', '.join(names)}"
                )
            weights = torch.tensor([given[name] for name in names], dtype=torch.float64)
        return weights * (counts.sum() / (weights * counts).sum())


# --- helpers --------------------------------------------------------------------------------------


def split_groups(
    groups: np.ndarray,
    shares: Mapping[str, float],
    *,
    how: str,
    seed: int,
    source: str,
    strata: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Parts of whole groups, in their order if `how` is time, else drawn; StudyError if too few.

    groups, strata: [N], the group and the class of each example. weights: [N], None for 1 each.
    """
    labels = labels_of(groups)
    if len(set(labels.tolist())) < len(PARTS):
        raise StudyError(
            f"task.group: {source} has {len(set(labels.tolist()))} groups; train, validation and"
            " test need one each"
        )
    if how in ("time", "chronological"):
        return splitting.by_time(
            shares, labels, np.ones(len(labels)) if weights is None else weights
        )
    return splitting.spread(shares, labels, strata, seed, weights=weights, fill=True)


def _text(name: Any) -> Any:
    return name.decode() if isinstance(name, bytes) else name


def _sizes(parts: Mapping[str, np.ndarray]) -> dict[str, float]:
    return {part: len(index) for part, index in parts.items()}


def _counted(count: int) -> str:
    return f"{count} example" + ("" if count == 1 else "s")
