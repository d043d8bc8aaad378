"""What a search asks for: arms, space, default settings, budgets; everything wrong is told before
anything is written.
"""

from __future__ import annotations

import threading
import time

import optuna
import pytest
import sqlalchemy.exc
from optuna.distributions import IntDistribution

from study.config.settings import settings_of
from study.records import StudyError
from study.search.arms import FINGERPRINT, open_arms
from study.search.planning import default, fingerprint, settings_to_check
from study.search.spec import compose, trial_request
from study.search.storage import open_storage, storage_errors
from tests.search.helpers import SMALL, plan
from tests.support.faults import LOCAL
from tests.support.helpers import launch_config

DIGITS = {
    "cell": "rnn,lstm",
    "initializer": "orthogonal,normal",
    "clip": "none,norm",
    "depth": "1,2",
    "seed": "0,1,2",
}
DEFAULT = ["search=default", "task.form=row"]


def test_factors_are_arms_searched_keys_are_not_and_others_are_held(tmp_path):
    spec, request = plan(tmp_path, *DEFAULT, params=DIGITS)
    assert [arm.name for arm in spec.arms] == [
        f"cell={cell} initializer={rule}"
        for cell in ("rnn", "lstm")
        for rule in ("orthogonal", "normal")
    ]
    assert list(spec.space) == ["hidden", "depth", "batch", "optimizer.lr"]
    assert request.held == ["clip"]
    assert request.seeds == "0,1,2"
    assert all(
        arm.default == {"hidden": 32, "depth": 1, "batch": 64, "optimizer.lr": 0.004}
        and arm.default_inside
        for arm in spec.arms
    )
    assert not set(spec.seeds) & {0, 1, 2}


def test_every_setting_sees_the_same_examples_and_is_validated_as_often(tmp_path):
    spec, _ = plan(tmp_path, *DEFAULT)
    for batch, updates, every in ((32, 800, 50), (64, 400, 25), (128, 200, 12)):
        config = compose(spec, spec.arms[0], {**spec.arms[0].default, "batch": batch}, 0).config
        assert (config["updates"], config["validate_every"]) == (updates, every)
        assert config["updates"] * config["batch"] == spec.arms[0].examples == 25_600
    short, _ = plan(tmp_path, *DEFAULT, "search.examples=6400")
    config = default(short, short.arms[0]).config
    assert (config["updates"], config["validate_every"], short.arms[0].full) == (100, 25, 25_600)


def test_the_command_line_replaces_fixes_and_adds_keys(tmp_path):
    spec, request = plan(
        tmp_path,
        *DEFAULT,
        "hidden=48",
        "batch=choice(16,64)",
        "dropout=interval(0,0.5)",
        "clip=norm",
        "cell=gru",
        params=DIGITS,
    )
    assert list(spec.space) == ["depth", "batch", "optimizer.lr", "dropout"]
    assert spec.space["batch"].choices == (16, 64)
    assert {"hidden=48", "clip=norm"} <= set(request.fixed)
    assert request.held == []
    assert {arm.levels["cell"] for arm in spec.arms} == {"gru"}
    assert default(spec, spec.arms[0]).config["hidden"] == 48


def test_an_experiments_space_replaces_the_searchs_and_the_command_line_replaces_both(tmp_path):
    params = {
        "hidden": "int(interval(4,9))",
        "batch": [8, 16],  # a list is of the study's levels
        "depth": [1, 2],
        "optimizer.lr": 0.002,
        "dropout": "choice(0.1,0.2)",
        "clip.threshold": "1,2",
    }
    spec, request = plan(tmp_path, *DEFAULT, params=params)
    assert spec.space["hidden"] == IntDistribution(4, 9)
    assert spec.space["dropout"].choices == (0.1, 0.2)
    assert spec.space["batch"].choices == (32, 64, 128)
    assert request.replaced == {"batch": "8,16"}
    assert request.held == ["clip.threshold"]
    assert spec.arms[0].default["optimizer.lr"] == 0.002
    typed = ["hidden=range(8,17,8)", "dropout=0"]
    spec, request = plan(tmp_path, *DEFAULT, *typed, params=params)
    assert spec.space["hidden"] == IntDistribution(8, 16, step=8)
    assert "dropout" not in spec.space
    assert request.ranges == {"hidden": "range(8,17,8)"}


def test_a_default_outside_the_space_is_known_to_be(tmp_path):
    spec, _ = plan(tmp_path, *DEFAULT, "hidden=range(8,25,8)")
    assert not spec.arms[0].default_inside
    assert default(spec, spec.arms[0]).config["hidden"] == 32


def test_levels_of_a_group_are_searched_with_their_own_settings(tmp_path):
    spec, _ = plan(
        tmp_path,
        "search=lr",
        "optimizer=choice(adam,sgd)",
        "optimizer.lr=0.01",
        "clip=choice(none,value)",
        "task.form=row",
    )
    assert spec.groups == {"optimizer", "clip"}
    assert not spec.arms[0].default_inside  # clip norm is the default, and not among the choices
    made = [
        compose(spec, spec.arms[0], setting, 0) for setting in settings_to_check(spec, spec.arms[0])
    ]
    assert {one.labels["optimizer"] for one in made} == {"adam", "sgd"}
    assert {one.labels["clip"] for one in made} == {"norm", "none", "value"}


def test_trials_of_one_structure_are_known_to_have_one(tmp_path):
    assert all(
        arm.structure is not None for arm in plan(tmp_path, "search=lr", "task.form=row")[0].arms
    )
    assert all(arm.structure is None for arm in plan(tmp_path, *DEFAULT)[0].arms)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["hidden=32"], "hydra/sweeper=optuna needs a search: search=default"),
        ([*DEFAULT, "hidden=32", "depth=1", "batch=64", "optimizer.lr=0.1"], "the space is empty"),
        ([*DEFAULT, "foo=interval(1,2)"], "foo: there is no such key"),
        ([*DEFAULT, "optimizer.foo=interval(1,2)"], "optimizer.foo: there is no such key"),
        ([*DEFAULT, "weights=choice(1,2)"], "weights: is not a single value"),
        (
            [*DEFAULT, "hidden=int(interval(64,16))"],
            "hidden: the lower bound must not be above the upper one",
        ),
        (
            [*DEFAULT, "optimizer.lr=tag(log,interval(0,1))"],
            "optimizer.lr: a logarithmic scale needs bounds above 0",
        ),
        ([*DEFAULT, "clip=choice(norm,nothere)"], "nothere"),
        (
            [*DEFAULT, "hidden=choice(16,x)"],
            "hidden: Value 'x' of type 'str' could not be converted to Integer",
        ),
        (
            [*DEFAULT, "hidden=range(-8,16,8)"],
            "hidden: must be a whole number of at least 1, got -8",
        ),
        ([*DEFAULT, "optimizer.lr=interval(-1,1)"], "lr must be greater than 0, got -1"),
        ([*DEFAULT, "dropout=interval(0,1.5)"], "dropout: must be at least 0 and below 1, got 1.5"),
        ([*DEFAULT, "batch=choice(0,16)"], "batch: must be a whole number of at least 1, got 0"),
        ([*DEFAULT, "updates=range(1,9)"], "updates: cannot be searched"),
        ([*DEFAULT, "seed=interval(1,9)"], "seed: seeds of the tuned study are listed"),
        ([*DEFAULT, "task=choice(digits,adding)"], "task: cannot be searched"),
        (
            [*DEFAULT, "cell=choice(rnn,gru)", "search.per=[initializer]", "cell.x=choice(1,2)"],
            "cell.x: is a setting of cell, whose level is searched too",
        ),
        ([*DEFAULT, "cell=interval(0,1)"], "cell: is a factor of the search"),
        ([*DEFAULT, "search/sampler=nothere"], "nothere"),
        ([*DEFAULT, "search.sampler=tpe"], "search.sampler: choose one with search/sampler=NAME"),
        (
            [*DEFAULT, "search.sampler._target_=optuna.samplers.Nothing"],
            "optuna.samplers.Nothing cannot be built",
        ),
        ([*DEFAULT, "search.trials=0"], "search.trials: must be at least 1"),
        ([*DEFAULT, "search.trials=x"], "search.trials: must be a whole number, got 'x'"),
        ([*DEFAULT, "+search.trails=3"], "search: unknown key 'trails'"),
        ([*DEFAULT, "search.budget=hours"], "search.budget: must be examples or trials"),
        ([*DEFAULT, "search.objectives=[health]"], "search.objectives: must be score"),
        (
            [*DEFAULT, "search.objectives=[score,cost]", "search/pruner=median"],
            "can only be pruned by one objective",
        ),
        (
            [*DEFAULT, "search.storage=redis://x"],
            "search.storage: must be journal or postgresql://",
        ),
        ([*DEFAULT, "search.per=cell"], "search.per: must be a list"),
        ([*DEFAULT, "search.per=[cell,initialiser]"], "initialiser: there is no such key"),
        (
            ["search=lr", "search/sampler=grid"],
            "optimizer.lr: search/sampler=grid needs a choice or a range",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_wrong_is_told_before_anything_is_written(tmp_path, arguments, told):
    with pytest.raises(StudyError) as error:
        plan(tmp_path, *arguments)
    assert told in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_storage_out_of_reach_is_told_without_its_password(tmp_path, monkeypatch):
    """Before any arm is planned, and by a worker that comes later."""
    address = "postgresql://me:secret@127.0.0.1:1/trials"
    monkeypatch.setattr(
        "study.search.planning.make_arms", lambda *_: pytest.fail("arms were planned first")
    )
    for call in (
        lambda: plan(tmp_path, *DEFAULT, f"search.storage={address}"),
        lambda: open_storage(address, tmp_path),
    ):
        with pytest.raises(StudyError) as error:
            call()
        assert "cannot be reached" in str(error.value)
        assert "refused" in str(error.value)
        assert "secret" not in str(error.value)


def test_a_driver_that_is_missing_is_told_with_its_package(tmp_path):
    with pytest.raises(StudyError, match="the driver of mysql is missing; pip install mysqlclient"):
        plan(tmp_path, *DEFAULT, "search.storage=mysql://me@127.0.0.1/trials")


def test_a_storage_that_goes_away_is_one_message_without_its_password():
    """What SQLAlchemy raises by itself, and as Optuna wraps it."""
    address, words = (
        "postgresql://me:secret@127.0.0.1:1/trials",
        "server closed the connection unexpectedly",
    )
    plain = sqlalchemy.exc.OperationalError(
        "SELECT 1", {}, Exception(f"{words}\n at postgresql://me:secret@127.0.0.1:1")
    )
    wrapped = optuna.exceptions.StorageInternalError("An exception is raised during the commit")
    wrapped.__cause__ = plain
    for error in (plain, wrapped):
        with pytest.raises(StudyError) as told, storage_errors(address):
            raise error
        assert words in str(told.value) and "same command" in str(told.value)
        assert "secret" not in str(told.value)


@pytest.mark.parametrize(
    ("other", "differs"),
    [
        ("hidden=range(16,33,8)", "space hidden: stored 16 to 64, step 8, now 16 to 32, step 8"),
        ("updates=200", "search.examples: stored 25600, now 12800"),
        ("dropout=0.1", "dropout: stored 0.0, now 0.1"),
        ("search.replicates=2", "search.replicates: stored 1, now 2"),
        ("task.form=pixel", "task.form: stored 'row', now 'pixel'"),
    ],
)
def test_a_stored_search_with_other_settings_is_refused_and_left_alone(tmp_path, other, differs):
    spec, _ = plan(tmp_path, "search=default", "task.form=row")
    storage = open_storage(spec.settings.storage, spec.search_folder)
    for of in open_arms(spec, storage):
        of.fill()
    before = (spec.search_folder / "journal.log").read_bytes()
    key = other.split("=")[0]
    changed, _ = plan(
        tmp_path, "search=default", *([] if key == "task.form" else ["task.form=row"]), other
    )
    with pytest.raises(StudyError) as error:
        open_arms(changed, open_storage(changed.settings.storage, changed.search_folder))
    assert differs in str(error.value)
    assert "name=" in str(error.value)
    assert (spec.search_folder / "journal.log").read_bytes() == before


def test_arms_of_other_factors_are_another_search(tmp_path):
    """Or the summary, the tuned study and the trials of the one would take the place of the
    other's.
    """
    both = ["cell=rnn,gru", "initializer=orthogonal,normal"]
    spec, _ = plan(tmp_path, *DEFAULT, *both)
    storage = open_storage("journal", spec.search_folder)
    open_arms(spec, storage)
    before = (spec.search_folder / "journal.log").read_bytes()
    other, _ = plan(tmp_path, *DEFAULT, *both, "search.per=[cell]")
    with pytest.raises(
        StudyError, match=r"with other arms \(factors: stored \[cell, initializer\], now \[cell\]\)"
    ):
        open_arms(other, storage)
    assert (spec.search_folder / "journal.log").read_bytes() == before


def test_a_trial_keeps_its_name_when_further_levels_join(tmp_path):
    """It is the id of its record and of its W&B run."""
    few, _ = plan(tmp_path, *DEFAULT, "cell=gru,lstm")
    more, _ = plan(tmp_path, *DEFAULT, "cell=rnn,lstm,gru")
    names = {
        arm.name: trial_request(spec, arm, 3, arm.default).name
        for spec in (few, more)
        for arm in spec.arms
    }
    assert len(set(names.values())) == len(names) == 3
    assert all(trial_request(few, arm, 3, arm.default).name == names[arm.name] for arm in few.arms)


@pytest.mark.timeout(120)
def test_two_commands_that_begin_together_make_one_search(tmp_path, monkeypatch):
    """Between a study's making and its marking by the one, the other looks: it waits for the mark,
    and not for its patience to end.
    """
    monkeypatch.setattr("study.search.arms.PATIENCE", float("inf"))
    spec, _ = plan(tmp_path, *DEFAULT, *SMALL)
    storage = open_storage("journal", spec.search_folder)
    for arm in spec.arms:
        optuna.create_study(study_name=arm.study_name, storage=storage, directions=spec.directions)

    def mark() -> None:
        time.sleep(0.3)
        for arm in spec.arms:
            optuna.load_study(study_name=arm.study_name, storage=storage).set_user_attr(
                FINGERPRINT, fingerprint(spec, arm)
            )

    one = threading.Thread(target=mark)
    one.start()
    assert len(open_arms(spec, open_storage("journal", spec.search_folder))) == len(spec.arms)
    one.join()


def test_the_studies_of_a_command_that_was_killed_while_it_made_them_are_taken_over(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("study.search.arms.PATIENCE", 0.2)
    spec, _ = plan(tmp_path, *DEFAULT, *SMALL)
    storage = open_storage("journal", spec.search_folder)
    optuna.create_study(
        study_name=spec.arms[0].study_name, storage=storage, directions=spec.directions
    )
    open_arms(spec, open_storage("journal", spec.search_folder))
    assert all(
        FINGERPRINT in optuna.load_study(study_name=arm.study_name, storage=storage).user_attrs
        for arm in spec.arms
    )


@pytest.mark.parametrize("kind", ["with trials", "with other directions"])
def test_a_study_of_another_program_is_refused(tmp_path, monkeypatch, kind):
    monkeypatch.setattr("study.search.arms.PATIENCE", 0.2)
    spec, _ = plan(tmp_path, *DEFAULT, *SMALL)
    storage = open_storage("journal", spec.search_folder)
    directions = ["minimize", "minimize"] if kind == "with other directions" else spec.directions
    study = optuna.create_study(
        study_name=spec.arms[0].study_name, storage=storage, directions=directions
    )
    if kind == "with trials":
        study.ask()
    with pytest.raises(StudyError, match="has not created"):
        open_arms(spec, open_storage("journal", spec.search_folder))


def test_more_trials_another_sampler_and_further_levels_continue_a_search(tmp_path):
    spec, _ = plan(tmp_path, *DEFAULT, *SMALL, "cell=lstm,gru")
    open_arms(spec, open_storage("journal", spec.search_folder))
    more, _ = plan(
        tmp_path, *DEFAULT, *SMALL, "search.trials=30", "search/sampler=random", "cell=lstm,gru,rnn"
    )
    assert len(open_arms(more, open_storage("journal", more.search_folder))) == 3


@pytest.mark.parametrize(
    ("device", "executor", "expected"),
    [("cuda", "auto", 8), ("cuda", 3, 3), ("cpu", 2, 2), ("cpu", 500, 20)],
)
def test_workers_share_gpus(tmp_path, monkeypatch, device, executor, expected):
    """Two GPUs, four trials each; a number that is asked for is taken; never more workers than
    trials.
    """
    from study.search.processes import workers

    spec, _ = plan(tmp_path, *DEFAULT)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    node = {**LOCAL, "workers": executor, "device": device, "max_members": 24}
    settings = settings_of(launch_config(executor=node, device=device))
    assert workers(spec, settings) == expected
