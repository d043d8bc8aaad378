"""What may be trained together, and how it is cut."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from study.config.network import member_bytes
from study.config.setup import set_up
from study.training.groups import cost, group_memory, groups
from tests.support.helpers import point

GRU = {"_target_": "study.cells.gru.GRU"}
NORMAL = {"_target_": "study.initializers.normal.Normal", "std": "auto"}
NO_CLIP = {"_target_": "study.clipping.none.NoClip"}
ADAM = point().config["optimizer"]


def test_values_share_a_group_and_structure_does_not():
    key = set_up(point().config).group_key
    for same in (
        point(7),
        point(initializer=NORMAL),
        point(clip=NO_CLIP),
        point(optimizer={**ADAM, "lr": 0.1}),
        point(name="other"),
    ):
        assert set_up(same.config).group_key == key
    for other in (
        point(cell=GRU),
        point(depth=2),
        point(hidden=9),
        point(batch=4),
        point(updates=7),
        point(dropout=0.5),
        point(dtype="float64"),
        point(precision="bf16"),
    ):
        assert set_up(other.config).group_key != key


def test_groups_hold_every_point_once_longest_first():
    points = [
        point(seed, f"{cell}{depth}{seed}", cell=node, depth=depth)
        for cell, node in (("l", point().config["cell"]), ("g", GRU))
        for depth in (1, 2)
        for seed in range(13)
    ]
    made = groups(points, workers=2, max_members=8, updates_made={})
    assert sorted(each.id for group in made for each in group.points) == sorted(
        each.id for each in points
    )
    assert all(len(group.points) <= 8 for group in made)
    assert all(len({set_up(each.config).group_key for each in group.points}) == 1 for group in made)
    costs = [group.cost for group in made]
    assert costs == sorted(costs, reverse=True)
    assert len({group.name for group in made}) == len(made)


def test_cost_grows_with_the_work():
    base = cost(set_up(point().config))
    for more in (point(updates=60), point(depth=2), point(hidden=16), point(batch=64)):
        assert cost(set_up(more.config)) > base


def test_one_point_is_one_group():
    assert [
        len(group.points) for group in groups([point()], workers=8, max_members=32, updates_made={})
    ] == [1]
    assert groups([], workers=2, max_members=8, updates_made={}) == []


def test_a_gpu_is_given_what_it_can_train_together():
    points = [point(seed) for seed in range(24)]
    sizes = {("cpu", 1): [12, 12], ("cuda", 1): [24], ("cuda", 2): [12, 12], ("cuda", 4): [6] * 4}
    for (device, workers), expected in sizes.items():
        assert [
            len(group.points) for group in groups(points, workers, 24, {}, device_type=device)
        ] == expected


@pytest.mark.parametrize(("members", "sizes"), [(3.5, [2, 3, 3]), (0.1, [1] * 8), (1e9, [4, 4])])
def test_groups_fit_into_memory(members, sizes):
    """A made-up memory, for as many members as it says."""
    points = [point(seed) for seed in range(8)]
    space = members * member_bytes(set_up(points[0].config))
    made = groups(points, workers=1, max_members=24, updates_made={}, space=space)
    assert sorted(len(group.points) for group in made) == sizes, (
        "enough memory: two rounds of the one worker"
    )
    assert all(len(group.points) <= max(1, members) for group in made)


def test_probes_in_double_precision_are_counted_where_they_need_more_than_training():
    config = point(batch=16).config
    few, many = (
        {**config, "health": {**config["health"], "examples": examples}} for examples in (2, 64)
    )
    bare = member_bytes(set_up({**config, "probe": {}}))
    assert config["probe"] and member_bytes(set_up(few)) == bare
    assert member_bytes(set_up(many)) > 5 * bare


def test_a_memory_that_is_a_matrix_is_counted():
    vector, matrix = (
        member_bytes(set_up(point(cell=cell, hidden=64, probe={}).config))
        for cell in (
            {"_target_": "study.cells.lstm.LSTM"},
            {"_target_": "study.cells.deltanet.DeltaNet"},
        )
    )
    assert 30 * vector < matrix < 100 * vector, "64 · 64 values a step instead of 64"


def test_memory_is_shared_by_the_workers(monkeypatch):
    monkeypatch.setattr("study.training.groups.memory", lambda: 10e9)
    assert group_memory("cpu", 2) == pytest.approx(0.8 * 10e9 / 2 - 0.7e9)
    assert group_memory("cpu", 100) == 0
    assert group_memory("cpu", 4, 8e9) == pytest.approx(0.8 * 8e9 / 4 - 0.7e9), (
        "a job's cores share the job's memory"
    )
    assert group_memory("cuda", 2) == float("inf"), "no GPU here, nothing is known"
    properties = {0: 80e9, 1: 40e9}
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.setattr(
        "torch.cuda.get_device_properties",
        lambda gpu: SimpleNamespace(total_memory=properties[gpu]),
    )
    assert group_memory("cuda", 2) == pytest.approx(0.8 * 40e9)
    assert group_memory("cuda", 3) == pytest.approx(0.8 * 20e9), "several workers on one GPU"
