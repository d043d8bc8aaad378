"""Who trains, who validates, who tests: by class, by group, in time, or as a file says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from study.interfaces import PARTS
from study.records import StudyError
from study.tasks.shared.reading import labels_of

TIE = 1e-3  # weight of a part's size beside that of its classes
NAMED = 3  # classes named in one sentence
OFF = 0.05  # of all examples: a part's size that is reported


def split_groups(
    groups: np.ndarray,
    shares: Mapping[str, float],
    *,
    how: str,
    seed: int,
    source: str,
    strata: np.ndarray | None = None,
    weights: np.ndarray | None = None,
) -> dict[str, np.ndarray]:
    """Parts of whole groups, in their order if `how` is time, else drawn; StudyError if too few.

    groups, strata: [N], the group and the class of each example. weights: [N], None for 1 each.
    """
    labels = labels_of(groups)
    if len(set(labels.tolist())) < len(PARTS):
        raise StudyError(
            f"task.group: {source} has {len(set(labels.tolist()))} groups; train, validation and"
            " test need one each"
        )
    if how in ("time", "chronological"):
        return by_time(shares, labels, np.ones(len(labels)) if weights is None else weights)
    return spread(shares, labels, strata, seed, weights=weights, fill=True)


def by_time(
    shares: Mapping[str, float], groups: np.ndarray, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """The last shares are validation and test.

    groups: [N], whole groups stay together, in the order in which they begin; weights: [N].
    """
    _, first, of = np.unique(groups, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))[of]  # the number of an example's group in time
    ends = np.cumsum(np.bincount(rank, weights=weights))
    total, groups_left = float(ends[-1]), len(ends)
    test = total - max(1, round(shares["test"] * total))
    validation = test - max(1, round(shares["validation"] * total))
    # at least one group for each part
    first_cut = min(max(_nearest(ends, validation), 1), groups_left - 2)
    second_cut = min(max(_nearest(ends, test), first_cut + 1), groups_left - 1)
    return {
        "train": np.flatnonzero(rank < first_cut),
        "validation": np.flatnonzero((rank >= first_cut) & (rank < second_cut)),
        "test": np.flatnonzero(rank >= second_cut),
    }


def _nearest(ends: np.ndarray, position: float) -> int:
    """Groups before the boundary that is nearest to a position."""
    return int(np.abs(ends - position).argmin()) + 1


def at_random(
    shares: Mapping[str, float | int], strata: np.ndarray | None, seed: int, count: int
) -> dict[str, np.ndarray]:
    """Parts drawn one after the other, the last one first; ValueError if classes are too small.

    shares: of all examples, or whole numbers of them.
    """
    from sklearn.model_selection import train_test_split

    others, parts = np.arange(count), {}
    for part in reversed(list(shares)):
        others, parts[part] = train_test_split(
            others,
            test_size=shares[part],
            stratify=None if strata is None else strata[others],
            random_state=seed,
        )
    return {"train": others, **{part: parts[part] for part in shares}}


def spread(
    shares: Mapping[str, float],
    groups: np.ndarray,
    strata: np.ndarray | None,
    seed: int,
    *,
    weights: np.ndarray | None = None,
    fill: bool,
) -> dict[str, np.ndarray]:
    """Whole groups, each into the part that lacks its classes most; large ones first.

    shares: of validation, test, …, the rest trains. groups: [N]. strata: classes [N], or None.
    weights: [N], what is shared out, or None for examples. fill: give every part a group.
    """
    wanted = np.array([1 - sum(shares.values()), *shares.values()])
    names, of = np.unique(groups, return_inverse=True)
    kinds = np.zeros(len(of), int) if strata is None else np.unique(strata, return_inverse=True)[1]
    cells, cell = np.unique(np.stack([of, kinds]), axis=1, return_inverse=True)
    sizes = np.bincount(cell.ravel(), weights=weights).astype(float)
    starts = np.searchsorted(cells[0], np.arange(len(names) + 1))
    per_kind = np.bincount(cells[1], weights=sizes)
    per_group = np.bincount(cells[0], weights=sizes)
    have, overall = np.zeros((len(wanted), len(per_kind))), np.zeros(len(wanted))
    part = np.zeros(len(names), int)
    drawn = np.random.default_rng(seed).permutation(len(names))
    order = drawn[np.argsort(-per_group[drawn], kind="stable")]
    for place, group in enumerate(order):
        inside = slice(starts[group], starts[group + 1])
        kind, size = cells[1][inside], sizes[inside]
        # the derivative of the squared distance from the wanted sizes
        lack = (have[:, kind] + size / 2 - wanted[:, None] * per_kind[kind]) / per_kind[kind]
        cost = lack @ size / size.sum() + TIE * (overall / sizes.sum() - wanted)
        empty = np.flatnonzero(overall == 0)
        if fill and len(order) - place <= len(empty):
            cost[overall > 0] = np.inf
        part[group] = chosen = int(cost.argmin())
        have[chosen, kind] += size
        overall[chosen] += size.sum()
    return {
        name: np.flatnonzero(part[of] == number) for number, name in enumerate(["train", *shares])
    }


def sizes_off(sizes: Mapping[str, float], shares: Mapping[str, float], why: str) -> list[str]:
    """A sentence if parts are not of the size that was asked for."""
    wanted = {"train": 1 - sum(shares.values()), **shares}
    got = {part: sizes[part] / sum(sizes.values()) for part in wanted}
    if all(abs(got[part] - wanted[part]) <= OFF for part in wanted):
        return []
    has, asked = ("/".join(f"{100 * of[part]:.0f}" for part in wanted) for of in (got, wanted))
    return [f"{why} give {'/'.join(wanted)} {has} % of the examples instead of {asked} %"]


def missing_classes(
    parts: Mapping[str, np.ndarray], targets: np.ndarray, classes: Sequence[object]
) -> list[str]:
    """Sentences about classes that a part has none of, or validation and test one example."""
    place = {name: number for number, name in enumerate(classes)}
    numbers = np.array([place[name] for name in targets.tolist()])
    counts = {part: np.bincount(numbers[parts[part]], minlength=len(classes)) for part in PARTS}
    found = [
        f"{_named(classes, none)} {_has(none)} no example in {part}"
        + ("; it cannot be learned" if part == "train" else "")
        for part in PARTS
        if (none := np.flatnonzero(counts[part] == 0)).size
    ]
    found += [
        f"{_named(classes, single)} {_has(single)} 1 example in {part}"
        for part in PARTS[1:]
        if (single := np.flatnonzero(counts[part] == 1)).size
    ]
    return found


def _named(classes: Sequence[object], which: np.ndarray) -> str:
    named = ", ".join(repr(classes[number]) for number in which[:NAMED])
    more = f" and {len(which) - NAMED} more" if len(which) > NAMED else ""
    return f"{'class' if len(which) == 1 else 'classes'} {named}{more}"


def _has(which: np.ndarray) -> str:
    return "has" if len(which) == 1 else "have"
