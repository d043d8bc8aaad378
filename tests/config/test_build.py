"""Building pieces from nodes: what fits is built, what does not is told with the key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import pytest
import torch

from study.config.build import build, build_for_members, structure
from study.interfaces import PerMember, require
from study.records import StudyError


class Piece:
    def __init__(
        self,
        *,
        rate: PerMember,
        size: int,
        std: Literal["auto"] | float,
        form: Literal["pixel", "row"],
        shares: Sequence[float],
        flag: bool,
    ) -> None:
        require(size > 0, "Piece", "size", "greater than 0", size)
        self.rate = rate


NODE = {
    "_target_": "tests.config.test_build.Piece",
    "rate": 0.1,
    "size": 3,
    "std": "auto",
    "form": "row",
    "shares": [0, 0.5],
    "flag": True,
}


def test_what_fits_is_built():
    assert build(NODE, "piece").rate == 0.1
    assert build({**NODE, "std": 1}, "piece").rate == 0.1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rate": "fast"}, "rate must be a number, got 'fast'"),
        ({"size": 2.5}, "size must be a whole number"),
        ({"size": True}, "whole number, got True"),
        ({"std": "small"}, "std must be auto or a number, got 'small'"),
        ({"form": "column"}, "form must be pixel or row"),
        ({"shares": 0.5}, "shares must be a list"),
        ({"flag": 1}, "true or false"),
        ({"size": 0}, "size must be greater than 0, got 0"),
        ({"sise": 1}, "unknown key 'sise'"),
        (
            {"_target_": "tests.nowhere.Piece"},
            "cannot be imported (ModuleNotFoundError: No module named 'tests.nowhere'. Is its"
            " folder given with --config-dir?)",
        ),
        (
            {"_target_": "tests.config.test_build.Peace"},
            "cannot be imported (tests.config.test_build has no class Peace)",
        ),
        ({"_target_": None}, "cannot be imported"),
    ],
)
def test_what_does_not_fit_is_told(change, told):
    with pytest.raises(StudyError, match=r"^piece: ") as error:
        build({**NODE, **change}, "piece")
    assert told in str(error.value)
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("import no_such_package\n", "ModuleNotFoundError: No module named 'no_such_package'"),
        ("a = 1\nb = c\n", "NameError: name 'c' is not defined"),
    ],
)
def test_a_file_that_does_not_import_is_told_with_its_line(tmp_path, monkeypatch, capfd, text, why):
    (tmp_path / "halting_piece_of_test.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(StudyError) as error:
        build({"_target_": "halting_piece_of_test.Piece"}, "cell")
    line = text.count("\n")
    assert (
        str(error.value)
        == f"cell: _target_ 'halting_piece_of_test.Piece' cannot be imported ({why};"
        f" halting_piece_of_test.py, line {line})"
    )
    assert capfd.readouterr() == ("", ""), "it is said once, by the command that catches it"


def test_a_missing_key_is_named():
    with pytest.raises(StudyError, match="key 'size' is missing"):
        build({name: value for name, value in NODE.items() if name != "size"}, "piece")


def test_per_member_arguments_are_stacked_and_are_no_structure():
    piece = build_for_members(
        [NODE, {**NODE, "rate": 0.2}], "piece", torch.device("cpu"), torch.float32
    )
    assert piece.rate.tolist() == pytest.approx([0.1, 0.2])
    assert structure(NODE, "piece") == structure({**NODE, "rate": 0.2}, "piece")
    assert structure(NODE, "piece") != structure({**NODE, "size": 4}, "piece")


class Base:
    def __init__(self, *, size: int, kind: str) -> None:
        self.size, self.kind = size, kind


class Derived(Base):
    def __init__(self, *, path: str, **settings: object) -> None:
        super().__init__(kind="own", **settings)
        self.path = path


def test_settings_handed_on_to_the_base_are_checked_like_ones_own():
    node = {"_target_": "tests.config.test_build.Derived", "path": "here", "size": 3}
    made = build(node, "task")
    assert (made.path, made.size, made.kind) == ("here", 3, "own")
    for change, told in (
        ({"size": "large"}, "task: size must be a whole number, got 'large'"),
        ({"sise": 3}, "unknown key 'sise'; Derived takes path, size, kind"),
    ):
        with pytest.raises(StudyError, match=told):
            build({**node, **change}, "task")
    with pytest.raises(StudyError, match="key 'path' is missing"):
        build({"_target_": "tests.config.test_build.Derived", "size": 3}, "task")
    with pytest.raises(StudyError, match="cannot be built"):
        build({"_target_": "tests.config.test_build.Derived", "path": "here"}, "task")
