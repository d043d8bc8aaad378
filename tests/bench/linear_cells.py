"""One update of a cell that is linear in its state, on one thread: step by step / compiled; the
faster of JAX's lax.scan and associative_scan / compiled; and what length costs.

JAX is in an environment of its own: JAX_PYTHON=/path/to/python. Without it, its rows are left out.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import numpy as np
import torch

from study.cells.lru import LRU
from study.cells.mingru import MinGRU
from study.interfaces import Cell
from study.kernels.native import scan
from study.machine.processes import ENVIRONMENT
from study.model import Model
from study.readouts.last import Last
from tests.bench.figure import Found, Goal, TrialRequest, Value, in_turn

TITLE = "linear cells: step by step, JAX / the compiled pass over time"
SIZES = {"steps": 1000, "batch": 32, "inputs": 2, "hidden": 64}
CELLS = {"lru": LRU(r_min=0.9, r_max=0.999, largest_phase=6.28), "mingru": MinGRU()}
STEPWISE, JAX = Goal(least=5), Goal(least=2)
LINEAR = Goal(most=20)  # ten times the steps, and what the gradients need computed twice
UPDATES = 5


def measure(asked: TrialRequest, repeat: int) -> Found:
    found: dict[str, Value] = {}
    steps = max(64, round(SIZES["steps"] * asked.share))
    jax = by_jax(steps) if os.environ.get("JAX_PYTHON") else {}
    for name, cell in CELLS.items():
        them, us = in_turn(
            repeat,
            lambda cell=cell: seconds(cell, "reference", steps, 2),
            lambda cell=cell: seconds(cell, "native", steps, UPDATES),
        )
        found[f"{name}, step by step"] = Value.ratio(them, us, STEPWISE)
        if name in jax:
            way = min(jax[name], key=lambda way: jax[name][way])
            found[f"{name}, JAX ({way})"] = Value.ratio(jax[name][way], us, JAX)
        long = seconds(cell, "native", 10 * steps, 2)
        found[f"{name}, {10 * steps:,} steps / {steps:,}"] = Value.ratio(long, us, LINEAR)
        asked.say(f"repeat {repeat + 1}: {name}: {them:.3f} s step by step, {us:.3f} s compiled")
    found["scan there and back: share of a copy's rate"] = Value(100 * rate_of_a_copy(), "%")
    return found


def seconds(cell: Cell, kernel: str, steps: int, updates: int) -> float:
    """CPU seconds of the median update: forward, backward, and a step of gradient descent."""
    model = Model(
        cell=cell,
        readout=Last(),
        inputs=SIZES["inputs"],
        outputs=1,
        hidden=SIZES["hidden"],
        depth=1,
        dropout=0.0,
        kernel=kernel,
    )
    drawn = torch.Generator().manual_seed(0)
    flat = 0.1 * torch.randn(1, model.width, generator=drawn)
    x = torch.randn(1, SIZES["batch"], steps, SIZES["inputs"], generator=drawn)
    y = torch.randn(1, SIZES["batch"], 1, generator=drawn)
    found = []
    for _ in range(updates + 1):  # the first one compiles
        started = time.process_time()
        leaf = flat.requires_grad_()
        (model.forward(model.named(leaf), x, None) - y).square().mean().backward()
        assert leaf.grad is not None
        flat = (leaf - 1e-3 * leaf.grad).detach()
        found.append(time.process_time() - started)
    return sorted(found[1:])[updates // 2]


def by_jax(steps: int) -> dict[str, dict[str, float]]:
    ran = subprocess.run(
        [
            os.environ["JAX_PYTHON"],
            str(Path(__file__).with_name("by_jax.py")),
            json.dumps(SIZES | {"steps": steps}),
        ],
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"} | ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(json.loads(ran.stdout))


def rate_of_a_copy() -> float:
    """Bytes a second of the real scan, forward and backward, as a share of those of a copy."""
    shape = (SIZES["steps"], SIZES["batch"] * SIZES["hidden"])
    a, b, s, ds, da = (np.full(shape, 0.5, np.float32) for _ in range(5))
    first, carry, given = np.zeros((3, 1, shape[1]), np.float32)

    def passes() -> None:
        scan.forward(a, b, first[0], s)
        scan.backward(a, first[0], s, given, carry[0], ds, da)

    wide = np.full((8, *shape), 0.5, np.float32)  # more than a cache holds
    copy = np.empty_like(wide)
    copied = _fastest(lambda: np.copyto(copy, wide)) / len(wide)  # of two arrays
    return (7 / _fastest(passes)) / (2 / copied)  # a, b, s; a, s, ds, da


def _fastest(run) -> float:
    found = []
    for _ in range(6):
        started = time.process_time()
        run()
        found.append(time.process_time() - started)
    return min(found[1:])
