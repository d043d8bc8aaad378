"""Data from archives: counts, checksums, a reference result, downloads, and no leaks."""

from __future__ import annotations

import functools
import gzip
import hashlib
import http.server
import importlib.util
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from study.battery.tasks import check_task
from study.cells.lstm import LSTM
from study.config.check import check
from study.interfaces import Batch
from study.model import Model
from study.probes.loss import LossProfile
from study.readouts.last import Last
from study.records import StudyError, identity
from study.tasks.mnist import FILES, Mnist
from study.tasks.shared.fetching import cached
from study.tasks.shared.series_files import parsed
from study.tasks.ucr import Ucr
from study.training.trace import StageTrace
from tests.support import data
from tests.support.helpers import Descent, point

UCR = {
    "folder": None,
    "url": "http://127.0.0.1:9/{name}.zip",
    "checksum": None,
    "kind": "classification",
    "split": "file",
    "validation": 0.2,
    "test": None,
    "split_seed": 0,
    "lag": None,
    "solved": 0.95,
    "metrics": None,
    "class_weights": None,
    "quantiles": None,
}
MNIST = {
    "data": "fashion_mnist",
    "folder": None,
    "url": "http://127.0.0.1:9",
    "form": "pixel",
    "permuted": False,
    "pool": 1,
    "train": None,
    "validation": 1000,
    "test": None,
    "split_seed": 0,
    "lag": None,
    "solved": 0.8,
}


def needs(there: bool, how: str) -> None:
    if not there:
        pytest.fail(how) if os.environ.get("CI", "").lower() in ("1", "true") else pytest.skip(how)


@functools.lru_cache(maxsize=4)
def bundled(name: str) -> Ucr:
    needs(importlib.util.find_spec("aeon") is not None, "no aeon here: pip install --no-deps aeon")
    task = Ucr(name=name, **UCR)
    task.load()
    return task


@functools.lru_cache(maxsize=1)
def fashion() -> Mnist:
    needs(
        Path("/usr/share/datasets/fashion-mnist").is_dir(),
        "no Fashion-MNIST here: apt-get install dataset-fashion-mnist",
    )
    task = Mnist(**MNIST)
    task.load()
    return task


# --- UCR and UEA ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "counts", "channels", "lengths", "classes"),
    [
        ("JapaneseVowels", (216, 54, 370), 12, (7, 29), 9),
        ("BasicMotions", (32, 8, 40), 6, (100, 100), 4),
    ],
)
def test_the_bundled_sets_are_what_their_source_states(name, counts, channels, lengths, classes):
    task = bundled(name)
    check_task(task)
    assert tuple(len(task.parts[part].x) for part in ("train", "validation", "test")) == counts
    assert (task.facts.inputs, task.facts.outputs, task.facts.steps) == (
        channels,
        classes,
        lengths[1],
    )
    assert (min(task.lengths), max(task.lengths)) == lengths
    of_train = torch.cat([task.parts["train"].y, task.parts["validation"].y])
    assert (torch.bincount(of_train) == len(of_train) // classes).all(), (
        "as many of each class in the archive's train"
    )
    if name == "JapaneseVowels":
        # as donated to UCI
        assert torch.bincount(task.parts["test"].y).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    content = hashlib.sha256(
        b"".join(x.tobytes() for x in task.read().sequences) + "".join(task.data.targets).encode()
    ).hexdigest()
    assert (
        content[:16]
        == {"JapaneseVowels": "c09459ce142f0ee4", "BasicMotions": "3ca530871cef0394"}[name]
    ), "as aeon 1.6.0 carries them"


def nearest(task: Ucr) -> float:
    """Test accuracy of one nearest neighbour on raw series padded with zeros.

    Distance: Euclidean, summed over all steps.
    """
    sequences = task.read().sequences
    table = np.stack([np.pad(x, ((0, task.steps - len(x)), (0, 0))) for x in sequences])
    labels, tests = np.asarray(task.data.targets), len(task.parts["test"].x)
    train = table[:-tests]
    found = [int(np.linalg.norm(train - one, axis=2).sum(1).argmin()) for one in table[-tests:]]
    return float((labels[found] == labels[-tests:]).mean())


def test_a_plain_nearest_neighbour_finds_what_is_published():
    """JapaneseVowels .924, BasicMotions .676 (27 of 40 test examples), Bagnall et al. 2018."""
    assert round(nearest(bundled("JapaneseVowels")), 3) == 0.924
    assert abs(nearest(bundled("BasicMotions")) - 0.676) < 0.5 / 40


def test_a_padded_batch_is_what_its_examples_are_one_by_one():
    """Loss, gradients and loss profile by lag for real series of different lengths."""
    task = bundled("JapaneseVowels")
    model = Model(
        cell=LSTM(),
        readout=Last(),
        inputs=12,
        outputs=9,
        hidden=8,
        depth=2,
        dropout=0.0,
        kernel="reference",
    )
    flat = (
        torch.randn(1, model.width, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
        / 3
    )
    few = task.split("validation")
    index = few.lengths.argsort()[[0, 10, 25, 40, 53]]
    assert len(set(few.lengths[index].tolist())) >= 4
    batch = Batch(few.x[index][None].double(), few.y[index][None], few.lengths[index][None])
    alone = [
        Batch(batch.x[:, place : place + 1, : int(length)], batch.y[:, place : place + 1])
        for place, length in enumerate(batch.lengths[0])
    ]

    def outcome(of: Batch):
        leaves = {name: value.clone().requires_grad_() for name, value in model.named(flat).items()}
        loss = task.loss(model.forward(leaves, of.x, of.lengths), of)
        params = {name: value.detach() for name, value in leaves.items()}
        trace = StageTrace(
            params=params,
            batch=of,
            task=task,
            model=model,
            stage=0,
            update=0,
            seeds=[0],
            next_update=Descent(params, of),
        )
        profile = LossProfile(stages=[0], anchors=8)(trace)
        return (
            float(loss.detach()),
            model.joined(
                dict(
                    zip(leaves, torch.autograd.grad(loss.sum(), list(leaves.values())), strict=True)
                )
            ),
            profile,
        )

    loss, grads, profile = outcome(batch)
    singles = [outcome(one) for one in alone]
    assert loss == pytest.approx(np.mean([one[0] for one in singles]), abs=1e-12)
    assert torch.allclose(grads, torch.stack([one[1] for one in singles]).mean(0), atol=1e-12)
    for place, (of, (_, _, single)) in enumerate(zip(alone, singles, strict=True)):
        for name, norms in profile.items():
            assert norms.exists[place].sum() == of.x.shape[2]
            torch.testing.assert_close(
                norms.norms[:, place, norms.exists[place]],
                single[name].norms[:, 0],
                rtol=1e-9,
                atol=1e-15,
            )
    read_at_the_end = task.loss(model.forward(model.named(flat), batch.x, None), batch)
    assert abs(float(read_at_the_end) - loss) > 1e-3, (
        "reading at the padded end is another number: the test would see it"
    )


def write(folder: Path, name: str, **parts: str) -> dict[str, str]:
    for which, lines in parts.items():
        (folder / f"{name}_{which}.ts").write_text(
            "@timeStamps false\n@classLabel true a b\n@data\n" + lines, encoding="utf-8"
        )
    return {**UCR, "name": name, "folder": str(folder)}


def series(count: int, shift: float = 0.0, seed: int = 0) -> str:
    drawn = np.random.default_rng(seed)
    return "\n".join(
        ":".join(
            ",".join(f"{value + shift:.4f}" for value in row) for row in drawn.normal(size=(2, 5))
        )
        + f":{'ab'[number % 2]}"
        for number in range(count)
    )


def test_test_data_do_not_move_what_is_trained_on(tmp_path):
    """A known leak: statistics over all examples."""
    near, far = (
        Ucr(**write(tmp_path, name, TRAIN=series(40), TEST=series(20, shift, seed=1)))
        for name, shift in (("Near", 0.0), ("Far", 500.0))
    )
    for task in (near, far):
        task.load()
    for part in ("train", "validation"):
        assert torch.equal(near.parts[part].x, far.parts[part].x)
    assert far.parts["test"].x.mean() > 100 * near.parts["test"].x.abs().mean()
    steps = near.parts["train"].x.reshape(-1, 2)
    assert steps.mean(0).abs().max() < 1e-5
    assert (steps.std(0, unbiased=False) - 1).abs().max() < 1e-5


@pytest.mark.parametrize(
    ("train", "test", "told"),
    [
        ("1,2:3,4:a\n1,2:3:b", None, "line 5 of Own_TRAIN.ts has channels of 1 and 2 steps"),
        ("1,2:3,x:a", None, "line 4 of Own_TRAIN.ts is not numbers"),
        ("1,?:3,4:a\n" + series(20), None, "TRAIN example 1 has nan at step 1, channel 0"),
        ("", None, "Own_TRAIN.ts holds no example"),
        (
            "\n".join(["1,2:3,4:a"] * 20),
            "1,2:3,4:b",
            "Own_TEST.ts has the class 'b', which Own_TRAIN.ts has not",
        ),
        ("\n".join(["1,2:3,4:a"] * 20), "\n".join(["1,2:3,4:a"] * 4), "has one class only"),
        (
            "1,2:3,4:a\n1,3:3,4:b",
            "1,2:3,4:b\n1,2:3,4:a",
            "train, validation, test: 0 examples of 4 would be left to validation",
        ),
    ],
)
def test_what_is_wrong_with_an_archive_is_told(tmp_path, train, test, told):
    task = Ucr(
        **write(tmp_path, "Own", TRAIN=train, TEST=series(10, seed=1) if test is None else test)
    )
    with pytest.raises(StudyError, match=told):
        task.load()


def test_time_stamps_and_targets_that_are_no_classes_are_refused():
    with pytest.raises(
        StudyError, match="must hold classes and no time stamps; its header says @classLabel false"
    ):
        parsed(["@timeStamps false", "@classLabel false", "@data", "1,2:3"], "Own.ts")


ROWS = np.random.default_rng(2).normal(size=(30, 2, 6)).round(3)
LABELS = [f"k{number % 3}" for number in range(30)]


def in_format(folder, suffix, *, channels=1, targets=LABELS, header=None):
    """The same 20 training and 10 test examples in each format of the archives."""
    kinds = " ".join(sorted(set(targets)))
    numeric = not targets[0].startswith("k")
    for which, index in (("TRAIN", range(20)), ("TEST", range(20, 30))):
        cases = []
        for number in index:
            values = [",".join(map(str, row)) for row in ROWS[number, :channels]]
            cases.append(
                {
                    ".ts": f"{':'.join(values)}:{targets[number]}",
                    ".arff": (
                        f"{values[0]},{targets[number]}"
                        if channels == 1
                        else "'" + "\\n".join(values) + f"',{targets[number]}"
                    ),
                    ".tsv": f"{targets[number]}\t" + values[0].replace(",", "\t") + "\tNaN",
                    ".txt": f"  {targets[number]}  " + values[0].replace(",", "  "),
                }[suffix]
            )
        names = "targetLabel true" if numeric else f"classLabel true {kinds}"
        begin = {
            ".ts": (f"# a comment\n@timeStamps false\n@equalLength\ttrue\n@{names}\n@data\n"),
            ".arff": (
                "% a comment\n@relation Own\n"
                + "".join(f"@attribute 'step {step}' numeric\n" for step in range(6))
                + "@ATTRIBUTE target "
                + ("real" if numeric else f"{{{kinds.replace(' ', ',')}}}")
                + "\n@DATA\n"
            ),
        }.get(suffix, "")
        (folder / f"Own_{which}{suffix}").write_text(begin + "\n".join(cases) + "\n")


def own(folder, **changes):
    task = Ucr(**{**UCR, "name": "Own", "folder": str(folder), **changes})
    task.load()
    return task


@pytest.mark.parametrize("suffix", [".ts", ".arff", ".tsv", ".txt"])
@pytest.mark.parametrize("inner", ["", "Own"])
def test_every_format_holds_the_same_examples(tmp_path, suffix, inner):
    (tmp_path / inner).mkdir(exist_ok=True)
    in_format(tmp_path / inner, suffix)
    task = own(tmp_path)
    assert task.classes == ["k0", "k1", "k2"]
    assert {part: len(of.x) for part, of in task.parts.items()} == {
        "train": 16,
        "validation": 4,
        "test": 10,
    }
    read = task.read()
    assert np.array_equal(np.stack(read.sequences)[:, :, 0], ROWS[:, 0])
    assert read.targets.tolist() == LABELS
    assert (read.names[0], read.names[20]) == ("TRAIN example 1", "TEST example 1")


@pytest.mark.parametrize("suffix", [".ts", ".arff"])
def test_several_channels_and_numbers_to_predict(tmp_path, suffix):
    numbers = [str(round(float(row.mean()), 4)) for row in ROWS]
    in_format(tmp_path, suffix, channels=2, targets=numbers)
    with pytest.raises(StudyError, match=r"is for regression; use task.kind=regression"):
        own(tmp_path)
    with pytest.raises(ValueError, match="solved .*with kind=regression an error below"):
        own(tmp_path, kind="regression", solved=1.0)
    task = own(tmp_path, kind="regression", solved=None)
    assert (task.facts.inputs, task.facts.outputs) == (2, 1)
    assert np.array_equal(np.stack(task.read().sequences), ROWS.transpose(0, 2, 1))
    assert task.read().targets.tolist() == [float(number) for number in numbers]
    assert "validation from its train, random" in task.facts.split
    in_format(tmp_path, suffix)
    with pytest.raises(StudyError, match=r"is for classification; use task.kind=classification"):
        own(tmp_path, kind="regression", solved=None)


@pytest.mark.parametrize(
    ("suffix", "old", "new", "told"),
    [
        (".tsv", "k1\t", "k1\tx\t", "line 2 of Own_TRAIN.tsv is not numbers"),
        (
            ".arff",
            ",k1",
            "",
            "line 12 of Own_TRAIN.arff has 5 values before its target, and its header 6",
        ),
        (".arff", "@DATA\n", "@DATA\n{0 1, 3 k1}\n", "line 11 of Own_TRAIN.arff is sparse"),
        (".arff", "@DATA\n", "", "has no line @data"),
        (".arff", "'step 3' numeric", "'step 3' {a,b}", "classes as the last attribute"),
        (".arff", ",k1\n", ",kl\n", "line 12 of .* ends in 'kl', which is none of the classes"),
        (".ts", ":k1\n", "\n", "line 7 of .* which is none of the classes of the header: k0, k1"),
        (".ts", ":k1\n", ",1:k1\n", "line 7 of .* has 7 steps and earlier ones 6; .*equalLength"),
        (".tsv", "k1\t", "k1\tNaN\t", "TRAIN example 2 has nan at step 0"),
    ],
)
def test_what_is_wrong_with_a_file_of_another_format_is_told(tmp_path, suffix, old, new, told):
    in_format(tmp_path, suffix)
    path = tmp_path / f"Own_TRAIN{suffix}"
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(StudyError, match=told):
        own(tmp_path)


def test_classes_of_one_training_example_name_the_setting_that_helps(tmp_path):
    """As in Fungi, 18 classes of one training example each."""
    in_format(tmp_path, ".tsv")
    train = tmp_path / "Own_TRAIN.tsv"
    train.write_text("\n".join(train.read_text().splitlines()[:3]))
    with pytest.raises(StudyError, match=r"0 examples of 13 .* with task.split=stratified and"):
        own(tmp_path)
    task = own(tmp_path, split="stratified", test=0.3, validation=0.3)
    assert {part: len(of.x) for part, of in task.parts.items()} == {
        "train": 5,
        "validation": 4,
        "test": 4,
    }
    with pytest.raises(ValueError, match="test .*a share with other splits"):
        own(tmp_path, split="stratified")


def test_numbers_that_a_table_holds_as_classes_are_refused(tmp_path):
    in_format(tmp_path, ".tsv", targets=[f"{number % 9}.5" for number in range(30)])
    with pytest.raises(StudyError, match="9 classes for 30 examples; numbers to predict are for"):
        own(tmp_path)
    in_format(tmp_path, ".tsv", targets=["1", "2.0", "1.0e0"] * 10)
    assert own(tmp_path).classes == ["1", "2"]


def test_keys_that_came_later_leave_ids_as_they_were():
    settings = {"data_hash": "0", "kernel": "reference", "device_type": "cpu"}
    config = point(task={"_target_": "study.tasks.ucr.Ucr", "name": "Own", **UCR}).config
    later = {*Ucr.read_by, *Ucr.later}
    before = {key: value for key, value in config["task"].items() if key not in later}
    ids = [
        identity(
            {**config, "task": task}, read_by=Ucr.read_by, later={"task": Ucr.later}, **settings
        )
        for task in (config["task"], before)
    ]
    assert ids[0] == ids[1]


def test_the_hash_has_what_ids_leave_out(tmp_path):
    in_format(tmp_path, ".tsv", targets=[f"{number % 3}" for number in range(30)])
    shares = {"test": 0.3, "validation": 0.2}
    hashes = {
        own(tmp_path, **changes).data_hash()
        for changes in (
            {},
            {"kind": "regression", "solved": None},
            {"split": "stratified", **shares},
            {"split": "time", **shares},
            {"split": "time", **shares, "test": 0.4},
        )
    }
    assert len(hashes) == 5


def test_a_set_that_is_nowhere_says_what_to_fetch_and_where_to_put_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(
        StudyError,
        match=(
            r"127.0.0.1:9/SpokenArabicDigits.zip could not be fetched .* put the archive at"
            r" ~/.cache/.*/ucr/SpokenArabicDigits.zip"
        ),
    ):
        Ucr(name="SpokenArabicDigits", **UCR).load()
    with pytest.raises(
        StudyError,
        match="task.folder: .* has neither Own_TRAIN.ts and Own_TEST.ts .or .* nor Own.zip",
    ):
        Ucr(**{**UCR, "name": "Own", "folder": str(tmp_path)}).load()
    with pytest.raises(
        StudyError,
        match=(
            r"train-images-idx3-ubyte.gz could not be fetched .* put train-images-idx3-ubyte.gz, .*"
            r" into ~/.cache/.*/mnist"
        ),
    ):
        Mnist(**{**MNIST, "data": "mnist"}).load()


# --- fetching -------------------------------------------------------------------------------------


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serve tmp_path/served on this machine and count requests; the cache is in tmp_path."""
    (tmp_path / "served").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments):
            super().__init__(*arguments, directory=str(tmp_path / "served"))

        def do_GET(self):
            asked.append(self.path)
            if self.path.startswith("/short"):
                self.send_response(200)
                self.send_header("Content-Length", "1000")
                self.end_headers()
                self.wfile.write(b"half")
            else:
                super().do_GET()

        def log_message(self, *arguments): ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        thread = threading.Thread(target=serving.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{serving.server_port}", asked
        serving.shutdown()


def test_an_archive_is_fetched_once_checked_and_read(server, tmp_path, capsys):
    url, asked = server
    data.archive(
        tmp_path / "served" / "SpokenArabicDigits.zip", "SpokenArabicDigits", 13, 10, (4, 93)
    )
    settings = {**UCR, "name": "SpokenArabicDigits", "url": url + "/{name}.zip"}
    for _ in range(2):
        task = Ucr(**settings)
        task.load()
    check_task(task)
    assert (task.facts.inputs, task.facts.outputs) == (13, 10)
    assert asked == ["/SpokenArabicDigits.zip"]
    assert "fetching SpokenArabicDigits.zip, 0." in capsys.readouterr().err
    kept = tmp_path / ".cache" / "rnn-gradient-study" / "ucr" / "SpokenArabicDigits.zip"
    right = "sha256:" + hashlib.sha256(kept.read_bytes()).hexdigest()
    Ucr(**{**settings, "checksum": right}).load()
    kept.write_bytes(kept.read_bytes()[:-1] + b"!")
    with pytest.raises(StudyError, match="has changed since it was fetched"):
        Ucr(**settings).load()
    kept.unlink()
    with pytest.raises(
        StudyError, match="has checksum sha256:.*, expected sha256:00; it was not kept"
    ):
        Ucr(**{**settings, "checksum": "sha256:00"}).load()
    assert not kept.exists()


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("nothing.zip", "could not be fetched .*404.*do this"),
        ("short.zip", r"ended after 4 of 1000 bytes|could not be fetched"),
    ],
)
def test_what_does_not_come_whole_is_not_kept(server, tmp_path, file, told):
    url, _ = server
    with pytest.raises(StudyError, match=told):
        cached(f"{url}/{file}", "own", None, "do this")
    assert [
        path.name for path in (tmp_path / ".cache" / "rnn-gradient-study" / "own").iterdir()
    ] == []


def test_images_that_are_not_the_published_ones_are_refused(server, tmp_path):
    url, _ = server
    data.idx_files(tmp_path / "served")
    with pytest.raises(
        StudyError,
        match=(
            "has checksum md5:.*, expected md5:f68b3c2dcbeaaa9fbdd348bbdeb94873; it was not kept"
        ),
    ):
        Mnist(**{**MNIST, "data": "mnist", "url": url}).load()


# --- MNIST and Fashion-MNIST ----------------------------------------------------------------------


def test_fashion_mnist_is_what_its_source_states():
    task = fashion()
    content = {
        name: gzip.decompress(path.read_bytes())
        for name, path in zip(FILES, task._files(), strict=True)
    }
    found = {
        name: np.frombuffer(of, np.uint8, offset=16 if "images" in name else 8)
        for name, of in content.items()
    }
    found |= {name: of.reshape(-1, 28, 28) for name, of in found.items() if "images" in name}
    assert {name: of.shape for name, of in found.items()} == dict(
        zip(FILES, [(60000, 28, 28), (60000,), (10000, 28, 28), (10000,)], strict=True)
    )
    assert np.bincount(found[FILES[1]]).tolist() == [6000] * 10
    assert np.bincount(found[FILES[3]]).tolist() == [1000] * 10
    pixels = found[FILES[0]] / np.float32(255)
    assert (round(float(pixels.mean()), 4), round(float(pixels.std()), 4)) == (0.2860, 0.3530)
    assert [hashlib.md5(of).hexdigest() for of in content.values()] == [
        "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "9018921c3c673c538a1fc5bad174d6f9",
        "8181f5470baa50b63fa0f6fddb340f0a",
        "15d484375f8d13e6eb1aabb0c3f46965",
    ]
    assert {part: len(of.x) for part, of in task.parts.items()} == {
        "train": 59000,
        "validation": 1000,
        "test": 10000,
    }
    assert torch.bincount(task.parts["validation"].y).tolist() == [100] * 10
    assert (task.facts.steps, task.facts.baseline) == (784, pytest.approx(0.1))
    assert np.array_equal(
        (task.parts["test"].x[:, :, 0] * 255).round().numpy(), found[FILES[2]].reshape(10000, -1)
    )
    both = (
        torch.cat([task.parts["train"].x, task.parts["validation"].x])[:, :, 0]
        .mul(255)
        .round()
        .sum(0)
        .long()
    )
    assert torch.equal(
        both, torch.from_numpy(found[FILES[0]].reshape(60000, -1).sum(0, dtype=np.int64))
    ), "train and validation are the 60,000, each once"


def test_images_in_their_forms(tmp_path):
    folder = str(data.idx_files(tmp_path))

    def made(**changes):
        task = Mnist(**{**MNIST, "folder": folder, "validation": 50, **changes})
        task.load()
        return task

    whole, row, half, permuted = made(), made(form="row"), made(pool=2), made(permuted=True)
    assert (whole.facts.steps, row.facts.steps, row.facts.inputs, half.facts.steps) == (
        784,
        28,
        28,
        196,
    )
    assert torch.equal(whole.parts["test"].x.flatten(1), row.parts["test"].x.flatten(1))
    blocks = torch.nn.functional.avg_pool2d(
        whole.parts["test"].x.reshape(-1, 1, 28, 28), 2
    ).flatten(1)
    torch.testing.assert_close(half.parts["test"].x.flatten(1), blocks, atol=1e-6, rtol=0)
    assert torch.equal(
        permuted.parts["train"].x.sort(1).values, whole.parts["train"].x.sort(1).values
    )
    assert not torch.equal(permuted.parts["train"].x, whole.parts["train"].x)
    fewer = made(train=100, test=50)
    assert {part: len(of.x) for part, of in fewer.parts.items()} == {
        "train": 100,
        "validation": 50,
        "test": 50,
    }
    assert torch.equal(fewer.parts["validation"].x, whole.parts["validation"].x), (
        "whatever the size of the training set"
    )
    (tmp_path / f"{FILES[0]}.gz").write_bytes(gzip.compress(b"\0\0\x08\x03" + b"\0" * 11))
    with pytest.raises(
        StudyError, match="is not an idx file of bytes|cannot be read as an idx file"
    ):
        made()
    (tmp_path / f"{FILES[3]}.gz").unlink()
    with pytest.raises(StudyError, match="task.folder: .* lacks t10k-labels-idx1-ubyte"):
        made()


# --- what cannot be trained -----------------------------------------------------------------------


def test_fewer_examples_than_a_batch_and_sequences_beyond_memory_are_told_before_training(
    tmp_path, monkeypatch
):
    task = {
        "_target_": "study.tasks.ucr.Ucr",
        **write(tmp_path, "Own", TRAIN=series(40), TEST=series(20, seed=1)),
    }
    last = {"_target_": "study.readouts.last.Last"}
    check(point(task=task, readout=last, batch=32).config)
    with pytest.raises(
        StudyError,
        match="batch: 33 is more than the 32 training examples of the task; use batch=32 or less",
    ):
        check(point(task=task, readout=last, batch=33).config)
    monkeypatch.setattr("study.config.check.memory", lambda: 1e4)
    with pytest.raises(
        StudyError,
        match=(
            "task: sequences of 5 steps need about 0 GB with batch=32, accumulate=1,"
            " health.examples=64, hidden=8"
            " and depth=1, and this machine has 0 GB"
        ),
    ):
        check(point(task=task, readout=last, batch=32).config)
    monkeypatch.setattr("study.tasks.shared.series.memory", lambda: 1e3)
    with pytest.raises(
        StudyError,
        match=r"does not fit the memory of this machine, 0 GB: TRAIN example 1 has 5 steps",
    ):
        Ucr(**write(tmp_path, "Own", TRAIN=series(40), TEST=series(20, seed=1))).load()
