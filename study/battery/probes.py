"""Checks of probes."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from study.battery.shared import COMPANY
from study.cells.gru import GRU
from study.cells.lstm import LSTM
from study.cells.rnn import RNN
from study.interfaces import (
    AtLags,
    Batch,
    ByIndex,
    ByStep,
    Cell,
    LagNorms,
    Params,
    Probe,
    ProfileProbe,
    Readout,
    Step,
    Task,
)
from study.model import Model
from study.numerics.streams import generator
from study.readouts.every import Every
from study.readouts.last import Last
from study.tasks.adding import Adding
from study.tasks.copying import Copying
from study.training.trace import StageTrace

PROBED: Mapping[str, Cell] = {"rnn": RNN(nonlinearity="tanh"), "lstm": LSTM(), "gru": GRU()}
KINDS = (
    "a tensor [M], [M, layers] or [M, layers, lags], ByIndex, AtLags, ByStep, or LagNorms of a"
    " ProfileProbe"
)


@dataclass(frozen=True)
class Descent:
    """A next update for probes: gradients equal the weights and are halved, then scaled by 1/10."""

    params: Params
    examples: Batch

    def batch(self) -> Batch:
        return self.examples

    def step(self) -> Step:
        half = {name: value / 2 for name, value in self.params.items()}
        return Step(
            grads=self.params,
            clipped=half,
            before=self.params,
            after={name: value - half[name] / 10 for name, value in self.params.items()},
        )


def trace_of(
    cell: str, *, depth: int, members: Sequence[int], every_step: bool = False
) -> StageTrace:
    """A trace of an rnn, lstm or gru of 16 units with random weights on 8 examples of a short task.

    The weights of a member depend on its number in `members` alone.
    """
    task: Task = (
        Copying(steps=24, lag=None, examples=8, solved=0.9)
        if every_step
        else Adding(steps=12, lag=None, examples=8, solved=0.1)
    )
    facts = task.facts
    readout: Readout = Every() if every_step else Last()
    model = Model(
        cell=PROBED[cell],
        readout=readout,
        inputs=facts.inputs,
        outputs=facts.outputs,
        hidden=16,
        depth=depth,
        dropout=0.0,
        kernel="native",
    )
    flat = torch.stack(
        [
            0.5 * torch.randn(model.width, dtype=torch.float64, generator=generator(m, "weights"))
            for m in members
        ]
    )
    part = task.split("validation")
    y = part.y.double() if part.y.is_floating_point() else part.y
    batch = Batch(
        x=torch.stack([part.x.double()] * len(members)), y=torch.stack([y] * len(members))
    )
    params = model.named(flat)
    return StageTrace(
        params=params,
        batch=batch,
        task=task,
        model=model,
        stage=0,
        update=0,
        seeds=list(members),
        next_update=Descent(params, batch),
    )


def check_probe(probe: Probe) -> None:
    """Check stages, types of results, repeatability, and that a probe changes nothing.

    The results of a member must not depend on the others. Tried on plain and gated cells, one and
    two layers, losses of the last step and of every step.
    """
    name = type(probe).__name__
    assert hasattr(probe, "stages"), f"{name}: must keep `stages`, shares of the updates"
    assert all(isinstance(stage, int | float) and 0 <= stage <= 1 for stage in probe.stages), (
        f"{name}: stages must lie between 0 and 1"
    )
    found = False
    for cell, (depth, every_step) in itertools.product(PROBED, ((1, False), (2, True))):
        trace = trace_of(cell, depth=depth, members=[0, 1, 2], every_step=every_step)
        before = {key: value.clone() for key, value in trace.params.items()}
        states = [state.detach() for layer in trace.network().layers for state in layer.values()]
        as_they_were = [state.clone() for state in states]
        three = _probed(probe, trace)
        assert all(torch.equal(trace.params[key], value) for key, value in before.items()), (
            f"{name}: changed the weights"
        )
        same = all(torch.equal(*pair) for pair in zip(states, as_they_were, strict=True))
        assert same, (
            f"{name}: changed the states, which the backward pass and other probes read; clone()"
            " before you write"
        )
        found |= bool(three)
        again = _probed(
            probe, trace_of(cell, depth=depth, members=[0, 1, 2], every_step=every_step)
        )
        assert three.keys() == again.keys() and all(
            torch.equal(three[key].nan_to_num(), again[key].nan_to_num()) for key in three
        ), f"{name}: a second call gives other numbers; draw from trace.generator(purpose) only"
        two = _probed(probe, trace_of(cell, depth=depth, members=[1, 2], every_step=every_step))
        for key, value in three.items():
            same = key in two and torch.allclose(
                value[1:], two[key], rtol=1e-8, atol=1e-300, equal_nan=True
            )
            assert same, (
                f"{name}: a member's {key} depends on its company ({cell}, depth {depth});"
                f" {COMPANY}"
            )
    assert found, f"{name}: returned nothing for {', '.join(PROBED)}"


def _probed(probe: Probe, trace: StageTrace) -> dict[str, Tensor]:
    """{quantity: values [M, …]} that a probe returned, after checking that they can be stored."""
    name, returned = type(probe).__name__, probe(trace)
    assert isinstance(returned, Mapping), (
        f"{name}: must return {{quantity: values}}, got {type(returned).__name__}"
    )
    values = {}
    for quantity, value in returned.items():
        fits = (
            isinstance(value, LagNorms)
            if isinstance(probe, ProfileProbe)
            else isinstance(value, Tensor | ByIndex | AtLags | ByStep)
        )
        assert fits, f"{name}: {quantity} must be {KINDS}, got {type(value).__name__}"
        tensor = (
            value.norms
            if isinstance(value, LagNorms)
            else value
            if isinstance(value, Tensor)
            else value.values
        )
        sizes = (
            (3,)
            if isinstance(value, LagNorms | ByIndex)
            else (3, 4)
            if isinstance(value, AtLags | ByStep)
            else (1, 2, 3)
        )
        assert tensor.ndim in sizes and len(tensor) == len(trace.seeds), (
            f"{name}: {quantity} must be {KINDS} with M = {len(trace.seeds)}, got"
            f" {tuple(tensor.shape)}"
        )
        values[str(quantity)] = tensor.detach()
    return values
