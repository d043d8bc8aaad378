"""Losses and gradients of an update without a graph of the recurrent layers.

For stacks whose layers are compiled kernels: readout and loss are torch's, and what lies below is
called member by member (study/kernels/native/members.py). The numbers are those of `of_batch` in
study/training/step.py, bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from study.interfaces import Batch, Params, Task, defines
from study.model import Model, of_layer, of_readout
from study.network import Network

KEPT = 4  # sizes of batches: of updates, of validation, its last one
LossGradient = Callable[[Tensor, Batch], tuple[Tensor, Tensor]]


def direct_pass(
    model: Network, task: Task, device: torch.device, dtype: torch.dtype
) -> DirectPass | None:
    """The pass of a network; None if its layers need a graph, or are not on the CPU."""
    if (
        not isinstance(model, Model)
        or model.kernel != "native"
        or device.type != "cpu"
        or model.encoder is not None
        or model.block is not None
        or (model.dropout > 0 and model.depth > 1)
    ):
        return None
    from study.kernels.native.layer import Layer

    named = model.named(torch.zeros(1, model.width, dtype=dtype))
    layers = [model.cell.native(of_layer(named, number + 1)) for number in range(model.depth)]
    if not all(isinstance(layer, Layer) and layer.rows for layer in layers):
        return None
    own = defines(type(task), "loss_gradient", beside=("loss",))
    loss = task.loss_gradient if own else lambda *given: Task.loss_gradient(task, *given)
    return DirectPass(model, dtype, layers, loss)


@dataclass
class DirectPass:
    """Passes through a stack; its memory is kept from update to update, its content is not."""

    model: Model
    dtype: torch.dtype
    layers: Sequence[Any]  # study.kernels.native.layer.Layer
    loss: LossGradient
    memory: dict[tuple[int, ...], Any] = field(default_factory=dict)  # Members by sizes

    def __post_init__(self) -> None:
        readout = self.model.readout
        self.of_readout = of_readout(self.model.slices)
        self.closed_readout = defines(type(readout), "backward", beside=("__call__",))
        self.last_step_only = readout.reads_last_step_only()

    def gradients(
        self, params: Tensor, examples: Batch, index: Sequence[int], distinct: int
    ) -> tuple[Tensor, Tensor]:
        """Losses [M] and gradients [M, P] at `params`.

        examples: x [S, B, T, D] of each distinct seed; index: of each member's. `distinct`: 1 if a
        lone member is listed twice.
        """
        passes = self._members(examples.x, len(params), gradients=True)
        losses, grads = params.new_empty(len(params)), torch.zeros_like(params)
        rows, into, x = params.numpy(), grads.numpy(), examples.x.numpy()
        for part in passes.parts(len(params)):
            computed = part[:1] if distinct == 1 else part
            for slot, member in enumerate(computed):
                passes.read(slot, x[index[member]])
                passes.forward(slot, rows[member])
            if distinct == 1:
                passes.share()
            own = slice(part.start, part.stop)
            given = of_members(examples, index[own], self.dtype)
            losses[own], at_h = self._at_top(passes, params[own], given, grads[own])
            for slot, member in reversed(list(enumerate(computed))):
                passes.backward(slot, at_h[slot], into[member])
        if distinct == 1:
            grads[1] = grads[0]
        return losses, grads

    def outputs(self, params: Tensor, examples: Batch, distinct: int) -> Tensor:
        """Outputs [M, B, …] of one batch for all members, x [1, B, T, D]."""
        passes = self._members(examples.x, len(params), gradients=False)
        found, rows, (x,) = [], params.numpy(), examples.x.numpy()
        for part in passes.parts(len(params)):
            for slot, member in enumerate(part[:1] if distinct == 1 else part):
                passes.read(slot, x)
                passes.forward(slot, rows[member])
            if distinct == 1:
                passes.share()
            own = slice(part.start, part.stop)
            lengths = None
            if examples.lengths is not None:
                lengths = examples.lengths.expand(len(part), -1)
            with torch.no_grad():
                leaves, h, lengths = self._top(passes, params[own], lengths)
                found.append(self.model.readout(leaves, h, lengths)[:, : len(x)])
        return found[0] if len(found) == 1 else torch.cat(found)

    def _top(
        self, passes: Any, params: Tensor, lengths: Tensor | None
    ) -> tuple[Params, Tensor, Tensor | None]:
        """The readout's arguments."""
        members = len(params)
        leaves = {
            name: params[:, columns].view(members, *shape)
            for name, (columns, shape) in self.of_readout.items()
        }
        h = passes.states(members, last_step_only=lengths is None and self.last_step_only)
        return leaves, h, self.model.padded_lengths(lengths, passes.steps)

    def _at_top(
        self, passes: Any, params: Tensor, given: Batch, into: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Losses [M] and gradients at h [M, T, B, H]; those of the readout go into [M, P]."""
        batch = given.x.shape[1]
        leaves, h, lengths = self._top(passes, params, given.lengths)
        outputs, backward = self._read_out(leaves, h, lengths)
        with torch.no_grad():
            loss, at_outputs = self.loss(outputs[:, :batch], given)
            if outputs.shape[1] > batch:
                extra = outputs.new_zeros(outputs.shape)
                extra[:, :batch] = at_outputs
                at_outputs = extra
            at_h, at_leaves = backward(at_outputs)
        for name, grad in at_leaves.items():
            columns, shape = self.of_readout[name]
            into[:, columns].view(len(into), *shape).copy_(grad)
        return loss, at_h

    def _read_out(
        self, leaves: Params, h: Tensor, lengths: Tensor | None
    ) -> tuple[Tensor, Callable[[Tensor], tuple[Tensor, Params]]]:
        """Outputs, and what gives the gradients at h and of the readout from those at them."""
        readout = self.model.readout
        if self.closed_readout:
            with torch.no_grad():
                outputs = readout(leaves, h, lengths)
            return outputs, lambda at: readout.backward(leaves, h, lengths, at)
        h = h.detach().requires_grad_()
        own = {name: value.detach().requires_grad_() for name, value in leaves.items()}
        outputs = readout(own, h, lengths)

        def backward(at_outputs: Tensor) -> tuple[Tensor, Params]:
            inputs = [h, *own.values()]
            at_h, *at_own = torch.autograd.grad(
                outputs, inputs, at_outputs, allow_unused=True, materialize_grads=True
            )
            return at_h, dict(zip(own, at_own, strict=True))

        return outputs.detach(), backward

    def _members(self, x: Tensor, members: int, *, gradients: bool) -> Any:
        """Memory for batches of these sizes; that of the last few is kept."""
        _, batch, steps, inputs = x.shape
        sizes = members, batch, steps, gradients
        if sizes not in self.memory:
            from study.kernels.native.members import Members

            for old in list(self.memory)[: max(0, len(self.memory) + 1 - KEPT)]:
                del self.memory[old]
            self.memory[sizes] = Members(
                self.layers,
                [of_layer(self.model.slices, number + 1) for number in range(self.model.depth)],
                inputs=inputs,
                steps=steps,
                batch=self.model.padded_batch(batch),
                most=members,
                dtype=self.dtype,
                gradients=gradients,
            )
        return self.memory[sizes]


def of_members(examples: Batch, index: Sequence[int], dtype: torch.dtype) -> Batch:
    """Each member's examples, [M, B, …]."""
    chosen = torch.tensor(index) if len(examples.x) > 1 else None

    def of(tensor: Tensor) -> Tensor:
        shape = (len(index), *tensor.shape[1:])
        tensor = tensor.expand(shape) if chosen is None else tensor[chosen]
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    lengths = None if examples.lengths is None else of(examples.lengths)
    return Batch(of(examples.x), of(examples.y), lengths)
