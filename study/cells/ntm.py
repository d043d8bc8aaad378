"""Neural Turing machine (Graves, Wayne & Danihelka 2014, arXiv 1410.5401)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from study.cells.shared.gated import gate_parameters
from study.interfaces import Cell, Parameter, Params, State, require
from study.numerics.linear import linear

SMALL = 1e-6  # least length that a key or a slot is divided by
SHIFTS = (-1, 0, 1)  # slots that a head may move by


class NTM(Cell):
    """u_t, c_t = LSTM(x_t, h_{t-1}), h_t = u_t + R r_t, with a memory of `slots` vectors M(i).

    A head takes k, β > 0, g, s, γ ≥ 1 from u_t. By content, w(i) ∝ exp(β cos(k, M(i))); by
    location, g w + (1 − g) w_{t-1}, moved by the shifts s, to the power γ and divided by its sum
    (equations 5 to 9). Write: M ← M ⊙ (1 − w eᵀ) + w aᵀ, then read: r = Σ w(i) M(i) (2 to 4). What
    was read reaches the controller and the readout through h. The memory is empty and both heads
    are on the first slot before the first step; their states are w less that.
    """

    states = ("h", "c", "memory", "write", "read")
    keep = {"f": 1}

    def __init__(self, *, slots: int, slot_width: int) -> None:
        require(slots >= 3, "ntm", "slots", "at least 3, the shifts of a head", slots)
        require(slot_width >= 1, "ntm", "slot_width", "at least 1", slot_width)
        self.slots, self.slot_width = slots, slot_width

    def widths(self, hidden: int) -> tuple[int, ...]:
        return hidden, hidden, self.slots * self.slot_width, self.slots, self.slots

    def shapes(self, inputs: int, hidden: int) -> tuple[Parameter, ...]:
        heads = sum(self._sizes())
        return (
            *gate_parameters(("i", "f", "g", "o"), inputs, hidden),
            Parameter("weight_heads", "own", ("heads",), (heads, hidden)),
            Parameter("bias_heads", "own", ("heads",), (heads,)),
            Parameter("weight_r", "own", ("r",), (hidden, self.slot_width)),
        )

    def first(self, inputs: int, hidden: int, generator: torch.Generator) -> Mapping[str, Tensor]:
        heads, width = sum(self._sizes()), self.slot_width
        drawn = torch.randn(heads + width, hidden, dtype=torch.float64, generator=generator)
        heads_first, read_first = drawn.split([heads, width])
        return {
            "weight_heads": heads_first / math.sqrt(hidden),
            "bias_heads": torch.zeros(heads, dtype=torch.float64),
            "weight_r": read_first.T.contiguous() / math.sqrt(width),
        }

    def project(self, params: Params, x: Tensor) -> Tensor:
        return linear(x, params["weight_x"], params["bias"])

    def step(self, params: Params, x: Tensor, state: State) -> State:
        h, c, memory, *before = state
        i, f, g, o = torch.baddbmm(x, h, params["weight_h"].transpose(1, 2)).chunk(4, dim=-1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        u = torch.sigmoid(o) * torch.tanh(c)
        emitted = (
            torch.bmm(u, params["weight_heads"].transpose(1, 2)) + params["bias_heads"][:, None]
        )
        writes, reads, erase, add = emitted.split(self._sizes(), dim=-1)
        memory = memory.unflatten(-1, (self.slots, self.slot_width))
        start = torch.zeros_like(before[0])
        start[..., 0] = 1
        write = self._address(writes, memory, start + before[0])
        erased = 1 - write[..., None] * torch.sigmoid(erase)[..., None, :]
        memory = memory * erased + write[..., None] * add[..., None, :]
        read = self._address(reads, memory, start + before[1])
        r = (read[..., None] * memory).sum(-2)
        h = u + torch.bmm(r, params["weight_r"].transpose(1, 2))
        return h, c, memory.flatten(-2), write - start, read - start

    def gates(self, params: Params, x: Tensor, state: State) -> Mapping[str, Tensor]:
        i, f, _, o = torch.sigmoid(
            torch.baddbmm(x, state[0], params["weight_h"].transpose(1, 2))
        ).chunk(4, dim=-1)
        return {"i": i, "f": f, "o": o}

    def _sizes(self) -> list[int]:
        """Sizes of what the controller emits: for the writing and the reading head, e and a."""
        head = self.slot_width + 3 + len(SHIFTS)
        return [head, head, self.slot_width, self.slot_width]

    def _address(self, emitted: Tensor, memory: Tensor, before: Tensor) -> Tensor:
        """Weights [M, B, slots] of a head, from what the controller emits and where it was."""
        key, beta, g, shifts, gamma = emitted.split([self.slot_width, 1, 1, len(SHIFTS), 1], dim=-1)
        length = _length(key)[..., None] * _length(memory)
        likeness = (memory * key[..., None, :]).sum(-1) / length[..., 0]
        w = torch.softmax(torch.nn.functional.softplus(beta) * likeness, dim=-1)
        w = torch.lerp(before, w, torch.sigmoid(g))
        moved = torch.stack([torch.roll(w, by, -1) for by in SHIFTS], -1)
        w = (moved * torch.softmax(shifts, -1)[..., None, :]).sum(-1)
        sharp = 1 + torch.nn.functional.softplus(gamma)
        return torch.softmax(sharp * torch.log(w + SMALL**2), dim=-1)


def _length(z: Tensor) -> Tensor:
    return (z.square().sum(-1, keepdim=True) + SMALL**2).sqrt()
