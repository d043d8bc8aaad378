"""Bounds of means that hold after every seed, of values between known ends: bets against a mean.

Whoever bets the same share of their money on each value being above m, at the odds that are fair if
the mean is m, has after n values

    K_n(m) = mean over c of Π_i (1 + c (x_i − m) / m),    x in [0, 1], c in SHARES of the money.

If the mean is m or less, K ever reaches 1/α with probability α at most (Ville 1939), whatever the
distribution, whenever one looks and for whatever reason one stops. Waudby-Smith & Ramdas 2024; that
several shares are played at once, as in a universal portfolio, is Orabona & Jun 2024.
"""

from __future__ import annotations

import numpy as np

SHARES = np.array([0.01, 0.03, 0.06, 0.1, 0.15, 0.22, 0.3, 0.4, 0.52, 0.66, 0.82, 0.98])
HALVINGS = 40  # of the range, to find a bound


def log_capital(values: np.ndarray, mean: np.ndarray | float) -> np.ndarray:
    """The logarithm of the most that was ever held, [...], betting that the mean is above `mean`.

    `values`: [..., seeds] between 0 and 1, NaN: not there, and at the end. `mean`: [...]. Infinite
    for a mean that no value may have.
    """
    mean = np.broadcast_to(np.asarray(mean, float), values.shape[:-1])
    fair = np.clip(mean, 1e-9, None)[..., None]
    gain = np.where(np.isfinite(values), (values - fair) / fair, 0.0)
    money = np.stack([np.cumsum(np.log1p(share * gain), axis=-1) for share in SHARES])
    held = np.logaddexp.reduce(money, axis=0) - np.log(len(SHARES))
    most = np.maximum(held.max(-1), 0.0) if values.shape[-1] else np.zeros(mean.shape)
    return np.where(mean < 0, np.inf, most)


def lower_bound(values: np.ndarray, level: float) -> np.ndarray:
    """[...]: what the mean of values between 0 and 1 is above, at one side of this level."""
    low, high = np.zeros(values.shape[:-1]), np.ones(values.shape[:-1])
    for _ in range(HALVINGS):  # capital falls as the mean that is bet against rises
        middle = (low + high) / 2
        shown = log_capital(values, middle) >= -np.log(level)
        low, high = np.where(shown, middle, low), np.where(shown, high, middle)
    return low


def bounds(
    values: np.ndarray, weights: np.ndarray, level: float, least: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Estimate, lower and upper bound [..., contrasts] of Σ w·mean, each side at `level`.

    `values`: [..., arms, seeds] between `least` and `least` + 1. `weights`: [contrasts, arms]. Of
    each contrast, the seeds that all its arms have.
    """
    scaled, start, width = scaled_sums(values, weights, least)
    there = np.isfinite(scaled)
    count = there.sum(-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = np.where(there, scaled, 0.0).sum(-1) / count
    low, high = lower_bound(scaled, level), 1 - lower_bound(1 - scaled, level)
    return start + width * found, start + width * low, start + width * high


def scaled_sums(
    values: np.ndarray, weights: np.ndarray, least: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Σ w·x of every seed, [..., contrasts, seeds], as shares of their range; its start and width
    [contrasts].
    """
    sums = np.where(np.isfinite(values), values, 0.0).swapaxes(-1, -2) @ weights.T
    gone = (~np.isfinite(values)).astype(float).swapaxes(-1, -2) @ (weights != 0).astype(float).T
    sums = np.where(gone > 0, np.nan, sums).swapaxes(-1, -2)
    start = least * weights.sum(1) + np.minimum(weights, 0).sum(1)
    width = np.abs(weights).sum(1)
    return np.clip((sums - start[:, None]) / width[:, None], 0.0, 1.0), start, width


def pairs_above(values: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """[..., i, j]: the logarithm of the capital of betting that mean i − mean j is above `gap`.

    `values`: [..., arms, seeds], whose differences lie between −1 and 1. `gap`: [..., i, j].
    """
    made = []
    for arm in range(values.shape[-2]):
        differences = values[..., arm : arm + 1, :] - values
        scaled = np.clip((differences + 1) / 2, 0, 1)
        made.append(log_capital(scaled, (gap[..., arm, :] + 1) / 2))
    return np.stack(made, axis=-2)
