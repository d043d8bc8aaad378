"""Check a model of the user's own on the task's examples, before anything is trained."""

from __future__ import annotations

from collections import deque
from typing import Any

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
    _check_calls(network, params, pair, lengths)
    if setup.nodes["probe"]:
        _check_states(network, params, pair, lengths)


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
    failure = f"{network.name} cannot be measured step by step, and probe=[] trains it without"
    with as_study_error("model", failure):
        run = network.unrolled(wide, x.double(), lengths)
        if run.layers:
            run.derivatives(run.outputs.sum())
        with torch.no_grad():
            own = network.forward(wide, x.double(), lengths)
    if not torch.allclose(run.outputs.detach(), own, rtol=1e-6, atol=1e-9, equal_nan=True):
        raise StudyError(
            f"model: {network.name} gives other outputs when its recurrent layers are computed step"
            " by step, so that its gradients through time cannot be measured; probe=[] trains it"
            " without"
        )


def _check_calls(
    network: ModuleNetwork, params: dict[str, Tensor], x: Tensor, lengths: Tensor | None
) -> None:
    """Check that a call's outputs depend on weights, seed and example, and on no other call."""
    fresh = ModuleNetwork(network.node, network.task)
    module, name = fresh.module, network.name
    given = {key: value.clone() for key, value in params.items()}
    seeds: list[int] = []
    if not isinstance(module, torch.jit.ScriptModule):
        module.register_forward_hook(lambda *_: seeds.append(torch.initial_seed()))

    def outputs(x: Tensor) -> Tensor:
        return fresh.train_forward(params, x, lengths, [0, 1], 0)[0]

    with torch.no_grad(), as_study_error("model", f"{name} fails when it is called again"):
        first, before = outputs(x), _attributes(module)
        if seeds and seeds[0] == seeds[1]:
            raise StudyError(
                f"model: {name} calls torch.manual_seed in forward, so that all networks would draw"
                " the same at every update; leave it out, since what it draws follows the point's"
                " seed already"
            )
        if changed := [key for key in network.trained if not torch.equal(params[key], given[key])]:
            raise StudyError(
                f"model: {name} changes {', '.join(changed)} in forward; parameters are changed by"
                " the optimizer alone: draw their first values in __init__, or compute others from"
                " them"
            )
        outputs(x.flip(1))
        between = _attributes(module)
        again, after = outputs(x), _attributes(module)
        fewer = None if lengths is None else lengths[:, 1:]
        evaluated = fresh.forward(params, x, lengths)
        without = fresh.forward(params, x[:, 1:], fewer)
        once_more = fresh.forward(params, x, lengths)
    same = torch.equal(first.nan_to_num(), again.nan_to_num())
    same = same and torch.equal(evaluated.nan_to_num(), once_more.nan_to_num())
    grown = [key for key, value in after.items() if _differ(value, before.get(key), numbers=True)]
    if not same or grown:
        found = grown or [key for key, value in between.items() if _differ(value, before.get(key))]
        raise StudyError(
            f"model: {name} keeps something from one call to the next"
            f"{f' ({chr(44).join(found)})' if found else ''}, so that a network's numbers would"
            " depend on what was computed before it; return it from forward, or make it a buffer"
            " (self.register_buffer), which every network has for itself"
        )
    if not torch.allclose(evaluated[:, 1:], without, rtol=1e-3, atol=1e-4, equal_nan=True):
        raise StudyError(
            f"model: in evaluation, the outputs of {name} for one example depend on the others in"
            " its batch, or on chance. Recurrent layers read the batch as time unless"
            " batch_first=True is given (or _layout_: time_first, in the YAML)"
        )


def _attributes(module: torch.nn.Module) -> dict[str, Any]:
    """What the parts of a module keep beside parameters and buffers: numbers, sizes, tensors."""
    theirs = vars(torch.nn.Module())
    found: dict[str, Any] = {}
    for path, part in module.named_modules():
        for key, value in vars(part).items():
            name = f"{path}.{key}" if path else key
            if key in theirs or key.startswith("_flat_weight"):
                continue
            if isinstance(value, Tensor):
                found[name] = value.detach().clone()
            elif isinstance(value, bool | int | float | str):
                found[name] = value
            elif isinstance(value, list | dict | set | deque):
                found[name] = len(value)
    return found


def _differ(one: Any, other: Any, *, numbers: bool = False) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return not numbers and not (one.shape == other.shape and torch.equal(one, other))
    return type(one) is not type(other) or one != other
