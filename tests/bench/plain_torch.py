"""What a user would write with torch.nn: one network after the other, for the same points, data, optimizer, clipping and validations."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from study.grouping import load_task
from study.interfaces import Batch, Point
from study.streams import generator
from study.training import EVALUATION_CHUNK, fixed_numerics
from tests.bench.structures import seconds, shorter, structures

LAYERS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
CELLS = {"rnn": nn.RNNCell, "lstm": nn.LSTMCell, "gru": nn.GRUCell}
MOST = 4  # networks that are trained one after the other; their seconds stand for all


class Fused(nn.Module):
    """nn.RNN, nn.LSTM or nn.GRU and a linear readout of the last step."""

    def __init__(self, kind: str, inputs: int, hidden: int, depth: int, outputs: int) -> None:
        super().__init__()
        self.layers = LAYERS[kind](inputs, hidden, depth, batch_first=True)
        self.readout = nn.Linear(hidden, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.layers(x)[0][:, -1])


class Stepwise(nn.Module):
    """The same, step by step, so that every hidden state is there to ask for its true gradient."""

    def __init__(self, kind: str, inputs: int, hidden: int, depth: int, outputs: int) -> None:
        super().__init__()
        self.cells = nn.ModuleList(CELLS[kind](inputs if layer == 0 else hidden, hidden) for layer in range(depth))
        self.readout = nn.Linear(hidden, outputs)
        self.hidden, self.kept = hidden, []

    def forward(self, x: Tensor) -> Tensor:
        self.kept = []
        rows = list(x.unbind(1))
        for cell in self.cells:
            zero = x.new_zeros(len(x), self.hidden)
            state = (zero, zero) if isinstance(cell, nn.LSTMCell) else zero
            for t, row in enumerate(rows):
                state = cell(row, state)
                rows[t] = state[0] if isinstance(state, tuple) else state
                if rows[t].requires_grad:
                    rows[t].retain_grad()
            self.kept.append(list(rows))
        return self.readout(rows[-1])

    def norms(self) -> list[list[float]]:
        return [[float(h.grad.norm()) for h in layer] for layer in self.kept]


def train(points: Sequence[Point], make: type[Fused] | type[Stepwise], measured: bool) -> float:
    """CPU seconds of all points, one after the other, from as many as MOST of them; `measured`: norms of all hidden gradients at the probes' stages."""
    chosen = points[:MOST]
    total = 0.0
    with fixed_numerics():
        for point in chosen:
            config, task = point.config, load_task(point.config["task"])
            model = make(point.labels["cell"], task.facts.inputs, config["hidden"], config["depth"], task.facts.outputs)
            optimizer = torch.optim.Adam(model.parameters(), lr=config["optimizer"]["lr"])
            stages = {round(share * config["updates"]) for share in config["health"]["stages"]} if measured else set()
            start = time.process_time()
            for update in range(config["updates"]):
                batch = task.sample(lambda *key, seed=point.seed: generator(seed, "data", *key), update, config["batch"])
                loss = nn.functional.cross_entropy(model(batch.x), batch.y)
                optimizer.zero_grad()
                loss.backward()
                if update in stages:
                    model.norms()
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                optimizer.step()
                if update % config["validate_every"] == 0:
                    accuracy(model, task.split("validation"))
            total += time.process_time() - start
    return total * len(points) / len(chosen)


def accuracy(model: nn.Module, examples: Batch) -> float:
    with torch.no_grad():
        parts = zip(examples.x.split(EVALUATION_CHUNK), examples.y.split(EVALUATION_CHUNK), strict=True)
        return sum(int((model(x).argmax(1) == y).sum()) for x, y in parts) / len(examples.x)


def compare(
    make: type[Fused] | type[Stepwise], measured: bool, repeats: int, members: int, share: float, say: Callable[[str], None]
) -> dict[str, list[tuple[float, float]]]:
    """By structure: (torch.nn, one group with the default probes) seconds of each repeat."""
    taken: dict[str, list[tuple[float, float]]] = {}
    for repeat in range(repeats):
        for name, points in structures("digits", members, "depth=1").items():
            points = shorter(points, share)
            runs = [lambda points=points: train(points, make, measured), lambda points=points: seconds(points)]
            turn = [run() for run in (runs if repeat % 2 == 0 else runs[::-1])]
            taken.setdefault(name, []).append((turn[0], turn[1]) if repeat % 2 == 0 else (turn[1], turn[0]))
            say(f"repeat {repeat + 1}: {name}: {taken[name][-1][0]:.1f} s by torch.nn, {taken[name][-1][1]:.1f} s as one group of {len(points)}")
    return taken
