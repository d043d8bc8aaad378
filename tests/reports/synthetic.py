"""A store made by hand: the shape of the default study, any size, with whatever went wrong.

Numbers are plausible, not trained.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd

from study.health.verdicts import verdict
from study.records import NETWORK
from study.store import PointRecord, Store, seal

HEALTH = {
    "stages": [0, 0.01, 0.03, 0.1, 0.3, 0.6, 0.8, 1],
    "examples": 32,
    "exploding": 1.0,
    "fading": -2.0,
    "vanishing": -4.0,
    "undefined": 0.1,
    "horizon": 1e-3,
    "stuck": 0.95,
    "spike": 6.0,
    "radius_jump": 1.5,
    "saturation_jump": 0.2,
    "bootstrap": 200,
}
TASK = {
    "inputs": 1,
    "outputs": 10,
    "steps": 64,
    "lag": 64,
    "every_step": False,
    "loss": "cross-entropy",
    "metric": "accuracy",
    "higher_is_better": True,
    "baseline_loss": math.log(10),
    "baseline": 0.1,
    "solved": 0.9,
    "split": "1,077/360/360 stratified",
    "source": "scikit-learn digits",
    "licence": "CC BY 4.0",
}
DIGITS = {
    "cell": ["rnn", "lstm", "gru"],
    "initializer": ["orthogonal", "xavier_uniform", "normal"],
    "clip": ["none", "norm"],
    "depth": [1, 2],
}


Score = Callable[[Mapping[str, Any], np.random.Generator], float]


def make(
    folder: Path,
    *,
    factors: Mapping[str, Sequence[Any]] = DIGITS,
    seeds: Sequence[int] = (0, 1, 2),
    updates: int = 400,
    steps: int = 64,
    stored: float = 1.0,
    diverged: Sequence[int] = (),
    failed: Sequence[int] = (),
    excluded: Sequence[Mapping[str, Any]] = (),
    tables: Sequence[str] = ("history", "profile", "states", "test"),
    question: str = "Which recipe learns to read digits over 64 steps?",
    examples: int = 360,
    command: str = "python -m study -m experiment=digits",
    score: Score | None = None,
    claims: Sequence[Mapping[str, Any]] = (),
    task: Mapping[str, Any] = TASK,
) -> Store:
    """Declare the full factorial and store its first `stored` share; `diverged` and `failed` number
    points of the grid from 0 (-1: all). `score`: of a point, from its labels; else one that goes
    with cell, initializer and depth.
    """
    store = Store(folder)
    points = []
    for number, levels in enumerate(itertools.product(*factors.values(), seeds)):
        labels = dict(zip(factors, levels[:-1], strict=True))
        if any(
            all(labels.get(key) == value for key, value in one["labels"].items())
            for one in excluded
        ):
            continue
        points.append({"id": f"{number:016x}", "seed": levels[-1], "labels": labels})
    fixed = {
        "task": "digits",
        "cell": "lstm",
        "initializer": "orthogonal",
        "clip": "norm",
        "optimizer": "adam",
        "readout": "last",
    }
    fixed |= {"depth": 1, "hidden": 32, "batch": 64, "updates": updates, "dropout": 0.0}
    facts = {**task, "steps": steps, "lag": steps}
    store.declare(
        {
            "name": folder.name,
            "experiment": "digits",
            "title": "Reading handwritten digits pixel by pixel",
            "question": question,
            "fingerprint": {"experiment": "digits", "numerics": 1, "tasks": {"digits": "3f2a"}},
            "declaration": {
                "factors": {key: list(levels) for key, levels in factors.items()},
                "seeds": list(seeds),
                "excluded": list(excluded),
                "arms": [],
                "fixed": {key: value for key, value in fixed.items() if key not in factors},
                "grid": points,
                "tasks": {"digits": facts},
                "claims": list(claims),
                "health": HEALTH,
            },
        },
        {
            "time": "2026-11-23T18:00:00+00:00",
            "command": command,
            "git": {"commit": "0123456789abcdef", "dirty": False},
            "versions": {"python": "3.11.2", "torch": "2.13.0"},
            "workers": 2,
            "device": "cpu",
            "planned": len(points),
            "stored_before": 0,
            "seconds": 214.0,
            "done": len(points),
            "diverged": 0,
            "failed": 0,
        },
    )
    for index, point in enumerate(points[: round(stored * len(points))]):
        bad = index in diverged or -1 in diverged
        if index in failed or -1 in failed:
            store.write(_failed(point, fixed))
        else:
            store.write(
                _trained(
                    index,
                    point,
                    {**fixed, **point["labels"]},
                    updates,
                    steps,
                    bad,
                    tables,
                    examples,
                    score,
                )
            )
    store.write_points_table()
    return store


def _correct(score: float, examples: int, rng: np.random.Generator) -> np.ndarray:
    """Results by example with this mean; the same examples are hard for all points."""
    hard = np.arange(examples) / examples + 0.2 * rng.standard_normal(examples)
    return (np.argsort(np.argsort(hard)) < round(score * examples)).astype(float)


def edit_points(
    store: Store,
    change: Callable[[dict[str, Any]], Mapping[str, Any]],
    tables: Mapping[str, Callable[[dict[str, Any]], Mapping[str, Any]]] = MappingProxyType({}),
) -> list[dict[str, Any]]:
    """Change stored rows of points: `change` takes a row and returns what is new in it; each of
    `tables` takes the changed row and returns the table's new columns.
    """
    rows = []
    for path in sorted((store.folder / "points").glob("*/result.json")):
        result = json.loads(path.read_text())
        result["row"] |= change(result["row"])
        for name, make_table in tables.items():
            table = path.parent / f"{name}.parquet"
            frame = pd.DataFrame(make_table(result["row"]))
            frame.to_parquet(table, index=False)
        seal(path.parent, result)
        rows.append(result["row"])
    Store(store.folder).write_points_table()
    return rows


def _failed(point: Mapping[str, Any], fixed: Mapping[str, Any]) -> PointRecord:
    trace = (
        'Traceback (most recent call last):\n  File "<code>/study/engine.py", line 1, in train\n   '
        ' step()\nRuntimeError: <script>alert("trace")</script> out of memory'
    )
    row = {
        **fixed,
        **point["labels"],
        "id": point["id"],
        "seed": point["seed"],
        "status": "failed",
        "reason": "RuntimeError: out of memory at /home/somebody/secret/file.py",
    }
    failure_record = {"type": "RuntimeError", "message": "out of memory", "traceback": trace}
    return PointRecord(
        point["id"],
        row,
        {**point["labels"], "seed": point["seed"]},
        "a: 1\n",
        [],
        {},
        failure=failure_record,
    )


def _trained(
    index: int,
    point: Mapping[str, Any],
    setting: Mapping[str, Any],
    updates: int,
    steps: int,
    bad: bool,
    tables: Sequence[str],
    examples: int,
    given: Score | None,
) -> PointRecord:
    rng = np.random.default_rng([7, index])
    strength = {"rnn": 0.3, "lstm": 0.62, "gru": 1.0}.get(str(setting["cell"]), 0.5) + {
        "orthogonal": 0.2,
        "xavier_uniform": 0.05,
    }.get(str(setting["initializer"]), 0.0)
    strength += 0.06 * rng.standard_normal() - 0.05 * (float(setting["depth"]) - 1)
    end = int(updates * rng.uniform(0.1, 0.9)) if bad else updates
    stages = [
        at
        for at in sorted(
            {max(n, round(share * updates)) for n, share in enumerate(HEALTH["stages"])}
        )
        if at <= end
    ]
    starts = -18 + 14 * strength + rng.standard_normal()
    D = [
        starts
        + (10 * strength - 4 + (4 if strength > 0.7 else 0))
        * (math.log10(1 + at) / math.log10(1 + updates)) ** 1.5
        for at in stages
    ]
    D = [min(one, 0.6) for one in D]
    if bad:
        D[-1] = 3.0
    states = [_state(value) for value in D]
    score = float(np.clip(0.55 + 0.33 * strength + 0.02 * rng.standard_normal(), 0.1, 0.97))
    score = 0.12 if bad and index % 2 else score
    score = float(np.clip(given(setting, rng), 0, 1)) if given else score
    history = _history(rng, updates, end, score, strength, str(setting["clip"]), bad)
    correct = (
        _correct(score, examples, rng) if given else (rng.random(examples) < score).astype(float)
    )
    solved = max(value for value in history["val_score"] if value is not None) >= 0.9
    first, last = states[0], states[-1]
    row = {
        **{
            key: setting[key]
            for key in ("task", "cell", "initializer", "clip", "optimizer", "readout")
        },
        **{key: int(setting[key]) for key in ("depth", "hidden", "batch")},
        "id": point["id"],
        "seed": point["seed"],
        "status": "diverged" if bad else "done",
        "reason": f"not finite at update {end}: layer1.h at step 9; last finite gradient norm 71.2"
        if bad
        else None,
        "verdict": verdict(first, last),
        "outcome": "diverged" if bad else "solved" if solved else "learning",
        "state_init": first,
        "state": last,
        "score": float(correct.mean()),
        "score_se": float(correct.std(ddof=1) / math.sqrt(examples)),
        "val_score": score,
        "final_score": None if bad else score - 0.01,
        "train_score": min(1.0, score + 0.04),
        "baseline": 0.1,
        "baseline_loss": math.log(10),
        "val_loss": 0.4,
        "solved_at": 300 if solved else None,
        "opened_at": next(
            (at for at, state in zip(stages, states, strict=True) if state == "carrying"), None
        )
        if verdict(first, last) == "opens"
        else None,
        "opened_loss": 0.91 if verdict(first, last) == "opens" else None,
        "D_init": D[0],
        "D": float(np.median(D[-3:])),
        "U_init": 0.1,
        "U": 2.2 if bad else 0.3,
        "horizon_init": 12,
        "horizon": 40 if last == "carrying" else 20,
        "horizon_censored": False,
        "clip_rate": float(
            np.mean([scale != 1 for scale in history["clip_scale"] if scale is not None])
        ),
        "shrink": 0.45,
        "max_grad_norm": 7.5,
        "first_nonfinite": "layer1.h at step 9" if bad else None,
        "diverged_at": end if bad else None,
        "params": 4554,
        "steps": int(setting.get("task.steps", steps)),
        "lag": int(setting.get("task.steps", steps)),
        "updates": int(setting["updates"]),
        "updates_done": end,
        "seconds": 2.4 + 0.7 * float(setting["depth"]),
    }
    made = {
        "history": lambda: history,
        "profile": lambda: _profile(
            stages, D, steps, int(setting["depth"]), str(setting["cell"]) == "lstm", bad
        ),
        "states": lambda: _states(stages, D, states, steps),
        "layers": lambda: _layers(D, states, row),
        "test": lambda: {"example": np.arange(examples), "value": correct},
        "measures": lambda: _measures(
            stages, strength, int(setting["depth"]), str(setting["cell"])
        ),
        "traces": lambda: _traces(
            stages, strength, steps, int(setting["depth"]), str(setting["cell"])
        ),
    }
    return PointRecord(
        id=point["id"],
        row=row,
        labels={**point["labels"], "seed": point["seed"]},
        config="cell: x\n",
        overrides=[],
        provenance={
            "start": "2026-11-23T18:00:05+00:00",
            "seconds": 2.4,
            "device": "x86_64",
            "threads": 1,
            "kernel": "reference",
        },
        tables={name: made[name]() for name in tables},
    )


def _state(D: float) -> str:
    return (
        "exploding" if D > 2.5 else "carrying" if D >= -2 else "fading" if D >= -4 else "vanishing"
    )


def _history(
    rng: np.random.Generator,
    updates: int,
    end: int,
    score: float,
    strength: float,
    clip: str,
    bad: bool,
) -> dict[str, Any]:
    at = np.arange(end + 1)
    progress = 1 / (1 + np.exp(-(at / updates * 12 - 8 + 5 * strength)))
    loss = math.log(10) * (1 - 0.85 * score * progress) + 0.05 * rng.standard_normal(end + 1)
    norm = np.exp(0.4 + 0.5 * rng.standard_normal(end + 1)) * (0.6 + progress)
    if bad:
        loss[-1] = norm[-1] = math.nan
    scale = np.ones(end + 1) if clip == "none" else np.minimum(1.0, 1.0 / norm)
    validated = (at % max(1, updates // 16) == 0) | (at == end)
    shown = np.where(validated, math.log(10) * (1 - 0.82 * score * progress), np.nan)
    scores = np.where(validated, 0.1 + (score - 0.1) * progress, np.nan)
    return {
        "update": at,
        "loss": loss,
        "grad_norm": norm,
        "clip_scale": scale,
        "clip_cosine": np.ones(end + 1),
        "val_loss": [None if math.isnan(value) else float(value) for value in shown],
        "val_score": [None if math.isnan(value) else float(value) for value in scores],
    }


def _profile(
    stages: Sequence[int], D: Sequence[float], steps: int, depth: int, gated: bool, bad: bool
) -> dict[str, Any]:
    lag = np.arange(steps)
    parts: list[dict[str, Any]] = []
    series = [("transport", NETWORK, "s", 0.0)]
    series += [
        ("loss", str(layer), state, 0.8 * (depth - layer))
        for layer in range(1, depth + 1)
        for state in (("h", "c") if gated else ("h",))
    ]
    for stage, (update, one) in enumerate(zip(stages, D, strict=True)):
        for probe, layer, state, lift in series:
            mean = (one - 0.3 * lift) * (lag / (steps - 1)) ** 0.9 - 0.05 * (lag > 0)
            zeros = np.where((lag > 0.95 * steps) & (one < -15), 32, 0)
            broken = np.full(steps, 32 if bad and stage == len(stages) - 1 else 0)
            wrong = (zeros + broken) >= 32
            spread = 0.25 + 0.02 * lag
            parts.append(
                {
                    "probe": np.full(steps, probe),
                    "stage": np.full(steps, stage),
                    "update": np.full(steps, update),
                    "layer": np.full(steps, layer),
                    "state": np.full(steps, state),
                    "lag": lag,
                    "log10_mean": np.where(wrong, np.nan, mean),
                    "log10_p10": np.where(wrong, np.nan, mean - spread),
                    "log10_p90": np.where(wrong, np.nan, mean + spread),
                    "log10_rms": np.where(wrong, np.nan, mean + spread / 2),
                    "n": np.full(steps, 32),
                    "n_zero": np.where(broken > 0, 0, zeros),
                    "n_nonfinite": broken,
                }
            )
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _states(
    stages: Sequence[int], D: Sequence[float], states: Sequence[str], steps: int
) -> dict[str, Any]:
    n = len(stages)
    margin = [min((abs(value - edge) for edge in (-4, -2)), default=0.0) for value in D]
    return {
        "stage": range(n),
        "update": stages,
        "layer": [NETWORK] * n,
        "lag": [steps - 1] * n,
        "D": D,
        "D_low": [d - 0.2 for d in D],
        "D_high": [d + 0.2 for d in D],
        "U": [0.3] * n,
        "U_low": [0.2] * n,
        "U_high": [0.4] * n,
        "state": list(states),
        "margin": margin,
        "slope": [d / steps for d in D],
        "residual_sd": [0.3] * n,
        "horizon": [12] * n,
        "horizon_censored": [False] * n,
        "undefined_share": [0.0] * n,
    }


def _layers(D: Sequence[float], states: Sequence[str], row: Mapping[str, Any]) -> dict[str, Any]:
    """The end state of the network: medians of the last three probes, with intervals."""
    of = {
        name: row[name]
        for name in (
            "state_init",
            "state",
            "verdict",
            "D_init",
            "D",
            "U_init",
            "U",
            "opened_at",
            "horizon_init",
            "horizon",
        )
    }
    ends = {
        "D_low": row["D"] - 0.31,
        "D_high": row["D"] + 0.31,
        "U_low": row["U"] - 0.1,
        "U_high": row["U"] + 0.1,
    }
    return {
        name: [value]
        for name, value in {
            "layer": NETWORK,
            "lag": 63,
            "margin": 7.77,
            "horizon_censored": False,
            **of,
            **ends,
        }.items()
    }


def _measures(stages: Sequence[int], strength: float, depth: int, cell: str) -> dict[str, Any]:
    """What the further probes store at the first and the last stage: exponents of 8 units a layer,
    a product that lost a direction, a timescale.
    """
    rows: list[tuple[Any, ...]] = []
    for stage, update in ((0, stages[0]), (len(stages) - 1, stages[-1])):
        for layer in range(1, depth + 1):
            where = (stage, update, layer)
            rows += [
                (
                    "lyapunov",
                    "lyapunov",
                    *where,
                    None,
                    i,
                    strength - 0.7 - 0.2 * i if i < 7 or cell != "rnn" else -math.inf,
                )
                for i in range(8)
            ]
            rows += [
                (
                    "jacobian",
                    "log10_condition",
                    *where,
                    lag,
                    None,
                    math.inf if cell == "rnn" else 0.1 * lag,
                )
                for lag in (1, 23)
            ]
            rows += [
                (
                    "recurrence",
                    "spectral_radius",
                    *where,
                    None,
                    None,
                    1 + 0.1 * layer + 0.01 * stage,
                )
            ]
            rows += [
                ("layer_profile", "log10_depth", *where, lag, None, -0.5 * (depth - layer))
                for lag in (0, 23)
            ]
            rows += [
                ("gates", "unit_timescale.z", *where, None, i, 4.0 + i)
                for i in range(8)
                if cell == "gru"
            ]
    return dict(
        zip(
            ("probe", "quantity", "stage", "update", "layer", "lag", "index", "value"),
            map(list, zip(*rows, strict=True)),
            strict=True,
        )
    )


def _traces(
    stages: Sequence[int], strength: float, steps: int, depth: int, cell: str
) -> dict[str, Any]:
    """Two examples, the second of half the length: saliency that looks back further at the end,
    attention that finds a step, a gate of a GRU.
    """
    parts: list[dict[str, Any]] = []
    for stage, update in ((0, stages[0]), (len(stages) - 1, stages[-1])):
        for example, length in enumerate((steps, steps // 2)):
            at = np.arange(length)
            event = np.where(at == 2, 2.0, 0.5)
            found: dict[tuple[str, str, int | None], np.ndarray] = {
                ("saliency", "saliency", None): (
                    10.0 ** (-(length - 1 - at) / (1 + stage * strength)) * event
                )
            }
            found |= {("saliency", "input", None): event} if stage == 0 else {}
            weights = event ** (1 + stage)
            found["attention", "attention", None] = weights / weights.sum()
            if cell == "gru":
                found |= {
                    ("gate_traces", f"gate.z.{what}", layer): np.full(
                        length, 0.5 + 0.03 * stage + shift
                    )
                    for layer in range(1, depth + 1)
                    for what, shift in (("mean", 0.0), ("p10", -0.2), ("p90", 0.2))
                }
            for (probe, quantity, layer), value in found.items():
                failure_record = {
                    "probe": probe,
                    "quantity": quantity,
                    "stage": stage,
                    "update": update,
                    "layer": layer,
                    "example": example,
                }
                parts.append(
                    {
                        **{name: [one] * length for name, one in failure_record.items()},
                        "step": at.tolist(),
                        "value": value.tolist(),
                    }
                )
    return {name: [one for part in parts for one in part[name]] for name in parts[0]}
