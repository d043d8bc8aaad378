"""Single steps of one layer from the states of the probe batch, to apply J_t = ∂s_t/∂s_{t-1}.

The layer's input is held constant. This does not change eigenvalues or Lyapunov exponents: with the
states of all layers in one vector, J_t of the network is block triangular (a layer never reads the
one above), so its eigenvalues and exponents are those of the layers together. Its singular values
are not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from study.interfaces import Cell, Params, Trace
from study.records import StudyError

# values of a state tensor per member that are pulled back at once, to limit memory
ROWS = 2**17


@dataclass(frozen=True)
class LayerSteps:
    """Steps of a layer on B examples. S is the width of all states together (LSTM: h and c, 2H).

    `x` [M, T, B, ·] is the layer's input, `projected` the result of `Cell.project`, `before`
    [M, T, B, S] the state before each step (zeros before the first), `last` [B] each example's last
    valid step, `widths` of the states.
    """

    cell: Cell
    params: Params
    x: Tensor
    projected: Tensor
    before: Tensor
    last: Tensor
    widths: tuple[int, ...]

    @property
    def size(self) -> int:
        return self.before.shape[-1]

    def pull_back(self, step: Tensor, cotangents: Tensor) -> Tensor:
        """J_tᵀ v for every v of `cotangents` [M, B, N, S], t = `step` [B]; [M, B, N, S]."""
        members, examples, _, size = cotangents.shape
        at_once = max(1, ROWS // (examples * size))
        before, x = at(self.before, step)[:, :, None], at(self.projected, step)[:, :, None]
        parts = []
        for part in cotangents.split(at_once, dim=2):
            rows = part.shape[2]
            start = before.expand(-1, -1, rows, -1).reshape(members, examples * rows, size)
            with torch.enable_grad():
                start = start.detach().requires_grad_()
                end = self._step(self.params, x.expand(-1, -1, rows, -1).flatten(1, 2), start)
            (back,) = torch.autograd.grad(
                end, [start], [part.reshape(end.shape)], materialize_grads=True, allow_unused=True
            )
            parts.append(back.view(members, examples, rows, size))
        return torch.cat(parts, dim=2)

    def jacobian(self, step: Tensor) -> Tensor:
        """J_t [M, B, S, S] of each example at its own step [B]."""
        members, _, examples, size = self.before.shape
        return self.pull_back(
            step, torch.eye(size).to(self.before).expand(members, examples, size, size)
        )

    def parameter_gradients(self, step: Tensor, cotangents: Tensor) -> Mapping[str, Tensor]:
        """Σ over examples of vᵀ ∂s_t/∂θ with s_{t-1} and x_t constant, by parameter name, [M, …].

        `cotangents`: v [M, B, S].
        """
        with torch.enable_grad():
            leaves = {name: value.detach().requires_grad_() for name, value in self.params.items()}
            x = self.cell.project(leaves, at(self.x, step)[:, None])[:, 0]
            end = self._step(leaves, x, at(self.before, step))
        grads = torch.autograd.grad(
            end, list(leaves.values()), cotangents, materialize_grads=True, allow_unused=True
        )
        return dict(zip(leaves, grads, strict=True))

    def _step(self, params: Params, x: Tensor, before: Tensor) -> Tensor:
        return torch.cat(self.cell.step(params, x, before.split(self.widths, dim=-1)), dim=-1)


def layer_steps(trace: Trace, layer: int, examples: int) -> LayerSteps:
    """The steps of one layer (from 1) on the first `examples` of the probe batch."""
    states = [
        state.detach()[:, :, :examples] for state in trace.network().layers[layer - 1].values()
    ]
    after = torch.cat(states, dim=-1)
    x = trace.layer_inputs(layer).detach()[:, :, :examples]
    params = trace.layer_params(layer)
    with torch.no_grad():
        projected = trace.cell.project(params, x)
    before = torch.cat([torch.zeros_like(after[:, :1]), after[:, :-1]], dim=1)
    widths = tuple(state.shape[-1] for state in states)
    return LayerSteps(trace.cell, params, x, projected, before, trace.last_step[:examples], widths)


def gate_values(trace: Trace, layer: int, examples: int, probe: str) -> Mapping[str, Tensor]:
    """Gates [M, T, B, H] of one layer (from 1) on the first `examples` of the probe batch.

    {} for an ungated cell; StudyError that names `probe` for a gated cell without `gates`.
    """
    steps = layer_steps(trace, layer, examples)
    members, length, count, _ = steps.before.shape
    # all steps at once, as if they were further examples, since gates depend on single steps
    state = steps.before.flatten(1, 2).split(steps.widths, dim=-1)
    with torch.no_grad():
        gates = trace.cell.gates(trace.layer_params(layer), steps.projected.flatten(1, 2), state)
    if not gates and trace.cell.keep:
        raise StudyError(f"probe.{probe}: {missing_gates(trace.cell)}")
    return {gate: value.view(members, length, count, -1) for gate, value in gates.items()}


def missing_gates(cell: Cell) -> str:
    """The message for a gated cell that does not define `gates`."""
    name = type(cell).__name__
    return (
        f"{name} has keep gate {', '.join(cell.keep)} but returns no gates; define"
        f" {name}.gates(params, x, state) or leave the probe out"
    )


def at(sequence: Tensor, step: Tensor) -> Tensor:
    """[M, B, ·] from `sequence` [M, T, B, ·], each example at its `step` [B]."""
    return sequence[:, step.to(sequence.device), torch.arange(len(step), device=sequence.device)]


def mean(values: Tensor, exists: Tensor) -> Tensor:
    """Mean over the examples of `values` [M, B, …] where `exists` [B]; −∞ and NaN carry over."""
    return values[:, exists.to(values.device)].mean(1)
