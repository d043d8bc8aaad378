"""Jacobians of the recurrence: eigenvalues of single steps, singular values of their products."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from study.health.lags import check_examples, check_lags, chosen_lags, first_examples
from study.interfaces import AtLags, ByIndex, PointFacts, Probe, Trace, require
from study.probes.shared.onestep import LayerSteps, layer_steps, mean
from study.probes.shared.spectra import Triangular, qr, random_orthogonal

DECADE = math.log(10)


class Jacobian(Probe):
    """Spectra of J_t = ∂s_t/∂s_{t-1} and of products over lags, for each layer, in decades.

    A layer's input is held constant (see onestep); means over the first `examples` of the probe
    batch. `log10_eigenvalue` [M, layers, S]: log10 |eigenvalue| of J_t, largest first, mean over
    `steps` evenly spaced steps. `step_radius` [M, layers]: mean spectral radius of these J_t. Of
    the product ∂s_T/∂s_{T-k}, T the last valid step, at `lags` k (null: 1 and 10, 50, 100 % of the
    judged lag): `log10_singular_value`, largest first; `log10_sigma_max`, `log10_sigma_min`,
    `log10_condition` (their ratio); `effective_rank` = exp(−Σ p_i ln p_i), p_i = σ_i/Σσ (Roy &
    Vetterli 2007), between 1 and S, or 0 for a zero product. Examples shorter than a lag are left
    out.

    Products are accumulated by QR in fp64 with logs (accuracy: see spectra); −∞ is a direction lost
    to rounding within one step. Costs, per step of the longest lag, S passes through it and a QR of
    S×S for each example: seconds to half a minute per stage (see its YAML).
    """

    def __init__(
        self, *, stages: Sequence[float], examples: int, steps: int, lags: Sequence[int] | None
    ) -> None:
        require(examples >= 1, "jacobian", "examples", "at least 1", examples)
        require(steps >= 1, "jacobian", "steps", "at least 1", steps)
        require(lags is None or len(lags) > 0, "jacobian", "lags", "null or a list of lags", lags)
        self.stages, self.examples, self.steps, self.lags = stages, examples, steps, lags

    def check(self, point: PointFacts) -> None:
        check_examples(self.examples, point.examples)
        check_lags(self.lags, point.facts.steps - 1, first=1)

    def __call__(self, trace: Trace) -> Mapping[str, Tensor | ByIndex | AtLags]:
        examples = first_examples("jacobian", self.examples, trace)
        lags = chosen_lags(
            "jacobian", self.lags, trace.last_step[:examples], trace.facts.lag, first=1
        )
        layers = [
            layer_steps(trace, layer, examples)
            for layer in range(1, len(trace.network().layers) + 1)
        ]
        moduli = torch.stack([eigenvalues(layer, self.steps) for layer in layers], dim=1)
        values = torch.stack([self._singular_values(trace, layer, lags) for layer in layers], dim=1)
        p = torch.softmax(values, dim=-1)
        ranks = torch.where(values[..., 0] == -torch.inf, 0.0, torch.special.entr(p).sum(-1).exp())
        decades = self._means(values, layers[0].last, lags) / DECADE
        largest, smallest = decades[..., 0], decades[..., -1]
        return {
            "log10_eigenvalue": ByIndex(moduli.log10().mean(2)),
            "step_radius": moduli[..., 0].mean(2),
            "log10_singular_value": AtLags(decades, lags),
            "log10_sigma_max": AtLags(largest, lags),
            "log10_sigma_min": AtLags(smallest, lags),
            "log10_condition": AtLags(
                torch.where(smallest == -torch.inf, torch.inf, largest - smallest), lags
            ),
            "effective_rank": AtLags(self._means(ranks, layers[0].last, lags), lags),
        }

    def _singular_values(self, trace: Trace, layer: LayerSteps, lags: Sequence[int]) -> Tensor:
        return singular_values(
            layer, lags, random_orthogonal(layer.size, trace.generator("jacobian"))
        )

    def _means(self, values: Tensor, last: Tensor, lags: Sequence[int]) -> Tensor:
        """[M, layers, lags, …] from [M, layers, B, lags, …]: mean over examples with that lag."""
        parts = [
            mean(values.select(3, number).transpose(1, 2), last >= lag)
            for number, lag in enumerate(lags)
        ]
        return torch.stack(parts, dim=2)


def eigenvalues(layer: LayerSteps, steps: int) -> Tensor:
    """|eigenvalues| [M, B·steps, S] of J_t, largest first; NaN where J_t is not finite.

    The steps are evenly spaced from the second to the last valid one.
    """
    found = []
    for share in (
        torch.linspace(0, 1, steps, dtype=torch.float64)
        if steps > 1
        else torch.ones(1, dtype=torch.float64)
    ):
        jacobian = layer.jacobian(
            (layer.last.clamp(max=1) + (layer.last - 1).clamp(min=0) * share).round().long()
        )
        finite = jacobian.isfinite().all(-1).all(-1)
        moduli = torch.linalg.eigvals(torch.where(finite[..., None, None], jacobian, 0.0)).abs()
        found.append(
            torch.where(finite[..., None], moduli.sort(dim=-1, descending=True).values, torch.nan)
        )
    return torch.cat(found, dim=1)


def singular_values(layer: LayerSteps, lags: Sequence[int], q: Tensor) -> Tensor:
    """ln σ [M, B, lags, S] of ∂s_T/∂s_{T-k}, largest first; `q` [S, S] is any orthogonal start.

    Values at lags beyond an example's length are arbitrary. The transpose J_{T-k+1}ᵀ···J_Tᵀ is
    accumulated backwards from T, so that one pass serves all lags and J_t is never formed.
    """
    members, _, examples, size = layer.before.shape
    q = q.to(layer.before).expand(members, examples, size, size)
    product, found = Triangular.identity(q), []
    for lag in range(1, max(lags) + 1):
        back = layer.pull_back((layer.last - lag + 1).clamp(min=0), q.transpose(-1, -2)).transpose(
            -1, -2
        )
        q, r, logs = qr(back)
        product = product.times(torch.where(logs.isnan()[..., None], torch.nan, r))
        if lag in lags:
            found.append(product.singular_values())
    return torch.stack(found, dim=2)
