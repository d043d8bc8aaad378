"""What a model and a trainer of the user's own cost: the same LSTM as a torch.nn.Module and as the
stack, and a point of a trainer that does nothing.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from study.interfaces import Group, Point
from study.records import OWN
from study.training.engine import run_group
from tests.bench.figure import Found, Goal, TrialRequest, Value, in_turn
from tests.bench.structures import bare, seconds, shorter, structures

TITLE = "own torch.nn.Module / the stack; a point of an own trainer"
REPEATS = 2
MEMBERS = (6, 1)
TRAINED = 50  # points of the trainer
MODULE = {
    "_target_": "tests.bench.plain_torch.Fused",
    "kind": "lstm",
    "inputs": "task.inputs",
    "hidden": 32,
    "depth": 1,
    "outputs": "task.outputs",
}


def measure(asked: TrialRequest, repeat: int) -> Found:
    found: dict[str, Value] = {}
    for members in MEMBERS:
        (points,) = structures("digits", members, "depth=1", "cell=lstm").values()
        points = shorter(points, asked.share)
        for name, of in (("default probes", points), ("no probes", bare(points))):
            own = as_module(of)
            for each in (of, own):  # compiled and imported before anything is timed
                seconds(shorter(each, 0.01 / asked.share))
            them, us = in_turn(repeat, lambda own=own: seconds(own), lambda of=of: seconds(of))
            found[f"lstm, {members} members, {name}"] = Value.ratio(them, us)
            asked.say(f"repeat {repeat + 1}: {members} members, {name}: {them:.1f} s, {us:.1f} s")
    trained(points[:1], 1)  # imports
    found[f"{TRAINED} points of a trainer"] = Value(
        1000 * trained(points[:1], TRAINED) / TRAINED, "ms", Goal(most=50)
    )
    return found


def as_module(points: Sequence[Point]) -> list[Point]:
    return [replace(point, config={**point.config, "model": MODULE}) for point in points]


def nothing(config: Any, point: Any) -> None:
    point.log(config.updates, train_loss=0.0, val_loss=1.0, val_score=0.5)
    point.finish(score=0.5)


def trained(points: Sequence[Point], number: int) -> float:
    """CPU seconds of so many points, stored as a worker stores them."""
    (one,) = points
    node = {"trainer": {"_target_": f"{__name__}.nothing"}}
    labels = {**dict.fromkeys(one.labels, OWN), "task": one.labels["task"]}
    started = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(number):
            config = {**one.config, **node, "seed": seed}
            own = replace(one, id=f"p{seed}", config=config, labels=labels, seed=seed)
            run_group(Group("1", (own,), 1.0), Path(folder), "cpu", lambda update: None)
    return time.process_time() - started
