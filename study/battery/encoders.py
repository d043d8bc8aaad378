"""Checks of encoders."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor

from study.battery.shared import COMPANY, STEPS, check_company
from study.interfaces import Encoder
from study.numerics.streams import generator

MAX_INPUTS = 4096  # per step, tried when looking for widths that an encoder accepts


def accepts(encoder: Encoder, inputs: int) -> bool:
    """Whether an encoder accepts this many inputs per step."""
    try:
        return encoder.outputs(inputs) >= 1
    except ValueError:
        return False


def check_encoder(encoder: Encoder) -> None:
    """Check roles, shapes, independence of members, steps and examples, and gradients.

    Every parameter must affect the outputs.
    """
    name = type(encoder).__name__
    widths = list(
        itertools.islice(
            (inputs for inputs in range(1, MAX_INPUTS + 1) if accepts(encoder, inputs)), 2
        )
    )
    assert widths, f"{name}: outputs refuses every number of inputs from 1 to {MAX_INPUTS}"
    for inputs in widths:
        roles = {parameter.role for parameter in encoder.shapes(inputs)}
        assert roles <= {"input", "bias"}, (
            f"{name}: roles must be input or bias, got {', '.join(sorted(roles))}"
        )
        three = _encoder_run(encoder, inputs, [0, 1, 2])
        for member in range(3):
            two = _encoder_run(encoder, inputs, [member, (member + 1) % 3])
            for key in three:
                what = "outputs depend" if key == "outputs" else f"gradient of {key} depends"
                check_company(three[key][member], two[key][0], f"{name}: a member's {what}")
        for parameter in encoder.shapes(inputs):
            assert (three[parameter.name] != 0).any(), (
                f"{name}: {parameter.name} does not reach the outputs"
            )
        _encoder_steps(encoder, inputs)
    leaves, x = _encoder_given(encoder, widths[-1], [0, 1], torch.float64, batch=2)
    names = list(leaves)
    right = torch.autograd.gradcheck(
        lambda x, *values: encoder(dict(zip(names, values, strict=True)), x),
        (x, *leaves.values()),
        raise_exception=False,
        fast_mode=True,
    )
    assert right, (
        f"{name}: its gradients are not those of its outputs (central differences in fp64)"
    )


def _encoder_given(
    encoder: Encoder, inputs: int, members: Sequence[int], dtype: torch.dtype, batch: int
) -> tuple[dict[str, Tensor], Tensor]:
    def drawn(shape: tuple[int, ...], purpose: str) -> Tensor:
        return (
            torch.stack(
                [
                    torch.randn(shape, dtype=torch.float64, generator=generator(m, purpose))
                    for m in members
                ]
            )
            .to(dtype)
            .requires_grad_()
        )

    return {p.name: drawn(p.shape, p.name) for p in encoder.shapes(inputs)}, drawn(
        (STEPS, batch, inputs), "x"
    )


def _encoder_run(encoder: Encoder, inputs: int, members: Sequence[int]) -> dict[str, Tensor]:
    """Outputs, and the gradients of their squares by parameter and by input ("x")."""
    leaves, x = _encoder_given(encoder, inputs, members, torch.float32, batch=32)
    found, name = encoder(leaves, x), type(encoder).__name__
    expected = (*x.shape[:3], encoder.outputs(inputs))
    assert found.shape == expected, (
        f"{name}: outputs have shape {tuple(found.shape)}, expected {expected}"
    )
    (first,) = torch.autograd.grad(
        found[0].sum(), [x], materialize_grads=True, allow_unused=True, retain_graph=True
    )
    assert (first[1:] == 0).all(), (
        f"{name}: member 0's outputs have a gradient with respect to member 1's inputs; {COMPANY}"
    )
    grads = torch.autograd.grad(
        found.square().sum(), [x, *leaves.values()], materialize_grads=True, allow_unused=True
    )
    return {"outputs": found.detach(), "x": grads[0], **dict(zip(leaves, grads[1:], strict=True))}


def _encoder_steps(encoder: Encoder, inputs: int) -> None:
    leaves, x = _encoder_given(encoder, inputs, [0, 1], torch.float32, batch=32)
    (grad,) = torch.autograd.grad(
        encoder(leaves, x)[:, 2, 3].square().sum(), [x], materialize_grads=True, allow_unused=True
    )
    elsewhere = grad.clone()
    elsewhere[:, 2, 3] = 0
    assert (elsewhere == 0).all(), (
        f"{type(encoder).__name__}: the output for one step of an example depends on other steps or"
        " examples"
    )
