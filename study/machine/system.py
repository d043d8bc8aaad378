"""What training needs of the operating system, checked before anything fails for lack of it."""

from __future__ import annotations

import importlib
import platform

from study.records import StudyError

NEEDED = ("os.fork", "fcntl.flock", "signal.SIGKILL")


def check_system() -> None:
    """Raises StudyError on a system, such as Windows, that lacks one of NEEDED."""
    if missing := [name for name in NEEDED if not _there(name)]:
        raise StudyError(
            f"training needs {', '.join(missing)}, which Python does not have on"
            f" {platform.system()}; use Linux or macOS, or on Windows WSL, which is a Linux"
        )


def _there(name: str) -> bool:
    module, _, function = name.partition(".")
    try:
        return hasattr(importlib.import_module(module), function)
    except ImportError:
        return False
