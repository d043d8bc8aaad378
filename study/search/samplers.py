"""Our own samplers, and how samplers and pruners are built: anew for every trial, with its seed.

So a draw depends on the trial and the results so far, not on the process or its restarts.
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

from study.program import training
from study.records import StudyError
from study.search.space import Space


class Grid(RandomSampler):
    """Every combination of levels once, in an order drawn from the search's seed."""

    @staticmethod
    def settings(space: Space, seed: int) -> list[dict[str, Any]]:
        """The combinations by slot."""
        levels = {key: _levels(key, domain) for key, domain in space.items()}
        if math.prod(map(len, levels.values())) > 100_000:
            raise StudyError("search/sampler=grid: the space has more than 100,000 combinations")
        combinations = [
            dict(zip(levels, values, strict=True)) for values in itertools.product(*levels.values())
        ]
        order = np.random.default_rng(seed).permutation(len(combinations))
        return [combinations[index] for index in order]


def _levels(key: str, domain: Any) -> list[Any]:
    if isinstance(domain, CategoricalDistribution):
        return list(domain.choices)
    if isinstance(domain, IntDistribution):
        return list(range(domain.low, domain.high + 1, domain.step))
    if isinstance(domain, FloatDistribution) and domain.step:
        return [
            domain.low + domain.step * index
            for index in range(round((domain.high - domain.low) / domain.step) + 1)
        ]
    raise StudyError(f"{key}: search/sampler=grid needs a choice or a range, not an interval")


class QMC(RandomSampler):
    """A scrambled Sobol sequence, which covers the space more evenly than random settings."""

    @staticmethod
    def setting(space: Space, seed: int, slot: int) -> dict[str, Any]:
        """The setting of a slot, whichever process tries it and however often."""
        from scipy.stats.qmc import Sobol  # slow to import

        sequence = Sobol(len(space), rng=seed)
        if slot:
            sequence.fast_forward(slot)
        return {
            key: _at(domain, float(share))
            for (key, domain), share in zip(space.items(), sequence.random(1)[0], strict=True)
        }


def _at(domain: Any, share: float) -> Any:
    """The value at a share, in [0, 1), of a domain; whole numbers and steps are equally likely."""
    if isinstance(domain, FloatDistribution) and not domain.step:
        scale, back = (math.log, math.exp) if domain.log else (float, float)
        low, high = scale(domain.low), scale(domain.high)
        return min(max(back(low + share * (high - low)), domain.low), domain.high)
    if isinstance(domain, IntDistribution) and domain.log:
        low, high = math.log(domain.low - 0.5), math.log(domain.high + 0.5)
        return min(max(round(math.exp(low + share * (high - low))), domain.low), domain.high)
    levels = _levels("", domain)
    return levels[int(share * len(levels))]


def build(node: Any, group: str, kind: type, **further: Any) -> Any:
    """Build a sampler or pruner from its YAML."""
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise StudyError(
            f"search.{group}: choose one with search/{group}=NAME, see {training(many=False)}"
            f" --help; got {node!r}"
        )
    try:
        constructor = get_class(node["_target_"])
        takes = inspect.signature(constructor).parameters
        piece = constructor(
            **{key: value for key, value in node.items() if key != "_target_"},
            **{key: value for key, value in further.items() if key in takes},
        )
        if isinstance(piece, BaseSampler):
            piece.infer_relative_search_space  # noqa: B018
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise StudyError(f"search/{group}: {node['_target_']} cannot be built ({error})") from error
    if not isinstance(piece, kind):
        raise StudyError(
            f"search/{group}: _target_ must be a {kind.__name__} of Optuna, got {node['_target_']}"
        )
    return piece


def sampler(node: Any, seed: int) -> BaseSampler:
    piece: BaseSampler = build(node, "sampler", BaseSampler, seed=seed)
    return piece


def pruner(node: Any) -> BasePruner:
    piece: BasePruner = build(node, "pruner", BasePruner)
    return piece


def seed_of(seed: int, *key: Any) -> int:
    """Derive a seed from (seed, key), the same in every process."""
    digest = hashlib.blake2b("/".join(map(str, (seed, *key))).encode(), digest_size=4).digest()
    return int.from_bytes(digest, "big") >> 1
