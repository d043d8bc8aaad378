"""What the page's fold-out of a point shows: facts, settings, validations, transport by lag."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from reports.analysis.recipe import command
from reports.data.study import MOST, Study
from reports.export.export import point_config
from reports.formatting import known, number, score_number
from study.records import NETWORK, StudyError
from study.store.privacy import private
from study.store.run_addresses import addresses

LONGEST = 60  # most values of a curve
SHORTEST = 12  # values below which no curve is worth its bytes
ROOM = 2_000_000  # bytes for all curves
VALUE = 6  # bytes of a value in the page, about
CURVES = 4  # validation loss, its score, transport at the first and at the last probe
COMMANDS = 200  # arms up to which configurations are read for commands

Facts = list[tuple[str, str]]


def point_data(study: Study) -> dict[str, Any]:
    """Facts by point, in rows of `points`; `shared` settings; `commands` by arm, without the seed.

    A point that was logged online has the address of its `run` on W&B. Curves of so
    many points as `study.sampled` has, thinned so that all of them fit ROOM. Their x values, which
    most points share, stand once, in `xs`.
    """
    stored, grid = study.sampled, study.grid
    length = min(LONGEST, ROOM // (VALUE * CURVES * max(len(stored), 1)))
    xs: list[list[float]] = []
    curves = _validations(study, length, xs) if length >= SHORTEST else {}
    profiles = _profiles(study, length, xs) if length >= SHORTEST else {}
    listed = grid[grid["id"].isin(stored["id"]) | grid["status"].eq("failed")].head(2 * MOST)
    runs = addresses(study.store.folder)
    points = {
        str(row["id"]): {
            "arm": int(row["arm"]),
            "seed": str(row["seed"]),
            "facts": [text for _, text in _facts(study, row)],
            **({"run": runs[row["id"]]} if row["id"] in runs else {}),
            **({"loss": curves[row["id"]]} if row["id"] in curves else {}),
            **({"transport": profiles[row["id"]]} if row["id"] in profiles else {}),
        }
        for row in listed.to_dict("records")
    }
    return {
        "points": points,
        "names": [name for name, _ in _facts(study, {})],
        "shared": [
            [str(key), private(str(label))] for key, label in sorted(study.constant.items())
        ],
        "xs": xs,
        "commands": _commands(study, stored),
        "score": f"validation {study.metric}",
    }


def _facts(study: Study, row: Mapping[Any, Any]) -> Facts:
    """What is known of a point, as the page's tables write it; "" where nothing is."""
    metric = study.metric
    found: list[tuple[str, object]] = [
        ("status", _words(row, "status", "reason")),
        ("outcome", row.get("outcome")),
        ("verdict", row.get("verdict")),
        (f"test {metric}", _score(row.get("score"))),
        (f"best validation {metric}", _score(row.get("val_score"))),
        (f"test {metric} at the last update", _score(row.get("final_score"))),
        (f"training {metric}", _score(row.get("train_score"))),
        ("remaining gradient at start → at the end (powers of ten)", _pair(row, "D_init", "D")),
        ("its peak at start → at the end (powers of ten)", _pair(row, "U_init", "U")),
        ("horizon at start → at the end (steps)", _pair(row, "horizon_init", "horizon", 0)),
        ("met the rule at update", _count(row.get("solved_at"))),
        ("updates made", _count(row.get("updates_done"))),
        ("largest gradient norm", _short(row.get("max_grad_norm"))),
        ("parameters", _count(row.get("params"))),
        ("seconds", _short(row.get("seconds"))),
    ]
    return [(name, private(str(text or ""))) for name, text in found]


def _words(row: Mapping[Any, Any], *columns: str) -> str:
    return ": ".join(private(row[name]) for name in columns if isinstance(row.get(name), str))


def _score(value: Any) -> str:
    return score_number(value, 3) if known(value) else ""


def _pair(row: Mapping[Any, Any], start: str, end: str, digits: int = 1) -> str:
    if not known(row.get(start)) and not known(row.get(end)):
        return ""
    return " → ".join(number(row.get(name), digits) for name in (start, end))


def _count(value: Any) -> str:
    return f"{value:,.0f}" if known(value) else ""


def _short(value: Any) -> str:
    return f"{value:.3g}" if known(value) else ""


def _validations(study: Study, length: int, xs: list[list[float]]) -> dict[str, Any]:
    """Of each point: number of its updates in `xs`, validation losses, validation scores."""
    history = study.table("history")
    if history.empty:
        return {}
    history = history[history["val_loss"].notna() | history["val_score"].notna()]
    return {
        str(id): [
            _place(xs, own["update"].to_numpy(dtype=float)[some]),
            _values(own["val_loss"].to_numpy(dtype=float)[some]),
            _values(own["val_score"].to_numpy(dtype=float)[some]),
        ]
        for id, own in history.groupby("id", sort=False)
        for some in [_thin(len(own), length)]
    }


def _profiles(study: Study, length: int, xs: list[list[float]]) -> dict[str, Any]:
    """Of each point: number of its lags in `xs`, log10 transport at its first and last probe."""
    profile = study.table("profile")
    if profile.empty:
        return {}
    rows = profile[
        (profile["probe"] == "transport") & (profile["layer"] == NETWORK) & (profile["lag"] >= 1)
    ]
    found = {}
    for id, own in rows.groupby("id", sort=False):
        stages = sorted(own["stage"].unique())
        by_stage = {stage: one.sort_values("lag") for stage, one in own.groupby("stage")}
        first, last = by_stage[stages[0]], by_stage[stages[-1]]
        if len(first) != len(last):
            continue
        some = _thin(len(last), length)
        found[str(id)] = [
            _place(xs, last["lag"].to_numpy(dtype=float)[some]),
            *(_values(one["log10_mean"].to_numpy(dtype=float)[some]) for one in (first, last)),
        ]
    return found


def _thin(n: int, length: int) -> np.ndarray:
    """At most `length` places of n, the first and the last among them."""
    return np.unique(np.linspace(0, n - 1, min(n, length)).round().astype(int))


def _place(xs: list[list[float]], values: np.ndarray) -> int:
    """The number of these x values in `xs`, where they are put if they are new."""
    plain: list[float] = [int(one) for one in values]
    if plain not in xs:
        xs.append(plain)
    return xs.index(plain)


def _values(values: Iterable[float]) -> Sequence[float | None]:
    """Four digits are more than a small picture shows; null where not finite."""
    return [float(f"{one:.4g}") if math.isfinite(one) else None for one in values]


def _commands(study: Study, stored: pd.DataFrame) -> dict[str, str]:
    """By arm, a command that trains one of its points again, without the seed."""
    if study.adopted or stored["arm"].nunique() > COMMANDS:
        return {}
    found = {}
    for row in stored.drop_duplicates("arm").itertuples(index=False):
        try:
            text = command(study, str(row.id), point_config(study.store, str(row.id)))
        except (StudyError, StopIteration, KeyError, ValueError):
            continue  # the section Recipe or Failures names what is damaged
        found[str(int(row.arm))] = text.replace(f" seed={row.seed} ", " seed=@ ")
    return found
