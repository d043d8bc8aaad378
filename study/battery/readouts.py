"""Checks of readouts."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from study.battery.shared import COMPANY, STEPS, check_company
from study.interfaces import Readout, defines
from study.numerics.streams import generator


def check_readout(readout: Readout) -> None:
    """Check roles, shapes, independence of members, padding, attention and `last_step_only`.

    Every parameter must affect the outputs, and attention must sum to 1. `backward`, where the
    readout defines it, equals autograd bit for bit.
    """
    name = type(readout).__name__
    for hidden, batch, outputs in ((8, 4, 3), (32, 3, 1)):
        roles = {p.role for p in readout.shapes(hidden, outputs)}
        assert roles <= {"readout", "bias"}, (
            f"{name}: roles must be readout or bias, got {', '.join(sorted(roles))}"
        )
        lengths = torch.tensor([STEPS, 2, 3, 1])[:batch]
        for some_lengths in (None, lengths):
            _readout_members(readout, hidden, batch, outputs, some_lengths)
            if defines(type(readout), "backward", beside=("__call__",)):
                _readout_backward(readout, hidden, outputs, some_lengths, batch)
        if not readout.every_step:
            _readout_lengths(readout, hidden, outputs, lengths)
        if readout.last_step_only:
            _readout_last_step(readout, hidden, outputs)


def _readout_backward(
    readout: Readout, hidden: int, outputs: int, lengths: Tensor | None, batch: int
) -> None:
    """Without a graph, outputs and gradients are the same to the last bit."""
    drawn = generator(0, "backward")
    # examples last in memory, as compiled layers return states
    h = torch.randn(2, STEPS, hidden, batch, generator=drawn).transpose(2, 3)
    params = {
        one.name: torch.randn(2, *one.shape, generator=drawn)
        for one in readout.shapes(hidden, outputs)
    }
    both = None if lengths is None else torch.stack([lengths] * 2)
    leaves = [value.detach().requires_grad_() for value in (h, *params.values())]
    found = readout(dict(zip(params, leaves[1:], strict=True)), leaves[0], both)
    at_outputs = torch.randn(found.shape, generator=drawn)
    expected = torch.autograd.grad(found, leaves, at_outputs)
    with torch.no_grad():
        again = readout(params, h, both)
        at_h, at_params = readout.backward(params, h, both, at_outputs)
    name = type(readout).__name__
    assert torch.equal(found, again), f"{name}: outputs without a graph are others"
    own = at_h, *(at_params[key] for key in params)
    same = (torch.equal(one, other) for one, other in zip(expected, own, strict=True))
    assert all(same), f"{name}: `backward` rounds otherwise than autograd"


def _readout_last_step(readout: Readout, hidden: int, outputs: int) -> None:
    """With `last_step_only`, other steps affect neither the outputs nor the gradient."""
    name, h = (
        type(readout).__name__,
        torch.randn(2, STEPS, 3, hidden, generator=generator(0, "h")).requires_grad_(),
    )
    params = {
        p.name: torch.randn(2, *p.shape, generator=generator(0, p.name))
        for p in readout.shapes(hidden, outputs)
    }
    found = readout(params, h, None)
    (grad,) = torch.autograd.grad(found.square().sum(), [h])
    assert torch.equal(found, readout(params, h[:, -1:], None)) and not grad[:, :-1].any(), (
        f"{name}: last_step_only is true, but it reads other steps than the last"
    )


def _readout_run(
    readout: Readout,
    hidden: int,
    batch: int,
    outputs: int,
    lengths: Tensor | None,
    members: Sequence[int],
) -> dict[str, Tensor]:
    """Outputs, and the gradients of their squares by parameter and by state ("h")."""
    leaves = {
        p.name: (
            torch.stack(
                [torch.randn(p.shape, generator=generator(m, p.name)) for m in members]
            ).requires_grad_()
        )
        for p in readout.shapes(hidden, outputs)
    }
    h = torch.stack(
        [torch.randn(STEPS, batch, hidden, generator=generator(m, "h")) for m in members]
    ).requires_grad_()
    found = readout(leaves, h, None if lengths is None else torch.stack([lengths] * len(members)))
    expected = (
        (len(members), batch, STEPS, outputs)
        if readout.every_step
        else (len(members), batch, outputs)
    )
    assert found.shape == expected, (
        f"{type(readout).__name__}: outputs have shape {tuple(found.shape)}, expected {expected}"
    )
    grads = torch.autograd.grad(
        found.square().sum(),
        [h, *leaves.values()],
        materialize_grads=True,
        allow_unused=True,
        retain_graph=True,
    )
    (first,) = torch.autograd.grad(found[0].sum(), [h], materialize_grads=True, allow_unused=True)
    return {
        "outputs": found.detach(),
        "states": grads[0],
        **dict(zip(leaves, grads[1:], strict=True)),
        "of the first": first,
    }


def _readout_members(
    readout: Readout, hidden: int, batch: int, outputs: int, lengths: Tensor | None
) -> None:
    name = type(readout).__name__
    three = _readout_run(readout, hidden, batch, outputs, lengths, [0, 1, 2])
    for member in range(3):
        two = _readout_run(readout, hidden, batch, outputs, lengths, [member, (member + 1) % 3])
        for key in three.keys() - {"of the first"}:
            what = "outputs depend" if key == "outputs" else f"gradient of {key} depends"
            check_company(three[key][member], two[key][0], f"{name}: a member's {what}")
    assert (three["of the first"][1:] == 0).all(), (
        f"{name}: member 0's outputs have a gradient with respect to member 1's states; {COMPANY}"
    )
    for parameter in readout.shapes(hidden, outputs):
        assert (three[parameter.name] != 0).any(), (
            f"{name}: {parameter.name} does not reach the outputs"
        )


def _readout_lengths(readout: Readout, hidden: int, outputs: int, lengths: Tensor) -> None:
    """An example has the same outputs padded as alone, and padded steps have no gradient."""
    name, both = type(readout).__name__, torch.stack([lengths] * 2)
    params = {
        p.name: torch.randn(2, *p.shape, generator=generator(0, p.name))
        for p in readout.shapes(hidden, outputs)
    }
    h = torch.randn(2, STEPS, len(lengths), hidden, generator=generator(0, "h")).requires_grad_()
    padded = readout(params, h, both)
    (grad,) = torch.autograd.grad(padded.sum(), h)
    message = "must be read from these alone, not from the padding"
    weights = readout.attention(params, h, both)
    assert weights is None or weights.shape == h.shape[:3], f"{name}: attention must be [M, T, B]"
    for example, steps in enumerate(lengths.tolist()):
        alone = readout(params, h[:, :steps, example : example + 1], None)
        assert torch.allclose(padded[:, example], alone[:, 0], rtol=1e-4, atol=1e-6), (
            f"{name}: an example of {steps} steps {message}"
        )
        assert (grad[:, steps:, example] == 0).all(), (
            f"{name}: an example of {steps} steps {message}"
        )
        if weights is not None:
            assert (weights[:, steps:, example] == 0).all(), (
                f"{name}: attention to the padding of an example of {steps} steps"
            )
            assert torch.allclose(weights[:, :, example].sum(1), torch.ones(2)), (
                f"{name}: attention must sum to 1 over an example's own steps"
            )
