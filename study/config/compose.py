"""Compose the full factorial of a command line's factors.

One composition by Hydra takes about 50 ms, so a thousand points would take a minute. Hydra composes
each level once (study/config/choices.py); swept values are then set with OmegaConf, which gives the
same configuration.
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

from study.config.choices import Choices, HydraComposition
from study.config.loader import StudyLoader
from study.config.params import overrides_of
from study.config.schema import OPTIONAL, ROOT, missing_keys
from study.design.claims import EXTREMES, sides
from study.design.comparisons import check_comparisons, matches
from study.program import training
from study.records import CHOICES, SIZES, StudyError

# Root keys that a model of the user's own reads only through an interpolation in its YAML.
STACK_SIZES = ("hidden", "depth", "dropout")
MAX_COMBINATIONS = 1_000_000  # of one study
ENGINE = "engine"  # the level of `trainer` that is no node
STACK = "stack"  # the level of `model` that is no node: encoder, cell × depth, readout


@dataclass(frozen=True)
class Combination:
    """One combination of levels: its configuration as plain values, its labels with the seed."""

    config: Mapping[str, Any]
    labels: Mapping[str, Any]


@dataclass(frozen=True)
class Sweep:
    """The factors of a multirun with their values as typed, and its fixed overrides."""

    factors: Mapping[str, Sequence[str]]
    fixed: Sequence[str]


def no_such_key(key: str) -> StudyError:
    shown = f"{training(many=False)} --cfg job"
    return StudyError(f"{key}: there is no such key; {shown} shows all keys")


def read_sweep(loader: ConfigLoader, params: Mapping[str, Any], arguments: Sequence[str]) -> Sweep:
    """Read the factors of the experiment (`hydra.sweeper.params`) and of the command line.

    A key on the command line replaces the experiment's, in the experiment's order.
    """
    parser = OverridesParser.create(config_loader=loader)
    typed = parser.parse_overrides(list(arguments))
    keys_typed = {override.get_key_element() for override in typed}
    from_params = parser.parse_overrides(
        overrides_of({key: value for key, value in params.items() if key not in keys_typed})
    )
    factors: dict[str, list[str]] = {}
    fixed: list[str] = []
    seen: list[Override] = []
    order = (
        [*from_params, *typed]
        if not params
        else sorted([*from_params, *typed], key=lambda override: _position(override, params))
    )
    for override in order:
        key = override.get_key_element()
        before = [each for each in seen if each.get_key_element() == key]
        if any(each.is_sweep_override() for each in (*before, override)) and before:
            raise StudyError(
                f"{key}: is given twice, the second time as {override.input_line}; the first would"
                " be ignored"
            )
        seen.append(override)
        if override.is_sweep_override():
            if not override.is_discrete_sweep():
                raise StudyError(
                    f"{key}: a study sweeps lists of values (a,b,c), choice(…) or range(…);"
                    f" intervals are for searches. Got {override.input_line}"
                )
            if key == "experiment":
                raise StudyError(
                    "experiment: one study per launch; run the command once for each experiment."
                    f" Got {override.input_line}"
                )
            if (number := _range_length(override.value())) > MAX_COMBINATIONS:
                raise StudyError(
                    f"{key}: {number:,} values are more than a study can have"
                    f" ({MAX_COMBINATIONS:,}). Got {override.input_line}"
                )
            factors[key] = list(override.sweep_string_iterator())
        else:
            fixed.append(str(override.input_line))
    number = math.prod(len(values) for values in factors.values())
    if number > MAX_COMBINATIONS:
        raise StudyError(
            f"{number:,} combinations are more than a study can have ({MAX_COMBINATIONS:,}):"
            f" {', '.join(f'{key} {len(values)}' for key, values in factors.items())}"
        )
    return Sweep(factors=factors, fixed=fixed)


def _range_length(sweep: Any) -> int:
    """Number of values of a range, counted before any is created; 0 for other sweeps."""
    if not isinstance(sweep, RangeSweep):
        return 0
    start, stop, step = (float(end or 0.0) for end in (sweep.start, sweep.stop, sweep.step))
    if step == 0 or not all(map(math.isfinite, (start, stop, step))):
        raise StudyError(
            f"range({sweep.start}, {sweep.stop}, {sweep.step}): ends and step must be finite, the"
            " step not 0"
        )
    return max(0, math.ceil((stop - start) / step))


def _position(override: Override, params: Mapping[str, Any]) -> int:
    """A factor replaced on the command line keeps its position."""
    keys = list(params)
    return (
        keys.index(override.get_key_element()) if override.get_key_element() in keys else len(keys)
    )


def compose_all(loader: ConfigLoader, config_name: str, sweep: Sweep) -> list[Combination]:
    """Compose every combination of the factors; the first factor varies slowest."""
    parser = OverridesParser.create(config_loader=loader)
    parsed = {
        (key, value): parser.parse_override(f"{key}={value}")
        for key, values in sweep.factors.items()
        for value in values
    }
    by_hydra = {pair for pair, override in parsed.items() if _needs_hydra(loader, override)}
    by_value = [override for pair, override in parsed.items() if pair not in by_hydra]
    value_keys = list(dict.fromkeys(override.key_or_group for override in by_value))
    compositions: dict[tuple[str, ...], LevelComposition] = {}
    chosen = Choices(lambda levels: compose(loader, config_name, [*sweep.fixed, *levels]))
    combinations = []
    for values in itertools.product(*sweep.factors.values()):
        pairs = list(zip(sweep.factors, values, strict=True))
        levels = tuple(f"{key}={value}" for key, value in pairs if (key, value) in by_hydra)
        if levels not in compositions:
            base = chosen(levels)
            # a swept key without a default must have a value before anything is read
            for pair in pairs:
                if pair not in by_hydra and _is_missing(base.config, parsed[pair].key_or_group):
                    _set(base, parsed[pair], sweep)
            if not compositions:
                check_rules(loader, base, list(sweep.factors))
            compositions[levels] = LevelComposition(base, value_keys)
        overrides = [parsed[pair] for pair in pairs if pair not in by_hydra]
        all_levels = (*levels, *compositions[levels].levels_of_arms(overrides, sweep))
        if all_levels not in compositions:
            base = chosen(all_levels)
            compositions[all_levels] = LevelComposition(base, value_keys)
        combinations.append(compositions[all_levels].combination(overrides, sweep))
    return combinations


def _is_missing(config: DictConfig, key: str) -> bool:
    node, _, last = key.rpartition(".")
    parent = OmegaConf.select(config, node) if node else config
    return isinstance(parent, DictConfig) and OmegaConf.is_missing(parent, last)


class LevelComposition:
    """The combinations of one choice of levels, which differ in values only.

    If no interpolation refers to the values that vary (`value_keys`), the configuration is resolved
    once and the values are replaced in it. Each value passes through OmegaConf once, for its type.
    """

    def __init__(self, base: HydraComposition, value_keys: Sequence[str]) -> None:
        self.base = base
        set_by_arms = {
            str(key): value
            for arm in rules(_study(base), "arms")
            for key, value in arm["set"].items()
        }
        referred = " ".join(_interpolations(OmegaConf.to_container(base.config, resolve=False)))
        changing = [part for key in (*value_keys, *set_by_arms) for part in key.split(".")]
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

    def levels_of_arms(self, overrides: Sequence[Override], sweep: Sweep) -> list[str]:
        """Levels that arms choose for this combination and that still have to be composed."""
        if not self.levels_set:
            return []
        for override in overrides:
            _set(self.base, override, sweep)
        config = _plain(self.base.config)
        chosen = _arm_entries(config, labels_of(self.base.choices, config, list(sweep.factors)))
        return [
            f"{key}={value}"
            for key, value in chosen
            if _is_level(self.base.choices, key, value) and self.base.choices[key] != value
        ]

    def combination(self, overrides: Sequence[Override], sweep: Sweep) -> Combination:
        if self.plain is None:
            # Every combination sets the same keys, so nothing is left over from the one before.
            for override in overrides:
                _set(self.base, override, sweep)
            return to_combination(self.base, list(sweep.factors))
        config = self.plain
        for override in overrides:
            known = (override.key_or_group, str(override.input_line))
            if known not in self.converted:
                _set(self.base, override, sweep)
                self.converted[known] = _value(self.base.config, override.key_or_group)
            config = _with_value(config, override.key_or_group, self.converted[known])
        labels = labels_of(self.base.choices, config, list(sweep.factors))
        changed = config
        for key, value in arm_settings(config, labels, self.base.choices):
            known = (key, f"arm {value!r}")
            if known not in self.converted:
                _update(self.base.config, key, value)
                self.converted[known] = _value(self.base.config, key)
            changed = _with_value(changed, key, self.converted[known])
        return Combination(
            config=changed,
            labels=(
                labels
                if changed is config
                else labels_of(self.base.choices, changed, list(sweep.factors))
            ),
        )


def _interpolations(node: Any) -> list[str]:
    """All strings that contain a ${…}."""
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


def _with_value(config: Mapping[str, Any], key: str, value: Any) -> dict[str, Any]:
    """A copy with one value replaced; everything else is shared."""
    first, _, rest = key.partition(".")
    return {**config, first: _with_value(config[first], rest, value) if rest else value}


def to_combination(base: HydraComposition, swept: Sequence[str]) -> Combination:
    """The combination of a composition, with the settings of its arms applied."""
    plain = _plain(base.config)
    labels = labels_of(base.choices, plain, swept)
    settings = arm_settings(plain, labels, base.choices)
    if not settings:
        return Combination(config=plain, labels=labels)
    config = copy.deepcopy(base.config)
    for key, value in settings:
        _update(config, key, value)
    plain = _plain(config)
    return Combination(config=plain, labels=labels_of(base.choices, plain, swept))


def with_values(
    base: HydraComposition, values: Mapping[str, Any], swept: Sequence[str]
) -> Combination:
    """The combination of a composition, with the settings of its arms and then `values` applied."""
    config = copy.deepcopy(base.config)
    for key, value in arm_settings(
        _plain(config), labels_of(base.choices, _plain(config), swept), base.choices
    ):
        _update(config, key, value)
    for key, value in values.items():
        _update(config, key, value)
    plain = _plain(config)
    return Combination(config=plain, labels=labels_of(base.choices, plain, swept))


def arm_settings(
    config: Mapping[str, Any], labels: Mapping[str, Any], choices: Mapping[str, str]
) -> list[tuple[str, Any]]:
    """Keys and values set by the arms that a combination belongs to, later arms last.

    Levels that arms choose must already be composed.
    """
    values = []
    for key, value in _arm_entries(config, labels):
        if not _is_level(choices, key, value):
            values.append((key, value))
        elif choices[key] != value:
            raise StudyError(
                f"study.arms: sets {key}={value} for this arm; an arm that chooses a level needs a"
                f" multirun: {training(many=True)} …"
            )
    return values


def _arm_entries(config: Mapping[str, Any], labels: Mapping[str, Any]) -> list[tuple[str, Any]]:
    labels = {"tuned": config["tuned"], **labels}
    arms = [
        arm for arm in rules(config["study"], "arms") if matches(labels, arm["when"], "study.arms")
    ]
    return [(str(key), value) for arm in arms for key, value in arm["set"].items()]


def _is_level(choices: Mapping[str, str], key: str, value: Any) -> bool:
    """Whether a setting chooses a level of a group rather than a value."""
    return isinstance(value, str) and key in choices


def exclusion(combination: Combination) -> str | None:
    """The reason why `study.exclude` leaves out a combination; None if it does not."""
    for rule in rules(combination.config["study"], "exclude"):
        if matches(
            {"tuned": combination.config["tuned"], **combination.labels},
            rule["when"],
            "study.exclude",
        ):
            return str(rule.get("why") or "no reason given")
    return None


def rules(study: Mapping[str, Any], which: str) -> list[Mapping[str, Any]]:
    """The entries of `study.exclude` or `study.arms`, with their form checked."""
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


def check_rules(loader: ConfigLoader, base: HydraComposition, swept: Sequence[str]) -> None:
    """Check that all rules name existing levels: others would silently never apply."""
    check_comparisons(_study(base), labels_of(base.choices, _plain(base.config), swept))
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


def _study(base: HydraComposition) -> dict[str, Any]:
    return _plain(base.config.study)


def _needs_hydra(loader: ConfigLoader, override: Override) -> bool:
    """Whether only Hydra can apply an override.

    True for levels of groups, for overrides that add, delete or move keys, and for nodes, which
    Hydra merges.
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


def compose(loader: ConfigLoader, config_name: str, overrides: Sequence[str]) -> HydraComposition:
    """Let Hydra compose a configuration. Raises StudyError."""
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
    check_complete(config)
    files = tuple(loader.defaults) if isinstance(loader, StudyLoader) else ()
    return HydraComposition(config=config, choices=choices, files=files)


def check_complete(config: Mapping[Any, Any]) -> None:
    """Check that no key of conf/config.yaml was removed."""
    if unknown := [key for key in config if str(key) not in ROOT]:
        raise no_such_key(", ".join(map(str, unknown)))
    if gone := missing_keys(config):
        raise StudyError(
            f"{', '.join(gone)}: must not be removed; conf/config.yaml has the default"
        )


def _set(base: HydraComposition, override: Override, sweep: Sweep) -> None:
    """Set one swept value; explain the error if only some levels of a swept group have the key."""
    group, _, setting = override.key_or_group.partition(".")
    node, _, last = override.key_or_group.rpartition(".")
    if (
        group in sweep.factors
        and setting
        and last not in (OmegaConf.select(base.config, node) or {})
    ):
        raise StudyError(
            f"{override.key_or_group}: level {base.choices.get(group)} of {group} has no such"
            f" setting, and {group} is swept too. Sweep {group} with one level only, or write each"
            f" setting as a level file of its own (conf/{group}/NAME.yaml)."
        )
    _update(base.config, override.key_or_group, override.value())


def _update(config: DictConfig, key: str, value: Any) -> None:
    """Set a value. Raises StudyError for a value of the wrong type or a key that does not exist."""
    try:
        OmegaConf.update(config, key, value, merge=True)
    except OmegaConfBaseException as error:
        if isinstance(error, ConfigAttributeError | ConfigKeyError):
            raise no_such_key(key) from error
        raise StudyError(f"{key}: {str(error).splitlines()[0]}") from error


def _plain(config: DictConfig) -> dict[str, Any]:
    """Convert to plain values, with interpolations resolved."""
    try:
        container = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        missing = ", ".join(sorted(OmegaConf.missing_keys(config)))
        raise StudyError(f"{missing}: has no default; give it a value") from error
    except OmegaConfBaseException as error:
        raise StudyError(str(error).splitlines()[0]) from error
    assert isinstance(container, dict)
    # None of them leaves no key, so points from before these pieces existed keep their ids.
    for piece in (key for key in OPTIONAL if key != "search"):
        if container.get(piece) is None:
            container.pop(piece, None)
    if isinstance(model := container.get("model"), dict):
        # what it reads of the root keys, which are otherwise the stack's alone
        text = " ".join(_interpolations(OmegaConf.to_container(config.model, resolve=False)))
        model["_uses_"] = [key for key in STACK_SIZES if f"${{{key}}}" in text]
    return {str(key): value for key, value in container.items()}


def labels_of(
    choices: Mapping[str, str], config: Mapping[str, Any], swept: Sequence[str]
) -> dict[str, Any]:
    """Levels by name: groups that reports arrange by, sizes, every other swept key, the seed."""
    for group in CHOICES:
        if not isinstance(choices.get(group), str):
            raise StudyError(
                f"{group}: needs one level, such as {group}=NAME, got"
                f" {choices.get(group, config[group])!r}"
            )
    found: dict[str, Any] = {group: choices[group] for group in CHOICES}
    found |= {size: config[size] for size in SIZES}
    if "model" in config:
        chosen = choices.get("model")
        target = str(config["model"].get("_target_"))
        found["model"] = target.rpartition(".")[2] if chosen in (None, STACK) else chosen
    if "trainer" in config:
        chosen = choices.get("trainer")
        target = str(config["trainer"].get("_target_"))
        found["trainer"] = target.rpartition(".")[2] if chosen in (None, ENGINE) else chosen
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
    """The value at a dotted key; None if there is no such key."""
    for part in key.split("."):
        config = config.get(part) if isinstance(config, Mapping) else None
    return config
