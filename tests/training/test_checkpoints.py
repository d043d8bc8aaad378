"""Checkpoints: training goes on bit for bit, in any company, and never from a file that is not what
it seems.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import study.training.checkpoints as checkpoints_module
from study.interfaces import Group, Point
from study.launch.plan import groups
from study.store import Store
from study.training.checkpoints import Checkpoints
from study.training.engine import Stopped, run_group, store_failure
from study.training.serialize import CannotSerialize, pack, stack_members, take_member, unpack
from study.training.state import prepare
from tests.support.helpers import point, run
from tests.training.test_engine import CELLS, NORMAL, same_point

UPDATES = 12
CLIPS = {
    "norm": {"_target_": "study.clipping.norm.Norm", "threshold": 1.0},
    "zclip": {
        "_target_": "study.clipping.zclip.ZClip",
        "threshold": 2.5,
        "decay": 0.97,
        "warmup": 3,
    },
    "autoclip": {"_target_": "study.clipping.autoclip.AutoClip", "percentile": 50.0},
    "nested": {"_target_": "tests.support.faults.Nested", "amount": 0.1},
    "nan": {"_target_": "tests.support.faults.Fault", "how": "nan", "at": 3},
}
OPTIMIZERS = {
    "sgd": {
        "_target_": "study.optimizers.sgd.SGD",
        "lr": 0.1,
        "momentum": 0.9,
        "weight_decay": 0.0,
    },
    "rmsprop": {
        "_target_": "study.optimizers.rmsprop.RMSprop",
        "lr": 0.01,
        "alpha": 0.9,
        "eps": 1e-8,
        "momentum": 0.5,
        "weight_decay": 0.0,
    },
}
PROBES = {
    **point().config["probe"],
    "gates": {
        "_target_": "study.probes.gates.Gates",
        "stages": [0, 0.5, 1],
        "low": 0.05,
        "high": 0.95,
    },
    "spectrum": {"_target_": "study.probes.spectrum.Spectrum", "stages": [0, 0.5, 1]},
    "gradient_share": {
        "_target_": "study.probes.gradient_share.GradientShare",
        "stages": [0.5],
        "anchors": 4,
    },
    "saliency": {
        "_target_": "study.probes.saliency.Saliency",
        "stages": [0, 0.5, 1],
        "examples": 2,
    },
    "gate_traces": {
        "_target_": "study.probes.gate_traces.GateTraces",
        "stages": [0, 0.5],
        "examples": 2,
        "quantiles": [0.1],
    },
}


def group(points: list[Point]) -> Group:
    return Group(name="1", points=tuple(points), cost=1.0)


def leave(points: list[Point], folder: Path, at: int) -> None:
    """Train until so many updates are made, then leave."""
    with pytest.raises(Stopped):
        run_group(group(points), folder, "cpu", lambda update: update == at)


def go_on(points: list[Point], folder: Path) -> list[str]:
    """Train to the end; what was noted on the way."""
    notes: list[str] = []
    run_group(group(points), folder, "cpu", lambda update: None, notes.append)
    return notes


@pytest.fixture(scope="module")
def members() -> list[Point]:
    """One group: clip rules with and without state, one that diverges at update 3, other first
    weights.
    """
    # it stays, frozen
    shared = {
        "updates": UPDATES,
        "dropout": 0.2,
        "depth": 2,
        "stop": {"solved_checks": None, "diverged": False},
    }
    points = [
        point(seed, name, clip=node, **shared) for seed, (name, node) in enumerate(CLIPS.items())
    ]
    return [*points[:-1], replace(points[-1], config={**points[-1].config, "initializer": NORMAL})]


@pytest.fixture(scope="module")
def undisturbed(members, tmp_path_factory) -> Store:
    return run(members, tmp_path_factory.mktemp("undisturbed"))


@pytest.mark.parametrize("at", [1, 3, 5, UPDATES])
def test_the_numbers_are_those_of_an_undisturbed_run(members, undisturbed, tmp_path, at):
    leave(members, tmp_path, at)
    assert Checkpoints(tmp_path).updates(point.id for point in members) == dict.fromkeys(CLIPS, at)
    assert go_on(members, tmp_path) == []
    for each in members:
        same_point(undisturbed, Store(tmp_path), each.id)
        assert Store(tmp_path).result(each.id)["provenance"]["resumed"] == [at]
    assert list((tmp_path / "checkpoints").iterdir()) == [], "what is stored needs none"
    assert Store(tmp_path).result("nan")["row"]["diverged_at"] == 3


def test_members_go_on_alone_and_in_other_company(members, undisturbed, tmp_path):
    leave(members[:3], tmp_path, 4)
    leave(members[3:], tmp_path, 9)
    go_on(members[1:2], tmp_path)
    go_on([members[4], members[0], members[3], members[2]], tmp_path)  # some at update 4, some at 9
    for each in members:
        same_point(undisturbed, Store(tmp_path), each.id)


def test_again_and_again(members, undisturbed, tmp_path):
    for at in range(1, UPDATES + 1):
        leave(members, tmp_path, at)
    go_on(members, tmp_path)
    for each in members:
        same_point(undisturbed, Store(tmp_path), each.id)
    assert Store(tmp_path).result("norm")["provenance"]["resumed"] == list(range(1, UPDATES + 1))


@pytest.mark.parametrize(
    ("cell", "optimizer", "hidden"),
    [(cell, list(OPTIMIZERS)[i % 2], 8 - i % 2) for i, cell in enumerate(CELLS)],
)
def test_every_cell_and_optimizer_and_kind_of_probe(tmp_path, cell, optimizer, hidden):
    """Sizes that are trained side by side (8) and one by one (7)."""
    points = [
        point(
            seed,
            updates=6,
            hidden=hidden,
            cell=CELLS[cell],
            optimizer=OPTIMIZERS[optimizer],
            probe=PROBES,
        )
        for seed in range(2)
    ]
    undisturbed = run(points, tmp_path / "undisturbed")
    (tmp_path / "left").mkdir()
    leave(points, tmp_path / "left", 4)
    go_on(points, tmp_path / "left")
    for each in points:
        same_point(undisturbed, Store(tmp_path / "left"), each.id)


def test_they_are_kept_at_an_interval_of_wall_time(members, tmp_path, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("study.training.engine.time.monotonic", lambda: now[0])
    points = [
        replace(
            each,
            config={**each.config, "store": {**each.config["store"], "checkpoint_seconds": 60}},
        )
        for each in members[:2]
    ]
    kept = []

    def hear(update: int) -> None:
        now[0] += 25.0
        kept.append(Checkpoints(tmp_path).updates(["norm"]).get("norm", 0))

    run_group(group(points), tmp_path, "cpu", hear)
    assert kept == [0, 0, 0, 2, 2, 2, 5, 5, 5, 8, 8, 8, 11]


# --- files that cannot be used --------------------------------------------------------------------


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "cut":
        data = data[: len(data) // 2]
    elif how == "empty":
        data = bytearray()
    else:
        data[{"first": 0, "header": 20, "metadata": 400, "weights": -100, "last": -1}[how]] ^= 4
    path.write_bytes(data)


@pytest.mark.parametrize("how", ["cut", "empty", "first", "header", "metadata", "weights", "last"])
def test_a_damaged_one_is_told_and_set_aside(members, undisturbed, tmp_path, how):
    leave(members[:3], tmp_path, 5)
    damage(Checkpoints(tmp_path).path("zclip"), how)
    (note,) = go_on(members[:3], tmp_path)
    assert note.startswith(
        "point zclip starts again from update 0; its checkpoint is set aside: it is damaged"
    )
    for each in members[:3]:
        same_point(undisturbed, Store(tmp_path), each.id)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["zclip.set-aside"]
    assert "resumed" not in Store(tmp_path).result("zclip")["provenance"]
    assert Store(tmp_path).result("norm")["provenance"]["resumed"] == [5]


def test_every_flipped_bit_is_noticed(members, tmp_path):
    leave(members[:1], tmp_path, 5)
    checkpoints = Checkpoints(tmp_path)
    path = checkpoints.path("norm")
    whole = path.read_bytes()
    training = prepare(members[:1], "cpu")
    assert checkpoints.load(members[0], training) is not None
    for place in range(0, len(whole), 197):
        path.write_bytes(
            whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :]
        )
        with pytest.raises(checkpoints_module.Unusable):
            checkpoints.load(members[0], training)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("VERSION", 2, "version of checkpoints"),
        ("NUMERICS", 99, "numerics"),
        ("sources", lambda pieces: "other", "code"),
    ],
)
def test_one_of_other_code_is_told_and_set_aside(
    members, undisturbed, tmp_path, monkeypatch, name, value, told
):
    leave(members[:2], tmp_path, 5)
    monkeypatch.setattr(checkpoints_module, name, value)
    notes = go_on(members[:2], tmp_path)
    assert [f"it was written by another {told}" in note for note in notes] == [True, True]
    for each in members[:2]:
        same_point(undisturbed, Store(tmp_path), each.id)


def test_one_with_other_probes_is_not_used(members, undisturbed, tmp_path):
    leave(members[:1], tmp_path, 5)
    fewer = replace(
        members[0],
        config={
            **members[0].config,
            "probe": {"transport": members[0].config["probe"]["transport"]},
        },
    )
    (note,) = go_on([fewer], tmp_path)
    assert "it was written by another probes" in note
    same_point(undisturbed, Store(tmp_path), "norm", tables=("history", "test"))


def test_the_code_of_a_piece_from_elsewhere_counts(tmp_path, monkeypatch):
    path = tmp_path / "rule_of_mine.py"
    path.write_text("from study.clipping.none import NoClip\nclass Mine(NoClip): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    mine = point(clip={"_target_": "rule_of_mine.Mine"})
    before = checkpoints_module.stamp(mine)
    path.write_text(path.read_text() + "# repaired\n")
    checkpoints_module.sources.cache_clear()
    after = checkpoints_module.stamp(mine)
    assert [key for key in before if before[key] != after[key]] == ["code"]


def test_a_state_that_cannot_be_kept_stops_nothing(tmp_path):
    opaque = {"_target_": "tests.support.faults.Opaque"}
    points = [
        point(
            seed, updates=6, clip=opaque, store={**point().config["store"], "checkpoint_seconds": 0}
        )
        for seed in range(2)
    ]
    (note,) = go_on(points, tmp_path)
    assert note.startswith("groups with this clip rule or optimizer have no checkpoints")
    assert "Generator" in note
    assert len(Store(tmp_path).ids()) == 2


def test_a_full_disk_stops_nothing(members, tmp_path, monkeypatch):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints_module, "write_whole", full)
    points = [
        replace(
            each, config={**each.config, "store": {**each.config["store"], "checkpoint_seconds": 0}}
        )
        for each in members[:2]
    ]
    assert set(go_on(points, tmp_path)) == {
        "a checkpoint could not be written; training continues (No space left on device)"
    }
    assert len(Store(tmp_path).ids()) == 2


def test_a_failed_point_begins_again(members, tmp_path):
    """Whatever made it fail may be mended, and what was trained before then was trained by
    something else.
    """
    leave(members[:1], tmp_path, 5)
    store_failure(
        members[:1], tmp_path, {"type": "RuntimeError", "message": "boom", "traceback": ""}
    )
    assert Checkpoints(tmp_path).updates(["norm"]) == {}


def test_groups_are_planned_by_the_updates_made():
    points = [point(seed) for seed in range(6)]
    made = groups(points, workers=1, max_members=8, updates_made={"p1": 3, "p4": 3, "p5": 2})
    assert sorted(sorted(each.id for each in group.points) for group in made) == [
        ["p0", "p2", "p3"],
        ["p1", "p4"],
        ["p5"],
    ]


# --- nested states --------------------------------------------------------------------------------


def test_trees_come_back_as_they_were():
    value = {"a": [torch.arange(3), (None, 1.5, float("inf"))], 3: ("text", True, [])}
    tensors: dict[str, torch.Tensor] = {}
    back = unpack(pack(value, tensors), tensors, {})
    assert torch.equal(back["a"][0], torch.arange(3))
    assert back["a"][1] == (None, 1.5, float("inf"))
    assert back[3] == ("text", True, [])


def test_what_is_not_of_members_is_refused():
    with pytest.raises(CannotSerialize, match="the first axis of every tensor must be M"):
        take_member({"count": torch.zeros(())}, 0, 2)
    with pytest.raises(CannotSerialize, match="must be tensors"):
        take_member({"count": torch.zeros(2).numpy()}, 0, 2)
    with pytest.raises(CannotSerialize, match="set"):
        pack({1, 2}, {})
    with pytest.raises(ValueError, match="members differ"):
        stack_members([{"updates": 1}, {"updates": 2}])


def test_a_checkpoint_that_is_gone_when_it_is_opened_is_none(tmp_path):
    """Another launch has finished its point between the listing and the look: here a link that
    leads nowhere.
    """
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "gone.safetensors").symlink_to(tmp_path / "nowhere")
    assert Checkpoints(tmp_path).updates(["gone"]) == {}
