"""Finds the sections that YAML files declare, builds and renders them."""

from __future__ import annotations

import difflib
import importlib
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from reports.blocks import Listing, Notice, Section
from reports.data.study import Study
from reports.documents.templates import Templates
from reports.documents.touch import with_arms
from reports.interfaces import SectionRenderer
from study.config.paths import conf_folder
from study.records import NOT_IDENTITY, POINTS, TABLES, StudyError
from study.store.privacy import private


@dataclass(frozen=True)
class DeclaredSection:
    """A section as its YAML file declares it."""

    name: str
    order: float
    part: str
    target: str
    arguments: Mapping[str, Any]
    source: str


@dataclass(frozen=True)
class RenderedSection:
    """A section as HTML. `blocks` is empty if it has nothing to show; `finding` is its heading
    where it is folded.
    """

    id: str
    title: str
    part: str
    blocks: Sequence[Any]
    finding: str = ""
    broken: bool = False
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def import_from(config_dirs: Sequence[Path]) -> None:
    """Make modules in these folders, and in their section/ folders, importable."""
    for config_dir in config_dirs:
        for place in (str(config_dir.resolve()), str((config_dir / "section").resolve())):
            if place not in sys.path:
                sys.path.insert(0, place)


def declared_sections(config_dirs: Sequence[Path] = ()) -> list[DeclaredSection]:
    """Sections declared in conf/section/*.yaml and in section/*.yaml of these folders, in order.

    Of two files of the same name, the later folder's is used.
    """
    for config_dir in config_dirs:
        if not config_dir.is_dir():
            raise StudyError(f"--config-dir {config_dir}: no such folder")
    folders = [conf_folder() / "section", *(folder / "section" for folder in config_dirs)]
    files = {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}
    return sorted(
        (_read_declaration(path) for path in files.values()),
        key=lambda section: (section.order, section.name),
    )


def _read_declaration(path: Path) -> DeclaredSection:
    try:
        node = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise StudyError(f"section/{path.name}: not readable as YAML ({error})") from error
    if (
        not isinstance(node, dict)
        or not isinstance(node.get("_target_"), str)
        or not isinstance(node.get("order"), int | float)
    ):
        raise StudyError(
            f"section/{path.name}: needs _target_ (module.Class) and order (a number: its place on"
            f" the page), got {node!r}"
        )
    arguments = {
        key: value for key, value in node.items() if key not in ("_target_", "order", "part")
    }
    return DeclaredSection(
        path.stem,
        float(node["order"]),
        str(node.get("part", "")),
        node["_target_"],
        arguments,
        f"section/{path.name}",
    )


def build(declared: DeclaredSection) -> SectionRenderer:
    """The section's object. StudyError names the YAML file."""
    module, _, name = declared.target.rpartition(".")
    try:
        section: SectionRenderer = getattr(importlib.import_module(module), name)(
            **declared.arguments
        )
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise StudyError(
            f"{declared.source}: {declared.target} could not be built"
            f" ({type(error).__name__}: {error})"
        ) from error
    return section


def absent_needs(declared: DeclaredSection, section: SectionRenderer, study: Study) -> list[str]:
    """Names that the section needs and the store has no value for."""
    if isinstance(section.needs, str):
        raise StudyError(
            f"{declared.source}: needs must be a tuple of names, such as ({section.needs!r},), got"
            " a text"
        )
    try:
        return [need for need in section.needs if not has(study, need)]
    except StudyError as error:
        raise StudyError(f"{declared.source}: {error}") from error


def section_blocks(declared: DeclaredSection, section: SectionRenderer, study: Study) -> Section:
    """What the section renders, checked to be a Section of blocks."""
    made = section.render(study)
    if isinstance(made, Section) and all(hasattr(block, "template") for block in made.blocks):
        return made
    got = (
        [type(block).__name__ for block in made.blocks]
        if isinstance(made, Section)
        else type(made).__name__
    )
    raise StudyError(
        f"{declared.source}: render must return a Section of blocks (reports/blocks.py), got {got}"
    )


def render_section(declared: DeclaredSection, study: Study, id: str) -> RenderedSection:
    """Render a section; if it raises, its error takes its place and the page stays whole."""
    draw = Templates(id, level=4 if declared.part else 3)
    title = declared.name.replace("_", " ")
    try:
        section = build(declared)
        title = section.title
        absent = absent_needs(declared, section, study)
        if absent and study.adopted:
            made = Section([])  # the summary says what was not recorded
        elif absent:
            message = f"Nothing to show yet: the store holds no {', '.join(absent)}."
            made = Section([Notice(message, "plain")])
        else:
            made = section_blocks(declared, section, study)
            title = made.title or title
        blocks = [draw(with_arms(study, block)) for block in made.blocks]
        return RenderedSection(id, title, declared.part, blocks, made.heading, tables=made.tables)
    except Exception as error:  # a user's section may raise anything
        print(
            f"section {declared.name} is broken: {type(error).__name__}: {error}", file=sys.stderr
        )
        message = (
            f"This section could not be rendered: {type(error).__name__}: {private(str(error))}"
        )
        trace = private("".join(traceback.format_exception(error)[-3:]))
        blocks = [draw(Notice(message, "error")), draw(Listing(trace))]
        return RenderedSection(id, title, declared.part, blocks, message, broken=True)


def has(study: Study, need: str) -> bool:
    """Whether the store has a value of a point's column, or of a table's (table.column).

    StudyError if no store can have it.
    """
    table, _, column = need.rpartition(".")
    if table and table not in TABLES:
        raise StudyError(f"needs {need!r}: {table} is none of the tables {', '.join(TABLES)}")
    frame = study.table(table) if table else study.stored
    named = {one.name for one in (TABLES[table] if table else POINTS)} | {
        *frame.columns,
        *study.constant,
        *NOT_IDENTITY,
    }
    if column not in named:
        close = "".join(f", such as {name}" for name in difflib.get_close_matches(column, named, 1))
        where = (
            f"no column of the {table or 'points'} table, no factor and no setting is called"
            f" {column}"
        )
        raise StudyError(f"needs {need!r}: {where}; use a name of study/records.py{close}")
    return column in frame and bool(frame[column].notna().any())
