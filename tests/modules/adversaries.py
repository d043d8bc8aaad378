"""Models that remember, draw or reach outside themselves, as users bring them."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import nn


class Base(nn.Module):
    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.rnn = nn.GRU(inputs, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, outputs)

    def forward(self, x):
        return self.fc(self.rnn(x)[0][:, -1])


class Stateful(Base):
    def __init__(self, *a, **k):
        super().__init__(*a, **k)
        self.h = None

    def forward(self, x):
        h = self.h if self.h is not None and self.h.shape[1] == len(x) else None
        out, h = self.rnn(x, None if h is None else h.to(x.dtype))
        self.h = h.detach()
        return self.fc(out[:, -1])


class LateState(Base):
    """changes after many calls only"""

    def __init__(self, *a, **k):
        super().__init__(*a, **k)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return self.fc(self.rnn(x)[0][:, -1]) * (1.5 if self.calls > 30 else 1)


class CacheOnly(Base):
    """keeps attention for plotting: harmless"""

    def forward(self, x):
        self.last = self.rnn(x)[0]
        return self.fc(self.last[:, -1])


class WeightNormRnn(Base):
    def __init__(self, *a, **k):
        super().__init__(*a, **k)
        self.rnn = nn.utils.parametrizations.weight_norm(self.rnn, "weight_hh_l0")


class OldWeightNormRnn(Base):
    def __init__(self, *a, **k):
        super().__init__(*a, **k)
        self.rnn = nn.utils.weight_norm(self.rnn, "weight_hh_l0")


class Spectral(Base):
    def __init__(self, *a, **k):
        super().__init__(*a, **k)
        self.fc = nn.utils.parametrizations.spectral_norm(self.fc)


class OrthCell(nn.Module):
    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.hidden = hidden
        self.cell = nn.RNNCell(inputs, hidden)
        nn.utils.parametrizations.orthogonal(self.cell, "weight_hh")
        self.fc = nn.Linear(hidden, outputs)

    def forward(self, x):
        h = x.new_zeros(len(x), self.hidden)
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
        return self.fc(h)


class Shared(nn.Module):
    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.inp = nn.Linear(inputs, hidden)
        self.a = nn.LSTM(hidden, hidden, batch_first=True)
        self.b = self.a
        self.fc = nn.Linear(hidden, outputs)

    def forward(self, x):
        x = self.inp(x)
        x, _ = self.a(x)
        x, _ = self.b(x)
        return self.fc(x[:, -1])


class EncDec(nn.Module):
    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.enc = nn.LSTM(inputs, hidden, batch_first=True)
        self.dec = nn.LSTMCell(outputs, hidden)
        self.fc = nn.Linear(hidden, outputs)
        self.o = outputs

    def forward(self, x):
        _, (h, c) = self.enc(x)
        h, c = h[0], c[0]
        y = x.new_zeros(len(x), self.o)
        for _ in range(3):
            h, c = self.dec(y, (h, c))
            y = self.fc(h)
        return y


class EncDecSame(nn.Module):
    """the same LSTM module, first the sequence, then one step at a time"""

    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.rnn = nn.LSTM(inputs, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, outputs)

    def forward(self, x):
        out, s = self.rnn(x)
        for _ in range(3):
            out, s = self.rnn(x[:, -1:], s)
        return self.fc(out[:, -1])


class SubLSTM(nn.LSTM):
    def forward(self, x, hx=None):
        out, s = super().forward(x, hx)
        return 2 * out, s


class UsesSub(nn.Module):
    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.rnn = SubLSTM(inputs, hidden, batch_first=True)
        self.fc = nn.Linear(hidden, outputs)

    def forward(self, x):
        return self.fc(self.rnn(x)[0][:, -1])


class LazyMade(Base):
    def forward(self, x):
        if not hasattr(self, "extra"):
            self.extra = nn.Linear(4, 4)
        return self.fc(self.extra(torch.zeros(4)).sum() + self.rnn(x)[0][:, -1])


class HalfParam(Base):
    def __init__(self, *a, **k):
        super().__init__(*a, **k)
        self.half()

    def forward(self, x):
        return super().forward(x.half()).float()


class SeedsInit(Base):
    def __init__(self, *a, **k):
        torch.manual_seed(42)
        super().__init__(*a, **k)


class SeedsForward(Base):
    def forward(self, x):
        torch.manual_seed(1)
        return nn.functional.dropout(super().forward(x), 0.5, self.training)


class NumpyNoise(Base):
    def forward(self, x):
        if self.training:
            x = x + torch.from_numpy(np.random.normal(size=x.shape)).to(x)  # noqa: NPY002
        return super().forward(x)


class PyRandom(Base):
    def forward(self, x):
        out = super().forward(x)
        return out * 2 if self.training and random.random() < 0.5 else out


class NumpyInit(Base):
    def __init__(self, *a, **k):
        super().__init__(*a, **k)
        with torch.no_grad():
            drawn = np.random.normal(size=self.fc.weight.shape)  # noqa: NPY002
            self.fc.weight.copy_(torch.from_numpy(drawn))


class EvalNoise(Base):
    def forward(self, x):
        return super().forward(x + torch.randn_like(x))


class Inplace(Base):
    def forward(self, x):
        x.mul_(2).sub_(1)
        x[:, 0] = 0
        return super().forward(x)


class PosOnlyLengths(Base):
    def forward(self, x, lengths, /):
        return super().forward(x)


class KwRequiredOther(Base):
    def forward(self, x, *, mask):
        return super().forward(x)


class Detached(Base):
    def forward(self, x):
        return self.fc(self.rnn(x)[0][:, -1].detach())


class BatchFirstWrong(nn.Module):
    """forgot batch_first: torch reads batch as time, silently"""

    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.rnn = nn.LSTM(inputs, hidden)
        self.fc = nn.Linear(hidden, outputs)

    def forward(self, x):
        out, _ = self.rnn(x)
        return self.fc(out[:, -1])


class NoInitRows(Base):
    """uses data-dependent init on first forward"""

    def __init__(self, *a, **k):
        super().__init__(*a, **k)
        self.done = False

    def forward(self, x):
        if not self.done:
            with torch.no_grad():
                self.fc.bias.fill_(float(x.mean()))
            self.done = True
        return super().forward(x)


class Checkpointed(Base):
    def forward(self, x):
        from torch.utils.checkpoint import checkpoint

        return checkpoint(super().forward, x, use_reentrant=False)


class CellTwice(nn.Module):
    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.hidden = hidden
        self.cell = nn.GRUCell(inputs, hidden)
        self.fc = nn.Linear(hidden, outputs)

    def forward(self, x):
        h = x.new_zeros(len(x), self.hidden)
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
            h = self.cell(x[:, t], h)
        return self.fc(h)


class OwnCell(nn.Module):
    def __init__(self, i, h):
        super().__init__()
        self.a = nn.Linear(i + h, h)

    def forward(self, x, h):
        return torch.tanh(self.a(torch.cat([x, h], -1)))


class CellsNamed(nn.Module):
    states = ("cell",)

    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.hidden = hidden
        self.cell = OwnCell(inputs, hidden)
        self.fc = nn.Linear(hidden, outputs)

    def forward(self, x):
        h = x.new_zeros(len(x), self.hidden)
        for t in range(x.shape[1]):
            h = self.cell(x[:, t], h)
        return self.fc(h)


class StatesTypo(CellsNamed):
    states = ("cel",)


class StatesString(CellsNamed):
    states = "cell"


class HooksInside(Base):
    def __init__(self, *a, **k):
        super().__init__(*a, **k)
        self.rnn.register_forward_hook(lambda m, i, o: (o[0] * 2, o[1]))
        self.fc.weight.register_hook(lambda g: g * 2)


class Generator(Base):
    def __init__(self, *a, **k):
        super().__init__(*a, **k)
        self.g = torch.Generator().manual_seed(0)

    def forward(self, x):
        return super().forward(
            x + (torch.randn(x.shape, generator=self.g).to(x) if self.training else 0)
        )
