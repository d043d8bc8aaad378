"""Any classification set of the UCR and UEA archives (timeseriesclassification.com), by name."""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from study.interfaces import require
from study.records import StudyError
from study.tasks.shared.fetching import CACHE, cached
from study.tasks.shared.series import Read, Series

HOLDINGS = ("TRAIN", "TEST")


class Ucr(Series):
    """`name`: as spelt in the archive, whose test set is used.

    `validation`: a stratified share of its TRAIN. Files are read from `folder` if given
    (NAME_TRAIN.ts and NAME_TEST.ts, or NAME.zip), else from the data of the package aeon (its code
    is not imported), else from the cache, into which they are downloaded from `url` with {name}
    replaced. `checksum`: "sha256:…" of the archive; null: the one recorded on first download.
    """

    def __init__(
        self, *, name: str, folder: str | None, url: str, checksum: str | None, **settings: Any
    ) -> None:
        require(
            name.replace("_", "").replace("-", "").isalnum(),
            "ucr",
            "name",
            "the name of a set, such as JapaneseVowels",
            name,
        )
        require("{name}" in url, "ucr", "url", "an address with {name} in it", url)
        super().__init__(kind="classification", split="stratified", test=None, **settings)
        self.name, self.folder, self.url, self.checksum = name, folder, url, checksum

    def read(self) -> Read:
        holdings = {
            which: parsed(lines, f"{self.name}_{which}.ts")
            for which, lines in self._files().items()
        }
        (train, train_labels), (test, test_labels) = (holdings[which] for which in HOLDINGS)
        unknown = sorted(set(test_labels) - set(train_labels))
        if unknown:
            raise StudyError(
                f"task: {self.name}_TEST.ts has the class {unknown[0]!r}, which"
                f" {self.name}_TRAIN.ts has not"
            )
        return Read(
            sequences=[*train, *test],
            targets=np.array(train_labels + test_labels),
            names=[
                f"{which} example {number}"
                for which, part in zip(HOLDINGS, (train, test), strict=True)
                for number in range(1, len(part) + 1)
            ],
            source=(
                f"{self.name} of the UCR/UEA archives (Dau 2018, Bagnall 2018;"
                " timeseriesclassification.com)"
            ),
            licence="as its donors state on timeseriesclassification.com",
            parts=self._parts(train_labels, len(test)),
            split=(
                "the archive's test; validation from its train, stratified, seed"
                f" {self.split_seed},"
            ),
        )

    def _parts(self, labels: list[str], tests: int) -> dict[str, np.ndarray]:
        from sklearn.model_selection import train_test_split

        everyone = np.arange(len(labels))
        try:
            train, validation = train_test_split(
                everyone,
                test_size=self.shares["validation"],
                stratify=labels,
                random_state=self.split_seed,
            )
        except ValueError as error:
            raise StudyError(
                f"task.validation: {self.name} has {len(labels)} training examples, which cannot be"
                f" split ({error})"
            ) from error
        return {"train": train, "validation": validation, "test": len(labels) + np.arange(tests)}

    # --- files ------------------------------------------------------------------------------------

    def _files(self) -> dict[str, list[str]]:
        """{TRAIN, TEST: lines}."""
        names = {which: f"{self.name}_{which}.ts" for which in HOLDINGS}
        for folder in self._folders():
            if all((folder / file).is_file() for file in names.values()):
                return {
                    which: (
                        (folder / file).read_text(encoding="utf-8", errors="replace").splitlines()
                    )
                    for which, file in names.items()
                }
            if (folder / f"{self.name}.zip").is_file() and self.folder is not None:
                return self._unpacked(folder / f"{self.name}.zip")
        if self.folder is not None:
            raise StudyError(
                f"task.folder: {self.folder} has neither {' and '.join(names.values())} nor"
                f" {self.name}.zip"
            )
        place = f"{CACHE}/ucr/{self.name}.zip"
        instead = (
            f"Without a network: put the archive at {place}, or its .ts files into a folder and"
            " give task.folder; "
        )
        instead += (
            "JapaneseVowels and BasicMotions come with the package aeon: pip install --no-deps aeon"
        )
        return self._unpacked(
            cached(self.url.format(name=self.name), "ucr", self.checksum, instead)
        )

    def _folders(self) -> Iterable[Path]:
        if self.folder is not None:
            return [Path(self.folder)]
        # only its data files are used, since its code requires older versions of our dependencies
        found = importlib.util.find_spec("aeon")
        return (
            [
                Path(place) / "datasets" / "data" / self.name
                for place in found.submodule_search_locations or []
            ]
            if found
            else []
        )

    def _unpacked(self, archive: Path) -> dict[str, list[str]]:
        try:
            with zipfile.ZipFile(archive) as files:
                inside = {Path(name).name: name for name in files.namelist()}
                return {
                    which: (
                        files.read(inside[f"{self.name}_{which}.ts"])
                        .decode("utf-8", "replace")
                        .splitlines()
                    )
                    for which in HOLDINGS
                }
        except (zipfile.BadZipFile, KeyError, OSError) as error:
            raise StudyError(
                f"task: {archive} is not an archive with {self.name}_TRAIN.ts and"
                f" {self.name}_TEST.ts ({error})"
            ) from error


def parsed(lines: list[str], file: str) -> tuple[list[np.ndarray], list[str]]:
    """Sequences [T_i, D] and class names from the lines of a .ts file.

    One case per line, channels separated by ":", the class last.
    """
    sequences: list[np.ndarray] = []
    labels: list[str] = []
    header: dict[str, str] = {}
    begun = False
    for number, line in enumerate(lines, start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        if not begun:
            key, _, value = line.partition(" ")
            header[key.lower()] = value.strip().lower()
            begun = key.lower() == "@data"
            if begun and (
                header.get("@timestamps", "false") != "false"
                or not header.get("@classlabel", "").startswith("true")
            ):
                got = (
                    f"@classLabel {header.get('@classlabel')}, @timeStamps"
                    f" {header.get('@timestamps')}"
                )
                raise StudyError(
                    f"task: {file} must hold classes and no time stamps; its header says {got}"
                )
            continue
        *channels, label = line.split(":")
        try:
            values = [
                np.array(
                    ["nan" if value.strip() == "?" else value for value in channel.split(",")],
                    dtype=np.float64,
                )
                for channel in channels
            ]
        except ValueError as error:
            raise StudyError(f"task: line {number} of {file} is not numbers ({error})") from error
        lengths = sorted({len(channel) for channel in values})
        if len(lengths) != 1:
            got = " and ".join(map(str, lengths)) or "no"
            raise StudyError(
                f"task: line {number} of {file} has channels of {got} steps; all must have the same"
            )
        sequences.append(np.stack(values, axis=1))
        labels.append(label.strip())
    if not sequences:
        raise StudyError(f"task: {file} holds no example")
    return sequences, labels
