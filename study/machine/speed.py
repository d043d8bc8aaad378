"""How fast this machine is: timed at each launch; the best is kept in the user's cache folder."""

from __future__ import annotations

import contextlib
import functools
import json
import math
import time

import torch

from study.machine.cache import cache_folder, machine

REFERENCE = 2.8e-3  # CPU seconds of the benchmark on the machine that costs of groups are timed on
REPEATS, STEPS = 10, 100


@functools.cache
def slowness() -> float:
    """How many times as long as on the reference machine, a Xeon with AVX-512, training takes.

    Some hundredths of a second. The least CPU time of all repeats so far is taken, so that it
    becomes that of the machine when it is idle, however busy it was when it was timed first.
    """
    path, before = cache_folder() / "speed.json", math.inf
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        if (known := float(json.loads(path.read_text(encoding="utf-8"))[_machine()])) > 0:
            before = known
    seconds = min(before, *(_seconds() for _ in range(REPEATS)))
    if seconds < before:
        with contextlib.suppress(OSError):  # then only this launch knows it
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps({_machine(): seconds}), encoding="utf-8")
    return seconds / REFERENCE


def _machine() -> str:
    """Changes with the processor and with torch."""
    return f"{machine()} {torch.__version__}"


def _seconds() -> float:
    """CPU seconds of some steps of gates like an LSTM's, for 4 members of 32 hidden units."""
    weights, state = torch.full((4, 32, 128), 0.01), torch.zeros(4, 64, 32)
    started = time.process_time()
    for _ in range(STEPS):
        forget, cell, add, show = torch.bmm(state, weights).sigmoid().split(32, dim=-1)
        state = torch.tanh(forget * cell + add * show)
    return time.process_time() - started
