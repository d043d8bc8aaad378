"""Print lines of a launch, and keep them in its log."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from study.launch.log import LaunchLog
from study.records import StudyError

LEVELS = {"yellow": logging.WARNING, "red": logging.ERROR}


class LaunchConsole(Console):
    """A console whose lines and tables go to `log` too; what a bar redraws does not."""

    def __init__(self) -> None:
        super().__init__(soft_wrap=True)
        self.log_file = LaunchLog()

    def print(self, *objects: Any, style: Any = None, **options: Any) -> None:
        super().print(*objects, style=style, **options)
        for shown in objects:
            if isinstance(shown, str | Table):
                self.log_file.log(LEVELS.get(style, logging.INFO), "%s", _plain(shown))


@contextlib.contextmanager
def logged(console: LaunchConsole) -> Iterator[None]:
    """Log an error that ends the launch, and close the log."""
    try:
        yield
    except StudyError as error:
        note(console, f"error: {error}", logging.ERROR)
        raise
    finally:
        console.log_file.close()


def open_log(console: Console, folder: Path) -> None:
    """Write the lines of a launch to folder/log.txt, those before as well."""
    if isinstance(console, LaunchConsole):
        console.log_file.open(folder)


def print_line(console: Console, line: str, style: str = "") -> None:
    """Print a line literally, without markup or highlighting of numbers."""
    console.print(line, style=style, markup=False, highlight=False)


def note(console: Console, line: str, level: int = logging.INFO) -> None:
    """A line for the log alone."""
    if isinstance(console, LaunchConsole):
        console.log_file.log(level, "%s", line)


def _plain(shown: str | Table) -> str:
    if isinstance(shown, str):
        return shown
    console = Console(file=io.StringIO(), width=100, no_color=True)
    console.print(shown)
    return f"\n{console.file.getvalue().rstrip()}"  # type: ignore[attr-defined]
