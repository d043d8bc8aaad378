"""The persistent kernels as one differentiable function of torch: [M, T, B, D] -> [M, T, B, H], one
launch forward and one back for all members.

Around each launch are products for all steps at once: what the input gives, before; gradients of
weights and input, after.
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

ROWS, DEEP = 16, 16  # examples of a program; columns of a step's product that are taken at a time


def made_for(
    hidden: int, precision: str, **constants: bool
) -> tuple[dict[str, Any], dict[str, int]]:
    """What a kernel is compiled for, and how: a warp for each scheduler of a multiprocessor, two
    where a step has work for them.
    """
    width = max(16, triton.next_power_of_2(hidden))
    sizes = {"HIDDEN": hidden, "WIDTH": width, "DEEP": DEEP, "ROWS": ROWS, "PRECISION": precision}
    return {**sizes, **constants}, {"num_warps": 8 if width >= 128 else 4, "num_stages": 1}


@dataclass(frozen=True)
class Launch:
    """Sizes, and how products are rounded: ieee, tf32 or bf16."""

    members: int
    steps: int
    batch: int
    hidden: int
    precision: str

    def __call__(self, kernel: Any, *tensors: Tensor, **constants: bool) -> None:
        """A program for every member and ROWS of its examples."""
        constants, options = made_for(self.hidden, self.precision, **constants)
        with (
            torch.cuda.device(tensors[0].device) if tensors[0].is_cuda else contextlib.nullcontext()
        ):
            kernel[self.members, math.ceil(self.batch / ROWS)](
                *tensors, self.steps, self.batch, **constants, **options
            )

    def states(self, like: Tensor) -> Tensor:
        """[M, T + 1, B, H], the first 0."""
        states = like.new_empty(self.members, self.steps + 1, self.batch, self.hidden)
        states[:, 0] = 0
        return states

    def summed(self, dz: Tensor, of: Tensor) -> Tensor:
        """Σ over steps and examples dz ⊗ of: [M, T, B, R], [M, T, B, K] -> [M, R, K]."""
        return torch.bmm(dz.flatten(1, 2).transpose(1, 2), of.flatten(1, 2)).float()


class Passes(ABC):
    """Both ways through one kind of layer.

    z [M, T, B, gates·H] is what the input gives; `more`: a further bias [M, H] or nothing.
    """

    @abstractmethod
    def forward(
        self, launch: Launch, z: Tensor, weight_h: Tensor, more: Tensor | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """h [M, T + 1, B, H] with h_0, and what else the way back needs; z becomes the gates."""

    @abstractmethod
    def backward(
        self,
        launch: Launch,
        dh: Tensor,
        reach: Tensor | None,
        weight_h: Tensor,
        gates: Tensor,
        h: Tensor,
        kept: tuple[Tensor, ...],
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """(dz, gradient of weight_h, gradient of `more`) from dh [M, T, B, H]; writes ‖∂L/∂h_t‖²
        into reach [M, T, B].
        """


def run(
    passes: Passes,
    x: Tensor,
    weight_x: Tensor,
    weight_h: Tensor,
    bias: Tensor,
    *,
    reach: Tensor | None,
    more: Tensor | None = None,
) -> Tensor:
    """h [M, T, B, H] of all steps from zero states, in float32. `reach`: study/kernels/reach.py."""
    h: Tensor = _Layer.apply(passes, x, weight_x, weight_h, bias, more, reach)
    return h


def precision(device: torch.device) -> str:
    """As torch's own products are rounded here and now."""
    if torch.is_autocast_enabled(device.type):
        return "bf16"
    return "tf32" if torch.backends.cuda.matmul.allow_tf32 else "ieee"


def as_asked(launch: Launch, device: torch.device) -> torch.autocast:
    """Where torch's products round as those of the kernels do, on the way back too."""
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
        reach: Tensor | None,
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
        reach = (
            grads[0].new_empty(grads[0].shape[:3], dtype=torch.float64)
            if ctx.needs_input_grad[6]
            else None
        )
        with as_asked(launch, x.device):
            dz, dweight_h, dmore = ctx.passes.backward(
                launch, grads[0].contiguous(), reach, weight_h, gates, h, kept
            )
            dx = (
                torch.bmm(dz.flatten(1, 2), weight_x).float().view(x.shape)
                if ctx.needs_input_grad[1]
                else None
            )
            dweight_x = launch.summed(dz, x)
        return None, dx, dweight_x, dweight_h, dz.sum((1, 2)), dmore, reach
