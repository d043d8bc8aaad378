"""Samplers of our own, and how any of them is built: anew for every trial, from the trial's own
seed.

Then what is drawn depends on what has been found and on the trial, not on which process asks or how
often it was started.
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from hydra.utils import get_class
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, RandomSampler

from study.records import StudyError
from study.search.space import Space


class Grid(RandomSampler):
    """Every combination of levels once, in an order drawn from the search's seed; `settings` are
    handed out by slot.
    """

    @staticmethod
    def settings(space: Space, seed: int) -> list[dict[str, Any]]:
        levels = {key: _levels(key, of) for key, of in space.items()}
        if math.prod(map(len, levels.values())) > 100_000:
            raise StudyError("search/sampler=grid: the space has more than 100,000 combinations")
        made = [
            dict(zip(levels, values, strict=True)) for values in itertools.product(*levels.values())
        ]
        return [made[index] for index in np.random.default_rng(seed).permutation(len(made))]


def _levels(key: str, of: Any) -> list[Any]:
    if isinstance(of, CategoricalDistribution):
        return list(of.choices)
    if isinstance(of, IntDistribution):
        return list(range(of.low, of.high + 1, of.step))
    if isinstance(of, FloatDistribution) and of.step:
        return [
            of.low + of.step * index for index in range(round((of.high - of.low) / of.step) + 1)
        ]
    raise StudyError(f"{key}: search/sampler=grid needs a choice or a range, not an interval")


def build(node: Any, group: str, kind: type, **further: Any) -> Any:
    """A sampler or pruner from its YAML."""
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise StudyError(
            f"search.{group}: choose one with search/{group}=NAME (see python -m study --help), got"
            f" {node!r}"
        )
    try:
        piece = get_class(node["_target_"])
        takes = inspect.signature(piece).parameters
        made = piece(
            **{key: value for key, value in node.items() if key != "_target_"},
            **{key: value for key, value in further.items() if key in takes},
        )
        if isinstance(made, BaseSampler):
            made.infer_relative_search_space  # noqa: B018
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise StudyError(f"search/{group}: {node['_target_']} cannot be made ({error})") from error
    if not isinstance(made, kind):
        raise StudyError(
            f"search/{group}: _target_ must be a {kind.__name__} of Optuna, got {node['_target_']}"
        )
    return made


def sampler(node: Any, seed: int) -> BaseSampler:
    made: BaseSampler = build(node, "sampler", BaseSampler, seed=seed)
    return made


def pruner(node: Any) -> BasePruner:
    made: BasePruner = build(node, "pruner", BasePruner)
    return made


def seed_of(seed: int, *key: Any) -> int:
    """A seed of (seed, key): equal in every process."""
    digest = hashlib.blake2b("/".join(map(str, (seed, *key))).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1
