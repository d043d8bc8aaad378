"""How training time grows with members, hidden units, length and depth, and which share of the
machine's matrix-product rate it reaches.

One thread, fp32, bare updates (sampling, forward, backward, clipping, optimizer) of one group. The
rates are measured in the same run: torch.mm of 1,024 × 1,024 matrices is the machine's; torch.bmm
of one step's product is what a stepwise recurrence could have. A picture and a table of all numbers
go beside the JSON.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from study.interfaces import Point
from study.training.precision import fixed_numerics
from study.training.state import prepare
from study.training.step import step
from tests.bench.figure import Found, TrialRequest, Value
from tests.bench.structures import bare, structures

TITLE = "growth: training of one group, one thread (share: of torch.mm's rate)"
REPEATS = 1  # every number is the median of ROUNDS already
ROUNDS, SECONDS = 3, 0.12  # a round: as many updates as take so long, at least one
CELLS = ("rnn", "lstm", "gru")
BASE = {"members": 16, "hidden": 32, "steps": 64, "depth": 1}
CURVES = {
    "members": (2, 4, 8, 16, 32, 64),
    "hidden": (16, 32, 64, 128, 256),
    "steps": (16, 64, 256, 1024),
    "depth": (1, 2, 4),
}
GATES = {"rnn": 1, "lstm": 4, "gru": 3}
BATCH = 64


@dataclass(frozen=True)
class Size:
    cell: str
    members: int
    hidden: int
    steps: int
    depth: int

    def points(self) -> list[Point]:
        """Of the adding task, whose length can be chosen: two inputs a step."""
        overrides = (
            f"cell={self.cell}",
            f"hidden={self.hidden}",
            f"depth={self.depth}",
            f"task.steps={self.steps}",
            f"batch={BATCH}",
        )
        (points,) = structures(
            "adding",
            self.members,
            *overrides,
            "initializer=orthogonal",
            f"seed=range({max(self.members, 2)})",
            "task.examples=64",
        ).values()
        return bare(points)

    def products(self) -> float:
        """Floating-point operations of an update's matrix products: forward; back to weights; back
        to states and lower layers.
        """
        states = 6.0 * self.depth * self.hidden**2  # h_{t-1} W: three products of 2·H·GH
        # x W: the first layer's input wants no gradient
        below = 4.0 * 2 * self.hidden + 6.0 * (self.depth - 1) * self.hidden**2
        return GATES[self.cell] * (states + below) * BATCH * self.steps * self.members


def rate(product: Any, operations: float) -> float:
    """Operations a second of a product, the best of some rounds."""
    best, until = float("inf"), time.process_time() + 0.5
    while time.process_time() < until:
        begun = time.process_time()
        for _ in range(10):
            product()
        best = min(best, (time.process_time() - begun) / 10)
    return operations / best


def rates() -> dict[str, float]:
    a = torch.randn(1024, 1024)
    found = {"torch.mm 1024": rate(lambda: torch.mm(a, a), 2.0 * 1024**3)}
    for hidden in CURVES["hidden"]:
        h, weight = (
            torch.randn(BASE["members"], BATCH, hidden),
            torch.randn(BASE["members"], hidden, 4 * hidden),
        )
        found[f"torch.bmm of a step, H={hidden}"] = rate(
            lambda h=h, weight=weight: torch.bmm(h, weight),
            2.0 * BASE["members"] * BATCH * 4 * hidden**2,
        )
    return found


def updates(points: Sequence[Point]) -> float:
    """CPU seconds of one update of a group."""
    training = prepare(points, "cpu")
    step(training, 0)
    begun = time.process_time()
    step(training, 1)
    count, found, update = max(1, round(SECONDS / max(time.process_time() - begun, 1e-6))), [], 2
    for _ in range(ROUNDS):
        begun = time.process_time()
        for _ in range(count):
            step(training, update)
            update += 1
        found.append((time.process_time() - begun) / count)
    return statistics.median(found)


def measure(asked: TrialRequest, repeat: int) -> Found:
    with fixed_numerics():
        known = rates()
        peak = known["torch.mm 1024"]
        rows = []
        for curve, sizes in CURVES.items():
            for cell in CELLS:
                for value in sizes[: max(2, round(len(sizes) * asked.share))]:
                    size = Size(cell, **{**BASE, curve: value})
                    seconds = updates(size.points())
                    rows.append(
                        {
                            "curve": curve,
                            "size": value,
                            **vars(size),
                            "ms": 1e3 * seconds,
                            "share": size.products() / seconds / peak,
                        }
                    )
            asked.say(f"growth: {curve} done")
    frame = pd.DataFrame(rows)
    asked.more["growth"] = {
        "gflops": {name: value / 1e9 for name, value in known.items()},
        "rows": rows,
    }
    asked.folder.mkdir(parents=True, exist_ok=True)
    frame.to_csv(asked.folder / "growth.csv", index=False)
    picture(frame, asked.more.get("cost_a_point", {}).get("train", []), asked.folder / "growth.png")
    found = {"torch.mm, 1024 × 1024": Value(peak / 1e9, "GFLOP/s")}
    for cell in CELLS:
        of = frame[
            (frame.cell == cell)
            & (frame.members == BASE["members"])
            & (frame.steps == BASE["steps"])
            & (frame.depth == 1)
        ].drop_duplicates("hidden")
        for hidden in (BASE["hidden"], of.hidden.max()):
            row = of[of.hidden == hidden].iloc[0]
            found[f"{cell}, H={hidden}: share of it"] = Value(100 * row.share, "%")
    return found


def picture(frame: pd.DataFrame, studies: Sequence[tuple[int, float, float]], path: Path) -> None:
    """Milliseconds of an update against each size, and the share of the matrix-product rate; both
    axes of time logarithmic.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt
    import seaborn as sns

    points = pd.DataFrame(studies, columns=["size", "CPU", "wall"])
    curves = list(CURVES)
    figure, axes = plt.subplots(2, len(curves) + 1, figsize=(18, 7), layout="constrained")
    for column, curve in enumerate(curves):
        for row, (y, label) in enumerate(
            (("ms", "ms an update"), ("share", "share of torch.mm's rate"))
        ):
            axis = axes[row, column]
            sns.lineplot(
                frame[frame.curve == curve],
                x="size",
                y=y,
                hue="cell",
                marker="o",
                ax=axis,
                legend=row == column == 0,
            )
            axis.set(xscale="log")
            axis.set_xticks(CURVES[curve], [str(size) for size in CURVES[curve]])
            axis.minorticks_off()
            axis.set(
                xlabel={"steps": "length"}.get(curve, curve),
                ylabel=label,
                **({"yscale": "log"} if row == 0 else {"ylim": (0, None)}),
            )
    if len(points):
        sns.lineplot(points, x="size", y="CPU", marker="o", ax=axes[0, -1], label="CPU")
        sns.lineplot(points, x="size", y="wall", marker="o", ax=axes[0, -1], label="wall")
        axes[0, -1].set(xscale="log", yscale="log", xlabel="points of a study", ylabel="seconds")
    else:
        axes[0, -1].set_axis_off()
    axes[1, -1].set_axis_off()
    figure.suptitle(
        f"One group, one thread: {', '.join(f'{name} {value}' for name, value in BASE.items())},"
        f" batch {BATCH} where not varied"
    )
    figure.savefig(path, dpi=110)
    plt.close(figure)
