"""The settings of a launch: configuration keys that do not affect any point's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from study.config.resolve import resolve_device
from study.config.schema import Certain, Confirm, Store, Study
from study.records import StudyError

# `retry` -> stored statuses that are trained again.
SOURCE = ("ask", "retrain", "ignore")  # what to do where a stored point's source has changed
RETRY = {"failed": ("failed",), "diverged": ("failed", "diverged"), "none": ()}
LONGEST_NAME = 200  # bytes: file systems allow 255, and we add prefixes and suffixes


@dataclass(frozen=True)
class Settings:
    """How a launch runs, where its results go, and what its study is about."""

    name: str
    folder: Path  # of the study: store.folder/name
    plan_only: bool
    reprobe: bool
    retry: tuple[str, ...]  # stored statuses that are trained again
    source: str  # one of SOURCE
    device: str  # cpu | cuda, of the launch as a whole
    executor: Mapping[str, Any]
    trackers: Mapping[str, Mapping[str, Any]]
    health: Mapping[str, Any]
    store: Store
    study: Study


def settings_of(config: Mapping[str, Any]) -> Settings:
    """Read and check the settings of a composed configuration. Raises StudyError."""
    store = Store(**config["store"])
    if config["retry"] not in RETRY:
        raise StudyError(f"retry: must be {' or '.join(RETRY)}, got {config['retry']!r}")
    if store.checkpoint_seconds is not None and not store.checkpoint_seconds >= 0:
        raise StudyError(
            f"store.checkpoint_seconds: must be at least 0 or null, got {store.checkpoint_seconds}"
        )
    for key in ("lease_seconds", "tracker_seconds"):
        if not getattr(store, key) > 0:
            raise StudyError(f"store.{key}: must be greater than 0, got {getattr(store, key)}")
    name = check_name(config["name"])
    study = {
        **config["study"],
        "confirm": Confirm(**config["study"]["confirm"]),
        "certain": Certain(**config["study"]["certain"]),
    }
    return Settings(
        name=name,
        folder=Path(store.folder) / name,
        plan_only=config["plan"],
        reprobe=config["reprobe"],
        retry=RETRY[config["retry"]],
        source=_source(config),
        device=resolve_device(config["device"], config["executor"].get("gpus")),
        executor=config["executor"],
        trackers=config["tracker"],
        health=config["health"],
        store=store,
        study=Study(**study),
    )


def _source(config: Mapping[str, Any]) -> str:
    source = (config.get("identity") or {}).get("source", SOURCE[0])
    if source not in SOURCE:
        raise StudyError(f"identity.source: must be {' or '.join(SOURCE)}, got {source!r}")
    return str(source)


def check_name(name: Any, key: str = "name") -> str:
    """Return a name if it can name a folder, else raise StudyError."""
    plain = (
        isinstance(name, str)
        and name not in ("", ".", "..")
        and name.isprintable()
        and not any(mark in name for mark in ("/", "\\"))
    )
    if not plain or len(name.encode(errors="replace")) > LONGEST_NAME:
        shown = repr(name) if len(repr(name)) < 100 else f"{repr(name)[:100]}…"
        raise StudyError(
            f"{key}: must be the name of one folder, printable, without slashes, of at most"
            f" {LONGEST_NAME} bytes, got {shown}"
        )
    return str(name)
