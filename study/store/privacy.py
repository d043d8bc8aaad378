"""Texts without paths of this machine."""

from __future__ import annotations

import re

ABSOLUTE = re.compile(r"(?<![\w<>.:/~-])/[\w.+@-]+(?:/[\w.+@-]+)+|\b[A-Za-z]:\\[\w.+@\\ -]+")


def private(text: str) -> str:
    """Text in which absolute paths are reduced to their last part."""
    return ABSOLUTE.sub(lambda found: "<path>/" + re.split(r"[/\\]", found.group())[-1], text)
