"""Searches carried out: with known answers (no training), and with the engine."""

from __future__ import annotations

import math

import optuna
import pytest
import yaml
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path
from hydra.types import RunMode
from optuna.trial import TrialState

from study.config.compose import compose_all, read_sweep
from study.config.paths import conf_folder
from study.launch.plan import make_plan
from study.records import SEARCH_TABLES
from study.search import liveness
from study.search.arms import open_arms
from study.search.findings import summary, tables
from study.search.importance import importance
from study.search.objectives import Objective
from study.search.run import best_trials, finish, recorded, send_to_trackers
from study.search.slots import EXAMPLES
from study.search.spec import trial_name, trial_request
from study.search.storage import open_storage
from study.search.worker import Worker
from study.store import Store
from tests.search.helpers import SMALL, plan, searched
from tests.support.helpers import run

BOWL = ["search=default", "search/objective=bowl", "task.form=row"]


def settings_of(slots):
    return [[slot.counted.user_attrs["setting"] for slot in of.slots()] for of in slots]


def scores(of):
    return [slot.counted.value for slot in of.slots() if slot.counted.state == TrialState.COMPLETE]


@pytest.mark.parametrize("pruner", ["none", "median", "hyperband"])
@pytest.mark.parametrize("sampler", ["tpe", "random", "gp", "cmaes", "nsga2", "grid", "qmc"])
def test_every_sampler_and_pruner_spends_the_budget(tmp_path, sampler, pruner):
    further = ["optimizer.lr=choice(0.001,0.006,0.03)"] if sampler == "grid" else []
    spec, _ = plan(
        tmp_path,
        *BOWL,
        f"search/sampler={sampler}",
        f"search/pruner={pruner}",
        "search.trials=9",
        "search.budget=trials",
        *further,
    )
    slots, _ = searched(spec)
    counted = [slot.counted for slot in slots[0].slots()]
    assert len(counted) == 9
    assert all(trial.state in (TrialState.COMPLETE, TrialState.PRUNED) for trial in counted)
    assert counted[0].user_attrs["setting"] == spec.arms[0].default
    assert len({str(one) for one in settings_of(slots)[0]}) > 6
    if pruner == "none":
        assert all(trial.state == TrialState.COMPLETE for trial in counted)


def test_a_grid_smaller_than_the_budget_is_the_budget(tmp_path):
    spec, _ = plan(
        tmp_path,
        "search=lr",
        *BOWL[1:],
        "search/sampler=grid",
        "optimizer.lr=choice(0.001,0.004,0.03)",
        "search.trials=50",
    )
    slots, _ = searched(spec)
    assert sorted(one["optimizer.lr"] for one in settings_of(slots)[0]) == [0.001, 0.004, 0.03]


def test_one_worker_draws_the_same_settings_however_often_it_is_started(tmp_path):
    at_once, _ = plan(tmp_path / "once", *BOWL, "search.trials=12")
    steps, _ = plan(tmp_path / "steps", *BOWL, "search.trials=12")
    whole, _ = searched(at_once)
    for trials in (3, 7, 12):
        part, _ = plan(tmp_path / "steps", *BOWL, f"search.trials={trials}")
        slots, said = searched(part)
        assert len(slots[0].slots()) == trials
    assert settings_of(slots) == settings_of(whole)
    # the last start added what was missing, and nothing else
    assert [event["event"] for event in said].count("stored") == 5
    other, _ = plan(tmp_path / "other", *BOWL, "search.trials=12", "search.seed=1")
    assert settings_of(searched(other)[0])[0][1:] != settings_of(whole)[0][1:]
    assert steps.arms[0].name == at_once.arms[0].name


def test_every_arm_gets_the_same_budget_and_its_default_first(tmp_path):
    spec, _ = plan(
        tmp_path, *BOWL, "cell=rnn,gru", "initializer=orthogonal,normal", "search.trials=5"
    )
    slots, _ = searched(spec)
    found = summary(spec, slots)
    assert found["complete"]
    assert [arm["trials"] for arm in found["arms"]] == [5] * 4
    assert len({arm["examples"] for arm in found["arms"]}) == 1
    assert all(arm["examples"] == arm["examples_budget"] for arm in found["arms"])
    assert all(arm["best"]["score"] >= arm["default"]["score"] for arm in found["arms"])
    assert [one[0] for one in settings_of(slots)] == [dict(arm.default) for arm in spec.arms]


def test_pruned_examples_buy_further_trials_until_the_budget_in_examples_is_spent(tmp_path):
    arguments = [*BOWL, "search/pruner=median", "search/sampler=random", "search.trials=16"]
    spec, _ = plan(tmp_path / "examples", *arguments)
    spent = summary(spec, searched(spec)[0])["arms"][0]
    saved, _ = plan(tmp_path / "trials", *arguments, "search.budget=trials")
    kept = summary(saved, searched(saved)[0])["arms"][0]
    assert kept["trials"] == 16
    assert spent["trials"] > 16
    assert kept["examples"] < spent["examples"] <= spent["examples_budget"]
    assert spent["examples_budget"] - spent["examples"] < spec.arms[0].examples


class Raises(Objective):
    """Every other trial raises once; `fatal` settings always do."""

    def __init__(self, *, fatal: float) -> None:
        self.fatal, self.seen = fatal, set()

    def higher_is_better(self, config):
        return True

    def run(self, trials, device, hear, wanted):
        from study.search.synthetic import Bowl

        for trial in trials:
            rate = trial.points[0].config["optimizer"]["lr"]
            if rate > self.fatal or (
                trial.name not in self.seen and trial.name.endswith(("1", "3", "5"))
            ):
                self.seen.add(trial.name)
                raise RuntimeError("out of luck")
        return Bowl(
            lr=0.006, hidden=48, batch=32, layer=0.05, rate=4.0, noise=0.0, seconds=0.0
        ).run(trials, device, hear, wanted)


@pytest.mark.parametrize(("fatal", "finished"), [(1.0, 8), (0.004, None)])
def test_a_trial_that_raises_is_tried_again_and_given_up_in_the_end(tmp_path, fatal, finished):
    objective = f"search.objective={{_target_:tests.search.test_searching.Raises,fatal:{fatal}}}"
    spec, _ = plan(
        tmp_path,
        "search=lr",
        "search/objective=validation",
        "task.form=row",
        "search.trials=8",
        "search.together=1",
        "search.retries=1",
        f"++{objective}",
    )
    slots, said = searched(spec)
    found = slots[0].slots()
    assert slots[0].over()
    failed = [slot for slot in found if slot.counted is None]
    if finished is not None:
        assert failed == []
        assert sum(bool(slot.failures) for slot in found) == 3
    else:
        assert 0 < len(failed) < 8
    assert all(len(slot.failures) == 2 for slot in failed)
    assert any("RuntimeError: out of luck" in event.get("reason", "") for event in said)
    told = summary(spec, slots)["arms"][0]
    assert (told["trials"], told["failed"]) == (8 - len(failed), len(failed))


def test_a_silent_workers_trial_is_tried_again_and_dropped_should_it_come_back(
    tmp_path, monkeypatch
):
    """A worker of another machine: nothing is known of it but its beats.

    What it trains together with the lost one counts all the same.
    """
    spec, _ = plan(tmp_path, "search=lr", *BOWL[1:], "search.trials=2")
    storage = open_storage(spec.settings.storage, spec.search_folder)
    slots = open_arms(spec, storage)
    slots[0].fill()
    said: list[dict] = []
    elsewhere = Worker(spec, storage, "cpu", said.append)
    elsewhere.worker_id = {**elsewhere.worker_id, "machine": "elsewhere"}
    silent = elsewhere.claim()
    assert [one.slot for one in silent] == [0, 1]
    told: list[dict] = []
    one, now = Worker(spec, storage, "cpu", told.append), [0.0]
    with monkeypatch.context() as patched:
        patched.setattr(liveness.time, "monotonic", lambda: now[0])
        assert not one.rescue()
        storage.set_trial_user_attr(silent[1].trial._trial_id, liveness.BEAT, 1)
        now[0] = 4 * spec.settings.heartbeat + 1
        assert one.rescue()
    one.run(one.claim())
    assert [event["event"] for event in told] == ["lost", "started", "stored"]
    assert "no sign of its worker" in next(
        event["reason"] for event in told if event["event"] == "lost"
    )
    elsewhere.run(silent)
    assert [event["event"] for event in said] == ["started", "started", "dropped", "stored"]
    one.work()
    found = slots[0].slots()
    assert [len(slot.failures) for slot in found] == [1, 0]
    assert sum(trial.state == TrialState.COMPLETE for trial in slots[0].trials()) == 2
    assert found[0].counted.params == found[0].failures[0].params


def test_trackers_hear_of_every_trial_and_of_the_best_as_it_changes(tmp_path):
    spec, request = plan(tmp_path, "search=lr", *SMALL, "search.trials=3")
    slots, _ = searched(spec)
    found = finish(spec, request, slots, title=None, question=None)
    store = Store(spec.search_folder)
    (store.points_folder / "of_another_search-0000").mkdir()
    (store.points_folder / "of_another_search-0000" / "result.json").write_text("{}")
    heard: dict[str, list[str]] = {}

    class Heard:
        def send(self, store, ids, tags):
            heard.update({store.result(id)["id"]: tags for id in ids})

    def marked(summary):
        heard.clear()
        send_to_trackers(Heard(), store, recorded(spec, store), marked=best_trials(summary))
        assert sorted(heard) == [trial_name("all", slot) for slot in range(3)]
        assert all(tags[0] == "search" for tags in heard.values())
        return [int(name.rpartition("-")[2]) for name, tags in heard.items() if "best" in tags]

    assert marked(found) == [found["arms"][0]["best"]["trial"]]
    other = (found["arms"][0]["best"]["trial"] + 1) % 3
    assert marked({**found, "arms": [{**found["arms"][0], "best": {"trial": other}}]}) == [other]
    assert marked({**found, "complete": False}) == marked(None) == []


def test_several_objectives_have_a_front_and_the_best_score_is_taken(tmp_path):
    spec, _ = plan(tmp_path, "search=pareto", *BOWL[1:], "search.trials=15")
    slots, _ = searched(spec)
    assert spec.directions == ["maximize", "maximize", "minimize"]
    rows = tables(spec, slots)["trials"]
    front = [index for index, on in enumerate(rows["front"]) if on]
    for index in range(15):
        beaten = any(
            rows["score"][other] >= rows["score"][index]
            and rows["health"][other] >= rows["health"][index]
            and rows["cost"][other] <= rows["cost"][index]
            and (rows["score"][other], rows["health"][other], rows["cost"][other])
            != (rows["score"][index], rows["health"][index], rows["cost"][index])
            for other in range(15)
        )
        assert (index in front) != beaten
    assert rows["best"].index(True) in front
    assert rows["score"][rows["best"].index(True)] == max(rows["score"])


def test_importance_of_keys_that_act_only_together_is_their_pairs():
    """score = sign(a)·sign(b): neither says anything alone (Hutter 2014: main effects 0, the
    interaction all). Optuna 5's own default cannot tell.
    """
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(
        lambda trial: (
            math.copysign(1, trial.suggest_float("a", -1, 1) * trial.suggest_float("b", -1, 1))
            + 0 * trial.suggest_float("c", 0, 1)
        ),
        n_trials=300,
    )
    share = {
        (row["key"], row["other"]): row["share"] for row in importance(study, ["a", "b", "c"], 0)
    }
    assert share["a", "b"] > 0.7
    assert (
        max(share["a", None], share["b", None], share["c", None], share["a", "c"], share["b", "c"])
        < 0.15
    )


def test_importance_is_fanovas(monkeypatch):
    """By name: the shares are those of this evaluator, unscaled, and of no other."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    study.optimize(
        lambda trial: (
            (trial.suggest_float("a", 0, 1) - 0.3) ** 2 + 0.2 * trial.suggest_float("b", 0, 1)
        ),
        n_trials=40,
    )
    found = {
        row["key"]: row["share"] for row in importance(study, ["a", "b"], 0) if row["other"] is None
    }
    assert found == pytest.approx(
        dict(optuna.importance.FanovaImportanceEvaluator(seed=0).evaluate(study, params=["a", "b"]))
    )
    other = optuna.importance.get_param_importances(
        study, evaluator=optuna.importance.PedAnovaImportanceEvaluator()
    )
    assert found != pytest.approx(dict(other), abs=0.02)


def test_importance_finds_what_the_score_depends_on(tmp_path):
    spec, _ = plan(
        tmp_path,
        *BOWL,
        "search/sampler=random",
        "search.trials=60",
        "depth=1",
        "batch=64",
        "search.objective.hidden=40",
    )
    slots, _ = searched(spec)
    rows = tables(spec, slots)["importance"]
    share = {
        (key, other): value
        for key, other, value in zip(rows["key"], rows["other"], rows["share"], strict=True)
    }
    assert share["optimizer.lr", None] > 0.6
    assert share["hidden", None] < 0.3
    assert share["hidden", "optimizer.lr"] < 0.3
    # of two keys, main effects and their interaction are everything
    assert 0.9 < sum(share.values()) < 1.1
    assert set(rows) == {column.name for column in SEARCH_TABLES["importance"]}


# --- through the engine ---------------------------------------------------------------------------


def test_a_trial_is_the_point_of_a_study_with_the_same_settings(tmp_path):
    """The score of a trial is the best validation metric of the very point, bit for bit, whoever it
    is trained with.
    """
    spec, _ = plan(tmp_path, "search=lr", *SMALL, "search.trials=5", "search.together=4")
    slots, _ = searched(spec)
    for slot in slots[0].slots():
        point = trial_request(
            spec, spec.arms[0], slot.number, slot.counted.user_attrs["setting"]
        ).points[0]
        run([point], tmp_path / "study")
        row = Store(tmp_path / "study").result(point.id)["row"]
        assert slot.counted.value == row["val_score"]
        trial = Store(spec.search_folder).result(trial_name("all", slot.number))
        assert trial["row"]["val_score"] == row["val_score"]
        assert trial["row"].get("score") is None
        history = Store(spec.search_folder).table("history", [trial["id"]])
        assert (
            history["loss"].dropna().tolist()
            == Store(tmp_path / "study").table("history", [point.id])["loss"].dropna().tolist()
        )


def test_replicates_are_one_group_and_their_mean_counts(tmp_path):
    spec, _ = plan(tmp_path, "search=lr", *SMALL, "search.trials=3", "search.replicates=3")
    slots, _ = searched(spec)
    for slot in slots[0].slots():
        trial = slot.counted
        assert len(trial.user_attrs["scores"]) == 3
        assert trial.value == pytest.approx(sum(trial.user_attrs["scores"]) / 3)
        assert trial.user_attrs[EXAMPLES] == 3 * spec.arms[0].examples
        points = trial_request(spec, spec.arms[0], slot.number, trial.user_attrs["setting"]).points
        assert [point.seed for point in points] == [1000, 1001, 1002]
        run(points, tmp_path / "study")
        assert trial.user_attrs["scores"] == [
            Store(tmp_path / "study").result(point.id)["row"]["val_score"] for point in points
        ]


def test_a_pruned_trial_leaves_its_group_and_the_others_end_as_alone(tmp_path):
    small = [
        *SMALL,
        "updates=24",
        "optimizer.lr=tag(log,interval(1e-6,1e-1))",
        "search/sampler=random",
        "search.trials=10",
        "search.budget=trials",
    ]
    pruned, _ = plan(
        tmp_path / "pruned",
        "search=lr",
        *small,
        "search/pruner=median",
        "search.pruner.n_startup_trials=2",
        "search.pruner.n_warmup_steps=1",
        "search.together=5",
    )
    plain, _ = plan(tmp_path / "plain", "search=lr", *small, "search.together=1")
    with_pruner, _ = searched(pruned)
    without, _ = searched(plain)
    states = [slot.counted.state for slot in with_pruner[0].slots()]
    assert TrialState.PRUNED in states and TrialState.COMPLETE in states
    assert settings_of(with_pruner) == settings_of(without)
    for one, other in zip(with_pruner[0].slots(), without[0].slots(), strict=True):
        if one.counted.state == TrialState.COMPLETE:
            assert one.counted.value == other.counted.value
            assert one.counted.intermediate_values == other.counted.intermediate_values
        else:
            assert one.counted.user_attrs[EXAMPLES] < pruned.arms[0].examples
            for step, value in one.counted.intermediate_values.items():
                assert other.counted.intermediate_values[step] == value
            record = Store(pruned.search_folder).result(trial_name("all", one.number))["row"]
            assert record["status"] == "pruned"
            assert record["updates_done"] * 16 == one.counted.user_attrs[EXAMPLES]


def test_health_comes_from_the_last_probe(tmp_path):
    spec, _ = plan(
        tmp_path, "search=lr", *SMALL, "search.objectives=[score,health]", "search.trials=2"
    )
    slots, _ = searched(spec)
    for slot in slots[0].slots():
        point = trial_request(
            spec, spec.arms[0], slot.number, slot.counted.user_attrs["setting"]
        ).points[0]
        run([point], tmp_path / "study")
        states = Store(tmp_path / "study").table("states", [point.id])
        last = states[states["layer"] == "network"].iloc[-1]
        assert slot.counted.values[1] == pytest.approx(min(0, last["D"]) - max(0, last["U"]))
        assert math.isfinite(slot.counted.values[1])


# --- the experiment -------------------------------------------------------------------------------


@pytest.mark.parametrize("committed", ["quick", "digits"])
def test_the_tuned_experiment_composes_to_the_settings_that_were_found(tmp_path, committed):
    """Also where a factor of the experiment, such as the depth of digits, is searched."""
    arguments = [
        f"experiment={committed}",
        f"name={committed}",
        "search/objective=bowl",
        "search=default",
        "cell=rnn,gru",
        "initializer=orthogonal",
        "updates=80",
        "optimizer=choice(adam,sgd)",
    ]
    arguments += ["optimizer.lr=0.01", "clip=value", "search.trials=6", "batch=choice(16,32,64)"]
    spec, request = plan(
        tmp_path,
        *arguments,
        params={
            "cell": "rnn,lstm,gru",
            "initializer": "orthogonal,normal",
            "seed": "0,1,2",
            "depth": "1,2",
            "clip": "none,norm",
        },
    )
    slots, _ = searched(spec)
    found = finish(spec, request, slots, title="A title", question="A question?")
    folder = spec.search_folder
    written = yaml.safe_load((folder / "experiment" / f"{committed}_tuned.yaml").read_text())
    # the experiment may have chosen the sweeper of searches
    assert {"override /hydra/sweeper": "study"} in written["defaults"]
    assert written["study"]["search"] == f"../{committed}/search"
    path = create_config_search_path(str(conf_folder().resolve()))
    path.prepend(provider="test", path=f"file://{folder.resolve()}")
    loader = ConfigLoaderImpl(path)
    node = loader.load_configuration(
        "config", [f"experiment={committed}_tuned"], run_mode=RunMode.RUN
    )
    params = dict(node.hydra.sweeper.params)
    of = read_sweep(
        loader, params, [f"experiment={committed}_tuned", f"store.folder={tmp_path / 'out'}"]
    )
    made = make_plan(compose_all(loader, "config", of), of, f"{committed}_tuned")
    assert len(made.points) == 2 * 2 * 3
    assert {point.seed for point in made.points} == {0, 1, 2}
    assert not set(spec.seeds) & {point.seed for point in made.points}
    best = {arm["levels"]["cell"]: arm["best"]["setting"] for arm in found["arms"]}
    for point in made.points:
        config, labels = point.config, point.labels
        assert config["clip"]["_target_"].endswith("Value")
        assert config["updates"] * config["batch"] == 80 * 64
        if labels["tuned"]:
            setting = best[labels["cell"]]
            assert (config["hidden"], config["depth"], config["batch"]) == (
                setting["hidden"],
                setting["depth"],
                setting["batch"],
            )
            assert labels["optimizer"] == setting["optimizer"]
        else:
            assert (config["hidden"], config["depth"], config["batch"], labels["optimizer"]) == (
                32,
                1,
                64,
                "adam",
            )


def test_where_the_default_wins_both_arms_are_run(tmp_path):
    register_of = [
        "cell=rnn",
        "tuned=false,true",
        "seed=0,1",
        "task.form=row",
        "study.arms=[{when:{cell:rnn,tuned:true},set:{hidden:32}}]",
        f"store.folder={tmp_path}",
    ]
    loader = ConfigLoaderImpl(create_config_search_path(str(conf_folder().resolve())))
    of = read_sweep(loader, {}, register_of)
    made = make_plan(compose_all(loader, "config", of), of, None)
    assert len({point.id for point in made.points}) == 4
    assert [(point.labels["tuned"], point.id.endswith("-tuned")) for point in made.points] == [
        (False, False)
    ] * 2 + [(True, True)] * 2


def test_a_worker_that_finds_everything_done_ends(tmp_path):
    spec, _ = plan(tmp_path, *BOWL, "search.trials=2")
    searched(spec)
    storage = open_storage(spec.settings.storage, spec.search_folder)
    open_arms(spec, storage)
    said = []
    Worker(spec, storage, "cpu", said.append).work()
    assert said == []
