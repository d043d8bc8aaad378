"""Inputs that nobody meant to write, by hypothesis: overrides, experiment YAML, files of a store,
points.parquet.

    python -m tests.campaigns.fuzz [--inputs 15500] [--seed 0] [--only FAMILY] [--keep FOLDER]

Each goes through a real entry point in this process. Wrong is: an exception that would be a bare
traceback, more than LIMIT seconds, a change of any file outside the study's folder, a damaged point
that counts as done, other values of a mangled table (tests/campaigns/own_tables.py), which is kept
in FOLDER. What is found is told once a place.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from rich.console import Console

from reports.__main__ import main as report
from study.__main__ import main as command
from study.interfaces import Group
from study.store import Store, seal
from study.store.leases import Leases
from study.sync import waiting
from study.training.checkpoints import Checkpoints, Unusable, _digested
from study.training.engine import Stopped, run_group
from study.training.state import prepare
from tests import ROOT
from tests.campaigns.own_tables import judged
from tests.reports.synthetic import make
from tests.support.helpers import point

LIMIT = 120  # seconds for one input, on a machine that does other things too
# bytes of addresses: a network that is too large must be told, not fill the machine
MEMORY = 24 * 2**30
SHARES = {  # of all inputs, relative to each other
    "own_tables": 0.476,
    "overrides": 0.03,
    "yaml": 0.03,
    "results": 0.24,
    "declarations": 0.14,
    "tables": 0.2,
    "points": 0.06,
    "checkpoints": 0.14,
    "leases": 0.155,
    "render": 0.005,
}


@dataclass
class Found:
    """What was tried, and what went wrong: place -> an input that shows it."""

    tried: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, str] = field(default_factory=dict)
    keep: Path | None = None  # folder for files that show it

    def lines(self) -> list[str]:
        of = ", ".join(f"{number} {family}" for family, number in self.tried.items())
        ends = ", ".join(f"{number} {how}" for how, number in sorted(self.ended.items()))
        return [
            f"{sum(self.tried.values())} inputs ({of}); ended: {ends}",
            *(f"{place}\n    {shown}" for place, shown in self.wrong.items()),
        ]


class Slow(BaseException):
    """It took longer than LIMIT."""


def _late(number: int, frame: Any) -> None:
    raise Slow


class Box:
    """A folder to work in, with files around it that nothing may touch."""

    def __init__(self, folder: Path, found: Found) -> None:
        self.folder, self.found = folder, found
        self.inside = folder / "around" / "work"
        self.inside.mkdir(parents=True)
        (folder / "around" / "precious").write_text("years of work")

    def _around(self) -> dict[str, tuple[int, int]]:
        """What lies outside of the working folder's own outputs, beside the stores too."""
        there = {}
        for base in (self.folder, self.folder / "around", self.inside, self.inside / "store"):
            for path in base.iterdir() if base.is_dir() else ():
                if path.is_file():
                    there[str(path)] = (path.stat().st_size, path.stat().st_mtime_ns)
                else:
                    there[str(path)] = (0, 0)
        return {
            name: told
            for name, told in there.items()
            if Path(name).name not in ("outputs", "conf", "store", "around", "work")
        }

    @contextlib.contextmanager
    def trying(self, family: str, shown: object) -> Iterator[list[str]]:
        """One input; the list receives what was written on the way."""
        said: list[str] = []
        out = io.StringIO()
        self.found.tried[family] += 1
        before, how = self._around(), "told"
        signal.alarm(LIMIT)
        try:
            with (
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(out),
                contextlib.chdir(self.inside),
            ):
                yield said
        except SystemExit as exit:
            how = f"status {exit.code}"
            if exit.code not in (0, 1, 2, 130):
                self._wrong(family, f"exit status {exit.code!r}", shown)
        except Slow:
            self._wrong(family, f"longer than {LIMIT} s: {_place(sys.exc_info()[2])}", shown)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            self._wrong(
                family,
                f"{type(error).__name__}: {str(error)[:120]} at {_place(error.__traceback__)}",
                shown,
            )
        finally:
            signal.alarm(0)
        self.found.ended[how] += 1
        if "Traceback (most recent call last)" in out.getvalue():
            self._wrong(family, f"a traceback was printed: {out.getvalue()[-300:]}", shown)
        if (now := self._around()) != before:
            self._wrong(
                family,
                f"written outside the study: {sorted(now.items() ^ before.items())[:3]}",
                shown,
            )

    def _wrong(self, family: str, what: str, shown: object) -> None:
        self.found.wrong.setdefault(f"{family}: {what}", repr(shown)[-300:])


def _place(trace: Any) -> str:
    """The last line of ours that the error went through."""
    frames = [
        frame
        for frame in traceback.extract_tb(trace)
        if str(ROOT) in frame.filename
        and ".venv" not in frame.filename
        and "fuzz.py" not in frame.filename
    ]
    return (
        f"{Path(frames[-1].filename).relative_to(ROOT)}:{frames[-1].lineno}"
        if frames
        else "elsewhere"
    )


# --- what is written ------------------------------------------------------------------------------

WORDS = [
    "rnn",
    "lstm",
    "gru",
    "orthogonal",
    "none",
    "norm",
    "adam",
    "auto",
    "null",
    "true",
    "",
    " ",
    "../../x",
    "/etc/passwd",
    "a b",
    "ü",
    "\u202e",
    "'",
    '"',
    "\\",
    "${seed}",
    "${hidden}",
    "${oc.env:HOME}",
    "${nothing}",
    "${",
    "}",
    "[",
    "]",
    "{",
    "a:b",
    "{a:1}",
    "{a:{b:[1,2]}}",
    "[1,2]",
    "[]",
    "{}",
    "1,2",
    "a,b,c",
    "range(3)",
    "range(0,9,0)",
    "range(10000000000)",
    "range(3,1)",
    "choice(1,2)",
    "choice()",
    "interval(1,2)",
    "int(interval(1,2))",
    "tag(log,interval(1e-4,1))",
    "sort(3,1,2)",
    "shuffle(1,2)",
    "glob(*)",
    "glob(*,exclude=r*)",
    "cast(1)",
    "str(1)",
    "???",
    "1e999",
    "nan",
    "inf",
    "-inf",
    "-0.0",
    "1e-400",
    "0x10",
    "1_000",
    "--help",
    "~",
    "@",
    "%",
    "\t",
    "\n",
    "\x00",
    "x" * 300,
    "1" * 400,
]
VALUES = st.one_of(
    st.sampled_from(WORDS),
    st.integers(-(10**30), 10**30).map(str),
    st.integers(-3, 40).map(str),
    st.floats(allow_subnormal=False).map(str),
    st.text(max_size=12),
    st.lists(st.sampled_from(WORDS), max_size=3).map(",".join),
)
GROUPS = [
    "cell",
    "initializer",
    "clip",
    "optimizer",
    "readout",
    "task",
    "probe",
    "tracker",
    "executor",
    "search",
    "experiment",
]
KEYS = [
    *GROUPS,
    "name",
    "depth",
    "hidden",
    "batch",
    "updates",
    "seed",
    "validate_every",
    "dropout",
    "dtype",
    "precision",
    "kernel",
    "device",
    "reprobe",
    "retry",
    "tuned",
    "weights.forget_bias",
    "weights.input",
    "health",
    "health.stages",
    "health.examples",
    "health.bootstrap",
    "health.fading",
    "store",
    "store.folder",
    "store.weights",
    "store.checkpoint_seconds",
    "store.lease_seconds",
    "store.tracker_seconds",
    "study",
    "study.title",
    "study.exclude",
    "study.arms",
    "study.claims",
    "study.contrasts",
    "study.confirm.arms",
    "study.search",
    "optimizer.lr",
    "optimizer.beta1",
    "clip.threshold",
    "initializer.gain",
    "task.form",
    "task.lag",
    "task.steps",
    "executor.workers",
    "executor.max_members",
    "executor.timeout_minutes",
    "tracker.wandb.mode",
    "tracker.wandb.patience",
    "search.trials",
    "hydra/sweeper",
    "hydra/launcher",
    "hydra.sweeper.params",
    "hydra.job.chdir",
    "hydra.run.dir",
    "hydra.sweep.dir",
    "hydra.output_subdir",
    "nothing",
    "study.nothing",
    "a.b.c",
    "",
    "cell@x",
    "probe.transport.stages",
]
OVERRIDES = st.lists(
    st.one_of(
        st.builds(
            lambda mark, key, value: f"{mark}{key}={value}",
            st.sampled_from(["", "", "", "", "+", "++", "~"]),
            st.sampled_from(KEYS),
            VALUES,
        ),
        st.sampled_from(KEYS).map("~".__add__),
        st.text(max_size=20),
    ),
    min_size=1,
    max_size=4,
)
BASE = [
    "experiment=quick",
    "cell=rnn",
    "initializer=orthogonal",
    "seed=0,1",
    "task.form=row",
    "tracker=[]",
    "probe=[]",
]
LAST = ["plan=true"]  # what is planned is not trained
# code by design, and training
FORBIDDEN = (
    "_target_",
    "plan",
    "hydra.mode",
    "hydra.launcher",
    "hydra.callbacks",
    "hydra.searchpath",
    "hydra.hydra_logging",
    "hydra.job_logging",
    "--",
)

LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_subnormal=False),
    st.sampled_from(WORDS),
    st.text(max_size=8),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.text(max_size=6), st.sampled_from(KEYS)), inner, max_size=3),
    ),
    max_leaves=6,
)
EXPERIMENT: dict[str, Any] = {
    "defaults": [
        {"override /task": "digits"},
        {"override /cell": "rnn"},
        {"override /tracker": []},
        {"override /probe": []},
    ],
    "name": "fuzzed",
    "updates": 3,
    "task": {"form": "row"},
    "study": {
        "title": "t",
        "question": "q",
        "exclude": [{"when": {"cell": "lstm", "initializer": "identity"}, "why": "w"}],
        "arms": [{"when": {"cell": "rnn"}, "set": {"optimizer.lr": 0.01, "hidden": 6}}],
        "claims": [
            {
                "statement": "s",
                "better": {"cell": "rnn"},
                "worse": {"cell": "lstm"},
                "by": "score",
                "least": 0.1,
            }
        ],
        "contrasts": [
            {
                "name": "n",
                "first": {"cell": "rnn"},
                "second": {"cell": ["lstm", "gru"]},
                "by": "score",
            }
        ],
    },
    "hydra": {
        "sweeper": {
            "params": {"cell": "rnn,lstm", "initializer": "orthogonal,identity", "seed": "0,1"}
        }
    },
}


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Paths to all nodes of nested dicts and lists."""
    yield path
    for key, item in (
        tree.items()
        if isinstance(tree, dict)
        else enumerate(tree)
        if isinstance(tree, list)
        else ()
    ):
        yield from places(item, (*path, key))


def exchanged(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    copy[path[0]] = exchanged(tree[path[0]], path[1:], value)
    return copy


def without(tree: Any, path: tuple[Any, ...]) -> Any:
    copy = dict(tree) if isinstance(tree, dict) else list(tree)
    if len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = without(tree[path[0]], path[1:])
    return copy


@st.composite
def mutated(draw: st.DrawFn, tree: Any) -> Any:
    """A tree with one or two nodes exchanged or taken away."""
    for _ in range(draw(st.integers(1, 2))):
        path = draw(st.sampled_from(list(places(tree))[1:] or [()]))
        tree = (
            without(tree, path)
            if path and draw(st.integers(0, 3)) == 0
            else exchanged(tree, path, draw(TREES))
        )
        if not isinstance(tree, dict | list) or not tree:
            break
    return tree


@st.composite
def spoiled(draw: st.DrawFn, data: bytes) -> bytes:
    """Bytes with bits flipped, parts cut, doubled, zeroed or put in."""
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        how = draw(st.sampled_from(["flip", "cut", "zero", "insert", "double", "drop"]))
        if how == "flip" and data:
            data = data[:at] + bytes([data[at] ^ (1 << draw(st.integers(0, 7)))]) + data[at + 1 :]
        elif how == "cut":
            data = data[:at]
        elif how == "zero":
            data = (
                data[:at] + bytes(min(draw(st.integers(1, 64)), len(data) - at)) + data[at + 64 :]
            )
        elif how == "insert":
            data = data[:at] + draw(st.binary(min_size=1, max_size=9)) + data[at:]
        elif how == "double":
            data = data[:at] + data[at : at + 40] + data[at:]
        else:
            data = data[:at] + data[at + draw(st.integers(1, 40)) :]
    return data


# --- families -------------------------------------------------------------------------------------


def run(arguments: list[str]) -> None:
    before = sys.argv
    sys.argv = [str(ROOT / "study" / "__main__.py"), *arguments]
    try:
        command()
    finally:
        sys.argv = before


def overrides(box: Box) -> Callable[..., None]:
    @given(st.booleans(), OVERRIDES)
    def one(several: bool, typed: list[str]) -> None:
        typed = [
            text
            for text in typed
            if not any(mark in text for mark in FORBIDDEN) and "\0" not in text
        ]
        with box.trying("overrides", typed):
            run(
                [
                    *(["-m"] if several else []),
                    *(one for one in BASE if several or "," not in one),
                    *typed,
                    *LAST,
                ]
            )

    return one


def experiments(box: Box) -> Callable[..., None]:
    folder = box.inside / "conf" / "experiment"
    folder.mkdir(parents=True)
    whole = ("# @package _global_\n" + yaml.safe_dump(EXPERIMENT, sort_keys=False)).encode()

    @given(st.one_of(mutated(EXPERIMENT), spoiled(whole)))
    def one(made: Any) -> None:
        data = (
            made
            if isinstance(made, bytes)
            else (
                "# @package _global_\n" + yaml.safe_dump(made, sort_keys=False, allow_unicode=True)
            ).encode(errors="surrogatepass")
        )
        if any(mark.encode() in data for mark in ("_target_", "hydra/")):
            return
        (folder / "fuzzed.yaml").write_bytes(data)
        with box.trying("yaml", data):
            run(["-m", "--config-dir", str(folder.parent), "experiment=fuzzed", *LAST])

    return one


class Damaged:
    """A store that is spoiled and mended again."""

    def __init__(self, box: Box, name: str) -> None:
        tables = ("history", "profile", "states", "test", "measures")
        self.store = make(
            box.inside / "store" / name,
            factors={"cell": ["rnn", "gru"]},
            seeds=(0, 1),
            steps=6,
            updates=12,
            examples=12,
            tables=tables,
            failed=(3,),
        )
        self.folder, self.ids = self.store.folder, self.store.ids()
        self.whole = {path: path.read_bytes() for path in self.folder.rglob("*") if path.is_file()}

    @contextlib.contextmanager
    def with_file(self, path: Path, data: bytes) -> Iterator[None]:
        path.write_bytes(data)
        try:
            yield
        finally:
            self.mend(path)

    def mend(self, path: Path) -> None:
        path.parent.mkdir(exist_ok=True)
        for each in path.parent.iterdir():
            if each.is_file() and each not in self.whole:
                each.unlink()
        if path.parent.name in self.ids:
            for each in self.ids:
                folder = self.store.point_folder(each)
                folder.mkdir(exist_ok=True)
                for file, data in self.whole.items():
                    if file.parent == folder:
                        file.write_bytes(data)
        path.write_bytes(self.whole[path])
        shutil.rmtree(self.store.aside, ignore_errors=True)


READS = (
    ["status"],
    ["table"],
    ["check", "--fail-if", "score < 0.5 where cell=gru"],
    ["status", "--repair"],
    ["diff"],
)


def reads(box: Box, family: str, of: Damaged, shown: object, which: list[str]) -> str:
    """A command of the report over the store; what it told."""
    out = io.StringIO()
    with box.trying(family, (which, shown)), contextlib.redirect_stdout(out):
        raise SystemExit(
            report(
                [
                    which[0],
                    str(of.folder),
                    *([str(of.folder)] if which[0] == "diff" else []),
                    *which[1:],
                ]
            )
        )
    return out.getvalue()


def results(box: Box) -> Callable[..., None]:
    """result.json: spoiled bytes, which are always noticed; and hostile contents that are signed as
    they should be.
    """
    of = Damaged(box, "results")
    path = of.store.point_folder(of.ids[0]) / "result.json"
    content = json.loads(of.whole[path])

    @given(
        st.one_of(
            mutated({name: item for name, item in content.items() if name != "digest"}),
            spoiled(of.whole[path]),
        ),
        st.sampled_from(READS),
    )
    def one(made: Any, which: list[str]) -> None:
        if isinstance(made, bytes):
            with of.with_file(path, made):
                if made != of.whole[path] and Store(of.folder).damage(of.ids[0]) is None:
                    box._wrong("results", "damage that is not noticed", made)
                reads(box, "results", of, made, which)
        else:
            with contextlib.suppress(ValueError, TypeError), of.with_file(path, b""):
                seal(path.parent, made)
                reads(box, "results", of, made, which)

    return one


def declarations(box: Box) -> Callable[..., None]:
    of = Damaged(box, "declarations")
    path = of.folder / "study.json"
    content = json.loads(of.whole[path])

    @given(
        st.one_of(mutated(content), spoiled(of.whole[path])), st.sampled_from([*READS, ["plan"]])
    )
    def one(made: Any, which: list[str]) -> None:
        data = made if isinstance(made, bytes) else json.dumps(made).encode(errors="surrogatepass")
        with of.with_file(path, data):
            if which == ["plan"]:
                with box.trying("declarations", data), contextlib.redirect_stdout(io.StringIO()):
                    from study.records import StudyError

                    try:
                        Store(of.folder).check_mine(
                            {"experiment": "digits", "numerics": 1, "tasks": {"digits": "3f2a"}}
                        )
                        Store(of.folder).declare(
                            {"fingerprint": {"tasks": {}}, "declaration": {}}, {"id": "1"}
                        )
                        Store(of.folder).finish_launch("1", done=1)
                    except StudyError:
                        pass
            else:
                reads(box, "declarations", of, data, which)

    return one


def tables(box: Box) -> Callable[..., None]:
    """Tables, weights and texts of a point: spoiled, and spoiled but signed as they should be."""
    of = Damaged(box, "tables")
    files = [
        path for path in of.whole if path.parent.name == of.ids[0] and path.name != "result.json"
    ]
    content = json.loads(of.whole[of.store.point_folder(of.ids[0]) / "result.json"])

    @given(st.data(), st.sampled_from(files), st.booleans())
    def one(data: st.DataObject, path: Path, signed: bool) -> None:
        made = data.draw(spoiled(of.whole[path]))
        with of.with_file(path, made):
            if signed:
                seal(path.parent, content)
            elif made != of.whole[path] and Store(of.folder).damage(of.ids[0]) is None:
                box._wrong("tables", "damage that is not noticed", (path.name, made))
            with box.trying("tables", (path.name, signed, made)):
                from study.records import TABLES, StudyError

                try:
                    [Store(of.folder).table(name, of.ids) for name in TABLES if path.stem == name]
                    from study.launch.plan import probes_of

                    probes_of(Store(of.folder), {**content, "provenance": {}})
                except StudyError:
                    pass

    return one


def points(box: Box) -> Callable[..., None]:
    """points.parquet is written, and read by nobody here: whatever it holds, every command tells
    the same.
    """
    of = Damaged(box, "points")
    path = of.folder / "points.parquet"
    same = {
        tuple(which): reads(Box_quiet(box), "points", of, "", which)
        for which in (["status"], ["table"])
    }

    @given(spoiled(of.whole[path]), st.sampled_from([["status"], ["table"]]))
    def one(made: bytes, which: list[str]) -> None:
        with of.with_file(path, made):
            if reads(box, "points", of, made, which) != same[tuple(which)]:
                box._wrong("points", "what is told depends on points.parquet", made)

    return one


def Box_quiet(box: Box) -> Box:
    """The same box; for what belongs to no input."""
    quiet = object.__new__(Box)
    quiet.__dict__ = {**box.__dict__, "found": Found()}
    return quiet


def checkpoints(box: Box) -> Callable[..., None]:
    folder = box.inside / "store" / "checkpoints-study"
    folder.mkdir(parents=True)
    points = (point(0, "p", updates=6), point(1, "q", updates=6))
    with contextlib.suppress(Stopped):
        run_group(Group("1", points, 1.0), folder, "cpu", lambda update: update == 4)
    kept = Checkpoints(folder)
    path, training = kept.path("p"), prepare(points, "cpu")
    whole = path.read_bytes()
    from safetensors.torch import load

    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])["__metadata__"]
    facts, tensors = json.loads(header["facts"]), load(whole)

    @given(st.one_of(spoiled(whole), mutated(facts)))
    def one(made: Any) -> None:
        data = made
        if not isinstance(made, bytes):  # of another content, signed as it should be
            data = _digested(
                tensors,
                {"update": header["update"], "stamp": header["stamp"], "facts": json.dumps(made)},
            )
        path.write_bytes(data)
        with box.trying("checkpoints", made):
            kept.updates(["p", "q"])
            try:
                loaded = kept.load(points[0], training)
                if data != whole and isinstance(made, bytes):
                    box._wrong("checkpoints", "damage that is not noticed", made)
                from study.training.checkpoints import restore

                assert loaded is not None
                restore(prepare(points[:1], "cpu"), [loaded])
            except Unusable:
                pass

    return one


NAMES = st.one_of(
    st.sampled_from(
        [
            "p.0",
            "p.1",
            "p.",
            "p.x",
            "p.00",
            "p.-1",
            "p.999999999999999999999",
            "study.json.0",
            "a-1-2-b",
            "a-b-c-d",
            "----",
            "x",
            ".0",
            "p.٣",
            "p.²",
        ]
    ),
    st.text("abp.0123-", min_size=1, max_size=12),
)


def leases(box: Box) -> Callable[..., None]:
    folder = box.inside / "store" / "leased"
    (folder / "leases").mkdir(parents=True)

    @given(
        st.dictionaries(
            NAMES.filter(lambda name: name not in (".", "..")),
            st.one_of(
                st.binary(max_size=24),
                st.sampled_from([b"a-1-2-b", b"60 1", b"1e999 2", b"nan 1", b".. 1", b"-5 1"]),
            ),
            max_size=4,
        )
    )
    def one(files: dict[str, bytes]) -> None:
        for path in (folder / "leases").iterdir():
            path.unlink()
        for name, data in files.items():
            (folder / "leases" / name).write_bytes(data)
        with box.trying("leases", files), Leases(folder, 60.0, host="here") as mine:
            mine.take("p")
            mine.mine("p")
            mine.holders(), mine.busy()
        (folder / "wandb").mkdir(exist_ok=True)
        with box.trying("leases", files):
            Store(folder).declare({"name": "s", "fingerprint": {}}, {})
            (folder / "wandb" / "offline-run-20000101_000000-s-p").mkdir(exist_ok=True)
            (folder / "wandb" / "logged.jsonl").write_bytes(b"\n".join(files.values()))
            waiting(folder)

    return one


def render(box: Box) -> Callable[..., None]:
    """Whole pages of stores whose contents are hostile and signed."""
    of = Damaged(box, "render")
    path = of.store.point_folder(of.ids[0]) / "result.json"
    content, record = json.loads(of.whole[path]), json.loads(of.whole[of.folder / "study.json"])

    @given(mutated(content), mutated(record["declaration"]), st.booleans())
    def one(result: Any, declared: Any, which: bool) -> None:
        with (
            contextlib.suppress(ValueError, TypeError),
            of.with_file(path, of.whole[path]),
            of.with_file(of.folder / "study.json", of.whole[of.folder / "study.json"]),
        ):
            if which:
                seal(path.parent, result)
            else:
                (of.folder / "study.json").write_text(
                    json.dumps({**record, "declaration": declared})
                )
            reads(box, "render", of, result if which else declared, ["render"])

    return one


def own_tables(box: Box) -> Callable[..., None]:
    """Mangled tables: refused with a line, or read to the values of the clean one."""
    folder = box.inside / "outputs" / "tables"
    folder.mkdir(parents=True)

    @given(st.integers(0, 2**32 - 1))
    def one(number: int) -> None:
        with box.trying("own_tables", number) as said:
            _, wrong, path = judged(number, folder)
            said.append(wrong)
        if said and wrong:
            if box.found.keep is not None:
                box.found.keep.mkdir(parents=True, exist_ok=True)
                for each in (path, path.with_name("clean.csv")):
                    shutil.copy(each, box.found.keep / f"{number}-{each.name}")
            box._wrong("own_tables", wrong, number)

    return one


FAMILIES: dict[str, Callable[[Box], Callable[..., None]]] = {
    "own_tables": own_tables,
    "overrides": overrides,
    "yaml": experiments,
    "results": results,
    "declarations": declarations,
    "tables": tables,
    "points": points,
    "checkpoints": checkpoints,
    "leases": leases,
    "render": render,
}


def campaign(
    inputs: int,
    number: int,
    only: str | None = None,
    say: Callable[[str], None] = lambda text: None,
    keep: Path | None = None,
) -> Found:
    """Every family its share of the inputs."""
    found = Found(keep=keep)
    before = signal.signal(signal.SIGALRM, _late)
    limit = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, limit[1]))
    random_before = random.getstate()
    try:
        with tempfile.TemporaryDirectory() as folder:
            for family, make_one in FAMILIES.items():
                if only in (None, family):
                    began, cpu = time.monotonic(), time.process_time()
                    (Path(folder) / family).mkdir()
                    one = make_one(Box(Path(folder) / family, found))
                    count = max(1, round(SHARES[family] / sum(SHARES.values()) * inputs))
                    checks = list(HealthCheck)
                    warnings.simplefilter("ignore")
                    seed(number)(
                        settings(
                            max_examples=count,
                            deadline=None,
                            database=None,
                            phases=[Phase.generate],
                            suppress_health_check=checks,
                        )(one)
                    )()
                    say(
                        f"{family}: {found.tried[family]} inputs, {time.monotonic() - began:.0f} s,"
                        f" {time.process_time() - cpu:.0f} CPU s, {len(found.wrong)} wrong"
                    )
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)
        signal.signal(signal.SIGALRM, before)
        random.setstate(random_before)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--inputs", type=int, default=15_500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=FAMILIES)
    parser.add_argument("--keep", type=Path, default=ROOT / "build" / "fuzz")
    asked = parser.parse_args()
    os.environ.setdefault("WANDB_MODE", "offline")
    console = Console(stderr=True)
    found = campaign(
        asked.inputs,
        asked.seed,
        asked.only,
        lambda text: console.print(text, markup=False, highlight=False),
        asked.keep,
    )
    print("\n".join(found.lines()))
    sys.exit(1 if found.wrong else 0)


if __name__ == "__main__":
    main()
