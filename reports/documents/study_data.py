"""The page's data block: what its script needs of the study, as JSON that nothing executes."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from markupsafe import Markup

from reports.data.study import Study
from reports.documents.pairs import pairs
from reports.documents.point_data import point_data
from reports.formatting import isolated, level, short_name


def study_data(study: Study) -> tuple[Markup, list[str]]:
    """Factors, levels of each arm, differences of any two, and what is known of each point.

    With the errors of parts that could not be made: they are empty, and the page is readable
    without them.
    """
    data: dict[str, Any] = {"factors": _factors(study), "arms": _arms(study)}
    errors = []
    parts: Sequence[tuple[str, Callable[[Study], Any], Any]] = (
        ("pairs", pairs, {}),
        ("detail", point_data, {"points": {}}),
    )
    for name, make, empty in parts:
        try:
            data[name] = make(study)
        except Exception as error:  # a damaged store may raise anything
            data[name] = empty
            errors.append(f"{name}: {type(error).__name__}: {error}")
    return as_json(data), errors


def as_json(data: Any) -> Markup:
    """Compact JSON for a <script> of data: no text in it can end the element."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for letter in "<>&\u2028\u2029":
        text = text.replace(letter, f"\\u{ord(letter):04x}")
    return Markup(text)


def _factors(study: Study) -> list[dict[str, Any]]:
    """`levels`: as the store names them; `words`: as the page writes them with their factor."""
    return [
        {
            "key": str(key),
            "name": isolated(short_name(key)),
            "levels": labels,
            "words": [level(key, label) for label in labels],
        }
        for key, labels in study.factors.items()
    ]


def _arms(study: Study) -> list[list[int]]:
    """Of each arm, by number: the number of its level of each factor."""
    at = {
        key: {label: n for n, label in enumerate(labels)} for key, labels in study.factors.items()
    }
    return [[at[key][str(arm[key])] for key in study.factors] for _, arm in study.arms.iterrows()]
