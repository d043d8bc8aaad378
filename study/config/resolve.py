"""Kernel, precision and device of a point: what `auto` means here, and what cannot be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from study.config.build import build
from study.config.tasks import is_stream, load_task
from study.interfaces import Cell
from study.kernels import table, triton
from study.records import StudyError

DTYPES = {"float32": torch.float32, "float64": torch.float64}


# own ones of a cell between the ends, the fastest first
KERNELS = ("auto", "native", "triton", "fused", "reference")


PRECISIONS = ("full", "tf32", "bf16")  # of the products of an update


def resolve_kernel(config: Mapping[str, Any]) -> str:
    """The kernel that computes this point: by name, or for `auto` what the committed table says of
    its cell and sizes on this kind of device.

    What is not in the table (a cell of one's own, another dtype than float32, another precision
    than full) takes the first kernel of KERNELS that can compute it.
    """
    asked, cell = config["kernel"], build(config["cell"], "cell")
    if asked not in KERNELS:
        raise StudyError(f"kernel: must be {' or '.join(KERNELS)}, got {asked!r}")
    own = KERNELS[1:-1]
    if is_stream(load_task(config["task"]), config["batch"]):
        if asked in own:
            raise StudyError(
                f"kernel: {asked} begins at zero states, and this task carries states from update"
                " to update; use kernel=auto or kernel=reference"
            )
        return "reference"
    refused = {kernel: why for kernel in own if (why := _why_not(kernel, cell, config)) is not None}
    has = [kernel for kernel in own if kernel not in refused]
    if asked in refused:
        raise StudyError(
            f"kernel: {asked} was asked for, but {refused[asked]}; use kernel=auto or"
            f" kernel={' or kernel='.join([*has, 'reference'])}"
        )
    if asked != "auto":
        return str(asked)
    return _of_table(config, cell, (*has, "reference"))


def _why_not(kernel: str, cell: Cell, config: Mapping[str, Any]) -> str | None:
    """Why a kernel of the cell's own cannot compute this point, in words; None: it can."""
    device = resolve_device(config)
    if kernel == "triton":
        elsewhere = (config.get("executor") or {}).get("gpus") is not None
        return triton.why_not(
            cell,
            hidden=config["hidden"],
            dtype=config["dtype"],
            device_type=device,
            elsewhere=elsewhere,
        )
    if not cell.has(kernel):
        return f"this cell has no `{'layer' if kernel == 'fused' else kernel}`"
    if kernel == "native" and device != "cpu":
        return "it computes on the CPU only"
    precision = resolve_precision(config)
    if precision != "full" and (kernel == "native" or precision == "bf16"):
        return f"its products are in full precision, and precision={precision}"
    return None


def _of_table(config: Mapping[str, Any], cell: Cell, has: Sequence[str]) -> str:
    """One of the kernels that the cell has."""
    name, device = f"{type(cell).__module__}.{type(cell).__qualname__}", resolve_device(config)
    timed = config["dtype"] == "float32" and resolve_precision(config) == "full"
    found = table.fastest(device, name, config["hidden"], config["batch"]) if timed else None
    # a size next to it has triton, or other machines
    if found is None or (found == "triton" and device == "cuda" and found not in has):
        return has[0]
    if found not in has:
        raise StudyError(
            f"kernel: study/kernels/{table.TABLE.name} has {found!r} for {name}, which has"
            f" {', '.join(has)}; name one, or write the table again: make bench-kernels"
        )
    return found


def resolve_precision(config: Mapping[str, Any]) -> str:
    """How the products of an update are rounded; what cannot be is told."""
    precision = str(config.get("precision", "full"))
    if precision not in PRECISIONS:
        raise StudyError(f"precision: must be {' or '.join(PRECISIONS)}, got {precision!r}")
    if precision == "full":
        return precision
    device, here = resolve_device(config), (config.get("executor") or {}).get("gpus") is None
    if config["dtype"] != "float32":
        raise StudyError(
            f"precision: {precision} rounds products of float32, got dtype={config['dtype']}; use"
            " dtype=float32 or precision=full"
        )
    if precision == "tf32" and device != "cuda":
        raise StudyError(
            "precision: tf32 is of CUDA's products only, and this runs on the CPU; use"
            " precision=full or precision=bf16"
        )
    if device == "cuda" and here and torch.cuda.get_device_capability() < (8, 0):
        raise StudyError(
            f"precision: {precision} needs a GPU of compute capability 8.0, and"
            f" {torch.cuda.get_device_name()} has less; use precision=full"
        )
    return precision


def resolve_device(config: Mapping[str, Any]) -> str:
    """cpu or cuda; auto takes CUDA where there is one: in this machine, or among what the
    executor's jobs ask for.
    """
    device, asked = config["device"], (config.get("executor") or {}).get("gpus")
    if device not in ("auto", "cpu", "cuda"):
        raise StudyError(f"device: must be auto, cpu or cuda, got {device!r}")
    if asked is not None:  # what this machine has says nothing
        if device == "cuda" and not asked:
            raise StudyError(
                "device: cuda was asked for, but executor.gpus is 0; use executor.gpus=1 or"
                " device=cpu"
            )
        return "cuda" if asked and device != "cpu" else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise StudyError(
            "device: cuda was asked for, but torch sees no CUDA device here; use device=cpu or"
            " device=auto"
        )
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
