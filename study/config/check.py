"""Check points and their pieces before anything is trained."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

import torch
from torch import Tensor

from study.config.build import as_study_error, build, build_for_members
from study.config.check_module import check_module
from study.config.check_network import check_forward, check_members
from study.config.compose import Combination
from study.config.network import init_facts, member_bytes
from study.config.schema import Health
from study.config.setup import Setup, average_of, set_up
from study.config.tasks import is_stream
from study.interfaces import (
    Block,
    Cell,
    ClipRule,
    Encoder,
    Executor,
    Initializer,
    LayerBlock,
    Optimizer,
    Parameter,
    Penalty,
    PointFacts,
    Probe,
    Readout,
    Role,
    Schedule,
    Task,
    TaskFacts,
    Tracker,
    in_updates,
)
from study.machine.resources import memory
from study.model import Model
from study.numerics.streams import generator
from study.records import StudyError
from study.update_pass import state_taps, update_pass, valid_steps

OURS = "study.cells."
WHOLE_NUMBERS = ("depth", "hidden", "batch", "updates", "validate_every")


def check(config: Mapping[str, Any]) -> Setup:
    """Check everything about one point that could be wrong, and return its setup.

    Pieces may be anyone's code, so each is called as training will call it. Raises StudyError with
    the piece, the key, what is allowed and what came.
    """
    for key in WHOLE_NUMBERS:
        _require_whole(key, config[key], least=1)
    _require_whole("accumulate", config.get("accumulate", 1), least=1)
    _require_whole("seed", config["seed"], least=0)
    if not 0 <= config["dropout"] < 1:
        raise StudyError(f"dropout: must be at least 0 and below 1, got {config['dropout']!r}")
    setup = set_up(config)
    if setup.stop.solved_checks is not None:
        _require_whole("stop.solved_checks", setup.stop.solved_checks, least=1)
    _check_health(setup.health)
    if setup.trainer is not None:
        return setup
    for key in ("clip", "optimizer"):
        build(config[key], key)
    check_rates(config)
    if "model" in config:
        check_module(setup, setup.module)
        _check_drawn(setup)
        _check_memory(setup)
    else:
        _check_stack(setup)
    for name, probe in setup.probes.items():
        _check_probe(name, probe, setup)
    return setup


def _check_stack(setup: Setup) -> None:
    _check_parameters(setup)
    model, facts = setup.stack, setup.task.facts
    if type(model.cell).__module__.startswith(OURS):
        model = model.plain()  # our kernels equal our steps, and loading one takes half a second
    _check_initializer(setup)
    _check_drawn(setup)
    _check_memory(setup)
    check_forward(model, facts)
    check_members(model, facts)
    if setup.penalty is not None:
        _check_penalty(setup.penalty, model, facts)


def _check_probe(name: str, probe: Probe, setup: Setup) -> None:
    """Check that the probe has stages and accepts the network that it will measure."""
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
    with as_study_error(f"probe.{name}", f"{type(probe).__name__}.check fails"):
        try:
            probe.check(measurable(setup))
        except ValueError as error:
            raise StudyError(f"probe.{name}: {error}") from error


def measurable(setup: Setup) -> PointFacts:
    """The facts that a probe may refuse before training."""
    return PointFacts(
        cell=cast(Cell, None) if "model" in setup.nodes else setup.stack.cell,
        facts=setup.task.facts,
        hidden=setup.hidden,
        depth=setup.depth,
        batch=setup.drawn,
        examples=min(setup.health.examples, len(setup.task.split("validation").x)),
    )


def _check_parameters(setup: Setup) -> None:
    """Check names, roles and blocks of the tensors of cell, readout and encoder.

    A tensor of an unknown role would silently start at zero.
    """
    hidden, encoder, facts = setup.hidden, setup.encoder, setup.task.facts
    inputs = facts.inputs if encoder is None else encoder.outputs(facts.inputs)
    inputs = inputs if setup.block is None else hidden
    pieces: list[tuple[str, tuple[int, ...], tuple[Role, ...]]] = [
        ("cell", (inputs, hidden), ("recurrent", "input", "bias", "own")),
        ("readout", (hidden, facts.outputs), ("readout", "bias")),
    ]
    if encoder is not None:
        pieces.append(("encoder", (facts.inputs,), ("input", "bias")))
    if setup.block is not None:
        pieces.append(("block", (hidden,), ("readout", "bias")))
    for key, sizes, roles in pieces:
        piece: Any = build(setup.nodes[key], key)
        name = type(piece).__name__
        with as_study_error(key, f"{name}.shapes fails"):
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
            # no initializer fills what is a cell's own
            filled = key == "cell" and parameter.role != "own"
            if filled and tuple(parameter.block) not in (
                (hidden, inputs),
                (hidden, hidden),
                (hidden,),
                (1, inputs),
                (1,),
            ):
                allowed = (
                    f"(hidden, inputs) = {(hidden, inputs)}, (hidden, hidden) ="
                    f" {(hidden, hidden)}, (hidden,) = {(hidden,)}, (1, inputs) = {(1, inputs)} or"
                    " (1,)"
                )
                raise StudyError(
                    f"cell: block of {name}'s {parameter.name} must be {allowed}, got"
                    f" {tuple(parameter.block)}"
                )
        names = [parameter.name for parameter in parameters]
        if len(set(names)) < len(names):
            raise StudyError(
                f"{key}: {name}.shapes must give each tensor a different name, got"
                f" {', '.join(names)}"
            )


def check_flat(node: Mapping[str, Any], key: str) -> None:
    """Try a clip rule or an optimizer on one update of two members, as training calls it."""
    rows = torch.linspace(-1, 1, 64).reshape(2, 32)
    slices = {
        "layer1.weight_h": (slice(0, 16), (4, 4)),
        "layer1.bias": (slice(16, 20), (4,)),
        "readout.weight": (slice(20, 32), (3, 4)),
    }
    name = str(node["_target_"]).rpartition(".")[2]
    with as_study_error(key, f"{name} fails on one update of two members"):
        piece = build_for_members([node, node], key, torch.device("cpu"), torch.float32)
        returned = piece(
            rows.flip(1), rows, piece.init(rows, slices) if key == "clip" else piece.init(rows)
        )
    ok = isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[0], Tensor)
    if not ok or returned[0].shape != rows.shape:
        got = tuple(returned[0].shape) if ok else type(returned).__name__
        raise StudyError(
            f"{key}: {name} must return ([M, P], next state), here with [M, P] ="
            f" {tuple(rows.shape)}, got {got}"
        )


def check_schedule(node: Mapping[str, Any], optimizer: Mapping[str, Any], updates: int) -> None:
    """Check the factors of a schedule over a run, and that the optimizer follows them."""
    schedule = build_for_members([node] * 2, "schedule", torch.device("cpu"), torch.float64)
    name = type(schedule).__name__
    with as_study_error("schedule", f"{name} fails on a run of {updates} updates"):
        try:
            build(node, "schedule").check(updates)
        except ValueError as error:  # the message is a whole sentence
            raise StudyError(f"schedule: {error}") from error
        state = schedule.init(2)
        state = schedule.validated(torch.ones(2, dtype=torch.float64), state)
        for update in sorted({0, 1, updates // 2, updates - 1}):
            factor = schedule(update, updates, state)
            shape = tuple(factor.shape) if isinstance(factor, Tensor) else type(factor).__name__
            if shape != (2,):
                raise StudyError(
                    f"schedule: {name} must return one factor per member, [M] = (2,), got {shape}"
                )
            if not (factor.isfinite() & (factor >= 0)).all():
                raise StudyError(
                    f"schedule: factors of {name} must be finite and at least 0, got"
                    f" {factor.tolist()} for update {update} of {updates}"
                )
    _check_follows(optimizer)


def _check_follows(node: Mapping[str, Any]) -> None:
    """Check that a smaller learning rate changes the updates of an optimizer."""
    name = str(node["_target_"]).rpartition(".")[2]
    built = build_for_members([node] * 2, "optimizer", torch.device("cpu"), torch.float32)
    start = torch.linspace(-1, 1, 64).reshape(2, 32)
    ends = []
    with as_study_error("optimizer", f"{name} fails with a scaled learning rate"):
        for factor in (1.0, 0.25):
            params, state = start, built.init(start)
            for update in range(3):  # the first alike: some use the rate only to start with
                factors = torch.full((2,), factor if update else 1.0, dtype=torch.float64)
                try:
                    scaled = built.scaled(factors)
                except ValueError as error:  # the message is a whole sentence
                    raise StudyError(f"optimizer: {error}") from error
                params, state = scaled(params.flip(1), params, state)
            ends.append(params)
    if torch.equal(*ends):
        raise StudyError(
            f"optimizer: {node.get('name', name)} cannot follow a schedule, since its updates do"
            " not depend on the learning rate; use schedule=constant or another optimizer"
        )


RATES = ("updates", "optimizer", "schedule", "average")


def check_rates(config: Mapping[str, Any]) -> None:
    """Check that schedule and average fit the run, and that the optimizer follows the schedule."""
    if "trainer" in config:  # which may read what it likes
        return
    updates, average = config["updates"], average_of(config.get("average"))
    if "schedule" in config:
        check_schedule(config["schedule"], config["optimizer"], updates)
    if average is not None and float(in_updates(average.start, updates)) >= updates:
        raise StudyError(
            f"average: start must be before the last of {updates} updates, got {average.start}"
        )


def _require_whole(key: str, value: Any, *, least: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise StudyError(f"{key}: must be a whole number of at least {least}, got {value!r}")


def _check_drawn(setup: Setup) -> None:
    try:
        _check_batch(setup.task, setup.drawn)
    except StudyError as error:
        if setup.accumulate == 1:
            raise
        raise StudyError(
            f"{error} (an update draws batch={setup.batch} times accumulate={setup.accumulate})"
        ) from error


@functools.lru_cache(maxsize=64)
def _check_batch(task: Task, batch: int) -> None:
    """Draw a batch of this size: the task may refuse it, for example for lack of examples."""
    name = type(task).__name__
    with as_study_error("task", f"{name} fails on {batch} examples, those of an update"):
        drawn = task.sample(lambda *key: generator(0, "check", *key), 0, batch)
    if drawn.lengths is not None and is_stream(task, batch):
        raise StudyError(
            f"task: {name} carries states from update to update, and gives lengths: pieces of a"
            " stream must be of one length"
        )


def _check_memory(setup: Setup) -> None:
    """Refuse sequences so long that the batch of one point cannot fit into memory."""
    needed, available = 2 * member_bytes(setup), memory()  # twice: a lone member is doubled
    if needed > available:
        raise StudyError(
            f"task: sequences of {setup.task.facts.steps} steps need about {needed / 1e9:.0f} GB"
            f" with batch={setup.batch}, accumulate={setup.accumulate},"
            f" health.examples={setup.health.examples}, hidden={setup.hidden} and"
            f" depth={setup.depth}, and this machine has {available / 1e9:.0f} GB; use shorter"
            " sequences, smaller batches or fewer units"
        )


def _check_health(health: Health) -> None:
    if not health.vanishing < health.fading < 0 < health.exploding:
        raise StudyError(
            "health: thresholds must satisfy vanishing < fading < 0 < exploding, got vanishing"
            f" {health.vanishing}, fading {health.fading}, exploding {health.exploding}"
        )
    _require_whole("health.examples", health.examples, least=2)
    _require_whole("health.bootstrap", health.bootstrap, least=1)


def _check_initializer(setup: Setup) -> None:
    """Draw one block of each role that the initializer fills, and check its shape and values."""
    initializer, model = setup.initializer, setup.stack
    name, allowed = (
        type(initializer).__name__,
        [role for role in get_args(Role) if role not in ("readout", "own")],
    )
    if isinstance(initializer.roles, str) or not set(initializer.roles) <= set(allowed):
        raise StudyError(
            f"initializer: roles of {name} must be a tuple of {', '.join(allowed)} (weights.readout"
            f" rules the readout), got {initializer.roles!r}"
        )
    if not initializer.roles:
        raise StudyError(
            f"initializer: {name} leaves weights as a model of your own draws them, and the stack"
            " draws none; choose another for model=stack"
        )
    if "recurrent" not in initializer.roles and any(
        parameter.role == "recurrent" for _, parameter in model.parameters.values()
    ):
        raise StudyError(
            f"initializer: roles of {name} must contain recurrent, which no other rule fills: it"
            f" would start at zero; got {initializer.roles!r}"
        )
    facts = init_facts(setup, seed=0)
    for tensor, (layer, parameter) in model.parameters.items():
        if layer == 1 and parameter.role in initializer.roles:
            block = Block(
                role=parameter.role, gate=parameter.gates[0], shape=parameter.block, layer=1
            )
            with as_study_error(
                "initializer", f"{name} cannot fill {tensor} of shape {block.shape}"
            ):
                value = initializer(block, generator(0, "check"), facts)
            if not isinstance(value, Tensor) or tuple(value.shape) != block.shape:
                got = (
                    f"shape {tuple(value.shape)}"
                    if isinstance(value, Tensor)
                    else type(value).__name__
                )
                raise StudyError(
                    f"initializer: {name} returned {got} for {tensor}, which needs a tensor of"
                    f" {block.shape}"
                )
            if not value.isfinite().all():
                raise StudyError(
                    f"initializer: {name} returned values that are not finite for {tensor}"
                )


def _check_penalty(penalty: Penalty, model: Model, facts: TaskFacts) -> None:
    """Apply the penalty to two steps of two members, and check that it depends on the weights."""
    name, rng = type(penalty).__name__, generator(0, "check, penalty")
    leaves = {
        key: value.clone().requires_grad_()
        for key, value in model.named(0.1 * torch.randn(2, model.width, generator=rng)).items()
    }
    x = torch.randn(2, 2, 2, facts.inputs, generator=rng)
    outputs, layers = model.stepwise(leaves, x, None, [], [], taps=True)
    at_states = torch.autograd.grad(
        outputs.sum(), state_taps(layers), allow_unused=True, retain_graph=True
    )
    with as_study_error("penalty", f"{name} fails on two steps"):
        term = penalty(update_pass(model, leaves, layers, at_states, valid_steps(model, x, None)))
    got = tuple(term.shape) if isinstance(term, Tensor) else type(term).__name__
    if got != (2,):
        raise StudyError(f"penalty: {name} must return one value per member, [M] = (2,), got {got}")
    if not term.requires_grad:
        raise StudyError(
            f"penalty: {name} depends on no weight of this network (cell"
            f" {type(model.cell).__name__}), so it would change nothing; leave it out"
        )


SINGLE_PIECES = {
    "cell": Cell,
    "initializer": Initializer,
    "clip": ClipRule,
    "optimizer": Optimizer,
    "readout": Readout,
    "task": Task,
    "executor": Executor,
}
OPTIONAL_PIECES = {
    "encoder": Encoder,
    "block": LayerBlock,
    "penalty": Penalty,
    "schedule": Schedule,
}
NAMED_PIECES = {"probe": Probe, "tracker": Tracker}


def check_pieces(config: Mapping[str, Any], seen: set[str]) -> None:
    """Build every piece that is not in `seen` yet; check its settings and its interface."""
    for key in NAMED_PIECES:
        if "_target_" in config[key]:
            raise StudyError(
                f"{key}: the YAML of {config[key]['_target_']} lacks its first line, # @package"
                f" {key}.NAME, with the name of its file"
            )
    named = [
        (f"{key}.{name}", kind, node)
        for key, kind in NAMED_PIECES.items()
        for name, node in config[key].items()
    ]
    for key, kind, node in [
        *(
            (key, kind, config[key])
            for key, kind in {**SINGLE_PIECES, **OPTIONAL_PIECES}.items()
            if key in config
        ),
        *named,
    ]:
        text = json.dumps([key, node], sort_keys=True)
        if text in seen:
            continue
        seen.add(text)
        for name, value in node.items() if isinstance(node, Mapping) else ():
            if isinstance(value, float) and not math.isfinite(value):
                raise StudyError(f"{key}: {name} must be a finite number, got {value}")
        try:
            piece = build(node, key)
        except StudyError as error:
            if kind is Tracker and _lacks_package(error, node):
                # Trackers are optional: this one is switched off with a warning when it is opened.
                continue
            raise
        if not isinstance(piece, kind):
            raise StudyError(
                f"{key}: _target_ must be a {kind.__name__} (study/interfaces.py), got"
                f" {node['_target_']}"
            )
        if key in ("clip", "optimizer"):
            check_flat(node, key)


def _lacks_package(error: BaseException | None, node: Mapping[str, Any]) -> bool:
    """Whether a piece's file exists but imports a package that is not installed."""
    while error is not None and not isinstance(error, ModuleNotFoundError):
        error = error.__cause__
    return error is not None and not f"{node['_target_']}.".startswith(f"{error.name}.")


def check_all(combinations: Sequence[Combination], seen: set[str] | None = None) -> None:
    """Check each distinct piece and each distinct combination of pieces once.

    `seen` holds what earlier calls have checked. Clip rule and optimizer do not count as part of a
    combination: they only see flat [M, P] tensors; nor do schedule and average, which only see
    updates and the optimizer.
    """
    seen = set() if seen is None else seen
    for combination in combinations:
        seed = combination.config["seed"]
        if not isinstance(seed, int) or seed < 0:
            raise StudyError(f"seed: must be a whole number of at least 0, got {seed!r}")
        config = combination.config
        flat = dict.fromkeys(("clip", "optimizer", "schedule", "average"))
        network = json.dumps(
            {**config, **flat, "seed": 0, "study": None}, sort_keys=True, default=str
        )
        rates = json.dumps([config.get(key) for key in RATES])
        try:
            check_pieces(config, seen)
            if network not in seen:
                seen.add(network)
                check(config)
            elif rates not in seen:
                check_rates(config)
            seen.add(rates)
        except StudyError as error:
            chosen = [key for key in ("trainer", "model") if key in config] or ["cell"]
            pieces = [] if "trainer" in config else ["initializer", "clip"]
            where = ", ".join(
                f"{key}={combination.labels[key]}" for key in [*chosen, *pieces, "task"]
            )
            raise StudyError(f"{error}\n(in the combination {where})") from error
