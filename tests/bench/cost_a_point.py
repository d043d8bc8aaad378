"""What a point costs beside its training, to 10,000 points (tests/campaigns/load.py): CPU
milliseconds, without trackers and with W&B offline.
"""

from __future__ import annotations

from study.store import Store
from tests.bench.commands import temporary
from tests.bench.figure import Found, Goal, TrialRequest, Value
from tests.campaigns.load import ARMS, BUDGETS, arguments, cost, training

TITLE = "cost of a point beside training, CPU"
REPEATS = 1  # minutes
SIZES, TRACKED = (100, 1_000, 10_000), 300


def up_to(most: int) -> list[int]:
    """Sizes of studies, the last one of the most points that were asked for."""
    last = min(most, SIZES[-1])
    return [*(size for size in SIZES if size < last), last]


def measure(asked: TrialRequest, repeat: int) -> Found:
    found: dict[str, Value] = {}
    # points, CPU seconds, wall seconds
    spent: dict[str, list[tuple[int, float, float]]] = {"plan": [], "train": [], "status": []}
    asked.more["cost_a_point"] = spent  # growth draws it too
    with temporary() as folder:
        sizes = up_to(asked.points)
        alone = bare = 0.0
        for size in sizes:
            name, goal = f"load{size}", Goal(most=BUDGETS["bare"]) if size == SIZES[-1] else None
            spent["plan"].append(
                (size, *cost(folder, *arguments(size, name, "tracker=[]", "plan=true")))
            )
            cpu, wall = cost(folder, *arguments(size, name, "tracker=[]"))
            store = Store(folder / "outputs" / name)
            made = len(store.ids())
            if made != round(size / ARMS) * ARMS:
                raise RuntimeError(f"{made} of {size} points are stored")
            spent["train"].append((size, cpu, wall))
            alone = alone or training(store.folder, 16)
            bare = 1000 * (cpu / made - alone)
            spent["status"].append(
                (size, *cost(folder, "-m", "reports", "status", str(store.folder)))
            )
            found[f"{made:,} points, no tracker"] = Value(bare, "ms", goal)
            asked.say(
                f"repeat {repeat + 1}: {made} points: {cpu:.0f} CPU s, {wall:.0f} s; training"
                f" {1000 * alone:.1f} ms a point, beside it {bare:.1f} ms"
            )
        tracked = min(TRACKED, asked.points)
        without, _ = cost(folder, *arguments(tracked, "bare", "tracker=[]"))
        with_, _ = cost(folder, *arguments(tracked, "tracked"))
        more = 1000 * (with_ - without) / (round(tracked / ARMS) * ARMS)
        found["with W&B offline"] = Value(
            bare + more, "ms", Goal(most=BUDGETS["tracked"]) if sizes[-1] == SIZES[-1] else None
        )
        asked.say(f"repeat {repeat + 1}: W&B offline {more:.1f} CPU ms a point more")
    return found
