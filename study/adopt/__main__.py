"""Make a study of runs that exist already: python -m study.adopt RUNS --name NAME --score COLUMN.

RUNS is a CSV or Parquet file with one row per run, a folder of offline W&B runs, or a Hydra
multirun folder. python -m reports render outputs/NAME then writes the page.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from study.config.levels import defaults
from study.program import command
from study.records import StudyError

DECLARED = ("title", "question", "claims", "contrasts")


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0; 2 on an error, which is printed."""
    options: Any = parser().parse_args(arguments)
    from study.adopt.api import adopt  # pandas, which the help does not wait for

    typed = sys.argv[1:] if arguments is None else list(arguments)
    try:
        result = adopt(
            options.runs,
            name=options.name,
            folder=options.folder,
            factors=options.factors,
            seed=options.seed,
            score=options.score,
            metric=options.metric,
            higher_is_better=options.better,
            solved=options.solved,
            baseline=options.baseline,
            val_score=options.val_score,
            val_loss=options.val_loss,
            history=options.history,
            results=options.results,
            task=options.task,
            command=shlex.join(["python", "-m", "study.adopt", *typed]),
            **_declared(options.declaration),
        )
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    shown = Path(options.folder) / options.name
    print(f"stored in {shown}; {command('reports', 'render', str(shown))} writes its page")
    return 0 if result.folder else 2


def parser() -> argparse.ArgumentParser:
    lines = str(__doc__).splitlines()
    parser = argparse.ArgumentParser(prog=command("study.adopt"), description=lines[0])
    add = parser.add_argument
    add("runs", metavar="RUNS", help="a CSV or Parquet file, a W&B folder or a Hydra multirun")
    add("--name", required=True, help="of the study")
    add("--folder", default=defaults()["store"]["folder"], help="where studies lie (%(default)s)")
    add("--factors", type=_names, help="columns, comma-separated; default: those that vary")
    add("--seed", default="seed", help="column of seeds (%(default)s)")
    add("--score", default="accuracy", help="column of test scores (%(default)s)")
    add("--metric", help="what the score is called; default: the column without the word test")
    better = parser.add_mutually_exclusive_group()
    better.add_argument("--higher-is-better", dest="better", action="store_true", default=None)
    better.add_argument("--lower-is-better", dest="better", action="store_false", default=None)
    add("--solved", type=float, help="score from which a run counts as solved")
    add("--baseline", type=_number_or_name, help="score of the memoryless guess, or its column")
    add("--val-score", help="column of validation scores, which the recommendation rests on")
    add("--val-loss", help="column of validation losses")
    add("--task", help="column of tasks, if there are several")
    add("--history", help="a CSV or Parquet file with curves: run, update, loss, val_score, …")
    add("--results", metavar="NAME", help="file of results in each job's folder of a multirun")
    add(
        "--declaration",
        type=Path,
        metavar="YAML",
        help="a file with study: {title, question, claims, contrasts}",
    )
    return parser


def _declared(path: Path | None) -> dict[str, Any]:
    """What a YAML file declares under `study`, as an experiment does."""
    if path is None:
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise StudyError(f"declaration: {path} is not readable as YAML ({error})") from error
    declared = content.get("study") if isinstance(content, dict) else None
    if not isinstance(declared, dict) or set(declared) - set(DECLARED):
        raise StudyError(
            f"declaration: {path.name} must hold study: {{{', '.join(DECLARED)}}}, any of them, got"
            f" {content!r}"
        )
    return declared


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _number_or_name(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


if __name__ == "__main__":
    sys.exit(main())
