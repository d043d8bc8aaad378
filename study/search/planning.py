"""From a command line to a search: arms, space, default settings; everything is checked before the
first update.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, get_type_hints

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf
from optuna.distributions import BaseDistribution, CategoricalDistribution

from study.config.build import build, describe, fits
from study.config.check import check_all
from study.config.compose import Combination, HydraComposition, exclusion, with_values
from study.config.compose import compose as compose_by_hydra
from study.config.settings import check_name
from study.config.setup import set_up
from study.records import NOT_IDENTITY, NUMERICS, StudyError
from study.search import samplers
from study.search.objectives import OBJECTIVES, Objective
from study.search.space import contains, distribution, ends, to_text
from study.search.spec import HELD, Arm, Settings, Spec, compose
from study.search.storage import check_address, reach

MANY = 2000  # compositions of levels by Hydra: 50 ms each
FACTORS = "search.per"  # of a fingerprint: those of the declared ones that this study has


@dataclass(frozen=True)
class SearchRequest:
    """What the command line and the experiment ask for."""

    factors: Mapping[str, list[str]]  # of search.per, levels as typed
    space: Mapping[str, BaseDistribution]
    fixed: Sequence[str]
    # factors of the experiment that are neither searched nor an arm's: their default is taken
    held: Sequence[str]
    # factors of the experiment that are searched or typed: no factors of the tuned study
    decided: Sequence[str]
    seeds: str | None  # of the tuned study, as typed
    levels: Sequence[str]  # keys among the fixed that choose a level


def make_spec(
    loader: ConfigLoader,
    config_name: str,
    composed: DictConfig,
    params: Mapping[str, Any],
    arguments: Sequence[str],
    experiment: str | None,
) -> tuple[Spec, SearchRequest]:
    """The search of a command line. Raises StudyError before anything is written."""
    whole = OmegaConf.to_container(composed, resolve=True)
    assert isinstance(whole, dict)
    node: Any = whole["search"]
    if node is None:
        raise StudyError(
            "hydra/sweeper=optuna needs a search: search=default, or one of your own in"
            " conf/search/ (see python -m study --help)"
        )
    settings = read_settings(node)
    request = read(loader, params, arguments, node)
    groups = frozenset(key for key in request.space if loader.get_group_options(key))
    for key in request.space:
        check_key(key, groups)
    for key in node["per"]:
        if key not in request.factors and not loader.get_group_options(key):
            value_at({str(name): value for name, value in whole.items()}, key)
    reach(settings.storage)
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
    """The search's settings, each of its type and in its range."""
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
    made = Settings(**values)
    for key, least in (
        ("trials", 1),
        ("replicates", 1),
        ("first_seed", 0),
        ("retries", 0),
        ("per_gpu", 1),
        ("seed", 0),
    ):
        if getattr(made, key) < least:
            raise StudyError(f"search.{key}: must be at least {least}, got {getattr(made, key)}")
    if made.examples is not None and made.examples < 1:
        raise StudyError(f"search.examples: must be at least 1 or null, got {made.examples}")
    if made.budget not in ("examples", "trials"):
        raise StudyError(f"search.budget: must be examples or trials, got {made.budget!r}")
    if made.heartbeat <= 0:
        raise StudyError(f"search.heartbeat: must be above 0 seconds, got {made.heartbeat}")
    if made.together != "auto" and (not isinstance(made.together, int) or made.together < 1):
        raise StudyError(
            f"search.together: must be auto or a number of at least 1, got {made.together!r}"
        )
    if (
        not made.objectives
        or set(made.objectives) - set(OBJECTIVES)
        or len(set(made.objectives)) < len(made.objectives)
        or "score" not in made.objectives
    ):
        raise StudyError(
            "search.objectives: must be score, with or without health and cost, each once; got"
            f" {node['objectives']!r}"
        )
    check_address(made.storage)
    samplers.sampler(made.sampler, 0)
    if len(made.objectives) > 1 and type(samplers.pruner(made.pruner)).__name__ != "NopPruner":
        raise StudyError(
            "search/pruner: a trial can only be pruned by one objective; use search/pruner=none"
            f" with objectives {list(made.objectives)}"
        )
    return made


def read(
    loader: ConfigLoader,
    params: Mapping[str, Any],
    arguments: Sequence[str],
    node: Mapping[str, Any],
) -> SearchRequest:
    """Sort every override into factors, searched keys, fixed values and seeds.

    The command line wins over the experiment, and the experiment over the space of the YAML.
    """
    _check_search(node)
    per: list[str] = node["per"]
    parser = OverridesParser.create(config_loader=loader)
    typed = _by_key(parser.parse_overrides(list(arguments)))
    declared = _by_key(
        parser.parse_overrides(
            [f"{key}={value}" for key, value in params.items() if key not in typed]
        )
    )
    space = {
        key: parser.parse_override(f"{key}={text}")
        for key, text in node["space"].items()
        if text is not None
    }
    factors: dict[str, list[str]] = {}
    fixed, held, seeds = [], [], None
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
        elif key in declared and key not in space:
            if interval:
                space[key] = override
            elif sweeps:
                held.append(key)
            else:
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
        space={key: distribution(override) for key, override in space.items()},
        fixed=fixed,
        held=held,
        decided=[key for key in params if key not in (*ordered, *held, "seed")],
        seeds=seeds,
        levels=[key for key in keys if loader.get_group_options(key)],
    )


def _by_key(overrides: Sequence[Override]) -> dict[str, Override]:
    return {override.get_key_element(): override for override in overrides}


def _value(override: Override) -> str:
    """The text behind the equals sign."""
    return str(override.input_line).split("=", 1)[1]


def _check_search(node: Mapping[str, Any]) -> None:
    """The form of search.per and search.space. Raises StudyError."""
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


def _check_override(key: str, override: Override, per: Sequence[str], *, interval: bool) -> None:
    """Refuse several experiments, and intervals where only levels make sense."""
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
            f"{key}: cannot be searched; it decides what is asked, where or how it runs, not how"
            " well a model trains"
        )
    if "@" in key or key.startswith(("+", "~")):
        raise StudyError(f"{key}: a searched key is one that exists, without +, ~ or @")
    if "." in key and key.split(".")[0] in groups:
        raise StudyError(
            f"{key}: is a setting of {key.split('.')[0]}, whose level is searched too; levels have"
            " different settings. Search one of the two"
        )


def make_arms(
    loader: ConfigLoader, config_name: str, spec: Spec, request: SearchRequest
) -> list[Arm]:
    """Every combination of the factors' levels that is not excluded, with every choice of levels
    that the space may make.
    """
    chosen = {key: _levels(spec.space[key], key) for key in sorted(spec.groups)}
    count = len(list(itertools.product(*request.factors.values()))) * len(
        list(itertools.product(*chosen.values()))
    )
    if count > MANY:
        raise StudyError(
            f"search: arms and searched levels make {count:,} combinations, more than {MANY:,}"
        )
    arms: list[Arm] = []
    for levels in itertools.product(*request.factors.values()):
        typed = [f"{key}={level}" for key, level in zip(request.factors, levels, strict=True)]
        first = compose_by_hydra(loader, config_name, [*request.fixed, *typed])
        made = with_values(first, {}, list(request.factors))
        if exclusion(made) is not None:
            continue
        bases: dict[tuple[tuple[str, Any], ...], HydraComposition] = {}
        # the default is a setting like any other, and composes like one
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
        arms.append(_arm(spec, made, first, bases))
    if not arms:
        raise StudyError("study.exclude leaves no combination; nothing to search")
    return arms


def _levels(of: BaseDistribution, key: str) -> Sequence[Any]:
    if not isinstance(of, CategoricalDistribution):
        raise StudyError(f"{key}: chooses among levels; use choice(a, b)")
    return of.choices


def _arm(
    spec: Spec,
    made: Combination,
    base: HydraComposition,
    bases: Mapping[tuple[tuple[str, Any], ...], HydraComposition],
) -> Arm:
    """An arm with its default setting: what stands in the configuration for each searched key."""
    config, levels = made.config, {key: made.labels[key] for key in spec.factors}
    default = {
        key: base.choices.get(key) if key in spec.groups else value_at(config, key)
        for key in spec.space
    }
    name = " ".join(f"{key}={level}" for key, level in levels.items()) or "all"
    full, between = config["updates"] * config["batch"], config["validate_every"] * config["batch"]
    inside = all(contains(of, default[key]) for key, of in spec.space.items())
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
    """The value at a dotted key; a key that is not there is told by name."""
    value: Any = config
    for part in key.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise StudyError(
                f"{key}: there is no such key; python -m study --cfg job shows all keys"
            )
        value = value[part]
    if isinstance(value, Mapping | list):
        raise StudyError(
            f"{key}: is no single value; search one of its keys ({', '.join(map(str, value))})"
        )
    return value


def settings_to_check(spec: Spec, arm: Arm) -> Iterator[Mapping[str, Any]]:
    """The default, then the default with one key at an end of its range or at another level."""
    yield arm.default
    for key, of in spec.space.items():
        for value in ends(of):
            yield {**arm.default, key: value}


def check_arm(spec: Spec, arm: Arm, checked: set[str]) -> Arm:
    """Every end of the space composes and builds, what is not among the `checked`.

    Trials have one structure where these have.
    """
    structures = set()
    for setting in settings_to_check(spec, arm):
        try:
            made = compose(spec, arm, setting, spec.seeds[0])
            check_all([made], checked)
        except StudyError as error:
            told = ", ".join(f"{key}={value}" for key, value in setting.items())
            raise StudyError(f"search: {error}\n(arm {arm.name}, at {told})") from error
        structures.add(set_up(made.config).group_key)
    return replace(arm, structure=structures.pop() if len(structures) == 1 else None)


def default(spec: Spec, arm: Arm) -> Combination:
    return compose(spec, arm, arm.default, spec.seeds[0])


def fingerprint(spec: Spec, arm: Arm) -> dict[str, Any]:
    """What must be equal for trials of an arm to be comparable: flat, so that differences can be
    named.
    """
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
