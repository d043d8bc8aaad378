"""Base of tasks over your own sequences, which it checks, splits, standardises and pads."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from study.interfaces import PARTS, Batch, TaskFacts, require
from study.machine.resources import memory
from study.records import StudyError
from study.tasks.shared.arrays import Arrays
from study.tasks.shared.losses import correct, cross_entropy, squared_error

MIN_EXAMPLES = 2  # per class and part


@dataclass(frozen=True)
class Read:
    """The content of a data source.

    sequences: [T_i, D] each. targets: class names [N], or numbers [N] or [N, O]. names: the origin
    of each example, for messages ("series 7", "row 12"). parts, split: set by sources with a split
    of their own. rules: mean squared error, in the targets' units, of rules that need no training,
    by name. columns: the channels' names in order, empty if they have none. left_out: columns that
    are not read, each with the reason. warnings: sentences for the plan and the page. groups: [N],
    examples of one group stay in one part.
    """

    sequences: Sequence[np.ndarray]
    targets: np.ndarray
    names: Sequence[str]
    source: str
    licence: str
    parts: Mapping[str, np.ndarray] | None = None
    split: str = ""
    rules: Mapping[str, float] = field(default_factory=dict)
    columns: Sequence[str] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    warnings: Sequence[str] = ()
    groups: np.ndarray | None = None


class Series(Arrays):
    """Classification or regression at the last valid step.

    Classification has cross-entropy and accuracy, regression the mean squared error of the
    standardised target. Inputs are standardised by channel, over the valid steps of the training
    examples. `validation` and `test` are shares (test None: `read` sets `parts`). `split`:
    stratified (drawn with `split_seed`, classes in equal shares; at random for regression) or
    chronological (in file order, the last ones are the test set). `lag`: in steps, null for all of
    them; `solved`: in the metric's units.
    """

    choices: tuple[str, ...] = ("window", "missing")  # TaskFacts.choices

    def __init__(
        self,
        *,
        kind: Literal["classification", "regression"],
        split: Literal["stratified", "chronological"],
        validation: float,
        test: float | None,
        split_seed: int,
        lag: int | None,
        solved: float | None,
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
            split in ("stratified", "chronological"),
            name,
            "split",
            "stratified or chronological",
            split,
        )
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

    @abstractmethod
    def read(self) -> Read:
        """The data; StudyError that says what is wrong with them, and where."""

    def load(self) -> None:
        data = self.read()
        if not len(data.sequences):
            raise StudyError(f"task: {data.source} holds no sequence")
        self._check_finite(data)
        self.classes = sorted(set(data.targets.tolist())) if self.kind == "classification" else []
        if self.kind == "classification" and len(self.classes) < 2:
            raise StudyError(
                f"task: {data.source} has one class only ({self.classes[0]!r}); there is nothing to"
                " classify"
            )
        parts = self._split(data) if data.parts is None else dict(data.parts)
        for part, index in parts.items():
            if len(index) < MIN_EXAMPLES:
                raise StudyError(
                    f"task: {data.source} leaves {len(index)} examples to {part}, of"
                    f" {len(data.sequences)} in all; at least {MIN_EXAMPLES} are needed"
                )
        self.data, self.lengths = data, np.array([len(sequence) for sequence in data.sequences])
        x, self.steps = self._padded(data, parts["train"]), int(self.lengths.max())
        y = self._targets(data, parts["train"])
        lengths = torch.from_numpy(self.lengths) if len(set(self.lengths.tolist())) > 1 else None
        self.parts = {
            part: Batch(x[index], y[index], None if lengths is None else lengths[index])
            for part, index in parts.items()
        }

    # --- checks -----------------------------------------------------------------------------------

    def _check_finite(self, data: Read) -> None:
        widths = {sequence.shape[1] for sequence in data.sequences}
        if len(widths) > 1:
            raise StudyError(
                f"task: {data.source}: sequences have {' and '.join(map(str, sorted(widths)))}"
                " channels; all must have the same"
            )
        for name, sequence in zip(data.names, data.sequences, strict=True):
            if not len(sequence):
                raise StudyError(f"task: {data.source}: {name} has no steps")
            bad = np.argwhere(~np.isfinite(sequence))
            if len(bad):
                raise StudyError(
                    f"task: {data.source}: {name} has {sequence[tuple(bad[0])]} at step"
                    f" {bad[0][0]}, channel {bad[0][1]} (both from 0)"
                )
        if self.kind == "regression" and not np.isfinite(data.targets.astype(float)).all():
            first = int(np.argwhere(~np.isfinite(data.targets.astype(float)))[0][0])
            raise StudyError(
                f"task: {data.source}: the target of {data.names[first]} is {data.targets[first]}"
            )

    # --- splitting, standardising -----------------------------------------------------------------

    def _split(self, data: Read) -> dict[str, np.ndarray]:
        from sklearn.model_selection import train_test_split

        everyone = np.arange(len(data.sequences))
        counts = {part: max(1, round(share * len(everyone))) for part, share in self.shares.items()}
        if self.how == "chronological":
            last = len(everyone) - counts["test"]
            return {
                "train": everyone[: last - counts["validation"]],
                "validation": everyone[last - counts["validation"] : last],
                "test": everyone[last:],
            }
        strata = data.targets if self.kind == "classification" else None
        try:
            others, test = train_test_split(
                everyone, test_size=counts["test"], stratify=strata, random_state=self.split_seed
            )
            other_strata = None if strata is None else strata[others]
            train, validation = train_test_split(
                others,
                test_size=counts["validation"],
                stratify=other_strata,
                random_state=self.split_seed,
            )
        except ValueError as error:
            few = {str(name): int((data.targets == name).sum()) for name in self.classes}
            least = min(few, key=lambda name: few[name]) if few else ""
            hint = (
                f"; the smallest class, {least!r}, has {few[least]} of {len(everyone)} examples"
                if few
                else ""
            )
            raise StudyError(
                f"task: {data.source} cannot be split into {', '.join(PARTS)} ({error}){hint}"
            ) from error
        return {"train": train, "validation": validation, "test": test}

    def _padded(self, data: Read, train: np.ndarray) -> Tensor:
        """[N, T, D], standardised; padding is 0, the mean."""
        steps = np.concatenate([data.sequences[index] for index in train]).astype(np.float64)
        self.mean, deviation = steps.mean(0), steps.std(0)
        # constant channels become 0
        self.deviation = np.where(deviation > 0, deviation, 1.0)
        longest = int(self.lengths.argmax())
        need = 4.0 * len(data.sequences) * int(self.lengths[longest]) * steps.shape[1]
        if need > memory():
            problem = (
                f"{data.names[longest]} has {self.lengths[longest]} steps, and"
                f" {len(data.sequences)} sequences padded to that are {need / 1e9:.0f} GB"
            )
            raise StudyError(
                f"task: {data.source} does not fit the memory of this machine, {memory() / 1e9:.0f}"
                f" GB: {problem}; cut long sequences into pieces"
            )
        x = np.zeros((len(data.sequences), int(self.lengths[longest]), steps.shape[1]), np.float32)
        for row, sequence in zip(x, data.sequences, strict=True):
            row[: len(sequence)] = (sequence - self.mean) / self.deviation
        return torch.from_numpy(x)

    def _targets(self, data: Read, train: np.ndarray) -> Tensor:
        if self.kind == "classification":
            number = {name: place for place, name in enumerate(self.classes)}
            return torch.tensor([number[name] for name in data.targets.tolist()])
        y = data.targets.astype(np.float64).reshape(len(data.targets), -1)
        self.target_mean, deviation = y[train].mean(0), y[train].std(0)
        if not (deviation > 0).all():
            raise StudyError(
                f"task: {data.source}: the target is the same number in all training examples;"
                " there is nothing to predict"
            )
        self.target_deviation = deviation
        return torch.from_numpy((y - self.target_mean) / self.target_deviation).float()

    # --- facts ------------------------------------------------------------------------------------

    @property
    def facts(self) -> TaskFacts:
        train, validation = self.parts["train"], self.parts["validation"]
        share = (
            {
                name: float(error / (self.target_deviation**2).mean())
                for name, error in self.data.rules.items()
            }
            if self.kind == "regression"
            else {}
        )
        if self.kind == "classification":
            shares = torch.bincount(train.y, minlength=len(self.classes)) / len(train.y)
            baseline_loss, baseline = (
                float(-(shares * shares.clamp(min=1e-12).log()).sum()),
                float(shares.max()),
            )
            solved = 0.9 if self.solved is None else self.solved
        else:
            baseline_loss = float(validation.y.square().mean())  # the training mean is 0
            baseline = min([baseline_loss, *share.values()])
            solved = (baseline if share else 0.1 * baseline) if self.solved is None else self.solved
        rules = (
            f"; {', '.join(f'{name} {error:.3g}' for name, error in share.items())}"
            if share
            else ""
        )
        return TaskFacts(
            inputs=train.x.shape[-1],
            outputs=len(self.classes) if self.kind == "classification" else train.y.shape[-1],
            steps=self.steps,
            lag=self.lag if self.lag is not None else self.steps,
            every_step=False,
            loss=(
                "cross-entropy, nats"
                if self.kind == "classification"
                else "mean squared error, standardised"
            ),
            metric=(
                "accuracy" if self.kind == "classification" else "mean squared error, standardised"
            ),
            higher_is_better=self.kind == "classification",
            baseline_loss=baseline_loss,
            baseline=baseline,
            solved=solved,
            split=(
                f"{self.data.split or self._split_name()}"
                f" {'/'.join(str(len(self.parts[part].x)) for part in PARTS)}{rules}"
            ),
            source=self.data.source,
            licence=self.data.licence,
            choices=self.choices,
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
            names = [name.decode() if isinstance(name, bytes) else name for name in self.classes]
            return {"input": taken, "output": {"kind": "classes", "classes": names}}
        return {
            "input": taken,
            "output": {
                "kind": "numbers",
                "mean": self.target_mean.tolist(),
                "deviation": self.target_deviation.tolist(),
            },
        }

    def _split_name(self) -> str:
        return (
            self.how
            if self.how == "chronological"
            else (
                f"{'stratified' if self.kind == 'classification' else 'random'}, seed"
                f" {self.split_seed},"
            )
        )

    # --- losses -----------------------------------------------------------------------------------

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        return self.step_loss(outputs, batch, batch.y).mean(1)

    def step_loss(self, outputs: Tensor, batch: Batch, anchor: Tensor) -> Tensor:
        return (
            cross_entropy(outputs, batch.y)
            if self.kind == "classification"
            else squared_error(outputs, batch.y)
        )

    def metric(self, outputs: Tensor, batch: Batch) -> Tensor:
        return (
            correct(outputs, batch.y)
            if self.kind == "classification"
            else squared_error(outputs, batch.y)
        )
