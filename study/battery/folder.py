"""Checks all pieces in a folder of your own.

Every YAML in DIR/cell, DIR/task, … is built, checked by the battery of its kind, planned like any
point and trained for two updates; sections are rendered on the resulting study.
"""

from __future__ import annotations

import sys
import tempfile
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.core.config_loader import ConfigLoader

import study.battery as battery
from reports.battery import check_section
from reports.data.study import Study
from reports.documents.sections import build as build_section
from reports.documents.sections import declared_sections
from study.battery.encoders import accepts
from study.config.build import build, build_for_members
from study.config.check import NAMED_PIECES
from study.config.compose import Combination, compose, to_combination
from study.config.loader import config_loader
from study.config.paths import conf_folder
from study.config.tasks import load_task
from study.interfaces import Group
from study.launch.plan import make_plan
from study.launch.run import declare
from study.program import command
from study.records import StudyError
from study.store import Store
from study.training.engine import run_group


def _members(
    node: Mapping[str, Any], key: str, dtype: torch.dtype = torch.float32
) -> Callable[[int], Any]:
    return lambda members: build_for_members([node] * members, key, torch.device("cpu"), dtype)


BATTERIES: Mapping[str, Callable[[Mapping[str, Any], str], None]] = {
    "task": lambda node, key: battery.check_task(build(node, key)),
    "cell": lambda node, key: battery.check_cell(build(node, key)),
    "initializer": lambda node, key: battery.check_initializer(build(node, key)),
    "clip": lambda node, key: battery.check_clip(_members(node, key)),
    "optimizer": lambda node, key: battery.check_optimizer(_members(node, key)),
    "penalty": lambda node, key: battery.check_penalty(_members(node, key)),
    "schedule": lambda node, key: battery.check_schedule(_members(node, key, torch.float64)),
    "encoder": lambda node, key: battery.check_encoder(build(node, key)),
    "block": lambda node, key: battery.check_block(build(node, key)),
    "readout": lambda node, key: battery.check_readout(build(node, key)),
    "probe": lambda node, key: battery.check_probe(build(node, key)),
}
KINDS = (*BATTERIES, "model", "trainer", "tracker", "executor", "section")
# For models and trainers: a class a sequence, a number a sequence, a symbol a step.
TASKS = ("task=digits", "task=adding", "task=copying")
TINY = (
    "updates=2",
    "hidden=8",
    "batch=8",
    "validate_every=1",
    "health.examples=8",
    "health.stages=[0,1]",
    "tracker=[]",
    "device=cpu",
    "name=checked",
)


def find_pieces(folder: Path) -> list[tuple[str, str]]:
    """(kind, level) of every YAML that can be checked, in order; StudyError if there is none."""
    if not folder.is_dir():
        raise StudyError(f"DIR: {folder} is not a folder")
    pieces = [
        (kind, path.stem) for kind in KINDS for path in sorted((folder / kind).glob("*.yaml"))
    ]
    if not pieces:
        raise StudyError(
            f"DIR: {folder} has no YAML in a folder named {', '.join(KINDS)};"
            f" {command('study.new', 'KIND', 'NAME', '--into', str(folder))} writes a first piece"
        )
    return pieces


def check(folder: Path) -> Iterator[tuple[str, str | None]]:
    """Yield (KIND/LEVEL.yaml, what is wrong, or None) for each piece."""
    pieces = find_pieces(folder)
    sys.path.insert(0, str(folder.resolve()))
    loader = config_loader([folder.resolve()])
    with tempfile.TemporaryDirectory() as outputs:
        for kind, level in pieces:
            try:
                _refuse_our_name(kind, level)
                if kind == "section":
                    _section(loader, folder, level, Path(outputs))
                elif kind in ("model", "trainer"):
                    _own_training(loader, kind, level, Path(outputs) / kind / level)
                elif kind in ("tracker", "executor"):
                    _receiver(loader, kind, level, Path(outputs) / kind / level)
                else:
                    _piece(loader, kind, level, Path(outputs))
                yield f"{kind}/{level}.yaml", None
            except (AssertionError, StudyError) as error:
                yield f"{kind}/{level}.yaml", str(error)
            # a piece may raise anything, and the others must still be checked
            except Exception as error:
                frame = traceback.extract_tb(error.__traceback__)[-1]
                yield (
                    f"{kind}/{level}.yaml",
                    (
                        f"{type(error).__name__}: {error} ({Path(frame.filename).name}, line"
                        f" {frame.lineno})"
                    ),
                )


def _refuse_our_name(kind: str, level: str) -> None:
    """Hydra finds conf/ first, so a piece with one of our names would never be used. A section may
    have one: it replaces ours.
    """
    if kind != "section" and (conf_folder() / kind / f"{level}.yaml").exists():
        raise StudyError(
            f"{kind}: {level} is one of ours, which is found first; choose another name"
        )


def _piece(loader: ConfigLoader, kind: str, level: str, outputs: Path) -> None:
    """Run the battery of its kind, plan it, and train it for two updates beside another point."""
    chosen = [
        f"{kind}=[transport,loss,recurrence,{level}]" if kind in NAMED_PIECES else f"{kind}={level}"
    ]
    if (
        kind == "readout"
        and build(_composed(loader, chosen, 0, outputs).config["readout"], "readout").every_step
    ):
        chosen = ["task=copying", *chosen]
    if kind == "encoder":
        chosen = [_task_for(loader, chosen, outputs), *chosen]
    composed = [_composed(loader, chosen, seed, outputs) for seed in (0, 1)]
    node = composed[0].config[kind]
    BATTERIES[kind](
        node[level] if kind in NAMED_PIECES else node,
        f"{kind}.{level}" if kind in NAMED_PIECES else kind,
    )
    _trained(composed)
    if kind == "cell":
        arrays = [f"task.path={_three_channels(outputs)}", "task=npz", *chosen]
        try:
            _trained([_composed(loader, arrays, seed, outputs) for seed in (0, 1)])
        except (AssertionError, StudyError) as error:
            raise StudyError(f"with 3 inputs and lengths that differ: {error}") from error


def _three_channels(outputs: Path) -> Path:
    """A file of sequences of unequal lengths with three channels, in two classes."""
    path, rng = outputs / "three_channels.npz", np.random.default_rng(0)
    classes = np.arange(60) % 2
    x = rng.normal(size=(60, 9, 3)) + classes[:, None, None]
    np.savez(path, x=x.astype("float32"), y=classes, lengths=rng.integers(4, 10, 60))
    return path


def _section(loader: ConfigLoader, folder: Path, level: str, outputs: Path) -> None:
    """Check a section on synthetic studies and on a trained one."""
    trained = outputs / "checked"
    if not (trained / "study.json").exists():
        _trained([_composed(loader, [], seed, outputs) for seed in (0, 1)])
    (one,) = [each for each in declared_sections([folder]) if each.name == level]
    check_section(build_section(one), Study(Store(trained)))


def _receiver(loader: ConfigLoader, kind: str, level: str, outputs: Path) -> None:
    """Run the battery of a tracker or an executor."""
    chosen = f"{kind}=[{level}]" if kind in NAMED_PIECES else f"{kind}={level}"
    config = _composed(loader, [chosen], 0, outputs).config
    if kind == "tracker":
        node = config[kind][level]
        battery.check_tracker(lambda: build(node, f"tracker.{level}"), outputs)
    else:
        group = _group([_composed(loader, [], seed, outputs) for seed in range(3)])
        battery.check_executor(lambda: build(config[kind], kind), group, outputs)


def _own_training(loader: ConfigLoader, kind: str, level: str, outputs: Path) -> None:
    """Train a model or a trainer on the first built-in task that it fits."""
    why: list[str] = []
    for task in TASKS:
        chosen = [f"{kind}={level}", task, "updates=6", "validate_every=2", "store.weights=true"]
        try:
            points = make_plan(
                [_composed(loader, chosen, seed, outputs) for seed in range(3)], None, None
            ).points
        except StudyError as error:
            why.append(f"{task}: {str(error).splitlines()[0]}")
            continue
        {"model": battery.check_model, "trainer": battery.check_trainer}[kind](points)
        return
    raise StudyError(f"{kind}: {level} fits none of these tasks. {'; '.join(why)}")


def tiny_group(outputs: Path) -> Group:
    """Three points of a tiny study of built-in pieces, for tests of executors."""
    return _group([_composed(config_loader(), [], seed, outputs) for seed in range(3)])


def _group(composed: Sequence[Combination]) -> Group:
    return Group(name="1", points=tuple(make_plan(composed, None, None).points), cost=1.0)


def _task_for(loader: ConfigLoader, chosen: Sequence[str], outputs: Path) -> str:
    """A built-in task whose inputs the encoder accepts."""
    tasks = ("task=digits", "task=caption", "task=moving_digits")
    for task in tasks:
        config = _composed(loader, [task, *chosen], 0, outputs).config
        if accepts(build(config["encoder"], "encoder"), load_task(config["task"]).facts.inputs):
            return task
    raise StudyError(
        f"encoder: takes the inputs of none of {', '.join(tasks)}, so it cannot be trained here;"
        " its YAML's settings must fit one of them"
    )


def _composed(loader: ConfigLoader, chosen: Sequence[str], seed: int, outputs: Path) -> Combination:
    tiny = [
        each for each in TINY if each.split("=")[0] not in {one.split("=")[0] for one in chosen}
    ]
    return to_combination(
        compose(loader, "config", [*chosen, *tiny, f"seed={seed}", f"store.folder={outputs}"]), []
    )


def _trained(composed: Sequence[Combination]) -> None:
    plan = make_plan(composed, None, None)
    store = Store(plan.folder)
    declare(store, plan, plan.fingerprint(), 1, "check")
    run_group(
        Group(name="1", points=tuple(plan.points), cost=1.0),
        plan.folder,
        "cpu",
        lambda update: None,
    )
    failed = [
        result["row"]["reason"]
        for result in map(store.result, (point.id for point in plan.points))
        if result["row"]["status"] == "failed"
    ]
    assert not failed, f"training fails: {failed[0]}"
