"""What probes see at a stage: a copy of the weights in fp64, the fixed probe batch, and forward passes made once."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from study.interfaces import Batch, Cell, Params, Task, TaskFacts, Unrolled
from study.model import Model
from study.streams import generator

STUDY_SEED = 0  # probes draw from the study's own stream, the same for every point


@dataclass(frozen=True)
class StageTrace:
    """One stage of one group (interfaces.Trace)."""

    params: Params
    batch: Batch
    task: Task
    model: Model
    stage: int
    update: int
    seeds: Sequence[int]

    @property
    def facts(self) -> TaskFacts:
        return self.task.facts

    @property
    def cell(self) -> Cell:
        return self.model.cell

    @property
    def last_step(self) -> Tensor:
        _, examples, steps, _ = self.batch.x.shape
        return torch.full((examples,), steps - 1) if self.batch.lengths is None else self.batch.lengths[0].cpu() - 1

    def generator(self, purpose: str) -> torch.Generator:
        return generator(STUDY_SEED, purpose, self.stage)

    def network(self) -> Unrolled:
        return self._network

    def layers(self) -> Unrolled:
        return self._layers

    # functools.cached_property writes to __dict__, which a frozen dataclass allows.
    @functools.cached_property
    def _network(self) -> Unrolled:
        return self._unrolled(connected=True)

    @functools.cached_property
    def _layers(self) -> Unrolled:
        return self._unrolled(connected=False)

    def _unrolled(self, *, connected: bool) -> Unrolled:
        # The first state must depend on something that asks for a gradient: the input does, the weights need none.
        x = self.batch.x.detach().requires_grad_()
        with torch.enable_grad():
            return self.model.unrolled(self.params, x, self.batch.lengths, connected=connected)
