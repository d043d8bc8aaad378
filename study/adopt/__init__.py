"""Adopt runs that were trained elsewhere: `study.adopt(table, name=…)`, `python -m study.adopt`.

table.py, wandb.py and hydra.py read runs, factors.py finds what varies, runs.py checks every run,
writing.py stores them as the points of a study. api.py has the arguments.
"""

from __future__ import annotations

import sys
import types
from collections.abc import Sequence
from typing import Any


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; its exit status."""
    from study.adopt.__main__ import main as command

    return command(arguments)


class _Callable(types.ModuleType):
    """Once imported, this package takes the place of the function `study.adopt`: it is both."""

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        from study.adopt.api import adopt

        return adopt(*arguments, **named)


sys.modules[__name__].__class__ = _Callable
