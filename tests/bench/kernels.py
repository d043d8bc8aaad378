"""One layer, forward and back, by each kernel of every built-in cell over hidden units × examples ×
members; `make bench-kernels` writes what `kernel=auto` takes.

For the kind of device that is asked for (a GPU where there is one); what the table has of the other
kind stays.

A kernel is part of a point's identity and must not follow from its company, so the table has no
members: what it holds is best over both groups that are timed, a small one and a large one. A later
kernel of today's order replaces an earlier one only where it is faster by MARGIN.
"""

from __future__ import annotations

import argparse
import functools
import itertools
import math
import platform
import statistics
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
import yaml

from study.config.build import build
from study.config.paths import conf_folder
from study.interfaces import Cell
from study.kernels import reference, triton
from study.kernels.table import TABLE
from study.training.precision import fixed_numerics
from tests.bench.structures import clock

HIDDEN, BATCH, SMALL = (8, 16, 32, 64, 128, 256), (16, 64, 256), 2
STEPS, INPUTS = 40, 8
LARGE = 128 * 256  # units × examples from which a few members are as good as many
MARGIN = 1.1

Size = tuple[int, int, int]  # hidden, batch, members
# cell -> size -> kernel -> seconds of each repeat (structures.clock)
Seconds = dict[str, dict[Size, dict[str, list[float]]]]


def cells() -> dict[str, Cell]:
    """Built-in cells by module and name of their class, each once."""
    found: dict[str, Cell] = {}
    for path in sorted((conf_folder() / "cell").glob("*.yaml")):
        cell = build(yaml.safe_load(path.read_text(encoding="utf-8")), "cell")
        found.setdefault(f"{type(cell).__module__}.{type(cell).__qualname__}", cell)
    return found


def own(cell: Cell, hidden: int, device: str) -> list[str]:
    """Kernels that compute a layer of this size on this kind of device, the fastest first; the
    reference last.
    """
    kinds = {"cpu": ("native", "fused"), "cuda": ("fused",)}[device]
    ours = (
        []
        if triton.why_not(cell, hidden=hidden, dtype="float32", device_type=device, elsewhere=False)
        else ["triton"]
    )
    return [*ours, *(kernel for kernel in kinds if cell.has_kernel(kernel)), "reference"]


def once(cell: Cell, kernel: str, size: Size, steps: int, device: str = "cpu") -> float:
    """Seconds of one forward and backward pass in float32."""
    hidden, batch, members = size
    drawn = torch.Generator().manual_seed(hidden)
    params = {
        one.name: (
            torch.randn(members, *one.shape, generator=drawn)
            .div(hidden**0.5)
            .to(device)
            .requires_grad_()
        )
        for one in cell.shapes(INPUTS, hidden)
    }
    x = torch.randn(members, steps, batch, INPUTS, generator=drawn).to(device).requires_grad_()
    ways = {
        "native": lambda params, x: cell.native(params).outputs(x),
        "fused": cell.layer,
        "triton": functools.partial(triton.layer, cell),
    }
    start = clock(device)
    h = ways[kernel](params, x) if kernel in ways else reference.outputs(cell, params, x, hidden)
    assert h is not None
    h.square().mean().backward()
    return clock(device) - start


def times(
    repeats: int, members: int, share: float, say: Callable[[str], None], device: str = "cpu"
) -> Iterator[tuple[str, Size, str, list[float]]]:
    """Kernels in turn, so that what else the machine does meets all of them."""
    steps = max(2, round(STEPS * share))
    with fixed_numerics():
        for name, cell in cells().items():
            for hidden, batch in itertools.product(HIDDEN, BATCH):
                kernels = own(cell, hidden, device)
                for kernel in kernels:  # compiled before anything is timed; on a GPU for every size
                    once(cell, kernel, (hidden, batch, SMALL), 2, device)
                for count in (
                    SMALL,
                    min(members, 4) if hidden * batch >= LARGE and device == "cpu" else members,
                ):
                    size = (hidden, batch, count)
                    taken: dict[str, list[float]] = {kernel: [] for kernel in kernels}
                    for repeat in range(repeats):
                        for kernel in kernels[:: 1 if repeat % 2 == 0 else -1]:
                            taken[kernel].append(once(cell, kernel, size, steps, device))
                    yield from ((name, size, kernel, taken[kernel]) for kernel in kernels)
                say(f"{name}: hidden {hidden}, batch {batch}")


def collected(
    repeats: int, members: int, share: float, say: Callable[[str], None], device: str = "cpu"
) -> Seconds:
    found: Seconds = {}
    for name, size, kernel, taken in times(repeats, members, share, say, device):
        found.setdefault(name, {}).setdefault(size, {})[kernel] = taken
    return found


def table(found: Seconds) -> dict[str, list[dict[str, object]]]:
    """cell -> rows {hidden, batch, kernel, times: {kernel: as a multiple of the fastest}}:
    geometric means over the groups of medians over repeats.
    """
    made: dict[str, list[dict[str, object]]] = {}
    for name, sizes in found.items():
        for hidden, batch in dict.fromkeys(size[:2] for size in sizes):
            groups = [
                {kernel: statistics.median(taken) for kernel, taken in of.items()}
                for size, of in sizes.items()
                if size[:2] == (hidden, batch)
            ]
            mean = {
                kernel: math.exp(statistics.fmean(math.log(group[kernel]) for group in groups))
                for kernel in groups[0]
            }
            least = min(mean.values())
            kernel = next(kernel for kernel, seconds in mean.items() if seconds <= least * MARGIN)
            times = {kernel: round(seconds / least, 2) for kernel, seconds in mean.items()}
            made.setdefault(name, []).append(
                {"hidden": hidden, "batch": batch, "kernel": kernel, "times": times}
            )
    return made


def written(
    found: Seconds, facts: dict[str, object], device: str, before: Mapping[str, Any]
) -> str:
    """The file: what was found of this kind of device, and what the table `before` has of the
    other.
    """
    measured, whole = before["measured"], dict(before["kernels"])
    if "torch" in measured:  # of before there were kinds
        measured = {"cpu": measured}
    whole[device] = table(found)
    lines = [
        "# The kernels that kernel=auto chooses, by device type, cell and nearest size. Written by"
        " `make bench-kernels`; `times`: as a multiple of the fastest, CPU time or, on a GPU, time."
    ]
    lines += [
        "# A change here gives new ids to points whose kernel it changes. Cells and devices that"
        " are missing use native (CPU) or triton (CUDA), else fused, else reference."
    ]
    lines += [
        yaml.safe_dump(
            {"measured": {**measured, device: facts}}, sort_keys=False, width=200
        ).rstrip(),
        "kernels:",
    ]
    for kind, of in sorted(whole.items()):
        lines.append(f"  {kind}:")
        for name, rows in of.items():
            lines.append(f"    {name}:")
            for row in rows:
                dumped = yaml.safe_dump(row, default_flow_style=True, sort_keys=False, width=200)
                lines.append(f"      - {dumped.strip()}")
    return "\n".join(lines) + "\n"


def processor() -> str:
    """The model that the kernel of the system names, without the machine's name."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:  # noqa: PTH123
            return next(
                (line.split(":", 1)[1].strip() for line in file if line.startswith("model name")),
                platform.machine(),
            )
    except OSError:
        return platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench-kernels", description=__doc__)
    parser.add_argument("--members", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--device", choices=("cpu", "cuda"), default="cuda" if torch.cuda.is_available() else "cpu"
    )
    asked = parser.parse_args()
    found = collected(
        asked.repeats,
        asked.members,
        1.0,
        lambda line: print(line, file=sys.stderr, flush=True),
        asked.device,
    )
    facts = {
        "processor": torch.cuda.get_device_name() if asked.device == "cuda" else processor(),
        "torch": str(torch.__version__),
        "members": [SMALL, asked.members],
        "steps": STEPS,
        "inputs": INPUTS,
        "repeats": asked.repeats,
    }
    TABLE.write_text(
        written(found, facts, asked.device, yaml.safe_load(TABLE.read_text(encoding="utf-8"))),
        encoding="utf-8",
    )
    print(TABLE)


if __name__ == "__main__":
    main()
