"""Serialize nested training states as tensors and a JSON text with their structure.

A state is any nesting of mappings, lists, tuples and named tuples of tensors, arrays, numbers,
strings and None. Reading one runs no code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


class CannotSerialize(Exception):
    """A state that could only be read by running code, or that cannot be split into members."""


def pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """Return `value` in a form that JSON can hold; its tensors and arrays go into `tensors`."""
    if isinstance(value, Tensor | np.ndarray):
        tensors[name := f"t{len(tensors)}"] = _stored(value)
        return ["array" if isinstance(value, np.ndarray) else "tensor", name]
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or type(value) in (bool, int, float, str):
        return ["value", value]
    if isinstance(value, Mapping):
        return [
            "mapping",
            [[pack(key, tensors), pack(item, tensors)] for key, item in value.items()],
        ]
    if isinstance(value, list):
        return ["list", [pack(item, tensors) for item in value]]
    if isinstance(value, tuple):
        named = type(value).__name__ if hasattr(value, "_fields") else None
        return ["tuple", [pack(item, tensors) for item in value], named]
    raise CannotSerialize(
        f"it holds a {type(value).__name__}; a state may hold tensors, numbers, strings and None"
        " in mappings, lists and tuples"
    )


def _stored(value: Tensor | np.ndarray) -> Tensor:
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf":
            raise CannotSerialize(f"it holds an array of {value.dtype}")
        value = torch.from_numpy(np.array(value, order="C"))
    if value.layout is not torch.strided:
        raise CannotSerialize(f"it holds a tensor of layout {value.layout}")
    return value.detach().cpu()


def unpack(packed: Any, tensors: Mapping[str, Tensor], named: Mapping[str, type]) -> Any:
    """Invert `pack`; `named`: classes of the named tuples that may occur, by name."""
    kind, content, *more = packed
    if kind == "tensor":
        return tensors[content]
    if kind == "array":
        return tensors[content].numpy()
    if kind == "value":
        return content
    if kind == "mapping":
        return {unpack(key, tensors, named): unpack(item, tensors, named) for key, item in content}
    items = [unpack(item, tensors, named) for item in content]
    if kind == "list":
        return items
    return tuple(items) if more[0] is None else named[more[0]](*items)


def named_tuples(value: Any) -> dict[str, type]:
    """The classes of the named tuples in a nested value, by name."""
    return {
        type(each).__name__: type(each)
        for each in _walk(value)
        if isinstance(each, tuple) and hasattr(each, "_fields")
    }


def _walk(value: Any) -> Iterator[Any]:
    yield value
    if isinstance(value, Mapping):
        value = list(value.values())
    for item in value if isinstance(value, list | tuple) else ():
        yield from _walk(item)


def take_member(value: Any, member: int, members: int) -> Any:
    """Take one member of a nested value whose tensors have M = `members` as first axis.

    Leaves that are no tensors belong to all members.
    """

    def take(leaf: Any) -> Any:
        if isinstance(leaf, np.ndarray):
            raise CannotSerialize("it holds a NumPy array; values of members must be tensors")
        if not isinstance(leaf, Tensor):
            return leaf
        if leaf.ndim == 0 or len(leaf) != members:
            raise CannotSerialize(
                f"it holds a tensor of shape {tuple(leaf.shape)} for {members} members; the first"
                " axis of every tensor must be M"
            )
        return leaf[member]

    return map_leaves(take, value)


def stack_members(values: Sequence[Any]) -> Any:
    """Stack members: tensors and arrays get M as first axis, other leaves must be equal."""

    def stack(*leaves: Any) -> Any:
        first = leaves[0]
        if isinstance(first, Tensor):
            return torch.stack(leaves)
        if isinstance(first, np.ndarray):
            return np.stack(leaves)
        if any(leaf != first and not (leaf != leaf and first != first) for leaf in leaves):
            raise ValueError(f"members differ in what they should share: {first!r} and others")
        return first

    return map_leaves(stack, *values)


def map_leaves(function: Callable[..., Any], *values: Any) -> Any:
    """Apply a function to the corresponding leaves of equally nested values."""
    first = values[0]
    if isinstance(first, Mapping):
        return {name: map_leaves(function, *(value[name] for value in values)) for name in first}
    if isinstance(first, list | tuple):
        parts = [map_leaves(function, *items) for items in zip(*values, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    return function(*values)


def on_device(state: Any, device: torch.device) -> Any:
    """A nested value with its tensors on this device."""
    return map_leaves(lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf, state)
