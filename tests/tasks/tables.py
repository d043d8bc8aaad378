"""Tables for tests of how they are read."""

from __future__ import annotations

import numpy as np
import pandas as pd

from study.tasks.csv import Csv
from tests.tasks.test_own_data import TABLE

RNG = np.random.default_rng(0)


def loaded(tmp_path, data, name="mine.csv", **settings):
    path = tmp_path / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    task = Csv(path=str(path), **{**TABLE, "target": "label", **settings})
    task.load()
    return task


def values(task, part="train"):
    """The raw inputs of a part [N, T, D], padding as 0."""
    of = task.parts[part]
    raw = of.x.numpy() * task.deviation + task.mean
    if of.lengths is not None:
        raw[np.arange(raw.shape[1]) >= of.lengths.numpy()[:, None]] = 0
    return raw


def steps(series=20, length=6, header="id,t,f,label", row=None):
    """A table of a row per step; row(s, t) gives the cells, by default of two classes."""
    row = row or (lambda s, t: f"s{s},{t},{RNG.normal():.3f},{'ab'[s % 2]}")
    lines = [row(s, t) for s in range(series) for t in range(length)]
    return "\n".join([header, *lines, ""])


LONG = {"series": "id", "time": "t"}
WIDE = "a,b,c,label\n" + "".join(f"{i * i % 7},{i % 5}.5,{-i},{'xy'[i % 2]}\n" for i in range(30))


def forecast(rows, header="t,f,label"):
    return "\n".join([header, *rows, ""])


def daily(count=60, skip=(), step=1):
    days = pd.date_range("2024-01-01", periods=count, freq=f"{step}D").strftime("%Y-%m-%d")
    return [
        f"{day},{RNG.normal():.3f},{np.sin(n) + n % 3:.3f}"
        for n, day in enumerate(days)
        if n not in skip
    ]


FORECAST = {"kind": "forecast", "time": "t", "window": 3}
