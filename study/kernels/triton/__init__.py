"""Persistent kernels for CUDA, in Triton: all steps of a layer in one launch, all members side by
side.

The kernel of study/cells/NAME.py is cells/NAME.py here; the cell itself knows nothing of it, and a
cell of one's own has none. Nothing here imports triton before a layer is computed: it comes with
torch's CUDA builds and is no dependency. With TRITON_INTERPRET=1 in the environment its interpreter
computes the same programs on the CPU, in numpy, one after the other: for tests.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import shutil

import torch
from torch import Tensor

from study.interfaces import Cell, Params

# hidden units: states of 16 examples are held in registers, and four gates of more would not fit
MOST = 128
CAPABILITY = (8, 0)  # of the GPU: what Triton is made for


def why_not(
    cell: Cell, *, hidden: int, dtype: str, device_type: str, elsewhere: bool
) -> str | None:
    """Why a layer of this cell cannot be computed by a kernel of these, in words; None: it can.

    `elsewhere`: of that machine nothing is known.
    """
    if _module(cell) is None:
        return "this cell has none (study/kernels/triton/cells)"
    if device_type != "cuda" and not interpreted():
        return "it computes on CUDA only"
    if dtype != "float32":
        return f"it computes in float32 only, got dtype={dtype}"
    if hidden > MOST:
        return f"it takes at most {MOST} hidden units, got {hidden}"
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
    """Whether triton's interpreter computes, on the CPU; decided when triton is imported."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def layer(cell: Cell, params: Params, x: Tensor) -> Tensor | None:
    """h [M, T, B, H] for x [M, T, B, D]; None for tensors that lie where it cannot compute, as
    those of checks before training do.
    """
    if not x.is_cuda and not interpreted():
        return None
    h: Tensor = importlib.import_module(str(_module(cell))).layer(cell, params, x)
    return h


def _module(cell: Cell) -> str | None:
    """By the module of the very class: a subclass elsewhere is another recurrence."""
    package, _, name = type(cell).__module__.rpartition(".")
    found = f"{__name__}.cells.{name}"
    return (
        found if package == "study.cells" and importlib.util.find_spec(found) is not None else None
    )
