"""The index of studies in a folder, and the page of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from reports.analysis.arms import WORST, score_words, with_interval
from reports.analysis.recipe import leaders
from reports.blocks import Cell, Notice, Prose, Rows, Table
from reports.data.study import MISSING, Study
from reports.documents.diff import Difference, sentences
from reports.documents.files import write_text
from reports.documents.templates import Templates
from reports.formatting import STATUS_SYMBOLS, VERDICT_SYMBOLS, count, score_number
from reports.statistics import count as counted
from study.records import STATUSES, VERDICTS, StudyError
from study.store import Store
from study.store.privacy import private


@dataclass(frozen=True)
class Entry:
    """A study in the index.

    `link`: its report relative to the index, "" if there is none; `wrong`: why it cannot be read.
    """

    name: str
    title: str
    question: str
    facts: Sequence[tuple[str, str]]
    verdicts: Sequence[tuple[str, str]]
    link: str
    whole: bool
    wrong: str = ""


def write_index(folder: Path, out: Path | None) -> tuple[Path, int]:
    """Write FOLDER/index.html (or `out`) over the studies directly below the folder.

    Returns its path and the number of studies.
    """
    if not folder.is_dir():
        raise StudyError(
            f"{folder}: no such folder. Give the one that holds the studies, such as outputs."
        )
    path = out or folder / "index.html"
    entries = [entry(study, path.parent) for study in studies(folder)]
    if not entries:
        raise StudyError(
            f"{folder}: no study here (no folder with a study.json). Give the one that holds the"
            " studies, such as outputs."
        )
    write_text(path, Templates().whole("index.html", "Studies", entries=entries))
    return path, len(entries)


def studies(folder: Path) -> list[Path]:
    """Folders of studies directly below, by name."""
    return sorted(path for path in folder.iterdir() if (path / "study.json").is_file())


def entry(folder: Path, base: Path) -> Entry:
    """The index entry of a study; a study that cannot be read gets an entry with the reason."""
    report = folder / "report.html"
    link = _relative(report, base) if report.is_file() else ""
    try:
        study = Study(Store(folder))
        status = study.grid["status"].value_counts()
        absent = int(status.get(MISSING, 0)) + int(status.get("failed", 0))
        facts = [("points", f"{len(study.grid) - absent} of {len(study.grid)}")]
        facts.append(
            (
                "by status",
                ", ".join(
                    f"{STATUS_SYMBOLS[name]} {status[name]} {name}"
                    for name in (*STATUSES, MISSING)
                    if name in status
                ),
            )
        )
        for task, best in leaders(study):
            name = f"recommended{f' on {task}' if task else ''}, test {study.metric}"
            facts.append((name, f"{score_words(best['score'])} · n={best['n']} · {best['label']}"))
        times = [str(launch["time"]) for launch in study.launches if launch.get("time")]
        when = "adopted (UTC)" if study.adopted else "last launch (UTC)"
        facts.append((when, max(times)[:16].replace("T", " ") if times else "not recorded"))
        verdicts = counted(study.stored["verdict"].tolist(), VERDICTS)
        words = [
            (f"{VERDICT_SYMBOLS[name]} {name} {n}", f"v-{name}") for name, n in verdicts.items()
        ]
        return Entry(
            study.name,
            study.title,
            study.question,
            facts,
            words,
            link,
            not {MISSING, "failed"} & set(status.index),
        )
    except (
        StudyError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:  # a damaged study must not hide the others
        return Entry(
            folder.name, folder.name, "", [], [], link, True, private(f"cannot be read: {error}")
        )


def _relative(report: Path, base: Path) -> str:
    """The link if the report is below the page's folder, else "".

    A link to elsewhere would reveal paths of this machine.
    """
    try:
        return report.resolve().relative_to(base.resolve()).as_posix()
    except ValueError:
        return ""


def write_diff(found: Difference, out: Path) -> Path:
    """Write the comparison as a page."""
    draw = Templates()
    parts: list[tuple[str, list[Markup]]] = [
        ("Answer", [draw(Prose(text, "lead")) for text in sentences(found)])
    ]
    parts.append(("Scores by arm", [draw(_arms(found))] if found.arms else []))
    changed: Rows = [list(pair) for pair in found.findings]
    table = Table(["finding", "strength"], changed, "Findings whose strength changed")
    parts.append(("Findings", [draw(table)] if changed else []))
    parts += [
        (
            f"{word.capitalize()} flips",
            _points(draw, points, f"From {found.names[0]} to {found.names[1]}"),
        )
        for word, points in found.flips.items()
    ]
    for title, points in (
        ("Added", found.added),
        ("Removed", found.removed),
        ("Changed", found.changed),
    ):
        parts.append((title, _points(draw, points, f"Points {title.lower()}")))
    rows: Rows = [
        [key, one, other, Cell(str(n), n)] for (key, one, other), n in found.settings.items()
    ]
    settings = Table(
        ["setting", found.names[0], found.names[1], "points"],
        rows,
        "Composed settings that differ at the points that changed",
    )
    parts.append(("Settings", [draw(settings)] if rows else []))
    shown = [(title, blocks or [draw(Notice("None.", "plain"))]) for title, blocks in parts]
    write_text(
        out,
        draw.whole("diff.html", f"{found.names[0]} and {found.names[1]}", found=found, parts=shown),
    )
    return out


def _arms(found: Difference) -> Table:
    rows: Rows = []
    for arm in found.arms:
        change = arm.difference
        words_of_arm = (
            "the very same points" if arm.same else f"{with_interval(change, 3, sign=True)}"
        )
        sizes = f"{arm.first.n} and {arm.second.n}"
        rows.append(
            [
                arm.label,
                score_number(arm.first.value, 3),
                score_number(arm.second.value, 3),
                Cell(words_of_arm, 0.0 if arm.same else change.value),
                sizes,
            ]
        )
    columns = ["arm", found.names[0], found.names[1], "difference, 95 % interval", "n"]
    notes = (
        f"Mean test {found.metric}; lost points count with {WORST}. Welch's t interval over seeds,"
        " corrected for nothing."
    )
    return Table(columns, rows, f"{count(len(rows), 'arm')} of both studies", notes, filtered=True)


def _points(draw: Templates, points: Sequence[tuple[str, str, str]], caption: str) -> list[Markup]:
    return (
        [
            draw(
                Table(
                    ["arm", "seed", "what"],
                    [list(point) for point in points],
                    caption,
                    filtered=True,
                )
            )
        ]
        if points
        else []
    )
