"""Checks of initializers."""

from __future__ import annotations

import torch

from study.battery.shared import init_facts
from study.interfaces import Block, Initializer
from study.numerics.streams import generator


def check_initializer(initializer: Initializer) -> None:
    """Check shape, dtype and finiteness, and that values are a function of the generator alone.

    Different seeds must give different values if the initializer draws any.
    """
    name = type(initializer).__name__
    facts = init_facts(keep={"f": 1})
    shapes = {"recurrent": (32, 32), "input": (32, 1), "bias": (32,), "readout": (10, 32)}
    for role in initializer.roles:
        block = Block(role=role, gate="f", shape=shapes[role], layer=1)
        before = torch.random.get_rng_state()
        first, again, other = (
            initializer(block, generator(seed, "check"), facts) for seed in (0, 0, 1)
        )
        assert first.shape == block.shape, (
            f"{name}: shape {tuple(first.shape)} for a block of {block.shape}"
        )
        assert first.isfinite().all(), f"{name}: not finite"
        assert first.dtype == torch.float64, f"{name}: values must be float64, got {first.dtype}"
        assert torch.equal(first, again), f"{name}: two draws with one seed differ"
        assert torch.equal(before, torch.random.get_rng_state()), (
            f"{name}: drew from torch's global generator"
        )
        drew = generator(0, "check")
        start = drew.get_state()
        initializer(block, drew, facts)
        assert torch.equal(start, drew.get_state()) or not torch.equal(first, other), (
            f"{name}: two seeds give equal values"
        )
