"""Your own arrays: NumPy files with x, y and, if they differ, lengths, groups or parts."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from study.interfaces import PARTS
from study.records import StudyError
from study.tasks.shared import suspects
from study.tasks.shared.series import Names, Read, Series

READ = ("x", "y", "lengths", "groups", "parts")
MISSING = ("nan", "none", "null", "nat", "<na>")  # as astype(str) writes missing values
COLUMNS = ("lengths", "groups", "parts")  # [N], or [N, 1]


class Npz(Series):
    """`path`: an .npz file with x [N, T, D] or [N, T], y [N] or [N, O], optionally lengths [N].

    y holds classes or numbers; [N, O] for several numbers per sequence. With groups [N], no group
    is divided by the split. split=file: parts [N] says train, validation or test; or `path` is a
    folder of train.npz, test.npz and, if wanted, validation.npz.
    """

    def __init__(self, *, path: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.path = path

    def read(self) -> Read:
        files = self._files()
        read = [self._checked(path, self._arrays(path)) for path in files.values()]
        lengths = [len(arrays["x"]) for arrays in read]
        unread = {name for arrays in read for name in arrays} - set(READ)
        parts, unused = self._parts(files, read)
        return Read(
            sequences=_sequences(read),
            targets=np.concatenate([arrays["y"] for arrays in read]),
            names=Names(
                *(
                    (f"{part}{' ' if part else ''}example ", range(count))
                    for part, count in zip(files, lengths, strict=True)
                )
            ),
            source=Path(self.path).name,
            licence="the reader's own data",
            parts=parts,
            groups=(
                np.concatenate([arrays["groups"] for arrays in read])
                if all("groups" in arrays for arrays in read)
                else None
            ),
            left_out={name: f"npz reads {', '.join(READ)}" for name in sorted(unread)},
            warnings=[
                *unused,
                *(text for name in ("y", "groups") for text in _odd_names(name, read)),
                *(text for arrays in read for text in self._suspects(arrays)),
            ],
        )

    def _files(self) -> dict[str, Path]:
        """The file, under "", or those of a folder, by part."""
        path = Path(self.path)
        if not path.is_dir():
            return {"": path}
        files: dict[str, Path] = {part: path / f"{part}.npz" for part in PARTS}
        found = {part: file for part, file in files.items() if file.is_file()}
        if not {"train", "test"} <= set(found):
            raise StudyError(
                f"task.path: the folder {self.path} must hold train.npz and test.npz, and has"
                f" {', '.join(sorted(file.name for file in path.glob('*.npz'))) or 'no .npz file'}"
            )
        if self.how != "file":
            raise StudyError(
                f"task.split: {self.path} is a folder of {' and '.join(found)} files, which"
                f" task.split=file uses, got {self.how}"
            )
        return found

    def _parts(
        self, files: Mapping[str, Path], read: list[dict[str, np.ndarray]]
    ) -> tuple[np.ndarray | None, list[str]]:
        """(the part of each example, or None; what is not used)."""
        if "" not in files:
            return np.repeat(list(files), [len(arrays["x"]) for arrays in read]), []
        if self.how != "file":
            unused = "parts" in read[0]
            return None, [
                f"the array parts of {self.path} is not used; task.split=file uses it"
            ] * unused
        if "parts" not in read[0]:
            raise StudyError(
                f"task.split: file needs an array parts [N] of train, validation and test in"
                f" {self.path}, or a folder of train.npz and test.npz"
            )
        return read[0]["parts"], []

    def _arrays(self, path: Path) -> dict[str, np.ndarray]:
        name = ""
        try:
            loaded = np.load(path, allow_pickle=False)  # a pickle would run code
            if isinstance(loaded, np.ndarray):
                raise StudyError(
                    f"task.path: {path} is a single array (.npy); write the file with"
                    " numpy.savez(path, x=…, y=…)"
                )
            arrays = {}
            with loaded as file:
                for name in file.files:
                    arrays[name] = file[name] if name in READ else np.empty(0)
        except FileNotFoundError as error:
            raise StudyError(f"task.path: there is no file {path}") from error
        except (OSError, ValueError, zipfile.BadZipFile, AttributeError) as error:
            if "Object arrays" in str(error) and name:
                raise StudyError(
                    f"task.path: {path} is not an .npz of plain arrays: {name} holds Python"
                    " objects, which are never loaded; save text as array.astype(str), and"
                    " sequences of different lengths padded, with their lengths"
                ) from error
            raise StudyError(
                f"task.path: {path} is not an .npz of plain arrays, as numpy.savez writes it"
                f" ({error})"
            ) from error
        for name in ("x", "y"):
            if name not in arrays:
                raise StudyError(
                    f"task.path: {path} must hold arrays x and y, and has"
                    f" {', '.join(arrays) or 'none'}"
                )
        return arrays

    def _checked(self, path: Path, arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """x [N, T, D], y, lengths and the others; StudyError if shapes or types do not fit."""
        x = arrays["x"]
        x = x[..., None] if x.ndim == 2 else x
        if x.ndim != 3 or x.dtype.kind not in "biuf":
            raise StudyError(
                f"task.path: x of {path} must be numbers [N, T] or [N, T, D], got {x.dtype}"
                f" {arrays['x'].shape}"
            )
        found = {name: _as_text(path, name, array) for name, array in arrays.items()}
        found |= {name: _flat(found[name]) for name in COLUMNS if name in found}
        found["x"] = x
        for name, array in found.items():
            if name in READ and (array.ndim < 1 or len(array) != len(x)):
                raise StudyError(
                    f"task.path: {name} of {path} must have as many rows as x, {len(x)}, got"
                    f" {array.shape}"
                )
        for name in COLUMNS:
            if name in found and found[name].ndim != 1:
                raise StudyError(
                    f"task.path: {name} of {path} must be [N], got {found[name].shape}"
                )
        found["y"] = self._targets_of(path, found["y"])
        if "lengths" in found:
            found["lengths"] = _whole(path, found["lengths"], x.shape[1])
        return found

    def _suspects(self, arrays: Mapping[str, np.ndarray]) -> list[str]:
        """Values that probably mark missing ones, and padding that is read as steps."""
        x, y = arrays["x"], arrays["y"]
        lengths = arrays.get("lengths")
        inside = slice(None) if lengths is None else np.arange(x.shape[1]) < lengths[:, None]
        channels = {
            f"channel {d} of x": x[:, :, d][inside].ravel().astype(float) for d in range(x.shape[2])
        }
        if self.kind == "regression":
            outputs = y.reshape(len(y), -1).T.astype(float)
            channels |= {f"output {d} of y": output for d, output in enumerate(outputs)}
        return suspects.far_values(channels, "") + (suspects.padding(x) if lengths is None else [])

    def _targets_of(self, path: Path, y: np.ndarray) -> np.ndarray:
        if y.ndim > 1 and 0 in y.shape[1:]:
            raise StudyError(f"task.path: y of {path} is empty, {y.shape}: there is no target")
        if y.dtype.kind not in "biufU":
            raise StudyError(f"task.path: y of {path} must be numbers or text, got {y.dtype}")
        if self.kind == "regression":
            if y.dtype.kind == "U":
                raise StudyError(
                    f"task.path: y of {path} is text, which is for task.kind=classification;"
                    " regression needs numbers"
                )
            if y.ndim > 2:
                raise StudyError(
                    f"task.path: y of {path} must be [N] or [N, O] numbers, got {y.shape}"
                )
            return y
        y = _flat(y)
        if y.ndim != 1:
            raise StudyError(
                f"task.path: y of {path} must be [N] of classes for task.kind=classification,"
                f" got {y.shape}; if each row marks its class with a 1, save y.argmax(1)"
            )
        return y


def _odd_names(name: str, read: list[dict[str, np.ndarray]]) -> Iterator[str]:
    """Sentences about text that is probably a missing name, or another one with a slip."""
    names = {
        text
        for arrays in read
        if name in arrays and arrays[name].dtype.kind == "U"
        for text in np.unique(arrays[name]).tolist()
    }
    if missing := sorted(text for text in names if text.strip().lower() in MISSING):
        yield f"{name} has examples of {missing[0]!r}, which is read as a name"
    plain: dict[str, str] = {}
    for text in sorted(names):
        other = plain.setdefault(" ".join(text.split()).casefold(), text)
        if other != text:
            yield f"{name} has {other!r} and {text!r}, which are read as two names"
            return


def _as_text(path: Path, name: str, array: np.ndarray) -> np.ndarray:
    """Bytes as text, anything else as it is."""
    if array.dtype.kind != "S":
        return array
    try:
        return np.char.decode(array, "utf-8")
    except UnicodeDecodeError as error:
        raise StudyError(f"task.path: {name} of {path} is not UTF-8 text ({error})") from error


def _flat(array: np.ndarray) -> np.ndarray:
    """[N, 1] as [N]."""
    return array[:, 0] if array.ndim == 2 and array.shape[1] == 1 else array


def _whole(path: Path, lengths: np.ndarray, steps: int) -> np.ndarray:
    """Lengths as whole numbers, also if they are stored as 3.0."""
    numbers = lengths.astype(float) if lengths.dtype.kind in "iuf" else np.full(len(lengths), 0.5)
    wrong = np.flatnonzero(~((numbers >= 1) & (numbers <= steps) & (numbers % 1 == 0)))
    if len(wrong):
        raise StudyError(
            f"task.path: lengths of {path} must be whole numbers between 1 and {steps}, the steps"
            f" of x; example {wrong[0]} has {lengths[wrong[0]]}"
        )
    return numbers.astype(np.int64)


def _sequences(read: list[dict[str, np.ndarray]]) -> np.ndarray | list[np.ndarray]:
    """One array if no lengths are given, else views of the valid steps."""
    if len(read) == 1 and "lengths" not in read[0]:
        return read[0]["x"]
    return [
        row[:length]
        for arrays in read
        for row, length in zip(
            arrays["x"],
            arrays.get("lengths", np.full(len(arrays["x"]), arrays["x"].shape[1])),
            strict=True,
        )
    ]
