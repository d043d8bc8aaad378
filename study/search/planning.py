"""Turn a command line into a search: arms, space, default settings, all of them checked."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution

from study.config.build import build, describe, fits
from study.config.check import check_all
from study.config.compose import Combination, HydraComposition, exclusion, no_such_key, with_values
from study.config.compose import compose as compose_by_hydra
from study.config.params import overrides_of
from study.config.settings import check_name
from study.config.setup import set_up
from study.program import training
from study.records import NOT_IDENTITY, NUMERICS, StudyError
from study.search import samplers
from study.search.objectives import OBJECTIVES, Objective
from study.search.space import contains, ends, to_distribution, to_text
from study.search.spec import HELD, Arm, Settings, Spec, compose
from study.search.storage import check_address, check_connection

MOST = 2000  # compositions by Hydra, 50 ms each
FACTORS = "search.per"  # a fingerprint's key for the factors of a search


@dataclass(frozen=True)
class SearchRequest:
    """The search that command line and experiment request."""

    factors: Mapping[str, list[str]]  # of search.per, levels as typed
    space: Mapping[str, BaseDistribution]
    fixed: Sequence[str]
    # Factors of the experiment held at their default: neither searched nor in search.per.
    held: Sequence[str]
    # Factors of the experiment that are searched or typed, so not factors of the tuned study.
    decided: Sequence[str]
    seeds: str | None  # of the tuned study, as typed
    levels: Sequence[str]  # keys of `fixed` that choose a level
    # Ranges of command line and experiment, as typed, which Optuna's plugin reads otherwise.
    ranges: Mapping[str, str]
    # Levels of the experiment, as typed, that search.space does not have.
    replaced: Mapping[str, str]


def make_spec(
    loader: ConfigLoader,
    config_name: str,
    composed: DictConfig,
    params: Mapping[str, Any],
    arguments: Sequence[str],
    experiment: str | None,
) -> tuple[Spec, SearchRequest]:
    """Read and check the search of a command line. Raises StudyError; writes nothing."""
    config = OmegaConf.to_container(composed, resolve=True)
    assert isinstance(config, dict)
    node: Any = config["search"]
    if node is None:
        raise StudyError(
            "hydra/sweeper=optuna needs a search: search=default, or one of your own in"
            f" conf/search/ (see {training(many=False)} --help)"
        )
    settings = read_settings(node)
    request = read(loader, params, arguments, node)
    groups = frozenset(key for key in request.space if loader.get_group_options(key))
    for key in request.space:
        check_key(key, groups)
    for key in node["per"]:
        if key not in request.factors and not loader.get_group_options(key):
            value_at({str(name): value for name, value in config.items()}, key)
    check_connection(settings.storage)
    spec = Spec(
        name=composed.name,
        folder=Path(composed.store.folder) / check_name(composed.name),
        experiment=experiment,
        settings=settings,
        space=request.space,
        groups=groups,
        factors=request.factors,
        arms=[],
        higher_is_better=True,
    )
    if isinstance(samplers.sampler(settings.sampler, 0), samplers.Grid):
        samplers.Grid.settings(spec.space, 0)
    arms = make_arms(loader, config_name, spec, request)
    spec = replace(spec, arms=arms)
    checked: set[str] = set()
    spec = replace(spec, arms=[check_arm(spec, arm, checked) for arm in arms])
    objective: Objective = build(settings.objective, "search.objective")
    directions = {objective.higher_is_better(default(spec, arm).config) for arm in spec.arms}
    if len(directions) > 1:
        raise StudyError(
            "search: the arms' tasks disagree on whether a higher score is better; search each task"
            " by itself"
        )
    return replace(spec, higher_is_better=directions.pop()), request


def read_settings(node: Mapping[str, Any]) -> Settings:
    """Read the search's settings and check their types and ranges."""
    hints = get_type_hints(Settings)
    known = {field.name for field in fields(Settings)}
    for key in node:
        if key not in known | {"per", "space"}:
            raise StudyError(
                f"search: unknown key {key!r}; there are"
                f" {', '.join(sorted(known | {'per', 'space'}))}"
            )
    values: dict[str, Any] = {}
    for key in known:
        if key not in node:
            raise StudyError(
                f"search: key {key!r} is missing; conf/search/default.yaml has all of them"
            )
        values[key] = tuple(node[key]) if isinstance(node[key], list) else node[key]
        if key not in ("sampler", "pruner", "objective", "objectives") and not fits(
            values[key], hints[key]
        ):
            raise StudyError(f"search.{key}: must be {describe(hints[key])}, got {node[key]!r}")
    settings = Settings(**values)
    _check_settings(settings)
    return settings


def _check_settings(settings: Settings) -> None:
    """Check ranges, objectives, storage, sampler and pruner. Raises StudyError."""
    for key, least in (
        ("trials", 1),
        ("replicates", 1),
        ("first_seed", 0),
        ("retries", 0),
        ("per_gpu", 1),
        ("seed", 0),
    ):
        if (value := getattr(settings, key)) < least:
            raise StudyError(f"search.{key}: must be at least {least}, got {value}")
    if settings.examples is not None and settings.examples < 1:
        raise StudyError(f"search.examples: must be at least 1 or null, got {settings.examples}")
    if settings.budget not in ("examples", "trials"):
        raise StudyError(f"search.budget: must be examples or trials, got {settings.budget!r}")
    if settings.heartbeat <= 0:
        raise StudyError(f"search.heartbeat: must be above 0 seconds, got {settings.heartbeat}")
    if settings.together != "auto" and (
        not isinstance(settings.together, int) or settings.together < 1
    ):
        raise StudyError(
            f"search.together: must be auto or a number of at least 1, got {settings.together!r}"
        )
    objectives = settings.objectives
    if (
        not objectives
        or set(objectives) - set(OBJECTIVES)
        or len(set(objectives)) < len(objectives)
        or "score" not in objectives
    ):
        got = list(objectives) if isinstance(objectives, tuple) else objectives
        raise StudyError(
            "search.objectives: must be score, with or without health and cost, each once; got"
            f" {got!r}"
        )
    check_address(settings.storage)
    samplers.sampler(settings.sampler, 0)
    if len(objectives) > 1 and type(samplers.pruner(settings.pruner)).__name__ != "NopPruner":
        raise StudyError(
            "search/pruner: a trial can only be pruned by one objective; use search/pruner=none"
            f" with objectives {list(objectives)}"
        )


def read(
    loader: ConfigLoader,
    params: Mapping[str, Any],
    arguments: Sequence[str],
    node: Mapping[str, Any],
) -> SearchRequest:
    """Sort overrides into factors, searched keys, fixed values and seeds.

    An interval, a range(…) or a choice(…) on the command line takes precedence over the
    experiment's, and the experiment's over search.space. An experiment's list of levels is of the
    study that it declares, and a single value is the default setting of a search.
    """
    per = _factors_of_search(node)
    parser = OverridesParser.create(config_loader=loader)
    typed = _by_key(parser.parse_overrides(list(arguments)))
    others = overrides_of({key: value for key, value in params.items() if key not in typed})
    declared = _by_key(parser.parse_overrides(others))
    space = {
        key: parser.parse_override(f"{key}={text}")
        for key, text in node["space"].items()
        if text is not None
    }
    factors: dict[str, list[str]] = {}
    fixed, held, seeds = [], [], None
    replaced: dict[str, str] = {}
    for key, override in {**space, **declared, **typed}.items():
        sweeps = override.is_sweep_override()
        interval = sweeps and not override.is_discrete_sweep()
        _check_override(key, override, per, interval=interval)
        if key == "seed" and (sweeps or key not in typed):
            seeds = _value(override)
        elif key in per:
            factors[key] = list(override.sweep_string_iterator()) if sweeps else [_value(override)]
            space.pop(key, None)
        elif key in typed and sweeps:
            space[key] = override
        elif key in typed:
            fixed.append(str(override.input_line))
            space.pop(key, None)
        elif key in declared and sweeps:
            if _is_space(override):
                space[key] = override
            elif key in space:
                domain = to_distribution(space[key])
                if not all(contains(domain, level) for level in override.sweep_iterator()):
                    replaced[key] = _value(override)
            else:
                held.append(key)
        elif key in declared and not (key in space and loader.get_group_options(key)):
            fixed.append(str(override.input_line))
    if not space:
        raise StudyError(
            "search: the space is empty, so there is nothing to search. Give a key an interval or a"
            " choice: 'hidden=range(16,65,8)'"
        )
    ordered = {key: factors[key] for key in per if key in factors}
    keys = [line.split("=", 1)[0] for line in fixed]
    return SearchRequest(
        factors=ordered,
        space={key: to_distribution(override) for key, override in space.items()},
        fixed=fixed,
        held=held,
        decided=[key for key in params if key not in (*ordered, *held, "seed")],
        seeds=seeds,
        levels=[key for key in keys if loader.get_group_options(key)],
        replaced=replaced,
        ranges={
            key: _value(override)
            for key, override in space.items()
            if override.is_range_sweep() and override is {**declared, **typed}.get(key)
        },
    )


def _is_space(override: Override) -> bool:
    """Whether a sweep is written as a space: a,b is a list of levels, choice(a,b) a space."""
    value = override.value()
    return not (isinstance(value, ChoiceSweep) and value.simple_form)


def _by_key(overrides: Sequence[Override]) -> dict[str, Override]:
    return {override.get_key_element(): override for override in overrides}


def _value(override: Override) -> str:
    """The text after the equals sign."""
    return str(override.input_line).split("=", 1)[1]


def _factors_of_search(node: Mapping[str, Any]) -> list[str]:
    """Check the form of search.per and search.space, and return search.per."""
    per, space = node["per"], node["space"]
    if not isinstance(per, list) or not all(isinstance(key, str) for key in per):
        raise StudyError(
            f"search.per: must be a list of factors, such as [cell,initializer], got {per!r}"
        )
    if not isinstance(space, Mapping):
        raise StudyError(
            "search.space: must hold one key per line, such as hidden: range(16,65,8), got"
            f" {space!r}"
        )
    return per


def _check_override(key: str, override: Override, per: Sequence[str], *, interval: bool) -> None:
    """Refuse several experiments, and intervals for seeds or factors."""
    if key == "experiment" and override.is_sweep_override():
        raise StudyError(
            "experiment: one search per launch; run the command once for each experiment. Got"
            f" {override.input_line}"
        )
    if interval and key == "seed":
        raise StudyError(
            "seed: seeds of the tuned study are listed, and those of the search follow"
            f" from search.first_seed; got {override.input_line}"
        )
    if interval and key in per:
        raise StudyError(
            f"{key}: is a factor of the search (search.per) and needs levels, not an"
            f" interval; got {override.input_line}"
        )


def check_key(key: str, groups: frozenset[str]) -> None:
    if key in HELD:
        raise StudyError(
            f"{key}: cannot be searched; it follows from search.examples and the batch, so that"
            " every trial sees the same number of examples"
        )
    if key.split(".")[0] in (
        "name",
        "plan",
        "tuned",
        "search",
        "study",
        "store",
        "tracker",
        "executor",
        "device",
        "experiment",
        "health",
        "task",
    ):
        raise StudyError(
            f"{key}: cannot be searched; it decides what is studied, where or how it runs, not how"
            " well a model trains"
        )
    if "@" in key or key.startswith(("+", "~")):
        raise StudyError(f"{key}: a searched key must exist, and is written without +, ~ or @")
    if "." in key and key.split(".")[0] in groups:
        raise StudyError(
            f"{key}: is a setting of {key.split('.')[0]}, whose level is searched too; levels have"
            " different settings. Search one of the two"
        )


def make_arms(
    loader: ConfigLoader, config_name: str, spec: Spec, request: SearchRequest
) -> list[Arm]:
    """Compose the arms: every combination of the factors' levels that is not excluded.

    Each arm has a composition for every choice of levels in the space.
    """
    chosen = {key: _levels(spec.space[key], key) for key in sorted(spec.groups)}
    count = len(list(itertools.product(*request.factors.values()))) * len(
        list(itertools.product(*chosen.values()))
    )
    if count > MOST:
        raise StudyError(
            f"search: arms and searched levels make {count:,} combinations, more than {MOST:,}"
        )
    arms: list[Arm] = []
    for levels in itertools.product(*request.factors.values()):
        typed = [f"{key}={level}" for key, level in zip(request.factors, levels, strict=True)]
        first = compose_by_hydra(loader, config_name, [*request.fixed, *typed])
        combination = with_values(first, {}, list(request.factors))
        if exclusion(combination) is not None:
            continue
        bases: dict[tuple[tuple[str, Any], ...], HydraComposition] = {}
        # The default level is composed as well, even if the space does not offer it.
        offered = [
            [*among, *(level for level in [first.choices.get(key)] if level not in among)]
            for key, among in chosen.items()
        ]
        for choice in itertools.product(*offered):
            pairs = tuple(zip(chosen, choice, strict=True))
            bases[pairs] = (
                compose_by_hydra(
                    loader,
                    config_name,
                    [*request.fixed, *typed, *(f"{key}={level}" for key, level in pairs)],
                )
                if pairs
                else first
            )
        arms.append(_arm(spec, combination, first, bases))
    if not arms:
        raise StudyError("study.exclude leaves no combination; nothing to search")
    return arms


def _levels(distribution: BaseDistribution, key: str) -> Sequence[Any]:
    if not isinstance(distribution, CategoricalDistribution):
        raise StudyError(f"{key}: must choose among levels; use choice(a, b)")
    return distribution.choices


def _arm(
    spec: Spec,
    combination: Combination,
    base: HydraComposition,
    bases: Mapping[tuple[tuple[str, Any], ...], HydraComposition],
) -> Arm:
    """Build an arm; its default setting has the configured value of each searched key."""
    config = combination.config
    levels = {key: combination.labels[key] for key in spec.factors}
    default = {
        key: base.choices.get(key) if key in spec.groups else value_at(config, key)
        for key in spec.space
    }
    name = " ".join(f"{key}={level}" for key, level in levels.items()) or "all"
    drawn = config["batch"] * config["accumulate"]
    full, between = config["updates"] * drawn, config["validate_every"] * drawn
    inside = all(contains(item, default[key]) for key, item in spec.space.items())
    return Arm(
        name=name,
        levels=levels,
        study_name=f"{spec.name}: {name}",
        bases=bases,
        default=default,
        default_inside=inside,
        examples=spec.settings.examples or full,
        full=full,
        between=between,
        structure=None,
    )


def value_at(config: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key. Raises StudyError if there is no single value."""
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise no_such_key(key)
        value = value[part]
    if isinstance(value, Mapping | list):
        raise StudyError(
            f"{key}: is not a single value; search one of its keys ({', '.join(map(str, value))})"
        )
    return value


def settings_to_check(spec: Spec, arm: Arm) -> Iterator[Mapping[str, Any]]:
    """Yield the default setting, then variants with one key at an end or at another level."""
    yield arm.default
    for key, distribution in spec.space.items():
        for value in ends(distribution):
            yield {**arm.default, key: value}


def _whole_numbers(spec: Spec, error: StudyError) -> str:
    """What to write where an interval of numbers gives a setting that is a whole number."""
    key = str(error).split(":")[0]
    one = spec.space.get(key)
    whole = "to Integer" in str(error) or "a whole number" in str(error)
    if not (whole and isinstance(one, FloatDistribution) and one.step is None):
        return ""
    return f"; write {key}=int(interval({one.low:g},{one.high:g}))"


def check_arm(spec: Spec, arm: Arm, checked: set[str]) -> Arm:
    """Check that the ends of the space compose and build; return the arm with its structure.

    `checked`: what earlier calls have checked.
    """
    structures = set()
    for setting in settings_to_check(spec, arm):
        try:
            combination = compose(spec, arm, setting, spec.seeds[0])
            check_all([combination], checked)
        except StudyError as error:
            values = ", ".join(f"{key}={value}" for key, value in setting.items())
            raise StudyError(
                f"search: {error}{_whole_numbers(spec, error)}\n(arm {arm.name}, at {values})"
            ) from error
        structures.add(set_up(combination.config).group_key)
    return replace(arm, structure=structures.pop() if len(structures) == 1 else None)


def default(spec: Spec, arm: Arm) -> Combination:
    """The combination of an arm's default setting, with the first seed."""
    return compose(spec, arm, arm.default, spec.seeds[0])


def fingerprint(spec: Spec, arm: Arm) -> dict[str, Any]:
    """What must be equal for trials of an arm to be comparable, flat, to name differences."""
    config = default(spec, arm).config
    found: dict[str, Any] = {f"space {key}": text for key, text in to_text(spec.space).items()}
    found |= {
        key: value
        for key, value in _flat(config)
        if key.split(".")[0] not in (*NOT_IDENTITY, *spec.space) and key not in spec.space
    }
    found |= {f"default {key}": value for key, value in arm.default.items()}
    found |= {
        "search.objectives": list(spec.settings.objectives),
        "search.replicates": spec.settings.replicates,
        "search.examples": arm.examples,
    }
    found |= {
        FACTORS: list(spec.factors),
        "data": set_up(config).task.data_hash(),
        "numerics": NUMERICS,
        "search.objective": json.dumps(spec.settings.objective, sort_keys=True),
    }
    return found


def _flat(node: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, Mapping) and node:
        for key, value in node.items():
            yield from _flat(value, f"{path}.{key}" if path else str(key))
    else:
        yield path, node
