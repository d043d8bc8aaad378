"""The extension page: everything a user can replace, one class each.

Axes, everywhere: M members of a group (first, never reduced), B examples, T steps, D inputs, H
hidden units, O outputs, P parameter values of one member. A piece never mixes members.

To add a piece: one file with one class (copy the shortest neighbour), one YAML whose `_target_`
names it. Constructors are keyword-only and have no defaults: the YAML holds them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, get_args

import torch
from torch import Tensor

PerMember = Annotated[float | Tensor, "one value a member"]
"""Annotation of a constructor argument that may differ inside a group.

It is a number when a point is planned, and a tensor [M] when its group is built.
Every argument annotated otherwise is structure: points that differ in it are not trained together.
"""

Params = Mapping[str, Tensor]  # name -> [M, ...]
State = tuple[Tensor, ...]  # one [M, B, H] per name in Cell.states
Role = Literal["recurrent", "input", "bias", "readout"]
Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = get_args(Part)


def require(ok: bool, piece: str, key: str, allowed: str, came: object) -> None:
    """Raise the ValueError that names the piece, the key, what is allowed and what came."""
    if not ok:
        shown = came.tolist() if isinstance(came, Tensor) else came
        shown = shown[0] if isinstance(shown, list) and len(shown) == 1 else shown
        raise ValueError(f"{piece}: {key} must be {allowed}, got {shown!r}")


def per_member(value: PerMember) -> Tensor:
    """[M] as [M, 1], ready to scale a [M, P] tensor; a plain number becomes [1, 1]."""
    return torch.as_tensor(value).reshape(-1, 1)


# --- cells ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parameter:
    """One tensor of a layer for one member: equal blocks, one a gate, stacked along its first axis.

    `block` is (H, D), (H, H) or (H,); the tensor's shape is (len(gates)·H, …).
    """

    name: str
    role: Role
    gates: tuple[str, ...]
    block: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.gates) * self.block[0], *self.block[1:])


class Native(Protocol):
    """One layer compiled for the processor, from zero states; equal to `Cell.step` after `step` up
    to rounding, gradients included.

    The battery compares all of it. A layer that cannot tell what reaches a step takes `reach` and
    gives no gradient for it.
    """

    def outputs(
        self, x: Tensor, reach: Tensor | None = None, *, last_step_only: bool = False
    ) -> Tensor:
        """h [M, T, B, H] of all steps for x [M, T, B, D], or [M, 1, B, H] of the final one: no
        gradient of the others is then made or read.

        `reach`: a leaf for what reaches each step (study/kernels/reach.py).
        """

    def states(self, x: Tensor, taps: State) -> State:
        """One [M, T, B, H] per name in Cell.states; `taps`, of that shape, get the total
        derivatives at them (Unrolled) as gradients.

        What probes call, in fp64. The values of `taps` are zeros and need not be read; they may ask
        for no gradient.
        """


OWN = ("native", "fused")  # kernels that a cell may have beside the reference, the fastest first


class Cell(ABC):
    """A recurrence s_t = step(s_{t-1}, x_t). States start at zero.

    `states` names the state tensors, the output h first. `keep` says which gate keeps the past and
    in which direction its bias does so: {"f": +1} (LSTM), {"z": -1} (textbook GRU); empty for
    ungated cells. `activation` is φ where the cell is h_t = φ(W_x x_t + W_h h_{t-1} + b), for rules
    that need it; None for others.
    """

    states: tuple[str, ...] = ("h",)
    keep: Mapping[str, int] = {}
    activation: Callable[[Tensor], Tensor] | None = None

    @abstractmethod
    def shapes(self, inputs: int, hidden: int) -> tuple[Parameter, ...]:
        """The tensors of one layer with `inputs` = D and `hidden` = H."""

    def project(self, params: Params, x: Tensor) -> Tensor:
        """What a step needs of its input, for all steps at once: [M, T, B, D] -> [M, T, B, ·].

        Default: x itself.
        """
        return x

    @abstractmethod
    def step(self, params: Params, x: Tensor, state: State) -> State:
        """One step: x [M, B, ·] is one step of `project`, state one [M, B, H] per name; returns the
        next state.
        """

    def layer(self, params: Params, x: Tensor) -> Tensor | None:
        """A faster way from x [M, T, B, D] to the outputs h [M, T, B, H] of all steps; None: there
        is none.

        It must equal `step` after `step` up to rounding, gradients included. Training uses it,
        probes do not. One that can tell what reaches each step takes the leaf that `params` then
        holds (study/kernels/reach.py).
        """
        return None

    def native(self, params: Params) -> Native | None:
        """A way compiled for the processor, with these parameters (study/kernels/native); never
        called with tensors of another device.
        """
        return None

    def gates(self, params: Params, x: Tensor, state: State) -> Mapping[str, Tensor]:
        """The gates of the step from `state` with x, each [M, B, H] between 0 and 1, for probes
        that look at them. Default: none.
        """
        return {}

    @classmethod
    def has(cls, kernel: str) -> bool:
        """Whether `layer` (fused) or `native` is there and belongs to this very recurrence: one
        that is inherited beside a new step is another cell's.
        """

        def owner(name: str) -> int:
            return next(place for place, each in enumerate(cls.__mro__) if name in vars(each))

        name = {"fused": "layer", "native": "native"}[kernel]
        return getattr(cls, name) is not getattr(Cell, name) and owner(name) <= min(
            owner(part) for part in ("step", "project", "shapes")
        )


# --- initializers ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Block:
    """The block an initializer fills: one gate of one tensor of one layer (from 1; readout: 0)."""

    role: Role
    gate: str
    shape: tuple[int, ...]
    layer: int


@dataclass(frozen=True)
class InitFacts:
    """What an initializer may use: T steps, the task's lag (None if undeclared), H, the cell's keep
    gates, and

    `input_drive` E[x_t²] of one input value of the first layer over the task's training examples
    and their steps; `inputs` their number; `input_rule` the standing rule of the input weights, to
    be drawn from by whoever wants to know its variance; `activation` φ of the cell, where it is an
    ungated h_t = φ(W_x x_t + W_h h_{t-1} + b), else None; `stream(*key)`: a stream of this point's
    own that blocks share: equal keys give equal draws in every block.
    """

    steps: int
    lag: int | None
    input_drive: float
    inputs: int
    hidden: int
    keep: Mapping[str, int]
    input_rule: Initializer
    activation: Callable[[Tensor], Tensor] | None
    stream: Callable[..., torch.Generator]


class Initializer(ABC):
    """Initial values of the roles it speaks for; the study's standing rules fill the others.

    Most speak for the recurrent blocks only: then the comparison is not confounded by other
    weights.
    """

    roles: tuple[Role, ...] = ("recurrent",)

    @abstractmethod
    def __call__(self, block: Block, generator: torch.Generator, facts: InitFacts) -> Tensor:
        """Values of shape `block.shape` in float64, drawn from `generator` only."""


# --- clip rules and optimizers --------------------------------------------------------------------


class ClipRule(ABC):
    """Changes the gradients of each member, all of them together as one row of [M, P].

    `slices` maps each parameter's name (layer1.weight_h) to (its columns of P, its shape), for
    rules that work per tensor.
    """

    def init(self, params: Tensor, slices: Mapping[str, tuple[slice, tuple[int, ...]]]) -> Any:
        """State before the first update, from params [M, P]: tensors with M as first axis, numbers,
        texts and None, nested as you like.
        """
        return None

    @abstractmethod
    def __call__(self, grads: Tensor, params: Tensor, state: Any) -> tuple[Tensor, Any]:
        """(clipped gradients [M, P], next state). A gradient left alone is returned bit for bit."""


class Optimizer(ABC):
    """One update of all members at once, on flat [M, P] tensors."""

    @abstractmethod
    def init(self, params: Tensor) -> dict[str, Tensor]:
        """State before the first update; every tensor has M as first axis."""

    @abstractmethod
    def __call__(
        self, grads: Tensor, params: Tensor, state: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """(new params [M, P], next state). Nothing is changed in place."""


# --- tasks, encoders and readouts -----------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """Examples: x [B, T, D] (in a group [M, B, T, D]), y as the task wants it, lengths [B] where
    they differ.

    Steps at and beyond an example's length are padding.
    """

    x: Tensor
    y: Tensor
    lengths: Tensor | None = None


@dataclass(frozen=True)
class TaskFacts:
    """What a task states about itself. `solved` is met when the validation metric reaches it."""

    inputs: int
    outputs: int
    steps: int
    lag: int | None
    every_step: bool
    loss: str
    metric: str
    higher_is_better: bool
    baseline_loss: float
    baseline: float
    solved: float
    split: str
    source: str
    licence: str


class Task(ABC):
    """Sequences, their loss and their metric. Nothing is loaded before `load`."""

    @abstractmethod
    def load(self) -> None:
        """Read or make the data; raise StudyError with what to do when it is not there."""

    @property
    @abstractmethod
    def facts(self) -> TaskFacts: ...

    @abstractmethod
    def data_hash(self) -> str:
        """Changes when the data or their split change; enters every point's id."""

    @abstractmethod
    def sample(self, stream: Callable[..., torch.Generator], update: int, batch: int) -> Batch:
        """The training batch of one update: a function of (stream, update, batch) only.

        `stream(*key)` is a fresh generator of the point's own data stream for that key, such as
        stream(update) for generated tasks or stream(epoch) to shuffle a data set.
        """

    def carries(self, update: int, batch: int) -> bool:
        """Whether this update's examples, row by row, go on where those of the update before ended
        (a stream has no lengths).

        Training then begins at the states that those left, without gradient: truncated
        backpropagation through time. Everything else (validation, test, probes) begins at zero
        states. Default: no update does.
        """
        return False

    @abstractmethod
    def split(self, part: Part) -> Batch:
        """Fixed examples, the same for every point.

        train: as many training examples as validation has.
        """

    @abstractmethod
    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """[M] mean losses from outputs [M, B, O] (every_step: [M, B, T, O]) and a batch with axis
        M.
        """

    @abstractmethod
    def step_loss(self, outputs: Tensor, batch: Batch, anchor: Tensor) -> Tensor:
        """[M, B] losses of step `anchor` ([B], from 0) alone; terminal tasks: the loss of each
        example.
        """

    @abstractmethod
    def metric(self, outputs: Tensor, batch: Batch) -> Tensor:
        """[M, B] the metric of each example; a point's score is their mean."""


class Encoder(ABC):
    """From what a task gives at a step to what the first layer reads, trained with the rest;
    encoder=none: as it is given.

    It sees one step at a time: padding, streams and lags stay what they are. Its `input` tensors
    start by weights.input, its biases at 0.
    """

    @abstractmethod
    def outputs(self, inputs: int) -> int:
        """D' from the task's D; raise the ValueError that says which D it takes."""

    @abstractmethod
    def shapes(self, inputs: int) -> tuple[Parameter, ...]:
        """Its tensors, of roles input and bias.

        Blocks may be of any size; multiples of 16 values let members be trained side by side.
        """

    @abstractmethod
    def __call__(self, params: Params, x: Tensor) -> Tensor:
        """x [M, T, B, D] -> [M, T, B, D']."""


class Readout(ABC):
    """From the states of the top layer to outputs. `every_step` must agree with the task's.

    `last_step_only`: it reads each example's last valid step and nothing else, so that where
    lengths are equal it may be given that step alone (T = 1).
    """

    every_step: bool
    last_step_only: bool = False

    @abstractmethod
    def shapes(self, hidden: int, outputs: int) -> tuple[Parameter, ...]: ...

    @abstractmethod
    def __call__(self, params: Params, h: Tensor, lengths: Tensor | None) -> Tensor:
        """h [M, T, B, H], lengths [M, B] -> outputs [M, B, O], or [M, B, T, O] if every_step."""

    def reads_last_step_only(self) -> bool:
        """Whether `last_step_only` is true and said of this very `__call__`: one that is inherited
        beside a new `__call__` is another readout's.
        """
        owners = [
            next(place for place, each in enumerate(type(self).__mro__) if name in vars(each))
            for name in ("last_step_only", "__call__")
        ]
        return self.last_step_only and owners[0] <= owners[1]

    def attention(self, params: Params, h: Tensor, lengths: Tensor | None) -> Tensor | None:
        """How much each step counts, [M, T, B], 1 in sum over an example's own steps, for probes
        that look at it. Default: nothing of the kind.
        """
        return None


# --- probes, trackers, executors ------------------------------------------------------------------


class Unrolled(Protocol):
    """One forward pass with its graph: `layers[number][name]` are the states [M, T, B, H] after
    each step.

    All probes of a stage share them, and the way back reads them: clone() before you write.
    """

    @property
    def layers(self) -> Sequence[Mapping[str, Tensor]]: ...

    @property
    def outputs(self) -> Tensor: ...

    @property
    def inputs(self) -> Tensor:
        """x [M, B, T, D] that it was given: a leaf, so that its gradient is the total derivative
        dl/dx_t.
        """

    def derivatives(
        self, value: Tensor, layers: Sequence[int] | None = None
    ) -> Sequence[Mapping[str, Tensor]]:
        """Total derivatives d Σ value / ds_t [M, T, B, H] at the states of all layers, or of some
        (from 0), by name.

        h and c of one step are independent coordinates: that of c_t leaves out the way through h_t.
        `value`, of any shape, was computed from `layers`, `outputs` or `inputs`, else RuntimeError;
        torch.autograd.grad would give the derivative of that computation alone, without the ways
        through later steps.
        """


@dataclass(frozen=True)
class Step:
    """The update that training makes next, by parameter name, each [M, …]: gradients before and
    after clipping, weights before and after it.
    """

    grads: Params
    clipped: Params
    before: Params
    after: Params


class Trace(Protocol):
    """What a probe sees at one stage, everything in fp64 and apart from training."""

    @property
    def params(self) -> Params:
        """[M, …] by name, such as layer1.weight_h; no gradient is asked of them."""

    @property
    def batch(self) -> Batch:
        """The fixed probe batch: x [M, B, T, D], lengths [M, B] or None."""

    @property
    def task(self) -> Task: ...

    @property
    def facts(self) -> TaskFacts: ...

    @property
    def cell(self) -> Cell: ...

    @property
    def readout(self) -> Readout: ...

    @property
    def stage(self) -> int: ...

    @property
    def update(self) -> int: ...

    @property
    def seeds(self) -> Sequence[int]: ...

    @property
    def last_step(self) -> Tensor:
        """[B], each example's last valid step, from 0."""

    def generator(self, purpose: str) -> torch.Generator:
        """The study's own stream for this purpose and stage: the same for every point, so that
        draws are common.
        """

    def network(self) -> Unrolled:
        """The whole network, states of all layers connected.

        Made once a stage, shared between probes.
        """

    def layer_params(self, layer: int) -> Params:
        """Parameters of one layer (from 1) under the names that its cell gave them."""

    def readout_params(self) -> Params:
        """Parameters of the readout under the names that it gave them."""

    def layer_inputs(self, layer: int) -> Tensor:
        """What one layer (from 1) reads of the probe batch, a constant [M, T, B, ·]."""

    def on(self, batch: Batch) -> Trace:
        """The same stage with other examples in place of the probe batch: x [M, B, T, D]."""

    def alone(self, member: int) -> Trace:
        """The same stage of one member, M = 1: for batches whose lengths differ between members."""

    def training_batch(self) -> Batch:
        """The examples of the update that training makes next, each member its own; of the last one
        made at the end.
        """

    def gradients(self, batch: Batch) -> Params:
        """Gradient of the mean loss of `batch` by parameter name, [M, …]."""

    def next_step(self) -> Step:
        """The next update, computed apart: training is not touched.

        At the end, the one that would follow on the last batch.
        """


@dataclass(frozen=True)
class LagNorms:
    """Gradient norms by lag: `norms` [M, N, lags] relative to the anchor's, `exists` [N, lags] or
    [M, N, lags] where the lag is in the sequence.

    N counts examples (times anchors, where a probe has several).
    """

    norms: Tensor
    exists: Tensor


@dataclass(frozen=True)
class ByIndex:
    """Values [M, layers, n] whose last axis counts something other than lags: exponents, singular
    values, steps.
    """

    values: Tensor


@dataclass(frozen=True)
class AtLags:
    """Values [M, layers, n] at n chosen `lags`, or [M, layers, n, i] with i values a lag, numbered
    like those of ByIndex.
    """

    values: Tensor
    lags: Sequence[int]


@dataclass(frozen=True)
class ByStep:
    """Values [M, n, T] or [M, layers, n, T] of single examples, the first n of the probe batch,
    step by step up to `last` [n] (from 0).
    """

    values: Tensor
    last: Tensor


@dataclass(frozen=True)
class Measurable:
    """What a probe is told about a point before it is trained: `batch` examples an update,
    `examples` in the probe batch.
    """

    cell: Cell
    facts: TaskFacts
    hidden: int
    depth: int
    batch: int
    examples: int


class Probe(ABC):
    """A scheduled measurement.

    It sees a Trace (a copy of the weights in fp64 and the fixed probe batch) and changes nothing.

    `stages` are shares of the updates (0 = initialization, 1 = end), from its YAML.
    """

    stages: Sequence[float]

    def check(self, of: Measurable) -> None:
        """Called before the first update: raise the ValueError that says what to do where this
        point cannot be measured.
        """
        return

    @abstractmethod
    def __call__(
        self, trace: Trace
    ) -> Mapping[str, Tensor | ByIndex | AtLags | ByStep] | Mapping[str, LagNorms]:
        """{quantity: [M] or [M, layers] or [M, layers, lags], ByIndex or AtLags}: one row of
        measures.parquet a number; ByStep: of traces.parquet.
        """


class ProfileProbe(Probe):
    """A probe of gradient norms by lag.

    The engine reduces them over examples to rows of profile.parquet.

    The one that `decides` gives the states, and with them the verdict. One that has `every` is read
    off the backward pass of training itself at every so many updates, and is never called:
    ‖∂L/∂h_t‖ of each layer, of the batch's own loss, in training's precision.
    """

    decides: bool = False
    every: int | None = None

    @abstractmethod
    def __call__(self, trace: Trace) -> Mapping[str, LagNorms]:
        """{"layer/state": norms}: layer "1", "2", … or "network", state h, c or s (all of them
        together).
        """


class Tracker(ABC):
    """A sink of finished points.

    Never a dependency: when it raises, it is switched off with a warning.
    """

    @abstractmethod
    def open(self, study: str, folder: Path) -> None:
        """Called once before the first point; `folder` is the study's."""

    @abstractmethod
    def log(self, result: Mapping[str, Any], folder: Path) -> None:
        """One stored point: its result.json and its folder, STUDY/points/ID, to be read through
        study.store.Store: it may be compacted.

        Called again for points already logged by an earlier launch.
        """

    @abstractmethod
    def close(self) -> None: ...


@dataclass(frozen=True)
class Point:
    """One grid point: its composed configuration as plain values, and its levels by name."""

    id: str
    config: Mapping[str, Any]
    labels: Mapping[str, str | int | float | bool]
    seed: int

    @property
    def updates(self) -> int:
        """Optimizer steps that it is planned for."""
        return int(self.config["updates"])


@dataclass(frozen=True)
class Group:
    """Points of equal structure, trained together; `cost` is an estimate in seconds of one core."""

    name: str
    points: tuple[Point, ...]
    cost: float

    def only(self, points: Iterable[Point]) -> Group | None:
        """Some of its points, with their share of the cost; None if these are none."""
        some = tuple(points)
        return (
            replace(self, points=some, cost=self.cost * len(some) / len(self.points))
            if some
            else None
        )


Event = Mapping[str, Any]  # what becomes of groups, as Executor.run tells it


class Executor(ABC):
    """Where groups run."""

    workers: int  # groups that run at the same time
    max_members: int  # points of the largest group
    # Whether the launch leases the points of a group for it. false: its jobs, on other machines,
    # take the leases themselves (study.workers.jobs).
    claims: bool = True

    def ready(self, folder: Path) -> str | None:
        """Called before a launch is declared or anything is queued; returns a note for the user.

        Raises StudyError if nothing can be trained.
        """
        return None

    def describe(self, groups: Sequence[Group]) -> str | None:
        """For plan=true: where these groups would run, and for how long; None if on `workers` of
        this machine.
        """
        return None

    @abstractmethod
    def run(self, groups: Iterable[Group], folder: Path) -> Iterator[Event]:
        """Train the groups and store their points; yield events as they come.

        `groups` are claimed as they are asked for: ask late.

        {"event": "progress", "ids", "update"} · {"event": "stored", "ids"} · {"event": "failed",
        "group", "ids", "lost", "reason"} · "given up" (ids, reason: not tried any more) · "retried"
        (group, ids, reason, how) · "note" (text) · "stopped" (reason: nothing further is tried).
        Closing the iterator, or KeyboardInterrupt in it, ends what runs after keeping it
        (engine.Left).
        """
