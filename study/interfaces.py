"""The contracts: one class for everything that a user can replace.

Axes, everywhere: M members of a group (first, never reduced), B examples, T steps, D inputs, H
hidden units, O outputs, P parameter values of one member. A piece never mixes members.

To add a piece, write one file with one class (copy the shortest neighbour) and one YAML file whose
`_target_` names it. Constructors are keyword-only and have no defaults: the YAML holds them.

A class may name settings that came after its points were first stored, with the value that means
as before: `later = {"decay_biases": True}`. A YAML without them means that value, and with that
value ids leave them out.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol, get_args

import torch
from torch import Tensor

PerMember = Annotated[float | Tensor, "one value per member"]
"""Annotation of a constructor argument that may differ inside a group.

It is a number when a point is planned, and a tensor [M] when its group is built.
Every other argument is structure: points that differ in it are never trained together.
"""

EachMember = "plain values, one per member"
"""Mark of a constructor argument whose numbers may differ inside a group, as plain values.

`Annotated[float, EachMember]` and `Annotated[Mapping[str, Any], EachMember]` are the value itself
when a point is planned, and a list of M values when its group is built. In a mapping, everything
but its numbers is structure, and so is whether a number is zero.
"""

Params = Mapping[str, Tensor]  # name -> [M, ...]
State = tuple[Tensor, ...]  # one [M, B, H] per name in Cell.states, or as wide as Cell.widths
Role = Literal["recurrent", "input", "bias", "readout", "own"]
Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = get_args(Part)


def require(ok: bool, piece: str, key: str, allowed: str, got: object) -> None:
    """Raise a ValueError that names the piece, the key, the allowed values and `got`."""
    if not ok:
        shown = got.tolist() if isinstance(got, Tensor) else got
        shown = shown[0] if isinstance(shown, list) and len(shown) == 1 else shown
        raise ValueError(f"{piece}: {key} must be {allowed}, got {shown!r}")


def defines(cls: type, name: str, *, beside: Iterable[str]) -> bool:
    """Whether a class defines `name` for what it does itself.

    What it inherits describes another class if it overrides one of `beside`.
    """

    def owner(name: str) -> int:
        return next(place for place, base in enumerate(cls.__mro__) if name in vars(base))

    return owner(name) <= min(map(owner, beside))


def per_member(value: PerMember) -> Tensor:
    """[M] as [M, 1], ready to scale a [M, P] tensor; a plain number becomes [1, 1]."""
    return torch.as_tensor(value).reshape(-1, 1)


# --- cells ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Parameter:
    """One tensor of a layer, for one member: one block per gate, stacked along the first axis.

    `block` is (H, D), (H, H) or (H,), or for a gate of one value (1, D) or (1,); the tensor's shape
    is (len(gates)·H, …) or (len(gates), …). Tensors of role "own" have blocks of any shape, and
    their cell gives them their first values (`Cell.first`): no initializer speaks for them.
    """

    name: str
    role: Role
    gates: tuple[str, ...]
    block: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        return (len(self.gates) * self.block[0], *self.block[1:])


class Native(Protocol):
    """One layer compiled for the CPU, starting from zero states.

    It must equal repeated calls of `Cell.step` up to rounding, gradients included: the battery
    compares both.
    """

    def outputs(
        self, x: Tensor, step_norms: Tensor | None = None, *, last_step_only: bool = False
    ) -> Tensor:
        """Outputs h [M, T, B, H] for x [M, T, B, D].

        `step_norms`: the dummy input whose gradient is the squared gradient norm of each step
        (study/kernels/step_norms.py); a layer that cannot compute it gives no gradient.
        `last_step_only`: return the final step alone, [M, 1, B, H]; the gradients of the others are
        then neither computed nor read.
        """

    def states(self, x: Tensor, taps: State) -> State:
        """One [M, T, B, H] per name in Cell.states, for probes, in fp64.

        `taps`, of the same shapes, receive the total derivatives at the states (see Unrolled) as
        gradients. Their values are zeros and need not be read; they may not require gradients.
        """


CELL_KERNELS = ("native", "fused")  # that a cell may define beside the reference, fastest first


class Cell(ABC):
    """A recurrence s_t = step(s_{t-1}, x_t). States start at zero.

    `states` names the state tensors, the output h first. `keep` maps each gate that keeps the past
    to the sign of the bias that opens it: {"f": +1} (LSTM), {"z": -1} (textbook GRU); empty for
    ungated cells. `activation` is φ if the cell is h_t = φ(W_x x_t + W_h h_{t-1} + b), for
    initializers that need it; None otherwise.
    """

    states: tuple[str, ...] = ("h",)
    keep: Mapping[str, int] = {}
    activation: Callable[[Tensor], Tensor] | None = None
    # Raised where the numbers of `native` change: points trained by it then get new ids.
    native_version: int = 1

    @abstractmethod
    def shapes(self, inputs: int, hidden: int) -> tuple[Parameter, ...]:
        """Tensors of one layer with D = `inputs` and H = `hidden`."""

    def widths(self, hidden: int) -> tuple[int, ...]:
        """Values of each state: H for the output h; default: H for all (a matrix may be H·H)."""
        return (hidden,) * len(self.states)

    def first(self, inputs: int, hidden: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        """First values of a layer's parameters of role "own", by name, drawn from `generator`."""
        return {}

    def project(self, params: Params, x: Tensor) -> Tensor:
        """Map the inputs of all steps at once: [M, T, B, D] -> [M, T, B, ·]; default: x itself."""
        return x

    @abstractmethod
    def step(self, params: Params, x: Tensor, state: State) -> State:
        """The next state from x [M, B, ·], a step of `project`, and one [M, B, width] per state."""

    def layer(self, params: Params, x: Tensor) -> Tensor | None:
        """Outputs h [M, T, B, H] of all steps for x [M, T, B, D] by a fused kernel, or None.

        It must equal repeated calls of `step` up to rounding, gradients included. Training uses it,
        probes do not. To support step norms, give `params[STEP_NORMS]` its gradient
        (study/kernels/step_norms.py).
        """
        return None

    def native(self, params: Params) -> Native | None:
        """The layer compiled for the CPU with these parameters, which are CPU tensors, or None."""
        return None

    def gates(self, params: Params, x: Tensor, state: State) -> Mapping[str, Tensor]:
        """Gates of the step from `state` with x, each [M, B, H] in [0, 1]; default: none."""
        return {}

    @classmethod
    def has_kernel(cls, kernel: str) -> bool:
        """Whether the class defines the kernel ("fused": `layer`, or "native") for its own step.

        A kernel inherited by a class that overrides `step` computes another recurrence.
        """
        name = {"fused": "layer", "native": "native"}[kernel]
        return getattr(cls, name) is not getattr(Cell, name) and defines(
            cls, name, beside=("step", "project", "shapes")
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
    """What an initializer may use.

    steps: T. lag: the task's, None if undeclared. hidden: H. keep, activation: as in Cell.
    input_drive: E[x_t²] of one input value of the first layer, over the training examples and their
    steps. inputs: number of those input values. input_rule: the standing rule of the input weights;
    draw from it to estimate its variance. stream(*key): a random stream of this point, shared by
    all blocks: equal keys give equal draws.
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
    """Initial values of the parameters whose role is in `roles`; standing rules fill the others.

    Most initializers fill recurrent blocks only, so that other weights do not confound a
    comparison.
    """

    roles: tuple[Role, ...] = ("recurrent",)

    @abstractmethod
    def __call__(self, block: Block, generator: torch.Generator, facts: InitFacts) -> Tensor:
        """Values of shape `block.shape` in float64, drawn from `generator` only."""


# --- clip rules and optimizers --------------------------------------------------------------------


class ClipRule(ABC):
    """Changes the gradients of each member, given as one row of [M, P].

    `slices` maps each parameter's name (layer1.weight_h) to (its columns of P, its shape), for
    rules that work per tensor.
    """

    def init(self, params: Tensor, slices: Mapping[str, tuple[slice, tuple[int, ...]]]) -> Any:
        """State before the first update, from params [M, P].

        Tensors with M as first axis, numbers, strings and None, in any nesting.
        """
        return None

    @abstractmethod
    def __call__(self, grads: Tensor, params: Tensor, state: Any) -> tuple[Tensor, Any]:
        """(clipped gradients [M, P], next state); an unclipped gradient is returned bit for bit."""


class Optimizer(ABC):
    """One update of all members at once, on flat [M, P] tensors.

    `lr`: the learning rate, as `per_member` makes it; a schedule multiplies it. An optimizer that
    keeps it elsewhere overrides `scaled`. `decay_biases`: false spares biases its weight decay, for
    an optimizer that has this setting and keeps the decay in `weight_decay`, as `per_member` makes
    it; others override `sparing`.
    """

    later: Mapping[str, Any] = {}
    decay_biases: bool = True

    @abstractmethod
    def init(self, params: Tensor) -> dict[str, Tensor]:
        """State before the first update; M is the first axis of every tensor."""

    @abstractmethod
    def __call__(
        self, grads: Tensor, params: Tensor, state: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """(new params [M, P], next state), without changing anything in place."""

    def native(
        self, grads: Tensor, params: Tensor, state: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """`__call__` compiled for the CPU, equal to the last bit; by default `__call__` itself."""
        return self(grads, params, state)

    def scaled(self, factor: Tensor) -> Optimizer:
        """A copy whose learning rates are multiplied by `factor` [M], in fp64.

        Raises ValueError if this optimizer cannot follow a schedule.
        """
        lr = getattr(self, "lr", None)
        if not isinstance(lr, Tensor):
            raise ValueError(
                f"{type(self).__name__} cannot follow a schedule: it keeps no tensor `lr`, which a"
                " schedule multiplies; keep `self.lr = per_member(lr)`, or define `scaled`"
            )
        copied = copy.copy(self)
        setattr(copied, "lr", (lr.double() * factor.reshape(-1, 1)).to(lr.dtype))  # noqa: B010
        return copied

    def sparing(self, biases: Tensor) -> Optimizer:
        """A copy without weight decay in the columns where `biases` [P] is true."""
        copied: Any = copy.copy(self)
        copied.weight_decay = copied.weight_decay * ~biases
        return copied


class Schedule(ABC):
    """The share of the optimizer's learning rate that each update uses.

    With any optimizer that has a learning rate (`Optimizer.scaled`). Arguments annotated PerMember
    arrive in fp64. A schedule is a function of the update and, if it follows validations, of a
    state that is passed and returned: a nesting of tensors [M, …], numbers and texts. Probes of the
    next update (Trace.next_step) see the state before a validation of the same update.
    """

    def init(self, members: int) -> Any:
        """State before the first validation."""
        return None

    def check(self, updates: int) -> None:
        """Raise a ValueError that says what to do if a run of so many updates does not fit."""
        return

    @abstractmethod
    def __call__(self, update: int, updates: int, state: Any) -> Tensor:
        """Factors [M] of update number `update` of `updates`, from 0: finite, at least 0."""

    def validated(self, loss: Tensor, state: Any) -> Any:
        """The next state after a validation with losses [M] in fp64; the first is of update 0."""
        return state


def in_updates(length: PerMember, updates: int) -> Tensor:
    """A length [M] of a schedule in updates: below 1 it is a share of the run, from 1 updates."""
    length = torch.as_tensor(length, dtype=torch.float64)
    return torch.where(length < 1, (length * updates).round(), length)


def require_length(length: PerMember, piece: str, key: str) -> None:
    """Raise a ValueError unless a length is a share of the run below 1 or a number of updates."""
    values = torch.as_tensor(length, dtype=torch.float64)
    ok = ((values >= 0) & ((values < 1) | (values == values.round()))).all()
    allowed = "a share of the updates from 0 to below 1, or a whole number of updates"
    require(bool(ok), piece, key, allowed, length)


# --- penalties ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LayerPass:
    """One layer in the forward pass of an update; its tensors carry the graph.

    `params` and their `roles` by the cell's own names; `x` [M, T, B, D]: the layer's inputs;
    `before` and `after`: the states before and after each step, each [M, T, B, H] (before the first
    step: zeros, or what the task carries over). `gradients`: total derivatives of the task's mean
    loss at `after`, as Unrolled.derivatives has them; constants, zero at padding.
    """

    params: Params
    roles: Mapping[str, Role]
    x: Tensor
    before: State
    after: State
    gradients: State


@dataclass(frozen=True)
class UpdatePass:
    """What a penalty sees of one update; `cell` is None in a model of the user's own.

    `params` (leaves) and their `roles` by name, such as layer1.weight_h. `layers`, from the first,
    only for a penalty that `reads_states`. `valid` [M, T, B]: 1 at the steps of examples and 0 at
    padding (steps after their last one, and examples that fill up the batch).
    """

    cell: Cell | None
    params: Params
    roles: Mapping[str, Role]
    layers: Sequence[LayerPass]
    valid: Tensor


class Penalty(ABC):
    """A term that is added to the loss of updates, and to no loss or score that is stored.

    Gradients before clipping are those of loss plus term. `reads_states`: it needs
    UpdatePass.layers. Its points are then trained by the reference kernel, the only one whose
    states carry a graph.
    """

    reads_states: bool = False

    @abstractmethod
    def __call__(self, update: UpdatePass) -> Tensor:
        """The term of each member [M]; what it detaches is held constant in its gradient."""


# --- tasks, encoders and readouts -----------------------------------------------------------------


@dataclass(frozen=True)
class Batch:
    """Examples: x [B, T, D] (in a group [M, B, T, D]), y in the task's own form, lengths [B].

    `lengths` is None if all examples have T steps; steps at and beyond a length are padding.
    """

    x: Tensor
    y: Tensor
    lengths: Tensor | None = None


@dataclass(frozen=True)
class TaskFacts:
    """What a task declares; `solved` is the validation metric from which it counts as solved.

    `solved` is None where every rule could be met without reading the sequence.

    `choices`: names of its settings that a recipe may choose, such as how many rows a forecast
    reads; its other settings make another problem.
    notes, warnings: sentences on the data for the plan and the page.
    metrics: none for the usual score alone; else those that are measured, the score first, each
    with name, text, higher_is_better, perfect, by_example (else it is one of a whole split), low
    and high (its range, None without end) and guess (of the best rule without training, or None).
    """

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
    solved: float | None
    split: str
    source: str
    licence: str
    choices: tuple[str, ...] = ()
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()
    metrics: Sequence[Mapping[str, Any]] = ()


class Task(ABC):
    """Sequences, their loss and their metric; nothing is loaded before `load` is called.

    `read_by`: names of settings that say how data are read, and whose whole effect is in
    `data_hash`; ids leave them out. `without_data`: it has facts alone, for trainers that bring
    their own data.
    """

    read_by: tuple[str, ...] = ()
    later: Mapping[str, Any] = {}
    without_data: bool = False

    @abstractmethod
    def load(self) -> None:
        """Read or generate the data; a StudyError says what to do if it is missing."""

    @property
    @abstractmethod
    def facts(self) -> TaskFacts: ...

    def guess_loss(self, part: Part) -> float:
        """Loss of the memoryless guess on this split: by default as declared.

        A small drawn set may be easier or harder for the guess than the distribution is.
        """
        return self.facts.baseline_loss

    @abstractmethod
    def data_hash(self) -> str:
        """A hash of the data and their split; part of every point's id."""

    @abstractmethod
    def sample(self, stream: Callable[..., torch.Generator], update: int, batch: int) -> Batch:
        """The training batch of one update: a function of (stream, update, batch) only.

        `stream(*key)` is a fresh generator from the point's data stream, such as stream(update) for
        generated tasks or stream(epoch) to shuffle a data set.
        """

    def carries(self, update: int, batch: int) -> bool:
        """Whether each row of this update's batch continues the same row of the previous batch.

        Training then starts from the final states of that batch, without gradient: truncated
        backpropagation through time. Validation, test and probes start from zero states. Such
        batches have no lengths. Default: no.
        """
        return False

    @abstractmethod
    def split(self, part: Part) -> Batch:
        """Fixed examples, the same for every point; train: as many as validation has."""

    @abstractmethod
    def loss(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Mean losses [M] of outputs [M, B, O] (every_step: [M, B, T, O]); batch has axis M."""

    def loss_gradient(self, outputs: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """`loss`, and the gradient of its sum at the outputs, on the CPU; default: by autograd.

        A class that defines it gives the same to the last bit. It is not used by classes that
        override `loss` alone.
        """
        with torch.enable_grad():
            outputs = outputs.detach().requires_grad_()
            loss = self.loss(outputs, batch)
            (grad,) = torch.autograd.grad(loss.sum(), outputs)
        return loss.detach(), grad

    @abstractmethod
    def step_loss(self, outputs: Tensor, batch: Batch, anchor: Tensor) -> Tensor:
        """Losses [M, B] of step `anchor` [B] (from 0) alone; not every_step: of each example."""

    @abstractmethod
    def metric(self, outputs: Tensor, batch: Batch) -> Tensor:
        """Metric [M, B] of each example; a point's score is their mean, but for `over_split`."""

    def over_split(
        self, outputs: Tensor, batch: Batch, names: Sequence[str]
    ) -> Mapping[str, Tensor]:
        """[M] of metrics of facts.metrics, from outputs [M, N, …] on a whole split, without axis M.

        Asked for only if facts.metrics has any; if the first is not by example, it is the score.
        """
        raise NotImplementedError

    def signature(self) -> dict[str, Any]:
        """How raw input becomes x and outputs become answers, in values that JSON can hold.

        Stored with every point, so that an export needs neither the task nor its data. input has a
        `kind`, numbers, image or text, and output one, numbers or classes; their other keys are
        described where they are read, in reports/templates/export/model.py. Default: arrays
        [N, T, D] are x as they are, and outputs are the answers.
        """
        return {
            "input": {"kind": "numbers", "steps": self.facts.steps},
            "output": {"kind": "numbers"},
        }


class Encoder(ABC):
    """Maps the task's input at each step to what the first layer reads; trained with the network.

    It sees one step at a time, so that padding, carried states and lags are unaffected. Its `input`
    tensors are initialized by weights.input, its biases with 0.
    """

    @abstractmethod
    def outputs(self, inputs: int) -> int:
        """D' from the task's D; a ValueError names the widths it accepts."""

    @abstractmethod
    def shapes(self, inputs: int) -> tuple[Parameter, ...]:
        """Its tensors, of roles input and bias.

        Blocks may have any size; with multiples of 16 values, members are trained side by side.
        """

    @abstractmethod
    def __call__(self, params: Params, x: Tensor) -> Tensor:
        """x [M, T, B, D] -> [M, T, B, D']."""


class LayerBlock(ABC):
    """What stands around the recurrence of every layer: norms, skips, an MLP a step.

    It sees one step at a time, so that padding, carried states and lags are unaffected. The first
    layer's input is mapped to H values before (a matrix filled by weights.input), so that every
    layer has a skip. Its matrices are filled by weights.readout, its biases start at 0.
    """

    @abstractmethod
    def shapes(self, hidden: int) -> tuple[Parameter, ...]:
        """Tensors of one layer's block, of roles readout and bias."""

    @abstractmethod
    def before(self, params: Params, x: Tensor) -> Tensor:
        """What the cell reads: x [M, T, B, H] -> [M, T, B, H]."""

    @abstractmethod
    def after(self, params: Params, x: Tensor, h: Tensor) -> Tensor:
        """The layer's output from its input x and the cell's h, each [M, T, B, H]."""


class Readout(ABC):
    """Maps the states of the top layer to outputs; `every_step` must agree with the task's.

    `last_step_only`: it reads each example's last valid step and nothing else. If lengths are
    equal, it may then be given that step alone (T = 1).
    """

    every_step: bool
    last_step_only: bool = False

    @abstractmethod
    def shapes(self, hidden: int, outputs: int) -> tuple[Parameter, ...]: ...

    @abstractmethod
    def __call__(self, params: Params, h: Tensor, lengths: Tensor | None) -> Tensor:
        """h [M, T, B, H], lengths [M, B] -> outputs [M, B, O], or [M, B, T, O] if every_step."""

    def reads_last_step_only(self) -> bool:
        """Whether `last_step_only` is true and set for the class's own `__call__`.

        A value inherited by a class that overrides `__call__` describes another readout.
        """
        return self.last_step_only and defines(type(self), "last_step_only", beside=("__call__",))

    def backward(
        self, params: Params, h: Tensor, lengths: Tensor | None, at_outputs: Tensor
    ) -> tuple[Tensor, Params]:
        """Gradients at h and of the parameters, from those at the outputs, without a graph.

        To the last bit those of `__call__` by autograd, which is used where a class does not define
        it, or overrides `__call__` alone.
        """
        raise NotImplementedError

    def attention(self, params: Params, h: Tensor, lengths: Tensor | None) -> Tensor | None:
        """Attention weights [M, T, B], which sum to 1 over an example's valid steps, or None."""
        return None


# --- probes, trackers, executors ------------------------------------------------------------------


class Unrolled(Protocol):
    """One forward pass with its graph.

    `layers[number][name]` are the states [M, T, B, H] after each step. All probes of a stage share
    them, and the backward pass reads them: clone() before you write.
    """

    @property
    def layers(self) -> Sequence[Mapping[str, Tensor]]: ...

    @property
    def backward(self) -> Sequence[bool]:
        """Layers that read the sequence from its end: their steps are counted from there."""

    @property
    def outputs(self) -> Tensor: ...

    @property
    def inputs(self) -> Tensor:
        """x [M, B, T, D], a leaf: its gradient is the total derivative dl/dx_t."""

    def derivatives(
        self, value: Tensor, layers: Sequence[int] | None = None
    ) -> Sequence[Mapping[str, Tensor]]:
        """Total derivatives d Σ value / ds_t [M, T, B, H] by state name; `layers` count from 0.

        h and c of one step are independent coordinates: the derivative at c_t leaves out the path
        through h_t. `value`, of any shape, must be computed from `layers`, `outputs` or `inputs`,
        else RuntimeError. torch.autograd.grad would give the derivative of that computation alone,
        without the paths through later steps.
        """


@dataclass(frozen=True)
class Step:
    """The next training update by parameter name, each [M, …].

    `grads` and `clipped` are gradients before and after clipping, `before` and `after` the weights
    before and after the update.
    """

    grads: Params
    clipped: Params
    before: Params
    after: Params


class Trace(Protocol):
    """What a probe sees at one stage, in fp64 and separate from training."""

    @property
    def params(self) -> Params:
        """[M, …] by name, such as layer1.weight_h; they do not require gradients."""

    @property
    def batch(self) -> Batch:
        """The fixed probe batch: x [M, B, T, D], lengths [M, B] or None."""

    @property
    def task(self) -> Task: ...

    @property
    def facts(self) -> TaskFacts: ...

    @property
    def cell(self) -> Cell:
        """The stack's cell; only probes that read `cell` may ask for it."""

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
        """The study's random stream for this purpose and stage, the same for every point."""

    def network(self) -> Unrolled:
        """Forward pass of the whole network, computed once per stage and shared between probes."""

    def layer_params(self, layer: int) -> Params:
        """Parameters of one layer (from 1), by the cell's own names."""

    def readout_params(self) -> Params:
        """Parameters of the readout, by its own names."""

    def recurrent_blocks(self, layer: int) -> Sequence[Tensor]:
        """Matrices [M, H, H] of the recurrent weights of one layer (from 1), gate by gate."""

    def layer_inputs(self, layer: int) -> Tensor:
        """Detached inputs [M, T, B, ·] of one layer (from 1) on the probe batch."""

    def on(self, batch: Batch) -> Trace:
        """The same stage on other examples than the probe batch: x [M, B, T, D]."""

    def alone(self, member: int) -> Trace:
        """The same stage of one member (M = 1), for batches whose lengths differ by member."""

    def training_batch(self) -> Batch:
        """Each member's batch for the next training update; at the end, of the last update."""

    def gradients(self, batch: Batch) -> Params:
        """Gradient of the mean loss of `batch` by parameter name, [M, …]."""

    def next_step(self) -> Step:
        """The next update, computed without changing training; at the end, on the last batch."""


@dataclass(frozen=True)
class LagNorms:
    """Gradient norms by lag: `norms` [M, N, lags], relative to the norm at the anchor.

    `exists`, [N, lags] or [M, N, lags], is true where the lag lies inside the sequence. N is the
    number of examples, times that of anchors.
    """

    norms: Tensor
    exists: Tensor


@dataclass(frozen=True)
class ByIndex:
    """Values [M, layers, n] whose last axis is not lags: exponents, singular values, steps."""

    values: Tensor


@dataclass(frozen=True)
class AtLags:
    """Values [M, layers, n] at n chosen `lags`, or [M, layers, n, i] with i values per lag."""

    values: Tensor
    lags: Sequence[int]


@dataclass(frozen=True)
class ByStep:
    """Values [M, n, T] or [M, layers, n, T] by step, of the first n examples of the probe batch.

    `last` [n] is each example's last valid step, from 0.
    """

    values: Tensor
    last: Tensor


@dataclass(frozen=True)
class PointFacts:
    """What a probe may know about a point before training.

    `batch` is the number of examples per update, `examples` the number in the probe batch. Only
    probes that read `cell` may ask for cell, hidden and depth.
    """

    cell: Cell
    facts: TaskFacts
    hidden: int
    depth: int
    batch: int
    examples: int


class Probe(ABC):
    """A scheduled measurement, which changes nothing.

    It sees a Trace: a copy of the weights in fp64 and the fixed probe batch. `stages` are shares of
    the updates (0 = initialization, 1 = end), from its YAML. `reads`: what it needs of a
    network. cell: the stack's cell and readout. Others also measure models of the user's own.
    states: those of its recurrent layers; inputs: their derivatives, so numbers and not symbols;
    gradients: of the weights. A point whose network lacks it is stored without the measurement.
    """

    stages: Sequence[float]
    reads: Literal["cell", "states", "inputs", "gradients"] = "cell"

    def check(self, point: PointFacts) -> None:
        """Raise a ValueError that says what to do if this point cannot be measured.

        Called before the first update.
        """
        return

    @abstractmethod
    def __call__(
        self, trace: Trace
    ) -> Mapping[str, Tensor | ByIndex | AtLags | ByStep] | Mapping[str, LagNorms]:
        """{quantity: [M], [M, layers], [M, layers, lags], ByIndex, AtLags or ByStep}.

        Each number becomes one row of measures.parquet, or of traces.parquet for ByStep.
        """


class ProfileProbe(Probe):
    """A probe of gradient norms by lag, which the engine reduces over examples to profile.parquet.

    The probe with `decides` gives the states, and with them the verdict. A probe with `every` = N
    is never called: at every N-th update, the training backward pass itself gives ‖∂L/∂h_t‖ of each
    layer, for the loss of the training batch and in training's precision.
    """

    decides: bool = False
    every: int | None = None

    @abstractmethod
    def __call__(self, trace: Trace) -> Mapping[str, LagNorms]:
        """{"layer/state": norms}: layer "1", "2", … or "network"; state h, c or s (all)."""


class Tracker(ABC):
    """A sink for points, in a process of its own; if it raises, it is switched off with a warning.

    A tracker with `update` and a setting `rows` (evenly spread updates, null: every one) also
    receives points while they train.
    """

    @abstractmethod
    def open(self, study: str, folder: Path) -> None:
        """Called once before the first point; `folder` is the study's."""

    @abstractmethod
    def log(self, result: Mapping[str, Any], folder: Path) -> None:
        """Record one stored point: the content of result.json, and its folder STUDY/points/ID.

        Read the folder through study.store.Store, since it may be compacted. Called again for
        points that an earlier launch has logged.
        """

    def update(self, point: Point, rows: Sequence[Mapping[str, Any]]) -> None:
        """Record new rows of a point in training, every few seconds, in the order of updates.

        A row has columns of records.HISTORY, without those that hold nothing; `time`, Unix time
        when the update was made, if that is known; `states` at a probe stage: [{layer, D, U}, …];
        and `diverged` (true) where training ended like that. After an interruption rows come again
        from the first one on, with the same numbers. Points that train for a few seconds, and
        trials of a search, come to `log` only.
        """
        return

    def fail(self, point: str, reason: str) -> None:
        """A point, by id, has failed and will not come to `log`."""
        return

    @abstractmethod
    def close(self) -> None: ...


@dataclass(frozen=True)
class Point:
    """One grid point: its composed configuration as plain values, and its levels by name.

    `data_hash`: of the data that it was planned with; "" if that is not known.
    """

    id: str
    config: Mapping[str, Any]
    labels: Mapping[str, str | int | float | bool]
    seed: int
    data_hash: str = ""

    @property
    def updates(self) -> int:
        """Planned optimizer steps."""
        return int(self.config["updates"])


@dataclass(frozen=True)
class Group:
    """Points of equal structure, trained together; `cost` is estimated in seconds of one core."""

    name: str
    points: tuple[Point, ...]
    cost: float

    def only(self, points: Iterable[Point]) -> Group | None:
        """A group of some of its points, with their share of the cost; None if there are none."""
        kept = tuple(points)
        if not kept:
            return None
        return replace(self, points=kept, cost=self.cost * len(kept) / len(self.points))


Event = Mapping[str, Any]  # as Executor.run yields them


def duration(seconds: float) -> str:
    """Seconds in words, for Executor.describe."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 570:
        return f"{seconds / 60:.2g} min"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


class Executor(ABC):
    """Where groups run."""

    workers: int  # groups that run at the same time
    max_members: int  # most points in a group
    # Whether the launch takes the leases of a group's points. False: its jobs, on other machines,
    # take them (study.workers.jobs).
    claims: bool = True

    def ready(self, folder: Path) -> str | None:
        """A note for the user, or None; a StudyError if nothing can be trained.

        Called before a launch is declared or anything is queued.
        """
        return None

    def describe(self, groups: Sequence[Group]) -> str | None:
        """For plan=true: where these groups would run and for how long.

        None: in `workers` processes on this machine.
        """
        return None

    @abstractmethod
    def run(self, groups: Iterable[Group], folder: Path) -> Iterator[Event]:
        """Train the groups, store their points and yield events as they occur.

        A group is claimed when it is taken from `groups`: take it late. Events are {"event": KIND,
        …} with these kinds and keys: progress (ids, update) · rows (ids, rows: {id: as
        Tracker.update receives them}) · stored (ids) · failed (group, ids, lost, reason) · given up
        (ids, reason: no longer tried) · retried (group, ids, reason, how) · note (text) · stopped
        (reason: nothing else is tried). Closing the iterator, or a
        KeyboardInterrupt inside it, writes checkpoints and ends what runs (loop.Stopped).
        """
