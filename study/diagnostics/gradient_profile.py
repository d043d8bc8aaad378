"""Gradient health of a torch.nn.RNN, LSTM or GRU of one's own, for one batch and one loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import yaml
from torch import Tensor

from study.config.paths import conf_folder
from study.diagnostics.adjoint import LayerPass, Scaled, pull_back, unroll
from study.diagnostics.modules import Recurrent, Sequences, recurrent, sequences
from study.health.profiles import Logs, Thresholds, carry, judged_lag, profile, states
from study.numerics.streams import generator
from study.records import NETWORK, StudyError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ByKey = dict[str, list[tuple[np.ndarray, np.ndarray]]]


@dataclass(frozen=True)
class Health:
    """How the gradient travels through one recurrent module. Decades are powers of ten.

    `profile`: gradient of the loss, one row a (layer, state, lag): log10_mean is the geometric mean
    over examples of
      ‖∂ℓ/∂s_{a−lag}‖ / ‖∂ℓ/∂s_a‖ in decades and `ratio` that mean itself (0 below 1e-308, where
      log10_mean goes on); log10_p10, log10_p90, log10_rms; n examples that have this lag, of which
      n_zero and n_nonfinite are left out of the mean. layer from "1", "network" all together; state
      h, c or s (both). The denominator is that of s, which is ‖∂ℓ/∂h_a‖ for a loss of the outputs
      (then ∂ℓ/∂c_a = 0).
    `transport`: the same of a random unit direction at s_a in place of the loss; it asks nothing of
    loss and readout and decides the state. `states`: one row a layer and the network: D, U with 95
    % intervals (bootstrap over examples), state, margin, slope, horizon. `anchor` [B]: the step a
    of each example, from 0; −1 where the loss does not reach the example. `notes`: what a reader
    must know about this measurement, a sentence each. `loss_dtype`: in which the loss was computed
    from the outputs: float64, or the module's own where loss_fn refused that. The way back
      in time is fp64 in any case.
    """

    profile: pd.DataFrame
    transport: pd.DataFrame
    states: pd.DataFrame
    thresholds: Thresholds
    anchor: np.ndarray
    notes: tuple[str, ...]
    loss_dtype: str

    @property
    def network(self) -> Mapping[str, Any]:
        """The row of `states` that decides: all layers together."""
        return self.states[self.states["layer"] == NETWORK].iloc[0].to_dict()

    @property
    def state(self) -> str:
        """carrying | fading | vanishing | exploding | undefined, by the thresholds of
        conf/config.yaml (health).
        """
        return str(self.network["state"])

    @property
    def lag(self) -> int:
        """K, the lag that is judged."""
        return int(self.network["lag"])

    @property
    def D(self) -> float:
        """Transport at lags .9K to K relative to lag 1, decades."""
        return float(self.network["D"])

    @property
    def U(self) -> float:
        """Largest rms transport up to K relative to lag 1, decades."""
        return float(self.network["U"])

    @property
    def margin(self) -> float:
        """Distance of D and U to the next class, decades."""
        return float(self.network["margin"])

    @property
    def D_interval(self) -> tuple[float, float]:
        return float(self.network["D_low"]), float(self.network["D_high"])

    @property
    def U_interval(self) -> tuple[float, float]:
        return float(self.network["U_low"]), float(self.network["U_high"])

    def plot(self) -> Figure:
        """Loss profile by layer beside the transport with the classes; a matplotlib figure, drawn
        nowhere yet.
        """
        from study.diagnostics.figures import health_figure

        return health_figure(self)

    def __str__(self) -> str:
        of = self.network
        told = [
            f"{name} {of[name]:+.2f} [{of[f'{name}_low']:+.2f}, {of[f'{name}_high']:+.2f}]"
            for name in ("D", "U")
        ]
        return "\n".join(
            [
                (
                    f"{self.state}: {', '.join(told)} decades at lag {self.lag}, {self.margin:.2f}"
                    " from the next class"
                ),
                *self.notes,
            ]
        )


def gradient_profile(
    module: torch.nn.Module,
    x: Any,
    loss_fn: Callable[[Any], Tensor],
    *,
    hx: Any = None,
    lag: int | None = None,
    every_step: bool = False,
) -> Health:
    """Follow the gradient of a loss, and a random direction, back in time through a plain
    torch.nn.RNN, LSTM or GRU.

    x: what the module takes: [B, T, D] or [T, B, D] by its batch_first, [T, D], or a
    PackedSequence; hx its optional first state. loss_fn: from the module's first result, as the
    module returns it (Tensor or PackedSequence), to one number. It is handed fp64;
      where it refuses that (a readout in fp32), the module's own dtype.
    lag: K, the lag that matters in the task; default 90 % of the sequence. every_step: see below.

    Everything is computed in fp64 by an unrolled loop whatever dtype the module has, and with
    logarithms of norms: no profile ends at 1e-308. `output.retain_grad()` on the fused layer would
    give 0 for every step before the last one the loss reads. The module is read, never called and
    not changed (weights, gradients, mode, random state); dropout between layers is left out.

    Each example has a profile of its own: the gradient of the loss at that example's states,
    divided by the one at its anchor; the profile shown is the geometric mean over examples. The 1/B
    of a mean over the batch, or any other weight of an example, cancels in that ratio. A loss that
    mixes examples (contrastive, batch norm) is followed back from what it says about each example.

    The anchor a of an example is the last step whose output its loss reads: the last valid step of
    a PackedSequence with a loss on last steps, and also where a padded tensor is read at each
    example's true end. Steps after it are not looked at, so padding is excluded. Examples the loss
    does not read at all are left out and counted in `notes`.

    A loss that reads many steps (a sum over steps) has at each earlier step a term of its own,
    which hides decay: h = .5h would look flat. `notes` says so. every_step=True measures such
    losses as the study does: ℓ is what the loss reads at one step a alone, for several evenly
    spaced a with K steps before them (conf/probe/loss.yaml has how many). Transport knows no such
    trouble.

    Raises StudyError that says what to do: not recurrent, bidirectional, proj_size, wrong shapes, a
    loss that is not one number.
    """
    of = recurrent(module)
    module = getattr(module, "_orig_mod", module)
    given = sequences(module, of, x, hx)
    layers = unroll(of, given.x, given.first)
    direct = [torch.zeros_like(layer.states) for layer in layers]
    gradient, dtype = _output_gradient(given, layers[-1].states[..., : of.hidden], loss_fn)
    direct[-1][..., : of.hidden] = gradient
    return examine(
        of, given, layers, direct, How(settings(), lag, every_step, draw=0, loss_dtype=dtype)
    )


def _output_gradient(
    given: Sequences, output: Tensor, loss_fn: Callable[[Any], Tensor]
) -> tuple[Tensor, torch.dtype]:
    """∂ℓ/∂output [T, B, H] as far as the loss reads it directly, and the dtype it was computed in:
    fp64 if loss_fn takes it, else the module's own.
    """
    try:
        return given.by_step(_gradient(given, output, loss_fn, torch.float64)), torch.float64
    except StudyError:
        raise
    # whatever loss_fn raises: a readout in fp32 refuses fp64 in many ways; what is wrong beyond
    # that is raised below
    except Exception:
        if given.dtype == torch.float64:
            raise
    return given.by_step(_gradient(given, output, loss_fn, given.dtype)), given.dtype


def _gradient(
    given: Sequences, output: Tensor, loss_fn: Callable[[Any], Tensor], dtype: torch.dtype
) -> Tensor:
    devices = [given.device] if given.device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.inference_mode(False), torch.enable_grad():
        leaf, returned = given.as_returned(output, dtype)
        loss = loss_fn(returned)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            came = (
                f"a tensor of shape {list(loss.shape)}"
                if isinstance(loss, Tensor)
                else type(loss).__name__
            )
            raise StudyError(
                "loss_fn must return one number, such as losses.mean() or .sum() over the batch;"
                f" got {came}"
            )
        found = (
            torch.autograd.grad(loss.sum(), [leaf], allow_unused=True)[0]
            if loss.requires_grad
            else None
        )
    if found is None:
        raise StudyError(
            "loss_fn must compute the loss from the output it is given, without detach, no_grad,"
            " argmax or .item(): no gradient reaches the output"
        )
    return found


# --- shared with watching -------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """Defaults, from the one place where they stand: `health` of conf/config.yaml, and `anchors` of
    conf/probe/loss.yaml.
    """

    limits: Thresholds
    examples: int
    anchors: int


def settings() -> Settings:
    node = yaml.safe_load((conf_folder() / "config.yaml").read_text(encoding="utf-8"))["health"]
    loss = yaml.safe_load((conf_folder() / "probe" / "loss.yaml").read_text(encoding="utf-8"))
    return Settings(Thresholds.of(node), node["examples"], loss["anchors"])


@dataclass(frozen=True)
class How:
    """How to look: K (None: 90 % of the sequence), whether the loss is a sum over steps, the number
    of the random directions, the loss's dtype.
    """

    settings: Settings
    lag: int | None
    every_step: bool
    draw: int
    loss_dtype: torch.dtype


def examine(
    of: Recurrent, given: Sequences, layers: Sequence[LayerPass], direct: Sequence[Tensor], how: How
) -> Health:
    """Health from ∂ℓ/∂s_t as far as the loss reads it directly: [T, B, S] a layer."""
    # [T, B]; NaN counts as read
    reads = torch.stack([(part != 0).any(-1) for part in direct]).any(0).cpu()
    steps = torch.arange(len(reads))[:, None]
    anchor = torch.where(reads, steps, -1).amax(0)
    reached = anchor >= 0
    if not bool(reached.any()):
        raise StudyError(
            "the loss does not depend on the layer's output: its gradient there is exactly 0 for"
            " every example"
        )
    if not bool((anchor > 0).any()):
        raise StudyError(
            "the loss reads the first step alone, and no step lies before it: there is no lag to"
            " measure"
        )
    last = anchor[reached]
    judged = judged_lag(_checked(how.lag, int(last.max())), last.numpy())
    limits = how.settings.limits
    told = _told(of, given, reads, anchor, how.every_step)

    if how.every_step:
        loss = _anchored(of, layers, direct, reads, anchor, judged, how.settings.anchors)
    else:
        loss = _joined(_by_lag(of, pull_back(layers, direct), anchor, reached))
    transport = _transport(of, layers, anchor, reached, how.draw)
    rows = [
        {
            "layer": key.split("/")[0],
            **states(logs, judged, limits, np.random.default_rng(how.draw))[0],
        }
        for key, logs in transport.items()
    ]
    if not how.every_step and not bool((reads & (steps < anchor)).any()):
        told += _disagreement(loss, rows, judged)
    return Health(
        profile=_frame(loss),
        transport=_frame(transport),
        states=pd.DataFrame(rows),
        thresholds=limits,
        anchor=anchor.numpy(),
        notes=tuple(told),
        loss_dtype=str(how.loss_dtype).removeprefix("torch."),
    )


def _checked(lag: int | None, longest: int) -> int | None:
    if lag is not None and (
        not isinstance(lag, int) or isinstance(lag, bool) or not 1 <= lag <= longest
    ):
        raise StudyError(
            f"lag must be a whole number between 1 and {longest}, the steps before the last one the"
            f" loss reads; got {lag!r}"
        )
    return lag


def _told(
    of: Recurrent, given: Sequences, reads: Tensor, anchor: Tensor, every_step: bool
) -> list[str]:
    count, reached = len(anchor), anchor >= 0
    told = []
    if of.dropout and len(of.layers) > 1:
        told.append(f"Dropout {of.dropout:g} between the layers is left out.")
    if not bool(reached.all()):
        told.append(
            f"{int((~reached).sum())} of {count} examples are left out: the loss does not read"
            " them, or with a gradient of exactly 0."
        )
    short, beyond = int((reached & (anchor < given.last)).sum()), int((anchor > given.last).sum())
    if short:
        told.append(
            f"In {short} of {count} examples the loss reads no step after step"
            f" {int(anchor[reached].min())} to {int(anchor.max())}: there is the anchor."
        )
    assert beyond == 0, "a packed sequence has no steps beyond its length"
    several = int((reads.sum(0) > 1).sum())
    if several and not every_step:
        told.append(
            f"In {several} of {count} examples the loss reads several steps. The profile is that of"
            " the whole loss: what earlier steps add hides decay. If the loss is a sum over steps,"
            " every_step=True takes it step by step; the state is that of transport and not"
            " concerned."
        )
    return told


def _disagreement(
    loss: Mapping[str, Logs], rows: Sequence[Mapping[str, Any]], lag: int
) -> list[str]:
    """Loss profile against transport at the judged lag: more than a decade is a finding."""
    columns = profile(loss[f"{NETWORK}/s"])
    D, _ = carry(columns["log10_mean"][0], columns["log10_rms"][0], lag)
    transport = next(row["D"] for row in rows if row["layer"] == NETWORK)
    if not abs(float(D) - transport) > 1:
        return []
    return [
        f"The gradient of the loss changes by {float(D):+.2f} decades up to lag {lag} where a"
        f" random direction changes by {transport:+.2f}."
    ]


def _anchored(
    of: Recurrent,
    layers: Sequence[LayerPass],
    direct: Sequence[Tensor],
    reads: Tensor,
    last: Tensor,
    lag: int,
    count: int,
) -> dict[str, Logs]:
    """Loss profile of a sum over steps: what the loss reads at one step alone, for `count` steps
    evenly spaced from `lag` to the last one.
    """
    parts: ByKey = {}
    first = torch.minimum(torch.full_like(last, lag), last)
    for share in torch.linspace(0, 1, count, dtype=torch.float64):
        anchor = (first + (last - first) * share).round().long()
        here = (torch.arange(len(reads))[:, None] == anchor) & reads  # [T, B]
        if bool(here.any()):
            alone = [torch.where(here.to(part.device)[..., None], part, 0.0) for part in direct]
            for key, part in _by_lag(of, pull_back(layers, alone), anchor, here.any(0)).items():
                parts.setdefault(key, []).extend(part)
    return _joined(parts)


def _transport(
    of: Recurrent, layers: Sequence[LayerPass], anchor: Tensor, wanted: Tensor, draw: int
) -> dict[str, Logs]:
    """By "layer/s": the network with one direction for all layers, then each layer with one of its
    own and its input held constant.
    """
    at = anchor.clamp(min=0)
    whole = _by_lag(
        of, pull_back(layers, _directions(layers, at, generator(0, "transport", draw))), at, wanted
    )[f"{NETWORK}/s"]
    if len(layers) == 1:
        return _joined({f"{NETWORK}/s": whole, "1/s": whole})
    found, numbers = {f"{NETWORK}/s": whole}, generator(0, "transport", draw)
    for number, layer in enumerate(layers, start=1):
        found[f"{number}/s"] = _by_lag(
            of, pull_back([layer], _directions([layer], at, numbers)), at, wanted
        )[f"{NETWORK}/s"]
    return _joined(found)


def _directions(
    layers: Sequence[LayerPass], anchor: Tensor, numbers: torch.Generator
) -> list[Tensor]:
    """For each example a random direction of unit norm in the states of all `layers` at its anchor
    [B]: [T, B, S] a layer.
    """
    widths = [layer.states.shape[-1] for layer in layers]
    u = torch.randn(len(anchor), sum(widths), dtype=torch.float64, generator=numbers)
    u = u / torch.linalg.vector_norm(u, dim=-1, keepdim=True)
    direct = [torch.zeros_like(layer.states) for layer in layers]
    for at, part in zip(direct, u.split(widths, dim=-1), strict=True):
        at[anchor, torch.arange(len(anchor))] = part.to(at)
    return direct


def _by_lag(of: Recurrent, totals: Sequence[Scaled], anchor: Tensor, wanted: Tensor) -> ByKey:
    """By "layer/state", of the `wanted` examples: log10 norms by lag back from `anchor`, relative
    to ‖∂ℓ/∂s‖ of the layer there.
    """
    every = [total.log10_norms() for total in totals]
    found: ByKey = {}
    for number, (total, start) in enumerate(zip(totals, every, strict=True), start=1):
        for index, name in enumerate(of.states):
            part = total.part(index * of.hidden, (index + 1) * of.hidden)
            found[f"{number}/{name}"] = [_relative(part.log10_norms(), start, anchor, wanted)]
        if len(of.states) > 1:
            found[f"{number}/s"] = [_relative(start, start, anchor, wanted)]
    together = _log10_hypot(every)
    return found | {f"{NETWORK}/s": [_relative(together, together, anchor, wanted)]}


def _log10_hypot(logs: Sequence[Tensor]) -> Tensor:
    """log10 of the norm of several vectors as one, from theirs."""
    stacked = torch.stack(list(logs))
    top = stacked.amax(0)
    shift = torch.where(top.isfinite(), top, 0.0)
    return 0.5 * (10.0 ** (2 * (stacked - shift))).sum(0).log10() + shift


def _relative(
    logs: Tensor, start: Tensor, anchor: Tensor, wanted: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """(values [B', L] by lag back from the anchor relative to `start` there, whether the lag is in
    the sequence) from [T, B].
    """
    at = anchor[wanted, None]
    index = at - torch.arange(int(at.max()) + 1)
    values, first = logs.T.cpu()[wanted], start.T.cpu()[wanted].gather(1, at)
    values = values.gather(1, index.clamp(min=0))
    nothing = values.isneginf() & first.isneginf()  # 0 relative to 0 is 0, as in the study's probes
    return torch.where(nothing, -torch.inf, values - first).numpy(), (index >= 0).numpy()


def _joined(of: ByKey) -> dict[str, Logs]:
    """Examples of several anchors as one axis, [1, N, L]."""
    return {key: _logs(parts) for key, parts in of.items()}


def _logs(parts: Sequence[tuple[np.ndarray, np.ndarray]]) -> Logs:
    longest = max(values.shape[1] for values, _ in parts)
    values, exists = (
        np.concatenate(
            [np.pad(part[side], ((0, 0), (0, longest - part[side].shape[1]))) for part in parts]
        )[None]
        for side in (0, 1)
    )
    good = np.isfinite(values) & exists
    return Logs(
        values=np.where(good, values, 0.0),
        exists=exists,
        good=good,
        zero=np.isneginf(values) & exists,
    )


def _frame(of: Mapping[str, Logs]) -> pd.DataFrame:
    frames = []
    for key, logs in of.items():
        layer, state = key.split("/")
        columns = {name: values[0] for name, values in profile(logs).items()}
        with np.errstate(over="ignore", under="ignore"):
            frames.append(
                pd.DataFrame(
                    {
                        "layer": layer,
                        "state": state,
                        "lag": np.arange(logs.values.shape[-1]),
                        "ratio": 10.0 ** columns["log10_mean"],
                        **columns,
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)
