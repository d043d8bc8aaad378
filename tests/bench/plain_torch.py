"""What a user would write with torch.nn: one network after the other, for the same points, data,
optimizer, clipping and validations.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn

from study.config.network import EVALUATION_CHUNK
from study.config.tasks import load_task
from study.interfaces import Batch, Point
from study.numerics.streams import generator
from study.training.precision import fixed_numerics
from tests.bench.figure import Goal, TrialRequest, Value, in_turn
from tests.bench.structures import clock, seconds, shorter, structures

LAYERS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
MEMBERS = 18  # of one cell and depth in the default study
CELLS = {"rnn": nn.RNNCell, "lstm": nn.LSTMCell, "gru": nn.GRUCell}


class Fused(nn.Module):
    """nn.RNN, nn.LSTM or nn.GRU and a linear readout of the last step."""

    def __init__(self, kind: str, inputs: int, hidden: int, depth: int, outputs: int) -> None:
        super().__init__()
        self.layers = LAYERS[kind](inputs, hidden, depth, batch_first=True)
        self.readout = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.layers(x)[0][:, -1])


class Stepwise(nn.Module):
    """The same, step by step, so that every state is there to ask for its true gradient."""

    def __init__(self, kind: str, inputs: int, hidden: int, depth: int, outputs: int) -> None:
        super().__init__()
        self.cells = nn.ModuleList(
            CELLS[kind](inputs if layer == 0 else hidden, hidden) for layer in range(depth)
        )
        self.readout = nn.Linear(hidden, outputs)
        self.hidden, self.kept = hidden, []

    def forward(self, x: Tensor) -> Tensor:
        self.kept = []
        rows = list(x.unbind(1))
        for cell in self.cells:
            zero = x.new_zeros(len(x), self.hidden)
            state = (zero, zero) if isinstance(cell, nn.LSTMCell) else zero
            states = []
            for t, row in enumerate(rows):
                state = cell(row, state)
                states.append(state if isinstance(state, tuple) else (state,))
                rows[t] = states[t][0]
            self.kept.append(states)
        return self.readout(rows[-1])

    def probes(self, x: Tensor, y: Tensor) -> list[list[float]]:
        """The default ones as anybody would write them, in fp64: gradients of the loss and of a
        random direction of the last state at all states, recurrence.
        """
        self.kept = []  # of the last pass, with its graph
        twin = copy.deepcopy(self).double()
        loss = nn.functional.cross_entropy(twin(x.double()), y, reduction="sum")
        taps = [part for layer in twin.kept for state in layer for part in state]
        last = torch.cat([part for layer in twin.kept for part in layer[-1]], dim=1)
        direction = nn.functional.normalize(torch.randn_like(last), dim=1)
        found = []
        for value in (loss, (direction * last).sum()):
            grads = torch.autograd.grad(value, taps, retain_graph=True)
            found.append(
                [
                    float(norm)
                    for norm in torch.stack([grad.norm(dim=1).log10().mean() for grad in grads])
                ]
            )
        saturation = torch.stack(
            [state[0].abs().gt(0.95).double().mean() for layer in twin.kept for state in layer]
        ).mean()
        radii = [
            torch.linalg.eigvals(block).abs().max()
            for cell in twin.cells
            for block in cell.weight_hh.detach().split(self.hidden)
        ]
        return [*found, [float(saturation), *map(float, radii)]]


def train(
    points: Sequence[Point],
    make: type[Fused] | type[Stepwise],
    measured: bool,
    most: int,
    device: str = "cpu",
) -> float:
    """Seconds of all points (clock of structures), one after the other, from `most` of them;
    `measured`: with the default probes at their stages.
    """
    chosen = points[:most]
    total = 0.0
    with fixed_numerics():
        for point in chosen:
            config, task = point.config, load_task(point.config["task"])
            model = make(
                point.labels["cell"],
                task.facts.inputs,
                config["hidden"],
                config["depth"],
                task.facts.outputs,
            ).to(device)
            optimizer = torch.optim.Adam(model.parameters(), lr=config["optimizer"]["lr"])
            fixed, examples = task.split("validation"), config["health"]["examples"]
            stages = (
                {round(share * config["updates"]) for share in config["health"]["stages"]}
                if measured
                else set()
            )
            start = clock(device)
            for update in range(config["updates"]):
                if update in stages:
                    model.probes(fixed.x[:examples].to(device), fixed.y[:examples].to(device))
                batch = task.sample(
                    lambda *key, seed=point.seed: generator(seed, "data", *key),
                    update,
                    config["batch"],
                )
                loss = nn.functional.cross_entropy(model(batch.x.to(device)), batch.y.to(device))
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                if update % config["validate_every"] == 0:
                    accuracy(model, task.split("validation"), device)
            if config["updates"] in stages:
                model.probes(fixed.x[:examples].to(device), fixed.y[:examples].to(device))
            total += clock(device) - start
    return total * len(points) / len(chosen)


def accuracy(model: nn.Module, examples: Batch, device: str) -> float:
    with torch.no_grad():
        parts = zip(
            examples.x.split(EVALUATION_CHUNK), examples.y.split(EVALUATION_CHUNK), strict=True
        )
        return sum(
            int((model(x.to(device)).argmax(1) == y.to(device)).sum()) for x, y in parts
        ) / len(examples.x)


@functools.cache
def group(
    cell: str, members: int, share: float, repeat: int
) -> tuple[Sequence[Point], Callable[[], float]]:
    """One layer of the default study: its points, and the seconds that they take as one group,
    measured once a repeat for all who compare.
    """
    (points,) = structures("digits", members, "depth=1", f"cell={cell}").values()
    points = shorter(points, share)
    seconds(shorter(points[:2], 0.01 / share))  # compiled and imported before anything is timed
    return points, functools.cache(lambda: seconds(points))


def compare(
    make: type[Fused] | type[Stepwise],
    measured: bool,
    most: int,
    goals: Mapping[str, Goal],
    asked: TrialRequest,
    repeat: int,
) -> dict[str, Value]:
    """By cell: torch.nn, as `most` networks tell, / one group with the default probes.

    Whole trainings: probes have their shares of them.
    """
    found: dict[str, Value] = {}
    for cell, goal in goals.items():
        points, ours = group(cell, asked.sized(MEMBERS), asked.share, repeat)
        them, us = in_turn(repeat, lambda points=points: train(points, make, measured, most), ours)
        found[f"{cell}, {len(points)} members"] = Value.ratio(them, us, goal)
        asked.say(
            f"repeat {repeat + 1}: {cell}: {them:.1f} s by torch.nn, {us:.1f} s as one group of"
            f" {len(points)}"
        )
    return found
