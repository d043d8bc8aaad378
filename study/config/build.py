"""Build pieces from their YAML: `_target_` names the class, its annotations are the schema."""

from __future__ import annotations

import contextlib
import functools
import inspect
import logging
import sys
import traceback
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import torch
from hydra.utils import get_class

from study.interfaces import EachMember, PerMember
from study.records import LATER, StudyError

# get_class logs three lines before it raises; the StudyError below says it in one
logging.getLogger("hydra.utils").setLevel(logging.CRITICAL)
PER_MEMBER_MARK = get_args(PerMember)[1]


def build(node: Mapping[str, Any], key: str) -> Any:
    """Build the piece of one configuration node; PerMember arguments stay numbers.

    Raises StudyError with the piece, the key, what is allowed and what came.
    """
    node = whole(node)
    hints = _hints(node, key)
    return _construct(node, key, {name: node[name] for name in hints})


def build_for_members(
    nodes: Sequence[Mapping[str, Any]], key: str, device: torch.device, dtype: torch.dtype
) -> Any:
    """Build one piece for M members of equal structure; PerMember arguments become [M] tensors."""
    nodes = [whole(node) for node in nodes]
    hints = _hints(nodes[0], key)
    arguments = {
        name: (
            torch.tensor([float(node[name]) for node in nodes], device=device, dtype=dtype)
            if _is_per_member(hint)
            else [node[name] for node in nodes]
            if _is_marked(hint, EachMember)
            else nodes[0][name]
        )
        for name, hint in hints.items()
    }
    return _construct(nodes[0], key, arguments)


def structure(node: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return the node without what may differ in a group: equal structures may share one."""
    node = whole(node)
    return {
        "_target_": node["_target_"],
        **{
            name: _without_numbers(node[name]) if _is_marked(hint, EachMember) else node[name]
            for name, hint in _hints(node, key).items()
            if not _is_per_member(hint)
        },
    }


def _without_numbers(value: Any) -> Any:
    """A value with true and false instead of its numbers, for those that are zero or not."""
    if isinstance(value, Mapping):
        return {name: _without_numbers(item) for name, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_numbers(item) for item in value]
    return f"number, {value != 0}" if fits(value, float) else value


def whole(node: Any) -> Any:
    """A piece's node with the settings of its class's `later` that it does not give."""
    return {**later_of(node), **node} if isinstance(node, Mapping) else node


def later_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """By dotted key, settings that came after points were first stored: the value as before."""
    of_pieces = {
        f"{key}.{name}": value
        for key, node in config.items()
        for name, value in later_of(node).items()
    }
    return {**LATER, **of_pieces}


def later_of(node: Any) -> Mapping[str, Any]:
    """`later` of a piece's class, by its node; nothing if there is no such class."""
    if not isinstance(node, Mapping) or not isinstance(node.get("_target_"), str):
        return {}
    try:
        piece = get_class(node["_target_"])
    except (ImportError, AttributeError, ValueError):  # `_hints` says what is wrong
        return {}
    later = getattr(piece, "later", {})
    # a subclass may have a constructor without the settings of its base
    taken = _arguments(piece)[1] if later else {}
    return {name: value for name, value in later.items() if name in taken}


@contextlib.contextmanager
def as_study_error(key: str, failure: str) -> Iterator[None]:
    """Turn whatever a piece raises into a StudyError with the key, the failure and its line."""
    try:
        yield
    except StudyError:
        raise
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        local = [frame for frame in frames if "site-packages" not in frame.filename] or frames
        # The line of the piece's author, not one of ours that it calls.
        authors = [
            frame
            for frame in local
            if Path(__file__).parent.parent not in Path(frame.filename).parents
        ] or local
        message = (str(error).splitlines() or [""])[0]
        where = f"{Path(authors[-1].filename).name}, line {authors[-1].lineno}"
        raise StudyError(
            f"{key}: {failure} ({type(error).__name__}: {message}; {where})"
        ) from error


def _construct(node: Mapping[str, Any], key: str, arguments: Mapping[str, Any]) -> Any:
    piece = get_class(node["_target_"])
    with as_study_error(key, f"{piece.__name__} cannot be built"):
        try:
            return piece(**arguments)
        except ValueError as error:  # the message of a constructor is a whole sentence
            raise StudyError(f"{key}: {error}") from error


def _import_failure(target: object, error: BaseException) -> str:
    """Say in one line why a class cannot be imported; Hydra's message takes three."""
    module, _, name = str(target).rpartition(".")
    if module in sys.modules:
        return f"{module} has no class {name}"
    while error.__cause__ is not None:
        error = error.__cause__
    missing = isinstance(error, ModuleNotFoundError) and f"{target}.".startswith(f"{error.name}.")
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not set(Path(frame.filename).parts) & {"site-packages", "importlib"}
    ]
    where = (
        f"; {Path(frames[-1].filename).name}, line {frames[-1].lineno}"
        if frames and not missing
        else ""
    )
    hint = ". Is its folder given with --config-dir?" if missing else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}{hint}"


def _hints(node: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Check that a node fits its class; return the annotations of the arguments it gives."""
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise StudyError(
            f"{key}: its YAML needs _target_, the path of its class, such as study.cells.lstm.LSTM;"
            f" got {node!r}"
        )
    try:
        piece = get_class(node["_target_"])
    except (ImportError, AttributeError, ValueError) as error:
        raise StudyError(
            f"{key}: _target_ {node['_target_']!r} cannot be imported"
            f" ({_import_failure(node['_target_'], error)})"
        ) from error
    required, hints = _arguments(piece)
    given, allowed = [name for name in node if name != "_target_"], list(hints)
    for name in given:
        if name not in allowed:
            raise StudyError(
                f"{key}: unknown key {name!r}; {piece.__name__} takes"
                f" {', '.join(allowed) or 'no settings'}"
            )
    for name in required:
        if name not in given:
            raise StudyError(
                f"{key}: key {name!r} is missing; {piece.__name__} takes {', '.join(allowed)}"
            )
    fitting = {name: hint for name, hint in hints.items() if name in given}
    for name, hint in fitting.items():
        if not fits(node[name], hint):
            raise StudyError(f"{key}: {name} must be {describe(hint)}, got {node[name]!r}")
    return fitting


@functools.lru_cache(maxsize=256)
def _hints_of(target: str) -> dict[str, Any]:
    try:
        return _arguments(get_class(target))[1]
    except (ImportError, AttributeError, ValueError, TypeError, NameError):
        return {}


def argument_hints(node: Mapping[str, Any]) -> dict[str, Any]:
    """The annotations of a node's constructor by argument; {} if they are not known."""
    return _hints_of(str(node["_target_"]))


def _arguments(piece: type) -> tuple[list[str], dict[str, Any]]:
    """Return a constructor's required arguments, and all arguments with their annotations.

    If it passes **settings on to its base class, the arguments of the base count as well, as
    optional ones: the subclass may set some of them.
    """
    required: list[str] = []
    hints: dict[str, Any] = {}
    for base in piece.__mro__:
        construct = vars(base).get("__init__")
        if construct is None or base is object:
            continue
        parameters = list(inspect.signature(construct).parameters.values())[1:]
        named = [
            parameter
            for parameter in parameters
            if parameter.kind in (parameter.KEYWORD_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        ]
        annotated = typing.get_type_hints(construct, include_extras=True) if named else {}
        if not hints:
            required = [
                parameter.name for parameter in named if parameter.default is parameter.empty
            ]
        hints |= {
            parameter.name: annotated.get(parameter.name, Any)
            for parameter in named
            if parameter.name not in hints
        }
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return required, hints


def _is_per_member(hint: Any) -> bool:
    return _is_marked(hint, PER_MEMBER_MARK)


def _is_marked(hint: Any, mark: str) -> bool:
    return get_origin(hint) is typing.Annotated and mark in get_args(hint)[1:]


def fits(value: Any, hint: Any) -> bool:
    """Whether a plain YAML value has an annotation's type; an int is a float, a bool is neither."""
    if _is_per_member(hint):
        return fits(value, float)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is typing.Annotated:
        return fits(value, arguments[0])
    if origin in (typing.Union, types.UnionType):
        return any(fits(value, argument) for argument in arguments)
    if origin is Literal:
        return any(type(value) is type(argument) and value == argument for argument in arguments)
    if hint is type(None):
        return value is None
    if hint is bool:
        return isinstance(value, bool)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if hint is str:
        return isinstance(value, str)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return isinstance(value, Mapping) and all(
            fits(item, arguments[1]) for item in value.values()
        )
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return (
            isinstance(value, Sequence)
            and not isinstance(value, str)
            and all(fits(item, arguments[0]) for item in value)
        )
    return True


def describe(hint: Any) -> str:
    """Describe an annotation in words, for messages."""
    if _is_per_member(hint) or hint is float:
        return "a number"
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is typing.Annotated:
        return describe(arguments[0])
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return "a mapping"
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe(argument) for argument in arguments)
    if origin is Literal:
        return " or ".join(map(str, arguments))
    if isinstance(origin, type) and issubclass(origin, Sequence):
        return f"a list, each {describe(arguments[0])}"
    return {int: "a whole number", bool: "true or false", str: "text", type(None): "null"}.get(
        hint, str(hint)
    )
