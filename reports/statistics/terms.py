"""Terms of a factorial as hypotheses about arm means, whatever combinations are missing."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from reports.statistics.estimates import Array

RANK = 1e-8  # singular values below this share of the largest are rounding


@dataclass(frozen=True)
class Term:
    """A hypothesis weights.T @ (means of the arms) = 0.

    `weights` [A, k]: orthonormal columns, one per degree of freedom; none if no arms decide the
    term. `block` [A]: number of the combination of other factors; under the hypothesis, points are
    exchangeable within a block.
    """

    name: str
    factors: tuple[str, ...]
    weights: Array
    block: Array

    @property
    def df(self) -> int:
        return int(self.weights.shape[1])


def terms(arms: pd.DataFrame, factors: Sequence[str], *, order: int = 2) -> list[Term]:
    """Main effects and interactions of up to `order` factors; `arms`: one row per arm.

    A term is what its factors do within blocks of all others, averaged over these. If combinations
    are missing, it rests on the blocks that have the levels to compare. For a full factorial these
    are the usual orthogonal contrasts, arms weighing equally.
    """
    return [
        _term(arms, factors, chosen)
        for size in range(1, order + 1)
        for chosen in itertools.combinations(factors, size)
    ]


@dataclass(frozen=True)
class Confounded:
    """What the arms that are there cannot tell apart.

    `factors`: of main effects; none for interactions. `terms`: their names. `islands`: groups of
    levels of a factor; arms that differ in this factor alone never cross from one group to another.
    `missing`: levels of an arm that would join two groups. `weights` [A, k]: as of a term.
    """

    factors: tuple[str, ...]
    terms: tuple[str, ...]
    islands: Mapping[str, tuple[tuple[str, ...], ...]]
    missing: Mapping[str, str]
    weights: Array


def confounded(
    arms: pd.DataFrame, factors: Sequence[str], found: Sequence[Term]
) -> list[Confounded]:
    """Main effects and two-way interactions, or parts of them, that lie outside of all of `found`.

    `found`: terms(arms, factors). A term lacks a degree of freedom if some combination of its own
    levels is also one of the other factors'. Such combinations, less the mean, what `found` spans
    and, for interactions, all main effects, are the confounded part. Main effects that are
    confounded with each other stand together; interactions stand together in the last one.
    """
    lacking = [one for one in found if one.df < _possible(arms, one.factors)]
    if not lacking:
        return []
    spanned = np.hstack([np.full((len(arms), 1), 1.0), *(one.weights for one in found)])
    islands = {
        one.factors[0]: _islands(arms, factors, one.factors[0])
        for one in lacking
        if len(one.factors) == 1
    }
    made = []
    for group in _groups(arms, factors, list(islands)):
        own = [key for key in group if key in islands]
        codes_of = [islands[key][0] for key in own]
        weights = basis(_beyond(np.hstack(list(map(_indicators, codes_of))), spanned))
        levels = {key: islands[key][1] for key in own}
        missing = _joining(arms, own[0], codes_of[0], group)
        made.append(Confounded(group, tuple(own), levels, missing, weights))
    both = [one for one in lacking if len(one.factors) == 2]
    if both:
        main = [_indicators(codes(arms, [key])) for key in factors]
        parts = [_shared(arms, factors, one) for one in both]
        weights = basis(_beyond(np.hstack(parts), np.hstack([spanned, *main])))
        if weights.shape[1]:
            made.append(Confounded((), tuple(one.name for one in both), {}, {}, weights))
    return [one for one in made if one.weights.shape[1]]


def levels_and_pairs(arms: pd.DataFrame, factors: Sequence[str]) -> Array:
    """Indicators of all pairs of levels of two factors, which also give those of single levels."""
    pairs = itertools.combinations(factors, 2) if len(factors) > 1 else [tuple(factors)]
    return np.hstack([_indicators(codes(arms, pair)) for pair in pairs])


def _possible(arms: pd.DataFrame, chosen: tuple[str, ...]) -> int:
    """Degrees of freedom of a term if its levels, as far as they occur, could be told apart."""
    numbers = [codes(arms, [key]) for key in chosen]
    levels = [int(number.max()) + 1 for number in numbers]
    if len(chosen) == 1:
        return levels[0] - 1
    cells = len(np.unique(np.stack(numbers), axis=1).T)
    return cells - sum(levels) + len(set(_linked(*numbers)))


def _linked(one: Array, other: Array) -> Array:
    """For each arm, the number of the set of levels of `one` that levels of `other` link."""
    n, m = int(one.max()) + 1, int(other.max()) + 1
    graph = coo_matrix((np.ones(len(one)), (one, n + other)), shape=(n + m, n + m))
    return np.asarray(connected_components(graph, directed=False)[1])[one]


def _islands(
    arms: pd.DataFrame, factors: Sequence[str], factor: str
) -> tuple[Array, tuple[tuple[str, ...], ...]]:
    """Number of each arm's group of levels, and the groups (see Confounded)."""
    linked = _linked(codes(arms, [factor]), codes(arms, [key for key in factors if key != factor]))
    groups = tuple(
        tuple(dict.fromkeys(arms.loc[linked == number, factor])) for number in dict.fromkeys(linked)
    )
    return np.unique(linked, return_inverse=True)[1], groups


def _groups(
    arms: pd.DataFrame, factors: Sequence[str], lacking: Iterable[str]
) -> list[tuple[str, ...]]:
    """Each of these factors with those it is confounded with; groups with a factor in common are
    one.

    Partners are the fewest factors whose levels, if they may differ too, link levels that
    otherwise nothing links.
    """
    groups: list[set[str]] = []
    for factor in lacking:
        others = [key for key in factors if key != factor]
        own = {factor, *_partners(arms, factor, others)}
        for group in [group for group in groups if group & own]:
            groups.remove(group)
            own |= group
        groups.append(own)
    return [tuple(key for key in factors if key in group) for group in groups]


def _partners(arms: pd.DataFrame, factor: str, others: Sequence[str]) -> set[str]:
    own = codes(arms, [factor])
    whole = len(set(_linked(own, codes(arms, others))))
    for size in range(1, len(others) + 1):
        found = [
            left_out
            for left_out in itertools.combinations(others, size)
            if len(set(_linked(own, codes(arms, [key for key in others if key not in left_out]))))
            < whole
        ]
        if found:
            return {key for left_out in found for key in left_out}
    return set()


def _joining(
    arms: pd.DataFrame, factor: str, islands: Array, group: Sequence[str]
) -> dict[str, str]:
    """Levels of the group's factors of an arm that would join two islands of a factor: an arm of
    the first with the level of the second.
    """
    rest = codes(arms, [key for key in arms if key not in {*group, "arm", "label"}])
    first = int(np.flatnonzero(islands == islands[0])[0])
    across = np.flatnonzero(islands != islands[0])
    alike = across[rest[across] == rest[first]]
    other = int(alike[0] if len(alike) else across[0])
    of_first = {key: str(arms[key].iloc[first]) for key in group}
    return {**of_first, factor: str(arms[factor].iloc[other])}


def _shared(arms: pd.DataFrame, factors: Sequence[str], one: Term) -> Array:
    """Combinations of a two-way term's indicators that the other factors also give."""
    own = _indicators(codes(arms, one.factors))
    within = own - _projected(_lower(arms, factors, one.factors), own)
    _, s, rows = np.linalg.svd(np.linalg.qr(within, mode="r"))
    rank = int((s > RANK * max(1.0, float(s[0]))).sum())
    return own @ rows[rank:].T


def _beyond(columns: Array, spanned: Array) -> Array:
    return columns - _projected(spanned, columns)


def _lower(arms: pd.DataFrame, factors: Sequence[str], chosen: tuple[str, ...]) -> Array:
    """Indicators of all combinations that leave one of the chosen factors out."""
    return np.hstack(
        [_indicators(codes(arms, [key for key in factors if key != left])) for left in chosen]
    )


def _term(arms: pd.DataFrame, factors: Sequence[str], chosen: tuple[str, ...]) -> Term:
    block = codes(arms, [factor for factor in factors if factor not in chosen])
    own = _indicators(codes(arms, chosen))
    within = own - _projected(_lower(arms, factors, chosen), own)
    return Term(" × ".join(chosen), chosen, basis(within), block)


def codes(arms: pd.DataFrame, keys: Sequence[str]) -> Array:
    """A number from 0 for each combination of levels of these columns; all 0 without columns."""
    if not keys:
        return np.zeros(len(arms), dtype=int)
    return np.asarray(arms.groupby(list(keys), sort=False).ngroup(), dtype=int)


def contrast(weights: Mapping[int, float], arms: Sequence[int], block: Array, name: str) -> Term:
    """A declared contrast as a term with one degree of freedom; `weights` by arm, else 0."""
    column = np.array([weights.get(arm, 0.0) for arm in arms])
    length = float(np.linalg.norm(column))
    return Term(
        name,
        (),
        column[:, None] / length if length else column[:, :0].reshape(len(column), 0),
        block,
    )


def _indicators(code: Array) -> Array:
    return np.eye(int(code.max()) + 1)[code] if len(code) else np.zeros((0, 0))


def _projected(onto: Array, columns: Array) -> Array:
    spanned = basis(onto)
    return spanned @ (spanned.T @ columns)


def basis(columns: Array) -> Array:
    """Orthonormal columns that span the same space."""
    if not columns.size:
        return columns[:, :0]
    u, s, _ = np.linalg.svd(columns, full_matrices=False)
    return u[:, s > RANK * max(1.0, float(s[0]))]
