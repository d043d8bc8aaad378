"""The rules that every clip rule keeps, and a spike of known size."""

from __future__ import annotations

import torch
from skeleton import Skeleton

from study.battery.clipping import check_clip


def test_it_keeps_the_rules_of_clip_rules():
    check_clip(lambda members: Skeleton(factor=torch.full((members,), 2.0), decay=0.9))


def test_a_spike_is_cut_to_twice_the_mean_and_small_gradients_are_left_alone():
    rule = Skeleton(factor=2.0, decay=0.9)
    calm = torch.tensor([[3.0, 4.0]])
    state = rule.init(calm, {})
    for _ in range(3):
        after, state = rule(calm, calm, state)
        assert torch.equal(after, calm)
    spike, state = rule(100 * calm, calm, state)
    torch.testing.assert_close(spike, 2 * calm)
    assert float(state) == 0.9 * 5 + 0.1 * 10
