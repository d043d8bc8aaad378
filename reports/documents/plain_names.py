"""Calls the factors of a page by words: learning rate for optimizer.lr.

Sentences, tables and figures, those of sections of the reader's own too, take a factor by its key.
What is typed (code, and keys with a value after them) keeps it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

# Typed text, what a browser reads and no person does, and tags but for what is read aloud.
PARTS = re.compile(r"(<(pre|code|script|style|textarea)\b.*?</\2>|<[^>]*>)", re.S)
READ = re.compile(r"""((?:aria-label|alt|title|data-gloss)=")([^"]*)""")


def with_plain_names(html: str, names: Mapping[str, str]) -> str:
    """The page with words in place of keys. `names`: of each key, its words."""
    words = {key: name for key, name in names.items() if name != key}
    words |= {key[0].upper() + key[1:]: _upper(name) for key, name in words.items()}
    if not words:
        return html
    keys = "|".join(sorted(map(re.escape, words), key=len, reverse=True))
    pattern = re.compile(rf"(?<![\w./=-])({keys})(?![\w/=]|[.-]\w)")

    def put(text: str) -> str:
        return pattern.sub(lambda found: words[found[1]], text)

    parts = PARTS.split(html)
    del parts[2::3]  # the names of these elements
    for at, part in enumerate(parts):
        if at % 2 == 0:
            parts[at] = put(part)
        elif part.startswith("<") and "=" in part and "</" not in part:
            parts[at] = READ.sub(lambda found: found[1] + put(found[2]), part)
    return "".join(parts)


def _upper(text: str) -> str:
    return text[0].upper() + text[1:]
