"""Everything that can be wrong with one point's configuration, told before anything is trained:
pieces may be anybody's.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, get_args

import torch
from torch import Tensor

from study.config.build import build, build_for_members, told
from study.config.network import build_encoder, build_model, init_facts, member_bytes
from study.config.resolve import DTYPES, resolve_device, resolve_kernel, resolve_precision
from study.config.tasks import is_stream, load_task
from study.interfaces import Block, Measurable, Parameter, Role, Task, TaskFacts
from study.machine.processes import memory
from study.model import Model
from study.numerics.streams import generator
from study.records import StudyError

WHOLE = ("depth", "hidden", "batch", "updates", "validate_every")


def check(config: Mapping[str, Any]) -> None:
    """Everything that can be wrong with one point, before anything is trained.

    Raises StudyError.
    """
    for key in WHOLE:
        _check_whole(config, key, least=1)
    _check_whole(config, "seed", least=0)
    if not 0 <= config["dropout"] < 1:
        raise StudyError(f"dropout: must be at least 0 and below 1, got {config['dropout']!r}")
    if config["dtype"] not in DTYPES:
        raise StudyError(f"dtype: must be {' or '.join(DTYPES)}, got {config['dtype']!r}")
    if config["stop"]["solved_checks"] is not None:
        _check_whole(
            {"stop.solved_checks": config["stop"]["solved_checks"]}, "stop.solved_checks", least=1
        )
    resolve_precision(config)
    resolve_kernel(config)
    resolve_device(config)
    _check_health(config["health"])
    _check_parameters(config, load_task(config["task"]).facts)
    model = build_model(config)
    for key in ("initializer", "clip", "optimizer"):
        build(config[key], key)
    for role, node in (
        ("input", config["weights"]["input"]),
        ("readout", config["weights"]["readout"]),
    ):
        build(node, f"weights.{role}")
    _check_initializer(config, model)
    _check_batch(load_task(config["task"]), config["batch"])
    _check_memory(config, model)
    _check_forward(model, load_task(config["task"]).facts)
    _check_members(model, load_task(config["task"]).facts)
    for name, node in config["probe"].items():
        probe = build(node, f"probe.{name}")
        if not hasattr(probe, "stages"):
            raise StudyError(
                f"probe.{name}: {type(probe).__name__} must keep `stages`, shares of the updates,"
                " from its YAML"
            )
        if not all(isinstance(stage, int | float) and 0 <= stage <= 1 for stage in probe.stages):
            raise StudyError(
                f"probe.{name}: stages must be shares of the updates between 0 and 1, got"
                f" {list(probe.stages)!r}"
            )
        with told(f"probe.{name}", f"{type(probe).__name__}.check fails"):
            try:
                probe.check(measurable(config, model))
            except ValueError as error:
                raise StudyError(f"probe.{name}: {error}") from error


def measurable(config: Mapping[str, Any], model: Model) -> Measurable:
    """What probes are told before training."""
    task = load_task(config["task"])
    examples = min(config["health"]["examples"], len(task.split("validation").x))
    return Measurable(
        cell=model.cell,
        facts=task.facts,
        hidden=config["hidden"],
        depth=config["depth"],
        batch=config["batch"],
        examples=examples,
    )


def _check_parameters(config: Mapping[str, Any], facts: TaskFacts) -> None:
    """Cell, readout and encoder name their tensors in the contract's terms: a role nobody knows
    would silently start at zero.
    """
    hidden, encoder = config["hidden"], build_encoder(config, facts.inputs)
    read = facts.inputs if encoder is None else encoder.outputs(facts.inputs)
    pieces: list[tuple[str, tuple[int, ...], tuple[Role, ...]]] = [
        ("cell", (read, hidden), ("recurrent", "input", "bias")),
        ("readout", (hidden, facts.outputs), ("readout", "bias")),
    ]
    if encoder is not None:
        pieces.append(("encoder", (facts.inputs,), ("input", "bias")))
    for key, sizes, roles in pieces:
        piece: Any = build(config[key], key)
        name = type(piece).__name__
        with told(key, f"{name}.shapes fails"):
            parameters = list(piece.shapes(*sizes))
        for parameter in parameters:
            if not isinstance(parameter, Parameter):
                raise StudyError(
                    f"{key}: {name}.shapes must return Parameters (study/interfaces.py), got"
                    f" {parameter!r}"
                )
            if parameter.role not in roles:
                raise StudyError(
                    f"{key}: role of {name}'s {parameter.name} must be {' or '.join(roles)}, got"
                    f" {parameter.role!r}"
                )
            if key == "cell" and tuple(parameter.block) not in (
                (hidden, read),
                (hidden, hidden),
                (hidden,),
            ):
                allowed = (
                    f"(hidden, inputs) = {(hidden, read)}, (hidden, hidden) = {(hidden, hidden)} or"
                    f" (hidden,) = {(hidden,)}"
                )
                raise StudyError(
                    f"cell: block of {name}'s {parameter.name} must be {allowed}, got"
                    f" {tuple(parameter.block)}"
                )
        names = [parameter.name for parameter in parameters]
        if len(set(names)) < len(names):
            raise StudyError(
                f"{key}: {name}.shapes must give every tensor a name of its own, got"
                f" {', '.join(names)}"
            )


def check_flat(node: Mapping[str, Any], key: str) -> None:
    """Clip rule or optimizer on one update of two members, as training builds and calls it."""
    rows = torch.linspace(-1, 1, 64).reshape(2, 32)
    slices = {
        "layer1.weight_h": (slice(0, 16), (4, 4)),
        "layer1.bias": (slice(16, 20), (4,)),
        "readout.weight": (slice(20, 32), (3, 4)),
    }
    name = str(node["_target_"]).rpartition(".")[2]
    with told(key, f"{name} fails on one update of two members"):
        piece = build_for_members([node, node], key, torch.device("cpu"), torch.float32)
        returned = piece(
            rows.flip(1), rows, piece.init(rows, slices) if key == "clip" else piece.init(rows)
        )
    ok = isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[0], Tensor)
    if not ok or returned[0].shape != rows.shape:
        came = tuple(returned[0].shape) if ok else type(returned).__name__
        raise StudyError(
            f"{key}: {name} must return ([M, P], next state), here with [M, P] ="
            f" {tuple(rows.shape)}, got {came}"
        )


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
        raise StudyError(
            f"task: {name} carries states from update to update, and gives lengths: pieces of a"
            " stream must be of one length"
        )


def _check_memory(config: Mapping[str, Any], model: Model) -> None:
    """Sequences so long that one point's batch cannot fit are told before anything is trained."""
    # a lone point has a shadow
    facts, need, there = (
        load_task(config["task"]).facts,
        2 * member_bytes(config, model),
        memory(),
    )
    if need > there:
        raise StudyError(
            f"task: sequences of {facts.steps} steps need about {need / 1e9:.0f} GB with"
            f" batch={config['batch']}, health.examples={config['health']['examples']},"
            f" hidden={config['hidden']} and depth={config['depth']}, and this machine has"
            f" {there / 1e9:.0f} GB; use shorter sequences, smaller batches or fewer units"
        )


def _check_health(health: Mapping[str, Any]) -> None:
    if not health["vanishing"] < health["fading"] < 0 < health["exploding"]:
        came = ", ".join(f"{key} {health[key]}" for key in ("vanishing", "fading", "exploding"))
        raise StudyError(
            f"health: thresholds must satisfy vanishing < fading < 0 < exploding, got {came}"
        )
    for key, least in (("examples", 2), ("bootstrap", 1)):
        _check_whole({f"health.{key}": health[key]}, f"health.{key}", least=least)


def _check_initializer(config: Mapping[str, Any], model: Model) -> None:
    """Draw one block of each role the initializer speaks for: a wrong shape is told now, not after
    hours.
    """
    initializer = build(config["initializer"], "initializer")
    name, allowed = (
        type(initializer).__name__,
        [role for role in get_args(Role) if role != "readout"],
    )
    if isinstance(initializer.roles, str) or not set(initializer.roles) <= set(allowed):
        came = initializer.roles
        raise StudyError(
            f"initializer: roles of {name} must be a tuple of {', '.join(allowed)} (weights.readout"
            f" rules the readout), got {came!r}"
        )
    if "recurrent" not in initializer.roles and any(
        parameter.role == "recurrent" for _, parameter in model.parameters.values()
    ):
        raise StudyError(
            f"initializer: roles of {name} must contain recurrent, which no standing rule fills: it"
            f" would start at zero; got {initializer.roles!r}"
        )
    facts = init_facts(config, load_task(config["task"]), model, seed=0)
    for tensor, (layer, parameter) in model.parameters.items():
        if layer == 1 and parameter.role in initializer.roles:
            block = Block(
                role=parameter.role, gate=parameter.gates[0], shape=parameter.block, layer=1
            )
            with told("initializer", f"{name} cannot fill {tensor} of shape {block.shape}"):
                value = initializer(block, generator(0, "check"), facts)
            if not isinstance(value, Tensor) or tuple(value.shape) != block.shape:
                came = (
                    f"shape {tuple(value.shape)}"
                    if isinstance(value, Tensor)
                    else type(value).__name__
                )
                raise StudyError(
                    f"initializer: {name} returned {came} for {tensor}, which needs a tensor of"
                    f" {block.shape}"
                )
            if not value.isfinite().all():
                raise StudyError(
                    f"initializer: {name} returned values that are not finite for {tensor}"
                )


def _check_forward(model: Model, facts: TaskFacts) -> None:
    """Two steps of two members: a cell or readout of wrong shapes is told now."""
    params = model.named(torch.zeros(2, model.width))
    x = torch.zeros(2, 2, 2, facts.inputs)
    name = type(model.cell).__name__
    with (
        told("encoder", f"{type(model.encoder).__name__} fails on two steps of zeros"),
        torch.no_grad(),
    ):
        read = model.encoded(params, x.transpose(1, 2))
    if read.shape != (2, 2, 2, model.read):
        came = tuple(read.shape)
        raise StudyError(
            f"encoder: {type(model.encoder).__name__} gives {came} for [M, T, B, D'] ="
            f" {(2, 2, 2, model.read)}, as its `outputs` says"
        )
    with told("cell", f"{name} fails on two steps of zeros"), torch.no_grad():
        _check_step(model, params, read.transpose(1, 2))
        outputs = model.plain().unrolled(params, x, None)
        model.forward(params, x, None)
        tapped = model.unrolled(params, x, None)
    for layer in (*outputs.layers, *tapped.layers):
        for state, steps in layer.items():
            if steps.shape != (2, 2, 2, model.hidden):
                raise StudyError(
                    f"cell: {name} gives state {state} of shape {tuple(steps[:, 0].shape)}; it must"
                    f" be [M, B, hidden] = {(2, 2, model.hidden)}"
                )
    expected = (2, 2, 2, facts.outputs) if facts.every_step else (2, 2, facts.outputs)
    if outputs.outputs.shape != expected:
        raise StudyError(
            f"readout: gives outputs of shape {tuple(outputs.outputs.shape)} for [M, B, …] ="
            f" {expected}"
        )


def _check_members(model: Model, facts: TaskFacts) -> None:
    """A member's outputs must not change when another member's weights and examples do: points
    would depend on their company, silently.
    """
    rng = generator(0, "check, members")
    first, second, third = torch.randn(3, model.width, generator=rng)
    x = torch.randn(3, 2, 2, facts.inputs, generator=rng)
    with torch.no_grad():
        one, other = (
            [
                model.forward(params, pair, None)[0],
                model.plain().unrolled(params, pair, None).outputs[0],
            ]
            for params, pair in (
                (model.named(torch.stack([first, second])), x[:2]),
                (model.named(torch.stack([first, third])), x[::2]),
            )
        )
    if not all(
        torch.allclose(a, b, rtol=1e-4, atol=1e-6, equal_nan=True)
        for a, b in zip(one, other, strict=True)
    ):
        encoder = [] if model.encoder is None else [type(model.encoder).__name__]
        names = " or ".join([*encoder, type(model.cell).__name__, type(model.readout).__name__])
        told_of = f"{'encoder, ' if encoder else ''}cell or readout: {names} mixes members"
        raise StudyError(
            f"{told_of}: outputs of one change with the weights of another. The first axis of every"
            " tensor is M"
        )


def _check_step(model: Model, params: Mapping[str, Tensor], x: Tensor) -> None:
    """The first step of the first layer returns one [M, B, H] a state."""
    cell, name, expected = model.cell, type(model.cell).__name__, (2, 2, model.hidden)
    own = {
        key.removeprefix("layer1."): value
        for key, value in params.items()
        if key.startswith("layer1.")
    }
    returned = cell.step(
        own, cell.project(own, x)[:, 0], tuple(torch.zeros(expected) for _ in cell.states)
    )
    if not isinstance(returned, tuple):
        raise StudyError(
            f"cell: step of {name} must return a tuple, one [M, B, hidden] for each of"
            f" {cell.states}, got {type(returned).__name__}"
        )
    came = [tuple(state.shape) for state in returned]
    if came != [expected] * len(cell.states):
        raise StudyError(
            f"cell: step of {name} must return [M, B, hidden] = {expected} for each of"
            f" {cell.states}, got {', '.join(map(str, came))}"
        )
