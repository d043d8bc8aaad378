"""Singular values of long products of Jacobians, accurate where a direct SVD returns noise.

A product of k matrices is stored as Q·T with T = R_k···R_1 triangular, each row of T as a unit
vector and the log of its norm, so that nothing under- or overflows. Singular values of T are
computed by one-sided Jacobi rotations (LAPACK dgejsv), which are accurate relative to each value if
the rows differ in scale only (Demmel & Veselić 1992, Drmač & Veselić 2008); a dense SVD loses
everything 1e-16 below the largest.

Each value is accurate to about k·S·eps times the largest condition number of a single factor, not
of their product. A direction that one factor reduces below S·eps of its column is zero to rounding
and counts as exactly 0 from there on (log −∞).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import lapack
from torch import Tensor

Array = np.ndarray

EPS = float(np.finfo(np.float64).eps)
SPAN = np.log(1e140)  # of column norms in one LAPACK call, so that their squares stay in range
UNCOUPLED = 1e-18  # coupling below which two blocks of columns are treated separately
ROUNDS = 200  # of QR before giving up on a matrix whose columns span more than SPAN


def qr(a: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Q, R and ln|R_ii| [..., S] of square matrices [..., S, S].

    If R_ii is zero to rounding, its log is −∞ and its row of R is 0; NaN if A is not finite.
    """
    finite = a.isfinite().all(-1).all(-1)[..., None]
    a = torch.where(finite[..., None], a, 0.0)
    # With rows in falling order of norm, Householder QR keeps the accuracy of small ones (Cox &
    # Higham 1998), such as those of saturated units.
    order = _norm(a).argsort(dim=-1, descending=True, stable=True)[..., None].expand_as(a)
    q, r = torch.linalg.qr(a.gather(-2, order))
    q = torch.empty_like(q).scatter_(-2, order, q)
    diagonal = r.diagonal(dim1=-2, dim2=-1).abs()
    alive = diagonal > a.shape[-1] * EPS * _norm(a.transpose(-1, -2))
    logs = torch.where(alive, diagonal.log(), -torch.inf)
    return q, torch.where(alive[..., None], r, 0.0), torch.where(finite, logs, torch.nan)


def random_orthogonal(size: int, generator: torch.Generator) -> Tensor:
    """A Haar-distributed matrix [S, S] in float64.

    Its columns are in general position: the first r columns of a product of rank r span its range.
    """
    q, r = torch.linalg.qr(torch.randn(size, size, dtype=torch.float64, generator=generator))
    return q * r.diagonal().sign()


@dataclass(frozen=True)
class Triangular:
    """T [..., S, S] = diag(exp(logs))·rows: rows of unit norm, or zero where logs is −∞."""

    rows: Tensor
    logs: Tensor

    @classmethod
    def identity(cls, like: Tensor) -> Triangular:
        size = like.shape[-1]
        return cls(
            torch.eye(size).to(like).expand(*like.shape[:-2], size, size),
            like.new_zeros(like.shape[:-1]),
        )

    def times(self, r: Tensor) -> Triangular:
        """R·T for R [..., S, S]."""
        with_scale = r.abs().log() + self.logs[..., None, :]
        largest = with_scale.amax(-1)
        shift = torch.where(largest.isfinite(), largest, 0.0)
        rows = (
            torch.where(r == 0, 0.0, r.sign() * (with_scale - shift[..., None]).exp()) @ self.rows
        )
        norm = _norm(rows)
        return Triangular(rows / torch.where(norm > 0, norm, 1.0)[..., None], norm.log() + shift)

    def singular_values(self) -> Tensor:
        """ln σ [..., S], largest first; −∞ for zeros, NaN where T is not finite."""
        shape, size = self.logs.shape, self.logs.shape[-1]
        rows, logs = (
            self.rows.reshape(-1, size, size).cpu().numpy(),
            self.logs.reshape(-1, size).cpu().numpy(),
        )
        found = np.stack([graded(one.T, scale) for one, scale in zip(rows, logs, strict=True)])
        return torch.from_numpy(found).reshape(shape)


def graded(columns: Array, logs: Array) -> Array:
    """ln σ, largest first, of columns·diag(exp(logs)) [S, S]; a log of −∞ is a column of zeros."""
    if not (np.isfinite(columns).all() and (logs < np.inf).all()):
        return np.full(len(logs), np.nan)
    alive = logs > -np.inf
    values = _graded(columns[:, alive], logs[alive]) if alive.any() else np.empty(0)
    return np.concatenate([np.sort(values)[::-1], np.full(int((~alive).sum()), -np.inf)])


def _graded(c: Array, s: Array) -> Array:
    """The same for finite logs, in any order.

    Columns whose norms span too much are first decoupled into blocks by rounds of QR: σ(C·D) =
    σ(R·D) = σ(D·Rᵀ) = σ((D·Rᵀ·D⁻¹)·D). With D in falling order, the bracket is triangular without
    overflow, and each round shrinks the coupling of columns i < j by (d_j/d_i)². Splitting blocks
    changes values by less than UNCOUPLED.
    """
    for _ in range(ROUNDS):
        order = np.argsort(-s, kind="stable")
        c, s = c[:, order], s[order]
        blocks = _blocks(c, s)
        if all(s[block][0] - s[block][-1] < SPAN for block in blocks):
            return np.concatenate([_jacobi(c[:, block], s[block]) for block in blocks])
        r: Array = np.linalg.qr(c)[1]
        c = np.tril(r.T * np.exp(np.minimum(s[:, None] - s[None, :], 0.0)))
        norm = np.linalg.norm(c, axis=0)
        c, s = c / norm, s + np.log(norm)
    return np.full(len(s), np.nan)


def _blocks(c: Array, s: Array) -> list[slice]:
    """Uncoupled blocks of consecutive columns if C is lower triangular, else one block."""
    size = len(s)
    if s[0] - s[-1] < SPAN or c.shape[0] != size or np.abs(np.triu(c, 1)).max(initial=0.0) > 0:
        return [slice(0, size)]
    below = np.abs(np.tril(c, -1))
    # coupling[p]: the largest entry with its column before p and its row at p or later
    coupling = [below[p:, :p].max(initial=0.0) for p in range(1, size)]
    cuts = [0, *(p for p, coupled in enumerate(coupling, start=1) if coupled < UNCOUPLED), size]
    return [slice(start, end) for start, end in itertools.pairwise(cuts)]


def _jacobi(c: Array, s: Array) -> Array:
    """ln σ by dgejsv of C·D with C well conditioned (joba 0); keeps small values (jobr 0)."""
    if len(s) == 1:
        return s + np.log(np.linalg.norm(c, axis=0))
    a = np.asfortranarray(c * np.exp(s - s[0]))
    sva, _, _, work, _, info = lapack.dgejsv(a, joba=0, jobu=3, jobv=3, jobr=0, jobt=0, jobp=0)
    if info != 0:
        return np.full(len(s), np.nan)
    with np.errstate(divide="ignore"):
        return np.log(sva) + np.log(work[1] / work[0]) + s[0]


def _norm(x: Tensor) -> Tensor:
    """Euclidean norm over the last axis, without overflow of squares."""
    largest = x.abs().amax(-1, keepdim=True)
    scale = torch.where((largest > 0) & largest.isfinite(), largest, 1.0)
    return torch.linalg.vector_norm(x / scale, dim=-1) * scale.squeeze(-1)
