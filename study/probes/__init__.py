"""Probes, one per file; also `gradient_profile` and `watch`, for networks outside a study."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["gradient_profile", "watch"]

_MODULES = {
    "gradient_profile": "study.diagnostics.gradient_profile",
    "watch": "study.diagnostics.watch",
}


def __getattr__(name: str) -> Any:
    """Import on first use, so that workers, which import single probes, do not pay for it."""
    if name in _MODULES:
        return getattr(importlib.import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
