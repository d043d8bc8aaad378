"""The rules that every executor keeps, and what is left when it is closed."""

from __future__ import annotations

import dataclasses

from skeleton import Skeleton

from study.battery.executors import check_executor
from study.battery.folder import tiny_group
from study.store import Store
from study.training.checkpoints import Checkpoints


def test_it_keeps_the_rules_of_executors(tmp_path):
    check_executor(lambda: Skeleton(max_members=8, same_failures=5), tiny_group(tmp_path), tmp_path)


def test_closing_it_stops_training_and_keeps_checkpoints(tmp_path):
    (point, *_), folder = tiny_group(tmp_path).points, tmp_path / "closed"
    endless = dataclasses.replace(point, config={**point.config, "updates": 1_000_000})
    group = dataclasses.replace(tiny_group(tmp_path), points=(endless,))
    folder.mkdir()
    running = Skeleton(max_members=8, same_failures=5).run([group], folder)
    while next(running)["update"] < 2:
        pass
    running.close()
    assert Store(folder).status(point.id) is None
    assert Checkpoints(folder).updates([point.id])[point.id] >= 2
