"""Results of a search, in the folder search/ of a study: tables, and search.json with their
digests.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from study.records import SCHEMA, SEARCH_TABLES, StudyError
from study.store.atomic import write_whole
from study.store.digests import digest, is_intact, signed
from study.store.table import arrow_table

AGAIN = "Remove it and run the search again: its trials are stored elsewhere."


class SearchStore:
    """The folder search/ of one study."""

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)

    def write(self, summary: Mapping[str, Any], tables: Mapping[str, Mapping[str, Any]]) -> None:
        """Write search.json and the tables of records.SEARCH_TABLES, each whole or not at all."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, columns in tables.items():
            table = arrow_table(columns, SEARCH_TABLES[name])
            write_whole(
                self.folder / f"{name}.parquet",
                functools.partial(pq.write_table, table, compression="zstd"),
            )
        files = {
            path.name: digest(path.read_bytes())
            for name in SEARCH_TABLES
            if (path := self.folder / f"{name}.parquet").exists()
        }
        data = signed({"schema": SCHEMA, **summary, "files": files})
        write_whole(self.folder / "search.json", lambda path: path.write_bytes(data))

    def summary(self) -> dict[str, Any] | None:
        """search.json: space, budget and results per arm; None if there is no search.

        Raises StudyError if it is damaged.
        """
        path = self.folder / "search.json"
        if not path.exists():
            return None
        try:
            data = path.read_bytes()
            found: dict[str, Any] = json.loads(data)
            whole = "digest" not in found or is_intact(data, found)
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise StudyError(f"{path}: damaged ({error}). {AGAIN}") from error
        if not whole:
            raise StudyError(
                f"{path}: damaged (its content does not match its stored digest). {AGAIN}"
            )
        return found

    def table(self, name: str) -> pd.DataFrame:
        """One of records.SEARCH_TABLES."""
        names = [column.name for column in SEARCH_TABLES[name]]
        path = self.folder / f"{name}.parquet"
        try:
            return (
                pq.read_table(path).to_pandas().reindex(columns=names)
                if path.exists()
                else pd.DataFrame(columns=names)
            )
        except (OSError, pa.ArrowException) as error:
            raise StudyError(f"{path}: damaged ({error}). {AGAIN}") from error

    def damaged(self) -> dict[str, str]:
        """{file: what is wrong with it} for damaged files of the search, but not for its trials,
        which Optuna stores.
        """
        files, found = {}, {}
        try:
            files = (self.summary() or {}).get("files", {})
        except StudyError as error:
            found["search.json"] = str(error).removeprefix(f"{self.folder}/search.json: ")
        for name in (f"{name}.parquet" for name in SEARCH_TABLES):
            path = self.folder / name
            if name in files and (not path.exists() or digest(path.read_bytes()) != files[name]):
                why = "does not match its stored digest" if path.exists() else "is missing"
                found[name] = f"damaged (it {why}). {AGAIN}"
        return found


def beside(search: object) -> bool:
    """Whether a value is the search folder of a sibling study, ../NAME/search."""
    parts = search.split("/") if isinstance(search, str) else []
    return (
        len(parts) == 3
        and parts[0] == ".."
        and parts[2] == "search"
        and parts[1] not in ("", ".", "..")
        and "\0" not in parts[1]
    )
