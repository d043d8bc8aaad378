"""The history of a point as rows, by the names that dashboards group by; what its run is called."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from study.numerics.stages import probed, spread
from study.records import CHOICES, NETWORK, SIZES, StudyError
from study.store import Store

# Column of records.HISTORY -> name in a run's history. Next to them, health/D and health/U of the
# network, and health/D/layer_1, … where there are several layers.
KEYS: Mapping[str, str] = {
    "loss": "train/loss",
    "val_loss": "val/loss",
    "val_score": "val/score",
    "grad_norm": "grad/norm",
    "clip_scale": "grad/clip_scale",
    "clip_cosine": "grad/clip_cosine",
    "lr": "lr",
}
HEALTH = ("D", "U")


def rows_of(
    store: Store, id: str, most: int | None, composed: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """One row per update with the names of KEYS, by update, without missing values and NaN (which
    a frame does not distinguish).

    `most` rows, evenly spread and including the first and the last (None: all), and in addition
    those of validations and of probe stages. `composed`: the point's configuration.
    """
    rows = {row["update"]: row for row in _history(store, id, most, composed)}
    measured = _health(store, id)
    for update, values in measured.items():
        rows.setdefault(update, {"update": update}).update(values)
    return [rows[update] for update in sorted(rows)] if measured else list(rows.values())


def _history(
    store: Store, id: str, most: int | None, composed: Mapping[str, Any]
) -> list[dict[str, Any]]:
    frame = store.table("history", [id])[["update", *KEYS]]
    if most is not None and len(frame) > most:
        shown = (
            frame["val_loss"].notna()
            | frame["val_score"].notna()
            | frame["update"].isin(list(probed(composed)))
        )
        even = spread(len(frame), most)
        frame = frame[shown.to_numpy() | [number in even for number in range(len(frame))]]
    constant = _constant_rate(composed)
    return [
        {"update": int(update), **constant, **_named(dict(zip(KEYS, values, strict=True)))}
        for update, *values in frame.itertuples(index=False)
    ]


def live_rows(
    rows: Iterable[Mapping[str, Any]], composed: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """Rows as Tracker.update receives them, by the names of `rows_of`."""
    constant, found = _constant_rate(composed), []
    for row in rows:
        states = row.get("states", ())
        values = _named(row)
        named = {"update": row["update"], **(constant if values else {}), **values}
        several = len({each["layer"] for each in states} - {NETWORK}) > 1
        for each in states:
            named |= _health_of(each["layer"], [each[name] for name in HEALTH], several)
        found.append(named)
    return found


def _constant_rate(composed: Mapping[str, Any]) -> dict[str, float]:
    """The learning rate, where no schedule gives one to every update."""
    optimizer = composed.get("optimizer")
    rate = optimizer.get("lr") if isinstance(optimizer, Mapping) else None
    return {} if rate is None else {"lr": rate}


def _named(columns: Mapping[str, Any]) -> dict[str, float]:
    """Columns of a history by the names of KEYS, without those that hold nothing."""
    values = ((name, columns.get(column)) for column, name in KEYS.items())
    return {name: value for name, value in values if value is not None and not math.isnan(value)}


def _health(store: Store, id: str) -> dict[int, dict[str, float]]:
    """{update of a probe stage: D and U by name}."""
    frame = store.table("states", [id])[["update", "layer", *HEALTH]]
    several = len({*frame["layer"]} - {NETWORK}) > 1
    found: dict[int, dict[str, float]] = {}
    for update, layer, *values in frame.itertuples(index=False):
        if named := _health_of(layer, values, several):
            found.setdefault(int(update), {}).update(named)
    return found


def _health_of(layer: str, values: Sequence[float | None], several: bool) -> dict[str, float]:
    """D and U of a layer by name; {} for the only layer, which is the network."""
    if layer != NETWORK and not several:
        return {}
    suffix = "" if layer == NETWORK else f"/layer_{layer}"
    return {
        f"health/{name}{suffix}": value
        for name, value in zip(HEALTH, values, strict=True)
        if value is not None and not math.isnan(value)
    }


def metrics(store: Store, id: str) -> dict[str, float]:
    """Further metrics of a point, by part and name: test/f1_macro."""
    rows = store.table("metrics", [id]).itertuples(index=False)
    return {f"{row.part}/{row.metric}": row.value for row in rows if not math.isnan(row.value)}


def run_name(labels: Mapping[str, Any], varied: Collection[str]) -> str:
    """The levels that distinguish this point from others of its study."""
    return " ".join(
        f"{key}={value}"
        for key, value in labels.items()
        if key in varied or key not in {*CHOICES, *SIZES}
    )


def declared_factors(store: Store) -> set[str]:
    """Factors that the study declares; cell, initializer, clip and depth if it declares none."""
    try:
        factors = store.study()["declaration"]["factors"]
    except (StudyError, KeyError):
        factors = ()
    return set(factors) or {"cell", "initializer", "clip", "depth"}


def higher_is_better(store: Store) -> bool | None:
    """Whether scores of this study are better when higher; None if it is not known, or mixed."""
    try:
        tasks: Collection[Mapping[str, Any]] = store.study()["declaration"]["tasks"].values()
    except (StudyError, KeyError, AttributeError):
        return None
    found = {facts.get("higher_is_better") for facts in tasks}
    return found.pop() if len(found) == 1 else None
