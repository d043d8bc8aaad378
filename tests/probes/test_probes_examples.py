"""Probes of single examples against plain loops, padded against one by one, and on disk."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from study.cells.gru import GRU
from study.cells.lstm import LSTM
from study.cells.rnn import RNN
from study.interfaces import Batch, ByStep, Probe
from study.model import Model
from study.probes.attention import AttentionMap
from study.probes.gate_traces import GateTraces
from study.probes.saliency import Saliency
from study.readouts.attention import Attention
from study.records import StudyError
from study.training.trace import StageTrace
from tests.support import plain
from tests.support.helpers import Linear, orthogonal, point, run, trace
from tests.training.test_engine import CELLS

LENGTHS = torch.tensor([7, 3, 5, 1])
GATED = {"lstm": LSTM(), "gru": GRU()}


def attended(of: StageTrace) -> StageTrace:
    """The same stage with an attention readout of random weights."""
    old = of.model
    model = Model(
        cell=old.cell,
        readout=Attention(),
        inputs=old.inputs,
        outputs=1,
        hidden=old.hidden,
        depth=old.depth,
        dropout=0.0,
        kernel="reference",
    )
    drawn = torch.randn(
        1, model.width, dtype=torch.float64, generator=torch.Generator().manual_seed(3)
    )
    return replace(
        of,
        model=model,
        params={
            **of.params,
            **{
                name: value
                for name, value in model.named(drawn).items()
                if name.startswith("readout.")
            },
        },
    )


def alone(of: StageTrace, example: int) -> StageTrace:
    """One example without its padding."""
    steps = plain.length(of, example)
    y = of.batch.y[:, example : example + 1]
    return of.on(
        Batch(
            of.batch.x[:, example : example + 1, :steps],
            y[:, :, :steps] if of.facts.every_step else y,
            None,
        )
    )


def found(probe: Probe, of: StageTrace) -> dict[str, ByStep]:
    return dict(probe(of))  # type: ignore[arg-type]


def saliency(of: StageTrace, examples: int = 4) -> torch.Tensor:
    return found(Saliency(stages=[0], examples=examples), of)["saliency"].values


@pytest.mark.parametrize("every_step", [False, True], ids=["terminal", "every step"])
@pytest.mark.parametrize("cell", [RNN(nonlinearity="tanh"), *GATED.values()], ids=["rnn", *GATED])
def test_saliency_is_the_gradient_of_the_last_valid_step(cell, every_step):
    of = trace(cell, {}, steps=7, depth=2, every_step=every_step, examples=4, lengths=LENGTHS)
    values, last = saliency(of), found(Saliency(stages=[0], examples=4), of)["saliency"].last
    assert last.tolist() == (LENGTHS - 1).tolist()
    for example, steps in enumerate(LENGTHS.tolist()):
        x = of.batch.x.clone().requires_grad_()
        layers = plain.walk(of.on(Batch(x, of.batch.y, of.batch.lengths)), example)
        outputs = [state[: of.model.hidden] for state in layers[-1][1][1:]]
        (grad,) = torch.autograd.grad(plain.loss(of, example, steps - 1, outputs), [x])
        torch.testing.assert_close(
            values[0, example], grad[0, example].norm(dim=-1), rtol=1e-10, atol=1e-14
        )
        torch.testing.assert_close(
            saliency(alone(of, example), 1)[0, 0],
            values[0, example, :steps],
            rtol=1e-10,
            atol=1e-14,
        )


def test_saliency_of_a_linear_network_decays_as_its_weights():
    of = trace(
        Linear(),
        {"layer1.weight_h": orthogonal(8, 0.5), "layer1.weight_x": orthogonal(8, 1.0)[:, :2]},
        steps=200,
        inputs=2,
    )
    values = saliency(of)[0, 0]
    bound = values[-1] * 0.5 ** torch.arange(199, -1, -1, dtype=torch.float64) * math.sqrt(8)
    assert (values <= bound).all() and float(values[0]) > 0, "1e-60 is a number, and no zero"


def test_input_tells_where_something_happens_and_only_once():
    of = trace(GRU(), {}, steps=7, examples=4, lengths=LENGTHS)
    distance = found(Saliency(stages=[0], examples=3), of)["input"].values
    for example, steps in enumerate(LENGTHS.tolist()[:3]):
        own = of.batch.x[0, example, :steps]
        torch.testing.assert_close(distance[0, example, :steps], (own - own.mean(0)).norm(dim=-1))
    assert "input" not in found(Saliency(stages=[0], examples=3), replace(of, stage=1))


@pytest.mark.parametrize("depth", [1, 2])
@pytest.mark.parametrize("cell", GATED.values(), ids=GATED)
def test_gate_traces_are_mean_and_quantiles_over_units(cell, depth):
    of = trace(cell, {}, steps=7, depth=depth, examples=4, lengths=LENGTHS)
    values = found(GateTraces(stages=[0], examples=4, quantiles=[0.1, 0.5]), of)
    names = cell.gates(
        plain.layer_params(of, 1),
        cell.project(plain.layer_params(of, 1), of.batch.x.transpose(1, 2))[:, 0],
        tuple(torch.zeros(1, 4, 8).double() for _ in cell.states),
    )
    assert set(values) == {
        f"gate.{gate}.{what}" for gate in names for what in ("mean", "p10", "p50")
    }
    for example, steps in enumerate(LENGTHS.tolist()):
        for layer, (x, states) in enumerate(plain.walk(of, example), start=1):
            params = plain.layer_params(of, layer)
            for t in range(steps):
                before = tuple(part[None, None] for part in states[t].chunk(len(cell.states)))
                for gate, units in cell.gates(
                    params, cell.project(params, x[t][None, None, None])[:, 0], before
                ).items():
                    expected = [
                        float(units.mean()),
                        float(np.quantile(units.numpy(), 0.1)),
                        float(np.quantile(units.numpy(), 0.5)),
                    ]
                    here = [
                        float(values[f"gate.{gate}.{what}"].values[0, layer - 1, example, t])
                        for what in ("mean", "p10", "p50")
                    ]
                    assert here == pytest.approx(expected, rel=1e-10)
        one = found(GateTraces(stages=[0], examples=1, quantiles=[0.1, 0.5]), alone(of, example))
        for name, value in one.items():
            torch.testing.assert_close(
                value.values[:, :, 0],
                values[name].values[:, :, example, :steps],
                rtol=1e-10,
                atol=1e-14,
            )


def test_an_ungated_cell_and_a_readout_without_attention_leave_nothing():
    of = trace(RNN(nonlinearity="tanh"), {}, steps=5)
    assert (
        found(GateTraces(stages=[0], examples=2, quantiles=[0.5]), of)
        == found(AttentionMap(stages=[0], examples=2), of)
        == {}
    )


def test_attention_is_kept_as_the_readout_gave_it_and_saliency_takes_its_direct_paths():
    of = attended(
        trace(LSTM(), {"layer1.weight_h": torch.zeros(32, 8)}, steps=7, examples=4, lengths=LENGTHS)
    )
    weights = found(AttentionMap(stages=[0], examples=3), of)["attention"]
    h = of.network().layers[0]["h"]
    torch.testing.assert_close(
        weights.values[0], Attention().attention(of.readout_params(), h, of.batch.lengths)[0].T[:3]
    )
    for example, steps in enumerate(LENGTHS.tolist()[:3]):
        assert float(weights.values[0, example, :steps].detach().sum()) == pytest.approx(1)
        own = alone(of, example)
        torch.testing.assert_close(
            found(AttentionMap(stages=[0], examples=1), own)["attention"].values[0, 0],
            weights.values[0, example, :steps],
        )
        torch.testing.assert_close(
            saliency(own, 1)[0, 0], saliency(of)[0, example, :steps], rtol=1e-10, atol=1e-14
        )
    assert bool((saliency(of)[0, 0] > 0).all())


def test_traces_are_stored_by_example_and_step(tmp_path):
    probes = {
        "saliency": {"_target_": "study.probes.saliency.Saliency", "stages": [0, 1], "examples": 2},
        "gate_traces": {
            "_target_": "study.probes.gate_traces.GateTraces",
            "stages": [1],
            "examples": 2,
            "quantiles": [0.1, 0.9],
        },
        "attention": {
            "_target_": "study.probes.attention.AttentionMap",
            "stages": [0, 1],
            "examples": 2,
        },
    }
    attention = {"_target_": "study.readouts.attention.Attention"}
    shared = {
        "probe": probes,
        "readout": attention,
        "cell": CELLS["gru"],
        "depth": 2,
        "kernel": "reference",
    }
    store = run([point(0, "a", **shared), point(1, "b", **shared)], tmp_path)
    rows = store.table("traces", ["a"])
    assert rows["update"].unique().tolist() == [0, 6]
    sizes = {tuple(key): len(own) for key, own in rows.groupby(["quantity", "stage"])}
    assert sizes == {
        ("saliency", 0): 18,
        ("saliency", 1): 18,
        ("input", 0): 18,
        ("attention", 0): 18,
        ("attention", 1): 18,
        **{(f"gate.{gate}.{what}", 0): 36 for gate in "rz" for what in ("mean", "p10", "p90")},
    }
    assert rows.loc[rows["probe"] == "gate_traces", "layer"].unique().tolist() == [1, 2]
    assert rows.loc[rows["probe"] == "saliency", "layer"].isna().all()
    own = rows[(rows["quantity"] == "attention") & (rows["stage"] == 1) & (rows["example"] == 1)]
    assert own["step"].tolist() == list(range(9)) and own["value"].sum() == pytest.approx(1)
    assert set(store.table("measures", ["a"])["probe"]) == set()
    row = store.result("a")["row"]
    assert (row["steps"], row["lag"]) == (9, 9)


def test_more_examples_than_the_probe_batch_has_are_told():
    of = trace(GRU(), {}, steps=5, examples=4)
    for probe in (
        Saliency(stages=[0], examples=5),
        AttentionMap(stages=[0], examples=5),
        GateTraces(stages=[0], examples=5, quantiles=[]),
    ):
        with pytest.raises(StudyError, match="examples must lie between 1 and 4"):
            probe(of)
    with pytest.raises(
        ValueError, match="quantiles must be shares of the units between 0 and 1, got 2"
    ):
        GateTraces(stages=[0], examples=1, quantiles=[2])
