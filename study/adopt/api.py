"""`study.adopt`: runs that exist already become a study."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.api import Result, load
from study.adopt.factors import choose
from study.adopt.histories import of_runs
from study.adopt.options import STATUS, Options, checked
from study.adopt.runs import Run, checked_runs
from study.adopt.source import Source, read
from study.adopt.writing import write
from study.config.levels import defaults
from study.design.comparisons import check_comparisons, check_named_levels
from study.records import StudyError

if TYPE_CHECKING:
    import pandas as pd

COMMAND = "study.adopt(…)"
# What a claim needs of the runs; every other measure is of transport, which was not recorded.
NEEDS = {"score": "score", "train": "train_score", "gap": "train_score", "lost": "lost"}
BY_RULE = ("solved", "time")


def adopt(
    table: pd.DataFrame | str | Path,
    *,
    name: str,
    folder: str | Path = "",
    factors: Sequence[str] | None = None,
    seed: str | None = "seed",
    score: str = "accuracy",
    metric: str | None = None,
    higher_is_better: bool | None = None,
    solved: float | None = None,
    baseline: float | str | None = None,
    val_score: str | None = None,
    val_loss: str | None = None,
    history: pd.DataFrame | str | Path | None = None,
    results: str | None = None,
    task: str | None = None,
    title: str | None = None,
    question: str | None = None,
    claims: Sequence[Mapping[str, Any]] | None = None,
    contrasts: Sequence[Mapping[str, Any]] | None = None,
    command: str = COMMAND,
) -> Result:
    """Adopt runs that were trained elsewhere as a study, and return it as `study.load` does.

    table: a frame, a CSV or Parquet file with one row per run, a folder of offline W&B runs, or a
    Hydra multirun folder, whose jobs each wrote a file called `results`. Adopting again adds runs
    that are new and changes no other.
    name: of the study, which is stored in `folder`/`name` (outputs/NAME).
    factors: columns (settings, overrides) that tell arms apart; None: those that vary.
    seed: column of seeds. Without one, rows of an arm are its replicates.
    score: column of test scores; empty: the run is lost, as a column `status` says (done, diverged,
    failed, pruned).
    metric: what the score is called; higher_is_better: None asks the score's name.
    solved: score from which a run counts as solved. baseline: score of a guess that ignores the
    sequence, with which diverged runs count; a number or a column.
    val_score, val_loss: columns of validation. task: column of tasks, if there are several.
    history: curves, a frame or a file with columns run or id (or all factors and the seed), update,
    loss, grad_norm, val_loss, val_score.
    claims, contrasts: as in an experiment's YAML; None keeps those of an earlier adoption.

    Raises StudyError, with the column or the row, what is allowed and what came.
    """
    source = read(table, results)
    options = checked(
        source,
        {
            "name": name,
            "factors": factors,
            "seed": seed,
            "score": score,
            "metric": metric,
            "higher_is_better": higher_is_better,
            "solved": solved,
            "baseline": baseline,
            "val_score": val_score,
            "val_loss": val_loss,
            "task": task,
            "title": title,
            "question": question,
        },
    )
    others = {*options.named.values(), STATUS, "reason", "outcome", "ends_solved"}
    found = choose(source, options.factors, options.task, others)
    histories = of_runs(source, history, options, found.names)
    runs = checked_runs(source, options, found, histories)
    comparisons = {"claims": claims, "contrasts": contrasts}
    _check_comparisons(comparisons, runs, found.fixed, options)
    place = Path(folder or defaults()["store"]["folder"]) / name
    new = write(place, source, options, found, runs, comparisons, command)
    for line in _told(source, options, found.told, runs, new):
        print(line, file=sys.stderr)
    return load(place)


def _check_comparisons(
    comparisons: Mapping[str, Any], runs: Sequence[Run], fixed: Mapping[str, Any], options: Options
) -> None:
    """Claims and contrasts must name levels that are there, and measures that were recorded."""
    given = {which: [] if made is None else made for which, made in comparisons.items()}
    arms = [{**fixed, **run.labels, "seed": run.seed} for run in runs]
    check_comparisons(given, arms[0])
    check_named_levels(given, arms)
    recorded = {name for run in runs for name in run.row}
    recorded |= {"lost"} if any(run.row["status"] == "diverged" for run in runs) else set()
    for which, made in given.items():
        for one in made:
            by = one["by"]
            there = options.solved is not None if by in BY_RULE else NEEDS.get(by) in recorded
            if not there:
                what = (
                    "needs a rule for solved"
                    if by in BY_RULE
                    else f"needs {NEEDS.get(by, 'transport of gradients')}, which these runs did"
                    " not record"
                )
                raise StudyError(f"study.{which}: by {by} {what}")


def _told(
    source: Source, options: Options, factors: str, runs: Sequence[Run], new: int
) -> list[str]:
    """What was understood, and what could not be known."""
    lines = [*source.notes, *([factors] if factors else [])]
    if options.seed is None:
        lines.append("no column of seeds: rows of one arm are its replicates, numbered in order")
    lost = [run for run in runs if "score" not in run.row]
    if lost:
        ends = {
            status: sum(run.row["status"] == status for run in lost)
            for status in ("diverged", "failed", "pruned")
        }
        said = ", ".join(f"{n} {status}" for status, n in ends.items() if n)
        lines.append(
            f"{len(lost)} of {len(runs)} runs have no score ({said}), such as {lost[0].where}"
            + ("" if STATUS in source.rows else f"; a column {STATUS} would say which diverged")
        )
    if options.val_score is None and not any("val_score" in run.row for run in runs):
        lines.append(
            "no validation score: the page recommends no arm, since test scores must not choose one"
            " (--val-score names the column)"
        )
    if options.score.lower().startswith("val"):
        lines.append(f"warning: the page calls {options.score} a test score; its name says other")
    runs_of = f"{len(runs)} runs" if len(runs) > 1 else "1 run"
    return [*lines, f"{options.name}: {runs_of} of {source.name}, {new} of them new"]
