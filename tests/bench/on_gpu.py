"""make gpu: default study and default search on a CUDA GPU, every kernel against the CPU in fp64,
persistent kernels layer by layer, two runs bit for bit.

python -m tests.bench.on_gpu [--quick]. Where there is no GPU it says so and measures nothing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

# read when CUDA starts; without it matrix products are not repeatable
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")

import torch
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path

from study.config.compose import Sweep, compose_all
from study.config.paths import conf_folder
from study.hydra_plugins import register
from study.interfaces import Point
from study.kernels import triton
from study.launch.plan import make_plan
from study.training.loop import train
from study.training.precision import fixed_numerics
from study.training.state import prepare
from tests.support import persistent

TOLERANCE = 1e-8
UPDATES = 5
# members, steps, batch, inputs, hidden
LAYERS = {f"H={hidden}": (3, 40, 20, 3, hidden) for hidden in (8, 20, 32, 64, 100, 128)}


def kernels() -> list[tuple[str, Point]]:
    """A small point of every cell of conf/cell, alone and stacked, by its fused kernel and by the
    reference.
    """
    register()
    loader = ConfigLoaderImpl(create_config_search_path(str(conf_folder().resolve())))
    factors = {
        "cell": sorted(path.stem for path in (conf_folder() / "cell").glob("*.yaml")),
        "depth": ["1", "2"],
        "kernel": ["auto", "reference"],
    }
    fixed = [
        f"updates={UPDATES}",
        "validate_every=5",
        "batch=16",
        "hidden=16",
        "task.form=row",
        "probe=[]",
        "tracker=[]",
        "device=cpu",
        "dtype=float64",
    ]
    of = Sweep(factors=factors, fixed=fixed)
    made: dict[str, Point] = {}
    for combination in compose_all(loader, "config", of):
        # one by one: auto is the reference for cells without a kernel of their own
        point = make_plan([combination], None, None).points[0]
        made.setdefault(point.id, point)
    return [
        (f"{point.labels['cell']} depth {point.labels['depth']} {point.config['kernel']}", point)
        for point in made.values()
    ]


def trained(point: Point, device: str, dtype: str) -> torch.Tensor:
    """Weights after a few updates of two members with seeds of their own."""
    points = [
        Point(
            f"{seed}",
            {**point.config, "dtype": dtype, "device": device, "seed": seed},
            point.labels,
            seed,
        )
        for seed in (0, 1)
    ]
    with fixed_numerics():
        training = prepare(points, device)
        train(training, lambda update: None)
    return training.params.detach().cpu()


def differences(device: str) -> dict[str, float]:
    """Largest difference of a weight from the CPU's, in fp64, by kernel."""
    return {
        name: float(
            (trained(point, device, "float64") - trained(point, "cpu", "float64")).abs().max()
        )
        for name, point in kernels()
    }


def errors(device: str) -> dict[str, tuple[float, float]]:
    """Largest error of a weight in fp32, of kernel=auto and of the reference, by cell: what the CPU
    has in fp64 is true.
    """
    found: dict[str, dict[str, float]] = {}
    for name, point in kernels():
        cell, kernel = name.rsplit(" ", 1)
        found.setdefault(cell, {})[kernel] = float(
            (trained(point, device, "float32") - trained(point, "cpu", "float64")).abs().max()
        )
    return {cell: (of["auto"], of["reference"]) for cell, of in found.items()}


def repeats(device: str) -> dict[str, bool]:
    """Whether two runs in fp32 end in the same bits, with deterministic algorithms asked for."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        return {
            name: torch.equal(trained(point, device, "float32"), trained(point, device, "float32"))
            for name, point in kernels()
        }
    finally:
        torch.use_deterministic_algorithms(before)


def layers(device: str, sizes: Mapping[str, tuple[int, int, int, int, int]]) -> int:
    """Outputs, gradients and reach of the persistent kernels, each said; how many are further from
    the truth than rounding explains.
    """
    wrong = 0
    for size, cells in persistent.errors(sizes, device).items():
        for cell, of in cells.items():
            far = [quantity for quantity, pair in of.items() if not persistent.near(*pair)]
            wrong += len(far)
            worst = max(of, key=lambda quantity: of[quantity][0])
            print(
                f"  triton {cell} {size}: largest error {of[worst][0]:.1e} ({worst}; reference"
                f" {of[worst][1]:.1e}){f'   NOT NEAR: {far}' if far else ''}"
            )
    return wrong


def command(*arguments: str) -> float:
    """Seconds of a command of ours, whose output is shown."""
    begun = time.monotonic()
    subprocess.run([sys.executable, "-m", "study", "-m", *arguments], check=True, cwd=Path.cwd())
    return time.monotonic() - begun


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.on_gpu", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="kernels only, neither study nor search"
    )
    asked = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print("no CUDA GPU here (torch.cuda.is_available() is false): nothing was measured")
        return 0
    print(
        f"{torch.cuda.get_device_name()}, torch {torch.__version__},"
        f" {torch.cuda.device_count()} GPU"
    )
    wrong = 0
    for name, difference in differences("cuda").items():
        wrong += difference >= TOLERANCE
        print(
            f"  {name:32} fp64 against the CPU"
            f" {difference:.1e}{'' if difference < TOLERANCE else '   NOT BELOW 1e-8'}"
        )
    for name, (ours, theirs) in errors("cuda").items():
        wrong += ours > 10 * theirs + 1e-5
        print(
            f"  {name:32} fp32 by kernel=auto {ours:.1e}, by the reference"
            f" {theirs:.1e}{'' if ours <= 10 * theirs + 1e-5 else '   NOT NEAR'}"
        )
    if any(
        triton.why_not(cell, hidden=8, dtype="float32", device_type="cuda", elsewhere=False) is None
        for cell in persistent.CELLS.values()
    ):
        wrong += layers("cuda", LAYERS)
    for name, equal in repeats("cuda").items():
        wrong += not equal
        print(f"  {name:32} fp32 twice {'equal' if equal else 'NOT EQUAL'}")
    if not asked.quick:
        print(
            "default study:"
            f" {command('experiment=digits', 'device=cuda', 'name=gpu_digits', 'tracker=[]'):.0f} s"
        )
        search = (
            "experiment=digits",
            "hydra/sweeper=optuna",
            "search=default",
            "device=cuda",
            "name=gpu_search",
            "tracker=[]",
        )
        print(f"default search: {command(*search):.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
