"""Families of inputs that are stored studies: results, declarations, tables and points, damaged."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reports.__main__ import main as report
from study.store import Store, seal
from tests.campaigns.box import Box
from tests.campaigns.inputs import mutated, spoiled
from tests.reports.synthetic import make


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
                    box.wrong("results", "damage that is not noticed", made)
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
                box.wrong("tables", "damage that is not noticed", (path.name, made))
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
        tuple(which): reads(box.quiet(), "points", of, "", which)
        for which in (["status"], ["table"])
    }

    @given(spoiled(of.whole[path]), st.sampled_from([["status"], ["table"]]))
    def one(made: bytes, which: list[str]) -> None:
        with of.with_file(path, made):
            if reads(box, "points", of, made, which) != same[tuple(which)]:
                box.wrong("points", "what is told depends on points.parquet", made)

    return one
