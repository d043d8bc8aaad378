"""Watches your own training loop: gradient norms at every backward pass, health at every N-th."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from study.diagnostics.adjoint import unroll
from study.diagnostics.gradient_profile import Health, Options, measure_health, settings
from study.diagnostics.modules import (
    ALLOWED,
    in_fp64,
    recurrent,
    recurrent_layers,
    sequences,
    why_unsupported,
)
from study.health.end_state import last_state, probes_at_end
from study.health.profiles import Thresholds
from study.health.verdicts import verdict
from study.records import StudyError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FLUSH = 256  # norms to collect on the device before they are transferred together


def watch(
    module: nn.Module,
    *,
    every: int | None,
    lag: int | None = None,
    every_step: bool = False,
    examples: int | None = None,
    scaler: Any = None,
) -> Watched:
    """Use `with watch(module, every=100) as watched:` around an unchanged training loop.

    module: the network whose parameters are trained, or a single recurrent layer.
    every: measure the recurrent layers at the first backward pass and every `every`-th after it;
      None: norms only.
    lag, every_step: as in gradient_profile.
    examples: number of examples of each batch to measure; default: `health.examples` of
      conf/config.yaml.
    scaler: the loop's torch.amp.GradScaler, if any; norms are then those of the unscaled loss.

    A backward pass is one call of `.backward()` that reaches the module's parameters;
    torch.autograd.grad does not count. The norm is taken at its end over all `.grad` of the module:
    before any clipping, and summed so far if gradients are accumulated over several passes. It
    equals the result of torch.nn.utils.clip_grad_norm_(module.parameters(), …) after the same pass,
    and is computed in fp64 where that overflows or underflows.

    A profile uses each call's input, first state, and the gradient of the loss at everything that
    the layer returned, as caught during the pass, and propagates it back in time as
    gradient_profile does: exact for any loss up to the precision of training, and independent of
    later clipping. A layer that is called several times per pass has one profile per call; calls
    with a single step have none. Dropout between the layers of a module is left out in the backward
    pass (see `notes`). Forward passes without a backward pass (evaluation, no_grad) are ignored.
    The random state of the loop does not change. A profile costs about as much as 4 (LSTM of 128
    units) to 15 (of 32) training passes of the same batch on one core, norms almost nothing.

    On exit, also by an exception, all hooks are removed; the recorded data stay. Raises StudyError
    for compiled modules, DataParallel and DistributedDataParallel, bidirectional layers and
    projections (except with every=None), and fp16 autocast without `scaler`. Recurrent layers other
    than torch.nn.RNN, LSTM and GRU are ignored. Reentrant checkpointing counts each inner pass.
    """
    return Watched(module, every, lag, every_step, examples, scaler)


@dataclass
class _Call:
    """One forward pass of one recurrent layer; `grads`: of its results, by their index."""

    number: int
    name: str
    layer: nn.Module
    x: Any
    hx: Any
    grads: dict[int, Tensor] = field(default_factory=dict)


class Watched:
    """The records of `watch`: the frames `norms`, `profiles` and `states` are always up to date."""

    def __init__(
        self,
        module: nn.Module,
        every: int | None,
        lag: int | None,
        every_step: bool,
        examples: int | None,
        scaler: Any,
    ) -> None:
        _check(module, every, lag, examples)
        self.module, self.every, self.lag, self.every_step, self.scaler = (
            module,
            every,
            lag,
            every_step,
            scaler,
        )
        self.settings = settings()
        self.examples = examples or self.settings.examples
        self.parts = (
            {path or type(part).__name__: part for path, part in recurrent_layers(module)}
            if every
            else {}
        )
        self.backwards = 0
        self.health: dict[tuple[str, int, int], Health] = {}  # (module, backward, call)
        self._named = dict(module.named_parameters())
        self._waiting: list[Tensor] = []
        self._norms: list[dict[str, Any]] = []
        self._notes: dict[str, None] = {}
        self._handles: list[Any] = []
        self._calls = 0
        self._task = -1  # torch's id of the current backward pass
        self._received: dict[int, _Call] = {}
        self._accumulated = False

    # --- results ----------------------------------------------------------------------------------

    @property
    def thresholds(self) -> Thresholds:
        return self.settings.limits

    @property
    def norms(self) -> pd.DataFrame:
        """backward (from 0), norm (before clipping), nonfinite.

        nonfinite: the first parameter with a gradient that is not finite, else null.
        """
        self._flush()
        return pd.DataFrame(self._norms, columns=["backward", "norm", "nonfinite"])

    @property
    def profiles(self) -> pd.DataFrame:
        """module (path), backward, call, probe (loss | transport), columns of Health.profile."""
        return self.profiles_since(0)

    def profiles_since(self, first: int) -> pd.DataFrame:
        """As profiles, of the backward passes from `first` on."""
        frames = [
            frame.assign(module=name, backward=backward, call=call, probe=probe)
            for (name, backward, call), health in self.health.items()
            if backward >= first
            for probe, frame in (("loss", health.profile), ("transport", health.transport))
        ]
        return _first_columns(
            frames, ["module", "backward", "call", "probe", "layer", "state", "lag"]
        )

    @property
    def states(self) -> pd.DataFrame:
        """module, backward, call and the columns of Health.states."""
        return self.states_since(0)

    def states_since(self, first: int) -> pd.DataFrame:
        """As states, of the backward passes from `first` on."""
        frames = [
            health.states.assign(module=name, backward=backward, call=call)
            for (name, backward, call), health in self.health.items()
            if backward >= first
        ]
        return _first_columns(frames, ["module", "backward", "call", "layer", "D", "U", "state"])

    @property
    def verdicts(self) -> dict[str, str]:
        """carries | opens | shut | closes | explodes | mixed, by recurrent module.

        From the first state to the last: the median D and U of the last three calls, of those at
        60 % or more of the backward passes so far.
        """
        found = {}
        for name in dict.fromkeys(name for name, _, _ in self.health):
            rows = [
                {**health.network, "update": backward}
                for (module, backward, _), health in self.health.items()
                if module == name
            ]
            end = probes_at_end(rows, updates=self.backwards - 1, solved_from=None)
            found[name] = verdict(rows[0]["state"], last_state(end, self.thresholds)["state"])
        return found

    @property
    def verdict(self) -> str:
        """The common verdict of all recurrent modules, else mixed; StudyError without a profile."""
        found = set(self.verdicts.values())
        if not found:
            raise StudyError(
                "watch: no profile was taken, so there is no verdict; it takes every=N and a"
                " backward pass through a recurrent layer"
            )
        return found.pop() if len(found) == 1 else "mixed"

    @property
    def notes(self) -> tuple[str, ...]:
        """Caveats, one sentence each."""
        return tuple(self._notes)

    def plot(self) -> Figure:
        """A matplotlib figure of norms, D and U, and transport over the backward passes."""
        from study.diagnostics.figures import watch_figure

        return watch_figure(
            self.norms,
            self.states,
            self.profiles,
            verdicts=self.verdicts,
            thresholds=self.thresholds,
            notes=self.notes,
        )

    # --- hooks ------------------------------------------------------------------------------------

    def __enter__(self) -> Watched:
        if self._handles:
            raise StudyError(
                "watch: this watch is already open; call watch(…) again for another one"
            )
        trained = [parameter for parameter in self._named.values() if parameter.requires_grad]
        self._handles = [
            parameter.register_post_accumulate_grad_hook(lambda _: self._accumulate())
            for parameter in trained
        ]
        if not trained:
            raise StudyError(
                "watch: no parameter of the module requires a gradient, so there is nothing to"
                " watch"
            )
        for name, part in self.parts.items():
            self._handles.append(
                part.register_forward_hook(
                    self._forward_hook(name, part), with_kwargs=True, prepend=True
                )
            )
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._received = {}
        self._flush()

    def _forward_hook(self, name: str, part: nn.Module) -> Callable[..., None]:
        """The forward hook of one layer.

        A function, not a bound method, so that a deepcopy of the module (such as for weight
        averaging) does not copy the records.
        """

        def hook(
            layer: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], returned: Any
        ) -> None:
            if layer is not part or not torch.is_grad_enabled() or torch.compiler.is_compiling():
                return
            output, last = returned
            data = output.data if isinstance(output, PackedSequence) else output
            parts = [data, *(last if isinstance(last, tuple) else (last,))]
            if not any(tensor.requires_grad for tensor in parts):
                return
            if data.dtype == torch.float16 and self.scaler is None:
                raise StudyError(
                    "watch: under fp16 autocast the loss is scaled; pass the loop's GradScaler,"
                    " watch(module, every=…, scaler=scaler)"
                )
            x, hx = (
                args[at] if len(args) > at else kwargs.get(key)
                for at, key in enumerate(("input", "hx"))
            )
            self._calls += 1
            call = _Call(self._calls, name, layer, _detached(x), _detached(hx))
            for place, tensor in enumerate(parts):
                if tensor.requires_grad:
                    tensor.register_hook(lambda grad, place=place: self._receive(call, place, grad))

        return hook

    def _start_pass(self) -> None:
        """Queue the callback for the end of a backward pass; drop a pass that failed earlier."""
        task = torch._C._current_graph_task_id()
        if task != self._task:
            self._task, self._received, self._accumulated = task, {}, False
            torch.autograd.Variable._execution_engine.queue_callback(self._end_pass)

    def _receive(self, call: _Call, place: int, grad: Tensor) -> None:
        if self._handles:
            self._start_pass()
            call.grads = {
                **(call.grads if call.number in self._received else {}),
                place: grad.detach(),
            }
            self._received[call.number] = call

    def _accumulate(self) -> None:
        self._start_pass()
        self._accumulated = True

    def _end_pass(self) -> None:
        received, self._received, self._task = self._received, {}, -1
        if not self._accumulated or not self._handles:
            return
        backward, self.backwards = self.backwards, self.backwards + 1
        self._record_norm()
        if self.every and backward % self.every == 0:
            for number, call in enumerate(received[key] for key in sorted(received)):
                self._measure(backward, number, call)
        for call in received.values():
            call.grads = {}

    # --- measuring --------------------------------------------------------------------------------

    def _record_norm(self) -> None:
        """Record the gradient norm without synchronizing: FLUSH values are transferred at once."""
        found = [
            (place, parameter.grad.detach())
            for place, parameter in enumerate(self._named.values())
            if parameter.grad is not None
        ]
        home = found[0][1].device
        wide = torch.float32 if home.type == "mps" else torch.float64
        parts = [grad.coalesce().values() if grad.is_sparse else grad for _, grad in found]
        norms = torch.stack([torch.linalg.vector_norm(grad, dtype=wide).to(home) for grad in parts])
        places = torch.tensor([place for place, _ in found], device=home)
        bad = torch.where(norms.isfinite(), len(self._named), places).amin()
        total = torch.linalg.vector_norm(norms) / (
            1.0 if self.scaler is None else self.scaler.get_scale()
        )
        self._waiting.append(torch.stack([total, bad.to(total)]))
        if len(self._waiting) == FLUSH:
            self._flush()

    def _flush(self) -> None:
        names = [*self._named, None]
        for norm, bad in torch.stack(self._waiting).tolist() if self._waiting else ():
            self._norms.append(
                {"backward": len(self._norms), "norm": norm, "nonfinite": names[int(bad)]}
            )
        self._waiting = []

    def _measure(self, backward: int, number: int, call: _Call) -> None:
        """Measure one call; if it cannot be measured, add a note and a warning, and go on."""
        try:
            health = self._health(call, backward)
        except StudyError as error:
            self._note(f"{call.name}: not measured: {error}", warn=True)
            return
        self.health[call.name, backward, number] = health
        for note in health.notes:
            self._note(
                (
                    f"{call.name}, backward pass {backward}: {note}"
                    if "examples" in note
                    else f"{call.name}: {note}"
                ),
                warn=False,
            )

    def _health(self, call: _Call, backward: int) -> Health:
        network = recurrent(call.layer)
        whole = sequences(call.layer, network, call.x, call.hx)
        inputs = whole.first_examples(min(self.examples, len(whole.last)))
        examples = torch.arange(len(inputs.last))
        layers = unroll(network, inputs.x, inputs.first)
        direct = [torch.zeros_like(layer.states) for layer in layers]
        if 0 in call.grads:
            direct[-1][..., : network.hidden] += whole.by_step(call.grads[0])[:, : len(examples)]
        for index in range(len(network.states)):
            if index + 1 in call.grads:
                ends = in_fp64(call.grads[index + 1]).reshape(len(layers), -1, network.hidden)
                for at, end in zip(direct, ends, strict=True):
                    at[
                        inputs.last, examples, index * network.hidden : (index + 1) * network.hidden
                    ] += end[: len(examples)]
        return measure_health(
            network,
            inputs,
            layers,
            direct,
            Options(
                self.settings, self.lag, self.every_step, draw=backward, loss_dtype=_dtype(call)
            ),
        )

    def _note(self, note: str, *, warn: bool) -> None:
        if note not in self._notes:
            self._notes[note] = None
            if warn:
                warnings.warn(f"watch: {note}", stacklevel=2)


def _check(module: Any, every: Any, lag: Any, examples: Any) -> None:
    """Raise a StudyError that says what to do if these arguments cannot be watched."""
    for key, value, least in (
        ("every", every, "1, or None for norms alone"),
        ("lag", lag, "1, or None"),
        ("examples", examples, "1, or None"),
    ):
        if value is not None and (
            not isinstance(value, int) or isinstance(value, bool) or value < 1
        ):
            raise StudyError(
                f"watch: {key} must be a whole number of at least {least}; got {value!r}"
            )
    if not isinstance(module, nn.Module):
        raise StudyError(f"watch: module must be a torch.nn.Module, got {type(module).__name__}")
    for path, part in module.named_modules():
        where = path or "module"
        if hasattr(part, "_orig_mod") or getattr(part, "_compiled_call_impl", None) is not None:
            raise StudyError(
                f"watch: {where} is compiled, and hooks cannot see inside; watch and train the"
                " module from before torch.compile"
            )
        if isinstance(part, nn.DataParallel | nn.parallel.DistributedDataParallel):
            raise StudyError(
                f"watch: {where} is {type(part).__name__}, which gathers gradients elsewhere; watch"
                " a run on one device"
            )
    if every is None:
        return
    parts = recurrent_layers(module)
    if not parts:
        raise StudyError(
            f"watch: no {ALLOWED.removeprefix('a ')} inside {type(module).__name__}; every=None"
            " records gradient norms alone"
        )
    for path, part in parts:
        why = why_unsupported(part, path or "module")
        if why is not None:
            raise StudyError(f"watch: {why}; or every=None, which records gradient norms alone")


def _dtype(call: _Call) -> torch.dtype:
    return next(iter(call.grads.values())).dtype


def _first_columns(frames: list[pd.DataFrame], first: list[str]) -> pd.DataFrame:
    if not frames:
        return pd.DataFrame(columns=first)
    frame = pd.concat(frames, ignore_index=True)
    return frame[[*first, *(name for name in frame.columns if name not in first)]]


def _detached(value: Any) -> Any:
    """The same values, detached."""
    if isinstance(value, PackedSequence):
        return value._replace(data=value.data.detach())
    if isinstance(value, tuple | list):
        return tuple(_detached(part) for part in value)
    return value.detach() if isinstance(value, Tensor) else value
