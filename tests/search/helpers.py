"""A search put together in the test's own process, and a PostgreSQL server of the test's own."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.core.override_parser.overrides_parser import OverridesParser

from study.config.compose import compose
from study.config.paths import conf_folder
from study.hydra_plugins import register
from study.search.arms import open_arms
from study.search.planning import SearchRequest, make_spec
from study.search.slots import Slots
from study.search.spec import Spec
from study.search.storage import open_storage
from study.search.worker import Worker

SMALL = [
    "task.form=row",
    "updates=12",
    "batch=16",
    "hidden=8",
    "validate_every=3",
    "probe=[transport]",
]


def plan(
    folder: Path, *arguments: str, params: dict[str, str] | None = None
) -> tuple[Spec, SearchRequest]:
    """The search that a command line asks for; results under `folder`."""
    register()
    loader = ConfigLoaderImpl(create_config_search_path(str(conf_folder().resolve())))
    typed = [f"store.folder={folder}", "tracker=[]", "device=cpu", *arguments]
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(typed)
    fixed = [str(override.input_line) for override in parsed if not override.is_sweep_override()]
    composed = compose(loader, "config", fixed)
    return make_spec(
        loader, "config", composed.config, params or {}, typed, composed.choices.get("experiment")
    )


def searched(spec: Spec) -> tuple[list[Slots], list[dict[str, Any]]]:
    """The search carried out by one worker in this process; its slots and what the worker said."""
    storage = open_storage(spec.settings.storage, spec.search_folder)
    slots = open_arms(spec, storage)
    for of in slots:
        of.fill()
    said: list[dict[str, Any]] = []
    Worker(spec, storage, "cpu", lambda event: said.append(dict(event))).work()
    return slots, said


# --- PostgreSQL -----------------------------------------------------------------------------------


def binaries() -> Path:
    """Where Debian's package has the server.

    Without one the test is skipped, and fails where CI is set.
    """
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if found:
        return found[-1].parent
    told = "no PostgreSQL here: apt-get install postgresql"
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(told)
    pytest.skip(told)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """The address of an empty database on loopback.

    The server refuses to run as root: then it is Debian's user postgres.
    """
    bin, folder, port = binaries(), Path(tempfile.mkdtemp(prefix="search-postgresql-")), free_port()
    before: list[str] = []
    if os.geteuid() == 0:
        user = pwd.getpwnam("postgres")
        os.chown(folder, user.pw_uid, user.pw_gid)
        before = ["runuser", "-u", "postgres", "--"]

    def command(*arguments: str) -> None:
        ran = subprocess.run(
            [*before, *arguments], cwd="/", capture_output=True, text=True, timeout=120
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr

    data = str(folder / "data")
    try:
        command(
            str(bin / "initdb"),
            "-D",
            data,
            "-U",
            "searcher",
            "--auth=trust",
            "--no-sync",
            "-E",
            "UTF8",
            "--locale=C",
        )
        options = (
            f"-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={folder} -c"
            " fsync=off"
        )
        command(
            str(bin / "pg_ctl"), "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start"
        )
        try:
            yield f"postgresql://searcher@127.0.0.1:{port}/postgres"
        finally:
            command(str(bin / "pg_ctl"), "-D", data, "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
