"""Applies an exported network to new sequences. Imports torch only when it predicts."""

from __future__ import annotations

import csv
import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from reports.export.export import HERE, WRITTEN
from study.records import StudyError

Sequences = tuple[np.ndarray, np.ndarray | None]


def predict(folder: Path, sequences: np.ndarray, lengths: np.ndarray | None) -> np.ndarray:
    """Outputs of the network in `folder` for sequences [N, T, D], padded to `lengths` [N] if given.

    Runs our copy of the module and no code from the folder.
    """
    about = _about(folder)
    inputs = int(about["model"]["inputs"])
    if sequences.ndim != 3 or sequences.shape[2] != inputs or not sequences.shape[1]:
        raise StudyError(
            f"sequences: must be [N, T, {inputs}] with T of at least 1, got {list(sequences.shape)}"
        )
    if not np.isfinite(sequences).all():
        raise StudyError("sequences: hold values that are not finite")
    if lengths is not None and (
        lengths.shape != (len(sequences),)
        or lengths.min() < 1
        or lengths.max() > sequences.shape[1]
    ):
        raise StudyError(
            f"lengths: one a sequence, from 1 to {sequences.shape[1]}, got {lengths!r}"
        )
    module = _module()
    try:
        net = module.load(folder)
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise StudyError(
            f"{folder}: damaged, its weights do not fit its config.json"
            f" ({str(error).splitlines()[0]}). Export it again."
        ) from error
    return np.asarray(module.predict(net, sequences, lengths))


def _about(folder: Path) -> dict[str, Any]:
    lacking = [name for name in WRITTEN[:2] if not (folder / name).is_file()]
    if lacking:
        raise StudyError(
            f"{folder}: no exported network ({', '.join(lacking)} missing). Make one with python -m"
            " reports export DIR POINT"
        )
    try:
        return dict(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    except ValueError as error:
        raise StudyError(f"{folder / 'config.json'}: not readable as JSON ({error})") from error


def _module() -> ModuleType:
    spec = importlib.util.spec_from_file_location("exported_model", HERE / "model.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ImportError as error:
        raise StudyError(f"predict: needs torch and safetensors ({error})") from error
    return module


def read(path: Path, inputs: int) -> Sequences:
    """Sequences of a file, and their lengths (None: all equal).

    .npy: [N, T, D], or [N, T] for D = 1. .csv with a column `sequence`: one row per step, in order;
    the other columns are the inputs; lengths may differ. .csv without it: one row per sequence, its
    D numbers step by step. A first row without numbers is a header.
    """
    try:
        if path.suffix == ".npy":
            array = np.load(path, allow_pickle=False)
            return (array[..., None] if array.ndim == 2 and inputs == 1 else array).astype(
                float
            ), None
        if path.suffix == ".csv":
            return _read_csv(path, inputs)
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror or error})") from error
    except ValueError as error:
        raise StudyError(f"{path}: holds what is no number ({error})") from error
    raise StudyError(f"{path}: must end in .npy or .csv")


def _read_csv(path: Path, inputs: int) -> Sequences:
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row]
    if not rows:
        raise StudyError(f"{path}: is empty")
    head = None if _numbers(rows[0]) else [name.strip() for name in rows[0]]
    body = rows[1:] if head else rows
    if head and "sequence" in head:
        at = head.index("sequence")
        if len(head) != inputs + 1:
            raise StudyError(
                f"{path}: needs a column sequence and {inputs} more, got {', '.join(head)}"
            )
        by: dict[str, list[list[float]]] = {}
        for row in body:
            by.setdefault(row[at], []).append(
                [float(value) for column, value in enumerate(row) if column != at]
            )
        lengths = np.array([len(steps) for steps in by.values()], dtype=int)
        padded = np.zeros((len(by), int(lengths.max(initial=0)), inputs))
        for row_of, steps in zip(padded, by.values(), strict=True):
            row_of[: len(steps)] = steps
        return padded, lengths
    if len({len(row) for row in body}) != 1 or len(body[0]) % inputs:
        raise StudyError(
            f"{path}: without a column sequence every row is a sequence of steps × {inputs}"
            " numbers, all of one length"
        )
    return np.array(body, dtype=float).reshape(len(body), -1, inputs), None


def _numbers(row: list[str]) -> bool:
    try:
        return bool([float(value) for value in row])
    except ValueError:
        return False


def command(folder: Path, data: Path, out: Path | None) -> None:
    """Run `python -m reports predict`: CSV to standard output, or to a .csv or .npy file."""
    about = _about(folder)
    sequences, lengths = read(data, int(about["model"]["inputs"]))
    outputs = predict(folder, sequences, lengths)
    if out is not None and out.suffix not in (".csv", ".npy"):
        raise StudyError(f"{out}: must end in .csv or .npy")
    try:
        if out is not None and out.suffix == ".npy":
            np.save(out, outputs)
        elif out is not None:
            with out.open("w", newline="", encoding="utf-8") as file:
                _write_csv(
                    csv.writer(file, lineterminator="\n"),
                    outputs,
                    lengths,
                    bool(about.get("classes")),
                )
        else:
            _write_csv(
                csv.writer(sys.stdout, lineterminator="\n"),
                outputs,
                lengths,
                bool(about.get("classes")),
            )
    except OSError as error:
        raise StudyError(f"{out}: cannot be written ({error.strerror or error})") from error


def _write_csv(writer: Any, outputs: np.ndarray, lengths: np.ndarray | None, classes: bool) -> None:
    every = outputs.ndim == 3
    writer.writerow(
        [
            "sequence",
            *(["step"] if every else []),
            *(["class"] if classes else []),
            *(f"output_{i}" for i in range(outputs.shape[-1])),
        ]
    )
    for number, output in enumerate(outputs):
        steps = (
            output[: lengths[number]]
            if every and lengths is not None
            else output
            if every
            else output[None]
        )
        for step, values in enumerate(steps):
            winner = [int(np.argmax(values))] if classes else []
            writer.writerow(
                [number, *([step] if every else []), *winner, *(f"{value:.7g}" for value in values)]
            )
