"""Storage of trials: a journal file in the study's folder, or a database for several machines."""

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
    """Remove user, password and host of database addresses from a text."""
    return re.sub(r"(\w[\w+]*://)[^\s/'\"]*@?[^\s/'\"]*", r"\1…", text)


def check_address(where: str) -> None:
    if where != JOURNAL and not re.match(r"^(postgresql|mysql|sqlite)(\+\w+)?://", str(where)):
        raise StudyError(
            f"search.storage: must be {JOURNAL} or postgresql://user@host/database, got"
            f" {without_password(str(where))!r}"
        )


def check_connection(where: str) -> None:
    """Connect to a database, to report errors before arms are planned, which takes longer."""
    check_address(where)
    if where == JOURNAL or where.startswith("sqlite"):  # files, which connecting would create
        return
    with _connection_errors(where):
        engine = sqlalchemy.create_engine(_with_driver(where), **_settings(where))
        engine.connect().close()
        engine.dispose()


def open_storage(where: str, folder: Path) -> BaseStorage:
    """Open a storage by its address. Raises StudyError if it cannot be reached."""
    check_address(where)
    with quiet():
        if where == JOURNAL:
            return _journal(folder)
        with _connection_errors(where):
            return optuna.storages.get_storage(
                RDBStorage(_with_driver(where), engine_kwargs=_settings(where))
            )


@contextlib.contextmanager
def _connection_errors(where: str) -> Iterator[None]:
    """Turn errors of connecting to a database into StudyError."""
    try:
        yield
    except ImportError as error:  # SQLAlchemy's, or Optuna's in its place
        raise StudyError(
            f"search.storage: the driver of {where.split('://')[0]} is missing; pip install"
            f" {_package(where)}"
        ) from error
    except sqlalchemy.exc.SQLAlchemyError as error:
        raise StudyError(
            f"search.storage: {without_password(where)} cannot be reached"
            f" ({_driver_message(error)})"
        ) from error


@contextlib.contextmanager
def storage_errors(where: str) -> Iterator[None]:
    """Turn the loss of the storage during a search into one StudyError."""
    try:
        yield
    except (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise StudyError(
            f"search.storage: {without_password(where)} is out of reach ({_driver_message(error)})."
            " The trials in it still count; the same command resumes the search"
        ) from error


def _driver_message(error: BaseException) -> str:
    """The first line of the database driver's message, however deep its error is wrapped."""
    while getattr(error, "orig", None) is None and isinstance(error.__cause__, Exception):
        error = error.__cause__
    lines = str(getattr(error, "orig", None) or error).strip().splitlines() or [
        type(error).__name__
    ]
    return without_password(lines[0])


def _package(where: str) -> str:
    """The package that provides the driver."""
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
        raise StudyError(f"{path}: cannot be written ({error.strerror or error})") from error
    except (ValueError, KeyError) as error:
        raise StudyError(f"{path}: damaged ({type(error).__name__}: {error})") from error


class KernelLock:
    """A file lock that the kernel releases when its process ends.

    Optuna's own locks are files that a killed process leaves behind. With a relative path such as
    ours, Optuna never finds them stale, and the next process waits for ever.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.mine = threading.Lock()  # between threads of this process
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
    """Add the installed driver to postgresql://: the default depends on SQLAlchemy's version."""
    if where.startswith("postgresql://"):
        driver = next(
            (name for name in ("psycopg2", "psycopg") if importlib.util.find_spec(name)), "psycopg2"
        )
        return where.replace("postgresql://", f"postgresql+{driver}://", 1)
    return where


def _settings(where: str) -> dict[str, object]:
    """Engine settings: test connections before reuse, since the database may have restarted."""
    settings: dict[str, object] = {"pool_pre_ping": True}
    if where.startswith("postgresql"):
        settings["connect_args"] = {"connect_timeout": PATIENCE}
    return settings


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Silence Optuna's log line per trial and its warnings about experimental classes."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=optuna.exceptions.ExperimentalWarning)
        yield
