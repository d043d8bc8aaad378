"""Computes the recurrent layers inside a module step by step, with a tap at every state.

Inside `tapped(module)`, torch.nn.RNN, LSTM and GRU follow their documented equations in Python, and
cells that are called once a step (torch.nn.RNNCell, LSTMCell, GRUCell, and the submodules that the
module names in its attribute `states`) add taps to what they return. A tap is a tensor of zeros;
its gradient is the total derivative at that state (interfaces.Unrolled).
"""

from __future__ import annotations

import contextlib
import types
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from study.records import StudyError

LAYERS = (nn.RNN, nn.LSTM, nn.GRU)
CELLS = (nn.RNNCell, nn.LSTMCell, nn.GRUCell)


@dataclass
class Recurrence:
    """The states of one layer in one direction, in the order in which it computed them.

    `name`: path of the module, with the layer and direction of torch's own names (lstm.l0_reverse).
    `backward`: it reads the sequence from its end. `states[name]` and `taps[name]`: one [B, H] a
    step. `weight`: name of its recurrent weights [gates·H, H] in the module, if it has some.
    """

    name: str
    backward: bool
    weight: str | None
    read: Tensor | None = None  # the input of its first step [B, D]
    states: dict[str, list[Tensor]] = field(default_factory=dict)
    taps: dict[str, list[Tensor]] = field(default_factory=dict)

    def tap(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Record one step, and return its states with their taps added."""
        found = {}
        for name, value in state.items():
            zeros = torch.zeros_like(value, requires_grad=torch.is_grad_enabled())
            found[name] = value + zeros
            self.states.setdefault(name, []).append(found[name])
            self.taps.setdefault(name, []).append(zeros)
        return found


@contextlib.contextmanager
def tapped(module: nn.Module) -> Iterator[list[Recurrence]]:
    """The recurrences of the calls made inside, in the order of their first steps."""
    found: list[Recurrence] = []
    handles, replaced = [], []
    named = named_states(module)
    for path, part in module.named_modules():
        if isinstance(part, LAYERS):
            if has_own_forward(part):
                continue
            setattr(part, "forward", types.MethodType(_layer_forward(path, found), part))  # noqa: B010
            replaced.append(part)
        elif isinstance(part, CELLS) or path in named:
            handles.append(part.register_forward_hook(_cell_hook(path, found)))
    try:
        yield found
    finally:
        for part in replaced:
            delattr(part, "forward")
        for handle in handles:
            handle.remove()


def named_states(module: nn.Module) -> tuple[str, ...]:
    """The submodules that a module names in its attribute `states`, if that names submodules."""
    given = getattr(module, "states", ())
    given = (given,) if isinstance(given, str) else given
    if not isinstance(given, tuple | list) or not all(isinstance(name, str) for name in given):
        return ()  # an attribute that means something else
    paths = [path for path, _ in module.named_modules() if path]
    if unknown := [name for name in given if name not in paths]:
        raise StudyError(
            f"model: the attribute `states` of {type(module).__name__} names submodules whose"
            f" states are measured, and it has no {', '.join(unknown)}; it has {', '.join(paths)}"
        )
    return tuple(given)


def has_own_forward(part: nn.Module) -> bool:
    """Whether a subclass of torch's layers computes something else, which cannot be followed."""
    return isinstance(part, LAYERS) and type(part).forward not in [kind.forward for kind in LAYERS]


def _cell_hook(path: str, found: list[Recurrence]) -> Callable[..., Any]:
    """Each call is a step; a call on other sizes starts another recurrence."""

    def hook(cell: nn.Module, args: tuple[Any, ...], returned: Any) -> Any:
        parts = returned if isinstance(returned, tuple) else (returned,)
        names = ["h", "c", *(f"s{number}" for number in range(3, 1 + len(parts)))][: len(parts)]
        own = next((one for one in found if one.name == path), None)
        if own is None:
            weight = f"{path}.weight_hh" if isinstance(cell, CELLS) else None
            read = args[0] if args and isinstance(args[0], Tensor) else None
            own = Recurrence(path, backward=False, weight=weight, read=read)
            found.append(own)
        after = tuple(own.tap(dict(zip(names, parts, strict=True))).values())
        return after if isinstance(returned, tuple) else after[0]

    return hook


def _layer_forward(path: str, found: list[Recurrence]) -> Callable[..., Any]:
    def forward(layer: Any, x: Any, hx: Any = None) -> Any:
        packed = x if isinstance(x, PackedSequence) else None
        unbatched = packed is None and x.ndim == 2
        if packed is not None:
            steps, lengths = pad_packed_sequence(packed)
        else:
            steps = x.unsqueeze(1) if unbatched else x.transpose(0, 1) if layer.batch_first else x
            lengths = torch.full((steps.shape[1],), len(steps))
        output, last = _stack(layer, path, found, steps, lengths, _first(hx, unbatched))
        if packed is not None:
            ordered = packed.sorted_indices is None
            output = pack_padded_sequence(  # type: ignore[assignment]
                output, lengths, enforce_sorted=ordered
            )
        elif unbatched:
            output, last = output.squeeze(1), tuple(part.squeeze(1) for part in last)
        elif layer.batch_first:
            output = output.transpose(0, 1)
        return output, last if isinstance(layer, nn.LSTM) else last[0]

    return forward


def _first(hx: Any, unbatched: bool) -> tuple[Tensor, ...] | None:
    """First states, each [layers·directions, B, H]."""
    if hx is None:
        return None
    parts = tuple(hx) if isinstance(hx, tuple | list) else (hx,)
    return tuple(part.unsqueeze(1) for part in parts) if unbatched else parts


def _stack(
    layer: Any,
    path: str,
    found: list[Recurrence],
    x: Tensor,
    lengths: Tensor,
    first: tuple[Tensor, ...] | None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """(outputs [T, B, ·], last states [layers·directions, B, ·]) for x [T, B, D]."""
    ends: list[tuple[Tensor, ...]] = []
    for number in range(layer.num_layers):
        outputs = []
        for suffix in ("", "_reverse")[: 2 if layer.bidirectional else 1]:
            start = None if first is None else tuple(part[len(ends)] for part in first)
            own = _recurrence(path, f"l{number}{suffix}", found, x)
            out, end = _direction(layer, f"_l{number}{suffix}", own, x, lengths, start)
            outputs.append(out)
            ends.append(end)
        x = torch.cat(outputs, -1)
        if number + 1 < layer.num_layers and layer.training and layer.dropout:
            x = nn.functional.dropout(x, layer.dropout)
    return x, tuple(torch.stack(parts) for parts in zip(*ends, strict=True))


def _recurrence(path: str, which: str, found: list[Recurrence], x: Tensor) -> Recurrence:
    """Calls of one step each are the steps of one recurrence; longer calls are one each."""
    name = f"{path}.{which}" if path else which
    calls = [one for one in found if one.name.split("#")[0] == name]
    if len(x) == 1 and calls and not which.endswith("_reverse"):
        return calls[-1]
    weight = f"{path}.weight_hh_{which}" if path else f"weight_hh_{which}"
    name = f"{name}#{len(calls) + 1}" if calls else name
    found.append(Recurrence(name, which.endswith("_reverse"), weight, read=x[0]))
    return found[-1]


def _direction(
    layer: Any,
    suffix: str,
    own: Recurrence,
    x: Tensor,
    lengths: Tensor,
    first: tuple[Tensor, ...] | None,
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """One layer in one direction on x [T, B, D], each example in its own order of steps."""
    steps, examples, _ = x.shape
    order = _order(steps, lengths, own.backward).to(x.device)
    x = x.gather(0, order[..., None].expand_as(x))
    if first is None:
        outputs = layer.proj_size or layer.hidden_size
        first = (x.new_zeros(examples, outputs),)
        if isinstance(layer, nn.LSTM):
            first = (*first, x.new_zeros(examples, layer.hidden_size))
    weights = [getattr(layer, f"{name}{suffix}", None) for name in _NAMES]
    step, state = _STEPS[type(layer) if type(layer) in _STEPS else _kind(layer)], first
    before = len(own.states.get("h", ()))
    for drive in nn.functional.linear(x, weights[0], weights[2]):  # type: ignore[arg-type]
        new = step(layer, drive, state, weights)
        state = tuple(own.tap(dict(zip(("h", "c"), new, strict=False))).values())
    outputs = torch.stack(own.states["h"][before:])
    at = (lengths - 1).to(x.device)[None, :, None]
    last = tuple(
        torch.stack(values[before:]).gather(0, at.expand(1, -1, values[-1].shape[-1]))[0]
        for values in own.states.values()
    )
    # the order of a direction is its own inverse
    return outputs.gather(0, order[..., None].expand_as(outputs)), last


def _order(steps: int, lengths: Tensor, backward: bool) -> Tensor:
    """[T, B]: the step of the sequence that each step of the recurrence reads."""
    forward = torch.arange(steps)[:, None].expand(-1, len(lengths))
    if not backward:
        return forward
    return torch.where(forward < lengths, lengths - 1 - forward, forward)


def _kind(layer: nn.RNNBase) -> type:
    return next(kind for kind in LAYERS if isinstance(layer, kind))


_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh", "weight_hr")
_Step = Callable[[Any, Tensor, tuple[Tensor, ...], list[Any]], tuple[Tensor, ...]]


def _rnn(layer: Any, drive: Tensor, state: tuple[Tensor, ...], weights: list[Any]) -> Any:
    """h' = φ(W_ih x + b_ih + W_hh h + b_hh), φ tanh or ReLU."""
    total = drive + nn.functional.linear(state[0], weights[1], weights[3])
    return (total.tanh() if layer.nonlinearity == "tanh" else total.relu(),)


def _lstm(layer: Any, drive: Tensor, state: tuple[Tensor, ...], weights: list[Any]) -> Any:
    """c' = σ(f)⊙c + σ(i)⊙tanh(g), h' = W_hr (σ(o)⊙tanh(c')) (W_hr only with proj_size)."""
    total = drive + nn.functional.linear(state[0], weights[1], weights[3])
    i, f, g, o = total.chunk(4, -1)
    c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    return (h if weights[4] is None else nn.functional.linear(h, weights[4])), c


def _gru(layer: Any, drive: Tensor, state: tuple[Tensor, ...], weights: list[Any]) -> Any:
    """n = tanh(W_in x + b_in + r⊙(W_hn h + b_hn)), h' = (1 − z)⊙n + z⊙h."""
    (h,) = state
    x_r, x_z, x_n = drive.chunk(3, -1)
    h_r, h_z, h_n = nn.functional.linear(h, weights[1], weights[3]).chunk(3, -1)
    r, z = (x_r + h_r).sigmoid(), (x_z + h_z).sigmoid()
    return ((1 - z) * (x_n + r * h_n).tanh() + z * h,)


_STEPS: Mapping[type, _Step] = {nn.RNN: _rnn, nn.LSTM: _lstm, nn.GRU: _gru}
