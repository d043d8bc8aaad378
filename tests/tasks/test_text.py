"""The character model: carried states, bit for bit in any company, and its numbers."""

from __future__ import annotations

import itertools
import math
import string
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

import study
from study.battery.tasks import check_task
from study.config.build import later_of
from study.config.check import check
from study.config.network import EVALUATION_CHUNK, evaluation_chunk, input_drive, member_bytes
from study.config.setup import set_up
from study.interfaces import Batch
from study.numerics.streams import generator
from study.records import StudyError, identity
from study.store import Store
from study.tasks.text import SOLVED, UNICODE, Text
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


@pytest.mark.parametrize(("inside", "last"), [("", "\ufffd"), ("\ufffd", "other")])
def test_every_class_of_the_signature_is_another(tmp_path, inside, last):
    """Also in a text that holds the sign for what could not be read."""
    (tmp_path / "some.txt").write_text(f"old cells {inside} keep a state. " * 40, encoding="utf-8")
    task = text(path=str(tmp_path / "some.txt"))
    classes = task.signature()["output"]["classes"]
    assert len(set(classes)) == len(classes) == task.facts.outputs and classes[-1] == last


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
        ({"path": "empty.txt"}, "task.path: empty.txt is empty"),
        ({"path": ".", "pattern": "*.md"}, r"task.pattern: no file in . matches '\*.md'"),
        ({"path": ".", "pattern": "/*"}, r"task.pattern: must be a pattern such as \*.txt"),
        ({"path": ".", "pattern": "l*"}, r"task.encoding: latin.txt is not utf-8 text"),
        (
            {"path": "wide.txt"},
            r"task.encoding: wide.txt, read as utf-8, holds the character NUL \(character 1\): it"
            " is of another encoding, such as utf-16, or not text",
        ),
        ({"path": "wide.txt", "encoding": "latin-1"}, "read as latin-1, holds the character NUL"),
        (
            {"path": "binary.dat"},
            r"task.encoding: binary.dat is not utf-8 text \(byte 0\); .*It holds NUL bytes, as"
            " UTF-16 and files without text do",
        ),
        (
            {"path": "chinese.txt", "encoding": "ascii"},
            r"task.encoding: chinese.txt is not ascii text \(byte 0\); it is UTF-8",
        ),
        ({"path": "latin.txt", "encoding": "hex"}, "Python does not know the encoding 'hex'"),
        ({"path": "latin.txt", "encoding": None}, "Python does not know the encoding None"),
        ({"path": "latin.txt", "encoding": "undefined"}, "latin.txt is not undefined text"),
    ],
)
def test_what_is_wrong_with_a_text_is_told(tmp_path, monkeypatch, changes, told):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "latin.txt").write_bytes("caf\xe9 ".encode("latin-1") * 100)
    (tmp_path / "short.txt").write_text("abc" * 20, encoding="utf-8")
    (tmp_path / "same.txt").write_text("a" * 900, encoding="utf-8")
    (tmp_path / "empty.txt").touch()
    (tmp_path / "chinese.txt").write_text("\u4e2d" * 99, encoding="utf-8")
    (tmp_path / "wide.txt").write_bytes(("ab" * 99).encode("utf-16-le"))
    (tmp_path / "binary.dat").write_bytes(b"\x89PNG\r\n\0\0" * 99)
    with pytest.raises(StudyError, match=told):
        text(**changes)
    assert text(path="latin.txt", encoding="latin-1").alphabet.startswith(
        ("c", "a", "f", "\xe9", " ")
    )


@pytest.mark.parametrize(
    ("encoding", "told"),
    [("utf-8-sig", "utf-8"), ("utf-8-sig", "latin-1"), ("utf-16", "utf-8"), ("utf-32", "utf-16")],
)
def test_a_byte_order_mark_says_how_a_file_is_read(tmp_path, encoding, told):
    (tmp_path / "a.txt").write_bytes("caf\xe9\r\n\r\tea\n".encode(encoding))
    (tmp_path / "b.txt").write_bytes("caf\xe9".encode(told))
    task = Text(**{**SETTINGS, "path": str(tmp_path), "encoding": told})
    assert task.read() == "caf\xe9\n\n\tea\n\ncaf\xe9", "one kind of line end, and no mark"


def test_utf_8_read_as_another_encoding_is_a_warning(tmp_path):
    for name in "abc":
        (tmp_path / f"{name}.txt").write_text("caf\xe9 " * 99, encoding="utf-8")
    task = text(path=str(tmp_path), encoding="latin-1", solved=None)
    assert task.facts.warnings == (
        "task.encoding: a.txt and 2 other files read as latin-1, but valid UTF-8",
    )
    assert not text(path=str(tmp_path), solved=None).facts.warnings


def test_lone_surrogates_are_characters(tmp_path):
    (tmp_path / "a.txt").write_bytes(("ab\ud800" * 200).encode("utf-7", "surrogatepass"))
    task = text(path=str(tmp_path / "a.txt"), encoding="utf-7")
    assert set(task.alphabet) == {"a", "b", "\ud800"}
    assert task.data_hash()


# --- the alphabet and its code --------------------------------------------------------------------


def written(folder, parts: dict[str, str]):
    """A file with these parts, of equal length but for a training part of three times that."""
    assert len(parts["train"]) == 3 * len(parts["validation"]) == 3 * len(parts["test"])
    path = folder / "parts.txt"
    path.write_text("".join(parts.values()), encoding="utf-8")
    return str(path)


def rare(folder) -> str:
    """999 of 1,000 training characters are a or b; c, d, d are left; test has two never seen."""
    train = "ab" * 1498 + "a" + "cdd"
    return written(
        folder,
        {
            "train": train,
            "validation": "ab" * 498 + "cdab",
            "test": "ab" * 499 + "\u4e2d\U0001f600",
        },
    )


def test_symbols_null_is_the_fewest_that_make_up_999_of_1000_training_characters(tmp_path):
    task = text(path=rare(tmp_path), symbols=None, solved=None)
    assert task.alphabet == "ab"
    assert task.facts.notes[0] == (
        "2 symbols for the 4 characters of the training text, which are Unicode code points;"
        " without a symbol, and counted at their full cost: 0.10% of train, 0.20% of validation,"
        " 0.20% of test"
    )
    assert not task.facts.warnings
    (tmp_path / "more.txt").write_text("ab" * 1498 + "cccd" + "ab" * 1000, encoding="utf-8")
    assert text(path=str(tmp_path / "more.txt"), symbols=None).alphabet == "abc", "one too few"
    (tmp_path / "two.txt").write_text("b" + "a" * 2499, encoding="utf-8")
    assert len(text(path=str(tmp_path / "two.txt"), symbols=None).alphabet) == 2, "at least two"


def test_characters_without_a_symbol_cost_what_it_takes_to_name_them(tmp_path):
    """Of 3 left out, 2 are d, and 2 are different: d costs log2 5/2, c log2 5."""
    task = text(path=rare(tmp_path), symbols=2)
    never = math.log2(5 / 2 * (UNICODE - 4))
    assert task.naming.tolist() == pytest.approx([0, 0, math.log2(5 / 2), math.log2(5), never])
    left = 2 ** -task.naming[2:]
    assert float(left[:2].sum() + left[2] * (UNICODE - 4)) == pytest.approx(1), "a code"
    outputs = torch.zeros(1, 8, 20, 3)
    for part in ("validation", "test"):
        x, y = task.split(part).x, task.split(part).y
        assert x.shape == (8, 20, 3)
        assert torch.equal(x.sum(-1), torch.ones(8, 20))
        of = Batch(x=x[None], y=y[None])
        expected = math.log2(3) + task.naming[y].mean(-1)
        assert torch.allclose(task.metric(outputs, of)[0], expected)
        assert float(task.loss(outputs, of)) == pytest.approx(math.log(3)), "the symbols' alone"
        at = torch.full((8,), 19)
        assert torch.allclose(task.step_loss(outputs, of, at), torch.tensor(math.log(3)))
    extra = float(task.metric(outputs, of).mean()) - math.log2(3)
    assert extra == pytest.approx(2 * never / 160), "the last window of the test part has both"
    train = Counter("ab" * 1498 + "acdd")
    shares = np.array([train["a"], train["b"], 3]) / 3000
    assert task.facts.baseline == pytest.approx(
        -(shares * np.log2(shares)).sum() + (2 * math.log2(5 / 2) + math.log2(5)) / 3000
    )
    assert task.facts.baseline_loss == pytest.approx(-(shares * np.log(shares)).sum())
    all_known = text(path=rare(tmp_path), symbols=9)
    assert all_known.naming.tolist() == pytest.approx([0] * 4 + [math.log2(UNICODE - 4)])
    assert all_known.data_hash() != task.data_hash()


def test_few_symbols_do_not_make_a_text_cheap(file):
    """By frequency alone, whatever the alphabet, bits per character are about the same."""
    few, all_known = (text(path=str(file), symbols=symbols) for symbols in (2, 128))
    assert few.entropy < 0.6 * all_known.entropy
    assert few.facts.baseline == pytest.approx(all_known.facts.baseline, rel=0.02)
    assert any(
        "have no symbol of their own; more task.symbols may help" in each
        for each in few.facts.warnings
    )


def test_equal_texts_but_for_rare_characters_are_different_data(tmp_path):
    hashes = set()
    for name, content in {"a": "ab" * 1498 + "cddd", "b": "ab" * 1498 + "ccdd"}.items():
        (tmp_path / name).write_text(content + "ab" * 1000, encoding="utf-8")
        hashes.add(text(path=str(tmp_path / name), symbols=2).data_hash())
    assert len(hashes) == 2


def test_accents_are_characters_and_so_are_the_parts_of_an_emoji(tmp_path):
    (tmp_path / "a.txt").write_text("e\u0301\U0001f469\u200d\U0001f52c" * 100, encoding="utf-8")
    task = text(path=str(tmp_path / "a.txt"))
    assert set(task.alphabet) == set("e\u0301\U0001f469\u200d\U0001f52c")
    assert "1 of the characters are accents that belong to the one before" in task.facts.notes


# --- the rule for solved --------------------------------------------------------------------------


def test_solved_null_asks_for_less_than_any_guess_without_a_memory_needs(file):
    """Against both guesses by hand; both are networks that the task can score."""
    task = text(path=str(file), solved=None)
    train, width = task.coded["train"].tolist(), task.facts.outputs
    alone = np.array([(Counter(train)[code] + 1) / (len(train) + width) for code in range(width)])
    pairs = Counter(itertools.pairwise(train))
    behind = np.empty((width, width))
    for one in range(width):
        row = np.array([pairs[one, other] for other in range(width)])
        kinds = (row > 0).sum()
        behind[one] = (row + kinds * alone) / (row.sum() + kinds) if kinds else alone
    assert np.allclose(behind.sum(1), 1)
    of = task.split("validation")
    batch = Batch(x=of.x[None], y=of.y[None])
    scores = [
        float(task.metric(torch.from_numpy(np.log(shares)).float(), batch).mean())
        for shares in (
            np.broadcast_to(alone, (1, *of.y.shape, width)),
            behind[of.x.argmax(-1).numpy()][None],
        )
    ]
    assert task.guesses == pytest.approx(scores, rel=1e-5)
    assert task.facts.solved == pytest.approx(SOLVED * min(scores), rel=1e-5)
    assert task.facts.notes[-1].endswith(
        f"0.9 of what the previous character alone gives on validation, {min(scores):.2f}"
    )


def test_a_rule_that_a_guess_meets_is_a_warning(file):
    task = text(path=str(file), solved=2.6)
    assert task.facts.solved == 2.6
    assert any(
        "task.solved = 2.6 bits per character is met without a memory" in each
        for each in task.facts.warnings
    )


def test_the_study_of_the_default_text_is_what_it_was():
    """Its ids and rule, from before symbols and solved could be null."""
    plan = study.plan("text", device="cpu")
    assert plan.points[0].config["task"]["symbols"] == 128
    assert plan.points[0].config["task"]["solved"] == 2.6
    task = set_up(plan.points[0].config).task
    assert (task.facts.solved, task.facts.warnings) == (2.6, ())
    assert SOLVED * min(task.guesses) == pytest.approx(3.2, abs=0.2)
    assert not (torch.cat([*task.coded.values()]) >= len(task.alphabet)).any()
    settings = {"data_hash": "0", "kernel": "reference", "device_type": "cpu"}  # of any Python
    config = plan.points[0].config
    later = {key: later_of(node) for key, node in config.items()}
    assert identity(config, later=later, **settings) == "0f14bdd34451d863"


# --- large alphabets ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def chinese(tmp_path_factory):
    """1 MB of UTF-8: 3,000 characters by a power law, so that many are rare."""
    rng = np.random.default_rng(0)
    drawn = 0x4E00 + np.minimum(rng.zipf(1.2, 350_000), 3000)
    path = tmp_path_factory.mktemp("chinese") / "chinese.txt"
    path.write_text("".join(map(chr, drawn)), encoding="utf-8")
    return path


def test_a_chinese_text_is_planned(chinese):
    plan = study.plan(None, "task=text", f"task.path={chinese}", "updates=2", "cell=gru")
    task = set_up(plan.points[0].config).task
    assert 2000 < len(task.alphabet) < 3000
    assert not task.facts.warnings
    assert task.split("validation").x.shape[-1] == task.facts.inputs == len(task.alphabet) + 1
    assert 0 < SOLVED * min(task.guesses) == task.facts.solved < task.facts.baseline
    setup = set_up(plan.points[0].config)
    chunk = evaluation_chunk(task.window, task.facts)
    assert chunk < EVALUATION_CHUNK
    assert 4 * chunk * task.window * task.facts.outputs < member_bytes(setup) < 1e9
    (group,) = plan.groups
    assert group.points == tuple(plan.points)


def test_windows_of_a_large_alphabet_that_do_not_fit_are_refused(chinese, monkeypatch):
    monkeypatch.setattr("study.tasks.text.memory", lambda: 1e8)
    with pytest.raises(
        StudyError, match=r"task.examples: 200 windows of task.window = 200 .* need 0.[3-5] GB"
    ):
        text(path=str(chinese), symbols=None, window=200, examples=200)


def test_the_inputs_mean_square_is_that_of_all_at_once():
    x = torch.randn(200, 7, 5, generator=torch.Generator().manual_seed(0))
    assert input_drive(Batch(x=x, y=x)) == float(x.double().square().mean(-1).mean())


def test_committed_tasks_are_evaluated_in_chunks_of_one_size(file):
    facts = text().facts
    assert evaluation_chunk(200, facts) == EVALUATION_CHUNK


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"symbols": 1}, "text: symbols must be at least 2 or null, got 1"),
        ({"solved": 0}, "text: solved must be bits per character above 0, or null, got 0"),
    ],
)
def test_settings_out_of_range_are_told(changes, told):
    with pytest.raises(ValueError, match=told):
        text(**changes)


def test_more_streams_than_the_text_has_pieces_for_are_told_before_training(file):
    (of,) = streams(file, ("a", {}), batch=100)
    with pytest.raises(
        StudyError, match="trains on 720 characters, too few for batch=100 streams of task.steps=16"
    ):
        check(of.config)
