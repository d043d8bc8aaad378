"""Optional encoder, stacked recurrent layers, what surrounds them, and readout, for M members.

Layout of the weights, initial values, forward pass.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from study.interfaces import (
    Block,
    Cell,
    Encoder,
    InitFacts,
    Initializer,
    LayerBlock,
    Parameter,
    Params,
    Readout,
    Role,
    State,
)
from study.kernels import reference, triton
from study.kernels.step_norms import STEP_NORMS
from study.network import VECTOR, Network
from study.numerics.linear import linear
from study.numerics.streams import generator

LINE = 16  # values per cache line
Named = TypeVar("Named")  # a parameter's tensor, or its place


@dataclass(frozen=True)
class Tensors:
    """Forward pass with its graph (interfaces.Unrolled). `read`: [M, T, B, ·] of each layer's cell.

    `taps[layer][name]`: tensors whose gradients are the total derivatives, one [M, T, B, H] for all
    steps or one [M, B, H] per step.
    """

    layers: Sequence[Mapping[str, Tensor]]
    outputs: Tensor
    inputs: Tensor
    taps: Sequence[Mapping[str, Sequence[Tensor]]]
    read: Sequence[Tensor]

    @property
    def backward(self) -> Sequence[bool]:
        return [False] * len(self.layers)

    def derivatives(
        self, value: Tensor, layers: Sequence[int] | None = None
    ) -> Sequence[Mapping[str, Tensor]]:
        chosen = [
            self.taps[layer] for layer in (range(len(self.taps)) if layers is None else layers)
        ]
        wanted = [tap for layer in chosen for taps in layer.values() for tap in taps]
        grads = iter(
            torch.autograd.grad(
                value.sum(), wanted, retain_graph=True, allow_unused=True, materialize_grads=True
            )
        )
        return [
            {name: _stacked([next(grads) for _ in taps]) for name, taps in layer.items()}
            for layer in chosen
        ]


def _stacked(steps: Sequence[Tensor]) -> Tensor:
    """[M, T, B, H] from one such tensor, or from one [M, B, H] per step."""
    return steps[0] if steps[0].ndim == 4 else torch.stack(tuple(steps), dim=1)


@dataclass(frozen=True)
class StepwiseLayer:
    """A layer that was computed step by step: `x` [M, T, B, D], its states `first` and `after`.

    `first`: before the first step (None: zeros); `after`: one State per step.
    """

    x: Tensor
    first: State | None
    after: Sequence[State]


class Model(Network):
    """The stack: encoder, cell × depth, readout."""

    def __init__(
        self,
        *,
        cell: Cell,
        readout: Readout,
        inputs: int,
        outputs: int,
        hidden: int,
        depth: int,
        dropout: float,
        kernel: str,
        encoder: Encoder | None = None,
        block: LayerBlock | None = None,
    ) -> None:
        self.cell, self.readout, self.hidden, self.depth, self.dropout, self.kernel = (
            cell,
            readout,
            hidden,
            depth,
            dropout,
            kernel,
        )
        self.inputs, self.outputs, self.encoder, self.block = inputs, outputs, encoder, block
        # width of the first layer's input
        self.read = inputs if encoder is None else encoder.outputs(inputs)
        self.parameters: dict[str, tuple[int, Parameter]] = {}
        for layer in range(1, depth + 1):
            for parameter in cell.shapes(self.width_read(layer), hidden):
                self.parameters[f"layer{layer}.{parameter.name}"] = (layer, parameter)
        for parameter in readout.shapes(hidden, outputs):
            self.parameters[f"readout.{parameter.name}"] = (0, parameter)
        # last, so that it does not change the random streams of the other tensors
        for parameter in () if encoder is None else encoder.shapes(inputs):
            self.parameters[f"encoder.{parameter.name}"] = (0, parameter)
        if block is not None:
            embed = Parameter("embed", "input", ("x",), (hidden, self.read))
            self.parameters["block.embed"] = (0, embed)
            for layer in range(1, depth + 1):
                for parameter in block.shapes(hidden):
                    self.parameters[f"block{layer}.{parameter.name}"] = (0, parameter)
        self.place({name: parameter.shape for name, (_, parameter) in self.parameters.items()})

    @property
    def roles(self) -> dict[str, Role]:
        return {name: parameter.role for name, (_, parameter) in self.parameters.items()}

    def width_read(self, layer: int) -> int:
        """Values that the cell of this layer (from 1) reads at a step."""
        return self.read if layer == 1 and self.block is None else self.hidden

    # --- weights ----------------------------------------------------------------------------------

    def initial(
        self,
        *,
        initializer: Initializer,
        standing: Mapping[str, Initializer],
        forget_bias: float,
        facts: InitFacts,
        seed: int,
    ) -> Tensor:
        """Initial values of one member, [P] in float64, gate block by gate block.

        Each block has its own random stream, so that the draws of one rule never change another
        block. Roles that the initializer does not fill follow the `standing` rules; biases are 0,
        except that of a gate named f: `forget_bias`.
        """
        row = torch.zeros(self.width, dtype=torch.float64)
        for name, value in self._initial_values(
            list(self.parameters), initializer, standing, forget_bias, facts, seed
        ).items():
            row[self.slices[name][0]] = value.reshape(-1)
        return row

    def encoded_first(
        self, x: Tensor, *, standing: Mapping[str, Initializer], facts: InitFacts, seed: int
    ) -> Tensor:
        """The first layer's input before any update: x [B, T, D] -> [B, T, D'] in float64.

        Encoder and block have the same values as in `initial`.
        """
        if self.encoder is None and self.block is None:
            return x.double()
        names = [name for name in self.parameters if name.startswith(("encoder.", "block"))]
        first = self._initial_values(names, None, standing, 0.0, facts, seed)
        params = {name: value[None] for name, value in first.items()}
        with torch.no_grad():
            read = self.embedded(params, self.encoded(params, x.double().transpose(0, 1)[None]))
            return self.before(params, 1, read)[0].transpose(0, 1)

    def _initial_values(
        self,
        names: Sequence[str],
        initializer: Initializer | None,
        standing: Mapping[str, Initializer],
        forget_bias: float,
        facts: InitFacts,
        seed: int,
    ) -> dict[str, Tensor]:
        found = {}
        for number, (name, (layer, parameter)) in enumerate(self.parameters.items()):
            if name not in names:
                continue
            if parameter.role == "own":
                found[name] = self._own_values(layer, parameter, seed)
                continue
            values = []
            for index, gate in enumerate(parameter.gates):
                block = Block(role=parameter.role, gate=gate, shape=parameter.block, layer=layer)
                fills = (
                    initializer is not None and layer > 0 and parameter.role in initializer.roles
                )
                rule = initializer if fills else standing.get(parameter.role)
                if rule is None:
                    keeps = layer > 0 and parameter.role == "bias" and gate == "f"
                    values.append(
                        torch.full(block.shape, forget_bias if keeps else 0.0, dtype=torch.float64)
                    )
                else:
                    value = rule(block, generator(seed, "init", number, index), facts)
                    if tuple(value.shape) != block.shape:
                        raise ValueError(
                            f"{type(rule).__name__}: returned shape {tuple(value.shape)} for a"
                            f" block of shape {block.shape} ({name}, gate {gate})"
                        )
                    values.append(value)
            found[name] = torch.cat([value.to(torch.float64) for value in values])
        return found

    def _own_values(self, layer: int, parameter: Parameter, seed: int) -> Tensor:
        given = self.cell.first(self.width_read(layer), self.hidden, generator(seed, "own", layer))
        value = given.get(parameter.name)
        if value is None or tuple(value.shape) != parameter.shape:
            got = "nothing" if value is None else f"shape {tuple(value.shape)}"
            raise ValueError(
                f"{type(self.cell).__name__}: `first` must give {parameter.name}, of role own,"
                f" values of shape {parameter.shape}, got {got}"
            )
        return value.to(torch.float64)

    # --- forward ----------------------------------------------------------------------------------

    def forward(
        self, params: Params, x: Tensor, lengths: Tensor | None, masks: Sequence[Tensor] = ()
    ) -> Tensor:
        """Outputs for x [M, B, T, D]; `masks`: dropout masks [M, T, B, H] between layers."""
        batch = x.shape[1]
        x, lengths = self._padded(x, lengths)
        x = self.embedded(params, self.encoded(params, x))
        for layer in range(1, self.depth + 1):
            if layer > 1 and masks:
                x = x * masks[layer - 2]
            h = self._layer(
                of_layer(params, layer),
                self.before(params, layer, x),
                last_step_only=layer == self.depth
                and lengths is None
                and self.readout.reads_last_step_only(),
            )
            x = self._after(params, layer, x[:, -h.shape[1] :], h)
        return self.readout(of_readout(params), x, lengths)[:, :batch]

    def stepwise(
        self,
        params: Params,
        x: Tensor,
        lengths: Tensor | None,
        masks: Sequence[Tensor],
        first: Sequence[State],
        *,
        taps: bool,
    ) -> tuple[Tensor, list[StepwiseLayer]]:
        """As `forward`, and every layer (padded), by the reference kernel.

        `first`: the states [M, B', H] by layer to start from, such as the last ones of the previous
        segment of a stream; empty: zeros. `taps`: as in `reference.unroll`.
        """
        batch = x.shape[1]
        x, lengths = self._padded(x, lengths)
        x = self.embedded(params, self.encoded(params, x))
        layers: list[StepwiseLayer] = []
        for layer in range(1, self.depth + 1):
            if layer > 1 and masks:
                x = x * masks[layer - 2]
            start = first[layer - 1] if first else None
            read = self.before(params, layer, x)
            states = reference.unroll(
                self.cell, of_layer(params, layer), read, self.hidden, taps=taps, first=start
            )
            layers.append(StepwiseLayer(read, start, states))
            x = self._after(params, layer, x, torch.stack([state[0] for state in states], dim=1))
        return self.readout(of_readout(params), x, lengths)[:, :batch], layers

    def embedded(self, params: Params, x: Tensor) -> Tensor:
        """The first layer's input, mapped to H values where a block surrounds the layers."""
        return x if self.block is None else linear(x, params["block.embed"], None)

    def before(self, params: Params, layer: int, x: Tensor) -> Tensor:
        """What the layer's cell reads, from the layer's input."""
        return x if self.block is None else self.block.before(of_block(params, layer), x)

    def _after(self, params: Params, layer: int, x: Tensor, h: Tensor) -> Tensor:
        return h if self.block is None else self.block.after(of_block(params, layer), x, h)

    def encoded(self, params: Params, x: Tensor) -> Tensor:
        """The first layer's input: x [M, T, B, D] -> [M, T, B, D']."""
        return x if self.encoder is None else self.encoder(of_encoder(params), x)

    def _layer(self, params: Params, x: Tensor, last_step_only: bool) -> Tensor:
        """Outputs [M, T, B, H] of one layer by the model's kernel.

        With `last_step_only`, a kernel may return the last step alone, [M, 1, B, H].
        """
        h = None
        if self.kernel == "triton":
            h = triton.layer(self.cell, params, x)
        elif self.kernel == "native":
            compiled = self.cell.native(params)
            h = (
                None
                if compiled is None
                else compiled.outputs(x, params.get(STEP_NORMS), last_step_only=last_step_only)
            )
        elif self.kernel == "fused":
            h = self.cell.layer(params, x)
        return reference.outputs(self.cell, params, x, self.hidden) if h is None else h

    def unrolled(
        self, params: Params, x: Tensor, lengths: Tensor | None, *, first: Sequence[State] = ()
    ) -> Tensors:
        """Forward pass with a tap at every state, by the native kernel if it is the model's.

        With first states, as in `stepwise`, by the reference kernel.
        """
        y = self.embedded(params, self.encoded(params, x.transpose(1, 2)))
        layers, taps, read = [], [], []
        for layer in range(1, self.depth + 1):
            start = tuple(state[:, : x.shape[1]] for state in first[layer - 1]) if first else None
            read.append(self.before(params, layer, y))
            states, tapped = self._tapped(of_layer(params, layer), read[-1], start)
            layers.append(dict(zip(self.cell.states, states, strict=True)))
            taps.append(dict(zip(self.cell.states, tapped, strict=True)))
            y = self._after(params, layer, y, states[0])
        outputs = self.readout(of_readout(params), y, lengths)
        return Tensors(layers=layers, outputs=outputs, inputs=x, taps=taps, read=read)

    def _tapped(
        self, params: Params, x: Tensor, first: State | None
    ) -> tuple[State, Sequence[Sequence[Tensor]]]:
        """(states [M, T, B, H], the taps whose gradients are their total derivatives)."""
        compiled = self.cell.native(params) if self.kernel == "native" and first is None else None
        if compiled is not None:
            # expanded from a single zero, since their values are not read
            zero = x.new_zeros(())
            leaves = tuple(
                zero.expand(*x.shape[:3], width).detach().requires_grad_(torch.is_grad_enabled())
                for width in self.cell.widths(self.hidden)
            )
            return compiled.states(x, leaves), [[leaf] for leaf in leaves]
        steps = reference.unroll(self.cell, params, x, self.hidden, taps=True, first=first)
        each = list(zip(*steps, strict=True))
        return tuple(torch.stack(state, dim=1) for state in each), each

    def step_norm_inputs(
        self, members: int, batch: int, steps: int, *, device: torch.device
    ) -> dict[str, Tensor]:
        """Zeros [M, T, B'] per layer, padded like a batch, whose gradients are the squared gradient
        norms by step (study/kernels/step_norms.py).
        """
        shape = (members, steps, self.padded_batch(batch))
        return {
            f"layer{layer}.{STEP_NORMS}": torch.zeros(
                shape, dtype=torch.float64, device=device, requires_grad=True
            )
            for layer in range(1, self.depth + 1)
        }

    def plain(self) -> Model:
        """A copy that uses the reference kernel."""
        model = copy.copy(self)
        model.kernel = "reference"
        return model

    def padded_batch(self, batch: int) -> int:
        """Batch size after padding with zeros, so that every member's blocks are aligned.

        Blocks of states are a multiple of VECTOR values; those of inputs and outputs of 64 bytes,
        since the rounding of matrix products depends on alignment. An encoder's blocks may have any
        width, so with an encoder the batch is a multiple of VECTOR.
        """
        widths = (self.inputs, self.read, self.outputs)
        unit = math.lcm(
            VECTOR // math.gcd(VECTOR, self.hidden),
            *(LINE // math.gcd(LINE, width) for width in widths),
            1 if self.encoder is None else VECTOR,
        )
        return math.ceil(batch / unit) * unit

    def whole_blocks(self) -> bool:
        """Whether the gradients of all members start on a cache line.

        The rounding of matrix products depends on the alignment of their output, too, so members
        of other sizes are trained one by one.
        """
        return all(
            math.prod(parameter.shape) % LINE == 0
            for _, parameter in self.parameters.values()
            if min(parameter.block) > 1 and len(parameter.block) > 1
        )

    def _padded(self, x: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
        members, batch, steps, inputs = x.shape
        extra = self.padded_batch(batch) - batch
        if extra:
            x = torch.cat([x, x.new_zeros(members, extra, steps, inputs)], dim=1)
        return x.transpose(1, 2).contiguous(), self.padded_lengths(lengths, steps)

    def padded_lengths(self, lengths: Tensor | None, steps: int) -> Tensor | None:
        """Lengths of a padded batch; what fills it up has all steps."""
        if lengths is None:
            return None
        extra = self.padded_batch(lengths.shape[1]) - lengths.shape[1]
        return torch.nn.functional.pad(lengths, (0, extra), value=steps) if extra else lengths


def last_states(layer: StepwiseLayer) -> State:
    """The layer's states after its last step, without their graph."""
    return tuple(state.detach() for state in layer.after[-1])


def dropout_masks(model: Model, seed: int, update: int, batch: int, steps: int) -> list[Tensor]:
    """Dropout masks [T, B', H] between the layers of one member, scaled to keep the mean.

    A function of (seed, update).
    """
    keep = 1.0 - model.dropout
    shape = (steps, model.padded_batch(batch), model.hidden)
    return [
        (torch.rand(shape, generator=generator(seed, "dropout", update, layer)) < keep).float()
        / keep
        for layer in range(1, model.depth)
    ]


def of_layer(params: Mapping[str, Named], layer: int) -> dict[str, Named]:
    """Parameters of one layer (from 1), by the cell's own names; or what is given by theirs."""
    return _part(params, f"layer{layer}")


def of_encoder(params: Params) -> Params:
    """Parameters of the encoder, by its own names."""
    return _part(params, "encoder")


def of_block(params: Params, layer: int) -> Params:
    """Parameters of what surrounds one layer (from 1), by its own names."""
    return _part(params, f"block{layer}")


def of_readout(params: Mapping[str, Named]) -> dict[str, Named]:
    """Parameters of the readout, by its own names."""
    return _part(params, "readout")


def _part(params: Mapping[str, Named], part: str) -> dict[str, Named]:
    return {
        name.removeprefix(part + "."): value
        for name, value in params.items()
        if name.startswith(part + ".")
    }
