"""What samplers and pruners are worth, where the answer is known: the bowl of
study.search.synthetic through the search's own path.

python -m tests.bench.search [seeds]
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
LEAST, NOISE = (
    0.3,
    0.01,
    # share of the updates that pruning saves; standard deviation between trials, of which its best
    # value may lose two
)
SPACE = [
    "search=default",
    "search/objective=bowl",
    "task.form=row",
    f"search.trials={TRIALS}",
    "search.budget=trials",
]


def run(*arguments: str) -> tuple[float, int, int]:
    """(worth of the best setting without noise, examples seen, examples of the budget) of one
    search.
    """
    with tempfile.TemporaryDirectory() as folder:
        spec, _ = plan(Path(folder), *SPACE, *arguments)
        slots, _ = searched(spec)
        counted = [slot.counted for slot in slots[0].slots() if slot.counted is not None]
        assert len(counted) == TRIALS and all(
            trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in counted
        )
        winner = best(spec, counted)
        assert winner is not None
        node = {key: value for key, value in spec.settings.objective.items() if key != "_target_"}
        worth = Bowl(**node).score(compose(spec, spec.arms[0], setting(winner), 0).config)
        return (
            worth,
            sum(trial.user_attrs[EXAMPLES] for trial in counted),
            slots[0].budget.price * TRIALS,
        )


def samplers(
    seeds: int, names: tuple[str, ...] = ("random", "tpe", "gp", "cmaes", "nsga2")
) -> dict[str, list[float]]:
    """Worth of the best setting by sampler and seed; 1 is the best there is."""
    return {
        name: [run(f"search/sampler={name}", f"search.seed={seed}")[0] for seed in range(seeds)]
        for name in names
    }


def pruners(seeds: int, noise: float = NOISE) -> dict[str, list[tuple[float, float]]]:
    """(worth of the best setting, share of the updates saved) by pruner and seed, with noise
    between trials.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for name in ("none", "median", "hyperband"):
        for seed in range(seeds):
            worth, seen, whole = run(
                f"search/pruner={name}", f"search.seed={seed}", f"search.objective.noise={noise}"
            )
            found.setdefault(name, []).append((worth, 1 - seen / whole))
    return found


def main() -> int:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    begun = time.monotonic()
    print(
        f"{TRIALS} trials, {seeds} seeds; worth of the best setting found (1 is the best there is)"
    )
    by_sampler = samplers(seeds)
    for name, worths in by_sampler.items():
        print(
            f"  {name:10} median {statistics.median(worths):.4f}   worst {min(worths):.4f}   best"
            f" {max(worths):.4f}"
        )
    print("with noise .01 between trials")
    by_pruner = pruners(seeds)
    for name, found in by_pruner.items():
        worths, saved = [worth for worth, _ in found], [share for _, share in found]
        print(
            f"  {name:10} median {statistics.median(worths):.4f}   updates saved"
            f" {statistics.median(saved):.0%} (of {min(saved):.0%} to {max(saved):.0%})"
        )
    print(f"{time.monotonic() - begun:.0f} s")
    wrong = missed(by_sampler, by_pruner)
    for line in wrong:
        print(f"NOT MET: {line}")
    return 1 if wrong else 0


def missed(
    by_sampler: dict[str, list[float]], by_pruner: dict[str, list[tuple[float, float]]]
) -> list[str]:
    """What is claimed of them and does not hold: tpe above random in the median; a pruner saves
    LEAST of the updates and loses no more than 2 NOISE.
    """
    wrong = (
        []
        if statistics.median(by_sampler["tpe"]) > statistics.median(by_sampler["random"])
        else ["tpe is not above random in the median"]
    )
    whole = statistics.median(worth for worth, _ in by_pruner["none"])
    for name in ("median", "hyperband"):
        worth, saved = (statistics.median(values) for values in zip(*by_pruner[name], strict=True))
        wrong += (
            []
            if saved >= LEAST
            else [f"{name} saves {saved:.0%} of the updates, below {LEAST:.0%}"]
        )
        wrong += (
            []
            if worth >= whole - 2 * NOISE
            else [f"{name} loses {whole - worth:.3f} of the best value, with noise of {NOISE}"]
        )
    return wrong


if __name__ == "__main__":
    sys.exit(main())
