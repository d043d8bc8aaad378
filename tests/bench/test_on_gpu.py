"""make gpu's comparisons find what they look for; the GPU itself is only there on some machines."""

from __future__ import annotations

import pytest
import torch
import yaml

from study.cells.lstm import LSTM
from study.kernels import table
from tests.bench import kernels as bench_kernels
from tests.bench import on_gpu as bench_gpu

CELLS = 3  # enough to hold the comparison; make gpu takes all


@pytest.fixture
def few(monkeypatch):
    whole = bench_gpu.kernels()
    assert {name.split()[0] for name, _ in whole} >= {"rnn", "lstm", "gru"}
    monkeypatch.setattr(bench_gpu, "kernels", lambda: whole[:CELLS])
    return whole


def test_a_device_equals_itself_and_a_kernel_that_differs_is_seen(few, monkeypatch):
    assert set(bench_gpu.differences("cpu").values()) == {0.0}
    assert all(bench_gpu.repeats("cpu").values())
    trained = bench_gpu.trained
    calls = iter(range(100))
    monkeypatch.setattr(
        bench_gpu, "trained", lambda *arguments: trained(*arguments) + 1e-7 * (next(calls) % 2)
    )
    assert min(bench_gpu.differences("cpu").values()) >= bench_gpu.TOLERANCE
    assert not any(bench_gpu.repeats("cpu").values())


def test_errors_of_single_precision_are_those_of_each_kernel(monkeypatch):
    pair = [(name, point) for name, point in bench_gpu.kernels() if name.startswith("gru depth 1")]
    assert [name.split()[-1] for name, _ in pair] == ["auto", "reference"]
    monkeypatch.setattr(bench_gpu, "kernels", lambda: pair)
    ((ours, theirs),) = bench_gpu.errors("cpu").values()
    assert 0 < ours < 10 * theirs + 1e-5 < 1e-3 and ours != theirs


def test_a_layer_that_is_far_from_the_truth_is_counted(monkeypatch, capsys):
    found = {"H=8": {"lstm": {"h": (2e-7, 1e-7), "x": (1e-3, 1e-7)}, "gru": {"h": (1e-7, 1e-7)}}}
    monkeypatch.setattr(bench_gpu.persistent, "errors", lambda sizes, device: found)
    assert bench_gpu.layers("cuda", bench_gpu.LAYERS) == 1
    assert (
        "triton lstm H=8: largest error 1.0e-03 (x; reference 1.0e-07)   NOT NEAR: ['x']"
        in capsys.readouterr().out
    )


def test_the_table_gets_rows_of_a_gpu_and_keeps_the_others(tmp_path, monkeypatch):
    """Two small sizes timed on the CPU, in the GPU's place."""
    monkeypatch.setattr(bench_kernels, "HIDDEN", (8,))
    monkeypatch.setattr(bench_kernels, "BATCH", (4, 8))
    few = {
        name: cell
        for name, cell in bench_kernels.cells().items()
        if name.endswith((".LSTM", ".RNN"))
    }
    monkeypatch.setattr(bench_kernels, "cells", lambda: few)
    lines: list[str] = []
    timed = bench_kernels.collected(2, 3, 0.1, lines.append)
    assert len(timed) == 2 and len(lines) == 4
    assert set(timed["study.cells.lstm.LSTM"][8, 4, 3]) == {"native", "fused", "reference"}
    monkeypatch.setattr(
        bench_kernels.triton,
        "why_not",
        lambda cell, **of: None if of["hidden"] <= 128 else "too large",
    )
    assert bench_kernels.own(LSTM(), 128, "cuda") == [
        "triton",
        "fused",
        "reference",
    ] and bench_kernels.own(LSTM(), 256, "cuda") == ["fused", "reference"]
    fast = {
        name: {
            size: {"triton": [1e-4, 1e-4], "fused": [2e-4, 3e-4], "reference": [5e-4, 1e-3]}
            for size in of
        }
        for name, of in timed.items()
    }
    committed = yaml.safe_load(table.TABLE.read_text())
    path = tmp_path / "table.yaml"
    path.write_text(
        bench_kernels.written(fast, {"processor": "a GPU", "torch": "2"}, "cuda", committed)
    )
    again = bench_kernels.written(
        timed, {"processor": "a CPU", "torch": "2"}, "cpu", yaml.safe_load(path.read_text())
    )
    read, whole = table.read(path), yaml.safe_load(path.read_text())
    assert (
        read["cpu"] == table.read(table.TABLE)["cpu"]
        and whole["measured"]["cpu"]["torch"]
        and whole["measured"]["cuda"]["processor"] == "a GPU"
    )
    assert read["cuda"]["study.cells.lstm.LSTM"] == ((8, 4, "triton"), (8, 8, "triton"))
    assert (
        yaml.safe_load(again)["kernels"]["cuda"] == whole["kernels"]["cuda"]
        and len(yaml.safe_load(again)["kernels"]["cpu"]["study.cells.rnn.RNN"]) == 2
    )


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys):
    assert bench_gpu.main(["--quick"]) == 0
    assert "no CUDA GPU" in capsys.readouterr().out


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
def test_on_a_gpu_every_kernel_agrees():
    assert bench_gpu.main(["--quick"]) == 0
