"""Reads the files of the UCR and UEA archives: .ts, .arff, .tsv and .txt."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from study.records import StudyError

Found = tuple[list[np.ndarray], list[str]]


def parsed(lines: list[str], file: str, kind: str = "classification") -> Found:
    """(sequences [T_i, D], classes or numbers as text); StudyError names the line.

    kind: classification or regression, which the header of a .ts or .arff must agree with.
    """
    suffix = file.rpartition(".")[2]
    read = {"ts": _ts, "arff": _arff}.get(suffix, _plain)
    sequences, targets = [], []
    for number, channels, target in read(lines, file, kind):
        try:
            values = [_numbers(channel) for channel in channels]
        except ValueError as error:
            raise StudyError(f"task: line {number} of {file} is not numbers ({error})") from error
        lengths = sorted({len(channel) for channel in values})
        if len(lengths) != 1:
            got = " and ".join(map(str, lengths)) or "no"
            raise StudyError(
                f"task: line {number} of {file} has channels of {got} steps; all must have the same"
            )
        steps = np.stack(values, axis=1)
        if suffix != "ts":  # tables, whose short series end in missing values
            known = np.flatnonzero(~np.isnan(steps).all(1))
            steps = steps[: known[-1] + 1 if len(known) else 0]
        if kind == "regression" and not _is_number(target):
            raise StudyError(
                f"task: line {number} of {file} must end in a number to predict, got {target!r}"
            )
        sequences.append(steps)
        targets.append(target)
    if not sequences:
        if suffix in ("ts", "arff") and not any(_bare(line).startswith("@data") for line in lines):
            raise StudyError(f"task: {file} has no line @data; it must be UTF-8 text")
        raise StudyError(f"task: {file} holds no example")
    return sequences, targets


def _numbers(channel: list[str]) -> np.ndarray:
    return np.array(
        ["nan" if value.strip() == "?" else value for value in channel], dtype=np.float64
    )


def _is_number(text: str) -> bool:
    try:
        return bool(np.isfinite(float(text)))
    except ValueError:
        return False


Case = tuple[int, list[list[str]], str]  # line, channels, target


def _ts(lines: list[str], file: str, kind: str) -> Iterator[Case]:
    """One case per line, channels separated by ":", the target last."""
    header: dict[str, str] = {}
    begun, declared, length = False, list[str](), 0
    for number, line in enumerate(lines, start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if begun:
            *channels, target = line.split(":")
            _check_declared(target, declared, number, file)
            split = [channel.split(",") for channel in channels]
            length = length or len(split[0])
            if header.get("@equallength") == "true" and len(split[0]) != length:
                raise StudyError(
                    f"task: line {number} of {file} has {len(split[0])} steps and earlier ones"
                    f" {length}; its header says @equalLength true"
                )
            yield number, split, target.strip()
            continue
        key, *value = line.lower().split(maxsplit=1)
        header[key] = value[0] if value else ""
        begun = key == "@data"
        if begun:
            _check_header(header, file, kind)
            declared = header.get("@classlabel", "").split()[1:]


def _check_header(header: dict[str, str], file: str, kind: str) -> None:
    wanted = "@classlabel" if kind == "classification" else "@targetlabel"
    other, of_other = (
        ("@targetlabel", "regression")
        if kind == "classification"
        else ("@classlabel", "classification")
    )
    plain = header.get("@timestamps", "false") == "false"
    if plain and header.get(wanted, "").startswith("true"):
        return
    if plain and header.get(other, "").startswith("true"):
        raise StudyError(f"task.kind: {file} is for {of_other}; use task.kind={of_other}")
    holds = "classes" if kind == "classification" else "numbers to predict"
    raise StudyError(
        f"task: {file} must hold {holds} and no time stamps; its header says"
        f" {'@classLabel' if kind == 'classification' else '@targetLabel'} {header.get(wanted)},"
        f" @timeStamps {header.get('@timestamps')}"
    )


def _check_declared(target: str, declared: list[str], number: int, file: str) -> None:
    """Check that a class is one of the header's: a line without one would lose its last channel."""
    target = _bare(target)
    numbers = [float(name) for name in declared if _is_number(name)]
    same = _is_number(target) and float(target) in numbers  # 1 and 1.0
    if declared and target not in declared and not same:
        raise StudyError(
            f"task: line {number} of {file} ends in {target!r}, which is none of the classes of the"
            f" header: {', '.join(declared)}"
        )


def _bare(text: str) -> str:
    return text.strip().strip("'\"").lower()


def _arff(lines: list[str], file: str, kind: str) -> Iterator[Case]:
    """The target is the last attribute; several channels are lines within one quoted value."""
    begun, types, declared = False, list[str](), list[str]()
    for number, line in enumerate(lines, start=1):
        line = line.strip()
        if not line or line.startswith("%"):
            continue
        if not begun:
            attribute = re.match(r"@attribute\s+('[^']*'|\"[^\"]*\"|\S+)\s*(.*)", line, re.I)
            types += [attribute[2].strip().lower()] if attribute else []
            begun = line.lower().startswith("@data")
            if begun:
                declared = _declared(types, file, kind)
            continue
        if line.startswith("{"):
            raise StudyError(f"task: line {number} of {file} is sparse, which is not read")
        if line[0] in "'\"":
            inside, _, target = line[1:].rpartition(line[0] + ",")
            if not inside:  # the target is quoted, too
                inside, _, target = line[1:].partition(line[0] + ",")
            channels = [channel.split(",") for channel in inside.replace("\\n", "\n").split("\n")]
        else:
            values, _, target = line.rpartition(",")
            channels = [values.split(",")]
            if len(channels[0]) != len(types) - 1:
                raise StudyError(
                    f"task: line {number} of {file} has {len(channels[0])} values before its"
                    f" target, and its header {len(types) - 1} attributes"
                )
        _check_declared(target, declared, number, file)
        yield number, channels, target.strip().strip("'\"")


def _declared(types: list[str], file: str, kind: str) -> list[str]:
    """The classes of a header, whose attributes have these types."""
    nominal = [of.startswith("{") for of in types]
    if any(nominal[:-1]):
        raise StudyError(f"task: {file} must have its classes as the last attribute, and no others")
    of = "classification" if any(nominal) else "regression"
    if of != kind:
        raise StudyError(f"task.kind: {file} is for {of}; use task.kind={of}")
    return [_bare(name) for name in types[-1].strip("{} ").split(",")] if any(nominal) else []


def _plain(lines: list[str], file: str, kind: str) -> Iterator[Case]:
    """One case per line, the target first, then the steps of one channel."""
    for number, line in enumerate(lines, start=1):
        if line.strip():
            separator = "\t" if "\t" in line else "," if "," in line else None
            target, *values = line.strip().split(separator)
            if _is_number(target) and float(target) % 1 == 0:
                target = str(int(float(target)))  # 1.0000000e+00 in one file and 1 in the other
            yield number, [values] if values else [], target.strip()
