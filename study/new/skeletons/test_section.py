"""The rules that every section keeps, and its sentence."""

from __future__ import annotations

from skeleton import Skeleton

from reports.battery import check_section, made_up


def test_it_keeps_the_rules_of_sections():
    check_section(Skeleton(marked=5.0))


def test_the_sentence_names_the_best(tmp_path):
    study = made_up(tmp_path / "study")
    (figure,) = Skeleton(marked=5.0).render(study).blocks
    best = study.stored["score"].max()
    assert f"scores {best:.2f}" in figure.finding
    assert len(figure.table.rows) == len(study.stored)
