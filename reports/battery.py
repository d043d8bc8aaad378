"""Tests that every section must pass, ours or yours; raises AssertionError with the reason.

from reports.battery import check_section
check_section(Mine(marked=5.0))
"""

from __future__ import annotations

import itertools
import math
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from reports.blocks import Figure, Section
from reports.data.study import Study
from reports.documents.sections import has
from reports.documents.templates import Templates
from reports.interfaces import SectionRenderer
from study.records import NETWORK
from study.store import PointRecord, Store

CELLS, INITIALIZERS, SEEDS, UPDATES, EXAMPLES, STEPS = (
    ("rnn", "gru"),
    ("orthogonal", "normal"),
    (0, 1, 2),
    40,
    30,
    12,
)
FIXED = {
    "task": "made_up",
    "clip": "norm",
    "optimizer": "adam",
    "readout": "last",
    "depth": 1,
    "hidden": 8,
    "batch": 16,
    "updates": UPDATES,
}
TASK = {
    "inputs": 1,
    "outputs": 2,
    "steps": STEPS,
    "lag": STEPS,
    "every_step": False,
    "loss": "cross-entropy",
    "metric": "accuracy",
    "higher_is_better": True,
    "baseline_loss": math.log(2),
    "baseline": 0.5,
    "solved": 0.9,
    "split": "made",
    "source": "made up",
    "licence": "none needed",
}
SIZES = {"updates": (UPDATES, 4 * UPDATES), "hidden": (8, 16)}
HEALTH = {
    "exploding": 1.0,
    "fading": -2.0,
    "vanishing": -4.0,
    "undefined": 0.1,
    "examples": EXAMPLES,
}
HOSTILE = "<script>alert(1)</script>"
OUTSIDE = re.compile(
    r"""(?:src|href)\s*=\s*["']?(?:https?:)?//|url\(\s*["']?(?:https?:)?//|<script""", flags=re.I
)


def check_section(section: SectionRenderer, study: Study | None = None) -> None:
    """Check a section against its contract (reports/interfaces.py).

    Title, needs and blocks; the same bytes twice; nothing from outside, text escaped; figures with
    finding, alt text, table and how to read them. Rendered on made-up studies: complete; half
    missing, with diverged and failed points; with a hostile name; with sizes as factors, whose
    columns then hold text (see Study); and on `study` if given.
    """
    name = type(section).__name__
    assert isinstance(section.title, str) and section.title, f"{name}: title must be a text"
    assert isinstance(section.needs, tuple | list), (
        f"{name}: needs must be a tuple of names, such as ('score',), got {section.needs!r}"
    )
    with tempfile.TemporaryDirectory() as folder:
        studies = [
            made_up(Path(folder) / "whole"),
            made_up(Path(folder) / "part", stored=0.7, spoilt=True),
            made_up(Path(folder) / "hostile", first=HOSTILE),
            made_up(Path(folder) / "sizes", others=SIZES),
        ]
        studies += [study] if study is not None else []
        rendered = [
            _html(section, tried)
            for tried in studies
            if all(has(tried, need) for need in section.needs)
        ]
        assert rendered, (
            f"{name}: needs {', '.join(section.needs)}, which no made-up study has; give"
            " check_section a study of your own"
        )
        again = [
            _html(section, tried)
            for tried in studies
            if all(has(tried, need) for need in section.needs)
        ]
    assert rendered == again, f"{name}: the same store must give the same bytes"


def _html(section: SectionRenderer, study: Study) -> str:
    name, made = type(section).__name__, section.render(study)
    assert isinstance(made, Section), (
        f"{name}: render must return a Section of blocks (reports/blocks.py), got"
        f" {type(made).__name__}"
    )
    draw = Templates("checked")
    for block in made.blocks:
        assert hasattr(block, "template"), (
            f"{name}: {type(block).__name__} is no block of reports/blocks.py"
        )
        if isinstance(block, Figure):
            for part in ("finding", "alt", "how", "caption"):
                assert getattr(block, part), f"{name}: a figure without {part}"
            assert block.table is not None, f"{name}: a figure without the table behind it"
    html = "".join(draw(block) for block in made.blocks)
    found = OUTSIDE.search(html)
    assert found is None, (
        f"{name}: {found[0] if found else ''!r} in the page: nothing may come from outside, and"
        " text must be escaped"
    )
    return html


def made_up(
    folder: Path,
    *,
    stored: float = 1.0,
    spoilt: bool = False,
    first: str = CELLS[0],
    others: Mapping[str, Sequence[Any]] = MappingProxyType({"initializer": INITIALIZERS}),
) -> Study:
    """A study with plausible numbers: two cells × the levels of `others` × three seeds.

    `spoilt`: one point diverged, one failed.
    """
    store, factors = Store(folder), {"cell": [first, CELLS[1]], **others}
    grid = [
        {"id": f"{number:016x}", "seed": seed, "labels": dict(zip(factors, levels, strict=True))}
        for number, (*levels, seed) in enumerate(itertools.product(*factors.values(), SEEDS))
    ]
    declaration = {
        "factors": {key: list(levels) for key, levels in factors.items()},
        "seeds": list(SEEDS),
        "excluded": [],
        "arms": [],
        "fixed": {key: value for key, value in FIXED.items() if key not in factors},
        "grid": grid,
        "tasks": {"made_up": TASK},
        "health": HEALTH,
    }
    about: dict[str, Any] = {
        "name": folder.name,
        "experiment": None,
        "title": "A made-up study",
        "question": "Does the section hold?",
        "fingerprint": {},
    }
    launch = {
        "time": "2026-01-01T00:00:00+00:00",
        "command": "made up",
        "versions": {},
        "workers": 1,
        "device": "cpu",
        "planned": len(grid),
        "seconds": 1.0,
    }
    store.declare({**about, "declaration": declaration}, launch)
    for number, point in enumerate(grid[: round(stored * len(grid))]):
        store.write(
            _point(
                number,
                point,
                (
                    "diverged"
                    if spoilt and number == 1
                    else "failed"
                    if spoilt and number == 2
                    else "done"
                ),
            )
        )
    return Study(store)


def _point(number: int, point: dict[str, Any], status: str) -> PointRecord:
    rng = np.random.default_rng(number)
    labels = {"initializer": INITIALIZERS[0], **FIXED, **point["labels"], "seed": point["seed"]}
    row: dict[str, Any] = {
        **labels,
        "id": point["id"],
        "status": status,
        "reason": None if status == "done" else "made up",
    }
    if status == "failed":
        return PointRecord(
            point["id"],
            row,
            labels,
            "a: 1\n",
            [],
            {},
            failure={"type": "Error", "message": "made up", "traceback": ""},
        )
    right = (rng.random(EXAMPLES) < 0.6 + 0.3 * (number >= 6)).astype(float)
    D = rng.uniform(-6, 0, 2)
    row |= {
        "verdict": "mixed",
        "outcome": "diverged" if status == "diverged" else "learning",
        "state_init": "fading",
        "state": "carrying",
        "score": right.mean(),
        "score_se": right.std(ddof=1) / math.sqrt(EXAMPLES),
        "val_score": right.mean(),
        "final_score": right.mean(),
        "train_score": 0.9,
        "baseline": 0.5,
        "baseline_loss": math.log(2),
        "val_loss": 0.4,
        "D_init": D[0],
        "D": D[1],
        "U_init": 0.1,
        "U": 0.2,
        "horizon_init": 4,
        "horizon": 9,
        "horizon_censored": False,
        "clip_rate": 0.2,
        "shrink": 0.6,
        "max_grad_norm": 4.0,
        "params": 100 + 200 * (number >= 6),
        "updates_done": labels["updates"],
        "steps": STEPS,
        "lag": STEPS,
        "seconds": 1.5,
    }
    tables: dict[str, dict[str, Any]] = {
        "history": _history(rng),
        "states": _states(D),
        "test": {"example": np.arange(EXAMPLES), "value": right},
    }
    return PointRecord(point["id"], row, labels, "a: 1\n", [], {"seconds": 1.5}, tables=tables)


def _history(rng: np.random.Generator) -> dict[str, Any]:
    at = np.arange(UPDATES + 1)
    shown = [math.log(2) * math.exp(-one / 30) if one % 10 == 0 else None for one in at]
    return {
        "update": at,
        "loss": math.log(2) * np.exp(-at / 30),
        "grad_norm": rng.uniform(0.5, 2, UPDATES + 1),
        "clip_scale": np.ones(UPDATES + 1),
        "clip_cosine": np.ones(UPDATES + 1),
        "val_loss": shown,
        "val_score": [None if one is None else 1 - one / 2 for one in shown],
    }


def _states(D: np.ndarray) -> dict[str, Any]:
    return {
        "stage": [0, 1],
        "update": [0, UPDATES],
        "layer": [NETWORK] * 2,
        "lag": [STEPS - 1] * 2,
        "D": list(D),
        "D_low": list(D - 0.2),
        "D_high": list(D + 0.2),
        "U": [0.1, 0.2],
        "U_low": [0.0, 0.1],
        "U_high": [0.2, 0.3],
        "state": ["fading", "carrying"],
        "margin": [0.5, 0.5],
        "slope": list(D / STEPS),
        "residual_sd": [0.1] * 2,
        "horizon": [4, 9],
        "horizon_censored": [False] * 2,
        "undefined_share": [0.0] * 2,
    }
