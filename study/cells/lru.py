"""Linear recurrent unit (Orvieto, Smith, Gu, Fernando, Gulcehre, Pascanu & De 2023, 2303.06349)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from study.cells.shared import in_blocks
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
    native_version = 2

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
    """(γ ⊙ B) x, real then imaginary parts: [M, T, B, 2H]."""
    scale = torch.exp(params["gamma"]).repeat(1, 2)
    return linear(x, scale[..., None] * params["weight_b"], None)


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
        width = self.params["weight_b"].shape[1]
        return in_blocks.outputs(
            _run, self.params, x, width, step_norms, last_step_only=last_step_only
        )

    def states(self, x: Tensor, taps: State) -> State:
        _, re, im = taps
        hidden = re.shape[-1]
        read, c = _ComplexScan.apply(
            torch.stack(eigenvalues(self.params), 1), _driven(self.params, x), None, re, im, False
        )
        return _outputs(self.params, read, x) + taps[0], c[..., :hidden], c[..., hidden:]


def _run(
    params: Params,
    x: Tensor,
    first: Tensor | None,
    step_norms: Tensor | None,
    *,
    last_step_only: bool,
) -> tuple[Tensor, Tensor]:
    a = torch.stack(eigenvalues(params), 1)
    c, _ = _ComplexScan.apply(a, _driven(params, x), first, None, None, last_step_only)
    steps = x.shape[1]
    h = _outputs(params, c, x[:, -1:] if last_step_only else x)
    if step_norms is not None:
        h = RecordNorms.apply(h, step_norms[:, steps - h.shape[1] :])
    return h, c[:, -1]


def _outputs(params: Params, c: Tensor, x: Tensor) -> Tensor:
    """h [M, T, B, H] from c [M, T, B, 2H] and x."""
    members, steps, batch, _ = x.shape
    read = _read(params, c.reshape(members, steps * batch, -1))
    return read.view(members, steps, batch, -1) + linear(x, params["weight_d"], None)


class _ComplexScan(torch.autograd.Function):
    """c [M, T, B, 2H], or its last step, from λ [M, 2, H], b like c, and the state before them
    (None: zeros), twice: for its own step's output, and as the state whose total derivatives `re`
    and `im` receive, which leave that output out.
    """

    @staticmethod
    def forward(
        ctx: Any,
        a: Tensor,
        b: Tensor,
        first: Tensor | None,
        re: Tensor | None,
        im: Tensor | None,
        last_step_only: bool,
    ) -> tuple[Tensor, Tensor]:
        # imported here, since importing the compiler is slow
        from study.kernels.native import scan

        b = b.contiguous()
        c = torch.empty_like(b)
        first = torch.zeros_like(c[:, 0]) if first is None else first.contiguous()
        for parts in zip(*map(_arrays, (a, b, first, c)), strict=True):
            scan.forward_complex(*parts)
        ctx.save_for_backward(a, first, c)
        ctx.set_materialize_grads(False)
        found = c[:, -1:].clone() if last_step_only else c
        return found, found.view_as(found)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        from study.kernels.native import scan

        a, first, c = ctx.saved_tensors
        wants = ctx.needs_input_grad
        read, own = (c[:, :0] if grad is None else grad.contiguous() for grad in grads)
        apart = torch.empty_like(c) if wants[3] or wants[4] else torch.empty_like(c[:, :0])
        carry, db, da = torch.zeros_like(first), torch.empty_like(c), torch.empty_like(a)
        for parts in zip(
            *map(_arrays, (a, first, c, read, own, carry, db, apart, da)), strict=True
        ):
            scan.backward_complex(*parts)
        hidden = a.shape[-1]
        taps = (apart[..., :hidden], apart[..., hidden:]) if len(apart[0]) else (None, None)
        return da, db, carry if wants[2] else None, *taps, None


def _arrays(value: Tensor) -> list[Any]:
    """Of each member."""
    return [member.detach().numpy() for member in value]
