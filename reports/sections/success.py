"""Gradient health against the score, among networks of the same structure."""

from __future__ import annotations

from reports.analysis.arms import worst_words
from reports.analysis.associations import words
from reports.analysis.structures import Structure, structure_keys, structures, structures_words
from reports.blocks import Cell, Figure, Rows, Section, Table
from reports.data.study import Study
from reports.figures.success import success
from reports.figures.theme import draw
from reports.formatting import count, known, levels, listing

HOW = (
    "A mark is one network. Across: its [gradient health] at the end of training (0 carries; −2"
    " means that a hundredth is left); up: its score on test data. Where gradient health decides"
    " success, marks rise from left to right. Filled marks solved the task at the last validation."
)


class Success:
    title = "Does gradient health go with success?"
    needs = ("D", "U", "score")

    def render(self, study: Study) -> Section:
        found = structures(study)
        if sum(one.n for one in found) < 2:
            return Section([])
        shapes = study.matrix_factors[1]
        picture = draw(
            lambda rasterized: success(study, found, shapes, rasterized=rasterized), name="success"
        )
        keys = structure_keys(study)
        finding = structures_words(study) or (
            "Whether a better gradient health goes with a better score cannot be determined here:"
            " too few networks are alike in structure."
        )
        apart = f", a panel per {' and '.join(keys)}" if keys else ""
        lost = int(sum(one.points["lost"].sum() for one in found))
        caption = (
            f"One mark per network ({count(sum(one.n for one in found), 'network')}){apart}; shape:"
            f" {shapes}; filled: solved at the end. ρ: rank correlation of gradient health with"
            f" test {study.metric}, with a 95 % interval over arms that holds for all panels at"
            " once." + (f" ✕: lost, at {worst_words(study)}." if lost else "")
        )
        return Section(
            [
                Figure(
                    picture,
                    caption,
                    f"Gradient health against test {study.metric} of"
                    f" {count(sum(one.n for one in found), 'network')}. {finding}",
                    _table(study, found, keys),
                    10.0,
                    finding,
                    HOW,
                )
            ]
        )


def _table(study: Study, found: list[Structure], keys: list[str]) -> Table:
    rows: Rows = [
        [
            levels(one.labels) or "all",
            Cell(words(one.rho, apart=0.0), one.rho.value if known(one.rho.value) else None),
            f"{one.solved} of {one.n}",
        ]
        for one in found
    ]
    return Table(
        [
            listing(keys) or "networks",
            f"rank correlation of gradient health with test {study.metric}",
            "solved at the end",
        ],
        rows,
        "Gradient health against success, by structure",
    )
