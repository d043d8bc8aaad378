"""The network of a point, what its initializers may know, and the memory that training it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from study.config.build import build, told
from study.config.resolve import DTYPES, resolve_kernel
from study.config.tasks import load_task
from study.interfaces import Batch, Cell, Encoder, InitFacts, Readout, Task
from study.model import Model
from study.numerics.streams import generator
from study.records import StudyError


def build_model(config: Mapping[str, Any]) -> Model:
    """The structure of a point: encoder, cell, depth, readout, sizes."""
    facts = load_task(config["task"]).facts
    cell: Cell = build(config["cell"], "cell")
    readout: Readout = build(config["readout"], "readout")
    if readout.every_step != facts.every_step:
        wants, fits = (
            ("every step", "every")
            if facts.every_step
            else ("the last step", "last, mean or attention (one output a sequence)")
        )
        raise StudyError(
            f"readout: the task's loss is on {wants}, this readout's output is not; use"
            f" readout={fits}"
        )
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
    """What initializers may know of the task: measured on its fixed training examples, as the first
    layer reads them.
    """
    facts, examples, input_rule = (
        task.facts,
        task.split("train"),
        build(config["weights"]["input"], "weights.input"),
    )
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


# values that training keeps a unit and step for the way back; gated cells have about as many, plain
# ones fewer
KEPT = 12


# those of probes, in fp64: measured with the default ones and gradient_share, of gated cells by any
# kernel
LOOKED = 18


def kept_by_encoder(model: Model) -> int:
    """Values an example and step that an encoder keeps for the way back, counted on one:
    convolutions keep many times what they give.
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
            told("encoder", "fails on a step of zeros"),
        ):
            model.encoded(
                model.named(torch.zeros(1, model.width, requires_grad=True)),
                torch.zeros(1, 1, 1, model.inputs),
            )
    return kept


def member_bytes(config: Mapping[str, Any], model: Model) -> float:
    """What one member's batch and what is kept of it for the way back need, roughly; or its probe
    batch, where that is more.
    """
    facts, units = load_task(config["task"]).facts, config["hidden"] * config["depth"]
    beside = facts.inputs + kept_by_encoder(model) + facts.outputs * facts.every_step
    trained = (
        model.padded_batch(config["batch"])
        * (beside + KEPT * units)
        * DTYPES[config["dtype"]].itemsize
    )
    looked_at = (
        config["health"]["examples"] * (beside + LOOKED * units) * DTYPES["float64"].itemsize
        if config["probe"]
        else 0
    )
    return float(facts.steps * max(trained, looked_at))
