"""A model of your own: any torch.nn.Module."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Skeleton(nn.Module):
    """A bidirectional GRU, whose states are averaged over the steps.

    The contract: forward is called with x [B, T, D] and, if it takes them, lengths [B] of the valid
    steps. It returns [B, O], or [B, T, O] for a task with an output at every step. Make all layers
    in __init__: every network of a study draws weights of its own, from its seed. Recurrent layers
    of torch.nn are found and measured by themselves. A cell of your own that forward calls once a
    step is measured if the class names it: states = ("cell",).
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.rnn = nn.GRU(inputs, hidden, batch_first=True, bidirectional=True)
        self.dropout = nn.Dropout(dropout)
        self.out = nn.Linear(2 * hidden, outputs)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        h, _ = pad_packed_sequence(self.rnn(packed)[0], batch_first=True, total_length=x.shape[1])
        mean = h.sum(1) / lengths[:, None].to(h)  # padding is 0
        return self.out(self.dropout(mean))
