"""Explains the terms of a page where they stand: the first of each in a section gets its meaning.

A reader sees it on hover, on focus and on a tap, without a script. The glossary keeps the terms
that the page uses.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from markupsafe import escape

from reports.formatting import term_id

# Elements whose text is a name, a number, typed text or a drawing, and not a sentence; and links,
# in which a gloss would be a control in a control.
LEFT_ALONE = frozenset(
    {
        *("svg", "pre", "code", "script", "style", "table", "nav", "button", "summary", "dt", "a"),
        *("h1", "h2", "h3", "h4", "title", "label"),
    }
)
LINK = re.compile(r'<a class="term" href="#([^"]+)">([^<]*)</a>')

Terms = Mapping[str, str | Mapping[str, str]]


def with_glosses(html: str, terms: Terms) -> str:
    """The page with its terms explained, and a glossary of those that it uses.

    `terms`: as the section Glossary takes them.
    """
    meanings = {term_id(term): _meaning(entry) for term, entry in terms.items()}
    words = {
        word: term_id(term)
        for term, entry in terms.items()
        if isinstance(entry, str) or not entry.get("plain")
        for word in _words(term)
    }
    if not words:
        return LINK.sub(r"\2", html)
    pattern = re.compile(
        r"(?<![\w./=−-])("  # not in file names, settings and hyphenated words
        + "|".join(sorted(map(re.escape, words), key=len, reverse=True))
        + r")(?![\w/=]|[.-]\w)"
    )
    # Glosses go in as marks first, so that their own words are not explained in turn.
    head, main, rest = _parts(html)
    used: set[str] = set()
    sections = re.split(r"(?=<section )", main)
    made = [_explained(section, words, set(meanings), pattern, used) for section in sections]
    main = "".join(made)
    main = re.sub(
        r'<div id="(term-[^"]+)"><dt>.*?</dd></div>',
        lambda found: found[0] if found[1] in used else "",
        main,
        flags=re.S,
    )
    main = re.sub(
        "\x00([^\x01]*)\x01([^\x02]*)\x02", lambda found: _gloss(meanings, *found.groups()), main
    )
    return head + main + rest


def _parts(html: str) -> tuple[str, str, str]:
    """What stands before, in and after <main>."""
    begin, end = html.find("<main"), html.rfind("</main>")
    return (html[:begin], html[begin:end], html[end:]) if begin >= 0 else ("", html, "")


def _explained(
    section: str, words: Mapping[str, str], ids: set[str], pattern: re.Pattern[str], used: set[str]
) -> str:
    """The section with the first of each term between marks, and `used` with what it has."""
    seen: list[set[str]] = [set()]  # one for each fold that is open here, as it may stay closed
    glossary = 'data-for="glossary"' in section[:80]

    def mark(id: str, word: str) -> str:
        if glossary:
            return word
        used.add(id)
        if id in seen[-1]:
            return word
        seen[-1].add(id)
        return f"\x00{id}\x01{word}\x02"

    section = LINK.sub(lambda found: f"\x03{found[1]}\x04{found[2]}\x05", section)
    made, depth = [], 0
    for part in re.split(r"(<[^>]+>|\x03[^\x05]*\x05)", section):
        if part.startswith("\x03"):
            id, _, word = part[1:-1].partition("\x04")
            part = mark(id, word) if id in ids and depth == 0 else word
        elif part.startswith("<"):
            name = re.match(r"</?([a-zA-Z0-9]+)", part)
            step = -1 if part.startswith("</") else 1
            if name and name[1].lower() in LEFT_ALONE and not part.endswith("/>"):
                depth += step
            if name and name[1] == "details":
                seen = [*seen, set()] if step > 0 else seen[:-1]
        elif depth == 0 and "\x00" not in part:
            part = pattern.sub(lambda found: mark(words[found[1]], found[1]), part)
        elif not glossary:  # a table's terms are explained in the glossary alone
            used.update(words[found[1]] for found in pattern.finditer(part))
        made.append(part)
    return "".join(made)


def _gloss(meanings: Mapping[str, str], id: str, word: str) -> str:
    return f'<span class="term" tabindex="0" data-gloss="{escape(meanings[id])}">{word}</span>'


def _meaning(entry: str | Mapping[str, str]) -> str:
    if isinstance(entry, str):
        return entry
    return f"{entry['is']}: {entry['formula']}" if entry.get("formula") else entry["is"]


def _words(term: str) -> list[str]:
    """The words by which a page calls a term, as they stand in its HTML."""
    first, _, second = term.partition(", ")
    every = (
        [f"{second} {first}"] if term.startswith("baseline") else [first, *[second] * bool(second)]
    )
    plural = [f"{word}s" for word in every if len(word) > 1 and not word.endswith("s")]
    return [str(escape(word)) for word in (*every, *plural)]
