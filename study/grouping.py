"""From configurations to groups: what one point's configuration means, what may be trained together, what it may cost."""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, get_args

import torch
from torch import Tensor

from study.interfaces import OWN, Batch, Block, Cell, Group, InitFacts, Measurable, Parameter, Point, Readout, Role, Task, TaskFacts
from study.model import Model
from study.pieces import build, build_for_members, structure, told
from study.processes import memory
from study.records import StudyError
from study.streams import generator

SIZES = ("depth", "hidden", "batch", "updates", "validate_every")
DTYPES = {"float32": torch.float32, "float64": torch.float64}
KERNELS = ("auto", *OWN, "reference")


def load_task(node: Mapping[str, Any]) -> Task:
    """The task of a configuration node with its data loaded, once a process: it is never changed afterwards."""
    return _load_task(json.dumps(node, sort_keys=True))


@functools.lru_cache(maxsize=8)
def _load_task(text: str) -> Task:
    task: Task = build(json.loads(text), "task")
    name = type(task).__name__
    with told("task", f"{name} cannot load its data"):
        try:
            task.load()
        except (ValueError, OSError) as error:
            raise StudyError(f"task: {error}") from error
    with told("task", f"{name} cannot state its facts"):
        facts = task.facts
    if not isinstance(facts, TaskFacts):
        raise StudyError(f"task: {name}.facts must be TaskFacts, got {type(facts).__name__}")
    if facts.lag is not None and facts.lag > facts.steps:
        raise StudyError(f"task: lag must be at most the sequence's {facts.steps} steps, got {facts.lag}")
    with told("task", f"{name} fails on its first examples"):
        _check_examples(task, facts)
        _check_losses(task, facts)
    return task


def _check_examples(task: Task, facts: TaskFacts) -> None:
    """Every split holds finite examples of the stated shape."""
    name = type(task).__name__
    for key in ("baseline", "baseline_loss", "solved"):
        if not math.isfinite(getattr(facts, key)):
            raise StudyError(f"task: {key} of {name} must be a finite number, got {getattr(facts, key)}")
    batches = {f"the {part} split": task.split(part) for part in ("train", "validation", "test")}
    batches["a training batch"] = task.sample(lambda *key: generator(0, "check", *key), 0, 2)
    for where, batch in batches.items():
        steps = facts.steps if where == "a training batch" else "T"
        if batch.x.ndim != 3 or batch.x.shape[2] != facts.inputs or len(batch.x) == 0 or steps not in ("T", batch.x.shape[1]):
            raise StudyError(f"task: {name}: x of {where} must be [B, T, D] with B > 0, T = {facts.steps} and D = {facts.inputs}, got {tuple(batch.x.shape)}")
        if not batch.x.isfinite().all():
            raise StudyError(f"task: {name}: x of {where} holds values that are not finite")
        lengths = batch.lengths
        if lengths is not None and (lengths.shape != batch.x.shape[:1] or int(lengths.min()) < 1 or int(lengths.max()) > batch.x.shape[1]):
            came = f"{tuple(lengths.shape)} from {int(lengths.min())} to {int(lengths.max())}"
            raise StudyError(f"task: {name}: lengths of {where} must be [B] = {(len(batch.x),)}, from 1 to T = {batch.x.shape[1]}, got {came}")


def _check_losses(task: Task, facts: TaskFacts) -> None:
    """Loss, loss by example and metric have the shapes that training and probes need."""
    few = task.split("validation")
    count = min(4, len(few.x))
    batch = Batch(*(None if of is None else torch.stack([of[:count]] * 2) for of in (few.x, few.y, few.lengths)))  # type: ignore[arg-type]
    outputs = torch.zeros((2, count, few.x.shape[1], facts.outputs) if facts.every_step else (2, count, facts.outputs))
    last = torch.full((count,), few.x.shape[1] - 1) if few.lengths is None else few.lengths[:count] - 1
    found = {"loss": (task.loss(outputs, batch), "[M]"), "metric": (task.metric(outputs, batch), "[M, B]")}
    found["step_loss"] = (task.step_loss(outputs, batch, last), "[M, B]")
    for name, (value, axes) in found.items():
        expected = (2,) if axes == "[M]" else (2, count)
        if not isinstance(value, Tensor) or value.shape != expected:
            came = tuple(value.shape) if isinstance(value, Tensor) else type(value).__name__
            raise StudyError(f"task: {name} of {type(task).__name__} must be {axes} = {expected}, got {came}")


def data_hash(config: Mapping[str, Any]) -> str:
    return load_task(config["task"]).data_hash()


def resolve_kernel(config: Mapping[str, Any]) -> str:
    """The kernel that computes this point: by name, or for `auto` the fastest that its cell has for the device (make bench)."""
    asked, cell = config["kernel"], build(config["cell"], "cell")
    if asked not in KERNELS:
        raise StudyError(f"kernel: must be {' or '.join(KERNELS)}, got {asked!r}")
    if is_stream(load_task(config["task"]), config["batch"]):
        if asked in OWN:
            raise StudyError(f"kernel: {asked} begins at zero states, and this task carries states from update to update; use kernel=auto or kernel=reference")
        return "reference"
    has = [kernel for kernel in OWN if cell.has(kernel) and (kernel != "native" or resolve_device(config) == "cpu")]
    if asked in OWN and asked not in has:
        why = "it computes on the CPU only" if cell.has(asked) else f"this cell has no `{'layer' if asked == 'fused' else asked}`"
        raise StudyError(f"kernel: {asked} was asked for, but {why}; use kernel=auto or kernel={' or kernel='.join([*has, 'reference'])}")
    return asked if asked in ("reference", *has) else (*has, "reference")[0]


def is_stream(task: Task, batch: int) -> bool:
    """Whether states are carried from update to update."""
    return task.carries(1, batch)


def resolve_device(config: Mapping[str, Any]) -> str:
    """cpu or cuda; auto takes CUDA where there is one: in this machine, or among what the executor's jobs ask for."""
    device, asked = config["device"], (config.get("executor") or {}).get("gpus")
    if device not in ("auto", "cpu", "cuda"):
        raise StudyError(f"device: must be auto, cpu or cuda, got {device!r}")
    if asked is not None:  # what this machine has says nothing
        if device == "cuda" and not asked:
            raise StudyError("device: cuda was asked for, but executor.gpus is 0; use executor.gpus=1 or device=cpu")
        return "cuda" if asked and device != "cpu" else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise StudyError("device: cuda was asked for, but torch sees no CUDA device here; use device=cpu or device=auto")
    return ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device


def build_model(config: Mapping[str, Any]) -> Model:
    """The structure of a point: cell, depth, readout, sizes."""
    facts = load_task(config["task"]).facts
    cell: Cell = build(config["cell"], "cell")
    readout: Readout = build(config["readout"], "readout")
    if readout.every_step != facts.every_step:
        wants, fits = ("every step", "every") if facts.every_step else ("the last step", "last, mean or attention (one output a sequence)")
        raise StudyError(f"readout: the task's loss is on {wants}, this readout's output is not; use readout={fits}")
    return Model(
        cell=cell,
        readout=readout,
        inputs=facts.inputs,
        outputs=facts.outputs,
        hidden=config["hidden"],
        depth=config["depth"],
        dropout=config["dropout"],
        kernel=resolve_kernel(config),
    )


def init_facts(config: Mapping[str, Any], task: Task, model: Model, seed: int) -> InitFacts:
    """What initializers may know of the task: measured on its fixed training examples."""
    facts = task.facts
    return InitFacts(
        steps=facts.steps,
        lag=facts.lag,
        input_drive=input_drive(task.split("train")),
        inputs=facts.inputs,
        hidden=model.hidden,
        keep=model.cell.keep,
        input_rule=build(config["weights"]["input"], "weights.input"),
        activation=model.cell.activation,
        stream=lambda *key: generator(seed, "init, shared", *key),
    )


def input_drive(examples: Batch) -> float:
    """Mean square of one input value over the valid steps of all examples."""
    squares = examples.x.double().square().mean(-1)
    if examples.lengths is None:
        return float(squares.mean())
    valid = torch.arange(squares.shape[1]) < examples.lengths[:, None]
    return float(squares[valid].mean())


def check(config: Mapping[str, Any]) -> None:
    """Everything that can be wrong with one point, before anything is trained. Raises StudyError."""
    for key in SIZES:
        _check_whole(config, key, least=1)
    _check_whole(config, "seed", least=0)
    if not 0 <= config["dropout"] < 1:
        raise StudyError(f"dropout: must be at least 0 and below 1, got {config['dropout']!r}")
    if config["dtype"] not in DTYPES:
        raise StudyError(f"dtype: must be {' or '.join(DTYPES)}, got {config['dtype']!r}")
    resolve_kernel(config)
    resolve_device(config)
    _check_health(config["health"])
    _check_parameters(config, load_task(config["task"]).facts)
    model = build_model(config)
    for key in ("initializer", "clip", "optimizer"):
        build(config[key], key)
    for role, node in (("input", config["weights"]["input"]), ("readout", config["weights"]["readout"])):
        build(node, f"weights.{role}")
    _check_initializer(config, model)
    _check_batch(load_task(config["task"]), config["batch"])
    _check_memory(config, model)
    _check_forward(model, load_task(config["task"]).facts)
    _check_members(model, load_task(config["task"]).facts)
    for name, node in config["probe"].items():
        probe = build(node, f"probe.{name}")
        if not hasattr(probe, "stages"):
            raise StudyError(f"probe.{name}: {type(probe).__name__} must keep `stages`, shares of the updates, from its YAML")
        if not all(isinstance(stage, int | float) and 0 <= stage <= 1 for stage in probe.stages):
            raise StudyError(f"probe.{name}: stages must be shares of the updates between 0 and 1, got {list(probe.stages)!r}")
        with told(f"probe.{name}", f"{type(probe).__name__}.check fails"):
            try:
                probe.check(measurable(config, model))
            except ValueError as error:
                raise StudyError(f"probe.{name}: {error}") from error


def measurable(config: Mapping[str, Any], model: Model) -> Measurable:
    """What probes are told before training."""
    task = load_task(config["task"])
    examples = min(config["health"]["examples"], len(task.split("validation").x))
    return Measurable(cell=model.cell, facts=task.facts, hidden=config["hidden"], depth=config["depth"], batch=config["batch"], examples=examples)


def _check_parameters(config: Mapping[str, Any], facts: TaskFacts) -> None:
    """Cell and readout name their tensors in the contract's terms: a role nobody knows would silently start at zero."""
    hidden = config["hidden"]
    cell, readout = build(config["cell"], "cell"), build(config["readout"], "readout")
    for key, piece, sizes, roles in (
        ("cell", cell, (facts.inputs, hidden), ("recurrent", "input", "bias")),
        ("readout", readout, (hidden, facts.outputs), ("readout", "bias")),
    ):
        name = type(piece).__name__
        with told(key, f"{name}.shapes fails"):
            parameters = list(piece.shapes(*sizes))
        for parameter in parameters:
            if not isinstance(parameter, Parameter):
                raise StudyError(f"{key}: {name}.shapes must return Parameters (study/interfaces.py), got {parameter!r}")
            if parameter.role not in roles:
                raise StudyError(f"{key}: role of {name}'s {parameter.name} must be {' or '.join(roles)}, got {parameter.role!r}")
            if key == "cell" and tuple(parameter.block) not in ((hidden, facts.inputs), (hidden, hidden), (hidden,)):
                allowed = f"(hidden, inputs) = {(hidden, facts.inputs)}, (hidden, hidden) = {(hidden, hidden)} or (hidden,) = {(hidden,)}"
                raise StudyError(f"cell: block of {name}'s {parameter.name} must be {allowed}, got {tuple(parameter.block)}")
        names = [parameter.name for parameter in parameters]
        if len(set(names)) < len(names):
            raise StudyError(f"{key}: {name}.shapes must give every tensor a name of its own, got {', '.join(names)}")


def check_flat(node: Mapping[str, Any], key: str) -> None:
    """Clip rule or optimizer on one update of two members, as training builds and calls it."""
    rows = torch.linspace(-1, 1, 64).reshape(2, 32)
    slices = {"layer1.weight_h": (slice(0, 16), (4, 4)), "layer1.bias": (slice(16, 20), (4,)), "readout.weight": (slice(20, 32), (3, 4))}
    name = str(node["_target_"]).rpartition(".")[2]
    with told(key, f"{name} fails on one update of two members"):
        piece = build_for_members([node, node], key, torch.device("cpu"), torch.float32)
        returned = piece(rows.flip(1), rows, piece.init(rows, slices) if key == "clip" else piece.init(rows))
    ok = isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[0], Tensor)
    if not ok or returned[0].shape != rows.shape:
        came = tuple(returned[0].shape) if ok else type(returned).__name__
        raise StudyError(f"{key}: {name} must return ([M, P], next state), here with [M, P] = {tuple(rows.shape)}, got {came}")


def _check_whole(config: Mapping[str, Any], key: str, *, least: int) -> None:
    value = config[key]
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise StudyError(f"{key}: must be a whole number of at least {least}, got {value!r}")


@functools.lru_cache(maxsize=64)
def _check_batch(task: Task, batch: int) -> None:
    """A task says what is wrong with a batch of this size, such as fewer examples than it takes."""
    name = type(task).__name__
    with told("task", f"{name} fails on a batch of {batch}"):
        drawn = task.sample(lambda *key: generator(0, "check", *key), 0, batch)
    if drawn.lengths is not None and is_stream(task, batch):
        raise StudyError(f"task: {name} carries states from update to update, and gives lengths: pieces of a stream must be of one length")


KEPT = 12  # values that training keeps a unit and step for the way back; gated cells have about as many, plain ones fewer


def _check_memory(config: Mapping[str, Any], model: Model) -> None:
    """Sequences so long that one point's batch cannot fit are told before anything is trained."""
    facts, batch = load_task(config["task"]).facts, model.padded_batch(config["batch"])
    values = (
        2.0 * facts.steps * batch * (facts.inputs + facts.outputs * facts.every_step + KEPT * config["hidden"] * config["depth"])
    )  # a lone point has a shadow
    need, there = values * DTYPES[config["dtype"]].itemsize, memory()
    if need > there:
        raise StudyError(
            f"task: sequences of {facts.steps} steps need about {need / 1e9:.0f} GB with batch={config['batch']}, hidden={config['hidden']} and "
            f"depth={config['depth']}, and this machine has {there / 1e9:.0f} GB; use shorter sequences, a smaller batch or fewer units"
        )


def _check_health(health: Mapping[str, Any]) -> None:
    if not health["vanishing"] < health["fading"] < 0 < health["exploding"]:
        came = ", ".join(f"{key} {health[key]}" for key in ("vanishing", "fading", "exploding"))
        raise StudyError(f"health: thresholds must satisfy vanishing < fading < 0 < exploding, got {came}")
    for key, least in (("examples", 2), ("bootstrap", 1)):
        _check_whole({f"health.{key}": health[key]}, f"health.{key}", least=least)


def _check_initializer(config: Mapping[str, Any], model: Model) -> None:
    """Draw one block of each role the initializer speaks for: a wrong shape is told now, not after hours."""
    initializer = build(config["initializer"], "initializer")
    name, allowed = type(initializer).__name__, [role for role in get_args(Role) if role != "readout"]
    if isinstance(initializer.roles, str) or not set(initializer.roles) <= set(allowed):
        came = initializer.roles
        raise StudyError(f"initializer: roles of {name} must be a tuple of {', '.join(allowed)} (weights.readout rules the readout), got {came!r}")
    if "recurrent" not in initializer.roles and any(parameter.role == "recurrent" for _, parameter in model.parameters.values()):
        raise StudyError(
            f"initializer: roles of {name} must contain recurrent, which no standing rule fills: it would start at zero; got {initializer.roles!r}"
        )
    facts = init_facts(config, load_task(config["task"]), model, seed=0)
    for tensor, (layer, parameter) in model.parameters.items():
        if layer == 1 and parameter.role in initializer.roles:
            block = Block(role=parameter.role, gate=parameter.gates[0], shape=parameter.block, layer=1)
            with told("initializer", f"{name} cannot fill {tensor} of shape {block.shape}"):
                value = initializer(block, generator(0, "check"), facts)
            if not isinstance(value, Tensor) or tuple(value.shape) != block.shape:
                came = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
                raise StudyError(f"initializer: {name} returned {came} for {tensor}, which needs a tensor of {block.shape}")
            if not value.isfinite().all():
                raise StudyError(f"initializer: {name} returned values that are not finite for {tensor}")


def _check_forward(model: Model, facts: TaskFacts) -> None:
    """Two steps of two members: a cell or readout of wrong shapes is told now."""
    params = model.named(torch.zeros(2, model.width))
    x = torch.zeros(2, 2, 2, facts.inputs)
    name = type(model.cell).__name__
    with told("cell", f"{name} fails on two steps of zeros"), torch.no_grad():
        _check_step(model, params, x)
        outputs = model.unrolled(params, x, None, connected=True)
        model.forward(params, x, None)
    for layer in outputs.states:
        for state, steps in layer.items():
            if len(steps) != 2 or steps[0].shape != (2, 2, model.hidden):
                raise StudyError(f"cell: {name} gives state {state} of shape {tuple(steps[0].shape)}; it must be [M, B, hidden] = {(2, 2, model.hidden)}")
    expected = (2, 2, 2, facts.outputs) if facts.every_step else (2, 2, facts.outputs)
    if outputs.outputs.shape != expected:
        raise StudyError(f"readout: gives outputs of shape {tuple(outputs.outputs.shape)} for [M, B, …] = {expected}")


def _check_members(model: Model, facts: TaskFacts) -> None:
    """A member's outputs must not change when another member's weights and examples do: points would depend on their company, silently."""
    rng = generator(0, "check, members")
    first, second, third = torch.randn(3, model.width, generator=rng)
    x = torch.randn(3, 2, 2, facts.inputs, generator=rng)
    with torch.no_grad():
        one, other = (
            [model.forward(params, pair, None)[0], model.unrolled(params, pair, None, connected=True).outputs[0]]
            for params, pair in ((model.named(torch.stack([first, second])), x[:2]), (model.named(torch.stack([first, third])), x[::2]))
        )
    if not all(torch.allclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True) for a, b in zip(one, other, strict=True)):
        names = f"{type(model.cell).__name__} or {type(model.readout).__name__}"
        raise StudyError(f"cell or readout: {names} mixes members: outputs of one change with the weights of another. The first axis of every tensor is M")


def _check_step(model: Model, params: Mapping[str, Tensor], x: Tensor) -> None:
    """The first step of the first layer returns one [M, B, H] a state."""
    cell, name, expected = model.cell, type(model.cell).__name__, (2, 2, model.hidden)
    own = {key.removeprefix("layer1."): value for key, value in params.items() if key.startswith("layer1.")}
    returned = cell.step(own, cell.project(own, x)[:, 0], tuple(torch.zeros(expected) for _ in cell.states))
    if not isinstance(returned, tuple):
        raise StudyError(f"cell: step of {name} must return a tuple, one [M, B, hidden] for each of {cell.states}, got {type(returned).__name__}")
    came = [tuple(state.shape) for state in returned]
    if came != [expected] * len(cell.states):
        raise StudyError(f"cell: step of {name} must return [M, B, hidden] = {expected} for each of {cell.states}, got {', '.join(map(str, came))}")


def group_key(config: Mapping[str, Any]) -> str:
    """Equal for points that can be trained together."""
    shared = ("task", "depth", "hidden", "batch", "updates", "validate_every", "dropout", "dtype", "kernel", "readout", "health", "probe", "store")
    key = {name: config[name] for name in shared}
    key |= {"cell": structure(config["cell"], "cell"), "optimizer": structure(config["optimizer"], "optimizer")}
    return json.dumps(key, sort_keys=True)


def cost(config: Mapping[str, Any]) -> float:
    """Seconds of one core that a point may need: multiply-adds and element-wise work of the recurrence, measured once.

    Only used to plan: to balance workers and to tell about how long a study takes.
    """
    facts, model = load_task(config["task"]).facts, build_model(config)
    values = 0.0  # nanoseconds an example and step, forward and backward
    for number in range(1, config["depth"] + 1):
        own = [parameter for layer, parameter in model.parameters.values() if layer == number]
        recurrent = sum(parameter.shape[0] for parameter in own if parameter.role == "recurrent" and len(parameter.block) == 2)
        rows = recurrent or max((parameter.shape[0] for parameter in own), default=config["hidden"])  # diagonal cells have no product a step
        values += rows * 11.0 + recurrent * 0.06 * config["hidden"]
    validations = config["updates"] / config["validate_every"] + 3
    examples = config["updates"] * config["batch"] + 0.4 * validations * len(load_task(config["task"]).split("validation").x)
    return facts.steps * examples * values * 1e-9 * 1.1


def duration(seconds: float) -> str:
    """Seconds in words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def groups(points: Sequence[Point], workers: int, max_members: int, begun: Mapping[str, int]) -> list[Group]:
    """Groups of equal structure, longest first, cut so that `workers` finish at about the same time.

    `begun`: id -> updates that a checkpoint has of a point; those of one group have made the same. A point's numbers do not
    depend on the cut.
    """
    if max_members < 1:
        raise StudyError(f"executor: max_members must be at least 1, got {max_members}")
    by_key: dict[tuple[str, int], list[Point]] = {}
    for point in points:
        by_key.setdefault((group_key(point.config), begun.get(point.id, 0)), []).append(point)
    costs = {(key, done): cost(of[0].config) * max(1 - done / of[0].config["updates"], 0.01) for (key, done), of in by_key.items()}
    total = sum(costs[key] * len(of) for key, of in by_key.items())
    share = total / (2 * workers)  # large groups are faster, several rounds a worker even out what the estimate gets wrong
    made = []
    for number, (key, of) in enumerate(by_key.items(), start=1):
        parts = max(math.ceil(len(of) / max_members), min(math.ceil(costs[key] * len(of) / share), math.ceil(len(of) / 4)))
        bounds = [round(part * len(of) / parts) for part in range(parts + 1)]
        for part, (start, end) in enumerate(itertools.pairwise(bounds), start=1):
            made.append(Group(name=f"{number}.{part}", points=tuple(of[start:end]), cost=costs[key] * (end - start)))
    return sorted(made, key=lambda group: -group.cost)
