"""The pages of documentation, and what can be checked in them: links, names, commands, blocks."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

from tests import ROOT

PATHS = sorted([*ROOT.glob("*.md"), *ROOT.glob("*/*.md")])
PAGES = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in PATHS}
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`]+)`")
STARTS = ("make ", "gradient-study ", "python -m ", "pip install ", ".venv/bin/python -m ")


def blocks(page: str, language: str) -> list[str]:
    """The fenced blocks of one language, in order."""
    return [code for name, code in FENCE.findall(PAGES[page]) if name == language]


def section(page: str, heading: str) -> str:
    """The text under a heading of the second level."""
    return PAGES[page].split(f"\n## {heading}\n")[1].split("\n## ")[0]


def prose(page: str) -> str:
    """The page without its fenced blocks."""
    return FENCE.sub("", PAGES[page])


def slugs(page: str) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    heads = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def links(page: str) -> Iterator[tuple[Path, str]]:
    """(file, anchor or "") of every relative link."""
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if not re.match(r"https?:", target):
            name, _, anchor = target.partition("#")
            folder = (ROOT / page).parent
            yield (folder / name if name else ROOT / page).resolve(), anchor


def inline(page: str) -> list[str]:
    """What stands between backticks in the text, on one line each."""
    return [" ".join(code.split()) for code in INLINE.findall(prose(page))]


def commands(page: str) -> list[list[str]]:
    """Every command of console blocks and of the text, split as a shell would."""
    lines = [line for block in blocks(page, "console") for line in block.splitlines()]
    lines += [code for code in inline(page) if code.startswith(STARTS)]
    return [shlex.split(line, comments=True) for line in lines if line.strip()]
