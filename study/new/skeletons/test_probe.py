"""The rules that every probe keeps, and states of known size."""

from __future__ import annotations

from skeleton import Skeleton

from study.battery.probes import check_probe, trace_of


def test_it_keeps_the_rules_of_probes():
    check_probe(Skeleton(stages=[0, 1], level=0.05))


def test_units_are_silent_where_all_their_states_are_small():
    of = trace_of("rnn", depth=2, members=[0, 1])
    found = Skeleton(stages=[0], level=0.3)(of)["silent_units"]
    for member in range(2):
        for layer in range(2):
            h = of.network().layers[layer]["h"][member]  # [T, B, H]
            assert float(found[member, layer]) == float(
                (h.abs().flatten(0, 1).amax(0) < 0.3).double().mean()
            )
