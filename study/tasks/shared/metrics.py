"""Metrics by name, for tasks over one's own data: what each is, and how it is computed.

To add one, add its line to METRICS. Those by example are functions of outputs and targets of
every member, [M, B]; those over a whole split cannot be means over examples, and are computed by
scikit-learn where it has them, member by member.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import special
from torch import Tensor

from study.tasks.shared.losses import absolute_error, correct, cross_entropy, squared_error

TOP, PINBALL = "top_", "pinball"
MEDIAN = 0.5
LOSS_OF_QUANTILES = "mean pinball loss, standardised"


@dataclass(frozen=True)
class Answers:
    """What one network says of a whole split, in the forms that metrics over it read.

    Classification: `y` [N] class numbers, `outputs` [N, C] logits, `predicted` [N]. Regression:
    `y` and `predicted` [N, O] in the target's units; `outputs` [N, O, Q], the quantiles in them (of
    a task without quantiles [N, O, 1]); `unit` [O], by which errors are divided; `naive` [O]: mean
    absolute error of the (seasonal) naive rule in training.
    """

    y: np.ndarray
    predicted: np.ndarray
    outputs: np.ndarray
    unit: np.ndarray
    naive: np.ndarray

    def of(self, target: int | None) -> Answers:
        """What is said of one target, whose unit is its own; None: of all."""
        if target is None:
            return self
        own = slice(target, target + 1)
        return Answers(
            self.y[:, own],
            self.predicted[:, own],
            self.outputs[:, own],
            np.ones(1),
            self.naive[own],
        )


@dataclass(frozen=True)
class Metric:
    """`by_example`: (outputs [M, B, O], y [M, B, …]) -> [M, B]; or `over_split`: Answers -> number.

    By example, numbers are standardised; errors with `in_units` are then multiplied by the
    target's deviation. `text`: for sentences; what follows a comma is the unit. `perfect`: the best
    value there is. `needs`: keys of NEEDS. `higher_is_better` None: neither is, `perfect` is right.
    `of_quantiles`: it reads all quantiles, not the median. `low`, `high`: what its values can be;
    None without end. `target`: the place of the only target that it is of, None for all of them.
    """

    name: str
    kind: str
    text: str
    higher_is_better: bool | None
    perfect: float
    by_example: Callable[[Tensor, Tensor], Tensor] | None = None
    over_split: Callable[[Answers], float] | None = None
    in_units: bool = False
    needs: tuple[str, ...] = ()
    of_quantiles: bool = False
    low: float | None = 0.0
    high: float | None = None
    target: int | None = None

    @property
    def of_all(self) -> str:
        """The name without that of a target."""
        return self.name if self.target is None else self.name.partition(" ")[0]


# --- over a whole split ---------------------------------------------------------------------------
#
# scikit-learn is imported where it is used, since it takes a second.


def balanced(given: Answers) -> float:
    """Mean recall of the classes that there are."""
    from sklearn.metrics import recall_score

    there = np.unique(given.y)
    return float(recall_score(given.y, given.predicted, labels=there, average="macro"))


def f1_macro(given: Answers) -> float:
    from sklearn.metrics import f1_score

    return float(f1_score(given.y, given.predicted, average="macro", zero_division=0.0))


def auroc(given: Answers) -> float:
    """Of two classes; of more, the mean of each against the rest. NaN without one of them."""
    from sklearn.metrics import roc_auc_score

    if len(np.unique(given.y)) < given.outputs.shape[1]:
        return float("nan")
    if given.outputs.shape[1] == 2:
        return float(roc_auc_score(given.y, given.outputs[:, 1] - given.outputs[:, 0]))
    chances = special.softmax(given.outputs, axis=1)
    return float(roc_auc_score(given.y, chances, multi_class="ovr", average="macro"))


def perplexity(given: Answers) -> float:
    logs = special.log_softmax(given.outputs, axis=1)
    return float(np.exp(-logs[np.arange(len(given.y)), given.y].mean()))


def rmse(given: Answers) -> float:
    from sklearn.metrics import root_mean_squared_error

    return float(root_mean_squared_error(given.y / given.unit, given.predicted / given.unit))


def r2(given: Answers) -> float:
    from sklearn.metrics import r2_score

    return float(r2_score(given.y, given.predicted))


def smape(given: Answers) -> float:
    """Makridakis (1993): |error| as a share of the mean of both sizes; 0 of nothing is 0."""
    size, off = np.abs(given.y) + np.abs(given.predicted), np.abs(given.y - given.predicted)
    return float(200 * np.divide(off, size, out=np.zeros_like(off), where=size > 0).mean())


def mase(given: Answers) -> float:
    """Hyndman and Koehler (2006)."""
    from sklearn.metrics import mean_absolute_error

    errors = mean_absolute_error(given.y, given.predicted, multioutput="raw_values")
    return float((errors / given.naive).mean())


def coverage(quantile: float, place: int) -> Metric:
    """The share of targets at or below a quantile."""
    return Metric(
        f"coverage_{quantile:g}",
        NUMBERS,
        f"share of targets at or below the {quantile:g} quantile",
        None,
        quantile,
        over_split=lambda given: float((given.y <= given.outputs[..., place]).mean()),
        of_quantiles=True,
        high=1.0,
    )


def covered(low: float, high: float) -> Metric:
    """The share of targets between the outer quantiles."""
    return Metric(
        f"coverage_{low:g}_to_{high:g}",
        NUMBERS,
        f"share of targets from the {low:g} to the {high:g} quantile",
        None,
        high - low,
        over_split=lambda given: float(
            ((given.outputs[..., 0] <= given.y) & (given.y <= given.outputs[..., -1])).mean()
        ),
        of_quantiles=True,
        high=1.0,
    )


def crossing(given: Answers) -> float:
    return float((np.diff(given.outputs, axis=-1) < 0).any(-1).mean())


CLASSES, NUMBERS = "classification", "regression"
CROSSING = Metric(
    "crossing",
    NUMBERS,
    "share of answers whose quantiles cross",
    False,
    0.0,
    over_split=crossing,
    of_quantiles=True,
    high=1.0,
)
METRICS: Mapping[str, Metric] = {
    one.name: one
    for one in (
        Metric("accuracy", CLASSES, "accuracy", True, 1.0, correct),
        Metric("balanced_accuracy", CLASSES, "balanced accuracy", True, 1.0, None, balanced),
        Metric("f1_macro", CLASSES, "macro F1", True, 1.0, None, f1_macro),
        Metric("auroc", CLASSES, "AUROC", True, 1.0, None, auroc, needs=("every class",)),
        Metric("cross_entropy", CLASSES, "cross-entropy, nats", False, 0.0, cross_entropy),
        Metric("perplexity", CLASSES, "perplexity", False, 1.0, None, perplexity, low=1.0),
        Metric("mse", NUMBERS, "mean squared error, standardised", False, 0.0, squared_error),
        Metric("mae", NUMBERS, "mean absolute error", False, 0.0, absolute_error, in_units=True),
        Metric("rmse", NUMBERS, "root mean squared error", False, 0.0, None, rmse, in_units=True),
        Metric("r2", NUMBERS, "R²", True, 1.0, None, r2, low=None),
        Metric("smape", NUMBERS, "sMAPE, %", False, 0.0, None, smape, needs=("levels",)),
        Metric("mase", NUMBERS, "MASE", False, 0.0, None, mase, needs=("a forecast",)),
    )
}
