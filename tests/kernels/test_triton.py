"""Persistent kernels without a GPU: results by Triton's interpreter, and code compiled for GPUs."""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from study.kernels.step_norms import STEP_NORMS
from study.kernels.triton import MAX_HIDDEN, cells
from study.training.precision import autocast, rounding
from tests.support.persistent import CELLS, drawn, near

if importlib.util.find_spec("triton") is None:
    pytest.skip("triton is not installed: pip install triton (Linux)", allow_module_level=True)

NAMES = sorted(path.stem for path in Path(cells.__path__[0]).glob("[!_]*.py"))
# compute capability of an H100; bytes a thread that may lie outside registers
TARGET, SPILL = (90, 16)
SHARED = 48 * 1024  # bytes that every GPU gives a program unasked


@pytest.fixture(scope="module")
def interpreted():
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run(
        [sys.executable, "-m", "tests.support.persistent"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_outputs_gradients_and_step_norms_are_as_near_to_the_truth_as_the_references(interpreted):
    for size, errors in interpreted["errors"].items():
        assert set(errors) == {"tanh", "relu", "lstm", "gru", "reset_after"}
        for cell, quantities in errors.items():
            assert {"h", "x", "weight_x", "weight_h", "bias", "step_norms"} <= set(quantities)
            for quantity, (error, reference_error) in quantities.items():
                assert near(error, reference_error), f"{size}, {cell}: {quantity}"
    assert interpreted["small_states"] < 1e-6, "tanh keeps the digits of a small state"
    norm, expected = interpreted["far_decay"]
    assert 0 < norm < 1e-50 and norm == pytest.approx(expected, rel=1e-5), (
        "step norms are in float64"
    )


def test_a_member_has_the_same_bits_in_any_company_and_hides_nothing(interpreted):
    assert set(interpreted["alone_and_among_others"].values()) == {True}
    assert set(interpreted["visible"].values()) == {True}


def test_bf16_rounds_the_operands_of_products_and_nothing_else(interpreted):
    difference, changed = interpreted["rounded"]
    assert difference < 1e-6 < 1e-3 < changed


def test_a_group_is_trained_as_by_the_reference(interpreted):
    found = interpreted["trained"]
    assert found["moved"] > 1e-3 and found["columns"] == 8
    assert max(found[name] for name in ("losses", "validations", "weights", "profiles")) < 5e-6


@pytest.fixture
def launched(monkeypatch, tmp_path):
    """What is launched, by name: compiled for a GPU of TARGET that is not here, as it would be
    there, and not run.
    """
    from triton.backends.compiler import GPUTarget
    from triton.runtime.driver import driver
    from triton.runtime.jit import JITFunction

    run, made = JITFunction.run, {}

    def compile_only(self, *arguments, grid, warmup, **options):
        made[self.fn.__name__] = grid, run(self, *arguments, grid=grid, warmup=True, **options)

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    nowhere = -1  # what is kept of a device that there is, stays
    target = SimpleNamespace(
        get_current_target=lambda: GPUTarget("cuda", TARGET, 32),
        get_current_device=lambda: nowhere,
        get_current_stream=lambda device: 0,
    )
    monkeypatch.setattr(driver, "_active", target)
    monkeypatch.setattr(JITFunction, "run", compile_only)

    def launched(name: str, hidden: int, precision: str = "full"):
        """A layer of 40 examples of 3 members, both ways; what its tensors hold is not computed."""
        cell = next(
            cell for cell in CELLS.values() if type(cell).__module__ == f"study.cells.{name}"
        )
        given = drawn(cell, 3, 2, 40, 3, hidden)
        leaves = {
            key: value.requires_grad_() for key, value in given.items() if key != "counts"
        } | {STEP_NORMS: torch.zeros(3, 2, 40).double().requires_grad_()}
        made.clear()
        asked = SimpleNamespace(
            setup=SimpleNamespace(precision=precision), device=torch.device("cpu")
        )
        with rounding(asked):
            with autocast(asked):
                h = importlib.import_module(f"study.kernels.triton.cells.{name}").layer(
                    cell, leaves, leaves["x"]
                )
            torch.autograd.grad(h, list(leaves.values()), given["counts"])
        return dict(made)

    return launched


def spilled(cubin: bytes, folder: Path) -> int:
    """Bytes per thread that do not fit into registers, from the tool that comes with Triton."""
    import triton

    (folder / "kernel.cubin").write_bytes(cubin)
    tool = Path(triton.__path__[0]) / "backends" / "nvidia" / "bin" / "cuobjdump"
    told = subprocess.run(
        [tool, "-res-usage", folder / "kernel.cubin"], capture_output=True, text=True, check=True
    ).stdout
    return int(re.search(r"STACK:(\d+)", told)[1])


@pytest.mark.parametrize("name", NAMES)
def test_it_compiles_for_a_gpu_within_its_registers_and_in_full_precision(name, launched, tmp_path):
    made = launched(name, MAX_HIDDEN)
    assert set(made) == {"forward", "backward"}, "one launch a way"
    for grid, kernel in made.values():
        assert grid == (3, 3), "members, tiles of 16 examples"
        assert spilled(kernel.asm["cubin"], tmp_path) <= SPILL
        assert kernel.metadata.shared <= SHARED and kernel.metadata.num_stages == 1
        code = kernel.asm["ptx"]
        assert "fma.rn.f32" in code and "mma" not in code, (
            "products in IEEE float32, on no tensor core"
        )
        assert re.search(r"st\.global(?!.*st\.global).*?bar\.sync", code, flags=re.S), (
            "what a step stores is there before the next one reads it"
        )
    assert "f64" in made["backward"][1].asm["ptx"], "reach"


def test_rounded_products_are_on_tensor_cores(launched):
    for precision in ("tf32", "bf16"):
        for _, kernel in launched("rnn", 32, precision).values():
            assert re.search(r"mma\.sync.*tf32", kernel.asm["ptx"])
            assert ("cvt.rn.bf16" in kernel.asm["ptx"]) == (precision == "bf16")
