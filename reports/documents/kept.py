"""Whether a report on disk is still what rendering would write, so that it need not be rendered.

Only without sections of the user's own: they may read anything.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from study.config.paths import conf_folder
from study.machine.cache import cache_folder
from study.machine.taken import PAGE as PAGE_SECONDS
from study.machine.taken import POINT as POINT_SECONDS
from study.machine.taken import note_taken
from study.store.run_addresses import ADDRESSES

PAGE, FINDINGS = "report.html", "report.json"
# In a study's folder, what a page is not made of: the report itself, and what others write.
NOT_READ = (PAGE, FINDINGS, "tables", "points.parquet", "wandb", "leases", "exports")
READ = (f"wandb/{ADDRESSES}",)  # of what is below these, what it is made of nevertheless
LOG = "log.txt"  # and log.txt.1, …
PACKAGES = ("numpy", "pandas", "pyarrow", "scipy", "matplotlib", "seaborn", "jinja2", "pyyaml")
CODE = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Written:
    """A page on disk: which recipe to use ("" before any is trained), sections that are broken, and
    whether it was there and would have been the same.
    """

    path: Path
    answer: str
    broken: Sequence[str]
    kept: bool


def written_page(folder: Path, config_dirs: Sequence[Path]) -> Written:
    """Write a study's page, unless it is there and would be the same."""
    begun, answer = time.monotonic(), None if config_dirs else kept_answer(folder)
    if answer is not None:
        return Written(folder / PAGE, answer, (), True)
    # the plotting stack takes a second to load
    from reports.documents.page import render

    before = made_of(folder) if folder.is_dir() and not config_dirs else ""
    path, page = render(folder, config_dirs)
    expected = PAGE_SECONDS + POINT_SECONDS * page.points
    note_taken("page", time.monotonic() - begun, expected)
    if before and not page.broken:
        keep_answer(folder, before, page.answer)
    return Written(path, page.answer, page.broken, False)


def kept_answer(folder: Path) -> str | None:
    """The answer that the report's page gives, if nothing that it was made of has changed."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(_note(folder).read_text(encoding="utf-8"))
        now = {"made_of": made_of(folder), "written": _written(folder)}
        if {key: kept[key] for key in now} == now:
            return str(kept["answer"])
    return None


def keep_answer(folder: Path, made_from: str, answer: str) -> None:
    """Remember what the report was made of: `made_of` before it was read."""
    with contextlib.suppress(OSError):  # then it is rendered again
        note = {"made_of": made_from, "written": _written(folder), "answer": answer}
        path = _note(folder)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(note), encoding="utf-8")


def made_of(folder: Path) -> str:
    """A digest of the files of the store, of this program's files, and of versions.

    Of each file its path, size and times: a file that is written anew counts as changed.
    """
    digest = hashlib.blake2b(digest_size=16)
    packages = [f"{name} {_version(name)}" for name in PACKAGES]
    digest.update(repr([sys.version, packages]).encode())
    # A tuned study also reads the search beside it.
    searches = [one for one in folder.resolve().parent.glob("*/search") if one.is_dir()]
    for place in (folder, CODE / "reports", CODE / "study", conf_folder(), *sorted(searches)):
        for entry in _files(place, top=place == folder):
            stat = entry.stat()
            facts = (entry.path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
            digest.update(repr(facts).encode())
    for path in (folder / name for name in READ):
        digest.update(path.read_bytes() if path.is_file() else b"none")
    return digest.hexdigest()


def _files(place: Path | str, *, top: bool = False) -> Iterator[os.DirEntry[str]]:
    """Files below a folder; `top`: that of the study, without what the page is not made of."""
    with os.scandir(place) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if top and (entry.name in NOT_READ or entry.name.startswith(LOG)):
                continue
            if entry.name == "__pycache__":
                continue
            if entry.is_dir():
                yield from _files(entry.path)
            else:
                yield entry


def _written(folder: Path) -> list[str]:
    """Digests of page and findings, and names of the tables beside them."""
    tables = sorted(path.name for path in (folder / "tables").glob("*"))
    return tables + [
        hashlib.blake2b((folder / name).read_bytes(), digest_size=16).hexdigest()
        for name in (PAGE, FINDINGS)
    ]


def _note(folder: Path) -> Path:
    name = hashlib.blake2b(str(folder.resolve()).encode(), digest_size=16).hexdigest()
    return cache_folder() / "pages" / f"{name}.json"


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
