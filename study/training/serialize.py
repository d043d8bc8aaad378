"""Nested states of training as plain files: tensors beside a text that says how they were nested.

Reading runs no code.

A state is any nesting of mappings, lists, tuples and named tuples of tensors, arrays, numbers,
texts and None.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


class Unpackable(Exception):
    """A state that cannot be written without running code when it is read, or whose members cannot
    be told apart.
    """


def pack(value: Any, tensors: dict[str, Tensor]) -> Any:
    """What json can write of `value`; its tensors and arrays are put into `tensors`, under the
    names that stand for them.
    """
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
    raise Unpackable(
        f"it holds a {type(value).__name__}; a state that can be kept is tensors, numbers, texts"
        " and None in mappings, lists and tuples"
    )


def _stored(value: Tensor | np.ndarray) -> Tensor:
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in "biuf":
            raise Unpackable(f"it holds an array of {value.dtype}")
        value = torch.from_numpy(np.array(value, order="C"))
    if value.layout is not torch.strided:
        raise Unpackable(f"it holds a tensor of layout {value.layout}")
    return value.detach().cpu()


def unpack(packed: Any, tensors: Mapping[str, Tensor], named: Mapping[str, type]) -> Any:
    """The value again; `named` are the classes of named tuples it may hold, by name."""
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
    """Classes of the named tuples in a nested value, by name."""
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


def take(value: Any, member: int, members: int) -> Any:
    """One member of a nested value whose tensors have M = `members` as first axis; what is no
    tensor belongs to all of them.
    """

    def of(leaf: Any) -> Any:
        if isinstance(leaf, np.ndarray):
            raise Unpackable("it holds an array of numpy's; values of members must be tensors")
        if not isinstance(leaf, Tensor):
            return leaf
        if leaf.ndim == 0 or len(leaf) != members:
            raise Unpackable(
                f"it holds a tensor of shape {tuple(leaf.shape)} for {members} members; the first"
                " axis of every tensor must be M"
            )
        return leaf[member]

    return mapped(of, value)


def join(values: Sequence[Any]) -> Any:
    """Members side by side again: tensors and arrays get M as first axis, what is neither must be
    the same in all.
    """

    def of(*leaves: Any) -> Any:
        first = leaves[0]
        if isinstance(first, Tensor):
            return torch.stack(leaves)
        if isinstance(first, np.ndarray):
            return np.stack(leaves)
        if any(leaf != first and not (leaf != leaf and first != first) for leaf in leaves):
            raise ValueError(f"members differ in what they should share: {first!r} and others")
        return first

    return mapped(of, *values)


def mapped(of: Callable[..., Any], *values: Any) -> Any:
    """The nesting that all `values` have, with of(leaf of each) at its leaves."""
    first = values[0]
    if isinstance(first, Mapping):
        return {name: mapped(of, *(value[name] for value in values)) for name in first}
    if isinstance(first, list | tuple):
        parts = [mapped(of, *items) for items in zip(*values, strict=True)]
        return type(first)(*parts) if hasattr(first, "_fields") else type(first)(parts)
    return of(*values)
