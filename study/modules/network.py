"""A module of the user's own for M members at once, each computed by itself."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from study.interfaces import Params, Role, State
from study.modules.build import TaskShape, build_module, call, calling
from study.modules.unroll import CELLS, LAYERS, Recurrence, has_own_forward, tapped
from study.network import Network
from study.numerics.streams import generator, own_draws, seed_everything
from study.records import StudyError


@dataclass(frozen=True)
class Recorded:
    """Forward pass of a module with its graph (interfaces.Unrolled).

    `taps[layer][name]`: one list of [B, H] by step for each member. `names`, `weights`: paths of
    the layers and of their recurrent weights in the module.
    """

    layers: Sequence[Mapping[str, Tensor]]
    backward: Sequence[bool]
    outputs: Tensor
    inputs: Tensor
    taps: Sequence[Mapping[str, Sequence[Sequence[Tensor]]]]
    names: Sequence[str]
    weights: Sequence[str | None]

    def derivatives(
        self, value: Tensor, layers: Sequence[int] | None = None
    ) -> Sequence[Mapping[str, Tensor]]:
        chosen = [
            self.taps[layer] for layer in (range(len(self.taps)) if layers is None else layers)
        ]
        wanted = [
            tap
            for layer in chosen
            for members in layer.values()
            for taps in members
            for tap in taps
        ]
        if not value.requires_grad:  # the outputs depend on no state
            return [
                {name: torch.zeros_like(states) for name, states in self.layers[layer].items()}
                for layer in (range(len(self.taps)) if layers is None else layers)
            ]
        grads = iter(
            torch.autograd.grad(
                value.sum(), wanted, retain_graph=True, allow_unused=True, materialize_grads=True
            )
        )
        return [
            {
                name: torch.stack([torch.stack([next(grads) for _ in taps]) for taps in members])
                for name, members in layer.items()
            }
            for layer in chosen
        ]


class ModuleNetwork(Network):
    """Any torch.nn.Module as a network.

    A member's row holds its trained parameters, and after them, as `kept`, what belongs to the
    member without being trained: buffers that training changes (statistics of batch norm), and
    frozen parameters and buffers that were drawn at random. Everything else is one for all.
    """

    kernel = "module"

    def __init__(self, node: Mapping[str, Any], task: TaskShape) -> None:
        self.node, self.task = node, task
        self.module = build_module(node, task, seed=0)
        self.name = type(self.module).__name__
        self.how = calling(node, self.module)
        self.trained = [name for name, each in self.module.named_parameters() if each.requires_grad]
        self.kept = self._kept()
        tensors = dict(_tensors(self.module))
        self.place({name: tuple(tensors[name].shape) for name in [*self.trained, *self.kept]})
        self._wide: nn.Module | None = None

    @property
    def fillable(self) -> bool:
        """Whether it has recurrent weights that an initializer fills: others than frozen ones."""
        return any(
            not isinstance(weight, nn.Parameter) or name in self.slices
            for path, part in recurrent_parts(self.module)
            for name, weight in (
                (f"{path}.{last}".removeprefix("."), getattr(part, last))
                for last in ("weight_hh_l0", "weight_hh")
                if hasattr(part, last)
            )
        )

    @property
    def trained_count(self) -> int:
        return sum(math.prod(self.slices[name][1]) for name in self.trained)

    @property
    def roles(self) -> dict[str, Role]:
        found: dict[str, Role] = {}
        recurrent = {path for path, _ in recurrent_parts(self.module)}
        for name, (_, shape) in self.slices.items():
            path, _, last = name.rpartition(".")
            kind = last.split("_")[0]
            found[name] = "bias" if len(shape) < 2 else "readout"
            if path in recurrent and kind == "weight":
                found[name] = "input" if last.startswith("weight_ih") else "recurrent"
        return found

    def row(self, seed: int) -> Tensor:
        """The values [P] in fp64 that the module draws by itself."""
        tensors = dict(_tensors(build_module(self.node, self.task, seed)))
        row = torch.zeros(self.width, dtype=torch.float64)
        for name, (where, _) in self.slices.items():
            row[where] = tensors[name].detach().reshape(-1).double()
        return row

    # --- forward ----------------------------------------------------------------------------------

    def forward(
        self, params: Params, x: Tensor, lengths: Tensor | None, masks: Sequence[Tensor] = ()
    ) -> Tensor:
        """As in evaluation: without dropout, with the statistics that were kept."""
        module = self._as(x.dtype).eval()
        outputs = []
        for member in range(len(x)):
            with own_draws(devices=_cuda(x)):
                outputs.append(self._member(module, params, member, x, lengths))
        return torch.stack(outputs)

    def train_forward(
        self, params: Params, x: Tensor, lengths: Tensor | None, seeds: Sequence[int], update: int
    ) -> tuple[Tensor, State]:
        """(outputs, the kept tensors [M, …] after it) of an update.

        Whatever a member's module draws, dropout for one, is a function of (seed, update).
        """
        module = self._as(x.dtype).train()
        outputs, kept = [], []
        with own_draws(devices=_cuda(x)):
            for member, seed in enumerate(seeds):
                seed_everything(generator(seed, "module", update).initial_seed())
                after = {name: params[name][member].detach().clone() for name in self.kept}
                outputs.append(self._member(module, params, member, x, lengths, after))
                kept.append(after)
        return torch.stack(outputs), tuple(
            torch.stack([of[name] for of in kept]) for name in self.kept
        )

    def with_kept(self, params: Tensor, states: Sequence[State]) -> Tensor:
        if not self.kept:
            return params
        params = params.clone()
        for name, value in zip(self.kept, states[0], strict=True):
            params[:, self.slices[name][0]] = value.reshape(len(params), -1).to(params)
        return params

    def recurrent_blocks(self, params: Params, run: Recorded, layer: int) -> list[Tensor]:
        """[M, H, H] of each gate of a layer (from 1) of `run`; with a projection, of W_hh W_hr."""
        name = run.weights[layer - 1]
        if name is None or name not in params:
            return []
        width = run.layers[layer - 1]["h"].shape[-1]
        weight, projection = params[name], params.get(name.replace("weight_hh", "weight_hr"))
        if projection is not None:
            weight, width = weight @ projection, projection.shape[-1]
        return list(weight.split(width, dim=1))

    def _member(
        self,
        module: nn.Module,
        params: Params,
        member: int,
        x: Tensor,
        lengths: Tensor | None,
        kept: Mapping[str, Tensor] | None = None,
    ) -> Tensor:
        kinds = {name: tensor.dtype for name, tensor in _tensors(module)}
        own = {name: params[name][member] for name in self.trained}
        for name in self.kept:
            value = params[name][member].detach().clone() if kept is None else kept[name]
            own[name] = value if kinds[name].is_floating_point else value.to(kinds[name])
        # a copy, since rounding depends on where in memory the examples start
        outputs = call_with(module, own, self, x[member].clone(), _of(lengths, member))
        if kept is not None:
            for name in self.kept:
                if not kinds[name].is_floating_point:
                    kept[name].copy_(own[name])
        return outputs

    def unrolled(
        self, params: Params, x: Tensor, lengths: Tensor | None, *, first: Sequence[State] = ()
    ) -> Recorded:
        module = self._as(x.dtype).eval()
        outputs, found = [], []
        for member in range(len(x)):
            with own_draws(devices=_cuda(x)), tapped(module) as recurrences:
                outputs.append(self._member(module, params, member, x, lengths))
            found.append([one for one in recurrences if _steps(one) == x.shape[2]])
        if len({tuple(one.name for one in each) for each in found}) > 1:
            raise StudyError(
                f"model: the recurrences of {self.name} depend on its inputs or weights, so that"
                " members cannot be compared; probe=[] trains it without measuring them"
            )
        each = list(zip(*found, strict=True))
        return Recorded(
            layers=[
                {
                    name: torch.stack([torch.stack(one.states[name]) for one in layer])
                    for name in layer[0].states
                }
                for layer in each
            ],
            backward=[layer[0].backward for layer in each],
            outputs=torch.stack(outputs),
            inputs=x,
            taps=[
                {name: [one.taps[name] for one in layer] for name in layer[0].taps}
                for layer in each
            ],
            names=[layer[0].name for layer in each],
            weights=[layer[0].weight for layer in each],
        )

    @functools.cached_property
    def _found(self) -> list[Recurrence]:
        """The recurrences of one forward pass."""
        rows = self.named(self.row(seed=0)[None].float())
        x = example(self.task, self.how.symbols)
        with torch.no_grad(), own_draws(), tapped(self.module.eval()) as found:
            self._member(self.module, rows, 0, x[None], None)
        return found

    @property
    def measured(self) -> tuple[str, ...]:
        """The recurrent layers whose gradients through time can be measured, as layers 1, 2, …"""
        return tuple(one.name for one in self._found if _steps(one) == self.task.steps)

    @property
    def sizes(self) -> dict[str, int | None]:
        """hidden: width of the measured layers, if they have the same one; depth: their number.

        The two directions of a bidirectional layer count once.
        """
        layers = [one for one in self._found if one.name in self.measured]
        widths = {one.states["h"][0].shape[-1] for one in layers}
        forward = sum(not one.backward for one in layers)
        return {"hidden": widths.pop() if len(widths) == 1 else None, "depth": forward or None}

    @functools.cached_property
    def notes(self) -> list[str]:
        """Which recurrent layers are measured, under which numbers, and what is unusual."""
        layers = [f"layer {number} is {name}" for number, name in enumerate(self.measured, 1)]
        told = [", ".join(layers)] if layers else []
        for one in self._found:
            if _steps(one) != self.task.steps:
                told.append(
                    f"{one.name} is not measured: it makes {_steps(one)} steps on sequences of"
                    f" {self.task.steps}"
                )
        called = {one.name.split("#")[0].rpartition(".l")[0] or one.name for one in self._found}
        for path, part in recurrent_parts(self.module):
            if has_own_forward(part):
                told.append(
                    f"{path or self.name} is not measured: {type(part).__name__} is a"
                    f" subclass with a forward of its own"
                )
            elif path not in called | {one.name for one in self._found}:
                told.append(f"{path or self.name} is not measured: forward does not call it")
        if any(isinstance(part, torch.jit.ScriptModule) for part in self.module.modules()):
            told.append("compiled by torch.jit: its layers can be neither measured nor initialized")
        elif not self._found and not recurrent_parts(self.module):
            told.append(
                "no recurrence: it has no torch.nn.RNN, LSTM, GRU or cell of these that is called"
                " once a step, and names no submodule in an attribute `states`"
            )
        return [*told, *self._notes_on_weights()]

    def _notes_on_weights(self) -> list[str]:
        told, (one, other) = [], [self.named(self.row(seed)[None]) for seed in (0, 1)]
        if all(torch.equal(one[name], other[name]) for name in self.trained):
            told.append("it draws the same weights for every seed (a torch.manual_seed inside?)")
        params = {
            name: value.float().requires_grad_(name in self.trained) for name, value in one.items()
        }
        x = example(self.task, self.how.symbols)
        with own_draws():
            outputs = self._member(self.module.eval(), params, 0, x[None], None)
        if outputs.requires_grad:
            grads = torch.autograd.grad(
                outputs.sum(), [params[name] for name in self.trained], allow_unused=True
            )
            idle = [name for name, grad in zip(self.trained, grads, strict=True) if grad is None]
            if idle:
                told.append(f"no gradient reaches {', '.join(idle)}: unused, or detached")
        return told

    def padded_batch(self, batch: int) -> int:
        return batch

    def whole_blocks(self) -> bool:
        return True  # members are computed one by one

    def _as(self, dtype: torch.dtype) -> nn.Module:
        """The module with its shared tensors in fp64 for probes."""
        if dtype != torch.float64:
            return self.module
        if self._wide is None:
            self._wide = build_module(self.node, self.task, seed=0).double()
        return self._wide

    def _kept(self) -> list[str]:
        """Tensors that are not trained and differ between members, see the class."""
        others = {name: each for name, each in _tensors(self.module) if name not in self.trained}
        drawn = dict(_tensors(build_module(self.node, self.task, seed=1)))
        found = {name for name, each in others.items() if not torch.equal(each, drawn[name])}
        trial = build_module(self.node, self.task, seed=0).train()
        with own_draws(), torch.no_grad():
            call(trial, self.how, example(self.task, self.how.symbols), None, every_step=False)
        after = dict(_tensors(trial))
        if made := sorted(after.keys() - drawn.keys()):
            raise StudyError(
                f"model: {self.name} makes {', '.join(made)} in forward, where no network can keep"
                " or train it; make its layers in __init__"
            )
        found |= {name for name, each in others.items() if not torch.equal(each, after[name])}
        return [name for name in others if name in found]


def call_with(
    module: nn.Module, own: dict[str, Tensor], network: ModuleNetwork, x: Tensor, lengths: Any
) -> Tensor:
    """Outputs of the module with these tensors in place of its own."""
    task = network.task

    def forward() -> Any:
        return call(module, network.how, x, lengths, every_step=task.every_step)

    outputs = functional_call(_Called(module, forward), {f"of.{k}": v for k, v in own.items()}, ())
    expected = (len(x), x.shape[1], task.outputs) if task.every_step else (len(x), task.outputs)
    if not isinstance(outputs, Tensor) or tuple(outputs.shape) != expected:
        got = list(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        axes = "[B, T, O]" if task.every_step else "[B, O]"
        raise StudyError(
            f"model: {network.name} must return {axes} = {list(expected)} for this task, got {got}"
        )
    return outputs


class _Called(nn.Module):
    """Lets functional_call replace a module's tensors around any call of it."""

    def __init__(self, of: nn.Module, forward: Any) -> None:
        super().__init__()
        self.of, self.call = of, forward

    def forward(self) -> Any:
        return self.call()


def recurrent_parts(module: nn.Module) -> list[tuple[str, nn.Module]]:
    """(path, part) of every torch.nn.RNN, LSTM, GRU and their cells, the module itself included."""
    return [
        (path, part) for path, part in module.named_modules() if isinstance(part, (*LAYERS, *CELLS))
    ]


def example(task: TaskShape, symbols: bool, examples: int = 2) -> Tensor:
    """Inputs [B, T, D] of the task's form, to try a module on."""
    shape = (examples, task.steps, task.inputs)
    drawn = torch.randn(shape, generator=generator(0, "check, model"))
    return nn.functional.one_hot(drawn.argmax(-1), task.inputs).float() if symbols else drawn


def _tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(), *module.named_buffers()]


def _steps(one: Recurrence) -> int:
    return len(one.states.get("h", ()))


def _cuda(x: Tensor) -> list[torch.device]:
    return [x.device] if x.is_cuda else []


def _of(lengths: Tensor | None, member: int) -> Tensor | None:
    return None if lengths is None else lengths[member]
