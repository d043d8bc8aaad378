"""Your own arrays: a NumPy file with x, y and, for sequences of different lengths, lengths."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from study.records import StudyError
from study.tasks.shared.series import Read, Series


class Npz(Series):
    """`path`: an .npz file with x [N, T, D] or [N, T], y [N] or [N, O], optionally lengths [N].

    y holds classes or numbers; [N, O] for several numbers per sequence.
    """

    def __init__(self, *, path: str, **settings: Any) -> None:
        super().__init__(**settings)
        self.path = path

    def read(self) -> Read:
        arrays = self._arrays()
        x, y, lengths = self._checked(arrays)
        return Read(
            sequences=[
                row[:length].astype(np.float64) for row, length in zip(x, lengths, strict=True)
            ],
            targets=y,
            names=[f"example {number}" for number in range(len(x))],
            source=Path(self.path).name,
            licence="the reader's own data",
        )

    def _arrays(self) -> dict[str, np.ndarray]:
        try:
            loaded = np.load(Path(self.path), allow_pickle=False)  # a pickle would run code
            if isinstance(loaded, np.ndarray):
                raise StudyError(
                    f"task.path: {self.path} is a single array (.npy); write the file with"
                    " numpy.savez(path, x=…, y=…)"
                )
            with loaded as file:
                arrays = {name: file[name] for name in file.files}
        except FileNotFoundError as error:
            raise StudyError(f"task.path: there is no file {self.path}") from error
        except (OSError, ValueError, zipfile.BadZipFile, AttributeError) as error:
            raise StudyError(
                f"task.path: {self.path} is not an .npz of plain arrays, as numpy.savez writes it"
                f" ({error})"
            ) from error
        for name in ("x", "y"):
            if name not in arrays:
                raise StudyError(
                    f"task.path: {self.path} must hold arrays x and y, and has"
                    f" {', '.join(arrays) or 'none'}"
                )
        return arrays

    def _checked(
        self, arrays: Mapping[str, np.ndarray]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(x [N, T, D], y, lengths [N]); StudyError if their shapes or types do not fit."""
        x, y = arrays["x"], arrays["y"]
        x = x[..., None] if x.ndim == 2 else x
        if (
            x.ndim != 3
            or not np.issubdtype(x.dtype, np.number)
            or np.issubdtype(x.dtype, np.complexfloating)
        ):
            raise StudyError(
                f"task.path: x of {self.path} must be numbers [N, T] or [N, T, D], got {x.dtype}"
                f" {arrays['x'].shape}"
            )
        lengths = arrays.get("lengths", np.full(len(x), x.shape[1]))
        for name, array in (("y", y), ("lengths", lengths)):
            if array.ndim < 1 or len(array) != len(x):
                raise StudyError(
                    f"task.path: {name} of {self.path} must have as many rows as x, {len(x)}, got"
                    f" {array.shape}"
                )
        if not np.issubdtype(lengths.dtype, np.integer) or (
            len(lengths) and not (lengths.min() >= 1 and lengths.max() <= x.shape[1])
        ):
            raise StudyError(
                f"task.path: lengths of {self.path} must be whole numbers between 1 and"
                f" {x.shape[1]}, the steps of x"
            )
        if self.kind == "classification" and y.ndim != 1:
            raise StudyError(
                f"task.path: y of {self.path} must be [N] of classes for task.kind=classification,"
                f" got {y.shape}"
            )
        return x, y, lengths
