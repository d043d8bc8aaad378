"""What samplers and pruners are worth, where the answer is known: the bowl of study.search.synthetic through the search's own path.

python -m tests.bench_search [seeds]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

from optuna.trial import TrialState

from study.search.findings import best, setting
from study.search.slots import EXAMPLES
from study.search.spec import compose
from study.search.synthetic import Bowl
from tests.search.helpers import plan, searched

TRIALS = 30
SPACE = ["search=default", "search/objective=bowl", "task.form=row", f"search.trials={TRIALS}", "search.budget=trials"]


def run(*arguments: str) -> tuple[float, int, int]:
    """(worth of the best setting without noise, examples seen, examples of the budget) of one search."""
    with tempfile.TemporaryDirectory() as folder:
        spec, _ = plan(Path(folder), *SPACE, *arguments)
        slots, _ = searched(spec)
        counted = [slot.counted for slot in slots[0].slots() if slot.counted is not None]
        assert len(counted) == TRIALS and all(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in counted)
        winner = best(spec, counted)
        assert winner is not None
        node = {key: value for key, value in spec.settings.objective.items() if key != "_target_"}
        worth = Bowl(**node).score(compose(spec, spec.arms[0], setting(winner), 0).config)
        return worth, sum(trial.user_attrs[EXAMPLES] for trial in counted), slots[0].budget.price * TRIALS


def samplers(seeds: int, names: tuple[str, ...] = ("random", "tpe", "gp", "cmaes", "nsga2")) -> dict[str, list[float]]:
    """Worth of the best setting by sampler and seed; 1 is the best there is."""
    return {name: [run(f"search/sampler={name}", f"search.seed={seed}")[0] for seed in range(seeds)] for name in names}


def pruners(seeds: int, noise: float = 0.01) -> dict[str, list[tuple[float, float]]]:
    """(worth of the best setting, share of the updates saved) by pruner and seed, with noise between trials."""
    found: dict[str, list[tuple[float, float]]] = {}
    for name in ("none", "median", "hyperband"):
        for seed in range(seeds):
            worth, seen, whole = run(f"search/pruner={name}", f"search.seed={seed}", f"search.objective.noise={noise}")
            found.setdefault(name, []).append((worth, 1 - seen / whole))
    return found


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    begun = time.monotonic()
    print(f"{TRIALS} trials, {seeds} seeds; worth of the best setting found (1 is the best there is)")
    for name, worths in samplers(seeds).items():
        print(f"  {name:10} median {statistics.median(worths):.4f}   worst {min(worths):.4f}   best {max(worths):.4f}")
    print("with noise .01 between trials")
    for name, found in pruners(seeds).items():
        worths, saved = [worth for worth, _ in found], [share for _, share in found]
        print(f"  {name:10} median {statistics.median(worths):.4f}   updates saved {statistics.median(saved):.0%} (of {min(saved):.0%} to {max(saved):.0%})")
    print(f"{time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
