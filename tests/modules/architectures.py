"""Twelve architectures of public repositories, written anew from their descriptions, and small."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class LastStep(nn.Module):
    """The textbook's: layers, and a linear map of the last step."""

    def __init__(self, input_size, hidden_size, num_layers, output_size, kind="LSTM"):
        super().__init__()
        self.rnn = getattr(nn, kind)(input_size, hidden_size, num_layers, batch_first=True)
        self.fc = nn.Linear(hidden_size, output_size)

    def forward(self, x):
        out, _ = self.rnn(x)
        return self.fc(out[:, -1, :])


class WordLanguageModel(nn.Module):
    """Embedding, dropout, stacked layers, dropout, decoder tied to the embedding; time first."""

    def __init__(self, symbols, width, layers, dropout=0.3):
        super().__init__()
        self.drop = nn.Dropout(dropout)
        self.encoder = nn.Embedding(symbols, width)
        self.rnn = nn.LSTM(width, width, layers, dropout=dropout)
        self.decoder = nn.Linear(width, symbols)
        self.decoder.weight = self.encoder.weight

    def forward(self, tokens, hidden=None):
        output, hidden = self.rnn(self.drop(self.encoder(tokens)), hidden)
        return self.decoder(self.drop(output)), hidden


class Tagger(nn.Module):
    """A bidirectional tagger on packed sequences: an output at every step."""

    def __init__(self, inputs, hidden, tags, kind="LSTM", layers=1):
        super().__init__()
        self.rnn = getattr(nn, kind)(inputs, hidden, layers, batch_first=True, bidirectional=True)
        self.tag = nn.Linear(2 * hidden, tags)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        out, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=x.shape[1])
        return self.tag(out)


class LastStates(nn.Module):
    """A bidirectional classifier of the two last states, with layer norm and a projection."""

    def __init__(self, inputs, hidden, classes, proj_size=0):
        super().__init__()
        self.rnn = nn.LSTM(
            inputs, hidden, 2, batch_first=True, bidirectional=True, proj_size=proj_size
        )
        width = 2 * (proj_size or hidden)
        self.norm, self.out = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x, lengths):
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        _, (h, _) = self.rnn(packed)
        return self.out(self.norm(torch.cat([h[-2], h[-1]], -1)))


class Forecaster(nn.Module):
    """First states from known covariates (the last input), then a GRU, and two heads."""

    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.start = nn.Linear(inputs, hidden)
        self.rnn = nn.GRU(inputs, hidden, 2, batch_first=True)
        self.mean, self.gain = nn.Linear(hidden, outputs), nn.Linear(hidden, outputs)

    def forward(self, x):
        first = self.start(x[:, -1]).tanh()
        _, h = self.rnn(x, torch.stack([first, -first]))
        return self.mean(h[-1]) * self.gain(h[-1]).exp()


class Convolutional(nn.Module):
    """CRNN: convolutions over time with batch norm, then two bidirectional layers."""

    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.conv = nn.Conv1d(inputs, hidden, 3, padding=1)
        self.norm = nn.BatchNorm1d(hidden)
        self.rnn = nn.LSTM(hidden, hidden, 2, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * hidden, outputs)

    def forward(self, x):
        h = self.norm(self.conv(x.transpose(1, 2))).relu().transpose(1, 2)
        return self.out(self.rnn(h)[0].mean(1))


class Attentive(nn.Module):
    """Attention over the states of a GRU."""

    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.rnn = nn.GRU(inputs, hidden, batch_first=True)
        self.score, self.out = nn.Linear(hidden, 1), nn.Linear(hidden, outputs)

    def forward(self, x):
        h, _ = self.rnn(x)
        return self.out((self.score(h).softmax(1) * h).sum(1))


class Residual(nn.Module):
    """Several recurrent layers of other kinds and widths, with a skip around the second."""

    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.first = nn.LSTM(inputs, hidden, batch_first=True)
        self.second = nn.RNN(hidden, hidden, nonlinearity="relu", batch_first=True)
        self.third = nn.GRU(hidden, 2 * hidden, bias=False, batch_first=True)
        self.out = nn.Linear(2 * hidden, outputs)

    def forward(self, x):
        h = self.first(x)[0]
        h = h + self.second(h)[0]
        return self.out(self.third(h)[0][:, -1])


class CellLoop(nn.Module):
    """A loop over torch's cells, two layers deep."""

    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.lower, self.upper = nn.LSTMCell(inputs, hidden), nn.GRUCell(hidden, hidden)
        self.out, self.hidden = nn.Linear(hidden, outputs), hidden

    def forward(self, x):
        h = c = up = x.new_zeros(len(x), self.hidden)
        for step in x.unbind(1):
            h, c = self.lower(step, (h, c))
            up = self.upper(h, up)
        return self.out(up)


class Leaky(nn.Module):
    """A cell of one's own: h' = (1 − a) h + a tanh(W x + U h)."""

    def __init__(self, inputs, hidden):
        super().__init__()
        self.x, self.h = nn.Linear(inputs, hidden), nn.Linear(hidden, hidden, bias=False)

    def forward(self, x, h):
        return 0.7 * h + 0.3 * (self.x(x) + self.h(h)).tanh()


class OwnCell(nn.Module):
    """A loop over a cell of one's own, which `states` names."""

    states = ("cell",)

    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.cell, self.out, self.hidden = Leaky(inputs, hidden), nn.Linear(hidden, outputs), hidden

    def forward(self, x):
        h = x.new_zeros(len(x), self.hidden)
        for step in x.unbind(1):
            h = self.cell(step, h)
        return self.out(h)


class Transformer(nn.Module):
    """No recurrence."""

    def __init__(self, inputs, width, outputs):
        super().__init__()
        self.read = nn.Linear(inputs, width)
        self.layer = nn.TransformerEncoderLayer(width, 2, 2 * width, batch_first=True)
        self.out = nn.Linear(width, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.layer(self.read(x)).mean(1))


# name -> (class, its arguments after inputs, whether an output at every step, symbols, time first)
SHAPES = {
    "lstm_last_step": (LastStep, {"hidden_size": 5, "num_layers": 2}),
    "gru_last_step": (LastStep, {"hidden_size": 5, "num_layers": 1, "kind": "GRU"}),
    "rnn_last_step": (LastStep, {"hidden_size": 5, "num_layers": 3, "kind": "RNN"}),
    "word_language_model": (WordLanguageModel, {"width": 5, "layers": 2}),
    "lstm_tagger": (Tagger, {"hidden": 4}),
    "gru_tagger": (Tagger, {"hidden": 4, "kind": "GRU", "layers": 2}),
    "last_states": (LastStates, {"hidden": 4}),
    "projected": (LastStates, {"hidden": 6, "proj_size": 3}),
    "forecaster": (Forecaster, {"hidden": 5}),
    "convolutional": (Convolutional, {"hidden": 4}),
    "attentive": (Attentive, {"hidden": 5}),
    "residual": (Residual, {"hidden": 3}),
    "cell_loop": (CellLoop, {"hidden": 4}),
    "own_cell": (OwnCell, {"hidden": 5}),
}
