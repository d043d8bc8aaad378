"""What was typed when a study was trained, beside the name of its experiment."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

from reports.data.study import Study
from study.store.privacy import private

# Keys that say where and how it ran, or which experiment it is; and roots of such keys.
HOW = ("experiment", "plan", "reprobe", "store.folder")
HOW_ROOTS = ("executor", "hydra", "tracker")


PROGRAM = re.compile(r"python|-m|--multirun|--report|study(\.\w+)*|run|search|confirm|certain")


def typed_words(study: Study) -> Iterator[tuple[str, str]]:
    """(key, word) of each word of the last launch's command after the program; an option's key
    begins with a hyphen, and a value apart from it has that of its option.
    """
    typed = shlex.split(str(study.launches[-1].get("command") or "")) if study.launches else []
    while typed and PROGRAM.fullmatch(typed[0]):
        del typed[0]
    option = ""
    for word in typed:
        if word in ("-m", "--multirun"):
            continue
        key = word.partition("=")[0].lstrip("+~").partition("@")[0]
        yield (option if option and "=" not in word else key), word
        option = word if word[0] == "-" and "=" not in word else ""


def typed_settings(study: Study) -> dict[str, str]:
    """What was typed at the last launch and decides what it trains, words by their keys: settings,
    and options such as --config-dir.
    """
    words: dict[str, str] = {}
    for key, word in typed_words(study):
        if not _only_how(key):
            words[key] = f"{words[key]} {shlex.quote(word)}" if key in words else shlex.quote(word)
    return words


def _only_how(key: str) -> bool:
    return key in HOW or key.partition(".")[0].partition("/")[0] in HOW_ROOTS


def changed(study: Study) -> str:
    """Settings that were typed beside the experiment, whose title and question may speak of
    others; without paths, "" if there are none.
    """
    if not study.record.get("experiment"):
        return ""
    settings = {
        key: word
        for key, word in typed_settings(study).items()
        if key not in ("name", "seed") and key[0] != "-"
    }
    return private(" ".join(settings.values()))
