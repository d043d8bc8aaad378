"""Results of a study for scripts and notebooks: frames, matplotlib figures, the report's path.

`study.load(folder)` has these functions as methods.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from matplotlib.figure import Figure as Drawing

from reports import blocks
from reports.analysis.findings import findings
from reports.data.study import Study, cores
from reports.documents import page
from reports.documents.sections import (
    absent_needs,
    build,
    declared_sections,
    import_from,
    section_blocks,
)
from reports.figures.theme import Picture
from reports.findings.finding import Finding
from reports.formatting import listing
from study.records import TABLES, StudyError
from study.store import Store


def points(folder: str | Path) -> pd.DataFrame:
    """One row per stored point: the columns of study.records.POINTS, then one per further factor.

    The same as `python -m reports table FOLDER --csv PATH`.
    """
    store = Store(Path(folder))
    store.study()
    return store.points(cores())


def table(folder: str | Path, name: str) -> pd.DataFrame:
    """All rows of one of study.records.TABLES ("history", "states", …), as stored.

    The point's id, arm, seed and factors are beside each row.
    """
    if name not in TABLES:
        raise StudyError(f"{name}: no such table. Tables: {listing(TABLES)}.")
    study = Study(Store(Path(folder)))
    return study.with_factors(study.store.table(name, study.stored["id"]))


def figure(
    folder: str | Path,
    section: str,
    *,
    index: int = 0,
    config_dirs: Sequence[str | Path] = (),
    **levels: Any,
) -> Drawing:
    """The matplotlib figure of a section of the report; it shows itself in a notebook.

    `index`: which one, if the section has several. `levels`: the points to draw, as in
    `figure("outputs/quick", "gradient_flow", cell="gru", seed=[0, 1])`; a factor whose name has a
    dot goes in as `**{"clip.norm": 0.5}`. StudyError if there is no such section, level or figure.
    """
    pictures = _pictures(Path(folder), section, [Path(one) for one in config_dirs], levels)
    if not -len(pictures) <= index < len(pictures):
        raise StudyError(
            f"{section}: no figure {index}; it has {len(pictures)} here, counted from 0."
        )
    drawn = pictures[index].figure()
    drawn._repr_png_ = functools.partial(_png, drawn)  # type: ignore[attr-defined]
    return drawn


def render(folder: str | Path, config_dirs: Sequence[str | Path] = ()) -> Path:
    """Write FOLDER/report.html; its path. A section that raises shows its error there."""
    return page.write(Path(folder), [Path(one) for one in config_dirs])


def _pictures(
    folder: Path, name: str, config_dirs: Sequence[Path], levels: dict[str, Any]
) -> list[Picture]:
    import_from(config_dirs)
    declared = {one.name: one for one in declared_sections(config_dirs)}
    if name not in declared:
        raise StudyError(f"{name}: no such section. Sections: {listing(declared)}.")
    section = build(declared[name])
    study = Study(Store(folder), levels=levels)
    study.folders += config_dirs
    if absent := absent_needs(declared[name], section, study):
        raise StudyError(f"{name}: nothing to draw yet, the store holds no {', '.join(absent)}.")
    rendered = section_blocks(declared[name], section, study)
    found = list(_pictures_in(rendered.blocks))
    if not found:
        raise StudyError(
            f"{name}: this section has no figure for {'these points' if levels else 'this study'}."
            f" Sections with figures: {listing(_drawing_sections(folder, config_dirs, levels))}."
        )
    return found


def _pictures_in(rendered: Sequence[Any]) -> Iterator[Picture]:
    for block in rendered:
        if isinstance(block, blocks.Figure) and isinstance(block.picture, Picture):
            yield block.picture
        elif isinstance(block, blocks.Fold):
            yield from _pictures_in(block.blocks)


def _drawing_sections(
    folder: Path, config_dirs: Sequence[Path], levels: dict[str, Any]
) -> Iterator[str]:
    """Names of sections that have a figure for these points; broken ones are left out."""
    study = Study(Store(folder), levels=levels)
    study.folders += config_dirs
    for one in declared_sections(config_dirs):
        try:
            section = build(one)
            if not absent_needs(one, section, study) and any(
                _pictures_in(section.render(study).blocks)
            ):
                yield one.name
        except Exception:  # a user's section may raise anything
            continue


def _png(figure: Drawing) -> bytes:
    """What a notebook shows."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=144)
    return out.getvalue()


def load(folder: str | Path, config_dirs: Sequence[str | Path] = ()) -> Result:
    """What a study in `folder`, such as outputs/quick, holds. Raises StudyError if it is none."""
    if not (Path(folder) / "study.json").is_file():
        raise StudyError(f"{folder}: no study here; it has no study.json")
    given = [config_dirs] if isinstance(config_dirs, str | Path) else config_dirs
    return Result(Path(folder).absolute(), tuple(str(Path(one).absolute()) for one in given))


@dataclass(frozen=True)
class Result:
    """A stored study. Every property reads the files as they are now."""

    folder: Path
    config_dirs: tuple[str, ...] = ()  # folders with report sections of your own

    @property
    def points(self) -> pd.DataFrame:
        """One row per stored point of the last declared grid, in its order: id, levels, seed,
        status, verdict, scores (study/records.py).
        """
        grid = Store(self.folder).study()["declaration"]["grid"]
        place = {point["id"]: number for number, point in enumerate(grid)}
        stored = points(self.folder)
        declared = stored[stored["id"].isin(place)]
        return declared.sort_values("id", key=lambda ids: ids.map(place), ignore_index=True)

    @property
    def failed(self) -> dict[str, str]:
        """Points that failed: id -> reason."""
        points = self.points
        failed = points[points["status"] == "failed"]
        return dict(zip(failed["id"], failed["reason"], strict=True))

    def table(self, name: str) -> pd.DataFrame:
        """A table of all points, with their id and levels: history, profile, states, layers,
        measures, traces, test or metrics (records.TABLES).
        """
        return table(self.folder, name)

    def figure(self, section: str, *, index: int = 0, **levels: Any) -> Drawing:
        """A figure of a report section, drawn for the points with these levels."""
        return figure(self.folder, section, index=index, config_dirs=self.config_dirs, **levels)

    @property
    def findings(self) -> Sequence[Finding]:
        """What the study found, as values: the claims, effects and counts that the report states.

        The same as in report.json (reports/documents/findings_file.py).
        """
        study = Study(Store(self.folder))
        study.folders += [Path(one) for one in self.config_dirs]
        return findings(study)

    def report(self) -> Path:
        """Render the report and return the page's path."""
        return render(self.folder, config_dirs=self.config_dirs)
