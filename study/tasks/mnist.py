"""MNIST and Fashion-MNIST as sequences, from their idx files."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from study.interfaces import Batch, TaskFacts, require
from study.records import StudyError
from study.tasks.shared.fetching import CACHE, cached
from study.tasks.shared.images import CLASSES, Images

SIDE, WHITE, TRAIN, TEST = 28, 255, 60_000, 10_000
POOLS = (1, 2, 4, 7)
FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
SOURCES = {
    "mnist": ("MNIST (LeCun, Cortes and Burges 1998)", "CC BY-SA 3.0"),
    "fashion_mnist": ("Fashion-MNIST (Xiao, Rasul and Vollgraf 2017)", "MIT"),
}
# md5 of the .gz files, as published by their sources
CHECKSUMS = {
    "mnist": (
        "f68b3c2dcbeaaa9fbdd348bbdeb94873",
        "d53e105ee54ea40749a09fcbcd1e9432",
        "9fb629c4189551a2d022fa330f9573f3",
        "ec29112dd5afa0611ce80d1b7f02629c",
    ),
    "fashion_mnist": (
        "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "25c81989df183df01b3e8a0aad5dffbe",
        "bef4ecab320f06d8554ea6380940ec79",
        "bb300cfdad3c16e7a12a480ee83cd310",
    ),
}
# where the package dataset-fashion-mnist installs its files
DEBIAN = {"mnist": None, "fashion_mnist": Path("/usr/share/datasets/fashion-mnist")}


class Mnist(Images):
    """Classify the digit or garment; values are in [0, 1].

    form pixel: (28/pool)² steps of 1; row: 28/pool steps of 28/pool. `pool`: means over blocks of
    pool x pool pixels; `permuted`: then one fixed permutation. `train` and `validation` examples
    are drawn from the published 60,000, `test` examples from the 10,000, null for all, stratified
    with `split_seed`. The four idx files, plain or .gz, are read from `folder`, else Debian's
    package (Fashion-MNIST), else the cache, into which they are downloaded once from `url`.
    """

    def __init__(
        self,
        *,
        data: Literal["mnist", "fashion_mnist"],
        folder: str | None,
        url: str,
        form: Literal["pixel", "row"],
        permuted: bool,
        pool: int,
        train: int | None,
        validation: int,
        test: int | None,
        split_seed: int,
        lag: int | None,
        solved: float,
    ) -> None:
        require(data in SOURCES, "mnist", "data", " or ".join(SOURCES), data)
        require(form in ("pixel", "row"), "mnist", "form", "pixel or row", form)
        require(pool in POOLS, "mnist", "pool", ", ".join(map(str, POOLS)), pool)
        require(lag is None or lag > 0, "mnist", "lag", "greater than 0 or null", lag)
        require(0 < solved <= 1, "mnist", "solved", "an accuracy above 0 and at most 1", solved)
        require(
            CLASSES <= validation < TRAIN,
            "mnist",
            "validation",
            f"between {CLASSES} and {TRAIN - 1}",
            validation,
        )
        require(
            train is None or CLASSES <= train <= TRAIN - validation,
            "mnist",
            "train",
            f"between {CLASSES} and {TRAIN - validation}, or null",
            train,
        )
        require(
            test is None or CLASSES <= test <= TEST,
            "mnist",
            "test",
            f"between {CLASSES} and {TEST}, or null",
            test,
        )
        require(
            0 <= split_seed < 2**32, "mnist", "split_seed", "at least 0 and below 2^32", split_seed
        )
        self.data, self.folder, self.url, self.form, self.permuted, self.pool = (
            data,
            folder,
            url,
            form,
            permuted,
            pool,
        )
        self.counts = {"train": train, "validation": validation, "test": test}
        self.split_seed, self.lag, self.solved = split_seed, lag, solved
        self.side, self.white = SIDE // pool, WHITE

    # --- reading ----------------------------------------------------------------------------------

    def load(self) -> None:
        images, labels, tests, test_labels = (idx(path) for path in self._files())
        for what, x, y in (("train", images, labels), ("t10k", tests, test_labels)):
            if x.ndim != 3 or x.shape[1:] != (SIDE, SIDE) or y.shape != x.shape[:1]:
                raise StudyError(
                    f"task: {self.data}: {what} must hold images [N, {SIDE}, {SIDE}] and as many"
                    f" labels, got {x.shape} and {y.shape}"
                )
            if sorted(set(y.tolist())) != list(range(CLASSES)):
                raise StudyError(
                    f"task: {self.data}: the labels of {what} must be 0 to {CLASSES - 1}, got"
                    f" {sorted(set(y.tolist()))}"
                )
        train, validation = self._drawn(labels)
        test, _ = _some(
            np.arange(len(test_labels)), test_labels, self.counts["test"], self.split_seed
        )
        self.parts = {
            "train": self._batch(images[train], labels[train]),
            "validation": self._batch(images[validation], labels[validation]),
            "test": self._batch(tests[test], test_labels[test]),
        }

    def _drawn(self, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        everyone, count = np.arange(len(labels)), self.counts["validation"]
        if count is None or count + (self.counts["train"] or CLASSES) > len(labels):
            raise StudyError(
                f"task: {self.data} has {len(labels)} examples to train and validate, fewer than"
                " task.train and task.validation"
            )
        validation, others = _some(everyone, labels, count, self.split_seed)
        return _some(others, labels, self.counts["train"], self.split_seed)[0], validation

    def _batch(self, images: np.ndarray, labels: np.ndarray) -> Batch:
        inside = [(row, column) for row in range(self.pool) for column in range(self.pool)]
        blocks = sum(
            images[:, row :: self.pool, column :: self.pool].astype(np.float32)
            for row, column in inside
        )
        pixels = (blocks / np.float32(WHITE * len(inside))).reshape(len(images), -1)
        return Batch(x=self.sequences(pixels), y=torch.from_numpy(labels.astype(np.int64)))

    def _files(self) -> list[Path]:
        places = (
            [Path(self.folder)]
            if self.folder is not None
            else [place for place in (DEBIAN[self.data],) if place is not None]
        )
        for place in places:
            found = [
                next(
                    (path for path in (place / file, place / f"{file}.gz") if path.is_file()), None
                )
                for file in FILES
            ]
            if None not in found:
                return [path for path in found if path is not None]
            if self.folder is not None:
                missing = [file for file, path in zip(FILES, found, strict=True) if path is None]
                raise StudyError(
                    f"task.folder: {self.folder} lacks {', '.join(missing)} (plain or .gz)"
                )
        instead = (
            f"Without a network: put {', '.join(f'{file}.gz' for file in FILES)} into"
            f" {CACHE}/{self.data}, or into a folder and give task.folder"
        )
        instead += (
            "; apt-get install dataset-fashion-mnist installs them, too"
            if DEBIAN[self.data]
            else ""
        )
        return [
            cached(f"{self.url}/{file}.gz", self.data, f"md5:{md5}", instead)
            for file, md5 in zip(FILES, CHECKSUMS[self.data], strict=True)
        ]

    @property
    def facts(self) -> TaskFacts:
        source, licence = SOURCES[self.data]
        sizes = "/".join(str(len(part.x)) for part in self.parts.values())
        return self.image_facts(
            split=(
                f"published test; train and validation stratified, seed {self.split_seed}, {sizes}"
            ),
            source=source,
            licence=licence,
        )


def _some(
    index: np.ndarray, labels: np.ndarray, count: int | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """(`count` of these examples, the others), stratified; all examples for None."""
    # imported here, since it takes a second
    from sklearn.model_selection import train_test_split

    if count is None or count == len(index):
        return index, index[:0]
    taken, others = train_test_split(
        index, train_size=count, stratify=labels[index], random_state=seed
    )
    return taken, others


def idx(path: Path) -> np.ndarray:
    """Read an idx file of bytes, plain or .gz.

    Two zeros, type 8, number of axes, their sizes (big-endian), the values.
    """
    try:
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        zero, kind, axes = struct.unpack(">HBB", data[:4])
        shape = struct.unpack(f">{axes}I", data[4 : 4 + 4 * axes])
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise StudyError(f"task: {path} cannot be read as an idx file ({error})") from error
    if zero != 0 or kind != 8 or len(data) != 4 + 4 * axes + math.prod(shape):
        raise StudyError(
            f"task: {path} is not an idx file of bytes: {len(data)} bytes, type {kind}, shape"
            f" {shape}"
        )
    return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)
