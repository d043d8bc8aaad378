"""Writes the report of a study: one self-contained HTML page."""

from __future__ import annotations

import contextlib
import functools
import gc
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from reports.analysis.arms import summary
from reports.analysis.contradictions import check_findings
from reports.analysis.findings import SLOW_PARTS, findings
from reports.analysis.recommendation import use_words
from reports.analysis.typed import changed
from reports.data.study import Study, cores
from reports.documents.files import write_file, write_text
from reports.documents.findings_file import findings_text
from reports.documents.forks import side_by_side
from reports.documents.glosses import Terms, with_glosses
from reports.documents.plain_names import with_plain_names
from reports.documents.sections import (
    RenderedSection,
    declared_sections,
    import_from,
    render_section,
)
from reports.documents.study_data import study_data
from reports.documents.templates import Templates, unbroken
from reports.formatting import short_name, slug
from study.records import TABLES
from study.store import Store

# The headings of the page, in order; sections without one lead it, unfolded.
PARTS = ("", "Answer", "Gradients", "Learning and cost", "Statistics", "Method and data")


# With at least this many stored points, parts of the page are made by one process per core. With
# fewer, starting the processes costs as much as they save.
PARALLEL_FROM = 100


@dataclass(frozen=True)
class Page:
    """The page's HTML, the text of report.json, frames that sections keep, broken sections, which
    recipe to use, in a sentence per task ("" before anything is trained), and how many points.
    """

    text: str
    findings: str
    tables: Mapping[str, pd.DataFrame]
    broken: Sequence[str] = ()
    answer: str = ""
    points: int = 0


@contextlib.contextmanager
def _rarely_collected() -> Iterator[None]:
    """Figures are a million small objects that stay until they are drawn: looking through them
    again and again for garbage takes a tenth of the page's time.
    """
    before = gc.get_threshold()
    gc.set_threshold(100_000, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*before)


@_rarely_collected()
def page(
    study: Study,
    config_dirs: Sequence[Path] = (),
    reload: float | None = None,
    workers: int | None = None,
) -> Page:
    """Render the page of a study; StudyError if its findings contradict each other.

    `reload`: seconds after which an open page reloads itself, while the study runs. `workers`:
    number of processes (None: one per core for a large study, else one), which does not change the
    page.
    """
    study.folders += config_dirs
    if workers is None:
        workers = cores() if len(study.stored) >= PARALLEL_FROM else 1
    if workers > 1:
        _prepare(study, workers)
    check_findings(study, findings(study))
    declared = declared_sections(config_dirs)
    ids: list[str] = []
    for section in declared:
        ids.append(slug(section.name, ids))
    *made, (data, errors) = side_by_side(
        [
            *(
                functools.partial(render_section, section, study, id)
                for section, id in zip(declared, ids, strict=True)
            ),
            functools.partial(study_data, study),
        ],
        workers,
    )
    rendered: list[RenderedSection] = [one for one in made if one.blocks]
    parts: dict[str, list[RenderedSection]] = {part: [] for part in PARTS}
    for one in rendered:
        parts.setdefault(one.part, []).append(one)
    for error in errors:
        print(f"data of the page's script are broken: {error}", file=sys.stderr)
    text = Templates().whole(
        "page.html",
        f"{study.title} · gradient study",
        study=study,
        changed=changed(study),
        parts=[(part, sections) for part, sections in parts.items() if sections],
        slug=slug,
        reload=reload,
        data=data,
    )
    tables = {name: frame for one in rendered for name, frame in one.tables.items()}
    broken = [one.title for one in rendered if one.broken] + ["data of the script"] * bool(errors)
    terms: Terms = next(
        (one.arguments.get("terms", {}) for one in declared if one.name == "glossary"), {}
    )
    names = {key: short_name(key) for key in study.factors}
    text = unbroken(with_glosses(with_plain_names(text, names), terms))
    answer = use_words(study, summary(study)) if len(study.stored) else ""
    return Page(text, findings_text(study), tables, broken, answer, len(study.stored))


def _prepare(study: Study, workers: int) -> None:
    """Make what many parts of the page need: they are forks, and would each make it again."""
    for read in (
        *(functools.partial(study.table, name) for name in TABLES),
        functools.partial(summary, study),
    ):
        with contextlib.suppress(Exception):  # the section that needs it reports the error
            read()
    with contextlib.suppress(Exception):  # findings, made next, report it
        for kept in side_by_side(
            [functools.partial(study.kept_by, make) for make in SLOW_PARTS], workers
        ):
            study.keep(kept)


def write(folder: Path, config_dirs: Sequence[Path] = ()) -> Path:
    """Render the study in a folder into its report.html and report.json; the page's path."""
    return render(folder, config_dirs)[0]


def render(
    folder: Path, config_dirs: Sequence[Path] = (), reload: float | None = None
) -> tuple[Path, Page]:
    """As `write`, with the page; errors of its broken sections are on it."""
    import_from(config_dirs)
    made = page(Study(Store(folder)), config_dirs, reload)
    for name, frame in made.tables.items():
        write_file(
            folder / "tables" / f"{slug(name, [])}.parquet",
            functools.partial(frame.to_parquet, index=False),
        )
    path = folder / "report.html"
    write_text(path, made.text)
    write_text(folder / "report.json", made.findings)
    return path, made
