"""One form for configurations that are the same network: numbers by type, no idle settings."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from typing import Any, get_args

from study.config.build import argument_hints, build, fits
from study.config.compose import Combination, select
from study.config.setup import Setup
from study.interfaces import Cell, EachMember

# Root keys whose nodes are no pieces, or pieces of the user's own without declared types.
NOT_TYPED = ("model", "trainer")
NOTHING: dict[str, Any] = {"_target_": "nothing"}


def canonical(combination: Combination) -> Combination:
    """The combination with numbers by type, in its configuration and its labels."""
    config = typed(combination.config)
    labels = {
        key: select(config, key) if isinstance(value, int) and "." in key else value
        for key, value in combination.labels.items()
    }
    return Combination(config=config, labels=labels)


def typed(config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration with 1 as 1.0 wherever a constructor takes a float."""
    return {key: node if key in NOT_TYPED else _typed(node, key) for key, node in config.items()}


def _typed(node: Any, key: str) -> Any:
    if isinstance(node, list):
        return [_typed(each, key) for each in node]
    if not isinstance(node, Mapping):
        return node
    hints = argument_hints(node) if isinstance(node.get("_target_"), str) else {}
    return {
        name: _floats(value)
        if _is_each_member(hints.get(name))
        else float(value)
        if isinstance(value, int) and not isinstance(value, bool) and _is_float(hints.get(name))
        else _typed(value, name)
        for name, value in node.items()
    }


def _is_each_member(hint: Any) -> bool:
    """Whether an argument is a mapping whose numbers are settings of members."""
    return EachMember in get_args(hint)[1:]


def _floats(node: Any) -> Any:
    """Every whole number of a node as a float."""
    if isinstance(node, Mapping):
        return {key: _floats(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_floats(value) for value in node]
    return float(node) if isinstance(node, int) and not isinstance(node, bool) else node


def _is_float(hint: Any) -> bool:
    """Whether an argument takes floats, so that whole numbers are floats, too."""
    return hint is not None and hint is not Any and fits(0.5, hint)


def idle(setup: Setup) -> dict[str, tuple[Any, str]]:
    """{key: (its neutral value, why)} of settings that change nothing about this point."""
    if {"model", "trainer"} & setup.nodes.keys():
        return {}
    found = dict(
        _idle_weights(json.dumps(setup.nodes["cell"]), json.dumps(setup.nodes["initializer"]))
    )
    if setup.depth == 1:
        found["dropout"] = (0.0, "it lies between layers, and there is one")
    return found


@functools.lru_cache(maxsize=256)
def _idle_weights(cell_node: str, initializer_node: str) -> dict[str, tuple[Any, str]]:
    """As `idle`, of the rules for first values; cached, as many points share them."""
    found: dict[str, tuple[Any, str]] = {}
    piece: Cell = build(json.loads(cell_node), "cell")
    roles = build(json.loads(initializer_node), "initializer").roles
    layers, cell = piece.shapes(2, 4), type(piece).__name__
    if "bias" in roles:
        found["weights.forget_bias"] = (1.0, "the initializer fills the biases")
    elif not any(part.role == "bias" and "f" in part.gates for part in layers):
        found["weights.forget_bias"] = (1.0, f"{cell} has no gate f with a bias")
    if not any(part.role in roles for part in layers):
        found["initializer"] = (NOTHING, f"{cell} has no tensors of the roles {', '.join(roles)}")
    return found


def without_idle(config: Mapping[str, Any], settings: Mapping[str, tuple[Any, str]]) -> Any:
    """The configuration with neutral values for settings that change nothing."""
    for key, (neutral, _) in settings.items():
        config = _with(config, key, neutral)
    return config


def _with(config: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    first, _, rest = key.partition(".")
    return {**config, first: _with(config[first], rest, value) if rest else value}
