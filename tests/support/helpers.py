"""Small pieces whose answers are known, and ways to put a trace or a group together by hand."""

from __future__ import annotations

import signal
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from study.battery.probes import Descent
from study.interfaces import (
    Batch,
    Cell,
    Group,
    Parameter,
    Params,
    Point,
    Readout,
    State,
    Task,
    TaskFacts,
)
from study.model import Model
from study.store import Store
from study.training.engine import run_group
from study.training.trace import StageTrace

HEALTH = {
    "stages": [0, 0.01, 0.03, 0.1, 0.3, 0.6, 0.8, 1],
    "examples": 64,
    "exploding": 1.0,
    "fading": -2.0,
    "vanishing": -4.0,
    "undefined": 0.1,
    "horizon": 1e-3,
    "stuck": 0.95,
    "blown": 2.0,
    "spike": 6.0,
    "radius_jump": 1.5,
    "radius_blown": 10.0,
    "saturation_jump": 0.2,
    "bootstrap": 50,
}


class Linear(Cell):
    """h_t = W h_{t-1} + W_x x_t: gradients are powers of W."""

    def shapes(self, inputs: int, hidden: int) -> tuple[Parameter, ...]:
        return (
            Parameter("weight_x", "input", ("h",), (hidden, inputs)),
            Parameter("weight_h", "recurrent", ("h",), (hidden, hidden)),
        )

    def project(self, params: Params, x: Tensor) -> Tensor:
        return x @ params["weight_x"].transpose(1, 2)[:, None]

    def step(self, params: Params, x: Tensor, state: State) -> State:
        return (torch.baddbmm(x, state[0], params["weight_h"].transpose(1, 2)),)


class LRU(Cell):
    """Diagonal linear recurrence h_t = λ ⊙ h_{t-1} + W_x x_t (Orvieto 2023, real modes)."""

    def shapes(self, inputs: int, hidden: int) -> tuple[Parameter, ...]:
        return (
            Parameter("weight_x", "input", ("h",), (hidden, inputs)),
            Parameter("decay", "recurrent", ("h",), (hidden,)),
        )

    def step(self, params: Params, x: Tensor, state: State) -> State:
        return (params["decay"][:, None] * state[0] + x @ params["weight_x"].transpose(1, 2),)


class MinGRU(Cell):
    """h_t = (1-z_t) ⊙ h_{t-1} + z_t ⊙ x̃_t with z of the input alone (Feng 2024)."""

    def shapes(self, inputs: int, hidden: int) -> tuple[Parameter, ...]:
        return (Parameter("weight_x", "input", ("z", "n"), (hidden, inputs)),)

    def step(self, params: Params, x: Tensor, state: State) -> State:
        z, n = (x @ params["weight_x"].transpose(1, 2)).chunk(2, -1)
        z = z.sigmoid()
        return ((1 - z) * state[0] + z * n,)


class PlainReadout(Readout):
    """Outputs are W h of the last valid step, or of every step."""

    def __init__(self, *, every_step: bool) -> None:
        self.every_step = every_step

    def shapes(self, hidden: int, outputs: int) -> tuple[Parameter, ...]:
        return (Parameter("weight", "readout", ("y",), (outputs, hidden)),)

    def __call__(self, params: Params, h: Tensor, lengths: Tensor | None) -> Tensor:
        if not self.every_step:
            last = (
                torch.full(h.shape[:1] + h.shape[2:3], h.shape[1] - 1)
                if lengths is None
                else lengths - 1
            )
            h = h.gather(1, last[:, None, :, None].expand(-1, 1, -1, h.shape[-1]))[:, 0]
            return h @ params["weight"].transpose(1, 2)
        return (h @ params["weight"].transpose(1, 2)[:, None]).transpose(1, 2)


class Sum(Task):
    """Regression on the outputs' sum: the simplest loss of the last step, or of every step."""

    def __init__(self, *, steps: int, inputs: int, every_step: bool, lag: int | None) -> None:
        self.steps, self.inputs, self.every_step, self.lag = steps, inputs, every_step, lag

    def load(self) -> None: ...

    @property
    def facts(self) -> TaskFacts:
        return TaskFacts(
            self.inputs,
            1,
            self.steps,
            self.lag,
            self.every_step,
            "mse",
            "mse",
            False,
            baseline_loss=1.0,
            baseline=1.0,
            solved=0.01,
            split="none",
            source="made",
            licence="none",
        )

    def data_hash(self) -> str:
        return "sum"

    def sample(self, stream: Any, update: int, batch: int) -> Batch:
        x = torch.rand(batch, self.steps, self.inputs, generator=stream(update))
        y = x.sum(2).cumsum(1)[..., None] if self.every_step else x.sum((1, 2))[:, None]
        return Batch(x=x, y=y / self.steps)

    def split(self, part: str) -> Batch:
        return self.sample(lambda *key: torch.Generator().manual_seed(len(part)), 0, 50)

    def step_loss(self, outputs: Tensor, batch: Batch, anchor: Tensor) -> Tensor:
        error = (outputs - batch.y).square().sum(-1)
        return (
            error.gather(-1, anchor[None, :, None].expand(len(error), -1, 1))[..., 0]
            if self.every_step
            else error
        )

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        return self.metric(outputs, batch).mean(1)

    def metric(self, outputs: Tensor, batch: Batch) -> Tensor:
        error = (outputs - batch.y).square().sum(-1)
        return error.mean(-1) if self.every_step else error


def trace(
    cell: Cell,
    weights: Mapping[str, Tensor],
    *,
    steps: int,
    inputs: int = 2,
    depth: int = 1,
    every_step: bool = False,
    hidden: int = 8,
    examples: int = 16,
    lengths: Tensor | None = None,
    lag: int | None = None,
) -> StageTrace:
    """A trace of one model in fp64.

    `weights` overrides tensors by name ([*shape]); the others are drawn.
    """
    model = Model(
        cell=cell,
        readout=PlainReadout(every_step=every_step),
        inputs=inputs,
        outputs=1,
        hidden=hidden,
        depth=depth,
        dropout=0.0,
        kernel="native",
    )
    generator = torch.Generator().manual_seed(0)
    flat = torch.randn(1, model.width, dtype=torch.float64, generator=generator)
    params = dict(model.named(flat)) | {
        name: value[None].double() for name, value in weights.items()
    }
    x = torch.randn(1, examples, steps, inputs, dtype=torch.float64, generator=generator)
    y = torch.randn(
        (1, examples, steps, 1) if every_step else (1, examples, 1),
        dtype=torch.float64,
        generator=generator,
    )
    batch = Batch(x=x, y=y, lengths=None if lengths is None else lengths[None])
    task = Sum(steps=steps, inputs=inputs, every_step=every_step, lag=lag)
    return StageTrace(
        params=params,
        batch=batch,
        task=task,
        model=model,
        stage=0,
        update=0,
        seeds=[0],
        next_update=Descent(params, batch),
    )


def orthogonal(size: int, gain: float) -> Tensor:
    q, _ = torch.linalg.qr(
        torch.randn(size, size, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    )
    return gain * q


def point(seed: int = 0, id: str | None = None, **changes: Any) -> Point:
    """A small point of the default recipe on digits read by row; nodes given replace the default
    ones.
    """
    config: dict[str, Any] = {
        "name": "test",
        "depth": 1,
        "hidden": 8,
        "batch": 16,
        "updates": 6,
        "seed": seed,
        "validate_every": 3,
        "dropout": 0.0,
        "dtype": "float32",
        "kernel": "auto",
        "device": "cpu",
        "plan": False,
        "reprobe": False,
        "task": {
            "_target_": "tests.support.helpers.Sum",
            "steps": 9,
            "inputs": 1,
            "every_step": False,
            "lag": 9,
        },
        "cell": {"_target_": "study.cells.lstm.LSTM"},
        "initializer": {"_target_": "study.initializers.orthogonal.Orthogonal", "gain": 1.0},
        "clip": {"_target_": "study.clipping.norm.Norm", "threshold": 1.0},
        "optimizer": {
            "_target_": "study.optimizers.adam.Adam",
            "lr": 0.004,
            "beta1": 0.9,
            "beta2": 0.999,
            "eps": 1e-8,
            "weight_decay": 0.0,
        },
        "readout": {"_target_": "tests.support.helpers.PlainReadout", "every_step": False},
        "weights": {
            "input": {"_target_": "study.initializers.xavier_uniform.XavierUniform"},
            "readout": {"_target_": "study.initializers.xavier_uniform.XavierUniform"},
            "forget_bias": 1.0,
        },
        "probe": {
            "transport": {
                "_target_": "study.probes.transport.Transport",
                "stages": HEALTH["stages"],
            },
            "loss": {
                "_target_": "study.probes.loss.LossProfile",
                "stages": HEALTH["stages"],
                "anchors": 8,
            },
            "recurrence": {
                "_target_": "study.probes.recurrence.Recurrence",
                "stages": HEALTH["stages"],
                "level": 0.95,
            },
        },
        "tracker": {},
        "health": HEALTH,
        "stop": {"solved_checks": None, "diverged": True},
        "store": {
            "folder": "outputs",
            "weights": True,
            "checkpoint_seconds": None,
            "lease_seconds": 60,
            "tracker_seconds": 60,
        },
        "study": {"exclude": [], "arms": []},
    }
    config |= changes
    labels = {
        "task": "sum",
        "cell": config["cell"]["_target_"].split(".")[-2],
        "initializer": "orthogonal",
        "clip": "norm",
    }
    labels |= {
        "optimizer": "adam",
        "readout": "last",
        "depth": config["depth"],
        "hidden": config["hidden"],
        "batch": config["batch"],
    }
    return Point(id=id or f"p{seed}", config=config, labels=labels, seed=seed)


def launch_config(**changes: Any) -> dict[str, Any]:
    """The configuration of `point` with what a launch needs beside it."""
    study = {"confirm": {"arms": 3, "seeds": 5}, "certain": {}, "search": None}
    return point().config | {"retry": "failed", "executor": {}, "study": study} | changes


def hears_ctrl_c() -> None:
    """A shell's background job ignores SIGINT, and so would whatever a test started from one
    starts.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run(points: Sequence[Point], folder: Path) -> Store:
    """Trains points as one group, in this process, and stores them in the folder."""
    run_group(Group(name="1", points=tuple(points), cost=1.0), folder, "cpu", lambda update: None)
    return Store(folder)
