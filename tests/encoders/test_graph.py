"""The graph encoder against its equation written as a loop, and graphs that are refused."""

from __future__ import annotations

import pytest
import torch

from study.encoders.graph import Graph
from study.numerics.graphs import random_walk

EDGES = [[0, 1], [1, 2, 0.5], [3, 1, 2.5]]  # node 4 has none


def test_a_walk_goes_to_neighbours_in_proportion_to_weights_and_nowhere_without_any():
    walk = torch.zeros(5, 5, dtype=torch.float64)
    walk[0, 1] = walk[2, 1] = walk[3, 1] = 1.0
    walk[1, [0, 2, 3]] = torch.tensor([1.0, 0.5, 2.5], dtype=torch.float64) / 4
    assert torch.equal(random_walk("graph", 5, EDGES), walk)


def test_a_filter_is_the_weighted_sum_of_what_comes_from_each_distance():
    encoder, random = Graph(nodes=5, edges=EDGES, hops=3, filters=2), torch.Generator()
    x, weight = (
        torch.randn(size, dtype=torch.float64, generator=random.manual_seed(0))
        for size in ((2, 3, 4, 5), (2, 2, 4))
    )
    found, walk = encoder({"weight": weight}, x), random_walk("graph", 5, EDGES)
    for member in range(2):
        for number in range(2):
            y = sum(
                weight[member, number, hop] * x[member] @ torch.matrix_power(walk, hop).T
                for hop in range(4)
            )
            torch.testing.assert_close(found[member, ..., number::2], y, rtol=1e-12, atol=1e-12)
    assert encoder.outputs(5) == found.shape[-1] == 10


@pytest.mark.parametrize(
    ("edges", "told"),
    [
        ([[0, 5]], r"two nodes from 0 to 4 and a weight above 0, got \[0, 5\]"),
        ([[2, 2]], r"two nodes from 0 to 4 .* got \[2, 2\]"),
        ([[0, 1.5]], r"two nodes from 0 to 4 .* got \[0, 1.5\]"),
        ([[0]], r"\[node, node\] or \[node, node, weight\], .* got \[0\]"),
        ([[0, 1, 0.0]], r"a weight above 0, got \[0, 1, 0.0\]"),
        ([[0, 1], [1, 0]], r"each pair of nodes once, got \[1, 0\] again"),
        ([], r"at least one \[node, node\], got \[\]"),
    ],
)
def test_other_edges_are_refused(edges, told):
    with pytest.raises(ValueError, match=f"graph: edges must .*{told}"):
        Graph(nodes=5, edges=edges, hops=1, filters=1)


def test_a_graph_has_as_many_nodes_as_the_task_has_inputs():
    with pytest.raises(ValueError, match=r"graph: nodes must be the task's 8 inputs .* got 5"):
        Graph(nodes=5, edges=EDGES, hops=1, filters=1).outputs(8)
