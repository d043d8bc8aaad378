"""Where trials are kept: a journal file beside the study's results, or a database that several
machines share.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import re
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import sqlalchemy
import sqlalchemy.exc
from optuna.storages import BaseStorage, JournalStorage, RDBStorage
from optuna.storages.journal import JournalFileBackend

from study.records import StudyError

JOURNAL = "journal"
PATIENCE = 5  # seconds a database may take to answer the first call


def journal_file(folder: Path) -> Path:
    return folder / "journal.log"


def without_password(text: str) -> str:
    """A text without the user, password and host of a database's address in it."""
    return re.sub(r"(\w[\w+]*://)[^\s/'\"]*@?[^\s/'\"]*", r"\1…", text)


def check_address(where: str) -> None:
    if where != JOURNAL and not re.match(r"^(postgresql|mysql|sqlite)(\+\w+)?://", str(where)):
        raise StudyError(
            f"search.storage: must be {JOURNAL} or postgresql://user@host/database, got"
            f" {without_password(str(where))!r}"
        )


def reach(where: str) -> None:
    """Connect to a database once and write nothing: what is wrong with it is told before the arms
    are planned, which takes longer.
    """
    check_address(where)
    if where == JOURNAL or where.startswith("sqlite"):  # files: sqlite's would be made by looking
        return
    with _told(where):
        engine = sqlalchemy.create_engine(_with_driver(where), **_settings(where))
        engine.connect().close()
        engine.dispose()


def open_storage(where: str, folder: Path) -> BaseStorage:
    """The storage by its address; raises StudyError where it cannot be reached."""
    check_address(where)
    with quiet():
        if where == JOURNAL:
            return _journal(folder)
        with _told(where):
            return optuna.storages.get_storage(
                RDBStorage(_with_driver(where), engine_kwargs=_settings(where))
            )


@contextlib.contextmanager
def _told(where: str) -> Iterator[None]:
    try:
        yield
    except ImportError as error:  # Optuna has its own words for SQLAlchemy's
        raise StudyError(
            f"search.storage: the driver of {where.split('://')[0]} is missing; pip install"
            f" {_package(where)}"
        ) from error
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise StudyError(
            f"search.storage: {without_password(where)} cannot be reached ({_words(error)})"
        ) from error


@contextlib.contextmanager
def lost(where: str) -> Iterator[None]:
    """Losing the storage during a search gives one message; its trials stay counted."""
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        told = f"search.storage: {without_password(where)} is out of reach ({_words(error)})"
        raise StudyError(
            f"{told}. Trials that it has stay counted; go on with the same command"
        ) from error


def _words(error: BaseException) -> str:
    """The first line of what a database's driver says, wherever it is wrapped."""
    while getattr(error, "orig", None) is None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    lines = str(getattr(error, "orig", None) or error).strip().splitlines() or [
        type(error).__name__
    ]
    return without_password(lines[0])


def _package(where: str) -> str:
    """What brings the driver."""
    if where.startswith("postgresql"):
        return "psycopg2-binary"
    named = where.split("://")[0].partition("+")[2]
    return named or {"mysql": "mysqlclient"}.get(where.split("://")[0], "it")


def _journal(folder: Path) -> JournalStorage:
    path = journal_file(folder)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock: Any = KernelLock(path.with_name("journal.lock"))
        return JournalStorage(JournalFileBackend(str(path), lock_obj=lock))
    except OSError as error:
        raise StudyError(
            f"{path}: the search cannot be kept here ({error.strerror or error})"
        ) from error
    except (ValueError, KeyError) as error:
        raise StudyError(f"{path}: damaged ({type(error).__name__}: {error})") from error


class KernelLock:
    """A lock that ends with its process.

    Optuna's own are files that a killed process leaves behind; with a relative path, as ours is,
    its link is never found to be old, and whoever comes next waits for ever.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mine = threading.Lock()  # of this process's threads
        self.descriptor = -1

    def acquire(self) -> bool:
        self.mine.acquire()
        try:
            self.descriptor = os.open(self.path, os.O_CREAT | os.O_RDWR, 0o644)
            fcntl.flock(self.descriptor, fcntl.LOCK_EX)
        except BaseException:
            self.mine.release()
            raise
        return True

    def release(self) -> None:
        os.close(self.descriptor)
        self.mine.release()


def _with_driver(where: str) -> str:
    """postgresql:// means another driver from one SQLAlchemy to the next: the one that is installed
    is taken.
    """
    if where.startswith("postgresql://"):
        driver = next(
            (name for name in ("psycopg2", "psycopg") if importlib.util.find_spec(name)), "psycopg2"
        )
        return where.replace("postgresql://", f"postgresql+{driver}://", 1)
    return where


def _settings(where: str) -> dict[str, object]:
    """A connection of each process's own, tried before it is used again: a database may be started
    anew meanwhile.
    """
    settings: dict[str, object] = {"pool_pre_ping": True}
    if where.startswith("postgresql"):
        settings["connect_args"] = {"connect_timeout": PATIENCE}
    return settings


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence Optuna's log line per trial and per experimental class; the launcher has its own."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
        yield
