"""precision=tf32|bf16 rounds the products of updates, and nothing else; it is a factor, recorded,
and refused where it cannot be.
"""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.utils import create_config_search_path

from study.config.check import check
from study.config.compose import compose_all, read_sweep
from study.config.paths import conf_folder
from study.config.setup import set_up
from study.hydra_plugins import register
from study.launch.declaration import declaration
from study.launch.plan import make_plan
from study.records import StudyError, identity
from study.training.loop import train
from study.training.precision import fixed_numerics
from study.training.state import prepare
from study.training.step import step
from tests.support.helpers import Sum, point, run

CELLS = {
    "rnn": {"_target_": "study.cells.rnn.RNN", "nonlinearity": "tanh"},
    "lstm": {"_target_": "study.cells.lstm.LSTM"},
    "gru": {"_target_": "study.cells.gru.GRU"},
}
SHARED = {"kernel": "reference", "updates": 4, "validate_every": 2, "hidden": 16}


def trained(*points):
    with fixed_numerics():
        training = prepare(points, "cpu")
        train(training, lambda update: None)
    return training


@pytest.mark.parametrize("cell", CELLS)
def test_bf16_changes_updates_only_and_a_member_has_the_same_bits_in_any_company(cell):
    made = {
        name: [
            point(seed, cell=CELLS[cell], precision=name, depth=2, dropout=0.2, **SHARED)
            for seed in range(3)
        ]
        for name in ("full", "bf16")
    }
    full, bf16, alone = trained(*made["full"]), trained(*made["bf16"]), trained(made["bf16"][1])
    assert (
        bf16.params.dtype
        == bf16.losses[0].dtype
        == bf16.optimizer_state["m"].dtype
        == torch.float32
    )
    assert torch.equal(full.validations[0][1], bf16.validations[0][1]), (
        "the first validation, before any update, is in full precision"
    )
    for one, other in zip(full.measured[:3], bf16.measured[:3], strict=True):
        assert one.stage == other.stage == 0
        assert json.dumps(one.profiles, default=lambda of: of.tolist()) == json.dumps(
            other.profiles, default=lambda of: of.tolist()
        ), "and so are probes"
    moved = float((full.losses[0] - bf16.losses[0]).abs().max())
    assert 1e-5 < moved < 0.02, "the first update is not, by about 8 bits"
    assert torch.equal(alone.params[0], bf16.params[1]) and torch.equal(
        alone.validations[-1][1][0], bf16.validations[-1][1][1]
    )


def test_bf16_learns(tmp_path):
    result = run(
        [point(precision="bf16", kernel="auto", updates=60, validate_every=20, hidden=16)], tmp_path
    ).result("p0")
    assert result["row"]["val_loss"] < 0.01 and result["row"]["outcome"] == "solved"
    told = result["provenance"]
    assert (told["kernel"], told["precision"], told["tf32"]) == ("reference", "bf16", False)


def test_tf32_is_up_in_updates_and_in_nothing_else(monkeypatch):
    """Its flags, on the CPU, where they change no number."""
    with fixed_numerics():
        training = prepare(
            [
                point(
                    task={
                        **point().config["task"],
                        "_target_": "tests.training.test_precision.Looking",
                    },
                    **SHARED,
                )
            ],
            "cpu",
        )
        # set_up refuses it where there is no GPU
        training.setups = [replace(setup, precision="tf32") for setup in training.setups]
        Looking.seen = {}
        train(training, lambda update: None)
        with pytest.raises(ZeroDivisionError):
            monkeypatch.setattr(training.model, "forward", lambda *of: 1 / 0)
            step(training, 0)
    assert Looking.seen == {"loss": [True, False], "metric": [False], "step_loss": [False]}, (
        "losses of updates and of validations; scores; probes"
    )
    assert not torch.backends.cuda.matmul.allow_tf32 and not torch.backends.cudnn.allow_tf32


class Looking(Sum):
    """Notes which flags it meets."""

    seen: dict[str, list[bool]] = {}

    def _note(self, what):
        up = torch.backends.cuda.matmul.allow_tf32
        assert up == torch.backends.cudnn.allow_tf32
        if up not in self.seen.setdefault(what, []):
            self.seen[what] = sorted([*self.seen[what], up], reverse=True)

    def loss(self, outputs, batch):
        self._note("loss")
        return (outputs - batch.y).square().sum(-1).mean(1)

    def metric(self, outputs, batch):
        self._note("metric")
        return super().metric(outputs, batch)

    def step_loss(self, outputs, batch, anchor):
        self._note("step_loss")
        return super().step_loss(outputs, batch, anchor)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"precision": "half"}, "precision: must be full or tf32 or bf16, got 'half'"),
        (
            {"precision": "tf32"},
            (
                "precision: tf32 exists on CUDA only, and this runs on the CPU; use"
                " precision=full or precision=bf16"
            ),
        ),
        (
            {"precision": "bf16", "dtype": "float64"},
            (
                "precision: bf16 rounds products of float32, got dtype=float64; use dtype=float32"
                " or precision=full"
            ),
        ),
        (
            {"precision": "bf16", "kernel": "native"},
            (
                "kernel: native was requested, but its products are in full precision, and"
                " precision=bf16; use kernel=auto or kernel=reference"
            ),
        ),
        (
            {"precision": "bf16", "kernel": "fused"},
            "kernel: fused was requested, but its products are in full precision",
        ),
    ],
)
def test_what_cannot_be_is_told(change, told):
    with pytest.raises(StudyError) as error:
        check(point(**change).config)
    assert str(error.value).startswith(told)


def test_an_old_gpu_is_told(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: (7, 5))
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: "an old one")
    with pytest.raises(
        StudyError,
        match=r"precision: bf16 needs a GPU of compute capability 8.0, and an old one has less",
    ):
        check(point(precision="bf16", device="cuda").config)


def test_it_is_a_factor_and_full_is_the_points_of_before():
    register()
    loader = ConfigLoaderImpl(create_config_search_path(str(conf_folder().resolve())))
    arguments = ["task=adding", "device=cpu", "cell=gru,lstm", "updates=20", "tracker=[]"]

    def planned(*more):
        of = read_sweep(loader, {}, [*arguments, *more])
        return make_plan(compose_all(loader, "config", of), of, None)

    both, before = planned("precision=full,bf16"), planned()
    assert both.factors["precision"] == ["full", "bf16"] and len(both.points) == 4
    by_label = {(one.labels["cell"], one.labels["precision"]): one for one in both.points}
    assert {one.id for one in before.points} == {
        by_label[cell, "full"].id for cell in ("gru", "lstm")
    }
    assert len({set_up(one.config).group_key for one in both.points}) == 4
    assert (
        "precision" not in declaration(both)["fixed"]
        and declaration(before)["fixed"]["precision"] == "full"
    )
    config = dict(before.points[0].config)
    del config["precision"]  # as stored before there was a choice
    assert identity(config, data_hash="d", kernel="k", device_type="cpu") == identity(
        before.points[0].config, data_hash="d", kernel="k", device_type="cpu"
    )
