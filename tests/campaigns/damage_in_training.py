"""Families of inputs that a running study leaves: checkpoints, leases, and pages of them."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from study.interfaces import Group
from study.store import Store, seal
from study.store.leases import Leases
from study.sync import waiting
from study.training.checkpoints import Checkpoints, Unusable, _digested
from study.training.engine import Stopped, run_group
from study.training.state import prepare
from tests.campaigns.box import Box
from tests.campaigns.damage import Damaged, reads
from tests.campaigns.inputs import mutated, spoiled
from tests.support.helpers import point


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
                    box.wrong("checkpoints", "damage that is not noticed", made)
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
