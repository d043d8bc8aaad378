"""Sets of the UCR, UEA and TSER archives (timeseriesclassification.com), or files like theirs."""

from __future__ import annotations

import importlib.util
import zipfile
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np

from study.interfaces import require
from study.records import StudyError
from study.tasks.shared.fetching import CACHE, cached
from study.tasks.shared.series import Names, Read, Series
from study.tasks.shared.series_files import parsed

SUFFIXES = (".ts", ".arff", ".tsv", ".txt")
ARCHIVES = "of the UCR/UEA archives (Dau 2018, Bagnall 2018; timeseriesclassification.com)"
MEAN = 1.0  # the standardised error of the training mean, about


class Ucr(Series):
    """`name`: as spelt in the archive, or of your own NAME_TRAIN and NAME_TEST files.

    `kind`: classification, or regression on sets with @targetLabel. `split`: file, the archive's
    own test set, with `validation` a stratified share of its TRAIN; or another one, by which all
    parts are drawn from all examples and `test` is a share, too. Files are read from `folder` if
    given (NAME_TRAIN and NAME_TEST, both .ts, .arff, .tsv or .txt, also in a folder NAME, or
    NAME.zip), else from the data of the package aeon (its code is not imported), else from the
    cache, into which they are downloaded from `url` with {name} replaced. `checksum`: "sha256:…" of
    the archive; null: the one recorded on first download.
    """

    read_by = ("kind", "split", "test")

    def __init__(
        self,
        *,
        name: str,
        kind: Literal["classification", "regression"],
        folder: str | None,
        url: str,
        checksum: str | None,
        split: Literal["file", "stratified", "time"],
        test: float | None,
        solved: float | None,
        **settings: Any,
    ) -> None:
        require(
            name.replace("_", "").replace("-", "").isalnum(),
            "ucr",
            "name",
            "the name of a set, such as JapaneseVowels",
            name,
        )
        require("{name}" in url, "ucr", "url", "an address with {name} in it", url)
        require(split != "group", "ucr", "split", "file, stratified or time", split)
        require(
            (test is None) == (split == "file"),
            "ucr",
            "test",
            "null with split=file (the archive's test set), a share with other splits",
            test,
        )
        require(
            kind == "classification"
            or solved is None
            or solved < MEAN
            or settings.get("metrics") is not None,
            "ucr",
            "solved",
            "with kind=regression an error below that of the mean, 1, or null for a tenth of it",
            solved,
        )
        super().__init__(kind=kind, split=split, test=test, solved=solved, **settings)
        self.name, self.folder, self.url, self.checksum = name, folder, url, checksum

    def signature(self) -> dict[str, Any]:
        found = super().signature()
        found["input"] |= {"archive": True}
        return found

    def read(self) -> Read:
        found = {
            which: (parsed(lines, file, self.kind), file)
            for which, (lines, file) in self._files().items()
        }
        (train, targets), train_file = found["TRAIN"]
        (test, test_targets), test_file = found["TEST"]
        unknown = sorted(set(test_targets) - set(targets))
        if unknown and self.kind == "classification" and self.how == "file":
            raise StudyError(
                f"task: {test_file} has the class {unknown[0]!r}, which {train_file} has not"
            )
        everyone = np.arange(len(train) + len(test))
        drawn = "stratified" if self.kind == "classification" else "random"
        return Read(
            sequences=[*train, *test],
            targets=np.array(
                targets + test_targets, dtype=float if self.kind == "regression" else None
            ),
            names=Names(
                ("TRAIN example ", range(1, len(train) + 1)),
                ("TEST example ", range(1, len(test) + 1)),
            ),
            source=f"{self.name} {ARCHIVES if self.folder is None else 'in task.folder'}",
            licence=(
                "as its donors state on timeseriesclassification.com"
                if self.folder is None
                else "as the owner of these files states"
            ),
            parts=(
                {"train": everyone[: len(train)], "test": everyone[len(train) :]}
                if self.how == "file"
                else None
            ),
            split=(
                f"the archive's test; validation from its train, {drawn}, seed {self.split_seed},"
                if self.how == "file"
                else ""
            ),
        )

    # --- files ------------------------------------------------------------------------------------

    def _files(self) -> dict[str, tuple[list[str], str]]:
        """{TRAIN, TEST: (lines, file)}."""
        for folder in self._folders():
            there = {path.name: path for path in folder.glob(f"{self.name}_*")}
            if named := self._pair(there):
                return {
                    which: (_lines(there[file].read_bytes()), file) for which, file in named.items()
                }
            if (folder / f"{self.name}.zip").is_file() and self.folder is not None:
                return self._unpacked(folder / f"{self.name}.zip")
        if self.folder is not None:
            raise StudyError(
                f"task.folder: {self.folder} has neither {self.name}_TRAIN.ts and"
                f" {self.name}_TEST.ts (or {', '.join(SUFFIXES[1:])}) nor {self.name}.zip"
            )
        place = f"{CACHE}/ucr/{self.name}.zip"
        instead = (
            f"Without a network: put the archive at {place}, or its files into a folder and"
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
            return [Path(self.folder), Path(self.folder) / self.name]
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

    def _unpacked(self, archive: Path) -> dict[str, tuple[list[str], str]]:
        try:
            with zipfile.ZipFile(archive) as files:
                inside = {Path(name).name: name for name in files.namelist()}
                named = self._pair(inside)
                if not named:
                    raise KeyError(f"it has {', '.join(inside) or 'no file'}")
                return {
                    which: (_lines(files.read(inside[file])), file) for which, file in named.items()
                }
        except (zipfile.BadZipFile, KeyError, OSError) as error:
            raise StudyError(
                f"task: {archive} is not an archive with {self.name}_TRAIN.ts and"
                f" {self.name}_TEST.ts ({error})"
            ) from error

    def _pair(self, there: Collection[str]) -> dict[str, str]:
        """{TRAIN, TEST: file} of the first suffix that has both, or {}."""
        for suffix in SUFFIXES:
            named = {which: f"{self.name}_{which}{suffix}" for which in ("TRAIN", "TEST")}
            if all(file in there for file in named.values()):
                return named
        return {}


def _lines(content: bytes) -> list[str]:
    return content.decode("utf-8-sig", "replace").splitlines()
