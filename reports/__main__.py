"""python -m reports render | check | status | table | diff | index | export | predict

Reads stored studies; needs no torch, except for export and predict.
"""

from __future__ import annotations

import argparse
import gc
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.program import RENDER, command
from study.records import POINTS, StudyError

if TYPE_CHECKING:
    import pandas as pd

    from study.store import Store


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; its exit status.

    0: fine. 1: a section is broken, or a --fail-if condition holds or cannot be judged. 2: an
    error, after a line that says what was wrong.
    """
    args = parser().parse_args(arguments)
    try:
        return int(args.run(args) or 0)
    except StudyError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        return 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=command("reports"), description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_render_and_check(commands)
    _add_status_and_table(commands)
    _add_diff_and_index(commands)
    _add_export_and_predict(commands)
    return parser


def _add_render_and_check(commands: Any) -> None:
    render = commands.add_parser(
        "render", aliases=[RENDER], help="write DIR/report.html, one self-contained page"
    )
    render.add_argument(
        "--watch",
        type=_seconds,
        nargs="?",
        const=10.0,
        metavar="SECONDS",
        help="render again when points have been added, until the study ends (default: 10)",
    )
    _add_conditions(render)
    _add_study(render)
    render.set_defaults(run=_render)
    check = commands.add_parser(
        "check", help="judge --fail-if conditions without rendering; exit status 1 if one holds"
    )
    _add_conditions(check)
    _add_study(check)
    check.set_defaults(run=_check)


def _add_status_and_table(commands: Any) -> None:
    status = commands.add_parser(
        "status",
        help=(
            "count points done, diverged, failed, missing and damaged; exit status 1 if any is"
            " damaged"
        ),
    )
    status.add_argument(
        "--repair",
        action="store_true",
        help=(
            "move damaged files to DIR/set-aside (nothing is deleted); the study trains these"
            " points again"
        ),
    )
    _add_study(status)
    status.set_defaults(run=_status)
    table = commands.add_parser(
        "table", help="print one row per point, or write the rows as CSV or Parquet"
    )
    where = table.add_mutually_exclusive_group()
    where.add_argument("--csv", type=Path, metavar="PATH")
    where.add_argument("--parquet", type=Path, metavar="PATH")
    where.add_argument(
        "--columns", action="store_true", help="print the meaning and unit of each column"
    )
    _add_study(table)
    table.set_defaults(run=_table)


def _add_diff_and_index(commands: Any) -> None:
    diff = commands.add_parser(
        "diff",
        help=(
            "compare two studies: settings that differ, which recipes became better or worse, what"
            " only one of them has"
        ),
    )
    diff.add_argument("first", type=Path, metavar="A", help="folder of a study")
    diff.add_argument(
        "second", type=Path, metavar="B", help="folder of another study, or of a later copy of A"
    )
    diff.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="KEY",
        help="a setting that may differ, such as updates (repeatable)",
    )
    diff.add_argument("--html", type=Path, metavar="PATH", help="also write the comparison as HTML")
    diff.set_defaults(run=_diff)
    index = commands.add_parser("index", help="write one page that lists the studies in a folder")
    index.add_argument(
        "folder", type=Path, metavar="DIR", help="folder that contains studies, such as outputs"
    )
    index.add_argument("--out", type=Path, metavar="PATH", help="default: DIR/index.html")
    index.set_defaults(run=_index)


def _add_export_and_predict(commands: Any) -> None:
    export = commands.add_parser(
        "export",
        help=(
            "write a trained network with its module, which takes raw data, a worked example and a"
            " model card"
        ),
    )
    _add_study(export)
    export.add_argument(
        "point", metavar="POINT", help="id of a point, or its first characters (see table)"
    )
    export.add_argument("--to", type=Path, metavar="FOLDER", help="default: DIR/exports/ID")
    export.set_defaults(run=_export)
    predict = commands.add_parser(
        "predict", help="apply an exported network to new data, with answers in the task's units"
    )
    predict.add_argument("folder", type=Path, metavar="FOLDER", help="folder of an export")
    predict.add_argument(
        "data",
        type=Path,
        metavar="DATA",
        help=(
            "data as the task had them: a table of the same columns, arrays (.npy, .npz with x and"
            " lengths, .csv), images, a text"
        ),
    )
    predict.add_argument(
        "--out", type=Path, metavar="PATH", help=".csv or .npy (default: CSV on standard output)"
    )
    predict.set_defaults(run=_predict)


def _add_study(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "folder", type=Path, metavar="DIR", help="folder of a study, such as outputs/digits"
    )


def _add_conditions(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--config-dir",
        type=Path,
        metavar="DIR",
        help="folder with section/*.yaml and claim/*.yaml of your own (and their modules)",
    )
    command.add_argument(
        "--fail-if",
        action="append",
        default=[],
        metavar="CONDITION",
        help=(
            "exit status 1 where it holds: 'score < 0.9 where cell=gru', 'verdict == explodes',"
            " 'claim:NAME != holds' (can be repeated)"
        ),
    )
    command.add_argument(
        "--junit",
        type=Path,
        metavar="PATH",
        help="write the conditions as JUnit XML, a test case each",
    )


def _seconds(text: str) -> float:
    value = float(text)
    if not 0 < value < 86400:
        raise argparse.ArgumentTypeError(f"must be seconds above 0 and below a day, got {text}")
    return value


def _render(args: argparse.Namespace) -> int:
    conditions = []
    if args.fail_if:
        from reports.documents.fail_if import parse

        conditions = [parse(text) for text in args.fail_if]
    if args.watch:
        from reports.documents.watch import watch

        _, broken = watch(
            args.folder, _config_dirs(args), args.watch, lambda line: print(line, flush=True)
        )
    else:
        from reports.documents.kept import written_page

        made = written_page(args.folder, _config_dirs(args))
        broken = made.broken
        print(made.answer or "No point has been trained yet.")
        size = made.path.stat().st_size / 1e6
        print(f"{made.path} ({size:.1f} MB): {made.path.absolute().as_uri()}")
        if made.kept:
            print("it is as it was: nothing that it is made of has changed")
    if broken:
        print(
            f"error: broken sections, shown as such on the page: {', '.join(broken)}",
            file=sys.stderr,
        )
    return max(1 if broken else 0, _judged(args, conditions) if conditions or args.junit else 0)


def _config_dirs(args: argparse.Namespace) -> list[Path]:
    return [args.config_dir] if args.config_dir else []


def _check(args: argparse.Namespace) -> int:
    from reports.documents.fail_if import parse

    return _judged(args, [parse(text) for text in args.fail_if])


def _judged(args: argparse.Namespace, conditions: Sequence[Any]) -> int:
    """Print one line per condition and a summary; 1 if a condition fails, else 0."""
    from reports.data.study import Study
    from reports.documents.fail_if import check, junit, lines
    from study.store import Store

    study = Study(Store(args.folder))
    study.folders += _config_dirs(args)
    found = check(study, conditions)
    print("\n".join(lines(study, found)))
    if args.junit:
        _whole(args.junit, junit(study, found))
    return int(any(one.fails for one in found))


def _whole(path: Path, text: str) -> None:
    from study.store.atomic import write_whole

    try:
        write_whole(path, lambda partial: partial.write_text(text, encoding="utf-8"))
    except OSError as error:
        raise StudyError(f"{path}: cannot be written ({error.strerror or error})") from error


def _status(args: argparse.Namespace) -> int:
    from reports.data.study import Study, cores
    from study.store import Store
    from study.store.search import SearchStore

    store = Store(args.folder)
    stored, damaged = store.survey(processes=cores())
    if (damage := store.study_damage()) and (store.folder / "study.json").exists():
        damaged["study.json"] = damage
    search = {
        f"search/{name}": why
        for name, why in SearchStore(store.folder / "search").damaged().items()
    }
    if args.repair:
        _repair(store, {**damaged, **search})
        stored, damaged, search = None, {}, {}
        if not (store.folder / "study.json").exists():
            print("study.json is set aside: the same command writes a new one")
            return 0
    study = Study(Store(args.folder, without=damaged), stored, only_counted=True)
    counts = study.grid["status"].value_counts()
    sentences = [f"{counts.get(status, 0)} {status}" for status in study.statuses]
    print(
        f"{study.name}: {len(study.grid)} points declared ({len(study.arms)} arms,"
        f" {len(study.seeds)} seeds): {', '.join(sentences)}"
    )
    label = dict(zip(study.arms["arm"], study.arms["label"], strict=True))
    for _, point in study.grid[
        study.grid["status"].isin(["failed", "diverged", "pruned"])
    ].iterrows():
        print(
            f"  {point['status']}: {label[point['arm']]}, seed {point['seed']} ({point['id']}):"
            f" {point['reason']}"
        )
        if point["status"] == "failed" and not study.adopted:
            print(f"    raised in {_place(store.result(str(point['id'])))}")
    if len(study.outside_grid):
        print(f"also present, outside the last declaration: {len(study.outside_grid)}")
    for name, why in damaged.items():
        print(f"  damaged: {name}: {why}")
    if damaged:
        print(
            f"{len(damaged)} damaged, counted as missing; set them aside:"
            f" {command('reports', 'status', str(args.folder), '--repair')}"
        )
    for name, why in search.items():
        print(f"  damaged: {name}: {why}")
    return int(bool(damaged or search))


def _repair(store: Store, damaged: Mapping[str, str]) -> None:
    for name, why in damaged.items():
        if name != "study.json" and "/" not in name and store.damage(name) is None:
            continue  # a launch has trained it again since
        try:
            print(f"set aside: {name} -> {store.set_aside(name)} ({why})")
        except OSError as error:
            raise StudyError(
                f"{store.folder}: {name} cannot be set aside ({error.strerror or error})"
            ) from error


def _place(result: Mapping[str, Any]) -> str:
    """File and line of this study's or the piece's code where a failed point raised."""
    trace = str((result.get("failure") or {}).get("traceback", ""))
    frames = [
        frame
        for frame in re.findall(r'File "([^"]+)", line (\d+)', trace)
        if "site-packages" not in frame[0]
    ]
    return f"{frames[-1][0]}, line {frames[-1][1]}" if frames else "an unknown place"


def _table(args: argparse.Namespace) -> None:
    from reports.data.study import cores
    from study.store import Store

    if args.columns:
        print(
            "\n".join(
                f"{column.name}\t{column.kind}\t{column.unit or '-'}\t{column.meaning}"
                for column in POINTS
            )
        )
        return
    store = Store(args.folder)
    store.study()
    points = store.points(cores())
    try:
        if args.csv:
            points.to_csv(args.csv, index=False)
        elif args.parquet:
            _parquet(points, args.parquet)
        elif sys.stdout.isatty():
            print(_readable(store, points))
        else:
            sys.stdout.write(points.to_csv(index=False))
    except OSError as error:
        raise StudyError(
            f"{args.csv or args.parquet}: cannot be written ({error.strerror or error})"
        ) from error


def _readable(store: Store, points: pd.DataFrame) -> str:
    """The main columns, for a terminal; pipes and files get every column."""
    from reports.data.study import Study

    keys = [key for key in Study(store).factors if key in points]
    shown = points.reindex(
        columns=["id", *keys, "seed", "status", "verdict", "outcome", "val_score", "score"]
    )
    rows = shown.to_string(index=False, na_rep="-", float_format="{:.3f}".format)
    return f"{rows}\n{len(points.columns)} columns in a pipe, --csv or --parquet"


def _export(args: argparse.Namespace) -> None:
    from reports.export.export import export

    print(export(args.folder, args.point, args.to))


def _predict(args: argparse.Namespace) -> None:
    from reports.export.predict import command

    command(args.folder, args.data, args.out)


def _parquet(points: pd.DataFrame, path: Path) -> None:
    """Write Parquet with the unit and meaning of each column in its metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    known = {column.name: {"unit": column.unit, "meaning": column.meaning} for column in POINTS}
    table = pa.Table.from_pandas(points, preserve_index=False)
    fields = [
        field.with_metadata(
            known.get(field.name, {"unit": "", "meaning": "level of a factor of this study"})
        )
        for field in table.schema
    ]
    pq.write_table(table.cast(pa.schema(fields, table.schema.metadata)), path)


def _diff(args: argparse.Namespace) -> None:
    from reports.data.study import Study
    from reports.documents.diff import compare
    from reports.documents.diff_words import text
    from study.store import Store

    found = compare(Study(Store(args.first)), Study(Store(args.second)), args.allow)
    print(text(found, 20))
    if args.html:
        from reports.documents.diff_page import write_diff

        print(f"\n{write_diff(found, args.html)}")


def _index(args: argparse.Namespace) -> None:
    from reports.documents.index import write_index

    path, n = write_index(args.folder, args.out)
    print(f"{path} ({n} {'study' if n == 1 else 'studies'})")


if __name__ == "__main__":
    try:
        sys.exit(main())
    finally:
        # Without this, a last garbage collection takes most of a second.
        gc.freeze()
