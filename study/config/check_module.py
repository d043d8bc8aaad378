"""Check a model of the user's own on the task's examples, before anything is trained."""

from __future__ import annotations

import torch
from torch import Tensor

from study.config.build import as_study_error
from study.config.network import init_facts
from study.config.setup import Setup
from study.interfaces import Batch
from study.modules.initial import initial_row
from study.modules.network import ModuleNetwork, recurrent_parts
from study.records import StudyError

EXAMPLES = 4


def check_module(setup: Setup, network: ModuleNetwork) -> None:
    """Try the module as training will: an update of two members, an evaluation, a measurement."""
    examples = setup.task.split("validation")
    _check_symbols(network, examples)
    _check_lengths(setup, network)
    _check_initializer(setup, network)
    x = examples.x[:EXAMPLES].to(setup.dtype)
    pair = torch.stack([x, x.flip(1) if examples.lengths is None else x])
    if network.how.symbols:
        pair = torch.stack([x, x])
    lengths = None if examples.lengths is None else examples.lengths[None, :EXAMPLES].expand(2, -1)
    rows = torch.stack([network.row(seed) for seed in (0, 1)]).to(setup.dtype)
    params = {
        name: value.detach().requires_grad_(name in network.trained)
        for name, value in network.named(rows).items()
    }
    with as_study_error("model", f"{network.name} fails on {EXAMPLES} examples of the task"):
        outputs, _ = network.train_forward(params, pair, lengths, [0, 1], 0)
        with torch.no_grad():
            network.forward(params, pair, lengths)
        batch = Batch(pair, torch.stack([examples.y[:EXAMPLES]] * 2), lengths)
        loss = setup.task.loss(outputs, batch)
        grads = torch.autograd.grad(
            loss.sum(), [params[name] for name in network.trained], allow_unused=True
        )
    if all(grad is None for grad in grads):
        raise StudyError(
            f"model: the outputs of {network.name} depend on none of its parameters (detached, or"
            " computed without them)"
        )
    if setup.nodes["probe"]:
        _check_states(network, params, pair, lengths)


def _check_symbols(network: ModuleNetwork, examples: Batch) -> None:
    x = examples.x
    one_hot = bool(((x == 0) | (x == 1)).all()) and bool((x.sum(-1) <= 1).all())
    if network.how.symbols and not one_hot:
        raise StudyError(
            "model: _input_: symbols needs a task whose inputs are one symbol a step (one-hot), and"
            " this task's are numbers; leave it out"
        )


def _check_lengths(setup: Setup, network: ModuleNetwork) -> None:
    parts = [setup.task.split(part) for part in ("train", "validation")]
    if any(part.lengths is not None for part in parts) and not network.how.lengths:
        raise StudyError(
            f"model: this task's sequences differ in length, and {network.name}.forward does not"
            " take `lengths`, so that its last step would be padding; write forward(self, x,"
            " lengths) with lengths [B] (torch.nn.utils.rnn.pack_padded_sequence takes them with"
            " batch_first=True, enforce_sorted=False)"
        )


def _check_initializer(setup: Setup, network: ModuleNetwork) -> None:
    if recurrent_parts(network.module):
        initial_row(network, initializer=setup.initializer, facts=init_facts(setup, seed=0), seed=0)


def _check_states(
    network: ModuleNetwork, params: dict[str, Tensor], x: Tensor, lengths: Tensor | None
) -> None:
    """Unroll the module, and compare its outputs with those of its own forward pass."""
    wide = {name: value.detach().double() for name, value in params.items()}
    with as_study_error("model", f"{network.name} cannot be measured step by step"):
        run = network.unrolled(wide, x.double(), lengths)
        with torch.no_grad():
            own = network.forward(wide, x.double(), lengths)
    if not torch.allclose(run.outputs.detach(), own, rtol=1e-6, atol=1e-9, equal_nan=True):
        raise StudyError(
            f"model: {network.name} gives other outputs when its recurrent layers are computed step"
            " by step, so that its gradients through time cannot be measured; probe=[] trains it"
            " without"
        )
