"""What kernel=auto, device=auto and precision mean, and what is refused."""

from __future__ import annotations

import importlib.util

import pytest
import torch
import yaml

from study.cells.lstm import LSTM
from study.config.build import build
from study.config.paths import conf_folder
from study.config.setup import set_up
from study.interfaces import CELL_KERNELS
from study.kernels import table
from study.records import StudyError
from tests.support.helpers import Linear, point

GRU = {"_target_": "study.cells.gru.GRU"}


def test_a_new_step_does_not_inherit_another_cells_kernel():
    assert LSTM.has_kernel("fused") and LSTM.has_kernel("native")
    assert not Linear.has_kernel("fused") and not Linear.has_kernel("native")
    assert not Coupled.has_kernel("fused") and not Coupled.has_kernel("native")
    config = point(cell={"_target_": "tests.config.test_resolve.Coupled"}).config
    assert set_up(config).kernel == "reference"
    assert set_up(point().config).kernel == "native"
    assert set_up(point(kernel="fused").config).kernel == "fused"


@pytest.fixture
def cuda(monkeypatch):
    """A GPU that is not there, with triton and a compiler."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: (9, 0))
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    monkeypatch.setenv("CC", "cc")
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "study.kernels.triton.importlib.util.find_spec",
        lambda name: found("json") if name == "triton" else found(name),
    )


def test_on_cuda_auto_is_triton_where_it_can_compute_else_fused_else_reference(cuda, monkeypatch):
    on_gpu = {"device": "cuda"}
    reset_after = {"_target_": "study.cells.gru_reset_after.GRUResetAfter"}
    coupled = {"_target_": "tests.config.test_resolve.Coupled"}
    expected = [
        ({}, "triton"),
        ({"cell": reset_after}, "triton"),
        ({"hidden": 128}, "triton"),
        ({"hidden": 129}, "fused"),
        ({"dtype": "float64"}, "fused"),
        ({"cell": coupled}, "reference"),
        ({"hidden": 129, "cell": reset_after}, "reference"),
        ({"precision": "tf32"}, "triton"),
        ({"precision": "bf16"}, "triton"),
        ({"precision": "tf32", "hidden": 129}, "fused"),
        ({"precision": "bf16", "hidden": 129}, "reference"),
        ({"device": "cpu"}, "native"),
        ({"kernel": "fused"}, "fused"),
        ({"kernel": "triton"}, "triton"),
    ]
    for changes, kernel in expected:
        assert set_up(point(**{**on_gpu, **changes}).config).kernel == kernel, changes
    refused = [
        (
            {"hidden": 129},
            "it takes at most 128 hidden units, got 129; use kernel=auto or kernel=fused or"
            " kernel=reference",
        ),
        ({"dtype": "float64"}, "it computes in float32 only"),
        ({"device": "cpu"}, "it computes on CUDA only"),
        (
            {"cell": coupled},
            "this cell has none (study/kernels/triton/cells); use kernel=auto or kernel=reference",
        ),
    ]
    for changes, told in refused:
        with pytest.raises(StudyError) as error:
            set_up(point(**{**on_gpu, "kernel": "triton", **changes}).config)
        assert "kernel: triton was requested, but" in str(error.value) and told in str(error.value)
    model = set_up(point(**on_gpu).config).model  # its checks before training lie on the CPU
    assert model.kernel == "triton" and model.forward(
        model.named(torch.zeros(2, model.width)), torch.zeros(2, 3, 4, 1), None
    ).shape == (2, 3, 1)
    for lacks, told in (
        ("CC", "triton finds no C compiler"),
        ("triton", "triton is not installed here"),
    ):
        if lacks == "CC":
            monkeypatch.delenv("CC")
            monkeypatch.setattr("study.kernels.triton.shutil.which", lambda name: None)
        else:
            monkeypatch.setattr(
                "study.kernels.triton.importlib.util.find_spec",
                lambda name, of=importlib.util.find_spec: None if name == "triton" else of(name),
            )
        assert set_up(point(**on_gpu).config).kernel == "fused"
        with pytest.raises(StudyError, match=told):
            set_up(point(**on_gpu, kernel="triton").config)
        elsewhere = point(device="auto", executor={"gpus": 1}).config
        assert set_up(elsewhere).kernel == "triton", (
            "what is missing here may be where it is trained"
        )


class Coupled(LSTM):
    def step(self, params, x, state):
        h, c = super().step(params, x, state)
        return h, c / 2


# --- the table of kernels -------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path, monkeypatch):
    """Puts a table in the place of the committed one."""

    def write(text: str) -> None:
        (tmp_path / "table.yaml").write_text(text)
        table.read.cache_clear()
        monkeypatch.setattr(table, "TABLE", tmp_path / "table.yaml")

    yield write
    table.read.cache_clear()


ROWS = """
kernels:
  cpu:
    study.cells.lstm.LSTM:
      - {hidden: 16, batch: 16, kernel: reference}
      - {hidden: 16, batch: 64, kernel: fused}
      - {hidden: 128, batch: 16, kernel: native}
"""


def test_auto_is_what_the_table_has_for_the_nearest_size_and_nothing_else(written):
    written(ROWS)
    sizes = {
        (8, 16): "reference",
        (16, 31): "reference",
        (16, 33): "fused",
        (45, 512): "fused",
        (46, 512): "native",
        (1000, 1): "native",
    }
    for (hidden, batch), kernel in sizes.items():
        for changes in ({}, {"depth": 3}, {"updates": 99}, {"seed": 5}):
            assert (
                set_up(point(**{"hidden": hidden, "batch": batch, **changes}).config).kernel
                == kernel
            )
    assert set_up(point(hidden=8, kernel="native").config).kernel == "native", "by name"
    assert set_up(point(hidden=8, dtype="float64").config).kernel == "native", "what was not timed"
    assert set_up(point(hidden=8, cell=GRU).config).kernel == "native"
    assert (
        set_up(
            point(hidden=8, cell={"_target_": "tests.config.test_resolve.Coupled"}).config
        ).kernel
        == "reference"
    )


def test_a_table_of_cuda_names_triton_and_larger_sizes_take_what_they_have(cuda, written):
    written(
        ROWS.replace("cpu:", "cuda:").replace("reference", "triton").replace("native", "triton")
    )
    sizes = {(8, 16): "triton", (16, 64): "fused", (128, 16): "triton", (200, 16): "fused"}
    for (hidden, batch), kernel in sizes.items():
        assert set_up(point(hidden=hidden, batch=batch, device="cuda").config).kernel == kernel
    assert (
        set_up(point(hidden=16, batch=64, device="cuda", precision="bf16").config).kernel
        == "triton"
    ), "what was not timed"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (ROWS[:60] + "{", "ParserError"),
        ("", "TypeError"),
        ("kernels: [1]", "AttributeError"),
        (
            ROWS.replace("batch: 64", "batch: many"),
            "a row must be {hidden: units, batch: examples, kernel: name}, got",
        ),
        (ROWS.replace("kernel: fused", "colonel: fused"), "KeyError"),
        (
            ROWS.replace("kernel: reference", "kernel: triton"),
            "has 'triton' for study.cells.lstm.LSTM, which has native, fused, reference; name one",
        ),
    ],
)
def test_a_damaged_table_is_told(written, text, told):
    written(text)
    with pytest.raises(StudyError) as error:
        set_up(point(batch=16).config)
    assert told in str(error.value) and "table.yaml" in str(error.value)
    assert set_up(point(kernel="fused").config).kernel == "fused", "what is named needs no table"


def test_the_committed_table_names_kernels_that_the_built_in_cells_have():
    cells = {}
    for path in (conf_folder() / "cell").glob("*.yaml"):
        cell = build(yaml.safe_load(path.read_text()), "cell")
        cells[f"{type(cell).__module__}.{type(cell).__qualname__}"] = cell
    rows = table.read(table.TABLE)["cpu"]
    choosing = {
        name
        for name, cell in cells.items()
        if any(cell.has_kernel(kernel) for kernel in CELL_KERNELS)
    }
    assert choosing <= set(rows) <= set(cells), "the reference alone leaves nothing to choose"
    for name, of in rows.items():
        for hidden, batch, kernel in of:
            assert kernel == "reference" or (
                kernel in CELL_KERNELS and cells[name].has_kernel(kernel)
            )
            assert table.fastest("cpu", name, hidden, batch) == kernel
        assert len({row[:2] for row in of}) == len(of) >= 9
    whole = yaml.safe_load(table.TABLE.read_text())
    for name, of in whole["kernels"]["cpu"].items():
        for row in of:
            assert row["times"][row["kernel"]] <= 1.1, (
                f"{name} {row}: what is chosen is within a tenth of the fastest"
            )
