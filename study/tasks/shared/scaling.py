"""Mean, deviation and range of channels, read in pieces so that nothing is copied as a whole."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

PIECE = 1 << 20  # values that are copied at once
LEAF = 1 << 12  # values that NumPy adds at once where it adds in pairs
SAME = float(np.finfo(np.float32).eps)  # relative range of numbers that are one in fp32

Pieces = Callable[[], Iterator[np.ndarray]]


@dataclass(frozen=True)
class Scale:
    """How channels are standardised: (x - mean) / deviation, and 0 where `constant`; [D] each.

    A constant channel's deviation is the largest single-precision number, so that the formula
    alone gives 0 as well, whatever its value elsewhere.
    """

    mean: np.ndarray
    deviation: np.ndarray
    constant: np.ndarray

    def __call__(self, steps: np.ndarray) -> np.ndarray:
        scaled: np.ndarray = (steps - self.mean) / self.deviation
        if self.constant.any():
            scaled[..., self.constant] = 0
        return scaled

    def moved(self, steps: np.ndarray) -> np.ndarray:
        """Which constant channels [D] have another value in these steps [n, D]."""
        moved = np.zeros(len(self.constant), bool)
        if self.constant.any():
            away = np.abs(steps[:, self.constant] - self.mean[self.constant])
            moved[self.constant] = (away > SAME * np.abs(self.mean[self.constant])).any(0)
        return moved


def stacked(sequences: Sequence[np.ndarray] | np.ndarray, index: np.ndarray) -> np.ndarray:
    """The steps [n, D] of these sequences, one after the other."""
    if isinstance(sequences, np.ndarray):
        found: np.ndarray = sequences[index].reshape(-1, sequences.shape[2])
        return found
    return np.concatenate([sequences[number] for number in index])


def pieces(
    sequences: Sequence[np.ndarray] | np.ndarray, lengths: np.ndarray, index: np.ndarray
) -> Pieces:
    """Steps [n, D] in fp64 of the sequences at `index`, in this order, some PIECE values a time."""
    found = [index[chunk] for chunk in chunks(lengths[index], sequences[0].shape[1])]
    return lambda: (stacked(sequences, chunk).astype(np.float64) for chunk in found)


def chunks(lengths: np.ndarray, width: int) -> Iterator[np.ndarray]:
    """Positions of sequences with these lengths, some PIECE values a time."""
    ends = np.cumsum(lengths) * width
    cuts = np.searchsorted(ends, np.arange(PIECE, int(ends[-1]), PIECE), side="right")
    for begin, end in itertools.pairwise(np.unique([0, *cuts, len(lengths)])):
        yield np.arange(begin, end)


def scale(read: Pieces) -> Scale:
    """The scale of these steps; sums are those of NumPy's mean and std over all steps at once."""
    low, high, steps = None, None, 0
    for piece in read():
        least, most = piece.min(0), piece.max(0)
        low = least if low is None else np.minimum(low, least)
        high = most if high is None else np.maximum(high, most)
        steps += len(piece)
    assert low is not None and high is not None
    mean = _sum(read(), steps) / steps
    deviation = np.sqrt(_sum((_squared(piece, mean) for piece in read()), steps) / steps)
    # a deviation of equal numbers is seldom exactly 0
    constant = high - low <= SAME * np.maximum(np.abs(low), np.abs(high))
    mean = np.where(low == high, low, mean)
    return Scale(
        mean, np.where(constant, float(np.finfo(np.float32).max), deviation), np.asarray(constant)
    )


def _squared(piece: np.ndarray, mean: np.ndarray) -> np.ndarray:
    away = piece - mean
    return np.multiply(away, away, out=away)


def _sum(read: Iterator[np.ndarray], steps: int) -> np.ndarray:
    """[D]. NumPy adds row by row, or, where a column's values lie side by side, in pairs."""
    rest = next(read)
    if rest.shape[1] > 1 and (rest.flags.c_contiguous or not rest.flags.f_contiguous):
        total = np.add.reduce(rest, axis=0, keepdims=True)
        for piece in read:
            total = np.add.reduce(np.concatenate([total, piece]), axis=0, keepdims=True)
        return np.asarray(total[0])

    def take(count: int) -> np.ndarray:
        nonlocal rest
        while len(rest) < count:
            rest = np.concatenate([rest, next(read)])
        taken, rest = rest[:count], rest[count:]
        return np.asarray([np.add.reduce(np.ascontiguousarray(column)) for column in taken.T])

    def in_pairs(count: int) -> np.ndarray:
        if count <= LEAF:
            return take(count)
        half = count // 2 - count // 2 % 8
        return in_pairs(half) + in_pairs(count - half)

    return in_pairs(steps)
