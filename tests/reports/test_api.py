"""Frames and figures for scripts and notebooks."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from reports import api
from reports.battery import made_up
from reports.data.study import Study
from reports.figures.theme import INK, PLAIN
from study.records import StudyError
from study.store import Store
from tests.reports.synthetic import make


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.findobj(mpl.text.Text)]


def test_points_and_tables_are_those_of_the_store(small: Store):
    points = api.points(small.folder)
    assert set(points["id"]) == small.names()
    states = api.table(str(small.folder), "states")
    stored = Study(small).stored
    assert set(states["id"]) == set(stored["id"])
    of_first = states[states["id"] == stored["id"].iloc[0]]
    assert set(of_first["cell"]) == {stored["cell"].iloc[0]}
    assert set(of_first["seed"]) == {stored["seed"].iloc[0]}
    with pytest.raises(StudyError, match=r"no such table\. Tables: .*states"):
        api.table(small.folder, "stats")


def test_a_table_has_every_point_however_many(small: Store, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("reports.data.study.MOST", 4)  # of which the page draws
    assert api.table(small.folder, "states")["id"].nunique() == len(Study(small).stored) > 4


def test_a_figure_is_of_the_points_asked_for(small: Store):
    everything = texts(api.figure(small.folder, "gradient_flow"))
    of_gru = texts(api.figure(small.folder, "gradient_flow", cell="gru"))
    assert {"rnn", "gru"} <= set(everything)
    assert not {"rnn", "gru"} & set(of_gru), "rows are now the next factor"
    assert {"orthogonal", "normal"} <= set(of_gru)


def test_restricted_points_are_those_of_the_levels(small: Store):
    study = Study(small, levels={"cell": "gru", "seed": [0, 1]})
    whole = Study(small)
    expected = whole.grid[(whole.grid["cell"] == "gru") & whole.grid["seed"].isin([0, 1])]
    assert list(study.grid["id"]) == list(expected["id"])
    assert study.seeds == [0, 1] and study.constant["cell"] == "gru"
    assert set(study.factors) == {"initializer", "clip"} and study.outside_grid.empty
    assert list(Study(small, levels={"task": whole.constant["task"]}).grid["id"]) == list(
        whole.grid["id"]
    )


def test_a_figure_has_plain_colours_and_shows_itself(small: Store, tmp_path: Path):
    figure = api.figure(small.folder, "accuracy")
    colours = {to_hex(text.get_color()) for text in figure.findobj(mpl.text.Text)}
    assert INK not in colours and PLAIN[INK] in colours
    assert figure._repr_png_().startswith(b"\x89PNG")
    figure.savefig(tmp_path / "accuracy.pdf")


def test_one_of_several_figures(tmp_path: Path):
    store = make(
        tmp_path / "deep", factors={"cell": ["rnn", "gru"], "depth": [1, 2], "clip": ["norm"]}
    )
    first, second = (api.figure(store.folder, "effects", index=index) for index in (0, 1))
    assert texts(first) != texts(second)
    assert texts(api.figure(store.folder, "effects", index=-1)) != texts(first)
    with pytest.raises(StudyError, match=r"effects: no figure 9; it has \d here"):
        api.figure(store.folder, "effects", index=9)


@pytest.mark.parametrize(
    "section, levels, message",
    [
        ("flow", {}, r"flow: no such section\. Sections: .*gradient_flow"),
        (
            "accuracy",
            {"cell": "lstm"},
            r"no such level in this study\. Levels of cell: rnn and gru",
        ),
        ("accuracy", {"sell": "gru"}, r"sell: no factor or setting of this study\. Factors: cell,"),
        ("accuracy", {"seed": 7}, r"Levels of seed: 0, 1 and 2\."),
        ("glossary", {}, r"glossary: this section has no figure .* with figures: .*accuracy"),
    ],
)
def test_errors_name_what_is_allowed(small: Store, section, levels, message):
    with pytest.raises(StudyError, match=message):
        api.figure(small.folder, section, **levels)


def test_levels_that_no_point_has_together(tmp_path: Path):
    excluded = [{"labels": {"cell": "rnn", "clip": "norm"}, "why": "asked for"}]
    factors = {"cell": ["rnn", "gru"], "clip": ["none", "norm"]}
    store = make(tmp_path / "excluded", factors=factors, excluded=excluded)
    with pytest.raises(StudyError, match="cell=rnn, clip=norm: no point of this study"):
        api.figure(store.folder, "accuracy", cell="rnn", clip="norm")


def test_a_section_of_your_own_draws_too(tmp_path: Path):
    folder = made_up(tmp_path / "study").store.folder
    own = tmp_path / "mine"
    (own / "section").mkdir(parents=True)
    (own / "section" / "drawn_by_me.yaml").write_text(
        "_target_: drawn_by_me.Mine\norder: 1\n", encoding="utf-8"
    )
    (own / "drawn_by_me.py").write_text(
        "from matplotlib.figure import Figure as Drawing\n"
        "from reports.blocks import Figure, Fold\n"
        "from reports.figures.theme import draw\n"
        "from reports.interfaces import Section\n\n"
        "class Mine:\n"
        "    title, needs = 'Mine', ('score',)\n\n"
        "    def render(self, study):\n"
        "        def build(rasterized):\n"
        "            figure = Drawing()\n"
        "            figure.text(0.5, 0.5, f'{len(study.stored)} points')\n"
        "            return figure\n"
        "        picture = draw(build, name='mine')\n"
        "        return Section([Fold('more', [Figure(picture, 'c', 'a')])])\n",
        encoding="utf-8",
    )
    assert texts(api.figure(folder, "drawn_by_me", config_dirs=[own])) == ["12 points"]
    assert texts(api.figure(folder, "drawn_by_me", config_dirs=[own], cell="gru")) == ["6 points"]
    with pytest.raises(StudyError, match="no such section"):
        api.figure(folder, "drawn_by_me")
    page = api.render(folder, config_dirs=[str(own)])
    assert page == folder / "report.html" and "12 points" in page.read_text(encoding="utf-8")
