"""The setup of a point: its configuration compiled into one frozen value.

A configuration is a plain mapping only up to `set_up`. From there on, code reads the fields of a
`Setup`: pieces, resolved `auto` values, typed settings.
"""

from __future__ import annotations

import functools
import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor

from study.config.build import as_study_error, build, build_for_members, fits, structure
from study.config.compose import STACK_SIZES
from study.config.resolve import resolve_device, resolve_dtype, resolve_kernel, resolve_precision
from study.config.schema import Average, Health, Stop, Store
from study.config.tasks import is_stream, load_task
from study.health.profiles import Thresholds
from study.health.verdicts import OutcomeLimits
from study.interfaces import (
    Cell,
    ClipRule,
    Encoder,
    Initializer,
    LayerBlock,
    Optimizer,
    Penalty,
    Probe,
    Readout,
    Schedule,
    Task,
    require,
    require_length,
)
from study.model import Model
from study.modules.build import TaskShape, imported
from study.modules.network import ModuleNetwork
from study.network import Network
from study.records import StudyError

# Configuration keys that must be equal for points to be trained together.
SHARED = (
    "task",
    "depth",
    "hidden",
    "batch",
    "updates",
    "validate_every",
    "dropout",
    "dtype",
    "kernel",
    "readout",
    "health",
    "probe",
    "store",
)


# Why a probe cannot measure a model of the user's own, by what it reads (Probe.reads).
WHY = {
    "cell": "which read the stack's own cell",
    "states": "which need a recurrence",
    "inputs": "which differentiate the inputs, and these are symbols",
}


@dataclass(frozen=True)
class Setup:
    """One point's configuration, compiled by `set_up`.

    `nodes` is the composed configuration itself: it is stored with the point and hashed into its
    id. The pieces below are built from it on first access, once per Setup.
    """

    nodes: Mapping[str, Any]
    task: Task
    kernel: str  # native | triton | fused | reference
    device: str  # cpu | cuda
    precision: str  # full | tf32 | bf16
    dtype: torch.dtype
    depth: int
    hidden: int
    batch: int  # examples per forward and backward pass
    accumulate: int  # batches per update
    updates: int
    validate_every: int
    dropout: float
    penalty: Penalty | None
    average: Average | None
    seed: int
    forget_bias: float
    reprobe: bool
    health: Health
    stop: Stop
    store: Store

    @functools.cached_property
    def model(self) -> Network:
        """The stack, or a module of the user's. Raises StudyError if it does not fit the task."""
        return self.stack if "model" not in self.nodes else self.module

    @functools.cached_property
    def module(self) -> ModuleNetwork:
        """The user's own module."""
        if self.nodes["model"].get("_input_") == "symbols":
            _check_symbols(self.task)
        return _module(
            json.dumps(self.nodes["model"], sort_keys=True),
            TaskShape(
                **{name: getattr(self.task.facts, name) for name in TaskShape.__dataclass_fields__}
            ),
        )

    @functools.cached_property
    def trainer(self) -> Callable[..., None] | None:
        """The user's own function that trains, `train(config, point)`; None: the engine."""
        if "trainer" not in self.nodes:
            return None
        node = self.nodes["trainer"]
        found: Callable[..., None] = imported(node, "trainer", "a function, such as my_loop.train")
        try:
            inspect.signature(found).bind(None, None)
        except TypeError as error:
            raise StudyError(
                f"trainer: {node['_target_']} must take (config, point): {error}"
            ) from error
        return found

    @property
    def versioned_kernel(self) -> str:
        """The kernel with the version of the numbers that the cell's class gives it."""
        if self.kernel != "native":
            return self.kernel
        version = _cell(json.dumps(self.nodes["cell"])).native_version
        return self.kernel if version == 1 else f"{self.kernel} {version}"

    @property
    def without_effect(self) -> tuple[str, ...]:
        """Root keys that this point's network does not read; ids leave them out."""
        if "model" not in self.nodes or "trainer" in self.nodes:
            return ()
        sizes = [key for key in STACK_SIZES if key not in self.nodes["model"].get("_uses_", ())]
        initializer = [] if self.module.fillable else ["initializer"]
        return ("cell", "readout", "encoder", "block", "weights", *sizes, *initializer)

    @functools.cached_property
    def stack(self) -> Model:
        """Encoder, stacked cells and readout. Raises StudyError if they do not fit the task."""
        facts = self.task.facts
        readout: Readout = build(self.nodes["readout"], "readout")
        if readout.every_step != facts.every_step:
            loss, fitting = (
                ("every step", "every")
                if facts.every_step
                else ("the last step", "last, mean or attention (one output per sequence)")
            )
            raise StudyError(
                f"readout: the task's loss is on {loss}, this readout's output is not; use"
                f" readout={fitting}"
            )
        return Model(
            encoder=self.encoder,
            block=self.block,
            cell=build(self.nodes["cell"], "cell"),
            readout=readout,
            inputs=facts.inputs,
            outputs=facts.outputs,
            hidden=self.hidden,
            depth=self.depth,
            dropout=self.dropout,
            kernel=self.kernel,
        )

    @functools.cached_property
    def block(self) -> LayerBlock | None:
        """What surrounds the recurrence of each layer, if anything."""
        node = self.nodes.get("block")
        found: LayerBlock | None = None if node is None else build(node, "block")
        return found

    @functools.cached_property
    def encoder(self) -> Encoder | None:
        """The encoder of the task's inputs, if any."""
        if self.nodes.get("encoder") is None:
            return None
        encoder: Encoder = build(self.nodes["encoder"], "encoder")
        with as_study_error("encoder", f"{type(encoder).__name__}.outputs fails"):
            try:
                encoder.outputs(self.task.facts.inputs)
            except ValueError as error:  # the encoder's message is a whole sentence
                raise StudyError(f"encoder: {error}") from error
        return encoder

    @functools.cached_property
    def initializer(self) -> Initializer:
        rule: Initializer = build(self.nodes["initializer"], "initializer")
        return rule

    @functools.cached_property
    def weight_rules(self) -> dict[str, Initializer]:
        """Rules for roles that the initializer may leave out: input and readout weights."""
        return {
            role: build(self.nodes["weights"][role], f"weights.{role}")
            for role in ("input", "readout")
        }

    @functools.cached_property
    def probes(self) -> dict[str, Probe]:
        """The probes that this point's network can be measured with."""
        built = {name: build(node, f"probe.{name}") for name, node in self.nodes["probe"].items()}
        return {name: probe for name, probe in built.items() if self._has(probe.reads)}

    def _has(self, read: str) -> bool:
        if "model" not in self.nodes or read == "gradients":
            return True
        return {"states": bool(self.module.measured), "inputs": not self.module.how.symbols}.get(
            read, False
        )

    @functools.cached_property
    def model_notes(self) -> tuple[str, ...]:
        """What a user should know about how a model of their own is trained and measured."""
        if "model" not in self.nodes or "trainer" in self.nodes:
            return ()
        told = [*self.module.notes]
        left_out: dict[str, list[str]] = {}
        for name, node in self.nodes["probe"].items():
            if name not in self.probes:
                left_out.setdefault(build(node, f"probe.{name}").reads, []).append(name)
        told += [f"not measured: {', '.join(left_out[k])}, {WHY[k]}" for k in sorted(left_out)]
        if is_stream(self.task, self.batch):
            told.append("it starts every batch at its first state, as its forward takes none")
        told.append(f"not used: {', '.join(self.without_effect)}")
        return tuple(told)

    @functools.cached_property
    def thresholds(self) -> Thresholds:
        """Thresholds between the states of gradient health."""
        return Thresholds.from_health(vars(self.health))

    @functools.cached_property
    def outcome_limits(self) -> OutcomeLimits:
        """Limits beyond which a run counts as stuck, blown up or silently diverged."""
        health = vars(self.health)
        return OutcomeLimits(**{name: health[name] for name in OutcomeLimits.__dataclass_fields__})

    @property
    def drawn(self) -> int:
        """Examples per update."""
        return self.batch * self.accumulate

    @property
    def carries_states(self) -> bool:
        """Whether states are carried from update to update; a model of one's own starts at zero."""
        return "model" not in self.nodes and is_stream(self.task, self.drawn)

    @functools.cached_property
    def group_key(self) -> str:
        """A key that is equal for points that can be trained together."""
        nodes = self.nodes
        key = {name: nodes[name] for name in SHARED}
        key |= {"encoder": nodes.get("encoder"), "block": nodes.get("block")}
        key |= {"precision": self.precision}
        key |= {"model": nodes["model"]} if "model" in nodes else {}
        if "trainer" in nodes:  # each point by itself
            key |= {"trainer": nodes["trainer"], "config": {**nodes, "study": None}}
        for name in ("penalty", "schedule"):
            key[name] = structure(nodes[name], name) if name in nodes else None
        key |= {"accumulate": self.accumulate, "average": nodes.get("average")}
        key |= {name: structure(nodes[name], name) for name in ("cell", "optimizer")}
        return json.dumps(key, sort_keys=True)


def set_up(config: Mapping[str, Any]) -> Setup:
    """Compile a composed configuration into a setup.

    The only place that reads the keys of a point. Raises StudyError with the key, what is allowed
    and what came.
    """
    gpus = (config.get("executor") or {}).get("gpus")
    dtype = resolve_dtype(config["dtype"])
    device = resolve_device(config["device"], gpus)
    precision = resolve_precision(
        str(config.get("precision", "full")), config["dtype"], device, local=gpus is None
    )
    task = load_task(config["task"])
    penalty = _penalty(config)
    kernel = _kernel(config, task, penalty, precision, device, remote=gpus is not None)
    return Setup(
        nodes=config,
        task=task,
        kernel=kernel,
        device=device,
        precision=precision,
        dtype=dtype,
        penalty=penalty,
        accumulate=config.get("accumulate", 1),
        average=average_of(config.get("average")),
        forget_bias=config["weights"]["forget_bias"],
        health=Health(**config["health"]),
        stop=Stop(**config["stop"]),
        store=Store(**config["store"]),
        **{name: config[name] for name in _SAME_NAME},
    )


# Fields of a Setup that equal the configuration key of the same name.
_SAME_NAME = ("depth", "hidden", "batch", "updates", "validate_every", "dropout", "seed", "reprobe")


@functools.lru_cache(maxsize=64)
def _cell(text: str) -> Cell:
    """The cell of a node as JSON; cached, because thousands of points share a few cells."""
    cell: Cell = build(json.loads(text), "cell")
    return cell


@functools.lru_cache(maxsize=16)
def _module(text: str, task: TaskShape) -> ModuleNetwork:
    with as_study_error("model", "cannot be tried on the task's inputs"):
        network = ModuleNetwork(json.loads(text), task)
        _ = network.notes  # which calls it
        return network


def _check_symbols(task: Task) -> None:
    x = task.split("validation").x
    if not (bool(((x == 0) | (x == 1)).all()) and bool((x.sum(-1) <= 1).all())):
        raise StudyError(
            "model: _input_: symbols needs a task whose inputs are one symbol a step (one-hot), and"
            " this task's are numbers; leave it out"
        )


def _kernel(
    config: Mapping[str, Any],
    task: Task,
    penalty: Penalty | None,
    precision: str,
    device: str,
    *,
    remote: bool,
) -> str:
    if "trainer" in config:
        return "trainer"
    if "model" in config:
        return _kernel_of_module(config, penalty)
    return resolve_kernel(
        config["kernel"],
        _cell(json.dumps(config["cell"])),
        stream=is_stream(task, config["batch"] * config.get("accumulate", 1)),
        penalized=penalty is not None and penalty.reads_states,
        hidden=config["hidden"],
        batch=config["batch"],
        dtype=config["dtype"],
        precision=precision,
        device=device,
        remote=remote,
    )


def _kernel_of_module(config: Mapping[str, Any], penalty: Penalty | None) -> str:
    if config["kernel"] != "auto":
        raise StudyError(
            f"kernel: {config['kernel']} computes the stack's cells, and a model of your own"
            " computes itself; use kernel=auto"
        )
    if penalty is not None and penalty.reads_states:
        raise StudyError(
            f"penalty: {type(penalty).__name__} reads the states of the stack's cells, which a"
            " model of your own does not have; leave it out, or use model=stack"
        )
    return ModuleNetwork.kernel


def _penalty(config: Mapping[str, Any]) -> Penalty | None:
    penalty: Penalty | None = build(config["penalty"], "penalty") if "penalty" in config else None
    return penalty


def optimizer_of(setups: Sequence[Setup], device: torch.device, dtype: torch.dtype) -> Optimizer:
    """Build one optimizer for the members of a group; its settings [M] may differ."""
    nodes = [setup.nodes["optimizer"] for setup in setups]
    optimizer: Optimizer = build_for_members(nodes, "optimizer", device, dtype)
    if optimizer.decay_biases:
        return optimizer
    return optimizer.sparing(setups[0].model.biases.to(device))


def clip_rules_of(
    setups: Sequence[Setup], device: torch.device, dtype: torch.dtype
) -> list[tuple[ClipRule, Tensor]]:
    """Build the clip rules of a group: one per structure, with the indices of its members."""
    nodes = [setup.nodes["clip"] for setup in setups]
    members: dict[str, list[int]] = {}
    for index, node in enumerate(nodes):
        members.setdefault(repr(structure(node, "clip")), []).append(index)
    return [
        (
            build_for_members([nodes[index] for index in indices], "clip", device, dtype),
            torch.tensor(indices, device=device),
        )
        for indices in members.values()
    ]


def schedule_of(setups: Sequence[Setup], device: torch.device) -> Schedule | None:
    """Build the schedule of a group, if it has one; its settings [M], in fp64, may differ."""
    if "schedule" not in setups[0].nodes:
        return None
    nodes = [setup.nodes["schedule"] for setup in setups]
    schedule: Schedule = build_for_members(nodes, "schedule", device, torch.float64)
    return schedule


def average_of(node: Any) -> Average | None:
    """The typed node of `average`. Raises StudyError."""
    if node is None:
        return None
    names = [field.name for field in fields(Average)]
    if not isinstance(node, Mapping) or set(node) != set(names):
        raise StudyError(f"average: needs {' and '.join(names)}, or null, got {node!r}")
    for name in names:
        if not fits(node[name], float):
            raise StudyError(f"average: {name} must be a number, got {node[name]!r}")
    try:
        require(0 <= node["decay"] < 1, "ema", "decay", "at least 0 and below 1", node["decay"])
        require_length(node["start"], "ema", "start")
    except ValueError as error:
        raise StudyError(f"average: {error}") from error
    return Average(**node)


def penalty_of(setups: Sequence[Setup], device: torch.device, dtype: torch.dtype) -> Penalty | None:
    """Build the penalty of a group, if it has one; its settings [M] may differ."""
    if "penalty" not in setups[0].nodes:
        return None
    nodes = [setup.nodes["penalty"] for setup in setups]
    penalty: Penalty = build_for_members(nodes, "penalty", device, dtype)
    return penalty
