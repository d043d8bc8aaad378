"""An exported recurrent network: needs torch, numpy and safetensors, and nothing else of where it
was trained.

net = load(folder); predict(net, sequences) -> numpy array
"""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import nn


class GRUResetBefore(nn.Module):
    """r,z = σ(W [h, x] + b), n = tanh(W [r⊙h, x] + b), h ← (1-z)⊙h + z⊙n (Cho 2014): torch.nn.GRU
    resets after the product.
    """

    def __init__(self, input_size, hidden_size, num_layers, dropout):
        super().__init__()
        self.hidden_size, self.num_layers, self.dropout = (
            hidden_size,
            num_layers,
            nn.Dropout(dropout),
        )
        for layer in range(num_layers):
            bound = hidden_size**-0.5
            shapes = {
                "weight_ih": (3 * hidden_size, hidden_size if layer else input_size),
                "weight_hh": (3 * hidden_size, hidden_size),
                "bias": (3 * hidden_size,),
            }
            for name, shape in shapes.items():
                self.register_parameter(
                    f"{name}_l{layer}", nn.Parameter(torch.empty(shape).uniform_(-bound, bound))
                )

    def forward(self, x):
        """x [B, T, D] -> outputs [B, T, H], last states [layers, B, H]."""
        last = []
        for layer in range(self.num_layers):
            x = self.dropout(x) if layer else x
            W, U, b = (
                getattr(self, f"{name}_l{layer}") for name in ("weight_ih", "weight_hh", "bias")
            )
            H, h, outputs = self.hidden_size, x.new_zeros(x.shape[0], self.hidden_size), []
            for x_t in (x @ W.T + b).unbind(1):
                r, z = torch.sigmoid(x_t[:, : 2 * H] + h @ U[: 2 * H].T).chunk(2, 1)
                n = torch.tanh(x_t[:, 2 * H :] + (r * h) @ U[2 * H :].T)
                h = h + z * (n - h)
                outputs.append(h)
            x = torch.stack(outputs, 1)
            last.append(h)
        return x, torch.stack(last)


class Net(nn.Module):
    """The recurrent layers under the name of their kind (rnn, lstm, gru), and the readout fc."""

    def __init__(self, *, cell, nonlinearity, inputs, hidden, layers, outputs, dropout, every_step):
        super().__init__()
        self.kind, self.every_step = cell.split("_")[0], every_step
        if cell == "gru":
            recurrent = GRUResetBefore(inputs, hidden, layers, dropout)
        else:
            kind = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru_reset_after": nn.GRU}[cell]
            more = {"nonlinearity": nonlinearity} if cell == "rnn" else {}
            recurrent = kind(inputs, hidden, layers, batch_first=True, dropout=dropout, **more)
        setattr(self, self.kind, recurrent)
        self.fc = nn.Linear(hidden, outputs)

    def forward(self, x, lengths=None):
        """x [B, T, D] -> [B, outputs] at the last valid step, or [B, T, outputs] at every step."""
        h, _ = getattr(self, self.kind)(x)
        if self.every_step:
            return self.fc(h)
        last = h[:, -1] if lengths is None else h[torch.arange(len(h)), lengths - 1]
        return self.fc(last)


def load(folder):
    """The network of an exported folder, ready to predict."""
    folder = Path(folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    net = Net(**config["model"]).to(getattr(torch, config["dtype"]))
    net.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    return net.eval()


def predict(net, sequences, lengths=None, batch=256):
    """Outputs for sequences [N, T, D]; `lengths` [N] where they are padded at the end."""
    dtype = next(net.parameters()).dtype
    parts = []
    with torch.no_grad():
        for start in range(0, len(sequences), batch):
            x = torch.as_tensor(np.asarray(sequences[start : start + batch]), dtype=dtype)
            own = (
                None
                if lengths is None
                else torch.as_tensor(np.asarray(lengths[start : start + batch]), dtype=torch.long)
            )
            parts.append(net(x, own).numpy())
    return np.concatenate(parts)
