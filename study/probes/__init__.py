"""Probes, one file each; and, for a network of one's own, outside a study: `gradient_profile` and
`watch`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from study.diagnostics.gradient_profile import gradient_profile
    from study.diagnostics.watch import watch

__all__ = ["gradient_profile", "watch"]

_FILES = {
    "gradient_profile": "study.diagnostics.gradient_profile",
    "watch": "study.diagnostics.watch",
}


def __getattr__(name: str) -> Any:
    """Imported when first asked for: workers, which import probes by their files, pay nothing for
    them.
    """
    if name in _FILES:
        return getattr(importlib.import_module(_FILES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
