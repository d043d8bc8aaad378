"""Linear recurrent unit (Orvieto, Smith, Gu, Fernando, Gulcehre, Pascanu & De 2023, 2303.06349)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from study.interfaces import Cell, Native, Parameter, Params, State, require
from study.kernels.step_norms import RecordNorms
from study.numerics.linear import linear


class LRU(Cell):
    """c_t = λ ⊙ c_{t-1} + γ ⊙ B x_t with complex λ, B; h_t = Re(C c_t) + D x_t.

    λ = exp(−exp(ν) + i exp(θ)): |λ| < 1 whatever training does, and dc_t/dc_{t-k} = λ^k exactly.
    At first λ lies uniformly on the ring r_min ≤ |λ| ≤ r_max with phases in [0, largest_phase],
    and γ = √(1 − |λ|²) keeps the size of c. The state c, H complex values, is kept as re and im.
    Without a nonlinearity between layers a stack of these is one linear map.
    """

    states = ("h", "re", "im")

    def __init__(self, *, r_min: float, r_max: float, largest_phase: float) -> None:
        allowed = f"at least 0 and less than r_max = {r_max}, which is at most 1"
        require(0 <= r_min < r_max <= 1, "lru", "r_min", allowed, r_min)
        allowed = "greater than 0 and at most 2π"
        require(0 < largest_phase <= 2 * math.pi, "lru", "largest_phase", allowed, largest_phase)
        self.r_min, self.r_max, self.largest_phase = r_min, r_max, largest_phase

    def shapes(self, inputs: int, hidden: int) -> tuple[Parameter, ...]:
        return (
            Parameter("nu", "own", ("c",), (hidden,)),
            Parameter("theta", "own", ("c",), (hidden,)),
            Parameter("gamma", "own", ("c",), (hidden,)),
            Parameter("weight_b", "own", ("re", "im"), (hidden, inputs)),
            Parameter("weight_c", "own", ("re", "im"), (hidden, hidden)),
            Parameter("weight_d", "input", ("h",), (hidden, inputs)),
        )

    def first(self, inputs: int, hidden: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        drawn = torch.rand(2, hidden, dtype=torch.float64, generator=generator)
        # uniform on the ring: |λ|² is uniform between the squared radii
        squared = self.r_min**2 + drawn[0] * (self.r_max**2 - self.r_min**2)
        squared = squared.clamp(1e-12, 1 - 1e-12)
        matrices = torch.randn(
            2 * hidden, inputs + hidden, dtype=torch.float64, generator=generator
        ).split([inputs, hidden], dim=1)
        return {
            "nu": (-0.5 * squared.log()).log(),
            "theta": (self.largest_phase * drawn[1]).clamp(min=1e-12).log(),
            "gamma": 0.5 * (1 - squared).log(),
            "weight_b": matrices[0] / math.sqrt(2 * inputs),
            "weight_c": matrices[1] / math.sqrt(hidden),
        }

    def project(self, params: Params, x: Tensor) -> Tensor:
        return torch.cat([_driven(params, x), linear(x, params["weight_d"], None)], dim=-1)

    def step(self, params: Params, x: Tensor, state: State) -> State:
        (a_re, a_im), (b_re, b_im, through) = eigenvalues(params), x.chunk(3, dim=-1)
        a_re, a_im = a_re[:, None], a_im[:, None]
        _, re, im = state
        re, im = a_re * re - a_im * im + b_re, a_re * im + a_im * re + b_im
        return _read(params, torch.cat([re, im], dim=-1)) + through, re, im

    def native(self, params: Params) -> Native:
        return _Scanned(params)


def eigenvalues(params: Params) -> tuple[Tensor, Tensor]:
    """Real and imaginary parts of λ, each [M, H]."""
    size = torch.exp(-torch.exp(params["nu"]))
    phase = torch.exp(params["theta"])
    return size * torch.cos(phase), size * torch.sin(phase)


def _driven(params: Params, x: Tensor) -> Tensor:
    """γ ⊙ B x, real then imaginary parts: [M, T, B, 2H]."""
    scale = torch.exp(params["gamma"]).repeat(1, 2)
    return scale[:, None, None] * linear(x, params["weight_b"], None)


def _read(params: Params, c: Tensor) -> Tensor:
    """Re(C c) from c [M, B, 2H]."""
    re, im = params["weight_c"].chunk(2, dim=1)
    return torch.bmm(c, torch.cat([re, -im], dim=2).transpose(1, 2))


class _Scanned:
    """The layer by study/kernels/native/scan.py."""

    def __init__(self, params: Params) -> None:
        self.params = params

    def outputs(
        self, x: Tensor, step_norms: Tensor | None = None, *, last_step_only: bool = False
    ) -> Tensor:
        c, _ = self._scanned(x, None, None)
        if last_step_only:
            c, x = c[:, :, -1:], x[:, -1:]
        h = self._outputs(c, x)
        if step_norms is None:
            return h
        recorded: Tensor = RecordNorms.apply(h, step_norms)
        return recorded

    def states(self, x: Tensor, taps: State) -> State:
        read, c = self._scanned(x, taps[1], taps[2])
        return self._outputs(read, x) + taps[0], c[:, 0], c[:, 1]

    def _scanned(self, x: Tensor, re: Tensor | None, im: Tensor | None) -> tuple[Tensor, Tensor]:
        driven = _driven(self.params, x)
        b = torch.stack(driven.chunk(2, dim=-1), dim=1)
        found: tuple[Tensor, Tensor] = _ComplexScan.apply(
            torch.stack(eigenvalues(self.params), 1), b, re, im
        )
        return found

    def _outputs(self, c: Tensor, x: Tensor) -> Tensor:
        """h [M, T, B, H] from c [M, 2, T, B, H]."""
        members, _, steps, batch, hidden = c.shape
        joined = c.permute(0, 2, 3, 1, 4).reshape(members, steps * batch, 2 * hidden)
        read = _read(self.params, joined).view(members, steps, batch, hidden)
        return read + linear(x, self.params["weight_d"], None)


class _ComplexScan(torch.autograd.Function):
    """c [M, 2, T, B, H] from λ [M, 2, H] and b like c, twice: for its own step's output, and as
    the state whose total derivatives `re` and `im` receive, which leave that output out.
    """

    @staticmethod
    def forward(
        ctx: Any, a: Tensor, b: Tensor, re: Tensor | None, im: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        # imported here, since importing the compiler is slow
        from study.kernels.native import scan

        c = b.clone(memory_format=torch.contiguous_format)
        for member in range(len(c)):
            scan.forward_complex(a[member].detach().numpy(), c[member].numpy())
        ctx.save_for_backward(a, c)
        return c, c.view_as(c)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        from study.kernels.native import scan

        a, c = ctx.saved_tensors
        read, dc = (grad.clone(memory_format=torch.contiguous_format) for grad in grads)
        da = torch.empty_like(a)
        for member in range(len(c)):
            scan.backward_complex(*(part[member].detach().numpy() for part in (a, c, read, dc, da)))
        tapped = ctx.needs_input_grad
        return da, read, dc[:, 0] if tapped[2] else None, dc[:, 1] if tapped[3] else None
