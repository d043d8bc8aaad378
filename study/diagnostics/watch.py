"""Watch a training loop of one's own: gradient norms at every backward pass, gradient health of its
recurrent layers at every N-th.
"""

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
from study.diagnostics.gradient_profile import Health, How, examine, settings
from study.diagnostics.modules import (
    ALLOWED,
    in_fp64,
    recurrent,
    recurrent_parts,
    refused,
    sequences,
)
from study.health.profiles import Thresholds, last_state
from study.health.verdicts import verdict
from study.records import StudyError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FLUSH = 256  # norms that wait on the device before they are fetched together


def watch(
    module: nn.Module,
    *,
    every: int | None,
    lag: int | None = None,
    every_step: bool = False,
    examples: int | None = None,
    scaler: Any = None,
) -> Watched:
    """`with watch(module, every=100) as watched:` around a training loop; the loop stays as it is.

    module: the network whose parameters are trained, or a recurrent layer alone.
    every: at the first backward pass and every `every`-th after it, the recurrent layers inside are
    measured; None: norms only. lag, every_step: as for gradient_profile. examples: of each batch,
    the first so many are measured; default `health.examples` of conf/config.yaml. scaler: the
    loop's torch.amp.GradScaler, if it has one; norms are then those of the unscaled loss.

    A backward pass is one call of `.backward()` that reaches the module's parameters;
    torch.autograd.grad is none. The norm is taken at its end, of all gradients of the module as
    they then lie in `.grad`: before clipping whatever clips later, summed up so far where gradients
    are accumulated over several passes. It equals what
    torch.nn.utils.clip_grad_norm_(module.parameters(), …) returns after the same pass (and in fp64
    where that overflows or underflows).

    A profile takes each call's input, its first state, and the gradient of the loss with respect to
    all that the layer returned, caught from the pass itself, and follows them back in time as
    gradient_profile does: exact for any loss up to the precision of training, and blind to later
    clipping. A layer called several times in one pass has a profile a call; calls of a single step
    have none. Dropout between the layers of one module is left out on the way back (`notes` say
    so). Forward passes without a backward pass (evaluation, no_grad) leave nothing behind. The
    random state of the loop is not touched. A profile costs about as much as 4 (LSTM of 128 units)
    to 15 (of 32) training passes of the same batch on one core, norms nearly nothing.

    On leaving, also by an exception, all hooks are gone and what was recorded stays. Not supported,
    and said so: compiled modules, DataParallel and DistributedDataParallel around the module,
    bidirectional layers and projections (except with every=None), fp16 autocast without `scaler`.
    Not seen: recurrent layers that are not torch.nn.RNN, LSTM or GRU. Reentrant checkpointing
    counts each inner pass.
    """
    return Watched(module, every, lag, every_step, examples, scaler)


@dataclass
class _Call:
    """One forward pass of one recurrent layer; `grads` of what it returned, by its place there."""

    number: int
    name: str
    layer: nn.Module
    x: Any
    hx: Any
    grads: dict[int, Tensor] = field(default_factory=dict)


class Watched:
    """What was seen. `norms`, `profiles` and `states` are frames, complete at any time; see
    `watch`.
    """

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
            {path or type(part).__name__: part for path, part in recurrent_parts(module)}
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
        self._task = -1  # number of the backward pass under way
        self._arrived: dict[int, _Call] = {}
        self._accumulated = False

    # --- results ----------------------------------------------------------------------------------

    @property
    def thresholds(self) -> Thresholds:
        return self.settings.limits

    @property
    def norms(self) -> pd.DataFrame:
        """backward (from 0), norm before clipping, nonfinite: the first parameter whose gradient
        was not finite, else null.
        """
        self._flush()
        return pd.DataFrame(self._norms, columns=["backward", "norm", "nonfinite"])

    @property
    def profiles(self) -> pd.DataFrame:
        """module (its path), backward, call, probe (loss | transport), and the columns of
        Health.profile.
        """
        frames = [
            frame.assign(module=name, backward=backward, call=call, probe=probe)
            for (name, backward, call), health in self.health.items()
            for probe, frame in (("loss", health.profile), ("transport", health.transport))
        ]
        return _first_columns(
            frames, ["module", "backward", "call", "probe", "layer", "state", "lag"]
        )

    @property
    def states(self) -> pd.DataFrame:
        """module, backward, call, and the columns of Health.states."""
        frames = [
            health.states.assign(module=name, backward=backward, call=call)
            for (name, backward, call), health in self.health.items()
        ]
        return _first_columns(frames, ["module", "backward", "call", "layer", "D", "U", "state"])

    @property
    def verdicts(self) -> dict[str, str]:
        """carries | opens | shut | closes | explodes | mixed by recurrent module: first state to
        last (median D and U of the final three calls).
        """
        found = {}
        for name in dict.fromkeys(name for name, _, _ in self.health):
            rows = [
                dict(health.network) for (of, _, _), health in self.health.items() if of == name
            ]
            found[name] = verdict(rows[0]["state"], last_state(rows, self.thresholds)["state"])
        return found

    @property
    def verdict(self) -> str:
        """The verdict of all recurrent modules, if they agree, else mixed.

        Raises StudyError before the first profile.
        """
        found = set(self.verdicts.values())
        if not found:
            raise StudyError(
                "watch: no profile was taken, so there is no verdict: it needs every=N and a"
                " backward pass through a recurrent layer"
            )
        return found.pop() if len(found) == 1 else "mixed"

    @property
    def notes(self) -> tuple[str, ...]:
        """What a reader must know, a sentence each."""
        return tuple(self._notes)

    def plot(self) -> Figure:
        """Norms, D and U, and transport over the backward passes; a matplotlib figure."""
        from study.diagnostics.figures import watched_figure

        return watched_figure(self)

    # --- hooks ------------------------------------------------------------------------------------

    def __enter__(self) -> Watched:
        if self._handles:
            raise StudyError("watch: this one is already open; call watch(…) again for another")
        trained = [parameter for parameter in self._named.values() if parameter.requires_grad]
        self._handles = [
            parameter.register_post_accumulate_grad_hook(lambda _: self._accumulates())
            for parameter in trained
        ]
        if not trained:
            raise StudyError(
                "watch: no parameter of the module asks for a gradient (requires_grad), so there is"
                " nothing to watch"
            )
        for name, part in self.parts.items():
            self._handles.append(
                part.register_forward_hook(self._caught(name, part), with_kwargs=True, prepend=True)
            )
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
        self._arrived = {}
        self._flush()

    def _caught(self, name: str, part: nn.Module) -> Callable[..., None]:
        """The forward hook of one layer.

        A function, not a method: a deepcopy of the module (an average of weights) must not copy
        what is watched.
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
            call = _Call(self._calls, name, layer, _apart(x), _apart(hx))
            for place, tensor in enumerate(parts):
                if tensor.requires_grad:
                    tensor.register_hook(lambda grad, place=place: self._arrives(call, place, grad))

        return hook

    def _begins(self) -> None:
        """The first hook of a backward pass asks to be called at its end; a pass that failed before
        its end is forgotten.
        """
        task = torch._C._current_graph_task_id()
        if task != self._task:
            self._task, self._arrived, self._accumulated = task, {}, False
            torch.autograd.Variable._execution_engine.queue_callback(self._ends)

    def _arrives(self, call: _Call, place: int, grad: Tensor) -> None:
        if self._handles:
            self._begins()
            call.grads = {
                **(call.grads if call.number in self._arrived else {}),
                place: grad.detach(),
            }
            self._arrived[call.number] = call

    def _accumulates(self) -> None:
        self._begins()
        self._accumulated = True

    def _ends(self) -> None:
        arrived, self._arrived, self._task = self._arrived, {}, -1
        if not self._accumulated or not self._handles:
            return
        backward, self.backwards = self.backwards, self.backwards + 1
        self._record_norm()
        if self.every and backward % self.every == 0:
            for number, call in enumerate(arrived[key] for key in sorted(arrived)):
                self._measure(backward, number, call)
        for call in arrived.values():
            call.grads = {}

    # --- measuring --------------------------------------------------------------------------------

    def _record_norm(self) -> None:
        """Without waiting for the device: values are fetched FLUSH at a time."""
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
        """A training loop does not end because a probe has nothing to measure: that becomes a note
        and a warning.
        """
        try:
            health = self._health(call, backward)
        except StudyError as error:
            self._note(f"{call.name}: not measured where {error}", warn=True)
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
        of = recurrent(call.layer)
        whole = sequences(call.layer, of, call.x, call.hx)
        given = whole.beginning(min(self.examples, len(whole.last)))
        examples = torch.arange(len(given.last))
        layers = unroll(of, given.x, given.first)
        direct = [torch.zeros_like(layer.states) for layer in layers]
        if 0 in call.grads:
            direct[-1][..., : of.hidden] += whole.by_step(call.grads[0])[:, : len(examples)]
        for index in range(len(of.states)):
            if index + 1 in call.grads:
                ends = in_fp64(call.grads[index + 1]).reshape(len(layers), -1, of.hidden)
                for at, end in zip(direct, ends, strict=True):
                    at[given.last, examples, index * of.hidden : (index + 1) * of.hidden] += end[
                        : len(examples)
                    ]
        return examine(
            of,
            given,
            layers,
            direct,
            How(self.settings, self.lag, self.every_step, draw=backward, loss_dtype=_dtype(call)),
        )

    def _note(self, note: str, *, warn: bool) -> None:
        if note not in self._notes:
            self._notes[note] = None
            if warn:
                warnings.warn(f"watch: {note}", stacklevel=2)


def _check(module: Any, every: Any, lag: Any, examples: Any) -> None:
    """Raises the StudyError that says what to do instead."""
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
                f"watch: {where} is compiled, and hooks do not see inside; watch the module before"
                " torch.compile, and train that one meanwhile"
            )
        if isinstance(part, nn.DataParallel | nn.parallel.DistributedDataParallel):
            raise StudyError(
                f"watch: {where} is {type(part).__name__}, whose gradients are gathered elsewhere;"
                " watch a run on one device"
            )
    if every is None:
        return
    parts = recurrent_parts(module)
    if not parts:
        raise StudyError(
            f"watch: no {ALLOWED.removeprefix('a ')} inside {type(module).__name__}; every=None"
            " records gradient norms alone"
        )
    for path, part in parts:
        why = refused(part, path or "module")
        if why is not None:
            raise StudyError(f"watch: {why}; or every=None, which records gradient norms alone")


def _dtype(call: _Call) -> torch.dtype:
    return next(iter(call.grads.values())).dtype


def _first_columns(frames: list[pd.DataFrame], first: list[str]) -> pd.DataFrame:
    if not frames:
        return pd.DataFrame(columns=first)
    frame = pd.concat(frames, ignore_index=True)
    return frame[[*first, *(name for name in frame.columns if name not in first)]]


def _apart(given: Any) -> Any:
    """The same values outside the graph."""
    if isinstance(given, PackedSequence):
        return given._replace(data=given.data.detach())
    if isinstance(given, tuple | list):
        return tuple(_apart(part) for part in given)
    return given.detach() if isinstance(given, Tensor) else given
