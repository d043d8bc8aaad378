"""Stores at the edges: names that are long, of other scripts or written from right to left, many
arms, nothing that varies. Rendered and seen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from reports.__main__ import main
from reports.documents.page import write
from study.store import Store, seal
from tests.reports.browser import opened
from tests.reports.synthetic import make

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TABLES = ("history", "profile", "states", "test")
LONG = ["gated_" + "very_" * 38 + "long", "plain" + "x" * 195]
SMALL = {"steps": 8, "updates": 40, "examples": 30, "tables": TABLES}


def constant(folder: Path) -> Store:
    """Every number of every point is the same."""
    store = make(
        folder, factors={"cell": ["rnn", "gru"], "initializer": ["orthogonal", "normal"]}, **SMALL
    )
    import json

    for path in (store.folder / "points").glob("*/result.json"):
        result = json.loads(path.read_text())
        result["row"] |= {
            "score": 0.5,
            "score_se": 0.0,
            "val_score": 0.5,
            "final_score": 0.5,
            "train_score": 0.5,
            "D": -1.0,
            "U": 0.0,
            "seconds": 1.0,
        }
        seal(path.parent, result)
    for path in (store.folder / "points").glob("*/test.parquet"):
        frame = pd.read_parquet(path)
        frame["value"] = np.where(frame["example"] % 2, 1.0, 0.0)
        frame.to_parquet(path, index=False)
        seal(path.parent, json.loads((path.parent / "result.json").read_text()))
    return store


STORES = {
    "no finished network": lambda folder: make(
        folder, stored=0.0, factors={"cell": ["rnn", "gru"], "clip": ["none", "norm"]}, **SMALL
    ),
    "one seed": lambda folder: make(
        folder, seeds=(0,), factors={"cell": ["rnn", "gru"], "clip": ["none", "norm"]}, **SMALL
    ),
    "one level": lambda folder: make(folder, factors={"cell": ["gru"]}, **SMALL),
    "all diverged": lambda folder: make(
        folder, diverged=(-1,), factors={"cell": ["rnn", "gru"], "clip": ["none", "norm"]}, **SMALL
    ),
    "a constant metric": constant,
    "60 recipes": lambda folder: make(
        folder,
        factors={"cell": ["rnn", "lstm", "gru"], "initializer": [f"rule_{n}" for n in range(20)]},
        seeds=(0, 1),
        **SMALL,
    ),
    "names of 200 characters": lambda folder: make(
        folder, factors={"cell": LONG, "initializer": ["orthogonal", LONG[0][::-1]]}, **SMALL
    ),
    "CJK names": lambda folder: make(
        folder,
        factors={"cell": ["門控循環單元", "長短期記憶"], "initializer": ["直交", "正規"]},
        question="勾配は届くか？",
        **SMALL,
    ),
    "right-to-left names": lambda folder: make(
        folder, factors={"cell": ["شبكة", "בקרה"], "initializer": ["متعامد", "רגיל"]}, **SMALL
    ),
}


@pytest.mark.parametrize("name", STORES)
def test_it_renders_whole_fits_a_phone_and_draws_inside_its_pictures(
    browser: Any, tmp_path: Path, name: str
) -> None:
    store = STORES[name](tmp_path / "edge")
    path = write(store.folder)
    assert "data-broken" not in path.read_text(encoding="utf-8")
    page, noise = opened(browser, path, viewport={"width": 390, "height": 800})
    page.evaluate("() => document.querySelectorAll('details').forEach(one => one.open = true)")
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    # Text of a picture may touch its edge, but not lie beyond it.
    beyond = page.evaluate(
        """() => Array.from(document.querySelectorAll('.drawing svg')).flatMap(svg => {
            const frame = svg.closest('.drawing').getBoundingClientRect();
            const slack = 8 + 0.03 * frame.width;
            return Array.from(svg.querySelectorAll('text')).filter(text => {
                const box = text.getBoundingClientRect();
                return box.width &&
                    (box.left < frame.left - slack || box.right > frame.right + slack);
            }).map(text => svg.closest('section').id + ': ' + text.textContent.slice(0, 30));
        })"""
    )
    assert beyond == []
    assert noise == []
    assert main(["check", str(store.folder), "--fail-if", "score < -1"]) in (0, 1)
