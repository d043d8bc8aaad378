"""Windows of long series as views, for where copies of all of them would fill the memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from study.interfaces import PARTS, Batch, Part
from study.tasks.shared.scaling import PIECE, Pieces, Scale

COPIED = 1 << 28  # bytes in single precision that all windows may take as copies
COUNTED = 1 << 20  # windows of which an order is drawn in every epoch
EVALUATED = 1 << 14  # windows of a part that are evaluated, at most, where windows are views
EVALUATED_BYTES = 1 << 27


@dataclass(frozen=True)
class Spans:
    """Where the windows of some series lie.

    series: [rows, D] each, the last `outputs` columns are the targets. names: of the series, for
    messages. runs: by part, [n, 3] of a series' number, the first window's first row, and a number
    of windows that begin `stride` rows apart. ahead: rows from a window's first to the predicted
    one.
    """

    series: Sequence[np.ndarray]
    names: Sequence[str]
    runs: Mapping[str, np.ndarray]
    window: int
    ahead: int
    stride: int
    outputs: int

    def count(self, part: str) -> int:
        return int(self.runs[part][:, 2].sum())

    def too_many_to_copy(self) -> bool:
        count = sum(self.count(part) for part in PARTS)
        return count > COUNTED or 4 * count * self.window * self.series[0].shape[1] > COPIED

    def evaluated(self, part: str) -> np.ndarray:
        """Windows of a part, evenly spaced, that are evaluated: at most EVALUATED."""
        most = EVALUATED_BYTES // (4 * self.window * self.series[0].shape[1])
        most = min(EVALUATED, max(most, 1000), self.count(part))
        if part == "train":
            most = min(most, len(self.evaluated("validation")))
        return np.linspace(0, self.count(part) - 1, most).round().astype(np.int64)

    def positions(self, part: str, index: np.ndarray | None = None) -> np.ndarray:
        """[n, 2] of a series' number and first row: of all windows of a part, or of some."""
        runs = self.runs[part]
        if index is None:
            index = np.arange(self.count(part))
        ends = np.cumsum(runs[:, 2])
        run = np.searchsorted(ends, index, side="right")
        begin = runs[run, 1] + (index - ends[run] + runs[run, 2]) * self.stride
        return np.stack([runs[run, 0], begin], axis=1)

    def values(self, positions: np.ndarray, after: int) -> np.ndarray:
        """The targets [n, O], this many rows after each window's first row."""
        found = np.empty((len(positions), self.outputs))
        for number in np.unique(positions[:, 0]):
            mine = positions[:, 0] == number
            found[mine] = self.series[number][positions[mine, 1] + after, -self.outputs :]
        return found

    def targets(self, part: str) -> np.ndarray:
        """[N, O] of all windows of a part, in fp64."""
        return np.concatenate(
            [
                self.series[number][begin + self.ahead :: self.stride, -self.outputs :][:count]
                for number, begin, count in self.runs[part]
            ]
        ).astype(np.float64)

    def pieces(self) -> Pieces:
        """The rows that training windows read."""
        size = max(PIECE // self.series[0].shape[1], 1)

        def read() -> Iterator[np.ndarray]:
            for number, begin, count in self.runs["train"]:
                end = begin + (count - 1) * self.stride + self.window
                for row in range(begin, end, size):
                    piece = self.series[number][row : min(row + size, end)]
                    yield np.ascontiguousarray(piece, dtype=np.float64)

        return read

    def standardised(self, scale: Scale) -> tuple[Tensor, np.ndarray]:
        """(all rows of all series [R, D] in fp32, which constant channels move [D])."""
        rows, width = sum(map(len, self.series)), self.series[0].shape[1]
        values, moved = np.empty((rows, width), np.float32), np.zeros(width, bool)
        size, place = max(PIECE // width, 1), 0
        for series in self.series:
            for row in range(0, len(series), size):
                piece = series[row : row + size].astype(np.float64)
                moved |= scale.moved(piece)
                values[place : place + len(piece)] = scale(piece)
                place += len(piece)
        return torch.from_numpy(values), moved


@dataclass(frozen=True)
class Windows:
    """A part's windows over `values` [R, D]; their targets are (last columns) * gain + shift, [O].

    firsts, counts: [n], the first row of each run and its windows, `stride` rows apart.
    """

    values: Tensor
    firsts: Tensor
    counts: Tensor
    window: int
    ahead: int
    stride: int
    gain: tuple[float, ...]
    shift: tuple[float, ...]

    def __len__(self) -> int:
        return int(self.counts.sum())

    def batch(self, index: Tensor) -> Batch:
        ends = self.counts.cumsum(0)
        run = torch.searchsorted(ends, index, right=True)
        first = self.firsts[run] + (index - ends[run] + self.counts[run]) * self.stride
        gain, shift = (torch.tensor(of, dtype=torch.float64) for of in (self.gain, self.shift))
        target = self.values[first + self.ahead, -len(gain) :].double() * gain + shift
        return Batch(x=self.values[first[:, None] + torch.arange(self.window)], y=target.float())


def of_part(
    spans: Spans, part: Part, values: Tensor, scale: Scale, target: tuple[np.ndarray, np.ndarray]
) -> Windows:
    """The windows of a part; target: means and deviations [O]."""
    offsets = np.cumsum([0, *map(len, spans.series)])
    runs, (mean, deviation) = spans.runs[part], target
    return Windows(
        values=values,
        firsts=torch.from_numpy(offsets[runs[:, 0]] + runs[:, 1]),
        counts=torch.from_numpy(runs[:, 2].copy()),
        window=spans.window,
        ahead=spans.ahead,
        stride=spans.stride,
        gain=tuple((scale.deviation[-spans.outputs :] / deviation).tolist()),
        shift=tuple(((scale.mean[-spans.outputs :] - mean) / deviation).tolist()),
    )


def hash_of(parts: Mapping[str, Windows]) -> str:
    """A hash of the rows and of where windows lie; what they read is not copied."""
    digest = hashlib.blake2b(digest_size=8)
    for part, windows in parts.items():
        moved: tuple[object, ...] = (windows.gain, windows.shift)
        if len(windows.gain) == 1:  # as hashes were before there were several
            moved = (windows.gain[0], windows.shift[0])
        where = (part, windows.window, windows.ahead, windows.stride, *moved)
        digest.update(repr(where).encode())
        digest.update(windows.firsts.numpy().data)
        digest.update(windows.counts.numpy().data)
    digest.update(repr(tuple(parts["train"].values.shape)).encode())
    digest.update(parts["train"].values.numpy().data)
    return digest.hexdigest()
