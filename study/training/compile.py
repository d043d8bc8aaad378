"""python -m study.training.compile: compiles the kernels of all cells, once per machine.

`make setup` runs it; without it, the first launch compiles what it needs.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence

import torch
import yaml
from torch import Tensor

from study.config.build import build
from study.config.paths import conf_folder
from study.interfaces import Cell, Optimizer, defines

MEMBERS, BATCH, STEPS, INPUTS, HIDDEN = 2, 16, 2, 2, 16  # any sizes: code does not depend on them


def compile_all(processes: int = 2) -> None:
    """Compile the kernels of the cells in conf/cell, one cell per process at a time."""
    texts = _nodes("cell")
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        pool.map(compile_cell, texts, chunksize=1)
        pool.apply(compile_updates, [_nodes("optimizer")])


def _nodes(kind: str) -> list[str]:
    return [
        path.read_text(encoding="utf-8") for path in sorted(conf_folder().glob(f"{kind}/*.yaml"))
    ]


def compile_updates(texts: Sequence[str]) -> None:
    """Run what surrounds the kernels in an update, with each of these optimizers."""
    from study.kernels.native import updates
    from study.kernels.native.members import fill, pack, unpack

    torch.set_num_threads(1)
    rows = torch.ones(MEMBERS, INPUTS)
    table = torch.tensor([[1, 0, 0, 0]]).numpy()
    row, weights = rows[0].numpy(), torch.ones(1, 3).numpy()
    pack(row, table, weights, 1, 1)
    unpack(weights, table, row, 1, 1)
    fill(torch.ones(1, 1, 1).numpy(), torch.ones(2, 3, BATCH).numpy(), 1)
    for text in texts:
        optimizer: Optimizer = build(yaml.safe_load(text), "optimizer")
        if defines(type(optimizer), "native", beside=("__call__",)):
            optimizer.native(rows, rows, optimizer.init(rows))
    one, wide = torch.ones(MEMBERS).numpy(), torch.ones(MEMBERS).double().numpy()
    alive = torch.ones(MEMBERS, dtype=torch.bool).numpy()
    at = torch.zeros(MEMBERS, dtype=torch.long).numpy()
    updates.cross_entropies(rows.numpy(), one.copy(), at, one.copy(), rows.clone().numpy())
    updates.at_outputs(rows.clone().numpy(), at, one[0])
    updates.settle(one, wide, *[rows.numpy()] * 3, 0, alive, at, alive)
    updates.products(rows.numpy(), rows.numpy(), rows.double().numpy())
    updates.turned(wide, wide, wide, alive, wide, wide)


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
