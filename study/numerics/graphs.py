"""Declared graphs: the walk from a node to its neighbours, as a matrix."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def random_walk(piece: str, nodes: int, edges: Sequence[Sequence[float]]) -> Tensor:
    """P = D⁻¹W [nodes, nodes] in fp64: each row averages over a node's neighbours.

    `edges`: [node, node] or [node, node, weight], nodes from 0, each pair once; both directions
    have the weight (default 1). The row of a node without edges is zero. ValueError, which names
    `piece`, for anything else.
    """
    if nodes < 2:
        raise ValueError(f"{piece}: nodes must be at least 2, got {nodes!r}")
    known = range(nodes)
    weights, pairs = torch.zeros(nodes, nodes, dtype=torch.float64), set[frozenset[float]]()
    for edge in edges:
        pair, weight = frozenset(edge[:2]), edge[2] if len(edge) == 3 else 1.0
        ok = len(edge) in (2, 3) and len(pair) == 2 and all(node in known for node in pair)
        if not ok or not 0 < weight < float("inf"):
            raise ValueError(
                f"{piece}: edges must be [node, node] or [node, node, weight], two nodes from 0 to"
                f" {nodes - 1} and a weight above 0, got {list(edge)!r}"
            )
        if pair in pairs:
            raise ValueError(
                f"{piece}: edges must have each pair of nodes once, got {list(edge)!r} again"
            )
        pairs.add(pair)
        one, other = (int(node) for node in edge[:2])
        weights[one, other] = weights[other, one] = weight
    if not pairs:
        raise ValueError(f"{piece}: edges must be at least one [node, node], got []")
    return weights / weights.sum(1, keepdim=True).where(weights.any(1, keepdim=True), 1.0)
