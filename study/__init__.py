"""Train every combination of a recurrent recipe and measure how its gradients travel.

`plan`, `run` and `load` are the Python API (study.launch.api); `adopt` makes a study of runs that
exist already (study.adopt.api); `gradient_profile` and `watch` measure a network of your own
(study.diagnostics).
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from study.adopt.api import adopt
    from study.diagnostics.gradient_profile import gradient_profile
    from study.diagnostics.watch import watch
    from study.launch.api import Result, load, plan, run
    from study.records import StudyError

__version__ = "0.1.0"
__all__ = ["Result", "StudyError", "adopt", "gradient_profile", "load", "plan", "run", "watch"]

_MODULES = {
    "Result": "study.launch.api",
    "StudyError": "study.records",
    "adopt": "study.adopt.api",
    "load": "study.launch.api",
    "plan": "study.launch.api",
    "run": "study.launch.api",
    "gradient_profile": "study.diagnostics.gradient_profile",
    "watch": "study.diagnostics.watch",
}


def __getattr__(name: str) -> Any:
    """Imported when first asked for: commands that need no torch do not wait for it."""
    if name in ("plan", "run"):
        # On a system that cannot train, the imports below would fail with less to read.
        importlib.import_module("study.machine.system").check_system()
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
