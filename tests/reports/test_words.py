"""Words and sentences of describing sections: true for every optimizer, reading and count."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from reports.analysis.spikes import spike
from reports.blocks import Figure, Prose, Section, Table
from reports.data.study import Study
from reports.documents.sections import build, declared_sections, render_section
from reports.sections.dynamics import _read
from tests.reports.page_text import page_text
from tests.reports.synthetic import edit_points, make

BUILT = {one.name: one for one in declared_sections()}
SMALL = {"steps": 16, "updates": 80, "examples": 40, "tables": ("history", "states", "layers")}


def section(name: str, study: Study) -> Section:
    return build(BUILT[name]).render(study)


def texts(made: Section) -> str:
    return " ".join(block.text for block in made.blocks if isinstance(block, Prose))


@pytest.mark.parametrize(
    ("optimizers", "said", "unsaid"),
    [
        (["sgd"], ["With sgd, whose steps are in proportion"], ["cancels"]),
        (["adam"], ["With adam, which divides", "cancels out"], ["another learning rate"]),
        (["rmsprop"], ["With rmsprop, which divides"], ["another learning rate"]),
        (["adam", "sgd"], ["With adam, which", "With sgd, whose"], []),
        (["mine"], [], ["cancels", "learning rate", "With mine"]),
        (["mine", "adam", "rmsprop"], ["With adam and rmsprop, which"], ["mine,"]),
    ],
    ids=str,
)
def test_what_a_limiter_does_depends_on_the_optimizer(
    tmp_path: Path, optimizers: list[str], said: list[str], unsaid: list[str]
) -> None:
    """A rescaling that all gradients share is another learning rate under SGD, not under Adam."""
    factors = {"cell": ["rnn", "gru"], "optimizer": optimizers}
    store = make(tmp_path / "limited", factors=factors, seeds=(0, 1), **SMALL)
    edit_points(
        store,
        lambda row: {"clip_rate": 1.0},
        tables={
            "history": lambda row: {
                "update": np.arange(81),
                "loss": np.ones(81),
                "grad_norm": np.full(81, 8.0),
                "clip_scale": np.full(81, 0.125),
                "clip_cosine": np.ones(81),
                "val_loss": np.ones(81),
                "val_score": np.full(81, 0.5),
            }
        },
    )
    made = section("clipping", Study(store))
    (figure,) = [block for block in made.blocks if isinstance(block, Figure)]
    for text in (texts(made), figure.how):
        assert all(one in text for one in said), text
        assert not any(one in text for one in unsaid), text
        assert "step-size" not in text


def test_what_the_recurrence_does_is_a_sentence_for_every_reading() -> None:
    def read(*words: str) -> str:
        return re.match(r"By .* last probe, (.*?)\. It is", _read(words))[1]  # type: ignore[index]

    assert read("forgets") == "the recurrence forgets in the only recipe"
    assert read("chaotic", "chaotic") == "the recurrence is chaotic in both recipes"
    assert read(*["undecided"] * 3) == "the recurrence cannot be called either in all 3 recipes"
    assert read("forgets", "forgets", "forgets", "chaotic", "undecided") == (
        "the recurrence is chaotic in 1, forgets in 3 and cannot be called either in 1 of 5 recipes"
    )
    assert read("no interval", "forgets") == (
        "the recurrence forgets in 1 and has no interval to judge by in 1 of 2 recipes"
    )


def test_a_spike_is_named_with_its_update_and_its_size(tmp_path: Path) -> None:
    store = make(tmp_path / "spiked", factors={"cell": ["rnn", "gru"]}, **SMALL, diverged=(5,))
    calm = np.exp(0.1 * np.random.default_rng(0).standard_normal(81))

    def norms(row: dict[str, Any]) -> np.ndarray:
        return np.where((np.arange(81) == 41) & (row["seed"] == 1), 300.0, calm)

    edit_points(
        store,
        lambda row: {"outcome": "silently diverged"} if row["seed"] < 2 else {},
        tables={
            "history": lambda row: {
                "update": np.arange(81),
                "loss": np.ones(81),
                "grad_norm": norms(row),
                "val_loss": np.ones(81),
            }
        },
    )
    made = section("failures", Study(store))
    by_caption = {block.caption[:6]: block for block in made.blocks if isinstance(block, Table)}
    silent = [row[1:3] for row in by_caption["Silent"].rows]
    said = r"update 41: 3\d\d times the norms before \(300 after (0\.9\d*|1\.0\d*|1)\)"
    assert [seed for seed, text in silent if re.fullmatch(said, str(text))] == ["1", "1"]
    assert [text for seed, text in silent if seed == "0"] == ["none", "none"]
    assert by_caption["Networ"].rows[0][-1] == "none"


def test_a_spike_needs_norms_before_it() -> None:
    few = pd.DataFrame({"update": range(5), "grad_norm": [1, 1, 1, 1, 1e6]})
    assert spike(few, 6.0) == ""
    zero = pd.DataFrame(
        {"update": range(0, 40, 2), "grad_norm": [0.0, np.nan] + [0.5] * 17 + [4e3]}
    )
    assert spike(zero, 6.0) == "update 38: 8,000 times the norms before (4,000 after 0.5)"


def aimed(tmp_path: Path, name: str, change: dict[str, dict[str, Any]]) -> Study:
    """Arms by cell with the given score, D and seconds; the seeds differ by a thousandth."""
    store = make(tmp_path / name, factors={"cell": list(change)}, **SMALL)

    def row_of(row: dict[str, Any]) -> dict[str, Any]:
        new = {"U": 0.0, **change[row["cell"]]}
        return new | {"score": new["score"] + 0.001 * (row["seed"] - 1), "D": new["D"]}

    edit_points(store, row_of)
    return Study(store)


def test_a_front_is_not_decided_by_the_noise_of_a_clock(tmp_path: Path) -> None:
    """gru is better in all but .02 s of a shared clock: lstm is beaten all the same."""
    study = aimed(
        tmp_path,
        "clock",
        {
            "rnn": {"score": 0.5, "D": -3.0, "seconds": 1.0},
            "lstm": {"score": 0.7, "D": -2.0, "seconds": 2.98},
            "gru": {"score": 0.8, "D": -1.0, "seconds": 3.0},
        },
    )
    made = section("pareto", study)
    (figure,) = [block for block in made.blocks if isinstance(block, Figure)]
    places = {str(row[0]): row[5] for row in figure.table.rows}
    assert places == {"gru": "on", "rnn": "on", "lstm": "beaten"}
    said = texts(made)
    assert (
        "2 recipes of 3 are beaten by no other" in said
        and "The other one is beaten in at least 90 % of the draws." in said
    )
    assert "all networks that do the same arithmetic" in figure.caption
    dearer = aimed(
        tmp_path,
        "dearer",
        {
            "lstm": {"score": 0.7, "D": -2.0, "seconds": 2.0},
            "gru": {"score": 0.8, "D": -1.0, "seconds": 3.0},
        },
    )
    assert "2 recipes of 2 are beaten by no other" in texts(section("pareto", dearer))


def test_what_seeds_do_not_decide_is_open_on_the_front(tmp_path: Path) -> None:
    study = aimed(
        tmp_path,
        "open",
        {
            "rnn": {"score": 0.7, "D": -1.0, "seconds": 1.0},
            "gru": {"score": 0.7002, "D": -1.0, "seconds": 1.0},
        },
    )
    made = section("pareto", study)
    (figure,) = [block for block in made.blocks if isinstance(block, Figure)]
    assert "No recipe of 2 is on the front" in texts(made)
    assert "For 2 recipes it is open: gru; rnn." in texts(made)
    assert {row[5] for row in figure.table.rows} == {"open"}
    single = Study(make(tmp_path / "one", factors={"cell": ["rnn", "gru"]}, seeds=(0,), **SMALL))
    assert "With one seed in a recipe nothing says how sure that is." in texts(
        section("pareto", single)
    )


def test_health_is_one_number_with_one_name(tmp_path: Path) -> None:
    """D is transport D, min(0, D) − max(0, U) is gradient health; the verdict is a word."""
    few = {"factors": {"cell": ["rnn", "gru"]}, "steps": 16, "updates": 60, "examples": 30}
    study = Study(make(tmp_path / "names", **few))
    for one in declared_sections():
        rendered = render_section(one, study, one.name)
        assert not rendered.broken
        html = " ".join([rendered.title, rendered.part, *map(str, rendered.blocks)])
        text = re.sub(r"<svg.*?</svg>", " ", html, flags=re.S)
        text = " ".join(re.sub(r"<[^>]+>", " ", text).split())
        for found in re.finditer(r"(?i)(?<!gradient )\bhealth(?!\.\w)", text):
            raise AssertionError(f"{one.name}: {text[: found.end()][-80:]}")
    (glossary,) = section("glossary", study).blocks
    terms = {term: (meaning, formula) for _, term, meaning, formula in glossary.items}
    assert terms["gradient health"][1] == "min(0, D) − max(0, U)"
    assert "remaining gradient" in terms["D"][0]


def test_the_page_has_one_word_for_each_notion(tmp_path: Path) -> None:
    """Commands and files say arm, point and D; the page has words that need no tool to be read."""
    few = {"factors": {"cell": ["rnn", "gru"]}, "steps": 16, "updates": 60, "examples": 30}
    said = page_text(Study(make(tmp_path / "plain", **few)))
    own = re.compile(
        r"(?<![-\w])(arms?|points?|transport|D|credit|decades?|ledger)(?![-.\w])", re.I
    )
    for name in said.keys() - {"glossary", "method", "provenance"}:
        text = said[name].replace("(x [B, T, D]", "")
        found = [text[max(0, one.start() - 40) : one.end()] for one in own.finditer(text)]
        assert not found, f"{name}: {found}"


def test_time_to_solve_says_what_its_intervals_are_over(tmp_path: Path) -> None:
    factors = {"cell": ["rnn", "gru"], "clip": ["none", "norm", "value", "agc"]}
    store = make(tmp_path / "pooled", factors=factors, seeds=range(6), **SMALL)
    early = {"solved_at": 30, "outcome": "solved"}
    edit_points(
        store,
        lambda row: (
            {"solved_at": None, "outcome": "learning"}
            | (early if row["cell"] == "gru" and row["clip"] in ("none", "norm") else {})
        ),
    )
    study = Study(store)
    made = section("time_to_solve", study)
    said = texts(made)
    assert "95 % interval over recipes, whose networks are alike" in said
    assert "gru 12 of 24, mean time 55 [9, 80]" in said and "rnn none of 24;" in said
    curves = next(
        block for block in section("learning_curves", study).blocks if isinstance(block, Figure)
    )
    (figure,) = [block for block in made.blocks if isinstance(block, Figure)]
    for finding in (curves.finding, figure.finding):  # recipes are chosen, not drawn
        assert "gru 12 of 24" in finding and "%" not in finding
    alone = make(tmp_path / "alone", factors={"cell": ["rnn", "gru"]}, seeds=range(4), **SMALL)
    edit_points(alone, lambda row: {"solved_at": 30 + row["seed"]})
    made = section("time_to_solve", Study(alone))
    assert "95 % interval over networks)" in texts(made)
    (figure,) = [block for block in made.blocks if isinstance(block, Figure)]
    assert "gru 4 of 4 [51 %, 100 %]; 95 % Wilson intervals over seeds." in figure.finding
