"""The character model: carried states, bit for bit in any company, and its numbers."""

from __future__ import annotations

import math
import string
from dataclasses import replace

import pytest
import torch

from study.battery.tasks import check_task
from study.config.check import check
from study.config.setup import set_up
from study.interfaces import Batch
from study.numerics.streams import generator
from study.records import StudyError
from study.store import Store
from study.tasks.text import Text
from study.training.members import keep_members
from study.training.state import prepare
from study.training.step import step
from tests.support.helpers import point, run
from tests.training.test_checkpoints import CLIPS, go_on, leave
from tests.training.test_engine import CELLS, NORMAL, same_point

SETTINGS = {
    "path": None,
    "pattern": "*.txt",
    "encoding": "utf-8",
    "steps": 16,
    "window": 20,
    "examples": 8,
    "symbols": 128,
    "validation": 0.2,
    "test": 0.2,
    "lag": None,
    "solved": 2.6,
}
EVERY = {"_target_": "study.readouts.every.Every"}
PROBE = {"transport": {"_target_": "study.probes.transport.Transport", "stages": [0, 0.5, 1]}}


def text(**changes) -> Text:
    task = Text(**{**SETTINGS, **changes})
    task.load()
    return task


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """1,200 characters from a few words; 720 of them train, five updates of 8 streams per pass."""
    drawn = torch.randint(0, 6, (1200,), generator=torch.Generator().manual_seed(0)).tolist()
    path = tmp_path_factory.mktemp("text") / "words.txt"
    path.write_text(
        " ".join(("the", "old", "cell", "keeps", "a", "state")[word] for word in drawn)[:1200],
        encoding="utf-8",
    )
    return path


def streams(file, *arms, **shared):
    """Points of a group; 12 updates are two passes and part of a third."""
    task = {"_target_": "study.tasks.text.Text", **SETTINGS, "path": str(file)}
    recipe = {
        "task": task,
        "readout": EVERY,
        "batch": 8,
        "updates": 12,
        "validate_every": 6,
        "probe": PROBE,
        "stop": {"solved_checks": None, "diverged": False},
        **shared,
    }
    return [point(seed, name, **recipe, **arm) for seed, (name, arm) in enumerate(arms)]


# --- carried state --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "hidden", "depth", "precision"),
    [("lstm", 16, 2, "full"), ("gru", 16, 1, "full"), ("rnn", 7, 1, "bf16")],
)
def test_a_point_is_bit_for_bit_the_same_alone_in_company_and_resumed(
    file, tmp_path, cell, hidden, depth, precision
):
    arms = [("a", {}), ("b", {"initializer": NORMAL}), ("nan", {"clip": CLIPS["nan"]})]
    points = streams(
        file, *arms, cell=CELLS[cell], hidden=hidden, depth=depth, dropout=0.2, precision=precision
    )
    together = run(points, tmp_path / "together")
    for each in points:
        same_point(together, run([each], tmp_path / each.id), each.id)
    (tmp_path / "left").mkdir()
    leave(points[:2], tmp_path / "left", 5)  # the first update of a pass
    leave(points[2:], tmp_path / "left", 8)
    go_on([points[1]], tmp_path / "left")
    go_on([points[2], points[0]], tmp_path / "left")
    for each in points:
        same_point(together, Store(tmp_path / "left"), each.id)
    assert together.result("nan")["row"]["diverged_at"] == 3


def test_members_that_leave_take_their_states_along(file):
    """As in a search that prunes trials."""
    points = streams(file, ("a", {}), ("b", {"initializer": NORMAL}), ("c", {}))
    group, alone = prepare(points, "cpu"), prepare(points[2:], "cpu")
    for update in range(9):
        if update == 4:
            keep_members(group, [0, 2])
        step(group, update)
        step(alone, update)
    assert torch.equal(group.params[1], alone.params[0])
    assert all(
        torch.equal(one[1], other[0])
        for mine, own in zip(group.carried, alone.carried, strict=True)
        for one, other in zip(mine, own, strict=True)
    )


def test_lengths_of_a_stream_are_refused(file, monkeypatch):
    (of,) = streams(file, ("a", {}), batch=9)
    sample = Text.sample
    monkeypatch.setattr(
        Text,
        "sample",
        lambda self, *of: replace(sample(self, *of), lengths=torch.full((of[-1],), 16)),
    )
    with pytest.raises(
        StudyError, match="Text carries states from update to update, and gives lengths"
    ):
        check(of.config)


def test_losses_are_those_of_truncated_backpropagation_by_hand(file):
    """Against torch.nn.LSTM with detached states, reset at the start of each pass."""
    sgd = {"_target_": "study.optimizers.sgd.SGD", "lr": 0.5, "momentum": 0.0, "weight_decay": 0.0}
    clip = {"_target_": "study.clipping.none.NoClip"}
    (of,) = streams(file, ("a", {}), dtype="float64", optimizer=sgd, clip=clip)
    training = prepare([of], "cpu")
    task, named = training.task, training.model.named(training.params)
    lstm = torch.nn.LSTM(task.facts.inputs, 8, batch_first=True, dtype=torch.float64)
    head = torch.nn.Linear(8, task.facts.outputs, dtype=torch.float64)
    with torch.no_grad():
        for ours, plain in {
            "layer1.weight_x": lstm.weight_ih_l0,
            "layer1.weight_h": lstm.weight_hh_l0,
            "layer1.bias": lstm.bias_ih_l0,
            "readout.weight": head.weight,
            "readout.bias": head.bias,
        }.items():
            plain.copy_(named[ours][0])
        lstm.bias_hh_l0.zero_()
    lstm.bias_hh_l0.requires_grad_(False)
    optimizer, state, anew = (
        torch.optim.SGD(
            [one for one in (*lstm.parameters(), *head.parameters()) if one.requires_grad], lr=0.5
        ),
        None,
        [],
    )
    for update in range(12):
        step(training, update)
        batch = task.sample(lambda *key: generator(of.seed, "data", *key), update, 8)
        state = state if task.carries(update, 8) else None
        outputs, state = lstm(batch.x.double(), state)
        loss = torch.nn.functional.cross_entropy(head(outputs).flatten(0, 1), batch.y.flatten())
        zero = torch.nn.functional.cross_entropy(
            head(lstm(batch.x.double())[0]).flatten(0, 1), batch.y.flatten()
        )
        anew.append(abs(float((zero - loss).detach())) > 1e-6)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        state = tuple(part.detach() for part in state)
        assert float(training.losses[update][0]) == pytest.approx(
            float(loss.detach()), abs=1e-10
        ), update
    assert anew == [task.carries(update, 8) for update in range(12)], (
        "zero states would give other losses, except where a pass begins"
    )
    assert anew.count(False) == 3


def test_streams_go_on_where_they_ended_and_a_pass_reads_each_character_once(file):
    task = text(path=str(file))

    def of(update, seed=0):
        return task.sample(lambda *key: generator(seed, "data", *key), update, 8)

    pieces = task.pieces(8)
    assert [task.carries(update, 8) for update in range(2 * pieces)] == (
        [False] + [True] * (pieces - 1)
    ) * 2
    for update in range(pieces - 1):
        assert torch.equal(of(update).y[:, -1], of(update + 1).x[:, 0].argmax(-1))
        assert torch.equal(of(update).y[:, :-1], of(update).x[:, 1:].argmax(-1))
    seen = torch.cat([of(update).y.flatten() for update in range(pieces)])
    train = task.coded["train"]
    assert len(seen) > len(train) - 8 * (task.steps + 1)
    left = torch.bincount(train, minlength=20) - torch.bincount(seen, minlength=20)
    assert (left >= 0).all(), "no character more often than it is there"
    assert not torch.equal(of(0).x, of(pieces).x), "the next pass begins elsewhere"
    assert not torch.equal(of(0).x, of(0, seed=1).x)


def test_kernels_that_begin_at_zero_are_refused(file):
    (of,) = streams(file, ("a", {}))
    assert set_up(of.config).kernel == "reference"
    with pytest.raises(StudyError, match="kernel: native starts from zero states"):
        set_up({**of.config, "kernel": "native"})


# --- data -----------------------------------------------------------------------------------------


def test_the_default_text_is_cpythons_help():
    from pydoc_data.topics import topics

    task = text(steps=64, window=200, examples=200, validation=0.1, test=0.1)
    check_task(task)
    whole = "\n".join(topics.values())
    alphabet = task.alphabet + "\N{REPLACEMENT CHARACTER}"
    parts = {
        part: "".join(alphabet[code] for code in coded.tolist())
        for part, coded in task.coded.items()
    }
    assert [len(part) for part in parts.values()] == [
        len(whole) - 2 * round(0.1 * len(whole)),
        round(0.1 * len(whole)),
        round(0.1 * len(whole)),
    ]
    known = set(task.alphabet)
    assert "".join(parts.values()) == "".join(
        letter if letter in known else alphabet[-1] for letter in whole
    ), "in order, nothing twice, nothing lost"
    assert len(task.split("validation").x) == 200
    assert task.facts.licence.startswith("PSF")


def test_the_baseline_is_what_the_frequencies_of_the_training_text_cost_there(file):
    task = text(path=str(file))
    train = task.coded["train"]
    outputs = (
        (torch.bincount(train, minlength=task.facts.outputs) / len(train))
        .clamp(min=1e-30)
        .log()
        .expand(1, 1, len(train), -1)
    )
    whole = Batch(x=torch.zeros(1, 1, len(train), 1), y=train[None, None])
    assert float(task.loss(outputs, whole)) == pytest.approx(task.facts.baseline_loss, rel=1e-5)
    assert float(task.metric(outputs, whole)) == pytest.approx(task.facts.baseline, rel=1e-5)
    assert task.facts.baseline_loss == pytest.approx(task.facts.baseline * math.log(2))
    uniform = torch.zeros(1, 1, len(train), task.facts.outputs)
    assert float(task.metric(uniform, whole)) == pytest.approx(math.log2(task.facts.outputs)), (
        "bits"
    )


def test_rare_characters_share_one_symbol_and_windows_do_not_overlap(file):
    task = text(path=str(file), symbols=3)
    assert task.facts.inputs == task.facts.outputs == 4
    assert task.alphabet[0] == " "
    exact = text(path=str(file))
    for part in ("validation", "test"):
        of = exact.split(part)
        windows = [tuple(row) for row in of.x.argmax(-1).tolist()]
        assert len(windows) == SETTINGS["examples"]
        place, joined = -1, exact.coded[part].tolist()
        for window in windows:
            found = next(
                at for at in range(place + 1, len(joined)) if tuple(joined[at : at + 20]) == window
            )
            assert found >= place + 20 or place < 0
            place = found


def test_a_folder_is_read_file_by_file_in_order(tmp_path):
    for name, content in {
        "b.txt": string.ascii_lowercase * 20,
        "a.txt": "0123456789" * 60,
        "c.bin": "#" * 99,
    }.items():
        (tmp_path / name).write_text(content, encoding="utf-8")
    task = text(path=str(tmp_path))
    assert task.read() == "0123456789" * 60 + "\n" + string.ascii_lowercase * 20
    other = text(path=str(tmp_path), pattern="[ab].*")
    assert (
        other.data_hash()
        == task.data_hash()
        != text(path=str(tmp_path), pattern="a.txt").data_hash()
    )


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"path": "nowhere.txt"}, "task.path: there is no file or folder nowhere.txt"),
        (
            {"path": "latin.txt"},
            r"task.encoding: .*latin.txt is not utf-8 text \(byte 3\); name its encoding, such"
            r" as latin-1",
        ),
        (
            {"path": "latin.txt", "encoding": "klingon"},
            "task.encoding: Python does not know the encoding 'klingon'",
        ),
        (
            {"path": "short.txt"},
            "task.path: short.txt leaves 12 characters to validation; more than task.window ="
            " 20 are needed",
        ),
        ({"path": "same.txt"}, "is one repeated character"),
        ({"path": ".", "pattern": "*.md"}, r"task.pattern: no file in . matches '\*.md'"),
    ],
)
def test_what_is_wrong_with_a_text_is_told(tmp_path, monkeypatch, changes, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "latin.txt").write_bytes("caf\xe9 ".encode("latin-1") * 100)
    (tmp_path / "short.txt").write_text("abc" * 20, encoding="utf-8")
    (tmp_path / "same.txt").write_text("a" * 900, encoding="utf-8")
    with pytest.raises(StudyError, match=told):
        text(**changes)
    assert text(path="latin.txt", encoding="latin-1").alphabet.startswith(
        ("c", "a", "f", "\xe9", " ")
    )


def test_more_streams_than_the_text_has_pieces_for_are_told_before_training(file):
    (of,) = streams(file, ("a", {}), batch=100)
    with pytest.raises(
        StudyError, match="trains on 720 characters, too few for batch=100 streams of task.steps=16"
    ):
        check(of.config)
