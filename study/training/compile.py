"""python -m study.training.compile: compiles the kernels of all cells, once per machine.

`make setup` runs it; without it, the first launch compiles what it needs.
"""

from __future__ import annotations

import multiprocessing

import torch
import yaml
from torch import Tensor

from study.config.build import build
from study.config.paths import conf_folder
from study.interfaces import Cell

MEMBERS, BATCH, STEPS, INPUTS, HIDDEN = 2, 16, 2, 2, 16  # any sizes: code does not depend on them


def compile_all(processes: int = 2) -> None:
    """Compile the kernels of the cells in conf/cell, one cell per process at a time."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(conf_folder().glob("cell/*.yaml"))]
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.map(compile_cell, texts, chunksize=1)


def compile_cell(text: str) -> None:
    """Run the kernel of a cell, if it has one, as training, validation and probes do."""
    torch.set_num_threads(1)
    cell: Cell = build(yaml.safe_load(text), "cell")
    for dtype in (torch.float32, torch.float64):  # training, probes
        _run(cell, dtype)


def _run(cell: Cell, dtype: torch.dtype) -> None:
    def zeros(*shape: int) -> Tensor:
        return torch.zeros(MEMBERS, *shape, dtype=dtype, requires_grad=True)

    kernel = cell.native({one.name: zeros(*one.shape) for one in cell.shapes(INPUTS, HIDDEN)})
    if kernel is None:
        return
    x = zeros(STEPS, BATCH, INPUTS)
    norms = torch.zeros(MEMBERS, STEPS, BATCH, dtype=torch.float64, requires_grad=True)
    kernel.outputs(x, norms).sum().backward()
    taps = tuple(zeros(STEPS, BATCH, HIDDEN) for _ in cell.states)
    torch.stack(kernel.states(x, taps)).sum().backward()


if __name__ == "__main__":
    compile_all()
