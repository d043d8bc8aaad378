"""On a GPU: torch.nn (cuDNN) one network after the other without probes / one group with the
default probes, by kernel=auto. Seconds on the wall.
"""

from __future__ import annotations

import torch

from study.config.setup import set_up
from tests.bench.figure import Found, Goal, NotHere, TrialRequest, Value, in_turn
from tests.bench.plain_torch import Fused, train
from tests.bench.structures import seconds, shorter, structures

TITLE = "GPU: cuDNN one at a time, no probes / one group with default probes"
GOAL = Goal(least=20)
MEMBERS, SIZES, DEVICE = 36, ("32", "128"), "cuda"


def ready() -> str | None:
    return (
        None
        if torch.cuda.is_available()
        else "no CUDA GPU here (torch.cuda.is_available() is false)"
    )


def measure(asked: TrialRequest, repeat: int) -> Found:
    if (why := ready()) is not None:
        raise NotHere(why)
    found, more = {}, asked.more.setdefault("gpu", {"device": device(), "kernels": {}})
    for hidden in SIZES:
        for name, points in structures(
            "digits",
            asked.sized(MEMBERS),
            "depth=1",
            "seed=range(6)",
            f"hidden={hidden}",
            device=DEVICE,
        ).items():
            points, kernel = shorter(points, asked.share), set_up(points[0].config).kernel
            train(shorter(points[:1], 0.02), Fused, False, 1, DEVICE)
            seconds(shorter(points, 0.02), DEVICE)
            them, us = in_turn(
                repeat,
                lambda points=points: train(points, Fused, False, 2, DEVICE),
                lambda points=points: seconds(points, DEVICE),
            )
            row = f"{name}, H={hidden}, {len(points)} members"
            found[row], more["kernels"][row] = Value.ratio(them, us, GOAL), kernel
            asked.say(
                f"repeat {repeat + 1}: {name}, H={hidden}: {them:.1f} s by cuDNN, {us:.1f} s as one"
                f" group of {len(points)} by kernel {kernel}"
            )
    return found


def device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
