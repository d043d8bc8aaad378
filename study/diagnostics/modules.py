"""Reads a torch.nn.RNN, LSTM or GRU and its inputs in fp64, without changing the module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from study.records import StudyError

KINDS = (nn.RNN, nn.LSTM, nn.GRU)
CELLS = (nn.RNNCell, nn.LSTMCell, nn.GRUCell)
ALLOWED = "a torch.nn.RNN, LSTM or GRU"


@dataclass(frozen=True)
class Weights:
    """One layer: x [G·H, D], h [G·H, H], b_x, b_h [G·H]; gates in torch's order.

    Biases are zeros for bias=False.
    """

    x: Tensor
    h: Tensor
    b_x: Tensor
    b_h: Tensor


@dataclass(frozen=True)
class Recurrent:
    """Weights and settings of a recurrent module.

    `kind` is tanh, relu, lstm or gru; `states` names its state tensors, h first.
    """

    kind: str
    hidden: int
    inputs: int
    layers: tuple[Weights, ...]
    batch_first: bool
    dropout: float

    @property
    def states(self) -> tuple[str, ...]:
        return ("h", "c") if self.kind == "lstm" else ("h",)


@dataclass(frozen=True)
class Sequences:
    """The inputs of a module.

    x: [T, B, D], padded with zeros. last: [B], each example's last valid step. first: one first
    state [B, S] per layer. form: packed, batch_first, time_first or unbatched. dtype, device: the
    module's.
    """

    x: Tensor
    last: Tensor
    first: tuple[Tensor, ...]
    form: str
    dtype: torch.dtype
    device: torch.device
    packed: PackedSequence | None

    def as_returned(self, output: Tensor, dtype: torch.dtype) -> tuple[Tensor, Any]:
        """(a leaf that requires a gradient, the module's first result built from it).

        output: [T, B, H].
        """
        if self.packed is None:
            like = {
                "time_first": output,
                "batch_first": output.transpose(0, 1),
                "unbatched": output[:, 0],
            }[self.form]
            leaf = like.to(self.device, dtype, copy=True).contiguous().requires_grad_()
            return leaf, leaf
        order = self.packed.sorted_indices
        ordered = output if order is None else output[:, order.to(output.device)]
        leaf = (
            torch.cat([ordered[t, :n] for t, n in enumerate(self.packed.batch_sizes.tolist())])
            .to(self.device, dtype)
            .requires_grad_()
        )
        return leaf, self.packed._replace(data=leaf)

    def by_step(self, gradient: Tensor) -> Tensor:
        """[T, B, H] in fp64 from a gradient of the leaf or of the module's first result.

        If packed, the gradient of its `data`.
        """
        if self.packed is None:
            back = {
                "time_first": gradient,
                "batch_first": gradient.transpose(0, 1),
                "unbatched": gradient.unsqueeze(1),
            }[self.form]
        else:
            back, _ = pad_packed_sequence(self.packed._replace(data=gradient.detach()))
        return in_fp64(back)

    def first_examples(self, examples: int) -> Sequences:
        """The first `examples`; `by_step` and `as_returned` still take all examples."""
        return replace(
            self,
            x=self.x[:, :examples],
            last=self.last[:examples],
            first=tuple(part[:examples] for part in self.first),
        )


def why_unsupported(module: Any, name: str = "module") -> str | None:
    """Why this module cannot be measured and what to do, or None."""
    if isinstance(module, CELLS):
        whole = type(module).__name__.removesuffix("Cell")
        return (
            f"{name} must be {ALLOWED}; a {type(module).__name__} computes single steps: load its"
            f" weights into a torch.nn.{whole}"
        )
    if not isinstance(module, KINDS):
        return _not_recurrent(module, name)
    kind = next(kind for kind in KINDS if isinstance(module, kind))
    if type(module).forward is not kind.forward:
        return (
            f"{name}: {type(module).__name__} overrides forward, so its equations may not be those"
            f" of torch.nn.{kind.__name__}; pass the latter"
        )
    if module.bidirectional:
        return (
            f"{name}: bidirectional=True is not supported: its backward direction reads the last"
            f" step first, so the two have no lag in common. Use two torch.nn.{kind.__name__} of"
            " one direction, and measure each (the second on the flipped sequence)"
        )
    if module.proj_size:
        return (
            f"{name}: proj_size={module.proj_size} is not supported (the state is narrower than the"
            " cell); use proj_size=0"
        )
    return None


def _not_recurrent(module: Any, name: str) -> str:
    if not isinstance(module, nn.Module):
        return f"{name} must be {ALLOWED}, got {type(module).__name__}"
    inside = [f"{name}.{path} ({type(part).__name__})" for path, part in recurrent_layers(module)]
    hint = (
        f"; pass the recurrent layer inside it and its inputs: {', '.join(inside)}"
        if inside
        else ", which contains none"
    )
    return f"{name} must be {ALLOWED}, got {type(module).__name__}{hint}"


def recurrent_layers(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """(path, layer) of every recurrent layer in the module, including the module itself.

    Bidirectional ones, too.
    """
    return [(path, part) for path, part in module.named_modules() if isinstance(part, KINDS)]


def recurrent(module: Any, name: str = "module") -> Recurrent:
    """Read the module's weights and settings; StudyError if it cannot be measured."""
    module = getattr(module, "_orig_mod", module)  # torch.compile shares its weights
    why = why_unsupported(module, name)
    if why is not None:
        raise StudyError(why)
    layers = []
    for layer in range(module.num_layers):
        w_x, w_h = (_read(module, f"weight_{part}_l{layer}") for part in ("ih", "hh"))
        biases = [
            _read(module, f"bias_{part}_l{layer}") if module.bias else w_x.new_zeros(len(w_x))
            for part in ("ih", "hh")
        ]
        layers.append(Weights(w_x, w_h, *biases))
    kind = (
        module.nonlinearity
        if isinstance(module, nn.RNN)
        else "lstm"
        if isinstance(module, nn.LSTM)
        else "gru"
    )
    return Recurrent(
        kind,
        module.hidden_size,
        module.input_size,
        tuple(layers),
        module.batch_first,
        float(module.dropout),
    )


def _read(module: nn.Module, name: str) -> Tensor:
    return in_fp64(getattr(module, name))


def in_fp64(x: Tensor) -> Tensor:
    """A detached copy in fp64, on the same device if it supports fp64."""
    x = x.detach()
    return (x.cpu() if x.device.type == "mps" else x).to(torch.float64, copy=True)


def sequences(module: Any, network: Recurrent, x: Any, hx: Any) -> Sequences:
    """Read x (2-D, 3-D or PackedSequence) and the optional first state; StudyError if invalid."""
    packed = x if isinstance(x, PackedSequence) else None
    data = x.data if packed is not None else x
    if not isinstance(data, Tensor) or not data.is_floating_point():
        got = str(data.dtype) if isinstance(data, Tensor) else type(data).__name__
        raise StudyError(
            f"x must be a tensor of floating-point numbers or a PackedSequence of them, got {got}"
        )
    batched = "[B, T, D]" if network.batch_first else "[T, B, D]"
    allowed = (
        f"{batched} (batch_first={network.batch_first}) or [T, D], with D = input_size ="
        f" {network.inputs}"
    )
    if packed is None and (data.ndim not in (2, 3) or data.shape[-1] != network.inputs):
        raise StudyError(f"x must have shape {allowed}, got {list(data.shape)}")
    if packed is not None and data.shape[-1] != network.inputs:
        raise StudyError(
            f"x: the values of the PackedSequence must have input_size = {network.inputs} columns,"
            f" got {list(data.shape)}"
        )
    form = (
        "packed"
        if packed is not None
        else "unbatched"
        if data.ndim == 2
        else "batch_first"
        if network.batch_first
        else "time_first"
    )
    values = in_fp64(data).to(network.layers[0].h)
    if packed is not None:
        steps, lengths = pad_packed_sequence(packed._replace(data=values))
        last = lengths - 1
    else:
        steps = {
            "unbatched": lambda: values.unsqueeze(1),
            "batch_first": lambda: values.transpose(0, 1),
            "time_first": lambda: values,
        }[form]()
        last = torch.full((steps.shape[1],), steps.shape[0] - 1)
    if steps.shape[1] < 1 or steps.shape[0] < 2:
        raise StudyError(
            "x must have at least one example and two steps to measure a lag; got"
            f" {steps.shape[1]} of {steps.shape[0]} steps"
        )
    first = _first_states(network, steps, hx, unbatched=form == "unbatched")
    weight = module.weight_hh_l0
    return Sequences(
        x=steps,
        last=last,
        first=first,
        form=form,
        dtype=weight.dtype,
        device=weight.device,
        packed=packed,
    )


def _first_states(
    network: Recurrent, steps: Tensor, hx: Any, *, unbatched: bool
) -> tuple[Tensor, ...]:
    """First states, one [B, S] per layer, S = H, or 2H for [h, c]; zeros if none are given."""
    shape = (len(network.layers), steps.shape[1], network.hidden)
    if hx is None:
        return tuple(
            steps.new_zeros(shape[1], len(network.states) * network.hidden) for _ in network.layers
        )
    states: Sequence[Any] = hx if network.kind == "lstm" and isinstance(hx, tuple | list) else (hx,)
    expected = [shape[0], network.hidden] if unbatched else list(shape)
    if len(states) != len(network.states) or not all(
        isinstance(part, Tensor) and list(part.shape) == expected for part in states
    ):
        form = (
            f"({', '.join(f'{name}_0' for name in network.states)}), each of"
            if network.kind == "lstm"
            else "h_0 of"
        )
        got = [
            list(part.shape) if isinstance(part, Tensor) else type(part).__name__ for part in states
        ]
        raise StudyError(
            f"hx must be {form} shape {expected}, as the module takes it; got"
            f" {got if len(got) > 1 else got[0]}"
        )
    parts = [in_fp64(part).to(steps).reshape(shape) for part in states]
    return tuple(
        torch.cat([part[layer] for part in parts], dim=-1) for layer in range(len(network.layers))
    )
