"""Transport: how a random direction is carried back in time, for any loss and readout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from study.health.lags import by_lag, gradient_norms, joint_norm
from study.interfaces import LagNorms, ProfileProbe, Trace, Unrolled
from study.numerics.steps import Steps
from study.records import NETWORK


class Transport(ProfileProbe):
    """‖∂(u·s_a)/∂s_{a-k}‖ with u random of unit norm for each example, a the last valid step.

    Network: s = the states of all layers. Layer: the direction starts at that layer's state with
    its input held constant, so that a layer's transport does not include that of others. Costs one
    backward pass, two with depth > 1.
    """

    decides = True
    reads = "states"

    def __init__(self, *, stages: Sequence[float]) -> None:
        self.stages = stages

    def __call__(self, trace: Trace) -> Mapping[str, LagNorms]:
        network = trace.network()
        count = len(network.layers)
        (norms,) = self._norms(network, trace, [range(count)])
        every = joint_norm([norm for layer in norms for norm in layer.values()])
        profiles = {f"{NETWORK}/s": by_lag(every, every, trace.last_step)}
        if count == 1:
            return profiles | {"1/s": profiles[f"{NETWORK}/s"]}
        for number, (layer,) in enumerate(
            self._norms(network, trace, [[index] for index in range(count)]), start=1
        ):
            of_layer = joint_norm(list(layer.values()))
            profiles[f"{number}/s"] = by_lag(of_layer, of_layer, trace.last_step)
        return profiles

    def _norms(
        self, network: Unrolled, trace: Trace, units: Sequence[Sequence[int]]
    ) -> list[list[dict[str, Tensor]]]:
        """Gradient norms at the states of each set of layers in `units`, one direction per set.

        Paths from a layer's states to its own earlier states pass through that layer alone, so
        other layers need not be detached.
        """
        found, generator = [], trace.generator("transport")
        for layers in units:
            states = [state for layer in layers for state in network.layers[layer].values()]
            members, _, examples, _ = states[0].shape
            widths = [state.shape[-1] for state in states]
            u = torch.randn(examples, sum(widths), dtype=torch.float64, generator=generator)
            u = u / torch.linalg.vector_norm(u, dim=-1, keepdim=True)
            last = trace.last_step.to(states[0].device)[:, None]
            along = [
                Steps.apply(state, last.expand(members, 1, -1, state.shape[-1]))[:, 0]
                * part.to(state)
                for state, part in zip(states, u.split(widths, dim=-1), strict=True)
            ]
            found.append(
                gradient_norms(
                    network.derivatives(torch.stack([part.sum() for part in along]), layers)
                )
            )
        return found
