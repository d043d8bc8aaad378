"""The persistent kernels as one autograd function: [M, T, B, D] -> [M, T, B, H].

One launch forward and one backward for all members. Products for all steps at once surround them:
the projected input before, the gradients of weights and input after.
"""

from __future__ import annotations

import contextlib
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
import triton
from torch import Tensor

ROWS, DEEP = 16, 16  # examples per program; columns of a step's product taken at a time


def compile_options(
    hidden: int, precision: str, **constants: bool
) -> tuple[dict[str, Any], dict[str, int]]:
    """(constants, options) that a kernel is compiled with.

    One warp per scheduler of a multiprocessor, two if a step has enough work for them.
    """
    width = max(16, triton.next_power_of_2(hidden))
    sizes = {"HIDDEN": hidden, "WIDTH": width, "DEEP": DEEP, "ROWS": ROWS, "PRECISION": precision}
    return {**sizes, **constants}, {"num_warps": 8 if width >= 128 else 4, "num_stages": 1}


@dataclass(frozen=True)
class Launch:
    """Sizes of a launch, and how products are rounded: ieee, tf32 or bf16."""

    members: int
    steps: int
    batch: int
    hidden: int
    precision: str

    def __call__(self, kernel: Any, *tensors: Tensor, **constants: bool) -> None:
        """Launch one program for every member and ROWS of its examples."""
        constants, options = compile_options(self.hidden, self.precision, **constants)
        with (
            torch.cuda.device(tensors[0].device) if tensors[0].is_cuda else contextlib.nullcontext()
        ):
            kernel[self.members, math.ceil(self.batch / ROWS)](
                *tensors, self.steps, self.batch, **constants, **options
            )

    def states(self, like: Tensor) -> Tensor:
        """Empty states [M, T + 1, B, H], with zeros at step 0."""
        states = like.new_empty(self.members, self.steps + 1, self.batch, self.hidden)
        states[:, 0] = 0
        return states

    def summed(self, dz: Tensor, factor: Tensor) -> Tensor:
        """Σ_t Σ_b dz ⊗ factor: [M, T, B, R], [M, T, B, K] -> [M, R, K]."""
        return torch.bmm(dz.flatten(1, 2).transpose(1, 2), factor.flatten(1, 2)).float()


class Passes(ABC):
    """Forward and backward pass of one kind of layer.

    z [M, T, B, gates·H] is the projected input; `more`: a second bias [M, H], or None.
    """

    @abstractmethod
    def forward(
        self, launch: Launch, z: Tensor, weight_h: Tensor, more: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """(h [M, T + 1, B, H] with h_0, other tensors for `backward`); z becomes the gates."""

    @abstractmethod
    def backward(
        self,
        launch: Launch,
        dh: Tensor,
        step_norms: Tensor | None,
        weight_h: Tensor,
        gates: Tensor,
        h: Tensor,
        kept: tuple[Tensor, ...],
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """(dz, gradient of weight_h, gradient of `more`) from dh [M, T, B, H].

        Writes ‖∂L/∂h_t‖² to step_norms [M, T, B], if given.
        """


def run(
    passes: Passes,
    x: Tensor,
    weight_x: Tensor,
    weight_h: Tensor,
    bias: Tensor,
    *,
    step_norms: Tensor | None,
    more: Tensor | None = None,
) -> Tensor:
    """h [M, T, B, H] of all steps from zero states, in float32 (step_norms: step_norms.py)."""
    h: Tensor = _Layer.apply(passes, x, weight_x, weight_h, bias, more, step_norms)
    return h


def precision(device: torch.device) -> str:
    """How torch currently rounds its own products: ieee, tf32 or bf16."""
    if torch.is_autocast_enabled(device.type):
        return "bf16"
    return "tf32" if torch.backends.cuda.matmul.allow_tf32 else "ieee"


def same_rounding(launch: Launch, device: torch.device) -> torch.autocast:
    """A context in which torch's products round as the kernels do, in the backward pass too."""
    return torch.autocast(device.type, torch.bfloat16, enabled=launch.precision == "bf16")


class _Layer(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        passes: Passes,
        x: Tensor,
        weight_x: Tensor,
        weight_h: Tensor,
        bias: Tensor,
        more: Tensor | None,
        step_norms: Tensor | None,
    ) -> Tensor:
        members, steps, batch, _ = x.shape
        launch = Launch(members, steps, batch, weight_h.shape[-1], precision(x.device))
        z = (
            torch.baddbmm(bias[:, None], x.flatten(1, 2), weight_x.transpose(1, 2))
            .float()
            .unflatten(1, (steps, batch))
        )
        weight_h = weight_h.contiguous()
        h, kept = passes.forward(launch, z, weight_h, None if more is None else more.contiguous())
        ctx.passes, ctx.launch, ctx.kept = passes, launch, (x, weight_x, weight_h, z, h, kept)
        return h[:, 1:]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        launch, (x, weight_x, weight_h, gates, h, kept) = ctx.launch, ctx.kept
        step_norms = (
            grads[0].new_empty(grads[0].shape[:3], dtype=torch.float64)
            if ctx.needs_input_grad[6]
            else None
        )
        with same_rounding(launch, x.device):
            dz, dweight_h, dmore = ctx.passes.backward(
                launch, grads[0].contiguous(), step_norms, weight_h, gates, h, kept
            )
            dx = (
                torch.bmm(dz.flatten(1, 2), weight_x).float().view(x.shape)
                if ctx.needs_input_grad[1]
                else None
            )
            dweight_x = launch.summed(dz, x)
        return None, dx, dweight_x, dweight_h, dz.sum((1, 2)), dmore, step_norms
