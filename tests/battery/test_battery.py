"""The battery over every level in conf/."""

from __future__ import annotations

import re
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hydra import compose, initialize_config_dir

from study import battery
from study.cells.lstm import LSTM
from study.clipping.norm import Norm
from study.config.build import build, build_for_members
from study.config.paths import conf_folder
from study.hydra_plugins import register
from study.interfaces import Penalty, Probe, Schedule
from study.optimizers.adam import Adam
from study.optimizers.torch import ELEMENTWISE
from study.readouts.mean import Mean
from tests.support import data


def levels(group: str) -> list[str]:
    return sorted(path.stem for path in (Path(conf_folder()) / group).glob("*.yaml"))


@pytest.fixture(scope="module")
def node_of():
    from omegaconf import OmegaConf

    register()
    with initialize_config_dir(version_base="1.3", config_dir=str(conf_folder().resolve())):

        def of(group: str, level: str) -> dict[str, Any]:
            node = OmegaConf.to_container(
                compose("config", overrides=[f"{group}={level}"])[group], resolve=True
            )
            assert isinstance(node, dict)
            return node

        yield of


@pytest.mark.parametrize("level", levels("cell"))
def test_cell(node_of, level):
    battery.check_cell(build(node_of("cell", level), "cell"))


class Kernelled(LSTM):
    """A cell with a compiled kernel that is wrong in the way `wrong` names."""

    def __init__(self, *, wrong: str) -> None:
        self.wrong = wrong

    def native(self, params):
        known, wrong = super().native(params), self.wrong

        def outputs(x, reach=None, *, last_step_only=False):
            return known.outputs(x, reach, last_step_only=last_step_only and wrong != "all steps")

        def states(x, taps):
            found = known.states(
                x, tuple(torch.zeros_like(tap) for tap in taps) if wrong == "taps" else taps
            )
            return tuple(1.1 * state for state in found) if wrong == "states" else found

        return SimpleNamespace(outputs=outputs, states=states)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("states", "differs from its steps in state h"),
        ("taps", "differs from its steps in the total derivative at h"),
        ("all steps", "another last step"),
        ("nothing", None),
    ],
)
def test_the_battery_finds_what_is_wrong_with_a_compiled_kernel(wrong, told):
    with pytest.raises(AssertionError, match=told) if told else nullcontext():
        battery.check_cell(Kernelled(wrong=wrong))


class Traced(LSTM):
    """A cell whose kept state is not the last one: an echo of h follows it.

    The sign decides whether `keep` is right.
    """

    states = ("h", "c", "e")

    def __init__(self, *, sign: int) -> None:
        self.keep = {"f": sign}

    def step(self, params, x, state):
        h, c = super().step(params, x, state[:2])
        return h, c, 0.9 * state[2] + 0.1 * h.detach()


class Ordered(LSTM):
    """Sums over a member's own units, in an order that follows the number of members."""

    def step(self, params, x, state):
        h, c = super().step(params, x, state)
        units = list((h * h).unbind(-1))
        total = sum(units if len(h) % 2 else reversed(units))
        return h + 0.1 * total[..., None], c

    def has_kernel(self, kernel):
        return False


def test_what_only_rounds_by_company_is_not_said_to_mix():
    with pytest.raises(AssertionError, match="on its company: it rounds differently, by .e-0[78]"):
        battery.check_cell(Ordered())


def test_the_state_that_a_gate_keeps_may_be_any():
    battery.check_cell(Traced(sign=1))
    with pytest.raises(AssertionError, match="gate f does not keep the past"):
        battery.check_cell(Traced(sign=-1))


@pytest.mark.parametrize("level", levels("initializer"))
def test_initializer(node_of, level):
    battery.check_initializer(build(node_of("initializer", level), "initializer"))


@pytest.mark.parametrize("level", levels("clip"))
def test_clip_rule(node_of, level):
    node = node_of("clip", level)
    battery.check_clip(
        lambda members: build_for_members(
            [node] * members, "clip", torch.device("cpu"), torch.float32
        )
    )


@pytest.mark.parametrize(
    ("level", "changes"),
    [
        *((level, {}) for level in levels("optimizer")),
        *((level, {"weight_decay": 0.1}) for level in ("adam", "rmsprop", "sgd")),
        *(("torch", {"name": name}) for name in ELEMENTWISE),
    ],
)
def test_optimizer(node_of, level, changes):
    node = {**node_of("optimizer", level), **changes}
    battery.check_optimizer(
        lambda members: build_for_members(
            [node] * members, "optimizer", torch.device("cpu"), torch.float32
        )
    )


@pytest.mark.parametrize("level", [level for level in levels("schedule") if level != "constant"])
def test_schedule(node_of, level):
    node = node_of("schedule", level)
    battery.check_schedule(
        lambda members: build_for_members(
            [node] * members, "schedule", torch.device("cpu"), torch.float64
        )
    )


class Leaning(Schedule):
    """A schedule that is wrong in the way `wrong` names."""

    def __init__(self, *, wrong: str, end: float | torch.Tensor) -> None:
        self.wrong, self.end, self.calls = wrong, torch.as_tensor(end), 0

    def init(self, members):
        return {"lowest": torch.full((members,), torch.inf, dtype=torch.float64)}

    def __call__(self, update, updates, state):
        self.calls += 1
        factor = self.end ** (update / updates)
        if self.wrong == "company":
            return factor * len(factor)
        if self.wrong == "memory":
            return factor / self.calls
        if self.wrong == "negative":
            return factor - 0.5
        return factor.sum() if self.wrong == "shape" else factor * state["lowest"].clamp(max=1)

    def validated(self, loss, state):
        if self.wrong == "in place":
            state["lowest"].copy_(torch.fmin(loss, state["lowest"]))
            return state
        lowest = loss.nanmean() if self.wrong == "validations" else loss
        return {"lowest": torch.fmin(lowest, state["lowest"])}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("company", "a member's factor depends on its company"),
        ("validations", "depends on the validations of its company"),
        ("memory", "keeps nothing on self"),
        ("negative", "must be finite and at least 0"),
        ("shape", r"must return \[M\]"),
        ("in place", "changed its state in place"),
    ],
)
def test_the_battery_finds_what_is_wrong_with_a_schedule(wrong, message):
    def of(members):
        end = torch.full((members,), 0.1, dtype=torch.float64)
        return Leaning(wrong=wrong, end=end)

    with pytest.raises(AssertionError, match=message):
        battery.check_schedule(of)


@pytest.mark.parametrize("level", [level for level in levels("penalty") if level != "none"])
def test_penalty(node_of, level):
    node = node_of("penalty", level)
    battery.check_penalty(
        lambda members: build_for_members(
            [node] * members, "penalty", torch.device("cpu"), torch.float32
        )
    )


class Shrinks(Penalty):
    """A penalty on the states that is wrong in the way `wrong` names."""

    reads_states = True

    def __init__(self, *, wrong: str) -> None:
        self.wrong = wrong

    def __call__(self, update):
        h, valid = update.layers[0].after[0], update.valid
        if self.wrong == "detaches":
            h = h.detach()
        squares = h.square().sum(-1)
        if self.wrong == "root":
            squares = squares.sqrt()
        if self.wrong == "gradient":
            squares = squares * squares.detach().exp() ** 0.1
        if self.wrong == "padding":
            valid = torch.ones_like(valid)
        term = torch.where(valid > 0, squares, 0.0).sum((1, 2))
        return {"mixes": term * term.mean(), "shape": term.sum()}.get(self.wrong, term)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("mixes", "gradient with respect to another member's weights"),
        ("shape", "one value per member, (3,), got ()"),
        ("detaches", "depends on no parameter"),
        ("padding", "depends on padding"),
        ("root", "with all weights at 0, layer"),
        ("gradient", "its gradients are not those of its term"),
        ("nothing", None),
    ],
)
def test_the_battery_finds_what_is_wrong_with_a_penalty(wrong, told):
    with pytest.raises(AssertionError, match=re.escape(told)) if told else nullcontext():
        battery.check_penalty(lambda members: Shrinks(wrong=wrong))


@pytest.mark.parametrize("level", levels("task"))
def test_task(node_of, level, tmp_path):
    node = node_of("task", level)
    node |= own_data(tmp_path, level) if "???" in node.values() else data.settings(level, tmp_path)
    node |= {"validation": 50} if level in ("mnist", "fashion_mnist") else {}
    battery.check_task(build(node, "task"))


def own_data(folder: Path, level: str) -> dict[str, Any]:
    """Data for tasks that read files: random walks of two classes."""
    if level == "declared":  # has none
        facts = {"name": "mine", "data": "of mine", "steps": 7}
        return facts | {"baseline": 0.5, "baseline_loss": 0.7}
    drawn = np.random.default_rng(0)
    x, y = drawn.normal(size=(60, 7, 2)).cumsum(1), np.arange(60) % 2
    if level == "npz":
        np.savez(folder / "own.npz", x=x.astype(np.float32), y=y)
        return {"path": str(folder / "own.npz")}
    assert level == "csv", f"task={level} has a mandatory setting: give it data here"
    pd.DataFrame({f"v{step}": x[:, step, 0] for step in range(7)} | {"kind": y}).to_csv(
        folder / "own.csv", index=False
    )
    return {"path": str(folder / "own.csv"), "target": "kind"}


@pytest.mark.parametrize("level", [level for level in levels("encoder") if level != "none"])
def test_encoder(node_of, level):
    battery.check_encoder(build(node_of("encoder", level), "encoder"))


@pytest.mark.parametrize("level", levels("readout"))
def test_readout(node_of, level):
    battery.check_readout(build(node_of("readout", level), "readout"))


def test_block(node_of):
    (level,) = set(levels("block")) - {"none"}
    battery.check_block(build(node_of("block", level), "block"))


@pytest.mark.parametrize("level", levels("probe"))
def test_probe_runs_on_every_cell(node_of, level):
    """Every probe on every cell, one and two layers, losses at the last and at every step.

    One value per member; NaN is an exception, and Inf only the log of an exact 0 (a ReLU's Jacobian
    has such singular values).
    """
    from study.interfaces import LagNorms
    from tests.support.helpers import trace

    probe = build(node_of("probe", f"[{level}]")[level], f"probe.{level}")
    known: dict[str, list[bool]] = {}
    for cell in levels("cell"):
        built = build(node_of("cell", cell), "cell")
        if level == "spectrum" and "recurrent" not in {one.role for one in built.shapes(1, 4)}:
            with pytest.raises(ValueError, match="no recurrent weights"):
                probe(trace(built, {}, steps=6, depth=1))
            continue
        for depth in (1, 2):
            of = trace(built, {}, steps=6, depth=depth, every_step=depth == 2)
            for quantity, value in probe(of).items():
                values = (
                    value.norms[..., value.exists]
                    if isinstance(value, LagNorms)
                    else value
                    if isinstance(value, torch.Tensor)
                    else value.values
                )
                assert len(values) == 1, quantity
                assert (
                    not values.isinf().any()
                    or quantity.startswith("log10_")
                    or quantity == "lyapunov"
                ), quantity
                known.setdefault(quantity, []).append(not values.isnan().any())
    assert all(any(of_quantity) for of_quantity in known.values()), known


@pytest.mark.parametrize("level", ["gates", "saliency", "gate_traces", "loss"])
def test_the_battery_of_probes_passes_ours(node_of, level):
    battery.check_probe(build(node_of("probe", f"[{level}]")[level], f"probe.{level}"))


class Forward(Mean):
    last_step_only = True


def test_the_battery_finds_a_readout_that_says_it_reads_the_last_step_only():
    with pytest.raises(AssertionError, match="last_step_only is true, but it reads other steps"):
        battery.check_readout(Forward())


class Wrong(Probe):
    """A probe that is wrong in the way `kind` names."""

    def __init__(self, *, kind: str) -> None:
        self.kind, self.stages = kind, [2] if kind == "stages" else [0]

    def __call__(self, trace):
        h = trace.network().layers[0]["h"][:, -1].detach().mean((1, 2))
        if self.kind == "changes":
            trace.params["layer1.bias"].zero_()
        if self.kind == "masks":
            trace.network().layers[0]["h"].detach()[:, 1:] = 0
        return {
            "mixes": {"mean": h - h.mean()},
            "draws": {"noise": h + torch.rand(1)},
            "shape": {"mean": h[:1]},
            "kind": {"mean": h.tolist()},
            "nothing": {},
            "list": [h],
        }.get(self.kind, {"mean": h})


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("stages", "stages must lie between 0 and 1"),
        ("changes", "changed the weights"),
        ("masks", "changed the states"),
        ("mixes", "a member's mean depends on its company"),
        ("draws", "a second call gives other numbers"),
        ("shape", "with M = 3, got"),
        ("kind", "must be a tensor"),
        ("nothing", "returned nothing"),
        ("list", "must return {quantity: values}"),
    ],
)
def test_the_battery_of_probes_finds_what_is_wrong(kind, told):
    with pytest.raises(AssertionError, match=re.escape(told)):
        battery.check_probe(Wrong(kind=kind))


def planned(experiment: str, overrides: list[str]) -> Any:
    """The plan of a committed experiment, made in this process."""
    from hydra._internal.config_loader_impl import ConfigLoaderImpl
    from hydra._internal.utils import create_config_search_path
    from hydra.types import RunMode

    from study.config.compose import compose_all, read_sweep
    from study.launch.plan import make_plan

    register()
    loader = ConfigLoaderImpl(create_config_search_path(str(conf_folder().resolve())))
    first = loader.load_configuration(
        "config", [f"experiment={experiment}"], run_mode=RunMode.MULTIRUN
    )
    of = read_sweep(
        loader, dict(first.hydra.sweeper.params), [f"experiment={experiment}", *overrides]
    )
    return make_plan(compose_all(loader, "config", of), of, experiment)


@pytest.mark.parametrize("level", levels("experiment"))
def test_committed_experiments_compose_and_pass_their_checks(level, tmp_path):
    """Each is planned in full; test_experiments trains each for two updates."""
    plan = planned(level, data.overrides(level, tmp_path))
    assert len(plan.points) >= 18
    assert plan.name == level
    assert plan.settings.study.question
    assert "seed" not in plan.factors


class DecaysItsState(Adam):
    """Adam that changes its moments in place."""

    def __call__(self, grads, params, state):
        next(iter(state.values())).mul_(0.5)
        return super().__call__(grads, params, state)


class ScalesItsGradients(Norm):
    """A clip rule that changes its input."""

    def __call__(self, grads, params, state):
        return super().__call__(grads.mul_(0.5), params, state)


def test_what_changes_its_arguments_in_place_is_refused():
    """A probe of the next update calls both apart from training, whose numbers would change."""

    def optimizer(members):
        lr = torch.full((members,), 0.01)
        return DecaysItsState(
            lr=lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0 * lr, decay_biases=True
        )

    with pytest.raises(AssertionError, match="DecaysItsState: changed its state in place"):
        battery.check_optimizer(optimizer)
    with pytest.raises(AssertionError, match="ScalesItsGradients: changed its gradients in place"):
        battery.check_clip(lambda members: ScalesItsGradients(threshold=torch.ones(members)))
