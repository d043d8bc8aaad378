"""The facts that a point's initializers may use, and the memory that training it needs."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from study.config.build import as_study_error
from study.config.setup import Setup
from study.interfaces import Batch, InitFacts, TaskFacts
from study.model import Model
from study.modules.cost import bytes_per_example
from study.modules.initial import OwnWeights
from study.modules.initial import input_drive as drive_of
from study.modules.network import ModuleNetwork
from study.numerics.streams import generator


def init_facts(setup: Setup, seed: int) -> InitFacts:
    """Facts for initializers, measured on the fixed training examples the first layer reads."""
    if isinstance(setup.model, ModuleNetwork):
        return _facts_of_module(setup, setup.model, seed)
    facts, model = setup.task.facts, setup.stack
    examples, input_rule = setup.task.split("train"), setup.weight_rules["input"]
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
    if model.encoder is None and model.block is None:
        return found
    x = model.encoded_first(examples.x, standing={"input": input_rule}, facts=found, seed=seed)
    drive = input_drive(replace(examples, x=x))
    return replace(found, input_drive=drive, inputs=model.width_read(1))


def _facts_of_module(setup: Setup, model: ModuleNetwork, seed: int) -> InitFacts:
    """What is the same for all its recurrent layers; study.modules.initial adds the rest."""
    facts = setup.task.facts
    return InitFacts(
        steps=facts.steps,
        lag=facts.lag,
        input_drive=drive_of(model, setup.task.split("train").x[:DRIVEN_BY]),
        inputs=facts.inputs,
        hidden=0,
        keep={},
        input_rule=OwnWeights(),
        activation=None,
        stream=lambda *key: generator(seed, "init, shared", *key),
    )


def input_drive(examples: Batch) -> float:
    """Mean square of an input value over all valid steps of all examples."""
    # by pieces: one-hot inputs of thousands of symbols are large in fp64
    squares = torch.cat([rows.double().square().mean(-1) for rows in examples.x.split(32)])
    if examples.lengths is None:
        return float(squares.mean())
    valid = torch.arange(squares.shape[1]) < examples.lengths[:, None]
    return float(squares[valid].mean())


DRIVEN_BY = 64  # training examples that a module's inputs are measured on


# Values kept per unit and step for the backward pass. Training: what gated cells keep, about; plain
# cells keep fewer. Probes, in fp64: measured with the default probes and gradient_share, on gated
# cells, with any kernel.
KEPT_BY_TRAINING = 12
KEPT_WITH_STATES = 50  # by a penalty that reads states: pascanu on gated cells keeps 45 to 58
KEPT_BY_PROBES = 18
OUTPUTS_KEPT = 3  # copies of the outputs at every step: their loss, its gradient


def kept_by_encoder(model: Model) -> int:
    """Values per example and step that an encoder keeps for the backward pass.

    Counted on one step, because convolutions keep many times as many values as they return.
    """
    kept = 0

    def count(value: Tensor) -> Tensor:
        nonlocal kept
        kept += value.numel()
        return value

    if model.encoder is not None:
        with (
            torch.enable_grad(),
            torch.autograd.graph.saved_tensors_hooks(count, lambda value: value),
            as_study_error("encoder", "fails on a step of zeros"),
        ):
            model.encoded(
                model.named(torch.zeros(1, model.width, requires_grad=True)),
                torch.zeros(1, 1, 1, model.inputs),
            )
    return kept


# Examples per forward pass outside training, the same for every group: it affects the numbers.
EVALUATION_CHUNK = 128
EVALUATED = 2**24  # outputs per member beyond which a chunk has fewer examples


def evaluation_chunk(steps: int, facts: TaskFacts) -> int:
    """Examples of so many steps per forward pass outside training."""
    outputs = steps * facts.outputs if facts.every_step else facts.outputs
    return max(min(EVALUATION_CHUNK, EVALUATED // outputs), 1)


def member_bytes(setup: Setup) -> float:
    """Rough number of bytes that one member needs.

    The largest of training, probing (the batch, and the values kept for the backward pass) and, for
    outputs at every step, evaluating.
    """
    if setup.trainer is not None:
        return 1.0  # unknown
    if isinstance(setup.model, ModuleNetwork):
        return _bytes_of_module(setup, setup.model)
    facts, model = setup.task.facts, setup.stack
    # a state of the usual width counts in the values kept a unit, a memory as a matrix does not
    wide = sum(max(0, width - setup.hidden) for width in model.cell.widths(setup.hidden))
    units = (setup.hidden + wide) * setup.depth
    outputs = OUTPUTS_KEPT * facts.outputs if facts.every_step else 0
    per_step = facts.inputs + kept_by_encoder(model) + outputs
    reads_states = setup.penalty is not None and setup.penalty.reads_states
    kept = KEPT_WITH_STATES if reads_states else KEPT_BY_TRAINING
    training = model.padded_batch(setup.batch) * (per_step + kept * units) * setup.dtype.itemsize
    # the examples of an update's other batches wait as they were drawn
    training += (setup.drawn - setup.batch) * facts.inputs * torch.float32.itemsize
    probing = setup.health.examples * (per_step + KEPT_BY_PROBES * units) * torch.float64.itemsize
    needed = facts.steps * max(training, probing if setup.nodes["probe"] else 0)
    if facts.every_step:
        count, steps = setup.task.split("validation").x.shape[:2]
        values = steps * min(evaluation_chunk(steps, facts), count)
        needed = max(
            needed, values * (facts.inputs + OUTPUTS_KEPT * facts.outputs) * setup.dtype.itemsize
        )
    return float(needed)


def _bytes_of_module(setup: Setup, model: ModuleNetwork) -> float:
    """As `member_bytes`; members are computed one after the other, but share one backward pass.

    A probe keeps about PROBED times as much in fp64, since it computes layers step by step.
    """
    per_example, facts = bytes_per_example(model), setup.task.facts
    training = setup.batch * per_example * setup.dtype.itemsize / torch.float32.itemsize
    probing = setup.health.examples * per_example * PROBED if setup.nodes["probe"] else 0
    outputs = facts.steps * facts.outputs if facts.every_step else facts.outputs
    evaluated = len(setup.task.split("validation").x) * outputs * OUTPUTS_KEPT
    return float(max(training, probing, evaluated * setup.dtype.itemsize))


PROBED = 6
