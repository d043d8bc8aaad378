"""What is timed: the groups of a committed study, and how long its training takes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import torch
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.types import RunMode

from study.config.compose import compose_all, read_sweep
from study.config.paths import conf_folder
from study.config.setup import set_up
from study.hydra_plugins import register
from study.interfaces import Point
from study.launch.plan import make_plan
from study.training.loop import train
from study.training.precision import fixed_numerics
from study.training.state import prepare


def structures(
    experiment: str, members: int, *overrides: str, device: str = "cpu"
) -> dict[str, list[Point]]:
    """The first points of each group of a committed study, by cell and depth; `members` of them,
    evenly taken.
    """
    register()
    loader = ConfigLoaderImpl(create_config_search_path(str(conf_folder().resolve())))
    typed = [f"experiment={experiment}", "tracker=[]", f"device={device}", *overrides]
    first = loader.load_configuration("config", typed[:1], run_mode=RunMode.MULTIRUN)
    of = read_sweep(loader, dict(first.hydra.sweeper.params), typed)
    plan = make_plan(compose_all(loader, "config", of), of, experiment)
    groups: dict[str, list[Point]] = {}
    for point in plan.points:
        groups.setdefault(set_up(point.config).group_key, []).append(point)
    return {
        f"{points[0].labels['cell']} depth {points[0].config['depth']}": points[
            :: max(1, len(points) // members)
        ][:members]
        for points in groups.values()
    }


def clock(device: str = "cpu") -> float:
    """CPU seconds, which other processes do not touch; beside a GPU, seconds on the wall when all
    its work is done.
    """
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.monotonic()


def seconds(points: Sequence[Point], device: str = "cpu") -> float:
    """Seconds of all updates, with validations and probes, without set-up."""
    with fixed_numerics():
        training = prepare(points, device)
        start = clock(device)
        train(training, lambda update: None)
        return clock(device) - start


def bare(points: Sequence[Point]) -> list[Point]:
    return [replace(point, config={**point.config, "probe": {}}) for point in points]


def shorter(points: Sequence[Point], share: float) -> list[Point]:
    """The same points with a share of their updates."""
    return [
        replace(
            point,
            config={**point.config, "updates": max(1, round(point.config["updates"] * share))},
        )
        for point in points
    ]
