"""What one update of one member needs, measured on a few examples: memory, and time."""

from __future__ import annotations

import functools
import time

import torch
from torch import Tensor

from study.modules.network import ModuleNetwork, example

EXAMPLES = 2  # that memory is measured on


@functools.lru_cache(maxsize=16)
def bytes_per_example(network: ModuleNetwork) -> float:
    """Bytes that the forward pass of an update keeps for the backward pass, per example."""
    seen: dict[int, int] = {}

    def count(value: Tensor) -> Tensor:
        storage = value.untyped_storage()
        seen[storage.data_ptr()] = storage.nbytes()
        return value

    params = _params(network)
    weights = {value.untyped_storage().data_ptr() for value in params.values()}
    x = example(network.task, network.how.symbols, EXAMPLES)[None]
    with torch.autograd.graph.saved_tensors_hooks(count, lambda value: value):
        network.train_forward(params, x, None, [0], 0)
    return sum(size for at, size in seen.items() if at not in weights) / EXAMPLES


@functools.lru_cache(maxsize=16)
def seconds_per_update(network: ModuleNetwork, batch: int) -> float:
    """Seconds of forward and backward pass of one member on this machine's CPU: the second try."""
    params, x = _params(network), example(network.task, network.how.symbols, batch)[None]
    seconds = 0.0
    for _ in range(2):
        started = time.perf_counter()
        outputs, _ = network.train_forward(params, x, None, [0], 0)
        trained = [params[name] for name in network.trained]
        torch.autograd.grad(outputs.sum(), trained, allow_unused=True)
        seconds = time.perf_counter() - started
    return seconds


def _params(network: ModuleNetwork) -> dict[str, Tensor]:
    rows = network.named(network.row(seed=0)[None].float())
    return {
        name: value.detach().clone().requires_grad_(name in network.trained)
        for name, value in rows.items()
    }
