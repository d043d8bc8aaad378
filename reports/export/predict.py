"""Applies an exported network to new data. Imports torch only when it predicts."""

from __future__ import annotations

import csv
import json
import sys
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

import study.program
from reports.export.export import WRITTEN, model_module
from reports.export.pieces import FILE, pieces, run
from study.records import StudyError


def predict(folder: Path, data: Any, lengths: np.ndarray | None = None) -> Any:
    """Answers of the network in `folder`, in its task's units; see predict of its model.py.

    Runs our copy of the module, and classes of its layers from where they were taken, but no code
    from the folder. StudyError if data do not fit.
    """
    return _run(folder, lambda module, net: module.predict(net, data, lengths))


def command(folder: Path, data: Path, out: Path | None) -> None:
    """Run `python -m reports predict`: CSV to standard output, or to a .csv or .npy file.

    What is unusual about the data is written to standard error.
    """
    if out is not None and out.suffix not in (".csv", ".npy"):
        raise StudyError(f"{out}: must end in .csv or .npy")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if out is not None and out.suffix == ".npy":
            answers = predict(folder, data)
        else:
            names, rows = _run(folder, lambda module, net: module.table(net, data))
    for note in dict.fromkeys(str(each.message) for each in caught):
        print(f"note: {note}", file=sys.stderr)
    try:
        if out is not None and out.suffix == ".npy":
            np.save(out, _stacked(out, answers), allow_pickle=False)
        elif out is not None:
            with out.open("w", newline="", encoding="utf-8") as file:
                csv.writer(file, lineterminator="\n").writerows([names, *rows])
        else:
            csv.writer(sys.stdout, lineterminator="\n").writerows([names, *rows])
    except OSError as error:
        raise StudyError(f"{out}: cannot be written ({error.strerror or error})") from error


def _stacked(out: Path, answers: Any) -> np.ndarray:
    if len({np.shape(each) for each in answers}) > 1:
        raise StudyError(f"{out}: the sequences have different lengths; write a .csv")
    return np.array(answers)


def _run(folder: Path, use: Callable[[Any, Any], Any]) -> Any:
    """`use(module, net)` for the network in `folder`."""
    about = _check(folder)
    module, runs = model_module(), _pieces(folder, about)
    try:
        net = module.load(folder, runs)
    except ImportError as error:
        raise StudyError(f"{folder}: {error}") from error
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise StudyError(
            f"{folder}: damaged, its weights do not fit its config.json"
            f" ({str(error).splitlines()[0]}). Export it again."
        ) from error
    try:
        return use(module, net)
    except OSError as error:
        raise StudyError(f"{error.filename}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise StudyError(str(error)) from error


def _pieces(folder: Path, about: Mapping[str, Any]) -> ModuleType | None:
    """The classes of its layers, if it has some, from the source that an export takes them from."""
    if not about.get("pieces"):
        return None
    model = about["model"]
    alone = f"`{Path(sys.executable).name} model.py FILE` in the folder uses what is there"
    try:
        text = pieces({"cell": {"_target_": model["cell"]}, "block": model.get("block")})
    except StudyError as error:
        raise StudyError(f"{folder}: {error}; {alone}") from error
    if text != (folder / FILE).read_text(encoding="utf-8"):
        raise StudyError(
            f"{folder}: {FILE} is not what the source of {model['cell']} is now; {alone}, or export"
            " the point again"
        )
    return run(text)


def _check(folder: Path) -> dict[str, Any]:
    """Its config.json."""
    lacking = [name for name in WRITTEN[:2] if not (folder / name).is_file()]
    if lacking:
        raise StudyError(
            f"{folder}: no exported network ({', '.join(lacking)} missing). Make one with"
            f" {study.program.command('reports', 'export', 'DIR', 'POINT')}"
        )
    path = folder / "config.json"
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StudyError(f"{path}: not readable as JSON ({error})") from error
    if not isinstance(about, dict) or not {"model", "input", "output"} <= set(about):
        raise StudyError(
            f"{path}: does not say what the network reads and answers, as exports of earlier"
            " versions; export the point again"
        )
    return about
