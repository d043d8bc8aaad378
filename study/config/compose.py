"""From a command line to grid points: the full factorial of the swept keys, composed once per
distinct choice of levels.

One composition by Hydra takes about 50 ms, so a thousand points would take a minute. Levels of
groups are composed by Hydra, once per distinct choice; swept values are then set with OmegaConf,
which gives the same configuration.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, RangeSweep
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import (
    ConfigAttributeError,
    ConfigKeyError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from study.config.schema import lacking
from study.design.claims import CONTRAST, EXTREMES, FORM, check_claim, check_contrast, sides
from study.records import CHOICES, SIZES, StudyError

MOST = 1_000_000  # combinations of one study


@dataclass(frozen=True)
class Composed:
    """One combination: its configuration as plain values, its levels by name (and the seed)."""

    config: Mapping[str, Any]
    labels: Mapping[str, Any]


@dataclass(frozen=True)
class Base:
    """What Hydra composed for one choice of levels."""

    config: DictConfig
    choices: Mapping[str, str]


@dataclass(frozen=True)
class Declared:
    """What a multirun declares: swept keys with their values as typed, and what is fixed on the
    command line.
    """

    factors: Mapping[str, Sequence[str]]
    fixed: Sequence[str]


def declared(loader: ConfigLoader, params: Mapping[str, Any], arguments: Sequence[str]) -> Declared:
    """Factors of the experiment (`hydra.sweeper.params`), replaced key by key by those of the
    command line.
    """
    parser = OverridesParser.create(config_loader=loader)
    typed = parser.parse_overrides(list(arguments))
    on_line = {override.get_key_element() for override in typed}
    from_params = parser.parse_overrides(
        [f"{key}={value}" for key, value in params.items() if key not in on_line]
    )
    factors: dict[str, list[str]] = {}
    fixed: list[str] = []
    order = (
        [*from_params, *typed]
        if not params
        else sorted([*from_params, *typed], key=lambda override: _place(override, params))
    )
    for override in order:
        key = override.get_key_element()
        if override.is_sweep_override():
            if not override.is_discrete_sweep():
                raise StudyError(
                    f"{key}: a study sweeps lists of values (a,b,c), choice(…) or range(…);"
                    f" intervals are for a search. Got {override.input_line}"
                )
            if key == "experiment":
                raise StudyError(
                    "experiment: one study a launch; run the command once for each experiment. Got"
                    f" {override.input_line}"
                )
            if (number := _length(override.value())) > MOST:
                raise StudyError(
                    f"{key}: {number:,} values are more than a study can have ({MOST:,}). Got"
                    f" {override.input_line}"
                )
            factors[key] = list(override.sweep_string_iterator())
        else:
            fixed.append(str(override.input_line))
    number = math.prod(len(values) for values in factors.values())
    if number > MOST:
        raise StudyError(
            f"{number:,} combinations are more than a study can have ({MOST:,}):"
            f" {', '.join(f'{key} {len(of)}' for key, of in factors.items())}"
        )
    return Declared(factors=factors, fixed=fixed)


def _length(sweep: Any) -> int:
    """Values of a sweep, counted before any is made."""
    if not isinstance(sweep, RangeSweep):
        return 0
    start, stop, step = (float(end or 0.0) for end in (sweep.start, sweep.stop, sweep.step))
    if step == 0 or not all(map(math.isfinite, (start, stop, step))):
        raise StudyError(
            f"range({sweep.start}, {sweep.stop}, {sweep.step}): ends and step must be finite, the"
            " step not 0"
        )
    return max(0, math.ceil((stop - start) / step))


def _place(override: Override, params: Mapping[str, Any]) -> int:
    """A factor replaced on the command line keeps its place."""
    keys = list(params)
    return (
        keys.index(override.get_key_element()) if override.get_key_element() in keys else len(keys)
    )


def compose_all(loader: ConfigLoader, config_name: str, of: Declared) -> list[Composed]:
    """Every combination of the factors, first factor slowest."""
    parser = OverridesParser.create(config_loader=loader)
    parsed = {
        (key, value): parser.parse_override(f"{key}={value}")
        for key, values in of.factors.items()
        for value in values
    }
    whole = {pair for pair, override in parsed.items() if _needs_hydra(loader, override)}
    valued = list(dict.fromkeys(parsed[pair].key_or_group for pair in parsed if pair not in whole))
    sheets: dict[tuple[str, ...], LevelComposition] = {}
    made = []
    for values in itertools.product(*of.factors.values()):
        pairs = list(zip(of.factors, values, strict=True))
        levels = tuple(f"{key}={value}" for key, value in pairs if (key, value) in whole)
        if levels not in sheets:
            base = compose(loader, config_name, [*of.fixed, *levels])
            if not sheets:
                check_rules(loader, base, list(of.factors))
            sheets[levels] = LevelComposition(base, valued)
        overrides = [parsed[pair] for pair in pairs if pair not in whole]
        further = (*levels, *sheets[levels].levels_of_arms(overrides, of))
        if further not in sheets:
            sheets[further] = LevelComposition(
                compose(loader, config_name, [*of.fixed, *further]), valued
            )
        made.append(sheets[further].combination(overrides, of))
    return made


class LevelComposition:
    """All combinations of one choice of levels: they differ in values only.

    Where nothing refers to the values that change, the configuration is resolved once and the
    values are exchanged in it; each goes through OmegaConf once, which knows its type.
    """

    def __init__(self, base: Base, valued: Sequence[str]) -> None:
        self.base = base
        set_by_arms = {
            str(key): value
            for arm in rules(_study(base), "arms")
            for key, value in arm["set"].items()
        }
        referred = " ".join(_interpolations(OmegaConf.to_container(base.config, resolve=False)))
        changing = [part for key in (*valued, *set_by_arms) for part in key.split(".")]
        free = not any(part in referred for part in changing) and not any(
            isinstance(value, Mapping) for value in set_by_arms.values()
        )
        self.plain = _plain(base.config) if free else None
        self.converted: dict[tuple[str, str], Any] = {}
        self.levels_set = any(
            _is_level(base.choices, str(key), value)
            for arm in rules(_study(base), "arms")
            for key, value in arm["set"].items()
        )

    def levels_of_arms(self, overrides: Sequence[Override], of: Declared) -> list[str]:
        """Levels that arms choose for this combination and its composition does not have yet: it is
        to be composed with them.
        """
        if not self.levels_set:
            return []
        for override in overrides:
            _set(self.base, override, of)
        config = _plain(self.base.config)
        chosen = _of_arms(config, labels(self.base.choices, config, list(of.factors)))
        return [
            f"{key}={value}"
            for key, value in chosen
            if _is_level(self.base.choices, key, value) and self.base.choices[key] != value
        ]

    def combination(self, overrides: Sequence[Override], of: Declared) -> Composed:
        if self.plain is None:
            # every combination sets the same keys, so that nothing is left over from the last one
            for override in overrides:
                _set(self.base, override, of)
            return finish(self.base, list(of.factors))
        config = self.plain
        for override in overrides:
            known = (override.key_or_group, str(override.input_line))
            if known not in self.converted:
                _set(self.base, override, of)
                self.converted[known] = _value(self.base.config, override.key_or_group)
            config = _exchanged(config, override.key_or_group, self.converted[known])
        found = labels(self.base.choices, config, list(of.factors))
        changed = config
        for key, value in arm_settings(config, found, self.base.choices):
            known = (key, f"arm {value!r}")
            if known not in self.converted:
                _update(self.base.config, key, value)
                self.converted[known] = _value(self.base.config, key)
            changed = _exchanged(changed, key, self.converted[known])
        return Composed(
            config=changed,
            labels=(
                found if changed is config else labels(self.base.choices, changed, list(of.factors))
            ),
        )


def _interpolations(node: Any) -> list[str]:
    """The texts with a ${…} in them."""
    if isinstance(node, Mapping | list):
        return [
            text
            for item in (node.values() if isinstance(node, Mapping) else node)
            for text in _interpolations(item)
        ]
    return [node] if isinstance(node, str) and "${" in node else []


def _value(config: DictConfig, key: str) -> Any:
    value = OmegaConf.select(config, key)
    return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value


def _exchanged(config: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A copy with one value exchanged; what is untouched is shared."""
    first, _, rest = key.partition(".")
    return {**config, first: _exchanged(config[first], rest, value) if rest else value}


def finish(base: Base, swept: Sequence[str]) -> Composed:
    """One combination as composed, with the settings of the arms it belongs to."""
    plain = _plain(base.config)
    found = labels(base.choices, plain, swept)
    settings = arm_settings(plain, found, base.choices)
    if not settings:
        return Composed(config=plain, labels=found)
    config = copy.deepcopy(base.config)
    for key, value in settings:
        _update(config, key, value)
    plain = _plain(config)
    return Composed(config=plain, labels=labels(base.choices, plain, swept))


def with_values(base: Base, values: Mapping[str, Any], swept: Sequence[str]) -> Composed:
    """One combination with values of its own, set after the settings of the arms it belongs to."""
    config = copy.deepcopy(base.config)
    for key, value in arm_settings(
        _plain(config), labels(base.choices, _plain(config), swept), base.choices
    ):
        _update(config, key, value)
    for key, value in values.items():
        _update(config, key, value)
    plain = _plain(config)
    return Composed(config=plain, labels=labels(base.choices, plain, swept))


def arm_settings(
    config: Mapping[str, Any], found: Mapping[str, Any], choices: Mapping[str, str]
) -> list[tuple[str, Any]]:
    """Keys and values of the arms that a combination belongs to, later arms last.

    Levels must have been composed with.
    """
    values = []
    for key, value in _of_arms(config, found):
        if not _is_level(choices, key, value):
            values.append((key, value))
        elif choices[key] != value:
            raise StudyError(
                f"study.arms: sets {key}={value}, a level of its own, for this arm; that needs a"
                " multirun: python -m study -m …"
            )
    return values


def _of_arms(config: Mapping[str, Any], found: Mapping[str, Any]) -> list[tuple[str, Any]]:
    found = {"tuned": config["tuned"], **found}
    arms = [
        arm for arm in rules(config["study"], "arms") if meets(found, arm["when"], "study.arms")
    ]
    return [(str(key), value) for arm in arms for key, value in arm["set"].items()]


def _is_level(choices: Mapping[str, str], key: str, value: Any) -> bool:
    """Whether a setting chooses a level of a group rather than a value."""
    return isinstance(value, str) and key in choices


def exclusion(composed: Composed) -> str | None:
    """Why this combination is left out, by `study.exclude`; None if it is not."""
    for rule in rules(composed.config["study"], "exclude"):
        if meets(
            {"tuned": composed.config["tuned"], **composed.labels}, rule["when"], "study.exclude"
        ):
            return str(rule.get("why") or "no reason given")
    return None


def rules(study: Mapping[str, Any], which: str) -> list[Mapping[str, Any]]:
    """`study.exclude` or `study.arms`, each entry of the right form."""
    second, form = {"exclude": ("why", "why: reason"), "arms": ("set", "set: {key: value}")}[which]
    entries = study[which]
    if not isinstance(entries, list):
        raise StudyError(
            f"study.{which}: must be a list of {{when: {{key: level}}, {form}}}, got {entries!r}"
        )
    for rule in entries:
        if (
            not isinstance(rule, Mapping)
            or not isinstance(rule.get("when"), Mapping)
            or not rule["when"]
        ):
            raise StudyError(f"study.{which}: each entry needs when: {{key: level}}, got {rule!r}")
        if set(rule) - {"when", second} or (
            which == "arms" and not isinstance(rule.get("set"), Mapping)
        ):
            raise StudyError(
                f"study.{which}: each entry is {{when: {{key: level}}, {form}}}, got {rule!r}"
            )
    return entries


def check_comparisons(study: Mapping[str, Any], found: Mapping[str, Any]) -> None:
    """`study.claims` and `study.contrasts`: form, measure, and that `found`, the labels of some
    combination, has every key they name.
    """
    for which, form, check in (
        ("claims", FORM, check_claim),
        ("contrasts", CONTRAST, check_contrast),
    ):
        if not isinstance(study[which], list):
            raise StudyError(f"study.{which}: must be a list of {form}, got {study[which]!r}")
        for one in study[which]:
            check(one, f"study.{which}")
            for when in sides(one):
                meets(found, when, f"study.{which}")


def meets(found: Mapping[str, Any], when: Mapping[str, Any], where: str) -> bool:
    """Whether a combination has these levels; a list is any of its levels."""
    for key in when:
        if key not in found:
            raise StudyError(
                f"{where}: when names {key!r}, which this study does not have; it has"
                f" {', '.join(found)}"
            )
    wanted = {key: value if isinstance(value, list) else [value] for key, value in when.items()}
    return all(
        any(found[key] == value or str(found[key]) == str(value) for value in values)
        for key, values in wanted.items()
    )


def check_rules(loader: ConfigLoader, base: Base, swept: Sequence[str]) -> None:
    """A rule for a level that does not exist would silently never apply."""
    check_comparisons(_study(base), labels(base.choices, _plain(base.config), swept))
    named = {
        which: [rule["when"] for rule in rules(_study(base), which)]
        for which in ("exclude", "arms")
    }
    named |= {
        which: [when for one in _study(base)[which] for when in sides(one)]
        for which in ("claims", "contrasts")
    }
    for which, key, value in (
        (which, key, value)
        for which, whens in named.items()
        for when in whens
        for key, value in when.items()
    ):
        options = loader.get_group_options(str(key))
        for level in value if isinstance(value, list) else [value]:
            if options and str(level) not in options and str(level) not in EXTREMES:
                raise StudyError(
                    f"study.{which}: {key} has no level {level!r}; it has {', '.join(options)}"
                )


def _study(base: Base) -> dict[str, Any]:
    return _plain(base.config.study)


def _needs_hydra(loader: ConfigLoader, override: Override) -> bool:
    """Levels of groups, whatever adds, deletes or moves keys, and nodes, which Hydra merges into
    what was there.
    """
    key = override.get_key_element()
    return (
        key.startswith(("+", "~"))
        or "@" in key
        or isinstance(override.value(), dict)
        or _is_group(loader, override.key_or_group)
    )


def _is_group(loader: ConfigLoader, key: str) -> bool:
    return bool(loader.get_group_options(key))


def compose(loader: ConfigLoader, config_name: str, overrides: Sequence[str]) -> Base:
    """One full composition by Hydra."""
    try:
        config = loader.load_configuration(
            config_name=config_name, overrides=list(overrides), run_mode=RunMode.RUN
        )
    except (HydraException, ValueError) as error:  # ValueError: a group given a number
        cause = (
            f"\n{error.__cause__}" if isinstance(error.__cause__, OmegaConfBaseException) else ""
        )
        raise StudyError(f"{error}{cause}") from error
    choices = {
        str(key): value
        for key, value in config.hydra.runtime.choices.items()
        if not str(key).startswith("hydra/")
    }
    with read_write(config), open_dict(config):
        del config["hydra"]
    check_whole(config)
    return Base(config=config, choices=choices)


def check_whole(config: Mapping[Any, Any]) -> None:
    """A key of conf/config.yaml may have another value; without it nothing works."""
    if gone := lacking(config):
        raise StudyError(
            f"{', '.join(gone)}: must be there, conf/config.yaml has its default; it was taken away"
        )


def _set(base: Base, override: Override, of: Declared) -> None:
    """Set one swept value. A setting that only some levels of a swept group have gets an error that
    says so.
    """
    group, _, setting = override.key_or_group.partition(".")
    node, _, last = override.key_or_group.rpartition(".")
    if group in of.factors and setting and last not in (OmegaConf.select(base.config, node) or {}):
        raise StudyError(
            f"{override.key_or_group}: level {base.choices.get(group)} of {group} has no such"
            f" setting, and {group} is swept too. Sweep {group} with one level only, or write each"
            f" setting as a level file of its own (conf/{group}/NAME.yaml)."
        )
    _update(base.config, override.key_or_group, override.value())


def _update(config: DictConfig, key: str, value: Any) -> None:
    """Set a value; one of the wrong type, or a key that is not there, is told by name."""
    try:
        OmegaConf.update(config, key, value, merge=True)
    except OmegaConfBaseException as error:
        told = str(error).splitlines()[0]
        if isinstance(error, ConfigAttributeError | ConfigKeyError):
            raise StudyError(
                f"{key}: there is no such key; python -m study --cfg job shows all of them"
            ) from error
        raise StudyError(f"{key}: {told}") from error


def _plain(config: DictConfig) -> dict[str, Any]:
    """Plain values, interpolations resolved."""
    try:
        container = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        missing = ", ".join(sorted(OmegaConf.missing_keys(config)))
        raise StudyError(f"{missing}: has no value of its own and must be given") from error
    except OmegaConfBaseException as error:
        raise StudyError(str(error).splitlines()[0]) from error
    assert isinstance(container, dict)
    # none is no setting: points of before there were any have their ids
    if container.get("encoder") is None:
        container.pop("encoder", None)
    return {str(key): value for key, value in container.items()}


def labels(
    choices: Mapping[str, str], config: Mapping[str, Any], swept: Sequence[str]
) -> dict[str, Any]:
    """Levels by name: of the groups a report arranges by, of the sizes, of every other swept key,
    and the seed.
    """
    for group in CHOICES:
        if not isinstance(choices.get(group), str):
            raise StudyError(
                f"{group}: needs one level, such as {group}=NAME, got"
                f" {choices.get(group, config[group])!r}"
            )
    found: dict[str, Any] = {group: choices[group] for group in CHOICES}
    found |= {size: config[size] for size in SIZES}
    for key in swept:
        name = key.lstrip("+~").split("@")[0]
        if name not in found:
            found[name] = choices[name] if name in choices else select(config, name)
    found["seed"] = config["seed"]
    return {
        key: value if isinstance(value, str | int | float | bool) or value is None else str(value)
        for key, value in found.items()
    }


def select(config: Any, key: str) -> Any:
    """The value at a dotted key; None where a level has no such key."""
    for part in key.split("."):
        config = config.get(part) if isinstance(config, Mapping) else None
    return config
