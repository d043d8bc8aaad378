"""Checks of trackers."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from study.interfaces import Point, Tracker
from study.store import PointRecord, Store

LAUNCHES = 2
PAUSE = 0.3  # seconds
HEALTH = {"layer": "network", "D": -1.0, "U": 0.0}
ROWS = [{"update": 0, "time": 1.6e9, "loss": 1.0, "grad_norm": 0.5, "states": [HEALTH]}]


def check_tracker(make_tracker: Callable[[], Tracker], folder: Path) -> None:
    """Check that a tracker accepts each point repeatedly, also while it trains and when it fails,
    does not change stored files, and writes nothing twice (files but logs do not grow) when a later
    launch sends the same points again.

    `make_tracker()` builds it; `folder`: a place for a study of two points.
    """
    store = Store(folder / "checked")
    for seed, status in enumerate(("done", "diverged")):
        store.write(_point(seed, status))
    before, name = _digests(store.folder / "points"), type(make_tracker()).__name__
    written: dict[str, int] = {}
    for launch in range(LAUNCHES):
        tracker = make_tracker()
        try:
            tracker.open("checked", store.folder)
            for id in [*store.ids(), *store.ids()]:
                result = store.result(id)
                point = Point(id, store.config(id), result["labels"], result["row"]["seed"])
                tracker.update(point, ROWS)
                tracker.log(result, store.point_folder(id))
            tracker.fail("f" * 12, "RuntimeError: on purpose")
            tracker.close()
        except Exception as error:
            raise AssertionError(
                f"{name}: {type(error).__name__}: {error}. A tracker that raises is switched off"
            ) from error
        sizes = _settled(store.folder)
        grown = [file for file, size in sizes.items() if launch and size > written.get(file, 0)]
        assert not grown, (
            f"{name}: a second launch with the same points wrote again into {grown[0]}; log() must"
            " recognize a point that it has logged"
        )
        written = sizes
    assert _digests(store.folder / "points") == before, (
        f"{name}: changed what is stored in points/; a tracker writes beside it"
    )


def _point(seed: int, status: str) -> PointRecord:
    id = f"{seed:012x}"
    infinite = [float("inf")] if status == "diverged" else [0.5]
    return PointRecord(
        id=id,
        row={"id": id, "seed": seed, "cell": "rnn", "status": status, "score": 0.5 - seed / 10},
        labels={"cell": "rnn", "seed": seed},
        config="cell: {_target_: study.cells.rnn.RNN}\nseed: 0\n",
        overrides=["cell=rnn"],
        provenance={},
        tables={"history": {"update": [0, 1], "loss": [1.0, *infinite], "grad_norm": [1.0, None]}},
        weights={"bias": np.zeros(2)},
    )


def _written(folder: Path) -> dict[str, int]:
    """Sizes of what a tracker wrote in the study's folder, without its logs."""
    return {
        str(path.relative_to(folder)): path.stat().st_size
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and path.suffix != ".log"
        and path.relative_to(folder).parts[0] != "points"
    }


def _settled(folder: Path) -> dict[str, int]:
    """As `_written`, once nothing has grown for a while: a library may write in a process of its
    own, which a busy machine delays.
    """
    sizes = _written(folder)
    for _ in range(20):
        time.sleep(PAUSE)
        before, sizes = sizes, _written(folder)
        if sizes == before:
            break
    return sizes


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
