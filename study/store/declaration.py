"""study.json: the last declaration of a study, its fingerprint, and every launch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from study.records import SCHEMA, StudyError
from study.store.atomic import writable, write_whole
from study.store.digests import is_intact, signed
from study.store.validate import mend, wrong_study

NAME = "study.json"
ADOPTED = "adopted"  # in a fingerprint: the runs were trained elsewhere (study.adopt)
# What a study's folder may hold before its study.json; so may the partial file of another launch.
EARLIER = ("search", "wandb", "leases", "jobs", "certain.json")


class Declaration:
    """The file study.json of one study's folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / NAME

    def read(self) -> dict[str, Any]:
        """The content. Raises StudyError if the file is missing, damaged or too new."""
        if not self.path.exists():
            raise StudyError(
                f"{self.folder}: no study here (study.json is missing). Give the folder of a study,"
                " such as outputs/digits."
            )
        try:
            study = json.loads(self.path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise StudyError(
                f"{self.path}: damaged, not readable as JSON ({error}). {mend(self.folder)}"
            ) from error
        if wrong := wrong_study(study, self.folder):
            raise StudyError(f"{self.path}: {wrong}")
        return {"fingerprint": {}, "launches": [], **study}

    def damage(self) -> str | None:
        """Why the file cannot be relied on, a manual edit included; None if it can."""
        try:
            study = self.read()
        except StudyError as error:
            return str(error)
        if "digest" not in study or is_intact(self.path.read_bytes(), study):
            return None
        return "its content does not match its stored digest: damaged, or edited by hand"

    def check_folder(self, fingerprint: Mapping[str, Any]) -> None:
        """Raise StudyError unless a study with this fingerprint may be written to the folder."""
        folder = self.folder
        nearest = next(parent for parent in (folder, *folder.absolute().parents) if parent.exists())
        if not nearest.is_dir() or not writable(nearest):
            raise StudyError(
                f"{folder}: cannot write here ({nearest} is not a folder this user may write to)."
                " Choose another place with store.folder=… or name=…"
            )
        if not folder.exists() or all(
            path.name in EARLIER or path.name.startswith(".partial-") for path in folder.iterdir()
        ):
            return
        if not self.path.exists():
            if any((folder / "set-aside").glob(f"{NAME}.*")):
                return  # it was damaged; the points identify themselves
            raise StudyError(
                f"{folder}: holds files but no study.json, so it is not a study's folder."
                " Choose another name=…"
            )
        stored = self.read()["fingerprint"]
        if bool(stored.get(ADOPTED)) != bool(fingerprint.get(ADOPTED)):
            holds, now = "networks that this tool trained", "adopt these runs"
            if stored.get(ADOPTED):
                holds, now = "runs that were adopted from elsewhere", "train networks"
            raise StudyError(
                f"{folder}: holds {holds}; {now} under a name of its own: name=…, since the two do"
                " not mix"
            )
        differences = [
            f"  {key}: stored {stored.get(key)!r}, now {value!r}"
            for key, value in fingerprint.items()
            if not _comparable(stored.get(key), value)
        ]
        if differences:
            raise StudyError(
                f"{folder}: belongs to another study; its points are not comparable with these:\n"
                + "\n".join(differences)
                + "\nGive this study a name of its own: name=…"
            )

    def declare(self, study: Mapping[str, Any], launch: Mapping[str, Any]) -> None:
        """Replace the last declaration by `study` and append `launch` to the launches."""
        before = self.read() if self.path.exists() else {"launches": [], "fingerprint": {}}
        fingerprint = dict(study["fingerprint"])
        for key, value in before["fingerprint"].items():
            if isinstance(value, Mapping):  # tasks that joined earlier stay part of the study
                fingerprint[key] = {**value, **fingerprint.get(key, {})}
        self._write(
            {
                **study,
                "schema": SCHEMA,
                "fingerprint": fingerprint,
                "launches": [*before["launches"], launch],
            }
        )

    def finish_launch(self, launch: str, facts: Mapping[str, Any]) -> None:
        """Add to the launch with this id what is known only at its end (seconds, counts)."""
        study = self.read()
        for each in study["launches"]:
            if each.get("id") == launch:
                each |= facts
        self._write(study)

    def _write(self, study: Mapping[str, Any]) -> None:
        data = signed(study)
        write_whole(self.path, lambda path: path.write_bytes(data))


def _comparable(stored: Any, now: Any) -> bool:
    """Equal; mappings need to agree only on the names they share, so that a task may be added."""
    if isinstance(stored, Mapping) and isinstance(now, Mapping):
        return all(stored[name] == now[name] for name in stored.keys() & now.keys())
    return bool(stored == now)
