"""Glossary: the terms used on the page."""

from __future__ import annotations

from collections.abc import Mapping

from reports.blocks import Section, Terms
from reports.data.study import Study
from reports.formatting import term_id


class Glossary:
    """`terms`: term -> meaning, or term -> {is: meaning, formula: …}."""

    title = "Glossary"
    needs = ()

    def __init__(self, *, terms: Mapping[str, str | Mapping[str, str]]) -> None:
        for term, entry in terms.items():
            if not isinstance(entry, str) and not (
                isinstance(entry, Mapping)
                and "is" in entry
                and set(entry) <= {"is", "formula", "plain"}
            ):
                raise ValueError(
                    f"Glossary: terms.{term} must be a text or {{is: …, formula: …, plain: …}},"
                    f" got {entry!r}"
                )
        self.terms = terms

    def render(self, study: Study) -> Section:
        entries = {
            term: {"is": meaning} if isinstance(meaning, str) else meaning
            for term, meaning in self.terms.items()
        }
        return Section(
            [
                Terms(
                    [
                        (term_id(term), term, meaning["is"], meaning.get("formula", ""))
                        for term, meaning in entries.items()
                    ]
                )
            ]
        )
