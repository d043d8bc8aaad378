"""The network of a point, what its initializers may know, and the memory that training it needs."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from study.config.build import as_study_error
from study.config.setup import Setup
from study.interfaces import Batch, InitFacts
from study.model import Model
from study.numerics.streams import generator


def init_facts(setup: Setup, seed: int) -> InitFacts:
    """What initializers may know about the task, measured on its fixed training examples as the
    first layer reads them.
    """
    facts, model = setup.task.facts, setup.model
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


# Values kept per unit and step for the backward pass: of training (gated cells keep about as many,
# plain ones fewer), and of probes, in fp64 (measured with the default probes and gradient_share, on
# gated cells, with any kernel).
KEPT_BY_TRAINING = 12
KEPT_BY_PROBES = 18


def kept_by_encoder(model: Model) -> int:
    """Values per example and step that an encoder keeps for the backward pass, counted on one
    step: convolutions keep many times what they return.
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


def member_bytes(setup: Setup) -> float:
    """Bytes that one member needs, roughly: its batch and what is kept for the backward pass, or
    its probe batch where that is more.
    """
    facts, model, units = setup.task.facts, setup.model, setup.hidden * setup.depth
    per_step = facts.inputs + kept_by_encoder(model) + facts.outputs * facts.every_step
    training = (
        model.padded_batch(setup.batch)
        * (per_step + KEPT_BY_TRAINING * units)
        * setup.dtype.itemsize
    )
    probing = setup.health.examples * (per_step + KEPT_BY_PROBES * units) * torch.float64.itemsize
    return float(facts.steps * max(training, probing if setup.nodes["probe"] else 0))
