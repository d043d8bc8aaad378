"""LSTM with a matrix for a memory: mLSTM (Beck et al. 2024, xLSTM, arXiv 2405.04517)."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from study.interfaces import Cell, Parameter, Params, State
from study.numerics.linear import linear


class MLSTM(Cell):
    """C_t = f C_{t-1} + i v kᵀ, n_t = f n_{t-1} + i k, h_t = o ⊙ C_t q / max(|n_t·q|, 1).

    q, k, v = W x_t + b (k divided by √H), i = exp(ĩ) and f = σ(f̃) are one number each, o = σ(õ):
    all read the input alone. The memory C [H, H] stores values v under keys k. The state m carries
    the largest exponent so far; C and n are kept divided by exp(m), which changes no h (the paper's
    equations 19 to 27, one head).
    """

    states = ("h", "memory", "n", "m")
    keep = {"f": 1}

    def widths(self, hidden: int) -> tuple[int, ...]:
        return hidden, hidden * hidden, hidden, 1

    def shapes(self, inputs: int, hidden: int) -> tuple[Parameter, ...]:
        wide, single = ("q", "k", "v", "o"), ("i", "f")
        return (
            Parameter("weight_x", "input", wide, (hidden, inputs)),
            Parameter("weight_g", "input", single, (1, inputs)),
            Parameter("bias", "bias", wide, (hidden,)),
            Parameter("bias_g", "bias", single, (1,)),
        )

    def project(self, params: Params, x: Tensor) -> Tensor:
        wide = linear(x, params["weight_x"], params["bias"])
        return torch.cat([wide, linear(x, params["weight_g"], params["bias_g"])], dim=-1)

    def step(self, params: Params, x: Tensor, state: State) -> State:
        h, memory, n, m = state
        width = h.shape[-1]
        q, k, v, o, i, f = x.split([width] * 4 + [1, 1], dim=-1)
        k = k / math.sqrt(width)
        kept = torch.nn.functional.logsigmoid(f) + m
        largest = torch.maximum(kept, i)
        forget, add = torch.exp(kept - largest), torch.exp(i - largest)
        memory = forget[..., None] * memory.unflatten(-1, (width, width))
        memory = memory + (add * v)[..., None] * k[..., None, :]
        n = forget * n + add * k
        found = (memory * q[..., None, :]).sum(-1)
        scale = torch.maximum((n * q).sum(-1, keepdim=True).abs(), torch.exp(-largest))
        return torch.sigmoid(o) * found / scale, memory.flatten(-2), n, largest

    def gates(self, params: Params, x: Tensor, state: State) -> Mapping[str, Tensor]:
        width = state[0].shape[-1]
        *_, o, _, f = x.split([width] * 4 + [1, 1], dim=-1)
        return {"f": torch.sigmoid(f), "o": torch.sigmoid(o)}
