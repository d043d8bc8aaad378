"""Words of the page."""

from __future__ import annotations

from reports.blocks import Definitions, Section
from reports.data import Study


class Glossary:
    """`terms`: word and meaning, from the YAML."""

    title = "Glossary"
    needs = ()

    def __init__(self, *, terms: dict[str, str]) -> None:
        self.terms = terms

    def render(self, study: Study) -> Section:
        return Section([Definitions(list(self.terms.items()))])
