"""The page as a file: whole, self-contained, private, the same every time, whatever the store
holds.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from reports.__main__ import main
from reports.data.study import Study
from reports.documents.page import page, write
from reports.documents.sections import declared_sections
from study.records import StudyError
from study.store import Store, seal
from tests import ROOT
from tests.reports.conftest import HOSTILE, SMALL
from tests.reports.synthetic import make

TITLES = [
    "Summary",
    "Which initializer for which cell",
    "How far back the gradient reaches",
    "Does gradient health go with success?",
    "Every recipe",
    "Recipe",
    "Claims",
    "Accuracy",
    "Gradient flow",
    "States and verdicts",
    "Does the remaining gradient predict success here?",
    "Gradient health beside accuracy",
    "Clipping",
    "Learning curves",
    "Time to solve",
    "Cost",
    "Failures",
    "Effects and interactions",
    "Contrasts",
    "Power",
    "Accuracy against gradient health against cost",
    "From levels to gradient and score",
    "Design",
    "Completeness",
    "Method",
    "Provenance",
    "Glossary",
]
ASKED = (
    "Claims",
    "Effects and interactions",
    "Contrasts",
    "Completeness",
    "Which initializer for which cell",
    "Does gradient health go with success?",
    "From levels to gradient and score",
)  # sections that some studies have no factors for


INLINE = ("span", "b", "a", "code")


class Reader(HTMLParser):
    """Tags with their attributes, ids, and text by the enclosing tag."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.text += "" if tag in INLINE else " "

    def handle_endtag(self, tag: str) -> None:
        self.text += "" if tag in INLINE else " "

    def handle_data(self, data: str) -> None:
        self.text += data

    def count(self, name: str) -> int:
        return sum(tag == name for tag, _ in self.tags)


@pytest.fixture(scope="module")
def html(small_page: Path) -> str:
    return small_page.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def read(html: str) -> Reader:
    return Reader(html)


def test_every_section_is_there_in_order_and_whole(html: str, read: Reader) -> None:
    found = re.findall(r'-title" class="title">(?:<span class="topic">)?([^<]+)<', html)
    assert found == TITLES
    assert "data-broken" not in html and "could not be rendered" not in html


def test_one_file_with_a_strict_policy(html: str, read: Reader) -> None:
    policy = next(
        attrs["content"]
        for tag, attrs in read.tags
        if tag == "meta" and attrs.get("http-equiv") == "Content-Security-Policy"
    )
    script = re.search(r"<script>(.*?)</script>", html, flags=re.S).group(1)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert (
        policy.startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")
        and f"script-src 'sha256-{digest}'" in policy
    )
    for tag, attrs in read.tags:
        for key in ("src", "href", "action", "data"):
            value = attrs.get(key)
            assert value is None or value.startswith(("#", "data:")), (tag, value)
    assert not re.search(r"url\((?!#|data:)|@import|https?://", html)


def test_ids_are_unique_and_figures_refer_to_what_exists(html: str, read: Reader) -> None:
    ids = [attrs["id"] for _, attrs in read.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', html)) | set(
        re.findall(r'aria-labelledby="([^"]+)"', html)
    )
    assert used <= set(ids)


def test_page_has_its_landmarks_and_every_figure_its_words(html: str, read: Reader) -> None:
    assert (read.count("h1"), read.count("main"), read.tags[0]) == (1, 1, ("html", {"lang": "en"}))
    drawings = re.findall(r'role="img" aria-label="([^"]+)"', html)
    assert len(drawings) == html.count("<svg") >= 6
    assert all(re.search(r"\d", alt) and len(alt) > 40 for alt in drawings), (
        "an alternative text states the finding, with numbers"
    )
    assert html.count("The numbers behind the figure") == len(drawings)
    assert "#010203" not in html and "#040506" not in html, (
        "stand-ins of the theme's colours are replaced"
    )


def test_first_screen_says_what_is_missing_and_what_diverged(read: Reader) -> None:
    text = " ".join(read.text.split())
    assert "INCOMPLETE 21/24" in text
    for part in (
        "20 of 24 networks done (1 diverged, 1 failed and 2 missing)",
        "3 seed",
        "The runner-up, gru · orthogonal · clip none, is as good on test.",
        "1 network diverged (1 rnn) and counts with the memoryless baseline, or its own score where"
        " that is worse, never dropped.",
        "95 % interval",
    ):
        assert part in text


def test_failures_show_reasons_and_tracebacks_escaped_and_without_paths(
    html: str, read: Reader
) -> None:
    assert (
        "RuntimeError: out of memory at <path>/file.py" in read.text and "RuntimeError" in read.text
    )
    assert (
        "/home/somebody" not in html
        and '<script>alert("trace")' not in html
        and "alert(&#34;trace&#34;)" in html
    )
    assert "not finite at update" in read.text


def test_downloads_are_the_data_with_their_checksums(small: Store, html: str) -> None:
    items = re.findall(
        r'<a href="data:[\w/]+;base64,([^"]+)" download="([^"]+)">.*?SHA-256 ([0-9a-f]{64})',
        html,
        flags=re.S,
    )
    files = {name: (base64.b64decode(data), digest) for data, name, digest in items}
    assert set(files) == {"small-points.csv", "small-study.json"}
    assert all(hashlib.sha256(data).hexdigest() == digest for data, digest in files.values())
    assert json.loads(files["small-study.json"][0]) == json.loads(
        (small.folder / "study.json").read_text()
    )
    assert files["small-points.csv"][0].decode().count("\n") == 1 + len(small.ids())


def test_same_store_same_bytes_in_two_processes_without_torch_and_nothing_of_this_machine(
    small: Store, html: str
) -> None:
    """The other process hashes otherwise, and torch is made impossible to import there."""
    # None in sys.modules would be found there by libraries that look whether torch is loaded, and
    # break them.
    blocked = (
        "import sys\nclass Blocker:\n    def find_spec(self, name, path=None, target=None):\n      "
        "  if name.split('.')[0] == 'torch':\n            raise ImportError('there is no torch"
        " here')\nsys.meta_path.insert(0, Blocker())\nfrom reports.__main__ import main\nstatus ="
        " main(['render', sys.argv[1]])\nassert 'torch' not in sys.modules\nsys.exit(status)"
    )
    (small.folder / "report.html").unlink()
    env = {
        **os.environ,
        "PYTHONHASHSEED": "1",
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "USER": "alicethesecret",
        "HOSTNAME": "boxofsecrets",
    }
    subprocess.run(
        [sys.executable, "-c", blocked, str(small.folder)],
        check=True,
        env=env,
        cwd=small.folder,
        capture_output=True,
        timeout=120,
    )
    there = (small.folder / "report.html").read_text(encoding="utf-8")
    assert there == html
    assert "data-broken" not in there
    for secret in (
        str(small.folder),
        str(ROOT),
        str(Path.home()) + "/",
        "alicethesecret",
        "boxofsecrets",
    ):
        assert secret not in there, secret
    # A short name may occur inside a picture's data by chance; in words it may not.
    assert not re.search(
        rf"(?<![\w-]){re.escape(os.uname().nodename)}(?![\w-])", Reader(there).text
    )


def test_sections_rendered_by_several_processes_make_the_same_page_also_where_one_dies(
    small: Store, html: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert page(Study(small), workers=2).text == html
    (tmp_path / "section").mkdir()
    (tmp_path / "section" / "deadly.yaml").write_text("_target_: deadly.Deadly\norder: 1\n")
    (tmp_path / "section" / "deadly.py").write_text(
        "import os\nfrom reports.blocks import Section\n\n\nclass Deadly:\n    title, needs ="
        f" 'Deadly', ()\n\n    def render(self, study):\n        if os.getpid() != {os.getpid()}:\n"
        "            os.kill(os.getpid(), 9)\n        return Section([])\n"
    )
    sys.path.insert(0, str(tmp_path / "section"))
    try:
        assert page(Study(small), [tmp_path], workers=2).text == html
    finally:
        sys.path.remove(str(tmp_path / "section"))
    assert "died" in capfd.readouterr().err


def test_hostile_names_stay_text(tmp_path: Path) -> None:
    store = make(
        tmp_path / "hostile",
        factors={"cell": ["rnn", HOSTILE], "clip": ['"onload="x', "a&b"]},
        steps=12,
        updates=40,
        question=HOSTILE,
    )
    html = write(store.folder).read_text(encoding="utf-8")
    assert HOSTILE not in html and "<script>alert" not in html and "data-broken" not in html
    assert html.count("<script>") == 1
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html


EDGES = {
    "one network": {"factors": {}, "seeds": (0,)},
    "one recipe": {"factors": {}, "seeds": (0, 1, 2)},
    "one factor, one seed": {"factors": {"clip": ["none", "norm"]}, "seeds": (0,)},
    "nothing stored": {"stored": 0.0},
    "all diverged": {"diverged": (-1,)},
    "all failed": {"failed": (-1,)},
    "five seeds": {"factors": {"cell": ["gru", "lstm"]}, "seeds": (0, 1, 2, 3, 4)},
    "dotted factor": {
        "factors": {"optimizer.lr": [0.001, 0.004], "hidden": [16, 32], "cell": ["gru"]}
    },
    "four further factors": {
        "factors": {**SMALL, "cell": ["gru"], "depth": [1, 2], "batch": [32, 64]},
        "seeds": (0, 1),
        "tables": ("history", "profile", "states"),
    },
    "long names": {
        "factors": {
            "cell": ["a_cell_with_a_very_long_name_indeed_that_goes_on", "rnn"],
            "initializer": ["an_initializer_of_unusual_length_" * 2, "x"],
        }
    },
    "no tables": {"tables": ()},
    "no profile": {"tables": ("history", "states")},
    "no history": {"tables": ("profile", "states", "test")},
    "exclusion": {
        "excluded": (
            {"labels": {"cell": "rnn", "initializer": "normal"}, "why": "a reason & more"},
        )
    },
    "two steps": {"steps": 2, "updates": 3},
}


@pytest.mark.parametrize("name", EDGES)
def test_renders_whatever_the_store_holds(tmp_path: Path, name: str) -> None:
    store = make(
        tmp_path / "edge",
        **{
            "factors": {"cell": ["rnn", "gru"], "initializer": ["orthogonal", "normal"]},
            "steps": 16,
            "updates": 40,
            "examples": 30,
            **EDGES[name],
        },
    )
    html = write(store.folder).read_text(encoding="utf-8")
    broken = re.findall(r"This section could not be rendered: [^<]+", html)
    assert not broken, broken
    assert [
        title
        for title in TITLES
        if title not in ASKED and f">{title}<".replace("?", "?") not in html
    ] == []
    body = Reader(html).text
    assert not re.search(r"\bnan\b(?!\w)", re.sub(r"NaN", "", re.sub(r"data:[^ ]+", "", body))), (
        "no number is written as nan"
    )


def test_verdict_of_five_seeds_is_a_word_and_of_three_a_count(tmp_path: Path) -> None:
    text = Reader(
        write(
            make(
                tmp_path / "five", factors={"cell": ["rnn"]}, seeds=range(5), steps=8, updates=40
            ).folder
        ).read_text()
    ).text
    assert "⊘ shut 5/5" in text
    text = Reader(
        write(
            make(
                tmp_path / "mixed", factors={"cell": ["lstm"]}, seeds=range(5), steps=8, updates=40
            ).folder
        ).read_text()
    ).text
    assert "◇ no agreement: " in text or "5/5" in text


FORMLESS = [
    (
        "needs = ('scor',)\n    def render(self, study): ...",
        "needs 'scor': no column of the points table, no factor and no setting is called scor;"
        " use a name of study/records.py, such as score",
    ),
    (
        "needs = ('measures.valve',)\n    def render(self, study): ...",
        "needs 'measures.valve': no column of the measures table, no factor and no setting is"
        " called valve",
    ),
    ("needs = 'score'\n    def render(self, study): ...", "needs must be a tuple of names"),
    (
        "needs = ()\n    def render(self, study): ...",
        "render must return a Section of blocks (reports/blocks.py), got NoneType",
    ),
    ("needs = ()\n    def render(self, study):\n        return Section(['a text'])", "got ['str']"),
]


OWN = """
from reports.blocks import Prose, Section


class Broken:
    title = 'Mine'
    needs = ('score',)
    def render(self, study):
        raise RuntimeError('at /home/someone/x.py <b>')


class Shouting:
    title = 'Shouting'
    needs = ('score', 'test.value')
    def __init__(self, *, word):
        self.word = word
    def render(self, study):
        return Section([Prose(f'{self.word.upper()} {len(study.grid)}')])


class Lacking:
    title = 'Lacking'
    needs = ('measures.value',)
    def render(self, study):
        raise AssertionError
"""


@dataclass(frozen=True)
class Rendered:
    status: int
    html: str
    said: str  # to standard error


@pytest.fixture(scope="module")
def with_own(small: Store, tmp_path_factory: pytest.TempPathFactory) -> Rendered:
    """One page with sections of one's own: good ones, broken ones, one of every wrong form."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "section").mkdir()
    own = "_target_: own_sections_of_test"
    sections = {
        "broken": f"{own}.Broken\norder: 15\n",
        "absent": "_target_: no_such_module.Nothing\norder: 16\n",
        "shouting": f"{own}.Shouting\norder: 35\npart: Extras\nword: hear\n",
        "lacking": f"{own}.Lacking\norder: 36\n",
    }
    (folder / "section" / "own_sections_of_test.py").write_text(OWN)
    for number, (body, _) in enumerate(FORMLESS):
        name, module = f"formless_{number}", f"formless_{number}_of_test"
        sections[name] = f"_target_: {module}.Formless\norder: {17 + number}\n"
        (folder / "section" / f"{module}.py").write_text(
            f"from reports.blocks import Section\nclass Formless:\n    title = 'F'\n    {body}\n"
        )
    for name, text in sections.items():
        (folder / "section" / f"{name}.yaml").write_text(text)
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        status = main(["render", str(small.folder), "--config-dir", str(folder)])
    html = (small.folder / "report.html").read_text(encoding="utf-8")
    assert str(folder) not in html
    return Rendered(status, html, said.getvalue())


@pytest.mark.parametrize("number", range(len(FORMLESS)))
def test_a_section_of_the_wrong_form_is_told(with_own: Rendered, number: int) -> None:
    (line,) = [
        line for line in with_own.said.splitlines() if f"section formless_{number} is" in line
    ]
    told = f"section formless_{number} is broken: StudyError: section/formless_{number}.yaml: "
    assert told in line
    assert FORMLESS[number][1] in line


def test_a_broken_section_shows_its_error_and_loses_nothing_else(with_own: Rendered) -> None:
    html = with_own.html
    assert with_own.status == 1
    assert html.count("data-broken") == 2 + len(FORMLESS)
    assert "RuntimeError: at &lt;path&gt;/x.py &lt;b&gt;" in html and "/home/someone" not in html
    assert all(f">{title}<" in html for title in TITLES)
    assert "section broken is broken" in with_own.said
    assert "error: broken sections, shown as such on the page: Mine, absent" in with_own.said


def test_a_stranger_adds_a_section_with_one_file_and_one_yaml(with_own: Rendered) -> None:
    html = with_own.html
    assert (
        "HEAR 24" in html
        and ">Extras<" in html
        and html.index(">Glossary</span>") < html.index("HEAR 24")
    )
    assert "the store holds no measures.value" in html


def test_sections_are_found_and_checked(tmp_path: Path) -> None:
    assert [one.name for one in declared_sections()][:3] == ["lesson", "summary", "choices"]
    (tmp_path / "section").mkdir()
    (tmp_path / "section" / "bad.yaml").write_text("order: first\n")
    with pytest.raises(StudyError, match=r"section/bad.yaml: needs _target_"):
        declared_sections([tmp_path])


def test_commands(small: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["render", str(small.folder)]) == 0
    said = capsys.readouterr().out
    assert str(small.folder / "report.html") in said and "MB" in said
    assert main(["status", str(small.folder)]) == 0
    assert (
        "24 points declared (8 arms, 3 seeds): 20 done, 1 diverged, 0 pruned, 1 failed, 2 missing"
        in capsys.readouterr().out
    )
    assert main(["table", str(small.folder), "--csv", str(tmp_path / "points.csv")]) == 0
    assert main(["table", str(small.folder), "--parquet", str(tmp_path / "points.parquet")]) == 0
    assert (
        len(pd.read_csv(tmp_path / "points.csv"))
        == len(pd.read_parquet(tmp_path / "points.parquet"))
        == 22
    )


def test_a_terminal_gets_a_table_to_read_and_a_pipe_every_column(
    small: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["table", str(small.folder)]) == 0
    piped = capsys.readouterr().out
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    assert main(["table", str(small.folder)]) == 0
    read = capsys.readouterr().out.splitlines()
    assert piped.startswith("id,task,cell,") and len(piped.splitlines()) == 23
    assert (
        read[0].split()
        == ["id", *SMALL, "seed", "status", "verdict", "outcome", "val_score", "score"]
        and max(map(len, read)) < 130
    )


def test_status_counts_and_tells_why(small: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(small.folder)]) == 0
    out = capsys.readouterr().out
    assert (
        "24 points declared (8 arms, 3 seeds): 20 done, 1 diverged, 0 pruned, 1 failed, 2 missing"
        in out
    )
    assert (
        len([line for line in out.splitlines() if line.startswith(("  diverged: ", "  failed: "))])
        == 2
    )


def test_mistakes_get_one_line_and_status_2(
    tmp_path: Path, small: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = [
        ["render", str(tmp_path / "nowhere")],
        ["status", str(tmp_path)],
        ["render", str(small.folder), "--config-dir", str(tmp_path / "none")],
    ]
    wrong += [["table", str(small.folder), "--csv", str(tmp_path / "no" / "such" / "x.csv")]]
    for arguments in wrong:
        assert main(arguments) == 2
        said = capsys.readouterr().err
        assert (
            said.startswith("error: ")
            and "Traceback" not in said
            and len(said.strip().splitlines()) == 1
        )


def test_points_outside_the_grid_are_named_and_left_out(tmp_path: Path) -> None:
    store = make(tmp_path / "outside", factors={"cell": ["rnn", "gru"]}, steps=8, updates=40)
    record = json.loads((store.folder / "study.json").read_text())
    record["declaration"]["grid"] = [
        point for point in record["declaration"]["grid"] if point["labels"]["cell"] == "gru"
    ]
    record["declaration"]["factors"]["cell"] = ["gru"]
    (store.folder / "study.json").write_text(json.dumps(record))
    study = Study(store)
    assert (len(study.grid), len(study.outside_grid)) == (3, 3)
    assert (
        "Also present: 3 stored networks outside the last declaration"
        in Reader(write(store.folder).read_text()).text
    )


def test_a_study_of_200_points_takes_few_megabytes_and_its_prediction_is_kept_as_it_is_shown(
    tmp_path: Path,
) -> None:
    """5 MB for 200 points; how well health predicts success is in the store as on the page."""
    factors = {
        "cell": ["rnn", "lstm", "gru"],
        "initializer": ["orthogonal", "xavier_uniform", "normal"],
        "clip": ["none", "norm"],
        "depth": [1, 2],
    }
    folder = tmp_path / "big"
    make(folder, factors=factors, seeds=range(6), steps=40, diverged=(3, 50), examples=100)
    path = write(folder)
    assert path.stat().st_size <= 5e6
    html = path.read_text(encoding="utf-8")
    assert "data-broken" not in html
    kept = pd.read_parquet(folder / "tables" / "prediction.parquet")
    assert sorted(kept["share"].unique()) == [0, 0.1, 1]
    assert set(kept["level"].dropna()) == {"rnn", "lstm", "gru"}, (
        "over all networks and within each cell"
    )
    at_end = kept[kept["factor"].isna() & (kept["share"] == 1)].iloc[0]
    assert 0.5 < at_end["auc_low"] < at_end["auc"] <= at_end["auc_high"] <= 1
    stored = Study(Store(folder)).stored
    assert at_end["n"] == len(stored) == 216
    assert at_end["solved"] == (stored["outcome"] == "solved").sum()
    assert f"{at_end['auc']:.2f}".lstrip("0") in Reader(html).text


def test_tasks_of_several_metrics_share_the_scale_of_skill(tmp_path):
    """A squared error of 0 and an accuracy of 1 are both perfect; the memoryless baseline of either
    is 0.
    """
    folder = tmp_path / "two"
    store = make(
        folder,
        factors={"task": ["digits", "adding"], "cell": ["rnn", "gru"]},
        steps=24,
        updates=80,
        examples=60,
    )
    record = json.loads((folder / "study.json").read_text())
    tasks = record["declaration"]["tasks"]
    tasks["adding"] = {
        **tasks["digits"],
        "metric": "mean squared error",
        "higher_is_better": False,
        "baseline": 1 / 6,
        "solved": 0.01,
    }
    (folder / "study.json").write_text(json.dumps(record))
    raw, study = store.points().set_index("id"), Study(store)
    assert (study.metric, study.higher_is_better) == ("skill", True)
    for _, point in study.stored.iterrows():
        score = raw.loc[point["id"], "score"]
        assert point["score"] == pytest.approx(
            (score - 0.1) / 0.9 if point["task"] == "digits" else 1 - score * 6
        )
        own = study.table("test").query("id == @point.id")["value"]
        assert own.mean() == pytest.approx(point["score"])
    page = " ".join(Reader(write(folder).read_text(encoding="utf-8")).text.split())
    assert "scores are shown as skill" in page
    assert "test skill" in page


def test_scores_are_ranked_within_their_task():
    from types import SimpleNamespace

    from reports.analysis.associations import prediction

    points = pd.DataFrame(
        {
            "id": list("abcdefgh"),
            "task": ["adding"] * 4 + ["digits"] * 4,
            "outcome": ["learning", "solved"] * 4,
            "arm": range(8),
        }
    )
    points["counted"] = [0.91, 0.92, 0.93, 0.94, 0.1, 0.2, 0.3, 0.4]
    D = pd.Series([1.0, 2, 3, 4, 1, 2, 3, 4], index=list("abcdefgh"))
    assert prediction(
        SimpleNamespace(higher_is_better=True, for_listing=lambda every: every), points, D, 20
    ).rho.value == pytest.approx(1.0)
    assert prediction(
        SimpleNamespace(higher_is_better=False, for_listing=lambda every: every), points, D, 20
    ).rho.value == pytest.approx(-1.0)


def test_clipping_is_told_by_phase_and_by_the_cosine_of_what_it_turns(tmp_path):
    from reports.documents.sections import build

    (clipping,) = [build(one) for one in declared_sections() if one.name == "clipping"]
    folder = tmp_path / "phases"
    make(folder, factors={"clip": ["none", "norm", "value"]}, steps=16, updates=200, examples=40)
    for path in (folder / "points").glob("*/history.parquet"):
        history = pd.read_parquet(path)
        clip = json.loads((path.parent / "result.json").read_text())["labels"]["clip"]
        share = history["update"] / 200
        fired = (
            (share < 0.1) | ((share >= 0.667) & (history["update"] % 10 == 0))
            if clip != "none"
            else share < 0
        )
        history["clip_scale"] = fired.map({True: 0.5, False: 1.0})
        history["clip_cosine"] = fired.map({True: 0.8 if clip == "value" else 1.0, False: 1.0})
        history.to_parquet(path, index=False)
        seal(path.parent, json.loads((path.parent / "result.json").read_text()))
    said = [
        block.text
        for block in clipping.render(Study(Store(folder))).blocks
        if hasattr(block, "text")
    ]
    norm, value = (
        next(text for text in said if text.startswith(f"clip={name}")) for name in ("norm", "value")
    )
    assert (
        "limiter in the first tenth (100 %), inert in the middle (0 %), guard in the last third"
        " (9 %)" in norm
    )
    assert "turns" not in norm
    assert "It turns the gradient where it fires (mean cosine 0.80)." in value
    assert "Phase" not in next(text for text in said if text.startswith("clip=none"))


def test_a_large_study_says_what_it_aggregates(tmp_path, monkeypatch):
    """Tables of as many seeds of every arm as there is room for; whatever needs the points' rows
    alone is of all.
    """
    monkeypatch.setattr("reports.data.study.MOST", 10)
    store = make(
        tmp_path / "large",
        factors={"cell": ["rnn", "lstm"], "initializer": ["orthogonal", "normal"]},
        seeds=range(6),
        updates=40,
        steps=16,
    )
    study = Study(store)
    assert (len(study.stored), len(study.sampled)) == (24, 8)
    assert set(study.sampled["seed"]) == {0, 1}
    assert study.table("states")["id"].nunique() == 8
    made = page(study, workers=1)
    assert made.broken == []
    message = (
        "are of all 24 networks. Curves, profiles, states by stage, results by example and how"
        " the remaining gradient goes with success are of 8 networks: the first 2 seeds of each"
        " recipe."
    )
    assert message in made.text
    assert "points.parquet and study.json lie beside it" in made.text
    monkeypatch.setattr("reports.data.study.MOST", 3)
    few = Study(store)
    assert len(few.sampled) == 3
    assert "one network of each of the first 3 of 4 recipes" in few.sampling_note
    monkeypatch.setattr("reports.data.study.MOST", 24)
    assert Study(store).sampling_note == ""
