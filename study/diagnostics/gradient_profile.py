"""Gradient health of your own torch.nn.RNN, LSTM or GRU, for one batch and one loss."""

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
    """How the gradient propagates through a recurrent module, in decades (powers of ten).

    profile: gradient of the loss, one row per (layer, state, lag). log10_mean is the geometric mean
      over examples of ‖∂ℓ/∂s_{a−lag}‖ / ‖∂ℓ/∂s_a‖ in decades, `ratio` the mean itself (0 below
      1e-308, where log10_mean is still exact); log10_p10, log10_p90, log10_rms; n examples with
      this lag, of which n_zero and n_nonfinite are left out of the mean. layer: "1", "2", … or
      "network" for all together; state: h, c or s (both). The denominator is that of s, which is
      ‖∂ℓ/∂h_a‖ for a loss of the outputs (then ∂ℓ/∂c_a = 0).
    transport: the same for a random unit direction at s_a instead of the loss; it does not depend
      on loss and readout, and decides the state.
    states: one row per layer, and one for the network: D and U with 95 % intervals (bootstrap over
      examples), state, margin, slope, horizon.
    anchor: [B], the step a of each example, from 0; −1 if the loss does not depend on the example.
    notes: caveats of this measurement, one sentence each.
    loss_dtype: dtype in which loss_fn ran: float64, or the module's dtype if loss_fn refused
      float64. The backward pass through time is always in fp64.
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
        """The row of `states` for all layers together, which decides the state."""
        return self.states[self.states["layer"] == NETWORK].iloc[0].to_dict()

    @property
    def state(self) -> str:
        """carrying | fading | vanishing | exploding | undefined, by the thresholds in `health`."""
        return str(self.network["state"])

    @property
    def lag(self) -> int:
        """K, the judged lag."""
        return int(self.network["lag"])

    @property
    def D(self) -> float:
        """Transport at lags .9K to K relative to lag 1, in decades."""
        return float(self.network["D"])

    @property
    def U(self) -> float:
        """Largest rms transport up to K relative to lag 1, in decades."""
        return float(self.network["U"])

    @property
    def margin(self) -> float:
        """Distance of D and U to the next class, in decades."""
        return float(self.network["margin"])

    @property
    def D_interval(self) -> tuple[float, float]:
        return float(self.network["D_low"]), float(self.network["D_high"])

    @property
    def U_interval(self) -> tuple[float, float]:
        return float(self.network["U_low"]), float(self.network["U_high"])

    def plot(self) -> Figure:
        """A matplotlib figure: loss profile by layer, and transport with the classes."""
        from study.diagnostics.figures import health_figure

        return health_figure(
            self.profile, self.transport, self.states, thresholds=self.thresholds, notes=self.notes
        )

    def __str__(self) -> str:
        row = self.network
        values = [
            f"{name} {row[name]:+.2f} [{row[f'{name}_low']:+.2f}, {row[f'{name}_high']:+.2f}]"
            for name in ("D", "U")
        ]
        return "\n".join(
            [
                (
                    f"{self.state}: {', '.join(values)} decades at lag {self.lag},"
                    f" {self.margin:.2f} from the next class"
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
    """Propagate the gradient of a loss, and a random direction, back in time through a module.

    module: a plain torch.nn.RNN, LSTM or GRU. It is read, never called, and not changed (weights,
      gradients, mode, random state); dropout between layers is left out.
    x: the module's input: [B, T, D] or [T, B, D] by its batch_first, [T, D], or a PackedSequence.
    loss_fn: from the module's first result (Tensor or PackedSequence) to one number. It gets fp64,
      or the module's dtype if it refuses fp64 (a readout in fp32).
    hx: the optional first state.
    lag: K, the lag that matters in the task; default: 90 % of the sequence.
    every_step: see below.

    Everything is computed in fp64 by an unrolled loop, and norms as logarithms, so that no profile
    ends at 1e-308. (`output.retain_grad()` on the fused layer would give 0 for every step before
    the last one that the loss reads.)

    Each example has its own profile: the gradient of the loss at its states, divided by that at its
    anchor; the result is the geometric mean over examples. The weight of an example in the loss,
    such as 1/B, cancels in the ratio.

    The anchor a of an example is the last step whose output the loss reads: the last valid step of
    a PackedSequence with a loss on last steps, or of a padded tensor that is read at each example's
    true end. Later steps are ignored, so padding is excluded. Examples that the loss does not read
    are left out and counted in `notes`.

    A loss that reads many steps (a sum over steps) has a term at each earlier step, which hides
    decay: h = .5h would look flat. `notes` then says so. every_step=True measures such losses as a
    study does: ℓ is the part of the loss at one step a alone, for several evenly spaced a with K
    steps before them (their number: conf/probe/loss.yaml). Transport is not affected.

    Raises StudyError that says what to do for a module that is not recurrent, bidirectional or with
    proj_size, for wrong shapes, and for a loss that is not one number.
    """
    network = recurrent(module)
    module = getattr(module, "_orig_mod", module)
    inputs = sequences(module, network, x, hx)
    layers = unroll(network, inputs.x, inputs.first)
    direct = [torch.zeros_like(layer.states) for layer in layers]
    gradient, dtype = _output_gradient(inputs, layers[-1].states[..., : network.hidden], loss_fn)
    direct[-1][..., : network.hidden] = gradient
    return measure_health(
        network,
        inputs,
        layers,
        direct,
        Options(settings(), lag, every_step, draw=0, loss_dtype=dtype),
    )


def _output_gradient(
    inputs: Sequences, output: Tensor, loss_fn: Callable[[Any], Tensor]
) -> tuple[Tensor, torch.dtype]:
    """(direct gradient ∂ℓ/∂output [T, B, H], the dtype that loss_fn ran in).

    fp64 if loss_fn accepts it, else the module's dtype.
    """
    try:
        return inputs.by_step(_gradient(inputs, output, loss_fn, torch.float64)), torch.float64
    except StudyError:
        raise
    # an fp32 readout may refuse fp64 with any exception; other mistakes are raised again below
    except Exception:
        if inputs.dtype == torch.float64:
            raise
    return inputs.by_step(_gradient(inputs, output, loss_fn, inputs.dtype)), inputs.dtype


def _gradient(
    inputs: Sequences, output: Tensor, loss_fn: Callable[[Any], Tensor], dtype: torch.dtype
) -> Tensor:
    devices = [inputs.device] if inputs.device.type == "cuda" else []
    with torch.random.fork_rng(devices), torch.inference_mode(False), torch.enable_grad():
        leaf, returned = inputs.as_returned(output, dtype)
        loss = loss_fn(returned)
        if not isinstance(loss, Tensor) or loss.numel() != 1:
            got = (
                f"a tensor of shape {list(loss.shape)}"
                if isinstance(loss, Tensor)
                else type(loss).__name__
            )
            raise StudyError(
                "loss_fn must return one number, such as losses.mean() or .sum() over the batch;"
                f" got {got}"
            )
        found = (
            torch.autograd.grad(loss.sum(), [leaf], allow_unused=True)[0]
            if loss.requires_grad
            else None
        )
    if found is None:
        raise StudyError(
            "loss_fn must compute the loss from its argument, without detach, no_grad,"
            " argmax or .item(): no gradient reaches the output"
        )
    return found


# --- shared with watch ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """Defaults from conf/: `health` of config.yaml and `anchors` of probe/loss.yaml."""

    limits: Thresholds
    examples: int
    anchors: int


def settings() -> Settings:
    node = yaml.safe_load((conf_folder() / "config.yaml").read_text(encoding="utf-8"))["health"]
    loss = yaml.safe_load((conf_folder() / "probe" / "loss.yaml").read_text(encoding="utf-8"))
    return Settings(Thresholds.from_health(node), node["examples"], loss["anchors"])


@dataclass(frozen=True)
class Options:
    """Options of a measurement.

    lag: K (None: 90 % of the sequence). every_step: the loss is a sum over steps. draw: seed of the
    random directions. loss_dtype: dtype that the loss was computed in.
    """

    settings: Settings
    lag: int | None
    every_step: bool
    draw: int
    loss_dtype: torch.dtype


def measure_health(
    network: Recurrent,
    inputs: Sequences,
    layers: Sequence[LayerPass],
    direct: Sequence[Tensor],
    options: Options,
) -> Health:
    """Health from the direct gradients ∂ℓ/∂s_t, one [T, B, S] per layer."""
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
            "the loss reads the first step alone, and no step precedes it: there is no lag to"
            " measure"
        )
    last = anchor[reached]
    judged = judged_lag(_checked_lag(options.lag, int(last.max())), last.numpy())
    limits = options.settings.limits
    notes = _caveats(network, inputs, reads, anchor, options.every_step)

    if options.every_step:
        loss = _stepwise(network, layers, direct, reads, anchor, judged, options.settings.anchors)
    else:
        loss = _joined(_by_lag(network, pull_back(layers, direct), anchor, reached))
    transport = _transport(network, layers, anchor, reached, options.draw)
    rows = [
        {
            "layer": key.split("/")[0],
            **states(logs, judged, limits, np.random.default_rng(options.draw))[0],
        }
        for key, logs in transport.items()
    ]
    if not options.every_step and not bool((reads & (steps < anchor)).any()):
        notes += _disagreement(loss, rows, judged)
    return Health(
        profile=_frame(loss),
        transport=_frame(transport),
        states=pd.DataFrame(rows),
        thresholds=limits,
        anchor=anchor.numpy(),
        notes=tuple(notes),
        loss_dtype=str(options.loss_dtype).removeprefix("torch."),
    )


def _checked_lag(lag: int | None, longest: int) -> int | None:
    if lag is not None and (
        not isinstance(lag, int) or isinstance(lag, bool) or not 1 <= lag <= longest
    ):
        raise StudyError(
            f"lag must be a whole number between 1 and {longest}, the number of steps before the"
            f" last one that the loss reads; got {lag!r}"
        )
    return lag


def _caveats(
    network: Recurrent, inputs: Sequences, reads: Tensor, anchor: Tensor, every_step: bool
) -> list[str]:
    count, reached = len(anchor), anchor >= 0
    notes = []
    if network.dropout and len(network.layers) > 1:
        notes.append(f"Dropout {network.dropout:g} between the layers is left out.")
    if not bool(reached.all()):
        notes.append(
            f"{int((~reached).sum())} of {count} examples are left out: the loss does not read"
            " them, or with a gradient of exactly 0."
        )
    short, beyond = int((reached & (anchor < inputs.last)).sum()), int((anchor > inputs.last).sum())
    if short:
        notes.append(
            f"In {short} of {count} examples the loss reads no step after step"
            f" {int(anchor[reached].min())} to {int(anchor.max())}, which is then the anchor."
        )
    assert beyond == 0, "a packed sequence has no steps beyond its length"
    several = int((reads.sum(0) > 1).sum())
    if several and not every_step:
        notes.append(
            f"In {several} of {count} examples the loss reads several steps. The profile is that of"
            " the whole loss: the terms of earlier steps hide decay. If the loss is a sum over"
            " steps, every_step=True measures it step by step. The state comes from transport and"
            " is not affected."
        )
    return notes


def _disagreement(
    loss: Mapping[str, Logs], rows: Sequence[Mapping[str, Any]], lag: int
) -> list[str]:
    """A note if loss profile and transport differ by more than a decade at the judged lag."""
    columns = profile(loss[f"{NETWORK}/s"])
    D, _ = carry(columns["log10_mean"][0], columns["log10_rms"][0], lag)
    transport = next(row["D"] for row in rows if row["layer"] == NETWORK)
    if not abs(float(D) - transport) > 1:
        return []
    return [
        f"The gradient of the loss changes by {float(D):+.2f} decades up to lag {lag}, while a"
        f" random direction changes by {transport:+.2f}."
    ]


def _stepwise(
    network: Recurrent,
    layers: Sequence[LayerPass],
    direct: Sequence[Tensor],
    reads: Tensor,
    last: Tensor,
    lag: int,
    count: int,
) -> dict[str, Logs]:
    """Loss profile of a sum over steps: of its part at one step, for `count` evenly spaced steps.

    They lie between `lag` and the last step.
    """
    parts: ByKey = {}
    first = torch.minimum(torch.full_like(last, lag), last)
    for share in torch.linspace(0, 1, count, dtype=torch.float64):
        anchor = (first + (last - first) * share).round().long()
        at_anchor = (torch.arange(len(reads))[:, None] == anchor) & reads  # [T, B]
        if bool(at_anchor.any()):
            direct_at_anchor = [
                torch.where(at_anchor.to(part.device)[..., None], part, 0.0) for part in direct
            ]
            totals = pull_back(layers, direct_at_anchor)
            for key, part in _by_lag(network, totals, anchor, at_anchor.any(0)).items():
                parts.setdefault(key, []).extend(part)
    return _joined(parts)


def _transport(
    network: Recurrent, layers: Sequence[LayerPass], anchor: Tensor, selected: Tensor, draw: int
) -> dict[str, Logs]:
    """Transport by "layer/s": of the network, then of each layer with its input held constant.

    The network has one random direction for all layers, each layer its own.
    """
    at = anchor.clamp(min=0)
    whole = _by_lag(
        network,
        pull_back(layers, _directions(layers, at, generator(0, "transport", draw))),
        at,
        selected,
    )[f"{NETWORK}/s"]
    if len(layers) == 1:
        return _joined({f"{NETWORK}/s": whole, "1/s": whole})
    found, numbers = {f"{NETWORK}/s": whole}, generator(0, "transport", draw)
    for number, layer in enumerate(layers, start=1):
        found[f"{number}/s"] = _by_lag(
            network, pull_back([layer], _directions([layer], at, numbers)), at, selected
        )[f"{NETWORK}/s"]
    return _joined(found)


def _directions(
    layers: Sequence[LayerPass], anchor: Tensor, numbers: torch.Generator
) -> list[Tensor]:
    """A random unit direction per example, in the states of all `layers` at its anchor [B].

    One [T, B, S] per layer.
    """
    widths = [layer.states.shape[-1] for layer in layers]
    u = torch.randn(len(anchor), sum(widths), dtype=torch.float64, generator=numbers)
    u = u / torch.linalg.vector_norm(u, dim=-1, keepdim=True)
    direct = [torch.zeros_like(layer.states) for layer in layers]
    for at, part in zip(direct, u.split(widths, dim=-1), strict=True):
        at[anchor, torch.arange(len(anchor))] = part.to(at)
    return direct


def _by_lag(
    network: Recurrent, totals: Sequence[Scaled], anchor: Tensor, selected: Tensor
) -> ByKey:
    """log10 norms by "layer/state" and lag back from `anchor`, relative to ‖∂ℓ/∂s‖ at the anchor.

    Of the `selected` examples.
    """
    every = [total.log10_norms() for total in totals]
    found: ByKey = {}
    for number, (total, start) in enumerate(zip(totals, every, strict=True), start=1):
        for index, name in enumerate(network.states):
            part = total.part(index * network.hidden, (index + 1) * network.hidden)
            found[f"{number}/{name}"] = [_relative(part.log10_norms(), start, anchor, selected)]
        if len(network.states) > 1:
            found[f"{number}/s"] = [_relative(start, start, anchor, selected)]
    joint = _log10_hypot(every)
    return found | {f"{NETWORK}/s": [_relative(joint, joint, anchor, selected)]}


def _log10_hypot(logs: Sequence[Tensor]) -> Tensor:
    """log10 of the norm of concatenated vectors, from the log10 of their norms."""
    stacked = torch.stack(list(logs))
    top = stacked.amax(0)
    shift = torch.where(top.isfinite(), top, 0.0)
    return 0.5 * (10.0 ** (2 * (stacked - shift))).sum(0).log10() + shift


def _relative(
    logs: Tensor, start: Tensor, anchor: Tensor, selected: Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """(values by lag back from the anchor, relative to `start` there; mask of valid lags), [B', L].

    logs, start: [T, B].
    """
    at = anchor[selected, None]
    index = at - torch.arange(int(at.max()) + 1)
    values, first = logs.T.cpu()[selected], start.T.cpu()[selected].gather(1, at)
    values = values.gather(1, index.clamp(min=0))
    nothing = values.isneginf() & first.isneginf()  # 0 relative to 0 is 0, as in the study's probes
    return torch.where(nothing, -torch.inf, values - first).numpy(), (index >= 0).numpy()


def _joined(by_key: ByKey) -> dict[str, Logs]:
    """Logs with the examples of several anchors as one axis, [1, N, L]."""
    return {key: _logs(parts) for key, parts in by_key.items()}


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


def _frame(by_key: Mapping[str, Logs]) -> pd.DataFrame:
    frames = []
    for key, logs in by_key.items():
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
