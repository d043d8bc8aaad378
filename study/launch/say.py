"""One way to print a line of a launch."""

from __future__ import annotations

from rich.console import Console


def say(console: Console, line: str, style: str = "") -> None:
    """Print a line as it is: names in it are no markup, and numbers are not coloured."""
    console.print(line, style=style, markup=False, highlight=False)
