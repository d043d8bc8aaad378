"""The contract of a report section: everything that a section of your own needs to know.

A section is a class with `title`, `needs` and `render(study)`, declared by conf/section/NAME.yaml,
or by section/NAME.yaml in a folder given as --config-dir:

    _target_: mine.ScoreAgainstSize      # module.Class
    order: 45                            # place on the page, from small to large
    part: Learning and cost              # heading under which it stands; optional
    marked: 5.0                          # everything else goes to __init__ as a keyword

What it gets is a `Study` (reports/data/study.py), which reads the store:
    study.stored        one row per trained point: its factors, seed, and the columns of
                        records.POINTS (score, verdict, D, …); diverged points are included
    study.grid          as `stored`, with failed and missing points
    study.table(name)   one of records.TABLES (history, states, …), with the points' factors
    study.factors       levels of each factor that varies; study.levels(key) for any factor
    study.matrix_factors         the two factors that every matrix has as rows and columns
    study.metric, study.higher_is_better
    with_counted(study) `stored` with `counted`: the score, the worst if diverged

What it returns is a `Section`: blocks (reports/blocks.py) and, optionally, frames to keep in
tables/NAME.parquet. A figure is a `Figure` block around `draw(build, name=…)`
(reports/figures/theme.py), with its finding, alt text, table and a sentence on how to read it.
`marked(artist, mark)` says what an artist shows, for whoever points at it: `point_marks` makes a
mark a point, `arm_mark` one of an arm, `level_mark` one of all arms with some levels. A table whose
first cells are labels of arms gets a column a factor on the page.

Rules, which reports.battery.check_section tests: the same store gives the same bytes; nothing is
loaded from outside the page; no torch (a machine that renders reports may not have it).
`python -m study.new section NAME` writes a section to start from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from reports.analysis.arms import with_counted
from reports.analysis.marks import arm_mark, level_mark, point_marks
from reports.blocks import Section
from reports.data.study import Study
from reports.figures.marks import Mark, marked
from reports.formatting import count, interval, level, listing, number, percent

__all__ = [
    "Mark",
    "Section",
    "SectionRenderer",
    "Study",
    "arm_mark",
    "count",
    "interval",
    "level",
    "level_mark",
    "listing",
    "marked",
    "number",
    "percent",
    "point_marks",
    "with_counted",
]


class SectionRenderer(Protocol):
    """A section of the report.

    `title`: its heading.
    `needs`: names that must have a value in the store before `render` is called, else the page
    says which are absent: a column of the points ("score"), or of a table ("profile.log10_mean").
    """

    title: str
    needs: Sequence[str]

    def render(self, study: Study) -> Section:
        """The section's blocks. Raise anything: the page shows the error in the section's place."""
        ...
