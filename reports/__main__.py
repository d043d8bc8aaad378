"""python -m reports render | status | table | export | predict: what a study found, without torch."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from study.records import STATUSES, StudyError


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0; 1 where a section of the page is broken; 2 after one line that says what was wrong."""
    asked = _parser().parse_args(arguments)
    try:
        return int(asked.run(asked) or 0)
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m reports", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    render = commands.add_parser("render", help="write DIR/report.html, one self-contained page")
    render.add_argument("--config-dir", type=Path, metavar="DIR", help="folder with section/*.yaml of your own (and their modules)")
    render.set_defaults(run=_render)
    status = commands.add_parser("status", help="points done, diverged, failed, missing")
    status.set_defaults(run=_status)
    table = commands.add_parser("table", help="one row a point: print it, or write it as CSV or Parquet")
    where = table.add_mutually_exclusive_group()
    where.add_argument("--csv", type=Path, metavar="PATH")
    where.add_argument("--parquet", type=Path, metavar="PATH")
    table.set_defaults(run=_table)
    export = commands.add_parser("export", help="write a trained network as a plain torch.nn state dict, with a module and a model card")
    export.set_defaults(run=_export)
    for command in (render, status, table, export):
        command.add_argument("folder", type=Path, metavar="DIR", help="folder of a study, such as outputs/digits")
    export.add_argument("point", metavar="POINT", help="id of a point, or the beginning of one (table lists them)")
    export.add_argument("--to", type=Path, metavar="FOLDER", help="where to (default: DIR/exports/ID)")
    predict = commands.add_parser("predict", help="what an exported network says about new sequences")
    predict.add_argument("folder", type=Path, metavar="FOLDER", help="of an export")
    predict.add_argument("data", type=Path, metavar="DATA", help=".npy [N, T, D], or .csv: a row a sequence, or a row a step with a column sequence")
    predict.add_argument("--out", type=Path, metavar="PATH", help=".csv or .npy (default: CSV to standard output)")
    predict.set_defaults(run=_predict)
    return parser


def _render(asked: argparse.Namespace) -> int:
    from reports.page import render  # the plotting stack takes a second to load, and the other commands need none of it

    path, broken = render(asked.folder, asked.config_dir)
    print(f"{path} ({path.stat().st_size / 1e6:.1f} MB)")
    if broken:
        print(f"error: broken sections, shown as such on the page: {', '.join(broken)}", file=sys.stderr)
    return 1 if broken else 0


def _status(asked: argparse.Namespace) -> None:
    from reports.data import MISSING, Study
    from study.store import Store

    store = Store(asked.folder)
    study = Study(store)
    counts = study.grid["status"].value_counts()
    said = [f"{counts.get(status, 0)} {status}" for status in (*STATUSES, MISSING)]
    print(f"{study.name}: {len(study.grid)} points declared ({len(study.arms)} arms, {len(study.seeds)} seeds): {', '.join(said)}")
    label = dict(zip(study.arms["arm"], study.arms["label"], strict=True))
    for _, point in study.grid[study.grid["status"].isin(["failed", "diverged", "pruned"])].iterrows():
        print(f"  {point['status']}: {label[point['arm']]}, seed {point['seed']} ({point['id']}): {point['reason']}")
        if point["status"] == "failed":
            print(f"    raised in {_place(store.result(str(point['id'])))}")
    if len(study.also):
        print(f"also present, outside the last declaration: {len(study.also)}")


def _place(result: Mapping[str, Any]) -> str:
    """Where a failed point's error was raised, in the code of the study or of the piece: (file, line)."""
    told = str((result.get("failure") or {}).get("traceback", ""))
    frames = [frame for frame in re.findall(r'File "([^"]+)", line (\d+)', told) if "site-packages" not in frame[0]]
    return f"{frames[-1][0]}, line {frames[-1][1]}" if frames else "an unknown place"


def _table(asked: argparse.Namespace) -> None:
    from study.store import Store

    store = Store(asked.folder)
    store.study()
    points = store.points()
    try:
        if asked.csv:
            points.to_csv(asked.csv, index=False)
        elif asked.parquet:
            points.to_parquet(asked.parquet, index=False)
        else:
            sys.stdout.write(points.to_csv(index=False))
    except OSError as error:
        raise StudyError(f"{asked.csv or asked.parquet}: cannot be written ({error.strerror or error})") from error


def _export(asked: argparse.Namespace) -> None:
    from reports.export import export

    print(export(asked.folder, asked.point, asked.to))


def _predict(asked: argparse.Namespace) -> None:
    from reports.predicting import command

    command(asked.folder, asked.data, asked.out)


if __name__ == "__main__":
    sys.exit(main())
