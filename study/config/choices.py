"""Hydra's composition of each choice of levels, put together from one composition per level.

A composition takes Hydra some 0.1 seconds, and three factors of three levels have 27 choices.
Where a level brings nothing but keys of its own group, choosing it changes that node and no other,
so that nodes from compositions with one level changed each make every choice.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.default_element import ResultDefault
from omegaconf import DictConfig, OmegaConf


@dataclass(frozen=True)
class HydraComposition:
    """The configuration that Hydra composed for one choice of levels."""

    config: DictConfig
    choices: dict[str, str]
    # the files that it was merged from, in order; none if they are not known
    files: Sequence[ResultDefault] = ()


@dataclass
class Choices:
    """Compositions by levels (`cell=gru`); `compose` asks Hydra for one."""

    compose: Callable[[Sequence[str]], HydraComposition]
    base: tuple[str, ...] | None = None
    made: dict[tuple[str, ...], HydraComposition] = field(default_factory=dict)

    def __call__(self, levels: tuple[str, ...]) -> HydraComposition:
        """The composition of these levels, for the caller to change."""
        if self.base is None:
            self.base = levels
        if len(levels) != len(self.base):  # with those that arms choose
            return self.compose(levels)
        changed = [
            (*self.base[:number], level, *self.base[number + 1 :])
            for number, level in enumerate(levels)
            if level != self.base[number]
        ]
        if len(changed) < 2:
            return _copy(self._by_hydra(levels))
        base = self._by_hydra(self.base)
        nodes: dict[str, Any] = {}
        choices = dict(base.choices)
        for one in changed:
            (level,) = set(one) - set(self.base)
            group = level.partition("=")[0]
            alone = self._by_hydra(one)
            if group in nodes or not _is_alone(group, base, alone):
                return self.compose(levels)
            nodes[group] = alone.config._get_node(group)
            choices[group] = alone.choices[group]
        config = copy.deepcopy(base.config)
        for group, node in nodes.items():
            OmegaConf.update(config, group, node, merge=False)
        return HydraComposition(config, choices)

    def _by_hydra(self, levels: tuple[str, ...]) -> HydraComposition:
        if levels not in self.made:
            self.made[levels] = self.compose(levels)
        return self.made[levels]


def _copy(one: HydraComposition) -> HydraComposition:
    return HydraComposition(copy.deepcopy(one.config), dict(one.choices), one.files)


def _is_alone(group: str, base: HydraComposition, other: HydraComposition) -> bool:
    """Whether two compositions differ in files of this group, for keys of this group, alone."""

    def rest(of: HydraComposition) -> list[ResultDefault]:
        return [each for each in of.files if not _within(each.package, group)]

    choices = {key for key in {*base.choices, *other.choices} if key != group}
    return (
        bool(base.files)
        and group in base.config
        and group in other.config
        and rest(base) == rest(other)
        and all(base.choices.get(key) == other.choices.get(key) for key in choices)
    )


def _within(package: str | None, group: str) -> bool:
    return package is not None and f"{package}.".startswith(f"{group}.")
