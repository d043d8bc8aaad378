"""Turn a trained group into records of its points: row, tables and weights."""

from __future__ import annotations

import collections
import contextlib
import datetime
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import torch
import yaml

from study.config.setup import set_up
from study.config.sources import own_sources
from study.config.tasks import signature
from study.health.end_state import JUDGED, layers_rows
from study.health.verdicts import OutcomeLimits, Run, opened_loss, outcome
from study.interfaces import AtLags, ByIndex, ByStep, Point, TaskFacts
from study.machine.provenance import code, machine
from study.modules.network import ModuleNetwork
from study.records import CHOICES, NETWORK, OWN, SIZES, StudyError
from study.store import PointRecord
from study.training.early_end import streak
from study.training.evaluation import Evaluated
from study.training.members import of_members
from study.training.state import Measured, Training

Columns = dict[str, list[Any]]


def point_record(
    training: Training,
    member: int,
    *,
    ended_after: int | None,
    cause: str | None,
    start: float,
    seconds: float,
) -> PointRecord:
    """The record of one member.

    ended_after: updates after which it ended early, if it did; cause: its first tensor that was not
    finite, if it diverged; start: Unix time of the start; seconds: its share of the time.
    """
    point, setup, facts = training.points[member], training.setups[member], training.task.facts
    at = int(training.diverged_at[member])
    diverged = at >= 0
    last = setup.updates if ended_after is None else ended_after
    end = at if diverged else last
    history = history_table(training, member, end, diverged=diverged)
    known = measured_of(training, member, end)  # not of a frozen member
    states = states_rows(known)
    solved = ended_after is not None and not diverged
    layers = layers_rows(
        states,
        setup.thresholds,
        diverged=diverged,
        updates=last,
        solved_from=streak(training, member)[0] if solved else None,
    )
    measures, traces = measures_table(known), traces_table(known)
    row = base_row(point, facts) | scores(training, member, diverged=diverged) | gradients(history)
    row |= {
        "status": "diverged" if diverged else "done",
        "params": training.model.trained_count,
        "updates_done": end,
        "ended_early": "solved" if solved else None if ended_after is None else "diverged",
        "updates_saved": setup.updates - last,
        "seconds": seconds,
        "solved_at": solved_at(history, facts),
        "ends_solved": ends_solved(history, facts),
    }
    row |= divergence(at, cause, history) if diverged else {}
    row |= health(
        layers,
        history,
        measures,
        training.task.guess_loss("validation"),
        setup.outcome_limits,
        diverged=diverged,
        solved=bool(row["ends_solved"]),
    )
    tables = {
        "history": history,
        "profile": profile_table(known),
        "states": _columns(states),
        "layers": _columns(layers),
        "measures": measures,
        **({"traces": traces} if traces else {}),
        **test_table(training, member),
        **metrics_table(training, member),
    }
    return PointRecord(
        **description(point),
        row=row,
        provenance=provenance(training, start, seconds),
        tables=tables,
        weights=scored_weights(training, member) if setup.store.weights else None,
    )


def description(point: Point) -> dict[str, Any]:
    """The parts of a record that say which point it is."""
    labels = {**point.labels, "seed": point.seed}
    return {
        "id": point.id,
        "labels": labels,
        "config": config_text(point),
        "overrides": [f"{key}={value}" for key, value in labels.items()],
    }


def divergence(at: int, cause: str | None, history: Mapping[str, Any]) -> dict[str, Any]:
    """When a point diverged, the first tensor not finite, the last finite gradient norm."""
    norm = _last_finite(history["grad_norm"])
    known = "there was no finite gradient norm"
    if norm is not None:
        known = f"last finite gradient norm {norm:.3g}"
    reason = f"not finite at update {at + 1}: {cause}; {known}"
    return {"first_nonfinite": cause, "diverged_at": at, "last_grad_norm": norm, "reason": reason}


def test_table(training: Training, member: int) -> dict[str, Any]:
    """The metric of every test example, for the scored weights.

    {} where the score is of the whole split: no example has a share in it.
    """
    test = training.evaluations["test"]
    if not test.by_example:
        return {}
    values = test.metric[member].cpu().numpy()
    return {"test": {"example": np.arange(len(values)), "value": values}}


def metrics_table(training: Training, member: int) -> dict[str, Any]:
    """Further metrics of the scored weights; {} if the task has none."""
    rows = [
        {"metric": name, "part": part, "value": float(values[member])}
        for part, of in training.metrics.items()
        for name, values in of.items()
    ]
    return {"metrics": _columns(rows)} if rows else {}


def scored_weights(training: Training, member: int) -> dict[str, np.ndarray]:
    """The weights with the best validation score, by name."""
    named = training.model.named(training.best_params)
    return {name: value[member].cpu().numpy() for name, value in named.items()}


def failed_record(point: Point, failure: Mapping[str, str]) -> PointRecord:
    """The record of a failed point, with reason and traceback (provenance.failure)."""
    message = failure["message"].splitlines()[0] if failure["message"] else ""
    row: dict[str, Any] = {**point.labels, "id": point.id, "seed": point.seed}
    with contextlib.suppress(StudyError):  # of a model that cannot be built here
        row |= sizes(point)
    row |= {"status": "failed", "reason": f"{failure['type']}: {message}"}
    return PointRecord(**description(point), row=row, provenance=code(), failure=dict(failure))


def config_text(point: Point) -> str:
    """The composed configuration as YAML.

    With libyaml if it is installed: without it, this takes as long as storing everything else.
    """
    return str(
        yaml.dump(
            dict(point.config),
            Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper),
            sort_keys=False,
            allow_unicode=True,
        )
    )


# --- the row --------------------------------------------------------------------------------------


def base_row(point: Point, facts: TaskFacts) -> dict[str, Any]:
    row: dict[str, Any] = {
        "id": point.id,
        "seed": point.seed,
        "baseline": facts.baseline,
        "baseline_loss": facts.baseline_loss,
    }
    row |= {"steps": facts.steps, "lag": facts.lag}
    row |= {choice: str(point.labels[choice]) for choice in CHOICES if choice in point.labels}
    return row | sizes(point)


def sizes(point: Point) -> dict[str, int | None]:
    """The values of records.SIZES for a point; those of a model of one's own as measured.

    None where they are not known.
    """
    known: dict[str, int | None] = {
        size: None if point.labels.get(size) == OWN else point.config[size] for size in SIZES
    }
    if "model" in point.config and (setup := set_up(point.config)).without_effect:
        measured = setup.module.sizes
        known |= {size: measured[size] for size in measured if size in setup.without_effect}
    return known


def scores(training: Training, member: int, *, diverged: bool) -> dict[str, Any]:
    """Scores on test, validation and training data; the standard error is over test examples."""
    evaluations = training.evaluations
    test, final, train = (_score(evaluations[name], member) for name in ("test", "final", "train"))
    return {
        "score": test,
        "score_se": _error(evaluations["test"], member),
        "val_score": float(training.best_score[member]),
        "val_loss": float(training.best_loss[member]),
        "final_score": None if diverged else final,
        "train_score": train,
    }


def _score(found: Evaluated, member: int) -> float:
    if not found.by_example:
        return float(found.score[member])
    return float(found.metric[member].cpu().numpy().mean())


def _error(found: Evaluated, member: int) -> float | None:
    if not found.by_example:
        error = float(found.error[member])
        return error if math.isfinite(error) else None
    values = found.metric[member].cpu().numpy()
    with np.errstate(invalid="ignore"):  # a squared error may be Inf
        return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None


def gradients(history: Mapping[str, Any]) -> dict[str, Any]:
    norm, scale = (
        np.asarray(history["grad_norm"], dtype=float),
        np.asarray(history["clip_scale"], dtype=float),
    )
    finite = np.isfinite(norm)
    clipped = finite & (scale != 1)
    return {
        "clip_rate": float(clipped.sum() / finite.sum()) if finite.any() else None,
        "shrink": float(scale[clipped].mean()) if clipped.any() else None,
        "max_grad_norm": float(norm[finite].max()) if finite.any() else None,
    }


def solved_at(history: Mapping[str, Any], facts: TaskFacts) -> int | None:
    """The first update after which a validation met the task's rule; None if none did."""
    met = _meets(history, facts)
    return int(np.asarray(history["update"])[met][0]) if met.any() else None


def ends_solved(history: Mapping[str, Any], facts: TaskFacts) -> bool | None:
    """Whether the last validation met the task's rule; None if there is no rule."""
    if facts.solved is None:
        return None
    met = _meets(history, facts)
    validated = ~np.isnan(np.asarray(history["val_score"], dtype=float))
    return bool(met[validated][-1]) if validated.any() else False


def _meets(history: Mapping[str, Any], facts: TaskFacts) -> np.ndarray:
    """Whether the validation after each update met the rule; false where there was none."""
    score = np.asarray(history["val_score"], dtype=float)
    if facts.solved is None:
        return np.zeros(len(score), dtype=bool)
    with np.errstate(invalid="ignore"):
        return score >= facts.solved if facts.higher_is_better else score <= facts.solved


def health(
    layers: Sequence[dict[str, Any]],
    history: Mapping[str, Any],
    measures: Mapping[str, Any],
    guess_loss: float,
    limits: OutcomeLimits,
    *,
    diverged: bool,
    solved: bool,
) -> dict[str, Any]:
    """Outcome, and with the transport probe also first and last state and the verdict.

    `guess_loss`: of the memoryless guess on the validation examples.
    """
    validated = ~np.isnan(np.asarray(history["val_loss"], dtype=float))
    run = Run(
        diverged=diverged,
        solved=solved,
        updates=np.asarray(history["update"])[validated].tolist(),
        val_loss=np.asarray(history["val_loss"], dtype=float)[validated].tolist(),
        baseline_loss=guess_loss,
        grad_norm=history["grad_norm"],
        radius=_largest(measures, "spectral_radius"),
        saturation=_largest(measures, "saturation"),
    )
    row: dict[str, Any] = {"outcome": outcome(run, limits)}
    judged = {layer["layer"]: layer for layer in layers}.get(NETWORK)
    if judged is None:
        return row
    row |= {name: judged[name] for name in JUDGED}
    if row["opened_at"] is not None:
        row["opened_loss"] = opened_loss(row["opened_at"], run.updates, run.val_loss, guess_loss)
    return row


def _largest(measures: Mapping[str, Any], quantity: str) -> list[float]:
    """The largest value over layers of a quantity, by stage."""
    by_stage: dict[int, float] = {}
    for name, stage, value in zip(
        measures["quantity"], measures["stage"], measures["value"], strict=True
    ):
        if name == quantity and not math.isnan(value):
            by_stage[stage] = max(value, by_stage.get(stage, -math.inf))
    return [by_stage[stage] for stage in sorted(by_stage)]


def _last_finite(values: Sequence[float]) -> float | None:
    array = np.asarray(values, dtype=float)
    known = array[np.isfinite(array)]
    return float(known[-1]) if len(known) else None


# --- tables ---------------------------------------------------------------------------------------


def history_table(training: Training, member: int, end: int, *, diverged: bool) -> dict[str, Any]:
    """Row u: validation after u updates, and loss and gradient of update u + 1."""
    rows = end + 1
    updates = end + 1 if diverged else end  # including the update that failed
    validations = {
        update: (float(loss[member]), float(score[member]))
        for update, loss, score in training.validations
        if update <= end
    }

    def column(tensors: Sequence[Any]) -> list[float | None]:
        values = torch.stack(list(tensors))[:updates, member].double().tolist() if tensors else []
        return values + [None] * (rows - len(values))

    return {
        "update": list(range(rows)),
        "loss": column(training.losses),
        "grad_norm": column(training.norms),
        "clip_scale": column(training.scales),
        "clip_cosine": column(training.cosines),
        "lr": rates(training, member, column(training.factors)),
        "val_loss": [validations.get(update, (None, None))[0] for update in range(rows)],
        "val_score": [validations.get(update, (None, None))[1] for update in range(rows)],
    }


def rates(training: Training, member: int, factors: Sequence[float | None]) -> list[float | None]:
    """Learning rates by update; None without a schedule, or for an optimizer that names none."""
    rate = training.points[member].config["optimizer"].get("lr")
    if not training.factors or rate is None:
        return [None] * len(factors)
    return [None if factor is None else float(rate) * factor for factor in factors]


def measured_of(training: Training, member: int, end: int) -> list[Measured]:
    """What the probes measured of one member up to update `end`, in order; M = 1.

    Stages are counted anew for each probe, because members may have been probed between the
    scheduled ones.
    """
    found = [of_members(each, [member]) for each in training.measured if each.update <= end]
    found += [each for each in training.measured_alone[member] if each.update <= end]
    found.sort(key=lambda each: each.update)  # keeps the order within an update
    stages = collections.Counter[str]()
    numbered = []
    for each in found:
        numbered.append(replace(each, stage=stages[each.probe]))
        stages[each.probe] += 1
    return numbered


def profile_table(measured: Sequence[Measured]) -> dict[str, Any]:
    parts: dict[str, list[np.ndarray]] = {}
    for measurement in measured:
        for which, columns in measurement.profiles.items():
            layer, state = which.split("/")
            lags = len(next(iter(columns.values()))[0])
            keys = {
                "probe": measurement.probe,
                "stage": measurement.stage,
                "update": measurement.update,
                "layer": layer,
                "state": state,
            }
            for name, value in keys.items():
                parts.setdefault(name, []).append(
                    np.full(lags, value, dtype=object if isinstance(value, str) else None)
                )
            parts.setdefault("lag", []).append(np.arange(lags))
            for name, values in columns.items():
                parts.setdefault(name, []).append(values[0])
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def states_rows(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """Rows of states.parquet in the order of the stages."""
    return [
        {"stage": measurement.stage, "update": measurement.update, "layer": layer, **rows[0]}
        for measurement in measured
        for layer, rows in measurement.states.items()
    ]


def measures_table(measured: Sequence[Measured]) -> Columns:
    """One row per number.

    Values are [M], [M, layers], [M, layers, lags], ByIndex [M, layers, n], AtLags [M, layers, n] or
    [M, layers, n, i].
    """
    table: Columns = {
        name: []
        for name in ("probe", "quantity", "stage", "update", "layer", "lag", "index", "value")
    }
    for measurement in measured:
        for quantity, value in measurement.values.items():
            if isinstance(value, ByStep):
                continue
            values = value.values.numpy() if isinstance(value, ByIndex | AtLags) else value
            for at in np.ndindex(values.shape[1:]):
                row = (
                    measurement.probe,
                    quantity,
                    measurement.stage,
                    measurement.update,
                    *_place(value, at),
                    float(values[(0, *at)]),
                )
                for name, cell in zip(table, row, strict=True):
                    table[name].append(cell)
    return table


def traces_table(measured: Sequence[Measured]) -> dict[str, Any]:
    """One row per number of ByStep [M, n, T] or [M, layers, n, T], without padding.

    Has no columns if nothing was measured.
    """
    parts: dict[str, list[Any]] = {}
    for measurement in measured:
        for quantity, value in measurement.values.items():
            if not isinstance(value, ByStep):
                continue
            values = value.values[0].numpy()
            layered = values if values.ndim == 3 else values[None]
            for layer, numbers in enumerate(layered, start=1):
                for example, last in enumerate(value.last.tolist()):
                    keys = {
                        "probe": measurement.probe,
                        "quantity": quantity,
                        "stage": measurement.stage,
                        "update": measurement.update,
                    }
                    keys |= {"layer": layer if values.ndim == 3 else None, "example": example}
                    for name, same in keys.items():
                        parts.setdefault(name, []).extend([same] * (last + 1))
                    parts.setdefault("step", []).extend(range(last + 1))
                    parts.setdefault("value", []).extend(numbers[example, : last + 1].tolist())
    return parts


def _place(value: Any, at: tuple[int, ...]) -> tuple[int | None, int | None, int | None]:
    """(layer from 1, lag, index) of the number at `at`, an index without the member axis."""
    layer, second, third = (*at, None, None, None)[:3]
    number = None if layer is None else layer + 1
    if isinstance(value, ByIndex):
        return number, None, second
    if isinstance(value, AtLags):
        assert second is not None
        return number, value.lags[second], third
    return number, second, None


def _columns(rows: Sequence[Mapping[str, Any]]) -> Columns:
    return {name: [row[name] for row in rows] for name in rows[0]} if rows else {}


def sources_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """Digests of the files of the user's own pieces, where there are some."""
    found = own_sources(config)
    return {"sources": found} if found else {}


def model_facts(training: Training) -> dict[str, Any]:
    """Of a model of the user's own: the recurrent layers measured as 1, 2, …, and notes."""
    model = training.model
    if not isinstance(model, ModuleNetwork):
        return {}
    notes = list(training.setup.model_notes)
    layers, lengths = list(model.measured), model.how.lengths
    return {"model": {"name": model.name, "layers": layers, "lengths": lengths, "notes": notes}}


def provenance(training: Training, start: float, seconds: float) -> dict[str, Any]:
    started = datetime.datetime.fromtimestamp(start, datetime.UTC).isoformat(timespec="seconds")
    return {
        **code(),
        **machine(str(training.device)),
        "data_hash": training.task.data_hash(),
        "kernel": training.model.kernel,
        "precision": (precision := training.setup.precision),
        "tf32": precision == "tf32",  # torch sets it in updates only
        "probes": training.setup.nodes["probe"],
        "task": asdict(training.task.facts),
        "signature": signature(training.task),  # for exports
        **sources_of(training.setup.nodes),
        **model_facts(training),
        "start": started,
        "seconds": seconds,
    }
