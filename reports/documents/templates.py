"""Renders blocks and whole documents with the Jinja templates, and links words to the glossary."""

from __future__ import annotations

import base64
import functools
import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from reports.formatting import term_id

TEMPLATES = Path(__file__).parent.parent / "templates"
STYLES = ("style.css", "touch.css")
SCRIPTS = ("script.js",)
# One function's body in the page, in this order: what makes marks, tables and factors touchable.
TOUCH = tuple(
    f"script/{name}.js"
    for name in (
        "data",
        "light",
        "marks",
        "filter",
        "tables",
        "figures",
        "headings",
        "copy",
        "points",
        "pins",
        "matrix",
        "parallel",
        "start",
    )
)


@functools.cache
def _environment() -> jinja2.Environment:
    loader = jinja2.FileSystemLoader(TEMPLATES)
    env = jinja2.Environment(
        loader=loader,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    env.filters |= {
        "linked": linked,
        "formula": formula,
        "breakable": breakable,
        "longest_word": longest_word,
    }
    return env


@functools.cache
def _text(name: str) -> str:
    return (TEMPLATES / name).read_text(encoding="utf-8")


class Templates:
    """Renders blocks with autoescape, and gives every block of a section an id."""

    def __init__(self, section: str = "page", level: int = 3) -> None:
        self.env = _environment()
        self.section = section
        self.blocks = 0
        self.level = level  # of headings inside a section

    def __call__(self, block: Any) -> Markup:
        self.blocks += 1
        html = self.env.get_template(block.template).render(
            block=block, uid=f"{self.section}-block-{self.blocks}", level=self.level, nested=self
        )
        return Markup(html)

    def whole(self, template: str, title: str, **values: Any) -> str:
        """A self-contained document: style, script, and a policy that allows nothing else."""
        style, script = ("".join(map(_text, names)) for names in (STYLES, SCRIPTS))
        script += f'(() => {{\n"use strict";\n{"".join(map(_text, TOUCH))}}})();\n'
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        return self.env.get_template(template).render(
            title=title,
            style=Markup(style),
            script=Markup(script),
            script_hash=digest,
            **{"reload": None, **values},
        )


def linked(text: str) -> Markup:
    """Turn [word] and [word|term] into links to the glossary; escape the rest."""
    parts = re.split(r"\[([^\[\]]+)\]", text)
    made = [
        escape(part) if n % 2 == 0 else _to_term(*part.rpartition("|")[::2])
        for n, part in enumerate(parts)
    ]
    return Markup("").join(made)


def breakable(name: str) -> Markup:
    """A name that may go on in a new line after an underscore, and nowhere else within a word."""
    return Markup("_<wbr>").join(map(escape, name.split("_")))


def longest_word(names: Sequence[str]) -> int:
    """Letters of the longest part that does not break, for the width of a column; at most 20."""
    return min(
        20, max((len(part) for name in names for part in re.split(r"[ _]", name)), default=0)
    )


def formula(text: str) -> Markup:
    """A formula as text: x_t, x_{t-1}, x^2 and x^{T-t} get subscripts and superscripts, and lines
    stay lines.
    """
    made = str(escape(text)).replace("-", "−").replace("\n", "<br>")
    for sign, tag in (("_", "sub"), ("^", "sup")):
        made = re.sub(rf"\{sign}(?:{{([^{{}}]*)}}|(\S))", rf"<{tag}>\1\2</{tag}>", made)
    return Markup(made)


def _to_term(word: str, term: str) -> Markup:
    return Markup('<a class="term" href="#{}">{}</a>').format(term_id(term), word or term)


def unbroken(html: str) -> str:
    """Keep a number with its % and its ±, and an interval's ends, on one line; not in typed text,
    styles and scripts.
    """
    parts = re.split(r"(<(pre|style|script)\b.*?</\2>)", html, flags=re.S)
    del parts[2::3]  # the names of these elements
    for at in range(0, len(parts), 2):
        text = re.sub(r"(?<=\d) (?=%)", "\u00a0", parts[at])
        text = re.sub(r"(?<=\d) ± (?=\d)", "\u00a0±\u00a0", text)
        parts[at] = re.sub(
            r"(\[[−\d.,]+(?:\u00a0%)?,) (?=[−\d.]+(?:\u00a0%)?\])", "\\1\u00a0", text
        )
    return "".join(parts)
