"""Random streams are independent by purpose."""

from __future__ import annotations

import itertools

import torch

from study.numerics.streams import generator


def test_streams_of_other_seeds_purposes_and_keys_differ_and_equal_ones_repeat():
    named = [
        *itertools.product((0, 1), ("data", "init", "dropout"), ((), (0,), (1,), (1, 1), (11,)))
    ]
    draws = [
        torch.rand(4, generator=generator(seed, purpose, *key)) for seed, purpose, key in named
    ]
    assert len({tuple(draw.tolist()) for draw in draws}) == len(named)
    for (seed, purpose, key), draw in zip(named, draws, strict=True):
        assert torch.equal(torch.rand(4, generator=generator(seed, purpose, *key)), draw)


def test_a_stream_is_no_part_of_torchs_global_one():
    before = torch.get_rng_state()
    torch.rand(3, generator=generator(0, "data", 0))
    assert torch.equal(torch.get_rng_state(), before)
