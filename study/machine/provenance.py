"""Where numbers come from: code, versions, kind of machine. No host name, user name or path."""

from __future__ import annotations

import functools
import os
import platform
import subprocess
import sys
import traceback
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).resolve().parent.parent.parent  # the folder that holds study/
PACKAGES = (
    "rnn-gradient-study",
    "torch",
    "numpy",
    "hydra-core",
    "omegaconf",
    "pandas",
    "pyarrow",
    "scikit-learn",
)


@functools.lru_cache(maxsize=1)
def code() -> dict[str, Any]:
    """{"git": {"commit", "dirty"} or None outside a checkout, "versions": {package: version}}."""
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed as a package"
    return {"git": _git(), "versions": versions}


def _git() -> dict[str, Any] | None:
    if not (ROOT / ".git").exists():
        return None
    try:
        commit, changes = _ask_git("rev-parse", "HEAD"), _ask_git("status", "--porcelain")
    except (OSError, subprocess.SubprocessError):
        return None
    return {"commit": commit, "dirty": bool(changes)}


def _ask_git(*arguments: str) -> str:
    answer = subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10, check=True
    )
    return answer.stdout.strip()


def machine(device: str) -> dict[str, Any]:
    """The device and the flags that affect rounding."""
    return {
        "device": torch.cuda.get_device_name() if device.startswith("cuda") else platform.machine(),
        "threads": torch.get_num_threads(),
        # Found out by an experiment: torch has no getter for this flag.
        "flush_denormal": bool((torch.tensor([1e-39]) * 1).item() == 0),
        "tf32": bool(torch.backends.cuda.matmul.allow_tf32),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
    }


def relative(text: str, study: Path) -> str:
    """Text with this machine's folders replaced: <study>, <code>, <env>, <home>."""
    places = [(study.resolve(), "<study>"), (ROOT, "<code>")]
    places += [(Path(path), "<env>") for path in {sys.prefix, sys.base_prefix}]
    places += [
        (Path.cwd(), "<here>"),
        (Path.home(), "<home>"),
        (Path(os.path.realpath(Path.home())), "<home>"),
    ]
    for path, name in sorted(places, key=lambda place: -len(str(place[0]))):
        if len(path.parts) > 1:
            text = text.replace(str(path), name)
    return text


def failure(error: BaseException, study: Path) -> dict[str, str]:
    """{"type", "message", "traceback"} of an exception, without this machine's paths."""
    return {
        "type": type(error).__name__,
        "message": relative(str(error), study),
        "traceback": relative("".join(traceback.format_exception(error)), study),
    }
