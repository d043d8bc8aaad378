"""The index of studies in a folder: what each of them answers, in a table that can be sorted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from reports.analysis.arms import summary, with_counted
from reports.analysis.recommendation import use_words
from reports.analysis.tallies import tally
from reports.analysis.two_factors import SmallMatrix, small_matrix
from reports.data.study import MISSING, Study
from reports.documents.files import write_text
from reports.documents.templates import Templates, unbroken
from reports.formatting import STATUS_SYMBOLS, VERDICT_SYMBOLS, percent
from reports.statistics import count as counted
from study.records import STATUSES, VERDICTS, StudyError
from study.store import Store
from study.store.privacy import private

NO_ANSWER = "Nothing has been trained yet: there is no answer."


@dataclass(frozen=True)
class Share:
    """A share of the stored networks: in percent, of how many, and the number to sort by."""

    text: str = "–"
    of: str = ""
    sort: float | None = None


@dataclass(frozen=True)
class Entry:
    """A study in the index.

    `answer`: which recipe to use; `stored` of `planned` networks, and by status in words if they
    differ; `when`: of the last launch, "" if not recorded; `link`: its report relative to the
    index, "" if there is none; `wrong`: why it cannot be read, with all else empty.
    """

    name: str
    title: str
    link: str
    question: str = ""
    answer: str = ""
    verdicts: Sequence[tuple[str, str]] = ()
    matrix: SmallMatrix | None = None
    solved: Share = Share()
    lost: Share = Share()
    stored: int = 0
    planned: int = 0
    by_status: Sequence[str] = ()
    when: str = ""
    wrong: str = ""

    @property
    def whole(self) -> bool:
        return self.stored == self.planned

    @property
    def when_sort(self) -> str:
        """The time as a number, which sorts as the time does."""
        return "".join(letter for letter in self.when if letter.isdigit())


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
    write_text(path, unbroken(Templates().whole("index.html", "Studies", entries=entries)))
    return path, len(entries)


def studies(folder: Path) -> list[Path]:
    """Folders of studies directly below, by name."""
    return sorted(path for path in folder.iterdir() if (path / "study.json").is_file())


def entry(folder: Path, base: Path) -> Entry:
    """The index entry of a study; a study that cannot be read gets an entry with the reason."""
    report = folder / "report.html"
    link = _relative(report, base) if report.is_file() else ""
    try:
        return _entry(Study(Store(folder)), link)
    except (
        StudyError,
        KeyError,
        TypeError,
        ValueError,
    ) as error:  # a damaged study must not hide the others
        wrong = private(f"cannot be read: {error}")
        return Entry(folder.name, folder.name, link, wrong=wrong)


def _entry(study: Study, link: str) -> Entry:
    status = study.grid["status"].value_counts()
    absent = int(status.get(MISSING, 0)) + int(status.get("failed", 0))
    times = [str(launch["time"]) for launch in study.launches if launch.get("time")]
    verdicts = counted(study.stored["verdict"].tolist(), VERDICTS)
    solved, lost = _shares(study)
    return Entry(
        study.name,
        study.title,
        link,
        study.question,
        use_words(study, summary(study)) if len(study.stored) else NO_ANSWER,
        [(f"{VERDICT_SYMBOLS[name]} {name} {n}", f"v-{name}") for name, n in verdicts.items()],
        small_matrix(study),
        solved,
        lost,
        len(study.grid) - absent,
        len(study.grid),
        _status_words(status),
        max(times)[:16].replace("T", " ") if times else "",
    )


def _status_words(status: pd.Series) -> list[str]:
    """Numbers by status; none where all networks have the same."""
    there = [name for name in (*STATUSES, MISSING) if name in status]
    words = [f"{STATUS_SYMBOLS[name]} {status[name]} {name}" for name in there]
    return words if len(words) > 1 else []


def _shares(study: Study) -> tuple[Share, Share]:
    """Of the stored networks: those that end solved, where a rule says what that is, and lost."""
    points = with_counted(study)
    if points.empty:
        return Share(), Share()
    ruled, every = tally(points[study.has_rule(points)]), tally(points)
    solved = _share(ruled.solved, ruled.n) if ruled.n else Share("no rule")
    lost = _share(every.lost, every.n) if study.recorded("diverged") else Share("not recorded")
    return solved, lost


def _share(hits: int, n: int) -> Share:
    return Share(percent(hits / n), f"{hits} of {n}", hits / n)


def _relative(report: Path, base: Path) -> str:
    """The link if the report is below the page's folder, else "".

    A link to elsewhere would reveal paths of this machine.
    """
    try:
        return report.resolve().relative_to(base.resolve()).as_posix()
    except ValueError:
        return ""
