"""Terms of a factorial as hypotheses about arm means, whatever combinations are missing."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

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


def _term(arms: pd.DataFrame, factors: Sequence[str], chosen: tuple[str, ...]) -> Term:
    block = codes(arms, [factor for factor in factors if factor not in chosen])
    own = _indicators(codes(arms, chosen))
    lower = [
        _indicators(codes(arms, [key for key in factors if key != left_out])) for left_out in chosen
    ]
    within = own - _projected(np.hstack(lower), own)
    return Term(" × ".join(chosen), chosen, _basis(within), block)


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
    basis = _basis(onto)
    return basis @ (basis.T @ columns)


def _basis(columns: Array) -> Array:
    """Orthonormal columns that span the same space."""
    if not columns.size:
        return columns[:, :0]
    u, s, _ = np.linalg.svd(columns, full_matrices=False)
    return u[:, s > RANK * max(1.0, float(s[0]))]
