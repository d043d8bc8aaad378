"""What a study says of models and trainers of the reader's own: how they are measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports.data.study import Study

UNKNOWN = "what it does with settings that are no factors is not known to this page"


def notes_on_models(study: Study) -> Mapping[str, Sequence[str]]:
    """Which layers are 1, 2, …, and what is not measured, by model."""
    found = study.declaration.get("models")
    return found if isinstance(found, Mapping) else {}


def notes_on_trainers(study: Study) -> Mapping[str, Sequence[str]]:
    """What could not be measured, by trainer: of the first stored point of each arm."""
    notes: dict[str, dict[str, None]] = {
        str(name): {UNKNOWN: None} for name in study.declaration.get("trainers") or ()
    }
    if not notes:
        return {}
    stored, seen = set(study.stored["id"]), set()
    for row in study.declaration["grid"]:
        name, arm = str(row["labels"].get("trainer")), str(row["labels"])
        if name in notes and arm not in seen and row["id"] in stored:
            seen.add(arm)
            provenance = study.store.result(row["id"]).get("provenance") or {}
            notes[name] |= dict.fromkeys(map(str, provenance.get("notes") or ()))
    return {name: list(found) for name, found in notes.items()}
