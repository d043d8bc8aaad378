"""Persistent Triton kernels for CUDA: all steps and members of a layer in one launch.

The kernel of study/cells/NAME.py is cells/NAME.py here; the cell does not know of it, and your own
cells have none. Triton is imported only when a layer is computed: it comes with torch's CUDA builds
and is not a dependency. With TRITON_INTERPRET=1 in the environment, its interpreter runs the same
programs on the CPU, in numpy, for tests.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil

import torch
from torch import Tensor

from study.interfaces import Cell, Params

# the states of 16 examples and four gates of more units would not fit into the registers
MAX_HIDDEN = 128
CAPABILITY = (8, 0)  # least compute capability that Triton supports well


def why_not(
    cell: Cell, *, hidden: int, dtype: str, device_type: str, elsewhere: bool
) -> str | None:
    """Why these kernels cannot compute a layer of this cell, in words; None if they can.

    `elsewhere`: it runs on another machine, so that this one is not checked.
    """
    if _module(cell) is None:
        return "this cell has none (study/kernels/triton/cells)"
    if device_type != "cuda" and not interpreted():
        return "it computes on CUDA only"
    if dtype != "float32":
        return f"it computes in float32 only, got dtype={dtype}"
    if hidden > MAX_HIDDEN:
        return f"it takes at most {MAX_HIDDEN} hidden units, got {hidden}"
    if elsewhere:
        return None
    if importlib.util.find_spec("triton") is None:
        return "triton is not installed here (torch's CUDA builds for Linux bring it along)"
    if interpreted():
        return None
    if not (os.environ.get("CC") or shutil.which("clang") or shutil.which("gcc")):
        return "triton finds no C compiler here (gcc, clang, or the one that CC names)"
    if (found := torch.cuda.get_device_capability()) < CAPABILITY:
        return (
            f"it needs a GPU of compute capability {CAPABILITY[0]}.{CAPABILITY[1]}, got"
            f" {found[0]}.{found[1]}"
        )
    return None


def interpreted() -> bool:
    """Whether Triton's interpreter runs the kernels on the CPU; fixed when triton is imported."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def layer(cell: Cell, params: Params, x: Tensor) -> Tensor | None:
    """h [M, T, B, H] for x [M, T, B, D]; None for CPU tensors, as in checks before training."""
    if not x.is_cuda and not interpreted():
        return None
    h: Tensor = importlib.import_module(str(_module(cell))).layer(cell, params, x)
    return h


def _module(cell: Cell) -> str | None:
    """The kernel's module, by the module of the class itself: a subclass is another recurrence."""
    package, _, name = type(cell).__module__.rpartition(".")
    found = f"{__name__}.cells.{name}"
    return (
        found if package == "study.cells" and importlib.util.find_spec(found) is not None else None
    )
