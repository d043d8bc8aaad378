"""What may be trained together, and how it is cut."""

from __future__ import annotations

from study.cells.lstm import LSTM
from study.grouping import cost, group_key, groups, resolve_kernel
from tests.helpers import Linear, point

GRU = {"_target_": "study.cells.gru.GRU"}
NORMAL = {"_target_": "study.initializers.normal.Normal", "std": "auto"}
NO_CLIP = {"_target_": "study.clipping.none.NoClip"}
ADAM = point().config["optimizer"]


def test_values_share_a_group_and_structure_does_not():
    key = group_key(point().config)
    for same in (point(7), point(initializer=NORMAL), point(clip=NO_CLIP), point(optimizer={**ADAM, "lr": 0.1}), point(name="other")):
        assert group_key(same.config) == key
    for other in (point(cell=GRU), point(depth=2), point(hidden=9), point(batch=4), point(updates=7), point(dropout=0.5), point(dtype="float64")):
        assert group_key(other.config) != key


def test_groups_hold_every_point_once_longest_first():
    points = [
        point(seed, f"{cell}{depth}{seed}", cell=node, depth=depth)
        for cell, node in (("l", point().config["cell"]), ("g", GRU))
        for depth in (1, 2)
        for seed in range(13)
    ]
    made = groups(points, workers=2, max_members=8, begun={})
    assert sorted(each.id for group in made for each in group.points) == sorted(each.id for each in points)
    assert all(len(group.points) <= 8 for group in made)
    assert all(len({group_key(each.config) for each in group.points}) == 1 for group in made)
    costs = [group.cost for group in made]
    assert costs == sorted(costs, reverse=True)
    assert len({group.name for group in made}) == len(made)


def test_cost_grows_with_the_work():
    base = cost(point().config)
    for more in (point(updates=60), point(depth=2), point(hidden=16), point(batch=64)):
        assert cost(more.config) > base


def test_one_point_is_one_group():
    assert [len(group.points) for group in groups([point()], workers=8, max_members=32, begun={})] == [1]
    assert groups([], workers=2, max_members=8, begun={}) == []


def test_a_new_step_does_not_inherit_another_cells_kernel():
    assert LSTM.has("fused") and LSTM.has("native")
    assert not Linear.has("fused") and not Linear.has("native")
    assert not Coupled.has("fused") and not Coupled.has("native")
    config = point(cell={"_target_": "tests.test_grouping.Coupled"}).config
    assert resolve_kernel(config) == "reference"
    assert resolve_kernel(point().config) == "native"
    assert resolve_kernel(point(kernel="fused").config) == "fused"


class Coupled(LSTM):
    def step(self, params, x, state):
        h, c = super().step(params, x, state)
        return h, c / 2
