"""Graph encoder: each step is diffused over a declared graph (Li et al. 2018, arXiv 1707.01926)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from study.interfaces import Encoder, Parameter, Params, require
from study.numerics.graphs import random_walk
from study.numerics.linear import linear


class Graph(Encoder):
    """Filter f of a step x, one value per node: y_f = Σ_{k=0}^{hops} θ_{f,k} P^k x.

    P = D⁻¹W averages over the neighbours in a graph without directions: `edges`, [node, node] or
    [node, node, weight], are the weights W, and D is the diagonal of their sums. This is the
    diffusion convolution of Li et al. 2018 (eq. 2), whose two walks are one without directions. All
    nodes share θ. D' = nodes · filters, node by node; with hops = 0 each is of its node alone.

    It is linear, so that a first layer that reads all nodes can learn the same without it.
    """

    def __init__(
        self, *, nodes: int, edges: Sequence[Sequence[float]], hops: int, filters: int
    ) -> None:
        require(hops >= 0, "graph", "hops", "at least 0", hops)
        require(filters >= 1, "graph", "filters", "at least 1", filters)
        self.walk = random_walk("graph", nodes, edges)
        self.nodes, self.hops, self.filters = nodes, hops, filters

    def outputs(self, inputs: int) -> int:
        allowed = f"the task's {inputs} inputs per step (each node is one)"
        require(inputs == self.nodes, "graph", "nodes", allowed, self.nodes)
        return self.nodes * self.filters

    def shapes(self, inputs: int) -> tuple[Parameter, ...]:
        return (Parameter("weight", "input", ("filter",), (self.filters, self.hops + 1)),)

    def __call__(self, params: Params, x: Tensor) -> Tensor:
        P = self.walk.to(x).expand(len(x), -1, -1)
        diffused = [x]
        for _ in range(self.hops):
            diffused.append(linear(diffused[-1], P, None))
        # [M, T, B · nodes, hops + 1] -> [M, T, B · nodes, filters]
        found = linear(torch.stack(diffused, -1).flatten(2, 3), params["weight"], None)
        return found.reshape(*x.shape[:3], -1)
