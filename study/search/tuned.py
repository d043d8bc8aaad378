"""Write the tuned experiment: tuned and default setting of every arm, on fresh seeds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from study.records import StudyError
from study.search.planning import SearchRequest
from study.search.spec import Spec

FRESH = "0,1,2"  # seeds of a tuned study if its experiment declares none


def tuned_name(spec: Spec) -> str:
    return f"{spec.name}_tuned"


def experiment_path(spec: Spec) -> Path:
    """The path, in a folder for --config-dir, outside the committed experiments."""
    return spec.search_folder / "experiment" / f"{tuned_name(spec)}.yaml"


def experiment(
    spec: Spec,
    request: SearchRequest,
    found: Mapping[str, Any],
    title: str | None,
    question: str | None,
) -> str:
    """The experiment's YAML, from the summary of a complete search."""
    arms = [arm for arm in found["arms"] if arm["best"]]
    fixed = [line.split("=", 1) for line in request.fixed if line.split("=", 1)[0] != "experiment"]
    defaults: list[Any] = [spec.experiment] if spec.experiment else []
    defaults += [
        {f"override /{key}": level(value)}
        for key, value in fixed
        if key in request.levels and not key.startswith("search")
    ]
    # The experiment may choose the sweeper of searches.
    defaults.append({"override /hydra/sweeper": "study"})
    node: dict[str, Any] = {"defaults": [*defaults, "_self_"], "name": tuned_name(spec)}
    for key, value in fixed:
        if key not in request.levels and key.split(".")[0] not in ("search", "name", "plan"):
            set_at(node, key.lstrip("+"), yaml.safe_load(value))
    node["study"] = {
        **node.get("study", {}),
        "title": f"{title or spec.name}, tuned",
        "question": (
            f"{question or ''} And what does tuning each arm with the same budget change?".strip()
        ),
        "search": os.path.relpath(spec.search_folder, spec.folder.parent / tuned_name(spec)),
        "arms": [
            {
                "when": {**arm["levels"], "tuned": True},
                "set": values(spec, arm["best"]["setting"], arm),
            }
            for arm in arms
        ],
    }
    params = {key: ",".join(map(str, levels)) for key, levels in spec.factors.items()}
    params |= {"tuned": "false,true", "seed": request.seeds or FRESH}
    params |= {key: found["held"][key] for key in found["held"]}
    # Searched keys get one level; tuned arms set their own values.
    params |= {
        key: str(dict(fixed).get(key, spec.arms[0].default.get(key))) for key in request.decided
    }
    node["hydra"] = {"sweeper": {"params": params}}
    head = (
        f"# @package _global_\n# Written by the search {spec.name}: {found['trials']} trials per"
        f" arm on validation data, seeds {', '.join(map(str, spec.seeds))}.\n# Its arms with the"
        " best setting found and with the default setting, on other seeds.\n"
    )
    return head + yaml.safe_dump(node, sort_keys=False, allow_unicode=True, width=160)


def values(spec: Spec, setting: Mapping[str, Any], arm: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a tuned arm sets: searched keys, and updates that follow from its batch."""
    return dict(setting) | {
        key: value
        for key, value in arm["best"]["held"].items()
        if value != arm["default"]["held"][key]
    }


def level(text: str) -> Any:
    """Parse a level or a list of levels."""
    return yaml.safe_load(text)


def set_at(node: dict[str, Any], key: str, value: Any) -> None:
    if key.startswith("~"):
        raise StudyError(
            f"{key}: a search writes an experiment, and a YAML cannot remove a key; leave ~ out"
        )
    first, _, rest = key.partition(".")
    if rest:
        set_at(node.setdefault(first, {}), rest, value)
    else:
        node[first] = value
