"""From configurations to groups: what one point's configuration means, what may be trained together, what it may cost."""

from __future__ import annotations

import functools
import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from study.interfaces import PARTS, Batch, Cell, Encoder, Group, InitFacts, Point, Readout, Task, TaskFacts
from study.kernels import table, triton
from study.model import Model
from study.pieces import build, structure, told
from study.processes import memory
from study.records import StudyError
from study.streams import generator

DTYPES = {"float32": torch.float32, "float64": torch.float64}
KERNELS = ("auto", "native", "triton", "fused", "reference")  # own ones of a cell between the ends, the fastest first
PRECISIONS = ("full", "tf32", "bf16")  # of the products of an update


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
    for where, batch in _batches(task):
        steps = facts.steps if where == "a training batch" else "T"
        if batch.x.ndim != 3 or batch.x.shape[2] != facts.inputs or len(batch.x) == 0 or steps not in ("T", batch.x.shape[1]):
            raise StudyError(f"task: {name}: x of {where} must be [B, T, D] with B > 0, T = {facts.steps} and D = {facts.inputs}, got {tuple(batch.x.shape)}")
        if not batch.x.isfinite().all():
            raise StudyError(f"task: {name}: x of {where} holds values that are not finite")
        lengths = batch.lengths
        if lengths is not None and (lengths.shape != batch.x.shape[:1] or int(lengths.min()) < 1 or int(lengths.max()) > batch.x.shape[1]):
            came = f"{tuple(lengths.shape)} from {int(lengths.min())} to {int(lengths.max())}"
            raise StudyError(f"task: {name}: lengths of {where} must be [B] = {(len(batch.x),)}, from 1 to T = {batch.x.shape[1]}, got {came}")


def _batches(task: Task) -> Iterator[tuple[str, Batch]]:
    """The splits one by one, then a training batch: what is drawn from a split that has no examples would be told as a batch too large."""
    for part in PARTS:
        yield f"the {part} split", task.split(part)
    yield "a training batch", task.sample(lambda *key: generator(0, "check", *key), 0, 2)


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
    """The kernel that computes this point: by name, or for `auto` what the committed table says of its cell and sizes on this kind of device.

    What is not in the table (a cell of one's own, another dtype than float32, another precision than full) takes the first kernel of KERNELS that can
    compute it.
    """
    asked, cell = config["kernel"], build(config["cell"], "cell")
    if asked not in KERNELS:
        raise StudyError(f"kernel: must be {' or '.join(KERNELS)}, got {asked!r}")
    own = KERNELS[1:-1]
    if is_stream(load_task(config["task"]), config["batch"]):
        if asked in own:
            raise StudyError(f"kernel: {asked} begins at zero states, and this task carries states from update to update; use kernel=auto or kernel=reference")
        return "reference"
    refused = {kernel: why for kernel in own if (why := _why_not(kernel, cell, config)) is not None}
    has = [kernel for kernel in own if kernel not in refused]
    if asked in refused:
        raise StudyError(f"kernel: {asked} was asked for, but {refused[asked]}; use kernel=auto or kernel={' or kernel='.join([*has, 'reference'])}")
    if asked != "auto":
        return str(asked)
    return _of_table(config, cell, (*has, "reference"))


def _why_not(kernel: str, cell: Cell, config: Mapping[str, Any]) -> str | None:
    """Why a kernel of the cell's own cannot compute this point, in words; None: it can."""
    device = resolve_device(config)
    if kernel == "triton":
        elsewhere = (config.get("executor") or {}).get("gpus") is not None
        return triton.why_not(cell, hidden=config["hidden"], dtype=config["dtype"], device_type=device, elsewhere=elsewhere)
    if not cell.has(kernel):
        return f"this cell has no `{'layer' if kernel == 'fused' else kernel}`"
    if kernel == "native" and device != "cpu":
        return "it computes on the CPU only"
    precision = resolve_precision(config)
    if precision != "full" and (kernel == "native" or precision == "bf16"):
        return f"its products are in full precision, and precision={precision}"
    return None


def _of_table(config: Mapping[str, Any], cell: Cell, has: Sequence[str]) -> str:
    """One of the kernels that the cell has."""
    name, device = f"{type(cell).__module__}.{type(cell).__qualname__}", resolve_device(config)
    timed = config["dtype"] == "float32" and resolve_precision(config) == "full"
    found = table.fastest(device, name, config["hidden"], config["batch"]) if timed else None
    if found is None or (found == "triton" and device == "cuda" and found not in has):  # a size next to it has triton, or other machines
        return has[0]
    if found not in has:
        raise StudyError(
            f"kernel: study/kernels/{table.TABLE.name} has {found!r} for {name}, which has {', '.join(has)}; "
            "name one, or write the table again: make bench-kernels"
        )
    return found


def resolve_precision(config: Mapping[str, Any]) -> str:
    """How the products of an update are rounded; what cannot be is told."""
    precision = str(config.get("precision", "full"))
    if precision not in PRECISIONS:
        raise StudyError(f"precision: must be {' or '.join(PRECISIONS)}, got {precision!r}")
    if precision == "full":
        return precision
    device, here = resolve_device(config), (config.get("executor") or {}).get("gpus") is None
    if config["dtype"] != "float32":
        raise StudyError(f"precision: {precision} rounds products of float32, got dtype={config['dtype']}; use dtype=float32 or precision=full")
    if precision == "tf32" and device != "cuda":
        raise StudyError("precision: tf32 is of CUDA's products only, and this runs on the CPU; use precision=full or precision=bf16")
    if device == "cuda" and here and torch.cuda.get_device_capability() < (8, 0):
        raise StudyError(f"precision: {precision} needs a GPU of compute capability 8.0, and {torch.cuda.get_device_name()} has less; use precision=full")
    return precision


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
    """The structure of a point: encoder, cell, depth, readout, sizes."""
    facts = load_task(config["task"]).facts
    cell: Cell = build(config["cell"], "cell")
    readout: Readout = build(config["readout"], "readout")
    if readout.every_step != facts.every_step:
        wants, fits = ("every step", "every") if facts.every_step else ("the last step", "last, mean or attention (one output a sequence)")
        raise StudyError(f"readout: the task's loss is on {wants}, this readout's output is not; use readout={fits}")
    return Model(
        encoder=build_encoder(config, facts.inputs),
        cell=cell,
        readout=readout,
        inputs=facts.inputs,
        outputs=facts.outputs,
        hidden=config["hidden"],
        depth=config["depth"],
        dropout=config["dropout"],
        kernel=resolve_kernel(config),
    )


def build_encoder(config: Mapping[str, Any], inputs: int) -> Encoder | None:
    """The encoder of a point, which takes the task's inputs; None where it has none."""
    if "encoder" not in config:
        return None
    encoder: Encoder = build(config["encoder"], "encoder")
    with told("encoder", f"{type(encoder).__name__}.outputs fails"):
        try:
            encoder.outputs(inputs)
        except ValueError as error:  # a refusal is a whole sentence
            raise StudyError(f"encoder: {error}") from error
    return encoder


def init_facts(config: Mapping[str, Any], task: Task, model: Model, seed: int) -> InitFacts:
    """What initializers may know of the task: measured on its fixed training examples, as the first layer reads them."""
    facts, examples, input_rule = task.facts, task.split("train"), build(config["weights"]["input"], "weights.input")
    found = InitFacts(
        steps=facts.steps,
        lag=facts.lag,
        input_drive=input_drive(examples),
        inputs=facts.inputs,
        hidden=model.hidden,
        keep=model.cell.keep,
        input_rule=input_rule,
        activation=model.cell.activation,
        stream=lambda *key: generator(seed, "init, shared", *key),
    )
    if model.encoder is None:
        return found
    read = model.encoded_first(examples.x, standing={"input": input_rule}, facts=found, seed=seed)
    return replace(found, input_drive=input_drive(replace(examples, x=read)), inputs=model.read)


def input_drive(examples: Batch) -> float:
    """Mean square of one input value over the valid steps of all examples."""
    squares = examples.x.double().square().mean(-1)
    if examples.lengths is None:
        return float(squares.mean())
    valid = torch.arange(squares.shape[1]) < examples.lengths[:, None]
    return float(squares[valid].mean())


def group_key(config: Mapping[str, Any]) -> str:
    """Equal for points that can be trained together."""
    shared = ("task", "depth", "hidden", "batch", "updates", "validate_every", "dropout", "dtype", "kernel", "readout", "health", "probe", "store")
    key = {name: config[name] for name in shared} | {"encoder": config.get("encoder"), "precision": config.get("precision", "full")}
    key |= {"cell": structure(config["cell"], "cell"), "optimizer": structure(config["optimizer"], "optimizer")}
    return json.dumps(key, sort_keys=True)


SLOWER = {"fused": 1.8, "reference": 2.7}  # than the compiled kernel, about: study/kernels/table.yaml


def cost(config: Mapping[str, Any]) -> float:
    """Seconds of one core that a point may need: multiply-adds and element-wise work of the recurrence, measured once (one core of a Xeon with AVX-512).

    Only used to plan: to balance workers and to tell about how long a study takes.
    """
    facts, model = load_task(config["task"]).facts, build_model(config)
    values = 0.0  # nanoseconds an example and step, forward and backward
    for number in range(1, config["depth"] + 1):
        own = [parameter for layer, parameter in model.parameters.values() if layer == number]
        recurrent = sum(parameter.shape[0] for parameter in own if parameter.role == "recurrent" and len(parameter.block) == 2)
        rows = recurrent or max((parameter.shape[0] for parameter in own), default=config["hidden"])  # diagonal cells have no product a step
        values += 50 + rows * 1.9 + recurrent * 0.036 * (config["hidden"] + (model.read if number == 1 else config["hidden"]))
    validations = config["updates"] / config["validate_every"] + 3
    examples = config["updates"] * config["batch"] + 0.4 * validations * len(load_task(config["task"]).split("validation").x)
    return facts.steps * examples * values * SLOWER.get(model.kernel, 1.0) * 1e-9


KEPT = 12  # values that training keeps a unit and step for the way back; gated cells have about as many, plain ones fewer
LOOKED = 18  # those of probes, in fp64: measured with the default ones and gradient_share, of gated cells by any kernel


def kept_by_encoder(model: Model) -> int:
    """Values an example and step that an encoder keeps for the way back, counted on one: convolutions keep many times what they give."""
    kept = 0

    def count(value: Tensor) -> Tensor:
        nonlocal kept
        kept += value.numel()
        return value

    if model.encoder is not None:
        with torch.enable_grad(), torch.autograd.graph.saved_tensors_hooks(count, lambda value: value), told("encoder", "fails on a step of zeros"):
            model.encoded(model.named(torch.zeros(1, model.width, requires_grad=True)), torch.zeros(1, 1, 1, model.inputs))
    return kept


def member_bytes(config: Mapping[str, Any], model: Model) -> float:
    """What one member's batch and what is kept of it for the way back need, roughly; or its probe batch, where that is more."""
    facts, units = load_task(config["task"]).facts, config["hidden"] * config["depth"]
    beside = facts.inputs + kept_by_encoder(model) + facts.outputs * facts.every_step
    trained = model.padded_batch(config["batch"]) * (beside + KEPT * units) * DTYPES[config["dtype"]].itemsize
    looked_at = config["health"]["examples"] * (beside + LOOKED * units) * DTYPES["float64"].itemsize if config["probe"] else 0
    return float(facts.steps * max(trained, looked_at))


WORKER_BYTES, SHARE = 0.7e9, 0.8  # what a worker needs beside its group; of the memory there is, what groups may be planned for


def room(device_type: str, workers: int, there: float | None = None) -> float:
    """Bytes that a group may need where `workers` train one each: of `there` bytes (None: this machine's memory), or of the smallest GPU's.

    Infinite where that is unknown.
    """
    if device_type == "cpu":
        return max(SHARE * (memory() if there is None else there) / workers - WORKER_BYTES, 0.0)
    gpus = torch.cuda.device_count()
    return min((SHARE * torch.cuda.get_device_properties(gpu).total_memory / math.ceil(workers / gpus) for gpu in range(gpus)), default=math.inf)


def duration(seconds: float) -> str:
    """Seconds in words."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def groups(points: Sequence[Point], workers: int, max_members: int, begun: Mapping[str, int], space: float = math.inf, device_type: str = "cpu") -> list[Group]:
    """Groups of equal structure, longest first, cut so that `workers` finish at about the same time and that each fits into `space` bytes (see `room`).

    `begun`: id -> updates that a checkpoint has of a point; those of one group have made the same. A point's numbers do not
    depend on the cut. On a GPU a group takes about as long as a point, so there is no more cutting than workers need.
    """
    if max_members < 1:
        raise StudyError(f"executor: max_members must be at least 1, got {max_members}")
    by_key: dict[tuple[str, int], list[Point]] = {}
    for point in points:
        by_key.setdefault((group_key(point.config), begun.get(point.id, 0)), []).append(point)
    costs = {(key, done): cost(of[0].config) * max(1 - done / of[0].config["updates"], 0.01) for (key, done), of in by_key.items()}
    total = sum(costs[key] * len(of) for key, of in by_key.items())
    rounds = 1 if device_type == "cuda" else 2  # large groups are faster, several rounds a worker even out what the estimate gets wrong
    share = total / (rounds * workers)
    made = []
    for number, (key, of) in enumerate(by_key.items(), start=1):
        fit = max(1, min(max_members, int(min(space / member_bytes(of[0].config, build_model(of[0].config)), max_members))))
        parts = max(math.ceil(len(of) / fit), min(math.ceil(costs[key] * len(of) / share), math.ceil(len(of) / 4)))
        bounds = [round(part * len(of) / parts) for part in range(parts + 1)]
        for part, (start, end) in enumerate(itertools.pairwise(bounds), start=1):
            made.append(Group(name=f"{number}.{part}", points=tuple(of[start:end]), cost=costs[key] * (end - start)))
    return sorted(made, key=lambda group: -group.cost)
