"""One input at a time, in a folder around which nothing may change; and what went wrong."""

from __future__ import annotations

import contextlib
import io
import signal
import sys
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests import ROOT

LIMIT = 120  # seconds for one input, on a machine that does other things too


@dataclass
class Found:
    """What was tried, and what went wrong: place -> an input that shows it."""

    tried: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)
    wrong: dict[str, str] = field(default_factory=dict)
    keep: Path | None = None  # folder for files that show it

    def lines(self) -> list[str]:
        of = ", ".join(f"{number} {family}" for family, number in self.tried.items())
        ends = ", ".join(f"{number} {how}" for how, number in sorted(self.ended.items()))
        return [
            f"{sum(self.tried.values())} inputs ({of}); ended: {ends}",
            *(f"{place}\n    {shown}" for place, shown in self.wrong.items()),
        ]


class Slow(BaseException):
    """It took longer than LIMIT."""


def late(number: int, frame: Any) -> None:
    raise Slow


class Box:
    """A folder to work in, with files around it that nothing may touch."""

    def __init__(self, folder: Path, found: Found) -> None:
        self.folder, self.found = folder, found
        self.inside = folder / "around" / "work"
        self.inside.mkdir(parents=True)
        (folder / "around" / "precious").write_text("years of work")

    def _around(self) -> dict[str, tuple[int, int]]:
        """What lies outside of the working folder's own outputs, beside the stores too."""
        there = {}
        for base in (self.folder, self.folder / "around", self.inside, self.inside / "store"):
            for path in base.iterdir() if base.is_dir() else ():
                if path.is_file():
                    there[str(path)] = (path.stat().st_size, path.stat().st_mtime_ns)
                else:
                    there[str(path)] = (0, 0)
        return {
            name: told
            for name, told in there.items()
            if Path(name).name not in ("outputs", "conf", "store", "around", "work")
        }

    @contextlib.contextmanager
    def trying(self, family: str, shown: object) -> Iterator[list[str]]:
        """One input; the list receives what was written on the way."""
        said: list[str] = []
        out = io.StringIO()
        self.found.tried[family] += 1
        before, how = self._around(), "told"
        signal.alarm(LIMIT)
        try:
            with (
                contextlib.redirect_stdout(out),
                contextlib.redirect_stderr(out),
                contextlib.chdir(self.inside),
            ):
                yield said
        except SystemExit as exit:
            how = f"status {exit.code}"
            if exit.code not in (0, 1, 2, 130):
                self.wrong(family, f"exit status {exit.code!r}", shown)
        except Slow:
            self.wrong(family, f"longer than {LIMIT} s: {_place(sys.exc_info()[2])}", shown)
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            self.wrong(
                family,
                f"{type(error).__name__}: {str(error)[:120]} at {_place(error.__traceback__)}",
                shown,
            )
        finally:
            signal.alarm(0)
        self.found.ended[how] += 1
        if "Traceback (most recent call last)" in out.getvalue():
            self.wrong(family, f"a traceback was printed: {out.getvalue()[-300:]}", shown)
        if (now := self._around()) != before:
            self.wrong(
                family,
                f"written outside the study: {sorted(now.items() ^ before.items())[:3]}",
                shown,
            )

    def quiet(self) -> Box:
        """The same box; for what belongs to no input."""
        quiet = object.__new__(Box)
        quiet.__dict__ = {**self.__dict__, "found": Found()}
        return quiet

    def wrong(self, family: str, what: str, shown: object) -> None:
        self.found.wrong.setdefault(f"{family}: {what}", repr(shown)[-300:])


def _place(trace: Any) -> str:
    """The last line of ours that the error went through."""
    frames = [
        frame
        for frame in traceback.extract_tb(trace)
        if str(ROOT) in frame.filename
        and ".venv" not in frame.filename
        and "campaigns" not in frame.filename
    ]
    return (
        f"{Path(frames[-1].filename).relative_to(ROOT)}:{frames[-1].lineno}"
        if frames
        else "elsewhere"
    )
