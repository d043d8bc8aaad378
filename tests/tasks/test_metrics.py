"""Metrics by name: their values by hand, what they refuse, and what guesses get."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn import metrics as sk
from torch import Tensor

from study.battery.tasks import check_task
from study.config.tasks import load_task
from study.interfaces import Batch
from study.records import StudyError, identity
from study.tasks.forecast import Forecast
from study.tasks.npz import Npz
from study.tasks.shared import windows
from study.training.evaluation import Evaluated
from tests.tasks.test_own_data import SPLIT, csv, npz
from tests.tasks.test_solved import FILE, PARTS

CLASSES = ["accuracy", "balanced_accuracy", "f1_macro", "auroc", "cross_entropy", "perplexity"]
NUMBERS = ["mse", "mae", "rmse", "r2", "smape"]


def labelled(tmp_path, shares=(0.7, 0.3), **settings):
    """Classes a, b, … with these shares in every part, of 40 examples each."""
    counts = [round(share * 40) for share in shares]
    y = np.tile(np.repeat([chr(97 + n) for n in range(len(shares))], counts), 3)
    x = np.random.default_rng(0).normal(size=(120, 5, 1))
    return npz(tmp_path, {**FILE, **settings}, x=x, y=y, parts=PARTS)


def numbered(tmp_path, y=None, **settings):
    rng = np.random.default_rng(1)
    y = rng.gamma(2.0, size=120) if y is None else y
    x = rng.normal(size=(120, 5, 1))
    return npz(tmp_path, {"kind": "regression", **FILE, **settings}, x=x, y=y, parts=PARTS)


def walk(tmp_path, rows=300, **settings):
    rng = np.random.default_rng(2)
    values = 30 + rng.normal(size=rows).cumsum()
    frame = pd.DataFrame({"label": values})
    return csv(tmp_path, frame, kind="forecast", **{"season": 3, "horizon": 2, **settings}), values


def outputs_for(task, seed=0, spread=1.0):
    batch = task.split("test")
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(batch.y), task.facts.outputs, generator=generator) * spread, batch


def measured(task, outputs: Tensor, batch: Batch) -> dict[str, float]:
    names = [one["name"] for one in task.facts.metrics]
    return {name: float(v[0]) for name, v in task.over_split(outputs[None], batch, names).items()}


# --- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("shares", [(0.7, 0.3), (0.5, 0.3, 0.2)])
def test_metrics_of_classes_are_what_they_are_by_hand(tmp_path, shares):
    top = ["top_2"] if len(shares) > 2 else []
    task = labelled(tmp_path, shares, metrics=[*CLASSES, *top])
    outputs, batch = outputs_for(task)
    found, y = measured(task, outputs, batch), batch.y.numpy()
    logits = outputs.double()
    chances, hard = logits.softmax(-1).numpy(), logits.argmax(-1).numpy()
    recalls = [np.mean(hard[y == one] == one) for one in range(len(shares))]
    cross = float(np.mean(-np.log(chances[np.arange(len(y)), y])))
    f1 = []
    for one in range(len(shares)):
        hits = np.sum((hard == one) & (y == one))
        f1.append(2 * hits / (np.sum(hard == one) + np.sum(y == one)))
    ranks = []
    for one in range(len(shares)):
        inside, outside = chances[y == one, one], chances[y != one, one]
        ranks.append(np.mean(inside[:, None] > outside[None]))
    assert found["accuracy"] == pytest.approx(np.mean(hard == y))
    assert found["balanced_accuracy"] == pytest.approx(np.mean(recalls))
    assert found["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(y, hard))
    assert found["f1_macro"] == pytest.approx(np.mean(f1))
    assert found["auroc"] == pytest.approx(np.mean(ranks))
    assert found["cross_entropy"] == pytest.approx(cross, rel=1e-5)
    assert found["perplexity"] == pytest.approx(math.exp(cross), rel=1e-5)
    if top:
        second = np.argsort(-chances, 1)[:, :2]
        assert found["top_2"] == pytest.approx(np.mean((second == y[:, None]).any(1)))


def test_metrics_of_numbers_are_in_the_units_of_the_target(tmp_path):
    task = numbered(tmp_path, metrics=NUMBERS)
    outputs, batch = outputs_for(task)
    found = measured(task, outputs, batch)
    deviation, mean = task.target_deviation[0], task.target_mean[0]
    said = outputs[:, 0].double().numpy() * deviation + mean
    y = batch.y[:, 0].double().numpy() * deviation + mean
    assert found["mse"] == pytest.approx(np.mean((said - y) ** 2) / deviation**2, rel=1e-5)
    assert found["mae"] == pytest.approx(np.mean(np.abs(said - y)), rel=1e-5)
    assert found["rmse"] == pytest.approx(math.sqrt(np.mean((said - y) ** 2)), rel=1e-5)
    assert found["r2"] == pytest.approx(1 - np.mean((said - y) ** 2) / np.var(y), rel=1e-5)
    share = np.abs(said - y) / (np.abs(said) + np.abs(y))
    assert found["smape"] == pytest.approx(200 * share.mean(), rel=1e-5)
    texts = {one["name"]: one["text"] for one in task.facts.metrics}
    assert texts["mae"].endswith("in the target's units")


def test_errors_of_several_targets_have_no_common_unit(tmp_path):
    y = np.random.default_rng(3).normal(size=(120, 2)) * [1.0, 1000.0]
    task = numbered(tmp_path, y, metrics=["mae", "rmse"])
    outputs, batch = outputs_for(task)
    found, off = measured(task, outputs, batch), (outputs - batch.y).double()
    assert found["mae"] == pytest.approx(float(off.abs().mean()), rel=1e-5)
    rmse = float(off.square().mean(0).sqrt().mean())
    assert found["rmse"] == pytest.approx(rmse, rel=1e-5)
    assert all(one["text"].endswith(", standardised") for one in task.facts.metrics)


def test_mase_divides_by_the_seasonal_naive_error_in_training(tmp_path):
    task, values = walk(tmp_path, metrics=["mase"])
    outputs, batch = outputs_for(task)
    said = outputs[:, 0].double().numpy() * task.target_deviation[0] + task.target_mean[0]
    y = batch.y[:, 0].double().numpy() * task.target_deviation[0] + task.target_mean[0]
    train = values[: 300 - 120]  # two parts of 60 rows follow
    asked = np.arange(5, len(train))  # behind the first window of 4 rows and a horizon of 2
    naive = np.mean(np.abs(train[asked] - train[asked - 3]))
    assert measured(task, outputs, batch)["mase"] == pytest.approx(
        np.mean(np.abs(said - y)) / naive, rel=1e-5
    )


def test_guesses_of_a_forecast_are_its_rules(tmp_path):
    task, _ = walk(tmp_path, metrics=["mse"])
    rules = {name: error / task.target_deviation[0] ** 2 for name, error in task.data.rules.items()}
    assert set(rules) == {"persistence", "seasonal naive"}
    assert task.facts.baseline == pytest.approx(min(rules.values()), rel=1e-5)
    assert task.facts.solved == pytest.approx(0.99 * task.facts.baseline)


def test_guesses_belong_to_the_examples_also_by_group(tmp_path):
    rng = np.random.default_rng(4)
    frame = pd.DataFrame(
        {
            "id": np.repeat([f"s{n}" for n in range(9)], 30),
            "label": rng.normal(size=270).cumsum() + np.repeat(rng.normal(size=9) * 50, 30),
        }
    )
    settings = {"kind": "forecast", "series": "id", "group": "id", "split": "group"}
    task = csv(tmp_path, frame, **settings, metrics=["mse"])
    error = task.data.rules["persistence"] / task.target_deviation[0] ** 2
    assert task.guesses["mse"] == pytest.approx(error, rel=1e-4)


def test_guesses_are_the_same_where_windows_are_views(tmp_path, monkeypatch):
    settings = {"metrics": ["mase", "mse"]}
    copied, _ = walk(tmp_path, **settings)
    monkeypatch.setattr(windows, "COPIED", 0)
    views, _ = walk(tmp_path, **settings)
    assert copied.windows is None
    assert views.windows is not None
    assert views.guesses == pytest.approx(copied.guesses, rel=1e-4)


@pytest.mark.parametrize("relative", [True, False])
def test_guesses_of_a_real_series_are_its_rules(relative):
    own = {key: SPLIT[key] for key in SPLIT if key not in ("split", "split_seed", "metrics")}
    series = {"series": "sunspots", "window": 22, "horizon": 3, "season": 11}
    task = Forecast(**own, **series, relative=relative, differences=False, metrics=["mse", "mase"])
    task.load()
    rules = [error / task.target_deviation[0] ** 2 for error in task.data.rules.values()]
    constant = float(task.parts["validation"].y.square().mean())
    assert task.guesses["mse"] == pytest.approx(min(constant, *rules), rel=1e-5)
    with pytest.raises(StudyError, match=r"smape is a share of the values.*task.relative=false"):
        Forecast(**own, **series, relative=True, differences=False, metrics=["smape"]).load()


@pytest.mark.parametrize(
    ("name", "guess", "perfect"), [("balanced_accuracy", 0.5, 1.0), ("auroc", 0.5, 1.0)]
)
def test_the_rule_lies_halfway_from_a_constant_to_perfect(tmp_path, name, guess, perfect):
    facts = labelled(tmp_path, (0.95, 0.05), metrics=[name]).facts
    assert facts.baseline == guess
    assert facts.solved == (guess + perfect) / 2
    assert facts.higher_is_better
    assert facts.metric == facts.metrics[0]["text"]


def test_perplexity_is_better_when_lower(tmp_path):
    facts = labelled(tmp_path, (0.5, 0.5), metrics=["perplexity"]).facts
    assert not facts.higher_is_better
    assert facts.baseline == pytest.approx(2.0)
    assert facts.solved == pytest.approx(1.5)


def test_a_rule_beyond_perfect_is_told(tmp_path):
    task = labelled(tmp_path, metrics=["perplexity"], solved=0.95)
    (text,) = task.facts.warnings
    assert "task.solved=0.95 cannot be met: a perfect score is 1" in text


# --- a score of a whole split ---------------------------------------------------------------------


def evaluated(task, outputs):
    batch = task.split("test")
    many = Batch(batch.x[None], batch.y.expand(len(outputs), *batch.y.shape), None)
    metric = task.metric(outputs, many).double()
    return Evaluated(task, batch, loss=metric.mean(1), metric=metric, outputs=outputs)


def test_a_score_over_a_split_is_not_the_mean_over_examples(tmp_path):
    task = labelled(tmp_path, (0.7, 0.3), metrics=["balanced_accuracy", "accuracy"])
    outputs = torch.stack([outputs_for(task, seed)[0] for seed in range(3)])
    found = evaluated(task, outputs)
    assert not found.by_example
    for member in range(3):
        by_hand = measured(task, outputs[member], found.examples)
        assert float(found.score[member]) == pytest.approx(by_hand["balanced_accuracy"])
        assert float(found.every()["accuracy"][member]) == pytest.approx(by_hand["accuracy"])
        assert float(found.metric[member].mean()) == pytest.approx(by_hand["accuracy"])


def test_the_error_by_bootstrap_is_that_over_examples_where_there_is_one(tmp_path):
    """The root mean squared error is a function of a mean: the delta method has its error."""
    task = numbered(tmp_path, metrics=["rmse"])
    outputs = outputs_for(task)[0][None]
    found = evaluated(task, outputs)
    squares = found.metric[0] * task.target_deviation[0] ** 2
    delta = float(squares.std() / math.sqrt(len(squares)) / (2 * squares.mean().sqrt()))
    assert float(found.error[0]) == pytest.approx(delta, rel=0.25)


def test_draws_without_a_class_are_left_out_of_the_error(tmp_path):
    y = np.concatenate([np.tile(["a", "b"], 40), np.repeat(["a", "b"], [38, 2])])
    x = np.random.default_rng(0).normal(size=(120, 5, 1))
    task = npz(tmp_path, {**FILE, "metrics": ["auroc"]}, x=x, y=y, parts=PARTS)
    outputs = torch.stack([outputs_for(task)[0]] * 2)
    outputs[1, 0] = math.nan  # a network that has no score in most draws
    error = evaluated(task, outputs).error
    assert 0 < float(error[0]) < 0.5
    assert bool(error[1].isnan())


def test_outputs_that_are_not_finite_have_no_score(tmp_path):
    task = labelled(tmp_path, metrics=["auroc", "f1_macro"])
    outputs = torch.stack([outputs_for(task)[0]] * 2)
    outputs[1, 3, 0] = math.nan
    found = evaluated(task, outputs)
    assert bool(found.score[0].isfinite())
    assert bool(found.score[1].isnan())
    assert bool(found.every()["f1_macro"][1].isnan())


def test_without_metrics_nothing_is_kept_beside_the_score(tmp_path):
    task = labelled(tmp_path)
    assert task.facts.metrics == []
    assert task.facts.metric == "accuracy"


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"metrics": ["f1"]}, r"metrics must be a list of names.*accuracy, .*'f1'"),
        ({"metrics": ["mae"]}, r"metrics must be .*kind classification"),
        ({"metrics": []}, r"metrics must be a list"),
        ({"metrics": ["auroc", "auroc"]}, r"each once"),
        ({"metrics": ["top_1"]}, r"top_2, top_3"),
        ({"metrics": ["top_2"]}, r"top_2 is 1 whatever the answer: there are 2 classes"),
        ({"quantiles": [0.5]}, r"quantiles must be .*for numbers"),
        ({"class_weights": {"a": 1.0}}, r"class_weights: mine.npz has a class 'b' too"),
        ({"class_weights": {"a": 1.0, "b": 1.0, "c": 2.0}}, r"has no class 'c'.* a, b"),
        ({"class_weights": {"a": 0.0, "b": 1.0}}, r"a weight above 0 by class"),
    ],
)
def test_what_does_not_fit_classes_is_one_clear_error(tmp_path, settings, words):
    with pytest.raises((ValueError, StudyError), match=words):
        labelled(tmp_path, **settings)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"metrics": ["auroc"]}, r"metrics must be .*mse, mae.*kind regression"),
        ({"metrics": ["mase"]}, r"mase compares with the naive forecast; this task is none"),
        ({"metrics": ["pinball"]}, r"metrics must be"),
        ({"quantiles": [0.9, 0.1]}, r"quantiles must be a rising list"),
        ({"quantiles": [0.1, 1.0]}, r"between 0 and 1"),
        ({"quantiles": []}, r"quantiles must be"),
        ({"quantiles": [0.1, 0.9], "metrics": ["mae"]}, r"metrics must be .* of pinball"),
        ({"class_weights": "balanced"}, r"class_weights must be null for task.kind=regression"),
    ],
)
def test_what_does_not_fit_numbers_is_one_clear_error(tmp_path, settings, words):
    with pytest.raises((ValueError, StudyError), match=words):
        numbered(tmp_path, **settings)


def test_auroc_needs_every_class_where_it_is_measured(tmp_path):
    y = np.concatenate([np.tile(["a", "b"], 20), np.tile(["a", "b"], 20), np.repeat("a", 40)])
    x = np.random.default_rng(0).normal(size=(120, 5, 1))
    with pytest.raises(StudyError, match="auroc needs every class in validation and in test"):
        npz(tmp_path, {**FILE, "metrics": ["auroc"]}, x=x, y=y, parts=PARTS)


def test_mistakes_in_a_configuration_name_the_key(tmp_path):
    labelled(tmp_path)
    node = {"_target_": "study.tasks.npz.Npz", "path": str(tmp_path / "mine.npz"), **SPLIT, **FILE}
    node |= {"kind": "classification"}
    with pytest.raises(StudyError, match=r"^task: npz: metrics must be a list of names"):
        load_task({**node, "metrics": ["nonsense"]})
    with pytest.raises(StudyError, match=r"^task: metrics must be a list, each text or null"):
        load_task({**node, "metrics": "auroc"})


# --- class weights --------------------------------------------------------------------------------


def test_balanced_weights_give_each_class_the_same_share_of_the_loss(tmp_path):
    task = labelled(tmp_path, (0.75, 0.25), class_weights="balanced")
    weights = task.scoring.weights
    assert weights.tolist() == pytest.approx([2 / 3, 2.0])
    assert task.facts.baseline_loss == pytest.approx(math.log(2))  # both classes are as heavy
    check_task(task)


def test_weights_change_the_loss_and_no_score(tmp_path):
    plain, heavy = (
        labelled(tmp_path, class_weights=weights) for weights in (None, {"a": 1.0, "b": 9.0})
    )
    outputs, batch = outputs_for(plain)
    one = Batch(batch.x[None], batch.y[None], None)
    losses = [task.step_loss(outputs[None], one, batch.y)[0] for task in (plain, heavy)]
    ratio = (losses[1] / losses[0])[batch.y == 1] / (losses[1] / losses[0])[batch.y == 0][0]
    assert ratio.tolist() == pytest.approx([9.0] * len(ratio), rel=1e-5)
    assert torch.equal(plain.metric(outputs[None], one), heavy.metric(outputs[None], one))
    counts = torch.bincount(heavy.parts["train"].y)
    assert float((heavy.scoring.weights * counts).sum() / counts.sum()) == pytest.approx(1.0)


def test_the_loss_of_a_constant_guess_is_the_weighted_baseline(tmp_path):
    task = labelled(tmp_path, (0.8, 0.2), class_weights={"a": 1.0, "b": 3.0})
    train = task.parts["train"]
    shares = torch.bincount(train.y) * task.scoring.weights / len(train.y)
    constant = shares.log().float().expand(1, len(train.y), 2)
    loss = float(task.loss(constant, Batch(train.x[None], train.y[None], None)))
    assert task.facts.baseline_loss == pytest.approx(loss, rel=1e-5)


# --- quantiles ------------------------------------------------------------------------------------


def test_the_loss_of_quantiles_is_scikit_learns(tmp_path):
    quantiles = [0.1, 0.5, 0.9]
    task = numbered(tmp_path, quantiles=quantiles)
    outputs, batch = outputs_for(task)
    assert outputs.shape[-1] == 3
    by_hand = np.mean(
        [
            sk.mean_pinball_loss(batch.y.numpy(), outputs[:, n].numpy(), alpha=alpha)
            for n, alpha in enumerate(quantiles)
        ]
    )
    one = Batch(batch.x[None], batch.y[None], None)
    assert float(task.loss(outputs[None], one)) == pytest.approx(by_hand, rel=1e-5)
    assert measured(task, outputs, batch)["pinball"] == pytest.approx(by_hand, rel=1e-5)
    assert task.facts.metric == task.facts.loss == "mean pinball loss, standardised"
    assert task.signature()["output"]["quantiles"] == quantiles
    assert len(task.signature()["output"]["mean"]) == 3
    check_task(task)


def test_coverage_and_crossing_are_counted(tmp_path):
    task = numbered(tmp_path, quantiles=[0.1, 0.5, 0.9])
    batch = task.split("test")
    y = batch.y[:, 0]
    far = torch.stack([y - 1, y, y + 1], -1)
    far[:10, 0] = y[:10] + 0.5  # above its target, and above the median: these cross
    found = measured(task, far, batch)
    assert found["coverage_0.1"] == pytest.approx(10 / 40)
    assert found["coverage_0.9"] == 1.0
    assert found["coverage_0.1_to_0.9"] == pytest.approx(30 / 40)
    assert found["crossing"] == pytest.approx(10 / 40)
    perfect = {one["name"]: one["perfect"] for one in task.facts.metrics}
    assert perfect["coverage_0.1_to_0.9"] == pytest.approx(0.8)


def test_quantiles_of_two_targets_lie_side_by_side(tmp_path):
    y = np.random.default_rng(5).normal(size=(120, 2)) * [1.0, 10.0]
    task = numbered(tmp_path, y, quantiles=[0.25, 0.75])
    assert task.facts.outputs == 4
    batch = task.split("test")
    split = batch.y[..., None] + torch.tensor([-1.0, 1.0])
    found = measured(task, split.flatten(1), batch)
    assert found["coverage_0.25"] == 0.0
    assert found["coverage_0.75"] == 1.0
    deviations = task.signature()["output"]["deviation"]
    assert deviations == pytest.approx(np.repeat(task.target_deviation, 2).tolist())


def test_the_constant_guess_of_quantiles_covers_what_it_says(tmp_path):
    task = numbered(tmp_path, np.random.default_rng(6).normal(size=120), quantiles=[0.2, 0.8])
    constant = task.scoring.constant(task.parts["train"].y)
    y = task.parts["train"].y[:, 0]
    assert float((y <= constant[0]).double().mean()) == pytest.approx(0.2, abs=0.03)
    assert float((y <= constant[1]).double().mean()) == pytest.approx(0.8, abs=0.03)
    assert task.facts.baseline == pytest.approx(task.facts.baseline_loss)
    assert task.facts.solved == pytest.approx(task.facts.baseline / 2)


def test_errors_of_a_quantile_forecast_are_those_of_the_median(tmp_path):
    task, _ = walk(tmp_path, quantiles=[0.1, 0.5, 0.9], metrics=["mae", "pinball"])
    outputs, batch = outputs_for(task)
    off = (outputs[:, 1] - batch.y[:, 0]).abs().mean() * task.target_deviation[0]
    assert measured(task, outputs, batch)["mae"] == pytest.approx(float(off), rel=1e-5)


# --- ids ------------------------------------------------------------------------------------------


def test_ids_stay_where_nothing_is_asked_for_and_change_where_something_is():
    base = {"stop": {"solved_checks": None}, "cell": {}}
    facts = {"data_hash": "0", "kernel": "fused", "device_type": "cpu"}
    facts["later"] = {"task": Npz.later}
    before = {"_target_": "study.tasks.npz.Npz", "path": "x", "kind": "classification"}

    def id_of(**changes):
        return identity({**base, "task": {**before, **changes}}, **facts)

    assert id_of(**Npz.later) == id_of()
    others = ({"metrics": ["auroc"]}, {"metrics": ["f1_macro"]}, {"class_weights": "balanced"})
    assert len({id_of(**Npz.later), *(id_of(**{**Npz.later, **one}) for one in others)}) == 4
