"""The log of a launch: what its console shows with times, and more; log.txt in the study's folder.

Lines of a study never hold a path of this machine or a secret of its environment, so that a folder
can be given away.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from logging.handlers import MemoryHandler, RotatingFileHandler
from pathlib import Path

from study.machine.provenance import relative
from study.store.privacy import private

NAME = "log.txt"
MOST_BYTES = 1_000_000  # of a file; one older file is kept beside it
MOST_WAITING = 10_000  # lines before there is a folder
SECRET = re.compile(r"KEY|TOKEN|SECRET|PASS|CREDENTIAL", re.IGNORECASE)  # in a variable's name
SHORTEST_SECRET = 6  # a shorter value, such as 1, stands in ordinary words
ADDRESS = re.compile(r"(\w://)[^/@\s]*@")  # user and password of a database
FILE = re.compile(r"file://\S*/")


class LaunchLog(logging.Logger):
    """Keeps lines until `open` gives them a folder. With hydra.verbose, debug lines of this
    program and of libraries are in it as well.
    """

    def __init__(self) -> None:
        verbose = logging.getLogger("study").isEnabledFor(logging.DEBUG)
        super().__init__("study", logging.DEBUG if verbose else logging.INFO)
        self.waiting = MemoryHandler(MOST_WAITING, flushLevel=logging.CRITICAL + 1)
        self.addHandler(self.waiting)
        self.file: LogFile | None = None

    def open(self, folder: Path) -> None:
        """Write to folder/log.txt from now on; where that is impossible, nowhere."""
        try:
            self.file = LogFile(folder)
        except OSError:
            return
        self.waiting.setTarget(self.file)
        self.waiting.flush()
        self.removeHandler(self.waiting)
        self.addHandler(self.file)
        if self.level == logging.DEBUG:
            logging.getLogger().addHandler(self.file)

    def close(self) -> None:
        if self.file is not None:
            logging.getLogger().removeHandler(self.file)
            self.removeHandler(self.file)
            self.file.close()


class LogFile(RotatingFileHandler):
    """A file that several launches may share. A full disk costs lines, nothing else."""

    def __init__(self, folder: Path) -> None:
        super().__init__(
            folder / NAME,
            maxBytes=MOST_BYTES,
            backupCount=1,
            encoding="utf-8",
            errors="backslashreplace",
        )
        self.setFormatter(Private(folder, os.environ))

    def shouldRollover(self, record: logging.LogRecord) -> bool:
        """Reopens the file first if another launch has moved it away."""
        if self.stream is not None and not self._in_place(self.stream.fileno()):
            self.stream.close()
            self.stream = None
        return bool(super().shouldRollover(record))

    def _in_place(self, number: int) -> bool:
        try:
            return os.path.samestat(os.fstat(number), Path(self.baseFilename).stat())
        except OSError:
            return False

    def handleError(self, record: logging.LogRecord) -> None:
        """Nothing: results do not depend on a log."""


class Private(logging.Formatter):
    """Time, level and message, without paths and secrets."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s")
        self.folder = folder
        self.secrets = sorted(
            {
                value
                for name, value in environment.items()
                if SECRET.search(name) and len(value) >= SHORTEST_SECRET and not _is_path(value)
            },
            key=len,
            reverse=True,
        )

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for secret in self.secrets:
            text = text.replace(secret, "<secret>")
        text = ADDRESS.sub(r"\1<secret>@", FILE.sub("<path>/", text))
        return private(relative(text, self.folder))


def _is_path(value: str) -> bool:
    return value.startswith("/")
