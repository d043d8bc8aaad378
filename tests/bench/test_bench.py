"""make bench compares like with like, and one figure that fails loses no other."""

from __future__ import annotations

import inspect
import itertools
import json
import math
import sys
from types import SimpleNamespace

import pytest
import torch

from study.config.tasks import load_task
from study.machine.processes import ENVIRONMENT
from study.numerics.streams import generator
from study.training.loop import train
from study.training.precision import fixed_numerics
from study.training.state import prepare
from tests.bench import __main__ as bench
from tests.bench import commands, cost_a_point, gpu, script
from tests.bench.figure import Goal, NotHere, Row, Value
from tests.bench.structures import bare, shorter, structures

UPDATES = 6


@pytest.fixture(scope="module")
def points():
    """A point of every cell and depth of the default study that torch.nn can compute too."""
    return {
        name: of[0]
        for name, of in structures(
            "digits", 1, "clip=norm", "seed=1", "initializer=xavier_uniform"
        ).items()
    }


@pytest.mark.parametrize("which", ["rnn depth 1", "lstm depth 2"])
def test_the_script_trains_as_we_do(points, which):
    """From our first weights and batches: the same losses, gradient norms and validations, update
    by update.
    """
    (point,) = shorter(bare([points[which]]), UPDATES / points[which].config["updates"])
    point.config["validate_every"] = 4
    with fixed_numerics():
        training = prepare([point], "cpu")
        model = script.Classifier(
            point.labels["cell"], 1, point.config["hidden"], point.config["depth"], 10
        )
        first = {
            name: value[0].detach() for name, value in training.model.named(training.params).items()
        }
        for layer in range(point.config["depth"]):
            for theirs, ours in (
                ("weight_ih", "weight_x"),
                ("weight_hh", "weight_h"),
                ("bias_ih", "bias"),
            ):
                getattr(model.layers, f"{theirs}_l{layer}").data.copy_(
                    first[f"layer{layer + 1}.{ours}"]
                )
            # torch has two biases, each stepped; we have their sum
            getattr(model.layers, f"bias_hh_l{layer}").requires_grad_(False).zero_()
        model.readout.weight.data.copy_(first["readout.weight"])
        model.readout.bias.data.copy_(first["readout.bias"])
        task = load_task(point.config["task"])
        drawn = (
            task.sample(
                lambda *key: generator(point.seed, "data", *key), update, point.config["batch"]
            )
            for update in itertools.count()
        )
        rows: list[dict[str, float]] = []
        _, best = script.fit(
            model,
            ((batch.x, batch.y) for batch in drawn),
            script.data("pixel"),
            UPDATES,
            4,
            0.004,
            1.0,
            lambda row, update: rows.append(row),
        )
        train(training, lambda update: None)
    for number, update in enumerate(rows[:UPDATES]):
        assert update["loss"] == pytest.approx(float(training.losses[number][0]), rel=1e-4)
        assert update["norm"] == pytest.approx(float(training.norms[number][0]), rel=1e-3)
    checked = [
        (update, row["validation_loss"])
        for update, row in enumerate(rows)
        if "validation_loss" in row
    ]
    assert (
        [update for update, _ in checked]
        == [update for update, _, _ in training.validations]
        == [0, 4, 6]
    )
    assert [loss for _, loss in checked] == pytest.approx(
        [float(loss[0]) for _, loss, _ in training.validations], rel=1e-4
    )
    assert best == pytest.approx(float(training.best_score[0]), abs=1 / 360)


def test_the_script_is_given_what_the_default_study_says(points):
    config, defaults = (
        points["lstm depth 1"].config,
        {name: of.default for name, of in inspect.signature(script.run).parameters.items()},
    )
    assert {name: defaults[name] for name in ("hidden", "batch", "updates", "validate_every")} == {
        name: config[name] for name in ("hidden", "batch", "updates", "validate_every")
    }
    assert (config["optimizer"]["lr"], config["clip"]["threshold"], config["task"]["form"]) == (
        0.004,
        1.0,
        defaults["form"],
    )
    parts, task = script.data("pixel"), load_task(config["task"])
    for part in ("train", "validation", "test"):
        assert torch.equal(parts[part][0], task.parts[part].x) and torch.equal(
            parts[part][1], task.parts[part].y
        )
    epoch = list(itertools.islice(script.batches(*parts["train"], 0, 64), 17))
    assert all(len(x) == len(y) == 64 for x, y in epoch)
    numbered = script.batches(torch.arange(100), torch.arange(100), 0, 30)
    assert sorted(torch.cat([next(numbered)[0] for _ in range(10)]).tolist()) == sorted(
        list(range(100)) * 3
    )


@pytest.mark.parametrize("cell", ["rnn", "lstm", "gru"])
def test_the_script_begins_by_the_same_rules(cell):
    torch.manual_seed(0)
    model = script.Classifier(cell, 1, 32, 2, 10)
    script.initialize(model, cell, 32, "orthogonal")
    for name, parameter in model.layers.named_parameters():
        if "weight_hh" in name:
            assert all(
                torch.allclose(block @ block.T, torch.eye(32), atol=1e-5)
                for block in parameter.data.split(32)
            )
        elif "weight" in name:
            fan_in = parameter.shape[1]
            assert float(parameter.data.abs().max()) <= math.sqrt(6 / (32 + fan_in)) and float(
                parameter.data.std()
            ) == pytest.approx(math.sqrt(2 / (32 + fan_in)), rel=0.2)
        else:
            assert parameter.tolist() == [
                float(cell == "lstm" and "bias_ih" in name and 32 <= place < 64)
                for place in range(len(parameter))
            ]


def test_a_share_of_the_points_has_every_cell_and_depth_alike_and_turns_cover_the_whole():
    whole = commands.default_study()
    assert len(whole.points) == 108 and whole.thinned(1, 1) == whole
    for thin, count in ((3, 36), (6, 18), (18, 6), (100, 6)):
        part = whole.thinned(1 / thin, 0).points
        assert len(part) == count and {(point["cell"], point["depth"]) for point in part} == {
            (point["cell"], point["depth"]) for point in whole.points
        }
    seeds = {point["seed"] for turn in range(3) for point in whole.thinned(1 / 3, turn).points}
    assert seeds == {"0", "1", "2"}
    assert [cost_a_point.up_to(points) for points in (50, 100, 5000, 10**6)] == [
        [50],
        [100],
        [100, 1000, 5000],
        [100, 1000, 10000],
    ]
    assert commands.Theirs(seconds=25.0, fixed=4.0, idle=1.0, of=6, whole=18).scaled == 65.0
    assert commands.idle([1.0, 7.0, 10.0], 2) == 1.5 and commands.idle([1.0, 7.0, 10.0], 1) == 0


def test_a_point_by_the_script_is_a_process_that_leaves_all_it_should(monkeypatch):
    monkeypatch.setattr(commands, "cores", lambda: 1)
    work = commands.Work(
        (
            ("cell", ("gru",)),
            ("initializer", ("normal",)),
            ("clip", ("none",)),
            ("depth", ("1",)),
            ("seed", ("0",)),
        ),
        "row",
        updates=2,
        every=1,
    )
    found = commands.theirs("scripts", work, 1, 0)
    assert (found.of, found.whole, found.fixed, found.idle) == (
        1,
        1,
        0.0,
        0.0,
    ) and found.scaled == found.seconds > 0
    monkeypatch.setitem(commands.WAYS, "idle", lambda work, folder: None)
    with pytest.raises(RuntimeError, match="0 results and 0 W&B runs of 1 points"):
        commands.theirs("idle", work, 1, 0)


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)

    def run(*arguments: str) -> tuple[int, dict, str]:
        monkeypatch.setattr(
            sys, "argv", ["bench", *arguments, "--json", str(tmp_path / "b" / "bench.json")]
        )
        status = bench.main()
        return (
            status,
            json.loads((tmp_path / "b" / "bench.json").read_text()),
            capsys.readouterr().out,
        )

    return run


def test_a_figure_that_fails_loses_no_other(run, monkeypatch):
    turns: list[str] = []

    def good(asked, repeat):
        turns.append(f"good {repeat}")
        return {"all": Value.ratio(6.0, 2.0 + repeat, Goal(least=2))}

    def wrong(asked, repeat):
        turns.append(f"wrong {repeat}")
        raise ZeroDivisionError("of nothing")

    def absent(asked, repeat):
        raise NotHere("no such thing here")

    figures = {"good": good, "wrong": wrong, "absent": absent}
    monkeypatch.setattr(
        bench,
        "FIGURES",
        {name: SimpleNamespace(TITLE=name, measure=measure) for name, measure in figures.items()},
    )
    status, kept, table = run("--repeats", "3")
    assert status == 1 and turns == ["good 0", "wrong 0", "good 1", "good 2"]
    row = kept["figures"]["good"]["rows"]["all"]
    assert (row["median"], row["lowest"], row["highest"], row["goal"], row["reached"]) == (
        2.0,
        1.5,
        3.0,
        "≥ 2",
        True,
    )
    assert row["seconds"] == [[6.0, 2.0], [6.0, 3.0], [6.0, 4.0]]
    assert (
        "ZeroDivisionError" in kept["figures"]["wrong"]["failed"]
        and kept["figures"]["absent"]["not measured"] == "no such thing here"
    )
    assert all(word in table for word in ("FAILED", "of nothing", "no such thing here", "yes"))
    lines = bench.markdown(kept).splitlines()
    assert lines[2:] == [
        "| good | all | 2 | 1.500 to 3 | ≥ 2 | yes |",
        "| wrong | not measured: it failed | | | | |",
        "| absent | not measured: no such thing here | | | | |",
    ]
    assert (
        kept["machine"]["cores"] >= 1
        and kept["machine"]["versions"]["torch"] == torch.__version__
        and len(kept["machine"]["load_before"]) == 3
    )
    assert not Row("all", [Value(3.0, "s", Goal(most=2))]).kept(judged=True)["reached"]
    assert Row("all", [Value(3.0, "s", Goal(most=2))]).kept(judged=False)["reached"] is None


def test_a_tiny_share_is_measured_told_and_kept(run, monkeypatch):
    """The GPU's figure too, with the CPU in its place: where there is a GPU it must not fail for
    another reason.
    """
    if not torch.cuda.is_available():
        monkeypatch.setattr(gpu, "DEVICE", "cpu")
        assert "no CUDA GPU" in gpu.ready()
        monkeypatch.setattr(gpu, "ready", lambda: None)
    monkeypatch.setattr(gpu, "SIZES", ("32",))
    status, kept, table = run(
        "one_by_one", "step_by_step", "gpu", "--members", "2", "--share", "0.01", "--repeats", "1"
    )
    assert status == 0
    assert set(kept["figures"]["gpu"]["rows"]) == {
        f"{cell} depth 1, H=32, 2 members" for cell in ("rnn", "lstm", "gru")
    }
    for name in ("one_by_one", "step_by_step"):
        rows = kept["figures"][name]["rows"]
        assert {of.split(",")[0] for of in rows} == {"rnn", "lstm", "gru"} and all(
            row["median"] > 0 and row["reached"] is None for row in rows.values()
        )
        us = [row["seconds"][0][1] for row in rows.values()]
        assert us == [
            row["seconds"][0][1] for row in kept["figures"]["one_by_one"]["rows"].values()
        ], "one measurement of ours serves both"
    assert "torch.nn one by one" in table and str(kept["asked"]["share"]) == "0.01"


@pytest.mark.parametrize("arguments", [["nonsense"], ["--share", "0"], ["--repeats", "0"]])
def test_a_mistake_in_the_command_is_told(run, arguments, capsys):
    with pytest.raises(SystemExit) as error:
        run(*arguments)
    assert error.value.code == 2 and "error" in capsys.readouterr().err
