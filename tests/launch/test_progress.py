"""Plain lines of a launch: the time left is told once there is something to tell it from."""

from __future__ import annotations

import io
from types import SimpleNamespace

import pytest
from rich.console import Console

from study.launch import progress, run
from study.launch.progress import Progress


def test_the_time_left_is_not_told_from_the_start_up(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(progress, "time", SimpleNamespace(monotonic=lambda: clock.now))
    points = [SimpleNamespace(id=name, config={"updates": 1000}) for name in "ab"]
    out = io.StringIO()
    told = Progress([SimpleNamespace(cost=2.0, points=points)], Console(file=out, width=200))
    for now, updates in ((48.0, 1), (60.0, 500)):
        clock.now = now
        told.update(["a"], updates)
    first, second = out.getvalue().splitlines()
    assert first == "0/2 points, 0% after 48 s"
    assert second == "0/2 points, 25% after 60 s, about 180 s left"


def test_ctrl_c_while_trackers_hear_of_stored_points_ends_the_launch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Before any group is known, so that no time is noted either."""

    class Told:
        closed: list[bool] = []

        def __init__(self, *_: object) -> None: ...

        def send(self, *_: object) -> None:
            raise KeyboardInterrupt

        def close(self, *, now: bool) -> None:
            self.closed.append(now)

    monkeypatch.setattr(run, "Trackers", Told)
    settings = SimpleNamespace(trackers={}, store=SimpleNamespace(tracker_seconds=1.0))
    plan = SimpleNamespace(settings=settings, name="s", folder=None, points=[])
    assert run.train_and_track(plan, None, None, None) is True  # type: ignore[arg-type]
    assert Told.closed == [True]
