"""From a command line to grid points: the full factorial of the swept keys, composed once per distinct choice of levels.

One composition by Hydra takes about 50 ms, so a thousand points would take a minute. Levels of groups are composed by
Hydra, once per distinct choice; swept values are then set with OmegaConf, which gives the same configuration.
"""

from __future__ import annotations

import copy
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException

from study.records import CHOICES, SIZES, StudyError


@dataclass(frozen=True)
class Composed:
    """One combination: its configuration as plain values, and its levels by name (seed among them)."""

    config: Mapping[str, Any]
    labels: Mapping[str, Any]


@dataclass(frozen=True)
class Base:
    """What Hydra composed for one choice of levels."""

    config: DictConfig
    choices: Mapping[str, str]


@dataclass(frozen=True)
class Declared:
    """What a multirun declares: swept keys with their values as typed, and what is fixed on the command line."""

    factors: Mapping[str, Sequence[str]]
    fixed: Sequence[str]


def declared(loader: ConfigLoader, params: Mapping[str, Any], arguments: Sequence[str]) -> Declared:
    """Factors of the experiment (`hydra.sweeper.params`), replaced key by key by those of the command line."""
    parser = OverridesParser.create(config_loader=loader)
    typed = parser.parse_overrides(list(arguments))
    on_line = {override.get_key_element() for override in typed}
    from_params = parser.parse_overrides([f"{key}={value}" for key, value in params.items() if key not in on_line])
    factors: dict[str, list[str]] = {}
    fixed: list[str] = []
    order = [*from_params, *typed] if not params else sorted([*from_params, *typed], key=lambda override: _place(override, params))
    for override in order:
        key = override.get_key_element()
        if override.is_sweep_override():
            if not override.is_discrete_sweep():
                raise StudyError(f"{key}: a study sweeps lists of values (a,b,c), choice(…) or range(…); intervals are for a search. Got {override.input_line}")
            factors[key] = list(override.sweep_string_iterator())
        else:
            fixed.append(str(override.input_line))
    return Declared(factors=factors, fixed=fixed)


def _place(override: Override, params: Mapping[str, Any]) -> int:
    """A factor replaced on the command line keeps its place."""
    keys = list(params)
    return keys.index(override.get_key_element()) if override.get_key_element() in keys else len(keys)


def compose_all(loader: ConfigLoader, config_name: str, of: Declared) -> list[Composed]:
    """Every combination of the factors, first factor slowest."""
    parser = OverridesParser.create(config_loader=loader)
    parsed = {(key, value): parser.parse_override(f"{key}={value}") for key, values in of.factors.items() for value in values}
    whole = {pair for pair, override in parsed.items() if _needs_hydra(loader, override)}
    bases: dict[tuple[str, ...], Base] = {}
    siblings: dict[tuple[str, ...], Composed] = {}  # one combination for all seeds, where nothing else depends on the seed
    made = []
    for values in itertools.product(*of.factors.values()):
        pairs = list(zip(of.factors, values, strict=True))
        others = tuple(f"{key}={value}" for key, value in pairs if key != "seed")
        seed = next((parsed[pair].value() for pair in pairs if pair[0] == "seed"), None)
        if others in siblings and type(seed) is int:
            one = siblings[others]
            made.append(Composed(config={**one.config, "seed": seed}, labels={**one.labels, "seed": seed}))
            continue
        levels = tuple(f"{key}={value}" for key, value in pairs if (key, value) in whole)
        if levels not in bases:
            bases[levels] = compose(loader, config_name, [*of.fixed, *levels])
        base = bases[levels]
        for pair in pairs:  # every combination sets the same keys, so that nothing is left over from the last one
            if pair not in whole:
                _set(base, parsed[pair], of)
        made.append(finish(base, list(of.factors)))
        if type(seed) is int and not _depends_on_seed(base):
            siblings[others] = made[-1]
    return made


def _depends_on_seed(base: Base) -> bool:
    """Whether any other value or any arm refers to the seed."""
    text = str(OmegaConf.to_container(base.config, resolve=False))
    return re.search(r"\$\{[^}]*seed", text) is not None or any("seed" in (arm.get("when") or {}) for arm in base.config.study.arms)


def finish(base: Base, swept: Sequence[str]) -> Composed:
    """Labels, then the settings of the arms this combination belongs to."""
    found = labels(base, swept)
    config = base.config
    for arm in config.study.arms:
        when = _condition(arm, "study.arms", found)
        if all(str(found[key]) == str(value) for key, value in when.items()):
            config = copy.deepcopy(config) if config is base.config else config
            for key, value in arm.get("set", {}).items():
                _update(config, key, value)
    return Composed(config=_plain(config), labels=found)


def exclusion(composed: Composed) -> str | None:
    """Why this combination is left out, by `study.exclude`; None if it is not."""
    for rule in composed.config["study"]["exclude"]:
        when = _condition(rule, "study.exclude", composed.labels)
        if all(str(composed.labels[key]) == str(value) for key, value in when.items()):
            return str(rule.get("why") or "no reason given")
    return None


def _condition(rule: Mapping[str, Any], where: str, found: Mapping[str, Any]) -> Mapping[str, Any]:
    when = rule.get("when") if hasattr(rule, "get") else None
    if not when:
        raise StudyError(f"{where}: each entry needs when: {{key: level}}, got {rule!r}")
    for key in when:
        if key not in found:
            raise StudyError(f"{where}: when names {key!r}, which this study does not have; it has {', '.join(found)}")
    return when


def _needs_hydra(loader: ConfigLoader, override: Override) -> bool:
    """Levels of groups, and whatever adds, deletes or moves keys."""
    key = override.get_key_element()
    return key.startswith(("+", "~")) or "@" in key or _is_group(loader, override.key_or_group)


def _is_group(loader: ConfigLoader, key: str) -> bool:
    return bool(loader.get_group_options(key))


def compose(loader: ConfigLoader, config_name: str, overrides: Sequence[str]) -> Base:
    """One full composition by Hydra."""
    try:
        config = loader.load_configuration(config_name=config_name, overrides=list(overrides), run_mode=RunMode.RUN)
    except HydraException as error:
        cause = f"\n{error.__cause__}" if isinstance(error.__cause__, OmegaConfBaseException) else ""
        raise StudyError(f"{error}{cause}") from error
    choices = {str(key): value for key, value in config.hydra.runtime.choices.items() if not str(key).startswith("hydra/")}
    with read_write(config), open_dict(config):
        del config["hydra"]
    return Base(config=config, choices=choices)


def _set(base: Base, override: Override, of: Declared) -> None:
    """Set one swept value. A setting that only some levels of a swept group have gets an error that says so."""
    group = override.key_or_group.split(".")[0]
    if group in of.factors and "." in override.key_or_group and OmegaConf.select(base.config, override.key_or_group) is None:
        raise StudyError(
            f"{override.key_or_group}: level {base.choices.get(group)} of {group} has no such setting, and {group} is swept too. "
            f"Sweep {group} with one level only, or write each setting as a level file of its own (conf/{group}/NAME.yaml)."
        )
    _update(base.config, override.key_or_group, override.value())


def _update(config: DictConfig, key: str, value: Any) -> None:
    """Set a value; one of the wrong type, or a key that is not there, is told by name."""
    try:
        OmegaConf.update(config, key, value, merge=True)
    except OmegaConfBaseException as error:
        told = str(error).splitlines()[0]
        if isinstance(error, ConfigAttributeError | ConfigKeyError):
            raise StudyError(f"{key}: there is no such key; python -m study --cfg job shows all of them") from error
        raise StudyError(f"{key}: {told}") from error


def _plain(config: DictConfig) -> dict[str, Any]:
    """Plain values, interpolations resolved."""
    try:
        container = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise StudyError(str(error).splitlines()[0]) from error
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def labels(base: Base, swept: Sequence[str]) -> dict[str, Any]:
    """Levels by name: of the groups a report arranges by, of the sizes, of every other swept key, and the seed."""
    found: dict[str, Any] = {group: base.choices[group] for group in CHOICES}
    found |= {size: base.config[size] for size in SIZES}
    for key in swept:
        name = key.lstrip("+~").split("@")[0]
        if name not in found:
            found[name] = base.choices[name] if name in base.choices else OmegaConf.select(base.config, name)
    found["seed"] = base.config.seed
    return {key: value if isinstance(value, str | int | float | bool) or value is None else str(value) for key, value in found.items()}
