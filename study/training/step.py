"""One update of a group: batch, loss, backward pass, clipping, optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from study.health.profiles import profile_of_squares
from study.interfaces import Batch, Params, ProfileProbe, State, UpdatePass, defines
from study.model import Model, StepwiseLayer, dropout_masks, last_states
from study.modules.network import ModuleNetwork
from study.numerics.streams import generator
from study.records import StudyError
from study.training.averages import averaged
from study.training.outcome import finished, settled
from study.training.precision import autocast, rounding
from study.training.rates import scheduled
from study.training.state import Measured, Training
from study.update_pass import state_taps, update_pass, valid_steps


def step(training: Training, update: int) -> None:
    """Update every member that is still finite."""
    profiling = [
        (name, update // probe.every)
        for name, (probe, _) in training.probes.items()
        if isinstance(probe, ProfileProbe) and probe.every and update % probe.every == 0
    ]
    loss, grads, states, profiles = loss_and_gradients(
        training, training.params, update, with_profiles=bool(profiling)
    )
    training.measured += [
        Measured(name, stage, update, {}, profiles, {}) for name, stage in profiling
    ]
    norm = torch.linalg.vector_norm(grads, dim=1, dtype=torch.float64)
    clipped, training.clip_states = clip(training, grads)
    optimizer, factors = scheduled(training, update)
    compiled = training.direct is not None and defines(
        type(optimizer), "native", beside=("__call__",)
    )
    params, training.optimizer_state = (optimizer.native if compiled else optimizer)(
        clipped, training.params, training.optimizer_state
    )
    made = settled if training.direct is not None else finished
    made(training, update, loss, norm, grads, clipped, training.model.with_kept(params, states))
    training.averaged = averaged(training, update + 1)
    training.factors += [] if factors is None else [factors]
    if training.setup.carries_states:
        training.carried = carried_states(training, states)


def carried_states(training: Training, new: list[State]) -> list[State]:
    """The states to carry to the next update.

    A frozen member keeps those from before its failing update (study/training/postmortem.py).
    """
    if not training.carried:
        return new
    alive = training.alive[:, None, None]
    return [
        tuple(torch.where(alive, *parts) for parts in zip(*states, strict=True))
        for states in zip(new, training.carried, strict=True)
    ]


def clip(training: Training, grads: Tensor) -> tuple[Tensor, list[Any]]:
    """Apply each clip rule to its members; return clipped gradients and next states."""
    if len(training.clip_rules) == 1:
        ((rule, _),), (state,) = training.clip_rules, training.clip_states
        clipped, state = rule(grads.clone(), training.params.clone(), state)
        return clipped, [state]
    clipped, states = torch.empty_like(grads), []
    for (rule, members), state in zip(training.clip_rules, training.clip_states, strict=True):
        part, next_state = rule(grads[members], training.params[members], state)
        clipped[members] = part
        states.append(next_state)
    return clipped, states


def loss_and_gradients(
    training: Training, params: Tensor, update: int, *, with_profiles: bool = False
) -> tuple[Tensor, Tensor, list[State], dict[str, dict[str, np.ndarray]]]:
    """Losses [M] and gradients [M, P] of this update's batch at `params`, final states, profiles.

    Means over the update's batches (`accumulate`), one in memory after the other. Losses are the
    task's, gradients those of loss and penalty. States only if the task carries them. With
    `with_profiles`, also profiles by layer of the norms of the loss's gradients at each step, of
    the first batch (Measured.profiles); this changes no number.
    """
    found, rows = None, params
    examples, index = drawn(training, update)
    for part in range(training.setup.accumulate):
        own = rows_of(examples, part, training.setup.batch)
        loss, grads, states, profiles = of_batch(
            training, rows, own, index, update, part, with_profiles=with_profiles and part == 0
        )
        rows = training.model.with_kept(rows, states)  # statistics go on from batch to batch
        if found is not None:
            carried = training.setup.carries_states
            states = joined(found[2], states) if carried else states
            loss, grads, profiles = found[0] + loss.detach(), found[1] + grads, found[3]
        found = loss.detach(), grads, states, profiles
    assert found is not None
    if training.setup.accumulate == 1:
        return found
    count = training.setup.accumulate
    return found[0] / count, found[1] / count, found[2], found[3]


def joined(states: list[State], more: list[State]) -> list[State]:
    """Each layer's states of two batches side by side."""
    return [
        tuple(torch.cat(pair, dim=1) for pair in zip(*layers, strict=True))
        for layers in zip(states, more, strict=True)
    ]


def of_batch(
    training: Training,
    params: Tensor,
    examples: Batch,
    index: Sequence[int],
    update: int,
    part: int,
    *,
    with_profiles: bool = False,
) -> tuple[Tensor, Tensor, list[State], dict[str, dict[str, np.ndarray]]]:
    """As `loss_and_gradients`, of batch number `part` of an update alone, as `drawn` gives it."""
    if training.direct is not None and not with_profiles:
        return (*training.direct.gradients(params, examples, index, training.distinct), [], {})
    batch = to_device(training, examples, index)
    if isinstance(training.model, ModuleNetwork):
        return of_module(training, training.model, params, batch, update, part)
    penalty = training.penalty
    leaves = {
        name: view.detach().requires_grad_() for name, view in training.model.named(params).items()
    }
    taps = (
        training.stack.step_norm_inputs(*batch.x.shape[:3], device=training.device)
        if with_profiles
        else {}
    )
    with rounding(training):
        outputs, states, layers = forward(training, leaves | taps, batch, update, part)
        loss = training.task.loss(outputs, batch)
        after = state_taps(layers)
        wanted = [*leaves.values(), *taps.values(), *after]
        grads = torch.autograd.grad(
            loss.sum(), wanted, allow_unused=True, retain_graph=bool(layers) or None
        )
        flat = training.model.joined(with_zeros(leaves, grads))
        if penalty is not None:
            at_states = grads[len(grads) - len(after) :]
            flat = flat + penalty_gradients(training, leaves, batch, layers, at_states)
    profiles = profiles_of(training.stack, grads[len(leaves) : len(leaves) + len(taps)], batch)
    return loss, flat, states, profiles


def of_module(
    training: Training, model: ModuleNetwork, params: Tensor, batch: Batch, update: int, part: int
) -> tuple[Tensor, Tensor, list[State], dict[str, dict[str, np.ndarray]]]:
    """As `of_batch`, of a model of the user's own; its states are its kept tensors."""
    # a lone member, listed twice, is computed once
    members = len(training.points)
    count = training.distinct if training.penalty is None else members
    batch = _first_members(batch, count)
    leaves = {
        name: view[:count].detach().requires_grad_(name in model.trained)
        for name, view in model.named(params).items()
    }
    seeds = [point.seed for point in training.points[:count]]
    with rounding(training):
        with autocast(training):
            number = update * training.setup.accumulate + part  # of the batch, in the run
            outputs, kept = model.train_forward(leaves, batch.x, batch.lengths, seeds, number)
        loss = training.task.loss(outputs.to(training.dtype), batch)
        trained = {name: leaves[name] for name in model.trained}
        total = loss.sum()
        if training.penalty is not None:
            seen = UpdatePass(None, trained, model.roles, layers=[], valid=torch.ones(()))
            total = total + training.penalty(seen).sum()
        grads = torch.autograd.grad(total, list(trained.values()), allow_unused=True)
    zeros = {name: torch.zeros_like(leaves[name]) for name in model.kept}
    flat = model.joined(with_zeros(trained, grads) | zeros)
    every = [each.expand(members, *each.shape[1:]) for each in (loss, flat, *kept)]
    return every[0], every[1].contiguous(), [tuple(every[2:])], {}


def _first_members(batch: Batch, count: int) -> Batch:
    lengths = None if batch.lengths is None else batch.lengths[:count]
    return Batch(batch.x[:count], batch.y[:count], lengths)


def penalty_gradients(
    training: Training,
    leaves: Params,
    batch: Batch,
    layers: Sequence[StepwiseLayer],
    at_states: Sequence[Tensor | None],
) -> Tensor:
    """Gradients [M, P] of the group's penalty; `layers` and `at_states` as in `update_pass`."""
    assert training.penalty is not None
    valid = valid_steps(training.stack, batch.x, batch.lengths)
    term = training.penalty(update_pass(training.stack, leaves, layers, at_states, valid))
    grads = torch.autograd.grad(term.sum(), list(leaves.values()), allow_unused=True)
    return training.model.joined(with_zeros(leaves, grads))


def with_zeros(leaves: Params, grads: Sequence[Tensor | None]) -> dict[str, Tensor]:
    """The first of `grads` by the names of `leaves`; zeros where nothing depends on the leaf."""
    return {
        name: torch.zeros_like(leaf) if grad is None else grad
        for (name, leaf), grad in zip(leaves.items(), grads, strict=False)
    }


def profiles_of(
    model: Model, squares: Sequence[Tensor | None], batch: Batch
) -> dict[str, dict[str, np.ndarray]]:
    """Profiles by layer from squared norms [M, T, B'].

    Raises StudyError if the cell's kernel does not compute these norms.
    """
    members, examples, steps, _ = batch.x.shape
    last = (
        np.full((members, examples), steps - 1)
        if batch.lengths is None
        else batch.lengths.cpu().numpy() - 1
    )
    found = {}
    for number, grad in enumerate(squares, start=1):
        if grad is None:
            name = type(model.cell).__name__
            raise StudyError(
                f"probe.train_profile: kernel {model.kernel} of {name} does not compute gradient"
                " norms by step; use kernel=reference or every=null"
            )
        found[f"{number}/h"] = profile_of_squares(grad[..., :examples].cpu().numpy(), last)
    return found


def forward(
    training: Training, params: Params, batch: Batch, update: int, part: int = 0
) -> tuple[Tensor, list[State], list[StepwiseLayer]]:
    """Outputs in training's dtype; final states if the task carries them; layers for a penalty."""
    model, penalty = training.stack, training.penalty
    dropped = masks(training, update * training.setup.accumulate + part, batch)
    carries, layered = training.setup.carries_states, penalty is not None and penalty.reads_states
    with autocast(training):
        if not carries and not layered:
            outputs = model.forward(params, batch.x, batch.lengths, dropped)
            return outputs.to(training.dtype), [], []
        goes_on = carries and training.task.carries(update, training.setup.drawn)
        first = carried_of(training, part) if goes_on else []
        outputs, layers = model.stepwise(
            params, batch.x, batch.lengths, dropped, first, taps=layered
        )
    states = [tuple(part.to(training.dtype) for part in last_states(layer)) for layer in layers]
    return outputs.to(training.dtype), states if carries else [], layers if layered else []


def carried_of(training: Training, part: int) -> list[State]:
    """Each layer's carried states of the rows of batch number `part` of an update."""
    count = training.setup.accumulate
    if count == 1 or not training.carried:
        return training.carried
    return [tuple(state.chunk(count, dim=1)[part] for state in layer) for layer in training.carried]


def training_batch(training: Training, update: int) -> Batch:
    """All examples of an update: each member's a function of (seed, update)."""
    return to_device(training, *drawn(training, update))


def training_batches(training: Training, update: int) -> Iterator[Batch]:
    """The update's batches, one after the other: those examples in as many equal parts."""
    examples, index = drawn(training, update)
    for part in range(training.setup.accumulate):
        yield to_device(training, rows_of(examples, part, training.setup.batch), index)


def drawn(training: Training, update: int) -> tuple[Batch, list[int]]:
    """The examples of an update for each distinct seed, and the index of each member's."""
    seeds = [point.seed for point in training.points]
    distinct = list(dict.fromkeys(seeds))
    parts = [
        training.task.sample(
            lambda *key, seed=seed: generator(seed, "data", *key), update, training.setup.drawn
        )
        for seed in distinct
    ]
    return stack_batches(parts), [distinct.index(seed) for seed in seeds]


def rows_of(batch: Batch, part: int, size: int) -> Batch:
    """The examples of one part of so many examples of a batch with the axis M."""
    if batch.x.shape[1] == size:
        return batch
    rows = slice(part * size, (part + 1) * size)
    return Batch(
        x=batch.x[:, rows],
        y=batch.y[:, rows],
        lengths=None if batch.lengths is None else batch.lengths[:, rows],
    )


def stack_batches(parts: Sequence[Batch]) -> Batch:
    if len(parts) == 1:
        (one,) = parts
        return Batch(one.x[None], one.y[None], None if one.lengths is None else one.lengths[None])
    lengths = (
        None
        if parts[0].lengths is None
        else torch.stack([part.lengths for part in parts if part.lengths is not None])
    )
    return Batch(
        x=torch.stack([part.x for part in parts]),
        y=torch.stack([part.y for part in parts]),
        lengths=lengths,
    )


def to_device(training: Training, batch: Batch, index: Sequence[int] | Tensor) -> Batch:
    """Each member's examples, [M, B, …]."""
    index = torch.as_tensor(index)

    def move(tensor: Tensor) -> Tensor:
        tensor = tensor[index].to(training.device)
        return tensor.to(training.dtype) if tensor.is_floating_point() else tensor

    return Batch(
        x=move(batch.x),
        y=move(batch.y),
        lengths=None if batch.lengths is None else move(batch.lengths),
    )


def masks(training: Training, number: int, batch: Batch) -> list[Tensor]:
    """Dropout masks of batch `number` of the run."""
    if training.stack.dropout == 0 or training.stack.depth == 1:
        return []
    _, examples, steps, _ = batch.x.shape
    by_member = [
        dropout_masks(training.stack, point.seed, number, examples, steps)
        for point in training.points
    ]
    return [
        torch.stack(layer).to(training.device, training.dtype)
        for layer in zip(*by_member, strict=True)
    ]
