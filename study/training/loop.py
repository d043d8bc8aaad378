"""Train a group: stack its members, update, validate, probe, freeze what is no longer finite.

A member's numbers do not depend on its company: reductions skip the member axis, every draw comes from the
member's own streams, a lone member is doubled (at M = 1 libraries take other paths and round differently), and
the sum over members is only taken for the backward pass. Nothing is fetched from the device inside the loop.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

from study.config.build import build, build_for_members, structure
from study.config.network import build_model, init_facts
from study.config.resolve import DTYPES
from study.config.tasks import is_stream, load_task
from study.health.profiles import Logs, Thresholds, judged_lag, logs, profile, profile_of_squares, states
from study.interfaces import AtLags, Batch, ByIndex, ByStep, ClipRule, LagNorms, Optimizer, Params, Point, Probe, ProfileProbe, State, Step, Task
from study.kernels.reach import REACH
from study.model import Model, dropout_masks
from study.numerics.norms import surely
from study.numerics.stages import stages
from study.numerics.streams import generator
from study.records import StudyError
from study.training.trace import StageTrace

EVALUATION_CHUNK = 128  # examples a forward pass outside training, whatever the group: part of the numbers


@dataclass(frozen=True)
class Measured:
    """What one probe found at one stage. Profiles are reduced at once: raw norms are large.

    `values`: quantity -> [M, …]. `profiles`: "layer/state" -> columns [M, L]. `states`: layer -> a row a member.
    """

    probe: str
    stage: int
    update: int
    values: Mapping[str, np.ndarray | ByIndex | AtLags | ByStep]
    profiles: Mapping[str, Mapping[str, np.ndarray]]
    states: Mapping[str, list[dict[str, Any]]]


@dataclass
class Training:
    """One group on its way. Tensors have M as first axis and live on the device."""

    points: Sequence[Point]  # M of them; the last is a shadow of the first where a point is alone
    task: Task
    model: Model
    params: Tensor
    optimizer: Optimizer
    optimizer_state: dict[str, Tensor]
    clip_rules: list[tuple[ClipRule, Tensor]]  # a rule and the members it is for
    clip_states: list[Any]
    probes: dict[str, tuple[Probe, dict[int, int]]]  # name -> (probe, update -> stage)
    device: torch.device
    dtype: torch.dtype
    alive: Tensor
    diverged_at: Tensor
    best_score: Tensor
    best_loss: Tensor
    best_params: Tensor
    carried: list[State] = field(default_factory=list)  # each layer's states at the end of the last batch, where the task goes on from there
    # Records: one entry an update or validation, [M] each, still on the device.
    losses: list[Tensor] = field(default_factory=list)
    norms: list[Tensor] = field(default_factory=list)
    scales: list[Tensor] = field(default_factory=list)
    cosines: list[Tensor] = field(default_factory=list)
    validations: list[tuple[int, Tensor, Tensor]] = field(default_factory=list)  # update, loss, score
    measured: list[Measured] = field(default_factory=list)
    evaluations: dict[str, Tensor] = field(default_factory=dict)  # metric by example [M, B] on test, final test, train

    @property
    def config(self) -> Any:
        """What all members share."""
        return self.points[0].config


@contextlib.contextmanager
def fixed_numerics() -> Iterator[None]:
    """One thread, denormals flushed (they slow vanishing gradients down up to ten times), full fp32 on CUDA, no autotuning."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    blas = threadpool_limits(1, user_api="blas")
    torch.set_flush_denormal(True)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        blas.restore_original_limits()


@contextlib.contextmanager
def rounding(training: Training) -> Iterator[None]:
    """Products of an update, forward and back, as `precision` says of CUDA's; weights, validation, tests and probes stay what they are."""
    if training.config.get("precision", "full") != "tf32":
        yield
        return
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


def autocast(training: Training) -> contextlib.AbstractContextManager[Any]:
    """bf16: products of a forward pass take operands of bfloat16, and so does their way back."""
    if training.config.get("precision", "full") != "bf16":
        return contextlib.nullcontext()
    return torch.autocast(training.device.type, torch.bfloat16)


# --- preparation -----------------------------------------------------------------------------------------------


def prepare(points: Sequence[Point], device_name: str) -> Training:
    """Members stacked, first weights drawn, pieces built for M members."""
    points = [*points, points[0]] if len(points) == 1 else list(points)
    config = points[0].config
    device, dtype = torch.device(device_name), DTYPES[config["dtype"]]
    task, model = load_task(config["task"]), build_model(config)
    params = torch.stack([initial_weights(point, task, model) for point in points]).to(device, dtype)
    optimizer: Optimizer = build_for_members([point.config["optimizer"] for point in points], "optimizer", device, dtype)
    clip_rules = clip_by_class(points, device, dtype)
    worst = -torch.inf if task.facts.higher_is_better else torch.inf
    return Training(
        points=points,
        task=task,
        model=model,
        params=params,
        optimizer=optimizer,
        optimizer_state=optimizer.init(params),
        clip_rules=clip_rules,
        clip_states=[rule.init(params[members], model.slices) for rule, members in clip_rules],
        probes=schedule(config),
        device=device,
        dtype=dtype,
        alive=torch.ones(len(points), dtype=torch.bool, device=device),
        diverged_at=torch.full((len(points),), -1, device=device),
        best_score=torch.full((len(points),), worst, dtype=torch.float64, device=device),
        best_loss=torch.full((len(points),), torch.nan, dtype=torch.float64, device=device),
        best_params=params,
    )


def initial_weights(point: Point, task: Task, model: Model) -> Tensor:
    config = point.config
    standing = {role: build(config["weights"][role], f"weights.{role}") for role in ("input", "readout")}
    return model.initial(
        initializer=build(config["initializer"], "initializer"),
        standing=standing,
        forget_bias=config["weights"]["forget_bias"],
        facts=init_facts(config, task, model, point.seed),
        seed=point.seed,
    )


def clip_by_class(points: Sequence[Point], device: torch.device, dtype: torch.dtype) -> list[tuple[ClipRule, Tensor]]:
    """Rules of several classes share a group: each with the members it is for."""
    members: dict[str, list[int]] = {}
    for index, point in enumerate(points):
        members.setdefault(repr(structure(point.config["clip"], "clip")), []).append(index)
    return [
        (build_for_members([points[index].config["clip"] for index in of], "clip", device, dtype), torch.tensor(of, device=device)) for of in members.values()
    ]


def schedule(config: Any) -> dict[str, tuple[Probe, dict[int, int]]]:
    """Each probe with {update: stage}."""
    probes: dict[str, tuple[Probe, dict[int, int]]] = {}
    for name, node in config["probe"].items():
        probe: Probe = build(node, f"probe.{name}")
        if isinstance(probe, ProfileProbe) and probe.every is not None:
            probes[name] = (probe, {})  # training itself is looked at
            continue
        probes[name] = (probe, {update: stage for stage, update in enumerate(stages(probe.stages, config["updates"]))})
    return probes


# --- training --------------------------------------------------------------------------------------------------


def train(training: Training, report: Callable[[int], bool | None], *, made: int = 0, before: Callable[[int], None] = lambda update: None) -> None:
    """All updates after those `made`, with validations and probes at their times, before the first update and after the last included.

    `report` hears of every validation; a true answer ends training there. `before` hears of every update before anything
    of it is done: what training carries is then whole (study.training.checkpoints).
    """
    updates, every = training.config["updates"], training.config["validate_every"]
    for update in range(made, updates + 1):
        before(update)
        probe(training, update, due_stages(training, update))
        if update % every == 0 or update == updates:
            validate(training, update)
            if report(update):
                return
        if update < updates:
            step(training, update)


def step(training: Training, update: int) -> None:
    """One update of every member that is still finite."""
    looked = [(name, update // of.every) for name, (of, _) in training.probes.items() if isinstance(of, ProfileProbe) and of.every and update % of.every == 0]
    loss, grads, reached, squares = loss_and_gradients(training, training.params, update, look=bool(looked))
    training.measured += [Measured(name, stage, update, {}, squares, {}) for name, stage in looked]
    norm = torch.linalg.vector_norm(grads, dim=1, dtype=torch.float64)
    clipped, training.clip_states = clip(training, grads)
    after, state = training.optimizer(clipped, training.params, training.optimizer_state)
    finite = loss.isfinite() & norm.isfinite() & after.abs().amax(1).isfinite()
    fails_now = training.alive & ~finite
    training.diverged_at = torch.where(fails_now, update, training.diverged_at)
    training.alive = training.alive & finite
    training.params = after if surely(training.alive.all()) else torch.where(training.alive[:, None], after, training.params)
    training.optimizer_state = state
    training.carried = kept_states(training, reached)
    note_update(training, loss, norm, grads, clipped)


def kept_states(training: Training, reached: list[State]) -> list[State]:
    """States at the end of this batch; a frozen member keeps those that its failing update began with (study/training/postmortem.py)."""
    if not training.carried:
        return reached
    alive = training.alive[:, None, None]
    return [tuple(torch.where(alive, *parts) for parts in zip(*states, strict=True)) for states in zip(reached, training.carried, strict=True)]


def note_update(training: Training, loss: Tensor, norm: Tensor, grads: Tensor, clipped: Tensor) -> None:
    """Loss, norm before clipping, how much the rule shrank it and turned it; 1 where it left it alone."""
    training.losses.append(loss.detach())
    training.norms.append(norm)
    changed = ((clipped != grads).view(torch.uint8).amax(1) > 0) & norm.isfinite()  # as bytes: `any` takes ten times as long
    scales, cosines = torch.ones_like(norm), torch.ones_like(norm)
    if not surely(~changed.any()):
        rows = looked_at(changed)
        before, after = grads[rows].double(), clipped[rows].double()
        length = torch.linalg.vector_norm(after, dim=1)
        ratio, cosine = length / norm[rows], before.mul_(after).sum(1) / (norm[rows] * length)
        # 1 says untouched: what was shortened in a tensor too small to show in the whole norm is the next number below.
        scales[rows] = torch.where(changed[rows], torch.where(ratio == 1, 1 - 2.0**-53, ratio), 1.0)
        cosines[rows] = torch.where(changed[rows], cosine, 1.0)
    training.scales.append(scales)
    training.cosines.append(cosines)


def looked_at(members: Tensor) -> Tensor:
    """Numbers of the members that a mask names, at least two: alone, one would be summed in another order. Beside a GPU, all: to know would be to wait."""
    if members.device.type != "cpu":
        return torch.arange(len(members), device=members.device)
    (rows,) = members.nonzero(as_tuple=True)
    return rows.repeat(2) if len(rows) == 1 else rows


def clip(training: Training, grads: Tensor) -> tuple[Tensor, list[Any]]:
    """Each rule on the members it is for: clipped gradients, next states."""
    clipped, states = torch.empty_like(grads), []
    for (rule, members), state in zip(training.clip_rules, training.clip_states, strict=True):
        part, after = rule(grads[members], training.params[members], state)
        clipped[members] = part
        states.append(after)
    return clipped, states


def loss_and_gradients(
    training: Training, params: Tensor, update: int, *, look: bool = False
) -> tuple[Tensor, Tensor, list[State], dict[str, dict[str, np.ndarray]]]:
    """Losses [M] and gradients [M, P] of the batch of this update at `params`; states at its end where the task carries them, else none.

    `look`: and the profile by layer of what comes back to each step (Measured.profiles), else none. No number changes by it.
    """
    batch = training_batch(training, update)
    leaves = {name: view.detach().requires_grad_() for name, view in training.model.named(params).items()}
    taps = reach_leaves(training, batch) if look else {}
    with rounding(training):
        outputs, reached = forward(training, leaves | taps, batch, update)
        loss = training.task.loss(outputs, batch)
        grads = torch.autograd.grad(loss.sum(), [*leaves.values(), *taps.values()], allow_unused=True)
    whole = {name: torch.zeros_like(leaf) if grad is None else grad for (name, leaf), grad in zip(leaves.items(), grads, strict=False)}
    return loss, training.model.joined(whole), reached, profiles_of(training.model, grads[len(leaves) :], batch)


def reach_leaves(training: Training, batch: Batch) -> dict[str, Tensor]:
    """What kernels give the squared norms by step as the gradient of, a layer each: [M, T, B'], padded as the batch is."""
    members, examples, steps, _ = batch.x.shape
    shape = (members, steps, training.model.padded_batch(examples))
    return {
        f"layer{layer}.{REACH}": torch.zeros(shape, dtype=torch.float64, device=training.device, requires_grad=True)
        for layer in range(1, training.model.depth + 1)
    }


def profiles_of(model: Model, squares: Sequence[Tensor | None], batch: Batch) -> dict[str, dict[str, np.ndarray]]:
    """Profiles by layer from squared norms [M, T, B']; StudyError where the cell's own kernel does not tell them."""
    members, examples, steps, _ = batch.x.shape
    last = np.full((members, examples), steps - 1) if batch.lengths is None else batch.lengths.cpu().numpy() - 1
    found = {}
    for number, grad in enumerate(squares, start=1):
        if grad is None:
            name = type(model.cell).__name__
            raise StudyError(f"probe.train_profile: kernel {model.kernel} of {name} does not tell what reaches a step; use kernel=reference or every=null")
        found[f"{number}/h"] = profile_of_squares(grad[..., :examples].cpu().numpy(), last)
    return found


def forward(training: Training, params: Params, batch: Batch, update: int) -> tuple[Tensor, list[State]]:
    """Outputs and, where the task carries them, the states at the end, in training's own dtype."""
    dropped, model, config = masks(training, update, batch), training.model, training.config
    with autocast(training):
        if not is_stream(training.task, config["batch"]):
            return model.forward(params, batch.x, batch.lengths, dropped).to(training.dtype), []
        first = training.carried if training.task.carries(update, config["batch"]) else []
        outputs, reached = model.carrying(params, batch.x, dropped, first)
    return outputs.to(training.dtype), [tuple(part.to(training.dtype) for part in state) for state in reached]


def training_batch(training: Training, update: int) -> Batch:
    """Each member's own batch, drawn once for each distinct seed: a function of (seed, update)."""
    config, seeds = training.config, [point.seed for point in training.points]
    distinct = list(dict.fromkeys(seeds))
    parts = [training.task.sample(lambda *key, seed=seed: generator(seed, "data", *key), update, config["batch"]) for seed in distinct]
    index = torch.tensor([distinct.index(seed) for seed in seeds])
    return _to(training, stack_batches(parts), index)


def stack_batches(parts: Sequence[Batch]) -> Batch:
    lengths = None if parts[0].lengths is None else torch.stack([part.lengths for part in parts if part.lengths is not None])
    return Batch(x=torch.stack([part.x for part in parts]), y=torch.stack([part.y for part in parts]), lengths=lengths)


def _to(training: Training, batch: Batch, index: Tensor) -> Batch:
    def place(tensor: Tensor) -> Tensor:
        tensor = tensor[index].to(training.device)
        return tensor.to(training.dtype) if tensor.is_floating_point() else tensor

    return Batch(x=place(batch.x), y=place(batch.y), lengths=None if batch.lengths is None else place(batch.lengths))


def masks(training: Training, update: int, batch: Batch) -> list[Tensor]:
    if training.model.dropout == 0 or training.model.depth == 1:
        return []
    _, examples, steps, _ = batch.x.shape
    of = [dropout_masks(training.model, point.seed, update, examples, steps) for point in training.points]
    return [torch.stack(layer).to(training.device, training.dtype) for layer in zip(*of, strict=True)]


# --- validation, probes, evaluation ----------------------------------------------------------------------------


def validate(training: Training, update: int) -> None:
    """Validation loss and score; the best weights so far are kept, earlier ones on ties."""
    loss, metric = on_fixed(training, training.params, training.task.split("validation"))
    score = metric.mean(1)
    alive = training.alive
    better = (score > training.best_score) if training.task.facts.higher_is_better else (score < training.best_score)
    better = better & alive
    training.best_score = torch.where(better, score, training.best_score)
    training.best_loss = torch.where(better, loss, training.best_loss)
    training.best_params = torch.where(better[:, None], training.params, training.best_params)
    training.validations.append((update, torch.where(alive, loss, torch.nan), torch.where(alive, score, torch.nan)))


def on_fixed(training: Training, params: Tensor, examples: Batch) -> tuple[Tensor, Tensor]:
    """Mean loss [M] and metric by example [M, B] of fixed examples, in chunks that fit the cache."""
    everyone = torch.zeros(len(training.points), dtype=torch.long)
    named = training.model.named(params)
    losses, metrics, counts = [], [], []
    with torch.no_grad():
        for start in range(0, len(examples.x), EVALUATION_CHUNK):
            part = slice(start, start + EVALUATION_CHUNK)
            lengths = None if examples.lengths is None else examples.lengths[part][None]
            batch = _to(training, Batch(examples.x[part][None], examples.y[part][None], lengths), everyone)
            outputs = training.model.forward(named, batch.x, batch.lengths)
            counts.append(batch.x.shape[1])
            losses.append(training.task.loss(outputs, batch).double() * counts[-1])
            metrics.append(training.task.metric(outputs, batch).double())
    return torch.stack(losses).sum(0) / sum(counts), torch.cat(metrics, dim=1)


def due_stages(training: Training, update: int) -> dict[str, int]:
    """{probe: stage} of those whose schedule has this update."""
    return {name: stages[update] for name, (_, stages) in training.probes.items() if update in stages}


def next_stages(training: Training, update: int) -> dict[str, int]:
    """{probe: stage} of those that have a stage later than this update and none at it: the first of them."""
    later = {name: [stage for at, stage in stages.items() if at > update] for name, (_, stages) in training.probes.items() if update not in stages}
    return {name: min(stages) for name, stages in later.items() if stages}


def probe(training: Training, update: int, stages: Mapping[str, int]) -> None:
    """These probes, each as the stage that is given for it. What a frozen member's say is not kept (study/training/results.py)."""
    due = {name: (training.probes[name][0], stage) for name, stage in stages.items()}
    if not due:
        return
    params = {name: value.double() for name, value in training.model.named(training.params.detach()).items()}
    fixed = probe_batch(training)
    traces: dict[int, StageTrace] = {}
    for name, (of, stage) in due.items():
        if stage not in traces:
            seeds = [point.seed for point in training.points]
            traces[stage] = StageTrace(
                params=params,
                batch=fixed,
                task=training.task,
                model=training.model,
                stage=stage,
                update=update,
                seeds=seeds,
                next_update=NextUpdate(training, update),
            )
        training.measured.append(measured(training, name, of, traces[stage]))


@dataclass(frozen=True)
class NextUpdate:
    """The update that training makes next, computed apart (tracing.NextUpdate); at the end, one more on the last batch."""

    training: Training
    update: int

    def batch(self) -> Batch:
        return _double(training_batch(self.training, self._of()))

    def step(self) -> Step:
        training = self.training
        _, grads, _, _ = loss_and_gradients(training, training.params, self._of())
        clipped, _ = clip(training, grads)
        after, _ = training.optimizer(clipped, training.params, training.optimizer_state)
        grads_, clipped_, before, after_ = (
            {name: value.detach().double() for name, value in training.model.named(flat).items()} for flat in (grads, clipped, training.params, after)
        )
        return Step(grads=grads_, clipped=clipped_, before=before, after=after_)

    def _of(self) -> int:
        return min(self.update, self.training.config["updates"] - 1)


def _double(batch: Batch) -> Batch:
    return Batch(x=batch.x.double(), y=batch.y.double() if batch.y.is_floating_point() else batch.y, lengths=batch.lengths)


def measured(training: Training, name: str, probe: Probe, trace: StageTrace) -> Measured:
    """Call the probe and reduce what it returned."""
    returned = probe(trace)
    if not isinstance(returned, Mapping):
        raise StudyError(f"probe {name}: {type(probe).__name__} must return {{quantity: values}}, got {type(returned).__name__}")
    if not isinstance(probe, ProfileProbe):
        values = {quantity: _number(name, quantity, value, len(training.points)) for quantity, value in returned.items()}
        return Measured(name, trace.stage, trace.update, values, {}, {})
    profiles, rows = {}, {}
    limits, lag = Thresholds.of(training.config["health"]), judged_lag(training.task.facts.lag, trace.last_step.numpy())
    reduced: dict[int, tuple[Logs, dict[str, np.ndarray]]] = {}  # of one layer, the network's is the layer's: reduced once
    judged: dict[int, list[dict[str, Any]]] = {}
    for which, of in returned.items():
        assert isinstance(of, LagNorms)
        if id(of) not in reduced:
            by_lag = logs(of.norms.detach().cpu().numpy(), of.exists.cpu().numpy())
            reduced[id(of)] = by_lag, profile(by_lag)
        by_lag, profiles[which] = reduced[id(of)]
        layer, state = which.split("/")
        if probe.decides and state == "s":
            if id(of) not in judged:
                judged[id(of)] = states(by_lag, lag, limits, np.random.default_rng(trace.stage))
            rows[layer] = [dict(row) for row in judged[id(of)]]
    return Measured(name, trace.stage, trace.update, {}, profiles, rows)


def _number(name: str, quantity: str, value: Any, members: int) -> np.ndarray | ByIndex | AtLags | ByStep:
    """What a probe returned for a quantity, one number a member (and layer, and lag or index, or example and step)."""
    if isinstance(value, ByStep):
        return _by_step(name, quantity, value, members)
    tensor, sizes = (value.values, (3,)) if isinstance(value, ByIndex) else (value.values, (3, 4)) if isinstance(value, AtLags) else (value, (1, 2, 3))
    fits = isinstance(tensor, Tensor) and tensor.ndim in sizes and len(tensor) == members
    if not fits or (isinstance(value, AtLags) and tensor.shape[2] != len(value.lags)):
        came = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
        allowed = "[M], [M, layers], [M, layers, lags], ByIndex of [M, layers, n] or AtLags of [M, layers, n lags] or [M, layers, n lags, i]"
        raise ValueError(f"probe {name}: {quantity} must be a tensor {allowed} with M = {members}, got {came}")
    tensor = tensor.detach().double().cpu()
    if isinstance(value, ByIndex):
        return ByIndex(tensor)
    return AtLags(tensor, value.lags) if isinstance(value, AtLags) else tensor.numpy()


def _by_step(name: str, quantity: str, value: ByStep, members: int) -> ByStep:
    values, last = value.values, value.last
    if values.ndim not in (3, 4) or len(values) != members or last.shape != values.shape[-2:-1] or not int(last.max()) < values.shape[-1]:
        came = f"{tuple(values.shape)} and last {last.tolist()}"
        raise ValueError(f"probe {name}: {quantity} must be ByStep of [M, n, T] or [M, layers, n, T] with M = {members} and last [n] below T, got {came}")
    return ByStep(values.detach().double().cpu(), last.cpu())


def probe_batch(training: Training) -> Batch:
    """The first validation examples: the same for every point of the study."""
    examples, unit = training.task.split("validation"), training.model.padded_batch(1)
    count = min(training.config["health"]["examples"], len(examples.x))
    count = max(count // unit, 1) * unit if count >= unit else count  # whole vectors a member, as in training
    lengths = None if examples.lengths is None else examples.lengths[None, :count]
    batch = _to(training, Batch(examples.x[None, :count], examples.y[None, :count], lengths), torch.zeros(len(training.points), dtype=torch.long))
    return _double(batch)


def evaluate(training: Training) -> None:
    """Test data are read here and nowhere else: once for the scored weights, once for the last ones."""
    _, training.evaluations["test"] = on_fixed(training, training.best_params, training.task.split("test"))
    _, training.evaluations["final"] = on_fixed(training, training.params, training.task.split("test"))
    _, training.evaluations["train"] = on_fixed(training, training.best_params, training.task.split("train"))
