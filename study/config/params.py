"""Factors of an experiment, as it declares them below hydra.sweeper.params, as overrides."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from study.records import StudyError

WHERE = "hydra.sweeper.params"


def check_params(params: object) -> dict[str, Any]:
    """`params` with texts as keys. Raises StudyError."""
    if params is None:
        return {}
    if not isinstance(params, Mapping):
        raise StudyError(
            f"{WHERE}: must be {{key: values}}, such as {{cell: 'rnn,gru', seed: '0,1'}}, got"
            f" {params!r}"
        )
    return {str(key): value for key, value in params.items()}


def overrides_of(params: Mapping[str, Any]) -> list[str]:
    """Overrides as typed on the command line. A list is a list of levels; a text is Hydra's syntax.

    Raises StudyError.
    """
    return [f"{key}={_levels(key, value)}" for key, value in params.items()]


def _levels(key: str, value: Any) -> str:
    if isinstance(value, Mapping):
        names = ", ".join(f"{key}.{name}" for name in value)
        raise StudyError(
            f"{WHERE}: {key} must have values such as 'a,b' or [a, b], got {dict(value)!r}. A key"
            f" below {key} is written with its dots ({names})"
        )
    if isinstance(value, str):
        return value
    if isinstance(value, Sequence) and value:
        return ",".join(map(written, value))
    return written(value)


def written(value: Any) -> str:
    """Write one value so that Hydra reads the same value of the same type."""
    value = value.item() if hasattr(value, "item") else value  # a number of numpy or torch
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{written(each)}' for key, each in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(written, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    text = str(value)
    if isinstance(value, int | float):
        return text
    plain = re.fullmatch(r"[A-Za-z_][\w./-]*", text, re.ASCII)
    if plain and text.lower() not in ("null", "true", "false", "nan", "inf"):
        return text
    # Hydra reads a backslash as itself unless a quote follows.
    escaped = re.sub(r"(\\*)('|$)", lambda found: 2 * found[1] + found[2].replace("'", "\\'"), text)
    return f"'{escaped}'"
