"""make gpu's comparisons find what they look for; the GPU itself is only there on some machines."""

from __future__ import annotations

import pytest
import torch

from tests import bench_gpu

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
    monkeypatch.setattr(bench_gpu, "trained", lambda *arguments: trained(*arguments) + 1e-7 * (next(calls) % 2))
    assert min(bench_gpu.differences("cpu").values()) >= bench_gpu.TOLERANCE
    assert not any(bench_gpu.repeats("cpu").values())


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_it_says_so(capsys):
    assert bench_gpu.main(["--quick"]) == 0
    assert "no CUDA GPU" in capsys.readouterr().out


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU here")
def test_on_a_gpu_every_kernel_agrees():
    assert bench_gpu.main(["--quick"]) == 0
