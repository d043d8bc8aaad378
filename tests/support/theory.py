"""Settings whose answer theory knows, and what the tool measures there: the table in
reports/README.md.

python -m tests.support.theory prints the table.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from study.cells.gru import GRU
from study.cells.gru_reset_after import GRUResetAfter
from study.cells.lstm import LSTM
from study.cells.rnn import RNN
from study.interfaces import Cell
from study.probes.jacobian import Jacobian
from study.probes.loss import LossProfile
from study.probes.lyapunov import Lyapunov
from study.probes.pascanu import Pascanu
from study.probes.transport import Transport
from study.training.trace import StageTrace
from tests.support.helpers import LRU, Linear, MinGRU, orthogonal, trace

H = 8


@dataclass(frozen=True)
class Row:
    """`expected` and `measured` as numbers; `bound`: the measured value must not exceed the
    expected one.
    """

    setting: str
    theory: str
    expected: float
    measured: float
    bound: bool = False

    @property
    def holds(self) -> bool:
        if self.bound:
            return self.measured <= self.expected * (1 + 1e-12)
        return abs(self.measured - self.expected) <= 1e-9 * max(abs(self.expected), 1e-300)


def transported(of: StageTrace, lag: int, layer: str = "1", example: int = 0) -> float:
    return float(Transport(stages=[0])(of)[f"{layer}/s"].norms[0, example, lag])


def kept(of: StageTrace, steps: int) -> float:
    """From lag 1 on: at lag 0 an LSTM's direction has parts in h too, which no
    weight carries on.
    """
    return transported(of, steps + 1) / transported(of, 1)


def empty(cell: Cell, gate: str, bias: float) -> dict[str, Tensor]:
    """All weights 0, one gate's bias as given."""
    weights = {
        f"layer1.{parameter.name}": torch.zeros(parameter.shape, dtype=torch.float64)
        for parameter in cell.shapes(2, H)
    }
    gates = next(parameter.gates for parameter in cell.shapes(2, H) if parameter.name == "bias")
    weights["layer1.bias"].view(len(gates), H)[gates.index(gate)] = bias
    return weights


def rows() -> Iterator[Row]:
    eye = torch.eye(H, dtype=torch.float64)
    sigma = lambda x: 1 / (1 + math.exp(-x))  # noqa: E731
    gained = trace(Linear(), {"layer1.weight_h": orthogonal(H, 0.9)}, steps=60)
    yield Row(
        "linear, W = .9 Q (Q orthogonal): gradient 50 steps back",
        ".9⁵⁰",
        0.9**50,
        transported(gained, 50),
    )
    tiny = trace(Linear(), {"layer1.weight_h": orthogonal(H, 0.001)}, steps=100)
    yield Row("linear, W = .001 Q: 98 steps back", "10⁻²⁹⁴", 1e-294, transported(tiny, 98))
    (exponents,) = (
        value.values[0, 0] for value in Lyapunov(stages=[0], examples=2, drop=0.25)(gained).values()
    )
    yield Row(
        "the same .9 Q: largest Lyapunov exponent", "ln .9", math.log(0.9), float(exponents.max())
    )
    omega = Pascanu(stages=[0], floor=1e-20)(gained)["omega"]
    yield Row("the same .9 Q: Pascanu's Ω over 60 steps", "59 · (.9 − 1)²", 59 * 0.01, float(omega))
    d = torch.linspace(0.5, 1.2, H, dtype=torch.float64)
    diagonal = Jacobian(stages=[0], examples=2, steps=2, lags=[40])(
        trace(Linear(), {"layer1.weight_h": torch.diag(d)}, steps=60)
    )
    smallest = 10 ** float(diagonal["log10_sigma_min"].values.flatten()[0])
    yield Row(
        "linear, W = diag(.5 … 1.2): smallest singular value of 40 steps", ".5⁴⁰", 0.5**40, smallest
    )
    bounded = trace(RNN(nonlinearity="tanh"), {"layer1.weight_h": orthogonal(H, 1.0)}, steps=60)
    largest = float(Transport(stages=[0])(bounded)["1/s"].norms[..., 1:].max())
    yield Row("tanh, W = Q: largest gradient at any lag from 1 on", "≤ 1", 1.0, largest, bound=True)
    lstm = trace(LSTM(), empty(LSTM(), "f", 1.0), steps=60)
    yield Row(
        "LSTM, all weights 0, forget bias 1: 50 more steps",
        "σ(1)⁵⁰",
        sigma(1) ** 50,
        kept(lstm, 50),
    )
    gru = trace(GRU(), empty(GRU(), "z", -2.0), steps=60)
    yield Row(
        "GRU (reset before), all weights 0, z bias −2: 50 more steps",
        "σ(2)⁵⁰",
        sigma(2) ** 50,
        kept(gru, 50),
    )
    after = trace(GRUResetAfter(), empty(GRUResetAfter(), "z", 2.0), steps=60)
    yield Row(
        "GRU (torch's form), all weights 0, z bias +2: 50 more steps",
        "σ(2)⁵⁰",
        sigma(2) ** 50,
        kept(after, 50),
    )
    half = trace(Linear(), {"layer1.weight_h": 0.5 * eye}, steps=40, every_step=True)
    anchored = LossProfile(stages=[0], anchors=1)(half)["1/h"].norms[0, 0, 20]
    yield Row(
        "h = .5 h with a loss at every step: loss of one step, 20 back",
        ".5²⁰ (summed losses would read flat)",
        0.5**20,
        float(anchored),
    )
    dead = {
        "layer1.weight_h": 0.1 * eye,
        "layer2.weight_h": eye,
        "layer1.weight_x": torch.zeros(H, 2),
        "layer2.weight_x": eye,
    }
    two = trace(Linear(), dead, steps=30, depth=2)
    yield Row(
        "two layers, the lower one at .1, the upper at 1: lower layer, 20 back",
        "10⁻²⁰, whatever the upper carries",
        1e-20,
        transported(two, 20),
    )
    modes = trace(LRU(), {"layer1.decay": torch.full((H,), 0.95, dtype=torch.float64)}, steps=60)
    yield Row(
        "diagonal recurrence (LRU), λ = .95: 50 back", ".95⁵⁰", 0.95**50, transported(modes, 50)
    )
    zero = trace(MinGRU(), {"layer1.weight_x": torch.zeros(2 * H, 2)}, steps=60)
    yield Row("minGRU with z = ½: 50 back", "2⁻⁵⁰", 0.5**50, transported(zero, 50))


def lines() -> list[str]:
    """The table in reports/README.md."""
    head = ["| setting | theory says | that is | the tool measures |", "|---|---|---|---|"]
    return head + [
        f"| {row.setting} | {row.theory} | {row.expected:.6g} | {row.measured:.6g} |"
        for row in rows()
    ]


if __name__ == "__main__":
    print("\n".join(lines()))
