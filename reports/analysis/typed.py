"""What was typed when a study was trained, beside the name of its experiment."""

from __future__ import annotations

import shlex

from reports.data.study import Study
from study.store.privacy import private

# Keys that say where and how it ran, or which experiment it is; and roots of such keys.
HOW = ("experiment", "plan", "reprobe", "store.folder")
HOW_ROOTS = ("executor", "hydra", "tracker")


def typed_settings(study: Study) -> dict[str, str]:
    """Settings of the last launch, key to "key=value", that decide what it trains."""
    typed = shlex.split(str(study.launches[-1].get("command") or "")) if study.launches else []
    words = {word.partition("=")[0]: word for word in typed if "=" in word and word[0] != "-"}
    return {key: word for key, word in words.items() if not _only_how(key)}


def _only_how(key: str) -> bool:
    return key in HOW or key.partition(".")[0].partition("/")[0] in HOW_ROOTS


def changed(study: Study) -> str:
    """Settings typed over those of the experiment, whose title and question may speak of others;
    without paths, "" if there are none.
    """
    if not study.record.get("experiment"):
        return ""
    words = {**typed_settings(study)}
    words.pop("name", None)
    words.pop("seed", None)
    return private(" ".join(words.values()))
