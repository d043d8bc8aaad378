"""A signal that diffuses over a declared graph, read with noise: the best errors are known."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import torch
from torch import Tensor

from study.interfaces import Batch, Part, TaskFacts, require
from study.numerics.graphs import random_walk
from study.tasks.shared.generated import Generated
from study.tasks.shared.losses import squared_error


class Diffusion(Generated):
    """x [T, nodes]: noisy readings of s_t; y [nodes]: what s_T becomes next, G s_T.

    s_1 ~ N(0, I), s_{t+1} = G s_t + shock·ε, x_t = s_t + noise·ε', G = (1 - spread)·I + spread·P
    with P = D⁻¹W of study/numerics/graphs.py. All of it is normal and linear, so that the smallest
    possible squared error is that of the Kalman filter (Kalman 1960), and that of rules which read
    each node's own past alone is a conditional variance; `best` and `alone` are both, exactly.
    """

    def __init__(
        self,
        *,
        nodes: int,
        edges: Sequence[Sequence[float]],
        steps: int,
        spread: float,
        shock: float,
        noise: float,
        lag: int | None,
        examples: int,
        solved: float | None,
    ) -> None:
        require(steps >= 1, "diffusion", "steps", "at least 1", steps)
        require(0 < spread <= 1, "diffusion", "spread", "above 0 and at most 1", spread)
        require(shock >= 0, "diffusion", "shock", "at least 0", shock)
        require(noise > 0, "diffusion", "noise", "greater than 0", noise)
        require(lag is None or lag > 0, "diffusion", "lag", "greater than 0 or null", lag)
        require(examples >= 2, "diffusion", "examples", "at least 2", examples)
        require(solved is None or solved > 0, "diffusion", "solved", "above 0 or null", solved)
        self.unit = torch.eye(nodes, dtype=torch.float64)
        self.G = (1 - spread) * self.unit + spread * random_walk("diffusion", nodes, edges)
        self.nodes, self.steps, self.shock, self.noise = nodes, steps, shock, noise
        self.lag, self.examples, self.solved = lag, examples, solved

    @functools.cached_property
    def best(self) -> float:
        """Smallest possible mean squared error: of the Kalman filter, from all nodes."""
        S = self.unit  # of s_t, given the readings before t
        for step in range(self.steps):
            S = S if step == 0 else self.G @ S @ self.G.T + self.shock**2 * self.unit
            S = S - S @ torch.linalg.solve(S + self.noise**2 * self.unit, S)
        return float((self.G @ S @ self.G.T).diagonal().mean())

    @functools.cached_property
    def alone(self) -> float:
        """Smallest mean squared error of rules that read the node's own readings alone."""
        var, own = self._own_covariances
        readings = own[:, :-1, :-1] + self.noise**2 * torch.eye(self.steps, dtype=torch.float64)
        with_y = own[:, :-1, -1]
        explained = (with_y * torch.linalg.solve(readings, with_y)).sum(1)
        return float((var - explained).mean())

    @functools.cached_property
    def _own_covariances(self) -> tuple[Tensor, Tensor]:
        """(variance [nodes] of y, covariances [nodes, T + 1, T + 1] of a node's s_1, …, s_T, y)."""
        own = torch.zeros(self.nodes, self.steps + 1, self.steps + 1, dtype=torch.float64)
        S = self.unit
        for one in range(self.steps):
            S = S if one == 0 else self.G @ S @ self.G.T + self.shock**2 * self.unit
            later = S  # covariance of s_other (of y, at the end) with s_one
            for other in range(one, self.steps + 1):
                own[:, one, other] = own[:, other, one] = later.diagonal()
                later = self.G @ later
        return (self.G @ S @ self.G.T).diagonal(), own

    @property
    def facts(self) -> TaskFacts:
        baseline = float(self._own_covariances[0].mean())
        halfway = (self.best + self.alone) / 2
        return TaskFacts(
            inputs=self.nodes,
            outputs=self.nodes,
            steps=self.steps,
            lag=self.lag if self.lag is not None else self.steps,
            every_step=False,
            loss="mean squared error",
            metric="mean squared error",
            higher_is_better=False,
            baseline_loss=baseline,  # of the mean, 0
            baseline=baseline,
            solved=self.solved if self.solved is not None else halfway,
            split=f"drawn anew each update; fixed validation and test sets of {self.examples}",
            source="generated",
            licence="none needed",
            notes=(
                f"The smallest mean squared error that is possible is {self.best:.3g} (the Kalman"
                " filter, which knows the graph); that of rules which predict each node from its"
                f" own readings alone is {self.alone:.3g}. Both are exact, for endless examples.",
            ),
        )

    def guess_loss(self, part: Part) -> float:
        """Of the mean, 0, on the examples of this split."""
        return float(self.split(part).y.square().mean())

    def draw(self, rng: torch.Generator, batch: int) -> Batch:
        def drawn() -> Tensor:
            return torch.randn(batch, self.nodes, generator=rng, dtype=torch.float64)

        state, readings = drawn(), []
        for step in range(self.steps):
            state = state if step == 0 else state @ self.G.T + self.shock * drawn()
            readings.append(state + self.noise * drawn())
        return Batch(x=torch.stack(readings, 1).float(), y=(state @ self.G.T).float())

    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        return squared_error(outputs, batch.y).mean(1)

    def step_loss(self, outputs: Tensor, batch: Batch, anchor: Tensor) -> Tensor:
        return squared_error(outputs, batch.y)

    def metric(self, outputs: Tensor, batch: Batch) -> Tensor:
        return squared_error(outputs, batch.y)
