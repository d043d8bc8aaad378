"""Where runs of a study are online, and the ledgers in its folder wandb/; needs no wandb."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

ADDRESSES = "addresses.jsonl"  # [point, address of its run online]


def note(ledger: Path, added: Iterable[Sequence[str]]) -> None:
    """Append entries. Each starts a new line, so that one truncated by a crash spoils no other."""
    with ledger.open("a", encoding="utf-8") as file:
        file.write("".join(f"\n{json.dumps(entry)}\n" for entry in added))


def note_address(folder: Path, point: str, address: object) -> None:
    """Keep where a point's run is online. `folder`: wandb/ of the study."""
    if isinstance(address, str) and address and addresses(folder.parent).get(point) != address:
        note(folder / ADDRESSES, [[point, address]])


def addresses(study: Path) -> dict[str, str]:
    """Point -> address of its run online, of the points that were logged online.

    `study`: its folder. What is no web address, or was truncated by a crash, is left out.
    """
    ledger, found = study / "wandb" / ADDRESSES, {}
    text = ledger.read_text(encoding="utf-8", errors="replace") if ledger.is_file() else ""
    for line in text.splitlines():
        with contextlib.suppress(ValueError, TypeError):
            point, address = json.loads(line)
            if isinstance(point, str) and re.fullmatch(r"https?://[^\s\"'<>]+", address):
                found[point] = address
    return found
