"""Resolve `auto` for kernel, precision and device, and refuse what is impossible."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from study.interfaces import Cell
from study.kernels import table, triton
from study.records import StudyError

DTYPES = {"float32": torch.float32, "float64": torch.float64}
# Between auto and reference: the kernels that a cell may provide, fastest first.
KERNELS = ("auto", "native", "triton", "fused", "reference")
PRECISIONS = ("full", "tf32", "bf16")  # of matrix products in an update


def resolve_dtype(dtype: str) -> torch.dtype:
    """The type of weights, states and gradients in training."""
    if dtype not in DTYPES:
        raise StudyError(f"dtype: must be {' or '.join(DTYPES)}, got {dtype!r}")
    return DTYPES[dtype]


def resolve_device(device: str, gpus: int | None) -> str:
    """Return cpu or cuda; auto means CUDA if there is a GPU.

    `gpus`: GPUs per job of an executor whose jobs run on other machines; None if points are trained
    on this machine.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise StudyError(f"device: must be auto, cpu or cuda, got {device!r}")
    if gpus is not None:  # this machine's GPUs do not matter
        if device == "cuda" and not gpus:
            raise StudyError(
                "device: cuda was requested, but executor.gpus is 0; use executor.gpus=1 or"
                " device=cpu"
            )
        return "cuda" if gpus and device != "cpu" else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise StudyError(
            "device: cuda was requested, but torch sees no CUDA device here; use device=cpu or"
            " device=auto"
        )
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def resolve_precision(precision: str, dtype: str, device: str, *, local: bool) -> str:
    """Return how products of an update are rounded: full, tf32 or bf16.

    `local`: points are trained on this machine, whose GPU can be checked. Raises StudyError if the
    precision is impossible.
    """
    if precision not in PRECISIONS:
        raise StudyError(f"precision: must be {' or '.join(PRECISIONS)}, got {precision!r}")
    if precision == "full":
        return precision
    if dtype != "float32":
        raise StudyError(
            f"precision: {precision} rounds products of float32, got dtype={dtype}; use"
            " dtype=float32 or precision=full"
        )
    if precision == "tf32" and device != "cuda":
        raise StudyError(
            "precision: tf32 exists on CUDA only, and this runs on the CPU; use"
            " precision=full or precision=bf16"
        )
    if device == "cuda" and local and torch.cuda.get_device_capability() < (8, 0):
        raise StudyError(
            f"precision: {precision} needs a GPU of compute capability 8.0, and"
            f" {torch.cuda.get_device_name()} has less; use precision=full"
        )
    return precision


def resolve_kernel(
    kernel: str,
    cell: Cell,
    *,
    stream: bool,
    penalized: bool,
    hidden: int,
    batch: int,
    dtype: str,
    precision: str,
    device: str,
    remote: bool,
) -> str:
    """Return the kernel that computes a point: the one named, or for `auto` the fastest.

    For `auto`, the committed table has the fastest kernel by device, cell and sizes. What the table
    does not cover (a user's cell, a dtype other than float32, a precision other than full) gets the
    first kernel of KERNELS that can compute it. `stream`: states are carried from update
    to update. `penalized`: a penalty reads the states. `remote`: jobs run on other machines.
    """
    if kernel not in KERNELS:
        raise StudyError(f"kernel: must be {' or '.join(KERNELS)}, got {kernel!r}")
    special = KERNELS[1:-1]
    if stream:
        if kernel in special:
            raise StudyError(
                f"kernel: {kernel} starts from zero states, and this task carries states from"
                " update to update; use kernel=auto or kernel=reference"
            )
        return "reference"
    if penalized:
        if kernel in special:
            raise StudyError(
                f"kernel: {kernel} gives states without a graph, and the penalty needs the gradient"
                " of a term of the states; use kernel=auto or kernel=reference"
            )
        return "reference"
    refused = {
        "native": _native_impossible(cell, device, precision),
        "triton": triton.why_not(
            cell, hidden=hidden, dtype=dtype, device_type=device, elsewhere=remote
        ),
        "fused": _fused_impossible(cell, precision),
    }
    possible = [name for name in special if refused[name] is None]
    if kernel in special and refused[kernel] is not None:
        raise StudyError(
            f"kernel: {kernel} was requested, but {refused[kernel]}; use kernel=auto or"
            f" kernel={' or kernel='.join([*possible, 'reference'])}"
        )
    if kernel != "auto":
        return kernel
    timed = dtype == "float32" and precision == "full"
    return _from_table(cell, [*possible, "reference"], device, hidden, batch, timed)


def _native_impossible(cell: Cell, device: str, precision: str) -> str | None:
    """Why the native kernel cannot compute a point; None if it can."""
    if not cell.has_kernel("native"):
        return "this cell has no `native`"
    if device != "cpu":
        return "it runs on the CPU only"
    return None if precision == "full" else _full_only(precision)


def _fused_impossible(cell: Cell, precision: str) -> str | None:
    if not cell.has_kernel("fused"):
        return "this cell has no `layer`"
    return _full_only(precision) if precision == "bf16" else None


def _full_only(precision: str) -> str:
    return f"its products are in full precision, and precision={precision}"


def _from_table(
    cell: Cell, possible: Sequence[str], device: str, hidden: int, batch: int, timed: bool
) -> str:
    """Choose one of the possible kernels; `timed`: the table covers this dtype and precision."""
    name = f"{type(cell).__module__}.{type(cell).__qualname__}"
    found = table.fastest(device, name, hidden, batch) if timed else None
    # The table may name triton for a neighbouring size, or for machines that have Triton.
    missing_here = found == "triton" and device == "cuda" and found not in possible
    if found is None or missing_here:
        return possible[0]
    if found not in possible:
        raise StudyError(
            f"kernel: study/kernels/{table.TABLE.name} has {found!r} for {name}, which has"
            f" {', '.join(possible)}; name one, or write the table again: make bench-kernels"
        )
    return found
