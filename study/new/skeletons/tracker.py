"""A tracker of your own: who else receives the results."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from study.interfaces import Tracker, require


class Skeleton(Tracker):
    """One line of JSON per stored point, in skeleton.jsonl of the study's folder.

    The contract (study/interfaces.py): a tracker runs in a process of its own; one that raises or
    hangs is switched off with a warning, and the study goes on. `log` receives each stored point,
    and receives it again at the next launch, so it must not count a point twice. It writes nothing
    into points/. Tables of a point are read through study.store.Store, since it may be compacted.
    With `update` and a setting `rows`, a tracker also receives points while they train.
    """

    def __init__(self, *, columns: Sequence[str]) -> None:
        require(len(columns) > 0, "skeleton", "columns", "at least one column", columns)
        self.columns = columns

    def open(self, study: str, folder: Path) -> None:
        self.study, self.path = study, folder / "skeleton.jsonl"
        self.logged = set(self.path.read_text().splitlines()) if self.path.exists() else set()

    def log(self, result: Mapping[str, Any], folder: Path) -> None:
        """Append the point; a point that was trained again gets a second line, and the last one of
        an id counts.
        """
        row = {name: result["row"].get(name) for name in self.columns}
        line = json.dumps({"study": self.study, "id": result["id"], **row})
        if line not in self.logged:
            with self.path.open("a") as file:
                file.write(line + "\n")
            self.logged.add(line)

    def close(self) -> None:
        """Nothing is open between two points."""
