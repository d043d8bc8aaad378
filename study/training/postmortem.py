"""Find the first tensor that was not finite, by computing the failing update again."""

from __future__ import annotations

import torch
from torch import Tensor

from study.training.state import Training
from study.training.step import carried_of, loss_and_gradients, training_batches


def first_nonfinite(training: Training, count: int) -> dict[int, str]:
    """{member: name of the tensor} for the first `count` members that diverged.

    A frozen member still has the weights of its last finite update, and its batch is a function of
    (seed, update). Checked in order: the forward pass, the gradients from the top down, the update.
    """
    diverged_at = training.diverged_at.tolist()
    causes: dict[int, str] = {}
    for update in sorted({at for at in diverged_at[:count] if at >= 0}):
        members = [member for member in range(count) if diverged_at[member] == update]
        states = _states(training, update)
        loss, grads, _, _ = loss_and_gradients(training, training.params, update)
        named = training.model.named(grads)
        for member in members:
            causes[member] = _first(member, states, loss, named)
    return causes


def _first(member: int, states: dict[str, Tensor], loss: Tensor, grads: dict[str, Tensor]) -> str:
    for name, tensor in states.items():
        bad = ~tensor[member].isfinite()
        if bad.any():
            step = int(bad.flatten(1).any(1).nonzero()[0])
            return f"{name} at step {step + 1}"
    if not loss[member].isfinite():
        return "loss"
    for name, tensor in reversed(grads.items()):
        if not tensor[member].isfinite().all():
            return f"gradient of {name}"
    return "update of the weights"


def _states(training: Training, update: int) -> dict[str, Tensor]:
    """States [M, T, B, H] by name, at the weights members were frozen with."""
    found: dict[str, list[Tensor]] = {}
    goes_on = training.task.carries(update, training.setup.drawn)
    for part, batch in enumerate(training_batches(training, update)):
        first = carried_of(training, part) if goes_on else ()
        with torch.no_grad():
            unrolled = training.model.unrolled(
                training.model.named(training.params), batch.x, batch.lengths, first=first
            )
        for number, layer in enumerate(unrolled.layers, start=1):
            for name, states in layer.items():
                found.setdefault(f"layer{number}.{name}", []).append(states)
        found.setdefault("outputs", []).append(unrolled.outputs[:, None])
    return {
        name: torch.cat(parts, dim=1 if name == "outputs" else 2) for name, parts in found.items()
    }
