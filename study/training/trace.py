"""What probes see at a stage: weights in fp64, the fixed probe batch, cached forward passes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from study.interfaces import Batch, Cell, Params, Readout, Step, Task, TaskFacts, Unrolled
from study.model import Model, Tensors, of_layer, of_readout
from study.modules.network import ModuleNetwork
from study.network import Network
from study.numerics.streams import generator

STUDY_SEED = 0  # probes draw from the study's own stream, the same for every point


class NextUpdate(Protocol):
    """The next update of training, computed without changing training."""

    def batch(self) -> Batch: ...

    def step(self) -> Step: ...


@dataclass(frozen=True)
class StageTrace:
    """One stage of one group (interfaces.Trace)."""

    params: Params
    batch: Batch
    task: Task
    model: Network
    stage: int
    update: int
    seeds: Sequence[int]
    next_update: NextUpdate

    @property
    def facts(self) -> TaskFacts:
        return self.task.facts

    @property
    def stack(self) -> Model:
        assert isinstance(self.model, Model), "this probe measures the stack only (Probe.reads)"
        return self.model

    @property
    def cell(self) -> Cell:
        return self.stack.cell

    @property
    def readout(self) -> Readout:
        return self.stack.readout

    @property
    def last_step(self) -> Tensor:
        _, examples, steps, _ = self.batch.x.shape
        return (
            torch.full((examples,), steps - 1)
            if self.batch.lengths is None
            else self.batch.lengths[0].cpu() - 1
        )

    def generator(self, purpose: str) -> torch.Generator:
        return generator(STUDY_SEED, purpose, self.stage)

    def network(self) -> Unrolled:
        return self._network

    def layer_params(self, layer: int) -> Params:
        return of_layer(self.params, layer)

    def readout_params(self) -> Params:
        return of_readout(self.params)

    def recurrent_blocks(self, layer: int) -> Sequence[Tensor]:
        if isinstance(self.model, ModuleNetwork):
            return self.model.recurrent_blocks(self.params, self.network(), layer)  # type: ignore[arg-type]
        hidden = self.network().layers[0]["h"].shape[-1]
        return [
            block
            for parameter in self.cell.shapes(1, hidden)
            if parameter.role == "recurrent" and len(parameter.block) == 2
            for block in self.params[f"layer{layer}.{parameter.name}"].split(
                parameter.block[0], dim=1
            )
        ]

    def layer_inputs(self, layer: int) -> Tensor:
        network = self.network()
        assert isinstance(network, Tensors)
        return network.read[layer - 1].detach()

    def on(self, batch: Batch) -> StageTrace:
        return dataclasses.replace(self, batch=batch)

    def alone(self, member: int) -> StageTrace:
        one = slice(member, member + 1)
        batch = Batch(
            x=self.batch.x[one],
            y=self.batch.y[one],
            lengths=None if self.batch.lengths is None else self.batch.lengths[one],
        )
        return dataclasses.replace(
            self,
            params={name: value[one] for name, value in self.params.items()},
            batch=batch,
            seeds=self.seeds[one],
        )

    def training_batch(self) -> Batch:
        return self._training_batch

    def next_step(self) -> Step:
        return self._next_step

    def gradients(self, batch: Batch) -> Params:
        with torch.enable_grad():
            leaves = {name: value.detach().requires_grad_() for name, value in self.params.items()}
            loss = self.task.loss(self.model.forward(leaves, batch.x, batch.lengths), batch)
            grads = torch.autograd.grad(
                loss.sum(), list(leaves.values()), materialize_grads=True, allow_unused=True
            )
        return dict(zip(leaves, grads, strict=True))

    # functools.cached_property writes to __dict__, which a frozen dataclass allows.
    @functools.cached_property
    def _network(self) -> Unrolled:
        # In a step-by-step pass the first state must require a gradient. It does if the input does;
        # the weights need none.
        x = self.batch.x.detach().requires_grad_()
        with torch.enable_grad():
            return self.model.unrolled(self.params, x, self.batch.lengths)

    @functools.cached_property
    def _training_batch(self) -> Batch:
        return self.next_update.batch()

    @functools.cached_property
    def _next_step(self) -> Step:
        return self.next_update.step()
