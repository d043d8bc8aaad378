"""What every piece must pass, ours or yours: call a check with the piece built; it raises AssertionError with what is wrong.

from study.battery import check_cell
check_cell(Leaky(a=0.1))
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from study.cells.gru import GRU
from study.cells.lstm import LSTM
from study.cells.rnn import RNN
from study.interfaces import (
    OWN,
    PARTS,
    AtLags,
    Batch,
    Block,
    ByIndex,
    ByStep,
    Cell,
    ClipRule,
    Encoder,
    InitFacts,
    Initializer,
    LagNorms,
    Optimizer,
    Parameter,
    Params,
    Probe,
    ProfileProbe,
    Readout,
    Step,
    Task,
)
from study.kernels import reference
from study.model import Model
from study.numerics.streams import generator
from study.readouts.every import Every
from study.readouts.last import Last
from study.tasks.adding import Adding
from study.tasks.copying import Copying
from study.training.trace import StageTrace

# Blocks as the model lays them out (batch · hidden a multiple of 32, weights of 16); inputs of width 1 and more.
# Members of odder sizes are trained one by one: Model.whole_blocks.
SIZES = ((1, 12, 24), (4, 16, 16), (3, 32, 32))  # inputs, hidden, batch
STEPS = 6


def _weights(cell: Cell, inputs: int, hidden: int, members: Sequence[int], dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Weights of numbered members, laid out as the model has them: the same for a number, whatever the company."""
    model = Model(cell=cell, readout=_NoReadout(), inputs=inputs, outputs=1, hidden=hidden, depth=1, dropout=0.0, kernel="reference")
    flat = torch.stack([0.5 * torch.randn(model.width, dtype=torch.float64, generator=generator(m, "weights")) for m in members]).to(dtype)
    return {name.removeprefix("layer1."): value for name, value in model.named(flat).items()}


class _NoReadout(Readout):
    every_step = False

    def shapes(self, hidden: int, outputs: int) -> tuple[Parameter, ...]:
        return ()

    def __call__(self, params: Params, h: Tensor, lengths: Tensor | None) -> Tensor:
        return h[:, -1]


def _inputs(inputs: int, batch: int, members: Sequence[int], dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.stack([torch.randn(STEPS, batch, inputs, dtype=torch.float64, generator=generator(m, "x")) for m in members]).to(dtype)


def _run(cell: Cell, params: dict[str, Tensor], x: Tensor, hidden: int) -> Tensor:
    """Outputs h [M, T, B, H]."""
    return torch.stack([state[0] for state in reference.unroll(cell, params, x, hidden, taps=False)], dim=1)


def check_cell(cell: Cell) -> None:
    """Shapes; M members equal M pairs bit for bit; no gradient between members; autograd equals central differences; `keep` keeps."""
    for inputs, hidden, batch in SIZES:
        _cell_shapes(cell, inputs, hidden, batch)
        _cell_members(cell, inputs, hidden, batch)
    _cell_differences(cell)
    _cell_keep(cell)
    _cell_gates(cell)
    for kernel in OWN:
        if cell.has(kernel):
            _cell_kernel(cell, kernel)


def _by(cell: Cell, kernel: str, params: dict[str, Tensor], x: Tensor, hidden: int) -> Tensor:
    """Outputs h [M, T, B, H] by a kernel of the cell's own or by the reference."""
    if kernel == "native":
        own = cell.native(params)
        assert own is not None, f"{type(cell).__name__}: native returned None"
        return own.outputs(x)
    h = cell.layer(params, x) if kernel == "fused" else _run(cell, params, x, hidden)
    assert h is not None, f"{type(cell).__name__}: kernel {kernel} returned None"
    return h


def _cell_kernel(cell: Cell, kernel: str) -> None:
    """A kernel of the cell's own equals the steps one by one in fp64, outputs and all gradients, those of the input included."""
    name = type(cell).__name__
    for inputs, hidden, batch in SIZES:
        x = _inputs(inputs, batch, [0, 1], torch.float64).requires_grad_()
        params = {key: value.detach().requires_grad_() for key, value in _weights(cell, inputs, hidden, [0, 1], torch.float64).items()}
        weighting = torch.randn(2, STEPS, batch, hidden, dtype=torch.float64, generator=generator(0, "weighting"))
        found = []
        for which in ("reference", kernel):
            h = _by(cell, which, params, x, hidden)
            grads = torch.autograd.grad((h * weighting).sum(), [x, *params.values()])
            found.append((h.detach(), *grads))
        for key, one, other in zip(("h", "x", *params), *found, strict=True):
            error = float((one - other).abs().max())
            where = "outputs" if key == "h" else f"the gradient of {key}"
            assert error < 1e-10, f"{name}: kernel {kernel} differs from its steps by {error:.1e} in {where}; leave out a kernel of another cell"
        if kernel == "native":
            _cell_taps(cell, inputs, hidden, batch)


def _cell_taps(cell: Cell, inputs: int, hidden: int, batch: int) -> None:
    """What a kernel of the cell's own gives probes: states and total derivatives are those of the steps one by one; the last h alone is the last of all."""
    name, found = type(cell).__name__, []
    x, params = _inputs(inputs, batch, [0, 1], torch.float64), _weights(cell, inputs, hidden, [0, 1], torch.float64)
    for kernel in ("reference", "native"):
        model = Model(cell=cell, readout=_NoReadout(), inputs=inputs, outputs=1, hidden=hidden, depth=1, dropout=0.0, kernel=kernel)
        of = model.unrolled({f"layer1.{key}": value for key, value in params.items()}, x.transpose(1, 2).requires_grad_(), None)
        (states,) = of.layers
        assert tuple(states) == cell.states
        value = torch.stack([(state[:, STEPS // 2] * torch.arange(hidden)).sum() for state in states.values()]).sum()
        (derivatives,) = of.derivatives(value)
        found.append([*states.values(), *derivatives.values()])
    names = [f"state {key}" for key in cell.states] + [f"the total derivative at {key}" for key in cell.states]
    for what, one, other in zip(names, *found, strict=True):
        assert one.shape == other.shape and (one - other).abs().max() < 1e-10, f"{name}: kernel native differs from its steps in {what}"
    own = cell.native(params)
    assert own is not None
    last = own.outputs(x, last_step_only=True)
    assert last.shape[1] == 1 and torch.equal(last, own.outputs(x)[:, -1:]), f"{name}: kernel native gives another last step where it is asked for that alone"


def _cell_shapes(cell: Cell, inputs: int, hidden: int, batch: int) -> None:
    name = type(cell).__name__
    assert cell.states[0] == "h", f"{name}: states must begin with the output h, got {cell.states}"
    states = reference.unroll(cell, _weights(cell, inputs, hidden, [0, 1]), _inputs(inputs, batch, [0, 1]), hidden, taps=True)
    assert len(states) == STEPS
    for state in states:
        assert len(state) == len(cell.states), f"{name}: step returned {len(state)} states, `states` names {len(cell.states)}"
        for part in state:
            assert part.shape == (2, batch, hidden), f"{name}: a state has shape {tuple(part.shape)}, expected {(2, batch, hidden)}"


def _cell_members(cell: Cell, inputs: int, hidden: int, batch: int) -> None:
    name = type(cell).__name__

    def outcome(members: Sequence[int], kernel: str) -> tuple[Tensor, dict[str, Tensor]]:
        params = {key: value.detach().requires_grad_() for key, value in _weights(cell, inputs, hidden, members).items()}
        x = _inputs(inputs, batch, members)
        h = _by(cell, kernel, params, x, hidden)
        grads = torch.autograd.grad(h[:, -1].square().sum(), list(params.values()), materialize_grads=True, allow_unused=True)
        return h.detach(), dict(zip(params, grads, strict=True))

    for member, kernel in itertools.product(range(3), ["reference", *(own for own in OWN if cell.has(own))]):
        pair = [member, (member + 1) % 3]
        h3, grads3 = outcome([0, 1, 2], kernel)
        h2, grads2 = outcome(pair, kernel)
        assert torch.equal(h3[member], h2[0]), f"{name}: a member's outputs depend on its company (inputs {inputs}, hidden {hidden}, batch {batch})"
        for key in grads3:
            assert torch.equal(grads3[key][member], grads2[key][0]), f"{name}: a member's gradient of {key} depends on its company"
    params = {key: value.detach().requires_grad_() for key, value in _weights(cell, inputs, hidden, [0, 1]).items()}
    h = _run(cell, params, _inputs(inputs, batch, [0, 1]), hidden)
    for key, grad in zip(params, torch.autograd.grad(h[0].sum(), list(params.values()), materialize_grads=True, allow_unused=True), strict=True):
        assert (grad[1] == 0).all(), f"{name}: member 0's output has a gradient with respect to member 1's {key}"


def _cell_differences(cell: Cell) -> None:
    """Central differences in fp64 of a loss with respect to every weight; kinks within the step are avoided by its size."""
    inputs, hidden, batch = 2, 3, 4
    x, params = _inputs(inputs, batch, [0], torch.float64), _weights(cell, inputs, hidden, [0], torch.float64)
    leaves = {key: value.clone().requires_grad_() for key, value in params.items()}
    grads = torch.autograd.grad(_run(cell, leaves, x, hidden).square().sum(), list(leaves.values()), materialize_grads=True, allow_unused=True)
    step = 1e-6
    for (key, value), grad in zip(params.items(), grads, strict=True):
        for index in range(value.numel()):
            moved = []
            for sign in (1, -1):
                shifted = value.clone()
                shifted.view(-1)[index] += sign * step
                moved.append(_run(cell, {**params, key: shifted}, x, hidden).square().sum())
            difference = float(moved[0] - moved[1]) / (2 * step)
            error = abs(difference - float(grad.reshape(-1)[index])) / max(1.0, abs(difference))
            assert error < 1e-6, f"{type(cell).__name__}: gradient of {key}[{index}] differs from central differences by {error:.1e}"


def _cell_keep(cell: Cell) -> None:
    """With all weights 0, a keep gate's bias moved the way `keep` says passes more of one of the states on than moved the other way."""
    hidden, name = 4, type(cell).__name__
    for gate, sign in cell.keep.items():
        passed = []
        for bias in (3.0 * sign, -3.0 * sign):
            params, found = {}, False
            for parameter in cell.shapes(2, hidden):
                params[parameter.name] = torch.zeros(2, *parameter.shape, dtype=torch.float64)
                if parameter.role == "bias" and gate in parameter.gates:
                    start, found = parameter.gates.index(gate) * hidden, True
                    params[parameter.name][:, start : start + hidden] = bias
            assert found, f"{name}: `keep` names gate {gate}, which has no bias"
            state = tuple(torch.full((2, 3, hidden), 0.5, dtype=torch.float64, requires_grad=True) for _ in cell.states)
            x = cell.project(params, torch.zeros(2, 1, 3, 2, dtype=torch.float64))[:, 0]
            after = cell.step(params, x, state)
            passed.append(
                [
                    torch.autograd.grad(of.sum(), own, retain_graph=True, materialize_grads=True, allow_unused=True)[0]
                    for of, own in zip(after, state, strict=True)
                ]
            )
        assert any((more > less).all() for more, less in zip(*passed, strict=True)), (
            f"{name}: the bias of gate {gate} does not keep the past in the direction `keep` states"
        )


def _cell_gates(cell: Cell) -> None:
    """What `gates` returns has names of gates, the shape of a state, and lies between 0 and 1; every keep gate is among it, if any is."""
    name, (inputs, hidden, batch) = type(cell).__name__, SIZES[1]
    params = _weights(cell, inputs, hidden, [0, 1])
    state = tuple(torch.randn(2, batch, hidden, generator=generator(0, "state", number)) for number, _ in enumerate(cell.states))
    gates = cell.gates(params, cell.project(params, _inputs(inputs, batch, [0, 1]))[:, 0], state)
    named = {gate for parameter in cell.shapes(inputs, hidden) for gate in parameter.gates}
    assert set(gates) <= named, f"{name}: gates are named {', '.join(sorted(gates))}, the parameters' gates are {', '.join(sorted(named))}"
    assert not gates or set(cell.keep) <= set(gates), f"{name}: `gates` leaves out the keep gate {', '.join(sorted(set(cell.keep) - set(gates)))}"
    for gate, value in gates.items():
        assert value.shape == (2, batch, hidden), f"{name}: gate {gate} has shape {tuple(value.shape)}, states {(2, batch, hidden)}"
        assert ((value >= 0) & (value <= 1)).all(), f"{name}: gate {gate} leaves [0, 1]"


class _Plain(Initializer):
    """Variance 1/fan_in."""

    def __call__(self, block: Block, generator: torch.Generator, facts: InitFacts) -> Tensor:
        return torch.randn(block.shape, dtype=torch.float64, generator=generator) * block.shape[-1] ** -0.5


def init_facts(**changes: Any) -> InitFacts:
    """Facts of a plain tanh cell on a task of 20 steps; `changes` replace fields by name."""
    plain: dict[str, Any] = {
        "steps": 20, "lag": 20, "input_drive": 0.3, "inputs": 2, "hidden": 32, "keep": {}, "input_rule": _Plain(),
        "activation": torch.tanh, "stream": lambda *key: generator(0, "shared", *key),
    }  # fmt: skip
    return InitFacts(**plain | changes)


def check_initializer(initializer: Initializer) -> None:
    """Shape, dtype, finiteness; a function of the generator alone; other seeds give other draws, unless it draws nothing."""
    name = type(initializer).__name__
    facts = init_facts(keep={"f": 1})
    shapes = {"recurrent": (32, 32), "input": (32, 1), "bias": (32,), "readout": (10, 32)}
    for role in initializer.roles:
        block = Block(role=role, gate="f", shape=shapes[role], layer=1)
        before = torch.random.get_rng_state()
        first, again, other = (initializer(block, generator(seed, "check"), facts) for seed in (0, 0, 1))
        assert first.shape == block.shape, f"{name}: shape {tuple(first.shape)} for a block of {block.shape}"
        assert first.isfinite().all(), f"{name}: not finite"
        assert first.dtype == torch.float64, f"{name}: values must be float64, got {first.dtype}"
        assert torch.equal(first, again), f"{name}: two draws with one seed differ"
        assert torch.equal(before, torch.random.get_rng_state()), f"{name}: drew from torch's global generator"
        drew = generator(0, "check")
        start = drew.get_state()
        initializer(block, drew, facts)
        assert torch.equal(start, drew.get_state()) or not torch.equal(first, other), f"{name}: two seeds give equal values"


def _rows(members: int, seed: int = 0, width: int = 96) -> Tensor:
    return torch.stack([torch.randn(width, generator=generator(seed, "rows", m)) * 10.0 ** (m - 1) for m in range(members)])


SLICES = {"layer1.weight_h": (slice(0, 64), (8, 8)), "layer1.bias": (slice(64, 72), (8,)), "readout.weight": (slice(72, 96), (3, 8))}


def check_clip(rule_of: object) -> None:
    """`rule_of(M)` builds the rule for M members. Members do not mix; shapes stay; finite stays finite; a zero gradient stays zero."""
    three, two = rule_of(3), rule_of(2)  # type: ignore[operator]
    params = _rows(3, seed=1)

    def clipped(rule: ClipRule, members: slice) -> list[Tensor]:
        state, out = rule.init(params[members], SLICES), []
        for update in range(4):
            grads, state = rule(_rows(3, seed=10 + update)[members], params[members], state)
            out.append(grads)
        return out

    for whole, part in zip(clipped(three, slice(0, 3)), clipped(two, slice(0, 2)), strict=True):
        assert whole.shape == (3, 96)
        assert whole.isfinite().all()
        assert torch.equal(whole[:2], part), f"{type(three).__name__}: a member's gradient depends on its company"
    zero = torch.zeros(3, 96)
    kept, _ = three(zero, params, three.init(params, SLICES))
    assert torch.equal(kept, zero), f"{type(three).__name__}: a zero gradient must stay zero"


def check_optimizer(optimizer_of: object) -> None:
    """`optimizer_of(M)` builds it for M members. Members do not mix; nothing is changed in place; a quadratic goes down."""
    three, two = optimizer_of(3), optimizer_of(2)  # type: ignore[operator]

    def path(optimizer: Optimizer, members: slice) -> Tensor:
        params = _rows(3, seed=1)[members]
        state = optimizer.init(params)
        for _ in range(20):
            before, grads = params.clone(), params.clone()
            after, state = optimizer(grads, params, state)
            assert torch.equal(params, before), f"{type(optimizer).__name__}: changed its parameters in place"
            params = after
        return params

    whole, part = path(three, slice(0, 3)), path(two, slice(0, 2))
    assert torch.equal(whole[:2], part), f"{type(three).__name__}: a member's path depends on its company"
    assert (whole.norm(dim=1) < _rows(3, seed=1).norm(dim=1)).all(), f"{type(three).__name__}: 20 updates on a quadratic did not go down"


def check_task(task: Task) -> None:
    """Facts agree with data; batches are functions of (seed, update); splits do not overlap; losses are per member."""
    task.load()
    name, facts = type(task).__name__, task.facts

    def batch(seed: int, update: int) -> Batch:
        return task.sample(lambda *key: generator(seed, "data", *key), update, 6)

    first = batch(0, 3)
    assert first.x.shape == (6, facts.steps, facts.inputs), f"{name}: x has shape {tuple(first.x.shape)}, facts say {(6, facts.steps, facts.inputs)}"
    again = batch(0, 3)
    assert torch.equal(first.x, again.x), f"{name}: a batch is not a function of (seed, update)"
    assert torch.equal(first.y, again.y), f"{name}: y of a batch is not a function of (seed, update)"
    assert not torch.equal(first.x, batch(1, 3).x), f"{name}: seeds give equal batches"
    assert not torch.equal(first.x, batch(0, 4).x), f"{name}: updates give equal batches"
    assert facts.lag is None or 0 < facts.lag <= facts.steps, f"{name}: lag {facts.lag} of {facts.steps} steps"
    parts: dict[str, Batch] = {part: task.split(part) for part in PARTS}
    assert torch.equal(parts["test"].x, task.split("test").x), f"{name}: the test split changes between calls"
    sets = {part: {of.x[i].numpy().tobytes() for i in range(len(of.x))} for part, of in parts.items()}
    for one, other in (("train", "test"), ("validation", "test"), ("train", "validation")):
        common = len(sets[one] & sets[other]) / len(sets[other])
        assert common < 0.02, f"{name}: {common:.0%} of {other} are examples of {one} too"
    _task_losses(task, first)


def _task_losses(task: Task, batch: Batch) -> None:
    name, facts = type(task).__name__, task.facts
    both = Batch(x=torch.stack([batch.x] * 2), y=torch.stack([batch.y] * 2), lengths=None if batch.lengths is None else torch.stack([batch.lengths] * 2))
    shape = (2, 6, facts.steps, facts.outputs) if facts.every_step else (2, 6, facts.outputs)
    outputs = torch.randn(shape, generator=generator(0, "outputs")).requires_grad_()
    loss = task.loss(outputs, both)
    assert loss.shape == (2,), f"{name}: loss has shape {tuple(loss.shape)}, expected one a member"
    (grad,) = torch.autograd.grad(loss[0], outputs, retain_graph=True)
    assert (grad[1] == 0).all(), f"{name}: member 0's loss has a gradient in member 1"
    assert task.metric(outputs, both).shape == (2, 6), f"{name}: metric must be [M, B]"
    last = torch.full((6,), facts.steps - 1) if batch.lengths is None else batch.lengths - 1
    anchor = last * torch.arange(6) // 5 if facts.every_step else last  # from the first step to the last
    at_end = task.step_loss(outputs, both, anchor)
    assert at_end.shape == (2, 6), f"{name}: step_loss must be [M, B]"
    if not facts.every_step:
        assert torch.allclose(at_end.mean(1), loss, rtol=1e-5), f"{name}: the loss is not the mean of the examples' own losses"
    (grad,) = torch.autograd.grad(at_end.sum(), outputs)
    assert grad.abs().sum() > 0
    if facts.every_step:
        others = torch.arange(facts.steps) != anchor[:, None]
        assert (grad[:, others] == 0).all(), f"{name}: the loss of one step depends on other steps' outputs"


# --- probes ------------------------------------------------------------------------------------------------------

PROBED: Mapping[str, Cell] = {"rnn": RNN(nonlinearity="tanh"), "lstm": LSTM(), "gru": GRU()}
KINDS = "a tensor [M], [M, layers] or [M, layers, lags], ByIndex, AtLags, ByStep, or, of a ProfileProbe, LagNorms"


@dataclass(frozen=True)
class Descent:
    """A next update for probes that ask for it: gradients are the weights, the rule halves them, the step is a tenth of what is left."""

    params: Params
    examples: Batch

    def batch(self) -> Batch:
        return self.examples

    def step(self) -> Step:
        half = {name: value / 2 for name, value in self.params.items()}
        return Step(grads=self.params, clipped=half, before=self.params, after={name: value - half[name] / 10 for name, value in self.params.items()})


def trace_of(cell: str, *, depth: int, members: Sequence[int], every_step: bool = False) -> StageTrace:
    """What a probe sees, of numbered members with drawn weights: rnn, lstm or gru of 16 units, on 8 examples of a short task."""
    task: Task = Copying(steps=24, lag=None, examples=8, solved=0.9) if every_step else Adding(steps=12, lag=None, examples=8, solved=0.1)
    facts = task.facts
    readout: Readout = Every() if every_step else Last()
    model = Model(cell=PROBED[cell], readout=readout, inputs=facts.inputs, outputs=facts.outputs, hidden=16, depth=depth, dropout=0.0, kernel="native")
    flat = torch.stack([0.5 * torch.randn(model.width, dtype=torch.float64, generator=generator(m, "weights")) for m in members])
    part = task.split("validation")
    y = part.y.double() if part.y.is_floating_point() else part.y
    batch = Batch(x=torch.stack([part.x.double()] * len(members)), y=torch.stack([y] * len(members)))
    params = model.named(flat)
    return StageTrace(params=params, batch=batch, task=task, model=model, stage=0, update=0, seeds=list(members), next_update=Descent(params, batch))


def check_probe(probe: Probe) -> None:
    """Stages are shares; what is returned can be stored, is the same twice, a member's own whatever its company; nothing is changed by looking.

    Tried on plain and gated cells, one layer and two, losses of the last step and of every step.
    """
    name = type(probe).__name__
    assert hasattr(probe, "stages"), f"{name}: must keep `stages`, shares of the updates"
    assert all(isinstance(stage, int | float) and 0 <= stage <= 1 for stage in probe.stages), f"{name}: stages must lie between 0 and 1"
    found = False
    for cell, (depth, every_step) in itertools.product(PROBED, ((1, False), (2, True))):
        of = trace_of(cell, depth=depth, members=[0, 1, 2], every_step=every_step)
        before = {key: value.clone() for key, value in of.params.items()}
        states = [state.detach() for layer in of.network().layers for state in layer.values()]
        as_they_were = [state.clone() for state in states]
        three = _probed(probe, of)
        assert all(torch.equal(of.params[key], value) for key, value in before.items()), f"{name}: changed the weights it looks at"
        same = all(torch.equal(*pair) for pair in zip(states, as_they_were, strict=True))
        assert same, f"{name}: changed the states it looks at; the way back and other probes read them: clone() before you write"
        found |= bool(three)
        again = _probed(probe, trace_of(cell, depth=depth, members=[0, 1, 2], every_step=every_step))
        assert three.keys() == again.keys() and all(torch.equal(three[key].nan_to_num(), again[key].nan_to_num()) for key in three), (
            f"{name}: looking twice gives other numbers; draw from trace.generator(purpose) only"
        )
        two = _probed(probe, trace_of(cell, depth=depth, members=[1, 2], every_step=every_step))
        for key, value in three.items():
            same = key in two and torch.allclose(value[1:], two[key], rtol=1e-8, atol=1e-300, equal_nan=True)
            assert same, f"{name}: a member's {key} depends on its company ({cell}, depth {depth})"
    assert found, f"{name}: returned nothing for {', '.join(PROBED)}"


def _probed(probe: Probe, of: StageTrace) -> dict[str, Tensor]:
    """{quantity: values [M, …]} of what a probe returned, after checking that it can be stored."""
    name, returned = type(probe).__name__, probe(of)
    assert isinstance(returned, Mapping), f"{name}: must return {{quantity: values}}, got {type(returned).__name__}"
    values = {}
    for quantity, value in returned.items():
        fits = isinstance(value, LagNorms) if isinstance(probe, ProfileProbe) else isinstance(value, Tensor | ByIndex | AtLags | ByStep)
        assert fits, f"{name}: {quantity} must be {KINDS}, got {type(value).__name__}"
        tensor = value.norms if isinstance(value, LagNorms) else value if isinstance(value, Tensor) else value.values
        sizes = (3,) if isinstance(value, LagNorms | ByIndex) else (3, 4) if isinstance(value, AtLags | ByStep) else (1, 2, 3)
        assert tensor.ndim in sizes and len(tensor) == len(of.seeds), f"{name}: {quantity} must be {KINDS} with M = {len(of.seeds)}, got {tuple(tensor.shape)}"
        values[str(quantity)] = tensor.detach()
    return values


# --- encoders ----------------------------------------------------------------------------------------------------

MOST_INPUTS = 4096  # a step, of what an encoder is tried on


def takes(encoder: Encoder, inputs: int) -> bool:
    """Whether an encoder takes this many inputs a step."""
    try:
        return encoder.outputs(inputs) >= 1
    except ValueError:
        return False


def check_encoder(encoder: Encoder) -> None:
    """Roles, shapes; members do not mix, bit for bit; a step is read by itself, example by example; every parameter counts; gradients are right."""
    name = type(encoder).__name__
    widths = list(itertools.islice((inputs for inputs in range(1, MOST_INPUTS + 1) if takes(encoder, inputs)), 2))
    assert widths, f"{name}: outputs refuses every number of inputs from 1 to {MOST_INPUTS}"
    for inputs in widths:
        roles = {parameter.role for parameter in encoder.shapes(inputs)}
        assert roles <= {"input", "bias"}, f"{name}: roles must be input or bias, got {', '.join(sorted(roles))}"
        three = _encoder_run(encoder, inputs, [0, 1, 2])
        for member in range(3):
            two = _encoder_run(encoder, inputs, [member, (member + 1) % 3])
            for key in three:
                what = "outputs depend" if key == "outputs" else f"gradient of {key} depends"
                assert torch.equal(three[key][member], two[key][0]), f"{name}: a member's {what} on its company"
        for parameter in encoder.shapes(inputs):
            assert (three[parameter.name] != 0).any(), f"{name}: {parameter.name} does not reach the outputs"
        _encoder_steps(encoder, inputs)
    leaves, x = _encoder_given(encoder, widths[-1], [0, 1], torch.float64, batch=2)
    names = list(leaves)
    right = torch.autograd.gradcheck(
        lambda x, *values: encoder(dict(zip(names, values, strict=True)), x), (x, *leaves.values()), raise_exception=False, fast_mode=True
    )
    assert right, f"{name}: its gradients are not those of its outputs (central differences in fp64)"


def _encoder_given(encoder: Encoder, inputs: int, members: Sequence[int], dtype: torch.dtype, batch: int) -> tuple[dict[str, Tensor], Tensor]:
    def drawn(shape: tuple[int, ...], purpose: str) -> Tensor:
        return torch.stack([torch.randn(shape, dtype=torch.float64, generator=generator(m, purpose)) for m in members]).to(dtype).requires_grad_()

    return {p.name: drawn(p.shape, p.name) for p in encoder.shapes(inputs)}, drawn((STEPS, batch, inputs), "x")


def _encoder_run(encoder: Encoder, inputs: int, members: Sequence[int]) -> dict[str, Tensor]:
    """Outputs, and the gradients of their squares by parameter and by input ("x")."""
    leaves, x = _encoder_given(encoder, inputs, members, torch.float32, batch=32)
    found, name = encoder(leaves, x), type(encoder).__name__
    wanted = (*x.shape[:3], encoder.outputs(inputs))
    assert found.shape == wanted, f"{name}: outputs have shape {tuple(found.shape)}, expected {wanted}"
    (first,) = torch.autograd.grad(found[0].sum(), [x], materialize_grads=True, allow_unused=True, retain_graph=True)
    assert (first[1:] == 0).all(), f"{name}: member 0's outputs have a gradient with respect to member 1's inputs"
    grads = torch.autograd.grad(found.square().sum(), [x, *leaves.values()], materialize_grads=True, allow_unused=True)
    return {"outputs": found.detach(), "x": grads[0], **dict(zip(leaves, grads[1:], strict=True))}


def _encoder_steps(encoder: Encoder, inputs: int) -> None:
    leaves, x = _encoder_given(encoder, inputs, [0, 1], torch.float32, batch=32)
    (grad,) = torch.autograd.grad(encoder(leaves, x)[:, 2, 3].square().sum(), [x], materialize_grads=True, allow_unused=True)
    elsewhere = grad.clone()
    elsewhere[:, 2, 3] = 0
    assert (elsewhere == 0).all(), f"{type(encoder).__name__}: what it gives for a step of an example depends on other steps or examples"


# --- readouts ----------------------------------------------------------------------------------------------------


def check_readout(readout: Readout) -> None:
    """Roles, shapes; members do not mix, bit for bit; every parameter counts; an example is read from its own steps alone; attention sums to 1.

    One that says it reads the last step only does so.
    """
    name = type(readout).__name__
    for hidden, batch, outputs in ((8, 4, 3), (32, 3, 1)):
        roles = {p.role for p in readout.shapes(hidden, outputs)}
        assert roles <= {"readout", "bias"}, f"{name}: roles must be readout or bias, got {', '.join(sorted(roles))}"
        lengths = torch.tensor([STEPS, 2, 3, 1])[:batch]
        for of in (None, lengths):
            _readout_members(readout, hidden, batch, outputs, of)
        if not readout.every_step:
            _readout_lengths(readout, hidden, outputs, lengths)
        if readout.last_step_only:
            _readout_last_step(readout, hidden, outputs)


def _readout_last_step(readout: Readout, hidden: int, outputs: int) -> None:
    """One that says it reads the final step alone gives the same for it as for all steps, and no other state has a gradient."""
    name, h = type(readout).__name__, torch.randn(2, STEPS, 3, hidden, generator=generator(0, "h")).requires_grad_()
    params = {p.name: torch.randn(2, *p.shape, generator=generator(0, p.name)) for p in readout.shapes(hidden, outputs)}
    found = readout(params, h, None)
    (grad,) = torch.autograd.grad(found.square().sum(), [h])
    assert torch.equal(found, readout(params, h[:, -1:], None)) and not grad[:, :-1].any(), (
        f"{name}: last_step_only is true, but it reads other steps than the last"
    )


def _readout_run(readout: Readout, hidden: int, batch: int, outputs: int, lengths: Tensor | None, members: Sequence[int]) -> dict[str, Tensor]:
    """Outputs, and the gradients of their squares by parameter and by state ("h")."""
    leaves = {
        p.name: torch.stack([torch.randn(p.shape, generator=generator(m, p.name)) for m in members]).requires_grad_() for p in readout.shapes(hidden, outputs)
    }
    h = torch.stack([torch.randn(STEPS, batch, hidden, generator=generator(m, "h")) for m in members]).requires_grad_()
    found = readout(leaves, h, None if lengths is None else torch.stack([lengths] * len(members)))
    wanted = (len(members), batch, STEPS, outputs) if readout.every_step else (len(members), batch, outputs)
    assert found.shape == wanted, f"{type(readout).__name__}: outputs have shape {tuple(found.shape)}, expected {wanted}"
    grads = torch.autograd.grad(found.square().sum(), [h, *leaves.values()], materialize_grads=True, allow_unused=True, retain_graph=True)
    (first,) = torch.autograd.grad(found[0].sum(), [h], materialize_grads=True, allow_unused=True)
    return {"outputs": found.detach(), "states": grads[0], **dict(zip(leaves, grads[1:], strict=True)), "of the first": first}


def _readout_members(readout: Readout, hidden: int, batch: int, outputs: int, lengths: Tensor | None) -> None:
    name = type(readout).__name__
    three = _readout_run(readout, hidden, batch, outputs, lengths, [0, 1, 2])
    for member in range(3):
        two = _readout_run(readout, hidden, batch, outputs, lengths, [member, (member + 1) % 3])
        for key in three.keys() - {"of the first"}:
            what = "outputs depend" if key == "outputs" else f"gradient of {key} depends"
            assert torch.equal(three[key][member], two[key][0]), f"{name}: a member's {what} on its company"
    assert (three["of the first"][1:] == 0).all(), f"{name}: member 0's outputs have a gradient with respect to member 1's states"
    for parameter in readout.shapes(hidden, outputs):
        assert (three[parameter.name] != 0).any(), f"{name}: {parameter.name} does not reach the outputs"


def _readout_lengths(readout: Readout, hidden: int, outputs: int, lengths: Tensor) -> None:
    """An example in a padded batch gives what it gives alone, and no padded step has a gradient."""
    name, both = type(readout).__name__, torch.stack([lengths] * 2)
    params = {p.name: torch.randn(2, *p.shape, generator=generator(0, p.name)) for p in readout.shapes(hidden, outputs)}
    h = torch.randn(2, STEPS, len(lengths), hidden, generator=generator(0, "h")).requires_grad_()
    padded = readout(params, h, both)
    (grad,) = torch.autograd.grad(padded.sum(), h)
    told = "must be read from these alone, not from the padding"
    weights = readout.attention(params, h, both)
    assert weights is None or weights.shape == h.shape[:3], f"{name}: attention must be [M, T, B]"
    for example, steps in enumerate(lengths.tolist()):
        alone = readout(params, h[:, :steps, example : example + 1], None)
        assert torch.allclose(padded[:, example], alone[:, 0], rtol=1e-4, atol=1e-6), f"{name}: an example of {steps} steps {told}"
        assert (grad[:, steps:, example] == 0).all(), f"{name}: an example of {steps} steps {told}"
        if weights is not None:
            assert (weights[:, steps:, example] == 0).all(), f"{name}: attention to the padding of an example of {steps} steps"
            assert torch.allclose(weights[:, :, example].sum(1), torch.ones(2)), f"{name}: attention must sum to 1 over an example's own steps"
