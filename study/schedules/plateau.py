"""Steps down where validation no longer improves, as torch.optim.lr_scheduler.ReduceLROnPlateau."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from study.interfaces import PerMember, Schedule, require


class Plateau(Schedule):
    """Multiplies the factor by gamma after more than `patience` validations without improvement.

    A validation loss improves if it is below (1 - threshold) times the lowest so far. After a step,
    `cooldown` validations are not counted. The factor never falls below `floor`. The first
    validation is that of the initial weights. As torch's with threshold_mode="rel" and eps=0.
    """

    def __init__(
        self,
        *,
        gamma: PerMember,
        patience: PerMember,
        threshold: PerMember,
        cooldown: PerMember,
        floor: PerMember,
    ) -> None:
        values = {
            "gamma": gamma,
            "patience": patience,
            "threshold": threshold,
            "cooldown": cooldown,
            "floor": floor,
        }
        tensors = {
            key: torch.as_tensor(value, dtype=torch.float64).reshape(-1)
            for key, value in values.items()
        }
        for key, allowed in (
            ("gamma", "greater than 0 and below 1"),
            ("threshold", "at least 0 and below 1"),
            ("floor", "at least 0 and below 1"),
        ):
            one = tensors[key]
            fits = bool(((one >= 0) & (one < 1) & ((one > 0) | (key != "gamma"))).all())
            require(fits, "plateau", key, allowed, values[key])
        for key in ("patience", "cooldown"):
            fits = bool(((tensors[key] >= 0) & (tensors[key] == tensors[key].round())).all())
            require(fits, "plateau", key, "a whole number of validations", values[key])
        self.gamma, self.patience, self.threshold, self.cooldown, self.floor = tensors.values()

    def init(self, members: int) -> dict[str, Tensor]:
        zeros = torch.zeros(members, dtype=torch.float64, device=self.gamma.device)
        return {"best": zeros + torch.inf, "bad": zeros, "rest": zeros, "factor": zeros + 1}

    def __call__(self, update: int, updates: int, state: Mapping[str, Tensor]) -> Tensor:
        return state["factor"]

    def validated(self, loss: Tensor, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        better = loss < state["best"] * (1 - self.threshold)
        bad = torch.where(better, 0.0, state["bad"] + 1)
        resting = state["rest"] > 0
        bad = torch.where(resting, 0.0, bad)
        rest = torch.where(resting, state["rest"] - 1, 0.0)
        steps = bad > self.patience
        lower = torch.maximum(state["factor"] * self.gamma, self.floor)
        return {
            "best": torch.where(better, loss, state["best"]),
            "bad": torch.where(steps, 0.0, bad),
            "rest": torch.where(steps, self.cooldown, rest),
            "factor": torch.where(steps, lower, state["factor"]),
        }
