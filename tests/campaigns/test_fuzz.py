"""The short form of `make fuzz`; and the harness sees what it should see."""

from __future__ import annotations

import pytest

from reports.__main__ import main as report
from tests.campaigns.fuzz import Box, Found, campaign

pytestmark = pytest.mark.slow


def test_a_hundred_inputs_end_in_words():
    found = campaign(120, 1)
    assert found.wrong == {}, "\n".join(found.lines())
    assert sum(found.tried.values()) >= 110
    assert found.ended["status 0"] and found.ended["status 2"], "some are accepted, some refused"


@pytest.mark.parametrize(
    ("what", "told"),
    [
        (lambda box: 1 / 0, "ZeroDivisionError"),
        (lambda box: (box.folder / "around" / "precious").write_text("gone"), "written outside"),
        (
            lambda box: (box.inside / "store" / "result.json").write_text("beside a study"),
            "written outside",
        ),
        (lambda box: print("Traceback (most recent call last)"), "a traceback was printed"),
        (lambda box: exec("raise SystemExit(3)"), "exit status 3"),
    ],
)
def test_what_goes_wrong_is_found(tmp_path, what, told):
    found = Found()
    box = Box(tmp_path, found)
    (box.inside / "store" / "study").mkdir(parents=True)
    with box.trying("family", "shown"):
        what(box)
    with box.trying("family", "shown"):
        raise SystemExit(report(["status", str(tmp_path / "none")]))
    (place,) = found.wrong
    assert told in place
    assert found.ended["status 2"] == 1
