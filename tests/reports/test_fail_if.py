"""--fail-if: each kind of condition on a store whose answers are known; mistakes get a clear line
and run nothing.
"""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from reports.__main__ import main
from reports.data.study import Study
from reports.documents.fail_if import check, parse
from study.records import StudyError
from study.store import Store, seal
from tests.reports.synthetic import make

SCORES = {("rnn", 0): 0.545, ("rnn", 1): 0.555, ("gru", 0): 0.91, ("gru", 1): 0.93}
CLAIMS = [
    {
        "statement": "GRU reads better",
        "better": {"cell": "gru"},
        "worse": {"cell": "rnn"},
        "by": "score",
        "least": 0.02,
    },
    {
        "statement": "RNN reads better",
        "better": {"cell": "rnn"},
        "worse": {"cell": "gru"},
        "by": "score",
        "least": 0.02,
    },
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Two arms of two seeds with scores written by hand: means .55 and .92."""
    store = make(
        tmp_path_factory.mktemp("outputs") / "guarded",
        factors={"cell": ["rnn", "gru"]},
        seeds=(0, 1),
        steps=8,
        updates=40,
        tables=("history",),
    )
    for path in (store.folder / "points").glob("*/result.json"):
        result = json.loads(path.read_text())
        key = (result["labels"]["cell"], result["labels"]["seed"])
        result["row"] |= {
            "score": SCORES[key],
            "score_se": 0.001,
            "verdict": "explodes" if key == ("rnn", 1) else "opens",
            "state": "carrying",
            "D": -1.0,
        }
        seal(path.parent, result)
    record = json.loads((store.folder / "study.json").read_text())
    record["declaration"]["claims"] = CLAIMS
    (store.folder / "study.json").write_text(json.dumps(record))
    return store


def judged(store: Store, text: str):
    return check(Study(store), [parse(text)])[0]


@pytest.mark.parametrize(
    ("text", "fails", "holds"),
    [
        ("score < 0.9", True, ["rnn"]),
        ("score < 0.5", False, []),
        ("score<=.92 where cell=gru", True, ["gru"]),
        ("score < 0.9 where cell=gru", False, []),
        ("score.low < 0.9 where cell=gru", True, ["gru"]),
        ("score.high > 0.99 where cell=gru", True, ["gru"]),
        ("all score < 0.9", False, ["rnn"]),
        ("all score < 0.95", True, ["rnn", "gru"]),
        ("D < -2", False, []),
        ("D == -1", True, ["rnn", "gru"]),
        ("verdict == explodes", True, ["rnn seed 1"]),
        ("verdict == exploding", True, ["rnn seed 1"]),
        ("verdict == explodes where cell=gru", False, []),
        ("verdict != 'opens'", True, ["rnn seed 1"]),
        ("all verdict == opens", False, ["rnn seed 0", "gru seed 0", "gru seed 1"]),
        ("state == vanishing", False, []),
        ("status == missing", False, []),
        ("outcome == silently diverged", False, []),
        ("claim:gru-reads-better != holds", False, []),
        ("claim:rnn-reads-better != holds", True, ["rnn-reads-better"]),
    ],
)
def test_conditions(store: Store, text: str, fails: bool, holds: list[str]) -> None:
    found = judged(store, text)
    assert (found.fails, list(found.holds), list(found.unknown)) == (fails, holds, [])


def test_all_claims_are_the_studys_own_and_the_ledgers(store: Store) -> None:
    found = judged(store, "claim:* == opposite")
    assert found.fails
    assert "rnn-reads-better" in found.holds
    assert "gru-reads-better" not in found.holds
    judgeable = {*found.holds, *judged(store, "claim:* != opposite").holds}
    assert {"gates_solve_sooner", "rnn-reads-better", "gru-reads-better"} <= judgeable


def test_what_is_not_there_cannot_be_judged_and_fails(tmp_path: Path) -> None:
    store = make(
        tmp_path / "partial",
        factors={"cell": ["rnn", "gru"]},
        seeds=(0, 1),
        stored=0.5,
        steps=8,
        updates=40,
        tables=("history",),
    )
    found = judged(store, "score < 0")
    assert (list(found.holds), list(found.unknown), found.failed, found.fails) == (
        [],
        ["gru"],
        False,
        True,
    )
    assert "cannot be judged for 1: gru" in found.summary
    assert list(judged(store, "verdict == shut").unknown) == ["gru seed 0", "gru seed 1"]
    assert judged(store, "status == missing").failed
    one = make(
        tmp_path / "one",
        factors={"cell": ["rnn", "gru"]},
        seeds=(0,),
        steps=8,
        updates=40,
        tables=("history",),
    )
    assert not judged(one, "score < 0").fails
    assert list(judged(one, "score.low < 0").unknown) == ["rnn", "gru"], "one seed has no interval"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("score", "expected [any|all] SUBJECT OP VALUE"),
        ("", "expected [any|all] SUBJECT OP VALUE"),
        ("score = 1", "expected [any|all] SUBJECT OP VALUE"),
        ("score < high", "score is compared with a number, got 'high'"),
        ("score < nan", "score is compared with a number"),
        ("score.best < 1", "score.best is not known"),
        ("quality < 1", "quality is none of verdict, outcome"),
        ("verdict < shut", "verdict is a word; compare it with == or !="),
        ("verdict == vanishing", "vanishing is a state: 'state == vanishing'"),
        ("outcome == sovled", "outcome is one of solved, learning"),
        (
            "claim:x == true",
            "claim is one of holds, opposite, too small to matter, mixed, not decided,"
            " not testable, got 'true'",
        ),
        ("score < 1 where cell", "where takes KEY=LEVEL pairs"),
        ("__import__('os').system('true') == 0", "expected [any|all] SUBJECT OP VALUE"),
    ],
)
def test_mistakes_are_told_before_anything_is_read(
    text: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(StudyError) as error:
        parse(text)
    assert said in str(error.value)
    assert main(["check", "no/such/folder", "--fail-if", text]) == 2
    assert capsys.readouterr().err.startswith("error: --fail-if")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("score < 1 where cell=lstm", "cell is rnn and gru here, got cell=lstm"),
        ("score < 1 where colour=red", "colour is no setting of this study; cell varies"),
        ("claim:nobody == holds", "judges no claim nobody; it has "),
        ("claim:* == opposite where cell=gru", "leave out where"),
    ],
)
def test_mistakes_about_the_study_are_told(store: Store, text: str, said: str) -> None:
    with pytest.raises(StudyError) as error:
        judged(store, text)
    assert said in str(error.value)


def test_exit_status_summary_line_and_junit(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = ["check", str(store.folder), "--junit", str(tmp_path / "j.xml")]
    assert main([*asked, "--fail-if", "score < 0.1"]) == 0
    assert (
        main([*asked, "--fail-if", "score < 0.1", "--fail-if", "score < 0.9 where cell=rnn"]) == 1
    )
    out = capsys.readouterr().out.splitlines()
    assert out[-3:-1] == [
        " passed  score < 0.1  (holds for 0 of 2)",
        " failed  score < 0.9 where cell=rnn  (holds for 1 of 1: rnn)",
    ]
    assert out[-1].startswith(
        "guarded: 1 passed, 1 failed, 0 unknown; 4 points: 4 done, 0 diverged, 0 pruned, 0 failed,"
        " 0 missing; "
    )
    counts = re.search(r"; (\d+) claims: ([^;]+); ", out[-1])
    assert counts is not None
    every, kinds = int(counts[1]), [int(number) for number in re.findall(r"\d+", counts[2])]
    assert every == sum(kinds) > len(CLAIMS), "the ledger's beside the study's own"
    assert "recommended: accuracy 0.92 [0.79, 1.00] n=2 (gru)" in out[-1]
    suite = ET.parse(tmp_path / "j.xml").getroot()
    assert (suite.get("name"), suite.get("tests"), suite.get("failures"), suite.get("errors")) == (
        "guarded",
        "2",
        "1",
        "0",
    )
    cases = {case.get("name"): case.find("failure") for case in suite}
    assert cases["score < 0.1"] is None and "rnn" in cases["score < 0.9 where cell=rnn"].get(
        "message"
    )
    first = (tmp_path / "j.xml").read_bytes()
    main([*asked, "--fail-if", "score < 0.1", "--fail-if", "score < 0.9 where cell=rnn"])
    assert (tmp_path / "j.xml").read_bytes() == first


def test_render_takes_the_same_conditions(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", str(store.folder), "--fail-if", "verdict == explodes"]) == 1
    assert "report.html" in capsys.readouterr().out
    assert main(["render", "no/such/folder", "--fail-if", "nonsense"]) == 2, (
        "a mistake is reported before minutes of rendering"
    )
