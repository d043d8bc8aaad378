"""Kernel, precision and device of a point: what `auto` means here, and what is impossible."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from study.interfaces import Cell
from study.kernels import table, triton
from study.records import StudyError

DTYPES = {"float32": torch.float32, "float64": torch.float64}
# Between auto and reference stand the kernels that a cell may bring, the fastest first.
KERNELS = ("auto", "native", "triton", "fused", "reference")
PRECISIONS = ("full", "tf32", "bf16")  # of the products of an update


def resolve_dtype(dtype: str) -> torch.dtype:
    """The type of weights, states and gradients in training."""
    if dtype not in DTYPES:
        raise StudyError(f"dtype: must be {' or '.join(DTYPES)}, got {dtype!r}")
    return DTYPES[dtype]


def resolve_device(device: str, gpus: int | None) -> str:
    """cpu or cuda.

    `gpus`: what the executor asks for its jobs, which may run on other machines; None where points
    are trained on this one. auto takes CUDA where there is a GPU.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise StudyError(f"device: must be auto, cpu or cuda, got {device!r}")
    if gpus is not None:  # jobs run elsewhere: this machine's GPUs say nothing
        if device == "cuda" and not gpus:
            raise StudyError(
                "device: cuda was asked for, but executor.gpus is 0; use executor.gpus=1 or"
                " device=cpu"
            )
        return "cuda" if gpus and device != "cpu" else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise StudyError(
            "device: cuda was asked for, but torch sees no CUDA device here; use device=cpu or"
            " device=auto"
        )
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def resolve_precision(precision: str, dtype: str, device: str, *, here: bool) -> str:
    """How the products of an update are rounded: full, tf32 or bf16. Raises StudyError where that
    is impossible.
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
            "precision: tf32 exists for CUDA's products only, and this runs on the CPU; use"
            " precision=full or precision=bf16"
        )
    if device == "cuda" and here and torch.cuda.get_device_capability() < (8, 0):
        raise StudyError(
            f"precision: {precision} needs a GPU of compute capability 8.0, and"
            f" {torch.cuda.get_device_name()} has less; use precision=full"
        )
    return precision


def resolve_kernel(
    asked: str,
    cell: Cell,
    *,
    stream: bool,
    hidden: int,
    batch: int,
    dtype: str,
    precision: str,
    device: str,
    elsewhere: bool,
) -> str:
    """The kernel that computes a point: as named, or for `auto` what the committed table has for
    its cell and sizes on this kind of device.

    Whatever the table does not have (a cell of your own, another dtype than float32, another
    precision than full) takes the first kernel of KERNELS that can compute it. `stream`: states are
    carried from update to update; `elsewhere`: jobs run on other machines.
    """
    if asked not in KERNELS:
        raise StudyError(f"kernel: must be {' or '.join(KERNELS)}, got {asked!r}")
    special = KERNELS[1:-1]
    if stream:
        if asked in special:
            raise StudyError(
                f"kernel: {asked} starts from zero states, and this task carries states from update"
                " to update; use kernel=auto or kernel=reference"
            )
        return "reference"
    refused = {
        "native": _native_impossible(cell, device, precision),
        "triton": triton.why_not(
            cell, hidden=hidden, dtype=dtype, device_type=device, elsewhere=elsewhere
        ),
        "fused": _fused_impossible(cell, precision),
    }
    possible = [kernel for kernel in special if refused[kernel] is None]
    if asked in special and refused[asked] is not None:
        raise StudyError(
            f"kernel: {asked} was asked for, but {refused[asked]}; use kernel=auto or"
            f" kernel={' or kernel='.join([*possible, 'reference'])}"
        )
    if asked != "auto":
        return asked
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
    """One of the possible kernels; `timed`: the table was measured with such numbers."""
    name = f"{type(cell).__module__}.{type(cell).__qualname__}"
    found = table.fastest(device, name, hidden, batch) if timed else None
    # triton in the table: at a neighbouring size, or on machines that have it.
    missing_here = found == "triton" and device == "cuda" and found not in possible
    if found is None or missing_here:
        return possible[0]
    if found not in possible:
        raise StudyError(
            f"kernel: study/kernels/{table.TABLE.name} has {found!r} for {name}, which has"
            f" {', '.join(possible)}; name one, or write the table again: make bench-kernels"
        )
    return found
