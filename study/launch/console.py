"""Print lines of a launch."""

from __future__ import annotations

from rich.console import Console


def print_line(console: Console, line: str, style: str = "") -> None:
    """Print a line literally, without markup or highlighting of numbers."""
    console.print(line, style=style, markup=False, highlight=False)
