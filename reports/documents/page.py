"""The page: sections found by their YAML, rendered one by one, put into one self-contained file."""

from __future__ import annotations

import base64
import concurrent.futures
import contextlib
import difflib
import functools
import gc
import hashlib
import importlib
import multiprocessing
import re
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import jinja2
import pandas as pd
import yaml
from markupsafe import Markup, escape

from reports.analysis.arms import summary
from reports.blocks import Listing, Notice, Section
from reports.data.study import Study, cores
from reports.formatting import private, slug, term_id
from study.config.paths import conf_folder
from study.records import NOT_IDENTITY, POINTS, TABLES, StudyError
from study.store import Store
from study.store.atomic import write_whole

TEMPLATES = Path(__file__).parent.parent / "templates"
# stored points from which sections are rendered by a process a core: below, starting them costs
# what they save
MANY = 100


class Renders(Protocol):
    """A section: what it needs from the store ("score", "profile.log10_mean"), and how it renders a
    study.
    """

    title: str
    needs: Sequence[str]

    def render(self, study: Study) -> Section: ...


@dataclass(frozen=True)
class Declared:
    """A section as its YAML declares it."""

    name: str
    order: float
    part: str
    target: str
    arguments: Mapping[str, Any]
    source: str


@dataclass(frozen=True)
class Rendered:
    id: str
    title: str
    part: str
    blocks: Sequence[Any]
    broken: bool = False
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)


@dataclass(frozen=True)
class Page:
    """The page as text, and the frames that its sections want kept."""

    text: str
    tables: Mapping[str, pd.DataFrame]
    broken: Sequence[str] = ()  # titles of sections that could not be rendered


def declared_sections(config_dir: Path | None) -> list[Declared]:
    """conf/section/*.yaml and those of the user's folder, which win where names are equal; in
    order.
    """
    folders = [conf_folder() / "section", *([config_dir / "section"] if config_dir else [])]
    if config_dir and not config_dir.is_dir():
        raise StudyError(f"--config-dir {config_dir}: no such folder")
    files = {path.stem: path for folder in folders for path in sorted(folder.glob("*.yaml"))}
    return sorted(
        (_declared(path) for path in files.values()), key=lambda one: (one.order, one.name)
    )


def _declared(path: Path) -> Declared:
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
    return Declared(
        path.stem,
        float(node["order"]),
        str(node.get("part", "")),
        node["_target_"],
        arguments,
        f"section/{path.name}",
    )


def build(one: Declared) -> Renders:
    """The section's object; errors name the YAML."""
    module, _, name = one.target.rpartition(".")
    try:
        made: Renders = getattr(importlib.import_module(module), name)(**one.arguments)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise StudyError(
            f"{one.source}: {one.target} could not be made ({type(error).__name__}: {error})"
        ) from error
    return made


def render_section(one: Declared, study: Study, id: str) -> Rendered:
    """A section, whatever happens: one that breaks shows its error and leaves the rest of the page
    alone.
    """
    title, draw = one.name.replace("_", " "), Templates(id, level=4 if one.part else 3)
    try:
        section = build(one)
        title = section.title
        if isinstance(section.needs, str):
            raise StudyError(
                f"{one.source}: needs must be a tuple of names, such as ({section.needs!r},), got a"
                " text"
            )
        try:
            lacking = [need for need in section.needs if not has(study, need)]
        except StudyError as error:
            raise StudyError(f"{one.source}: {error}") from error
        nothing = Section(
            [Notice(f"Nothing to show yet: the store holds no {', '.join(lacking)}.", "plain")]
        )
        made = nothing if lacking else section.render(study)
        if not isinstance(made, Section) or any(
            not hasattr(block, "template") for block in made.blocks
        ):
            came = (
                [type(block).__name__ for block in made.blocks]
                if isinstance(made, Section)
                else type(made).__name__
            )
            raise StudyError(
                f"{one.source}: render must return a Section of blocks (reports/blocks.py), got"
                f" {came}"
            )
        return Rendered(
            id, title, one.part, [draw(block) for block in made.blocks], tables=made.tables
        )
    except (
        Exception
    ) as error:  # a stranger's section may raise anything, and the page must not be lost
        print(f"section {one.name} is broken: {type(error).__name__}: {error}", file=sys.stderr)
        told = private("".join(traceback.format_exception(error)[-3:]))
        blocks: list[Any] = [
            Notice(
                f"This section could not be rendered: {type(error).__name__}:"
                f" {private(str(error))}",
                "error",
            ),
            Listing(told),
        ]
        return Rendered(id, title, one.part, [draw(block) for block in blocks], broken=True)


def has(study: Study, need: str) -> bool:
    """Whether the store holds a column of the points, or of a table (table.column), with at least
    one value; StudyError for what no store holds.
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


@functools.cache
def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(TEMPLATES)
    env = jinja2.Environment(
        loader=loader,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    env.filters["linked"] = linked
    return env


class Templates:
    """The page's templates: autoescaped, and numbering the blocks of a section so that every one
    has an id.
    """

    def __init__(self, section: str = "page", level: int = 3) -> None:
        self.env = _environment()
        self.section = section
        self.blocks = 0
        self.level = level  # of a heading inside a section: one below the section's own

    def __call__(self, block: Any) -> Markup:
        self.blocks += 1
        html = self.env.get_template(block.template).render(
            block=block, uid=f"{self.section}-block-{self.blocks}", level=self.level, nested=self
        )
        return Markup(html)

    def whole(self, template: str, title: str, **values: Any) -> str:
        """A whole self-contained document: style and script inside, and a policy that lets nothing
        else in.
        """
        style, script = (
            (TEMPLATES / name).read_text(encoding="utf-8") for name in ("style.css", "script.js")
        )
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        return self.env.get_template(template).render(
            title=title,
            style=Markup(style),
            script=Markup(script),
            script_hash=digest,
            **{"reload": None, **values},
        )


def linked(text: str) -> Markup:
    """[word] and [word|term] become links to the glossary's term; the rest is escaped."""
    parts = re.split(r"\[([^\[\]]+)\]", text)
    made = [
        escape(part) if n % 2 == 0 else _to_term(*part.rpartition("|")[::2])
        for n, part in enumerate(parts)
    ]
    return Markup("").join(made)


def _to_term(word: str, term: str) -> Markup:
    return Markup('<a class="term" href="#{}">{}</a>').format(term_id(term), word or term)


def without_dead_links(html: str) -> str:
    """Links to terms that no section of the page explains become their words."""
    return re.sub(
        r'<a class="term" href="#([^"]+)">([^<]*)</a>',
        lambda found: found[0] if f'id="{found[1]}"' in html else found[2],
        html,
    )


def sections(
    declared: Sequence[Declared], ids: Sequence[str], study: Study, workers: int | None = None
) -> list[Rendered]:
    """All sections, in order.

    `workers`: processes that share them (None: a core each for a large study); the page is the same
    with any number.

    Workers are forks: what is read and summed up before is shared, not copied. A section whose
    worker died is rendered here.
    """
    if workers is None:
        workers = cores() if len(study.stored) >= MANY else 1
    if workers <= 1:
        return [render_section(one, study, id) for one, id in zip(declared, ids, strict=True)]
    for read in (
        *(functools.partial(study.table, name) for name in TABLES),
        functools.partial(summary, study),
    ):  # once, before the forks
        with contextlib.suppress(Exception):  # told by the section that needs it
            read()
    gc.freeze()  # or the collector's marks would copy every page that a worker looks at
    done: list[Rendered | None] = [None] * len(declared)
    global _shared
    _shared = declared, ids, study
    try:
        with concurrent.futures.ProcessPoolExecutor(
            workers, multiprocessing.get_context("fork")
        ) as pool:
            coming = {
                pool.submit(_render_shared, number): number for number in range(len(declared))
            }
            for future in concurrent.futures.as_completed(coming):
                done[coming[future]] = future.result()
    except BrokenProcessPool:
        print(
            "a process that rendered sections died (out of memory?); going on without",
            file=sys.stderr,
        )
    finally:
        _shared = None
        gc.unfreeze()
    return [
        made or render_section(one, study, id)
        for made, one, id in zip(done, declared, ids, strict=True)
    ]


_shared: tuple[Sequence[Declared], Sequence[str], Study] | None = None  # what forked workers find


def _render_shared(number: int) -> Rendered:
    assert _shared is not None
    declared, ids, study = _shared
    return render_section(declared[number], study, ids[number])


def page(
    study: Study, config_dir: Path | None, reload: float | None = None, workers: int | None = None
) -> Page:
    """The whole page. `reload`: seconds after which an open page reads itself again, while a study
    runs; `workers` as in `sections`.
    """
    study.folders += [config_dir] if config_dir else []
    declared = declared_sections(config_dir)
    ids: list[str] = []
    for one in declared:
        ids.append(slug(one.name, ids))
    rendered = [
        section for section in sections(declared, ids, study, workers) if section.blocks
    ]  # one with nothing to say is no part of the page
    parts: list[tuple[str, list[Rendered]]] = []
    for section in rendered:
        if section.part and parts and parts[-1][0] == section.part:
            parts[-1][1].append(section)
        else:
            parts.append((section.part, [section]))
    text = Templates().whole(
        "page.html",
        f"{study.title} · gradient study",
        study=study,
        parts=parts,
        slug=slug,
        reload=reload,
    )
    tables = {name: frame for section in rendered for name, frame in section.tables.items()}
    return Page(
        without_dead_links(text), tables, [section.title for section in rendered if section.broken]
    )


def write(folder: Path, config_dir: Path | None) -> Path:
    """Render the study of a folder into its report.html, whole or not at all; its path."""
    return render(folder, config_dir)[0]


def render(
    folder: Path, config_dir: Path | None, reload: float | None = None
) -> tuple[Path, Sequence[str]]:
    """As `write`, with the titles of the sections that could not be rendered: the page shows their
    errors.
    """
    if config_dir:
        for place in (str(config_dir.resolve()), str((config_dir / "section").resolve())):
            if place not in sys.path:
                sys.path.insert(0, place)
    made = page(Study(Store(folder)), config_dir, reload)
    for name, frame in made.tables.items():
        put(
            folder / "tables" / f"{slug(name, [])}.parquet",
            functools.partial(frame.to_parquet, index=False),
        )
    path = folder / "report.html"
    put_text(path, made.text)
    return path, made.broken


def put_text(path: Path, text: str) -> None:
    """Write a text whole or not at all."""
    put(path, lambda partial: partial.write_text(text, encoding="utf-8", newline="\n"))


def put(path: Path, write: Callable[[Path], Any]) -> None:
    """Write a file whole or not at all; StudyError where it cannot be written."""
    try:
        path.parent.mkdir(exist_ok=True)
        write_whole(path, write)
    except OSError as error:
        raise StudyError(f"{path}: cannot be written ({error.strerror or error})") from error
