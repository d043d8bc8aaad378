"""The persistent kernels without a GPU: their numbers by triton's interpreter, their code as compiled for GPUs that are not here."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from study.kernels.triton import MOST, cells
from tests.persistent import near

if importlib.util.find_spec("triton") is None:
    pytest.skip("triton is not installed: pip install triton (Linux)", allow_module_level=True)

NAMES = sorted(path.stem for path in Path(cells.__path__[0]).glob("[!_]*.py"))
TARGET, SPILL = 90, 16  # compute capability of an H100; bytes a thread that may lie outside registers
REGISTERS, SHARED = 65536, 48 * 1024  # of a program: all of a multiprocessor's, and what every GPU gives unasked


@pytest.fixture(scope="module")
def interpreted():
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run([sys.executable, "-m", "tests.persistent"], env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def test_outputs_gradients_and_reach_are_as_near_to_the_truth_as_the_references(interpreted):
    for size, of in interpreted["errors"].items():
        assert set(of) == {"tanh", "relu", "lstm", "gru", "reset_after"}
        for cell, quantities in of.items():
            assert {"h", "x", "weight_x", "weight_h", "bias", "reach"} <= set(quantities)
            for quantity, (ours, theirs) in quantities.items():
                assert near(ours, theirs), f"{size}, {cell}: {quantity}"
    assert interpreted["small_states"] < 1e-6, "tanh keeps the digits of a small state"
    ours, theirs = interpreted["far_decay"]
    assert 0 < ours < 1e-50 and ours == pytest.approx(theirs, rel=1e-5), "reach is in float64"


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


def compiled(kernel, hidden: int, precision: str, **constants: bool):
    """A kernel as it would be launched on a GPU of TARGET."""
    from triton import compile
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from study.kernels.triton.passes import made_for

    constants, options = made_for(hidden, precision, **constants)
    names = list(inspect.signature(kernel.fn).parameters)
    types = {"steps": "i32", "batch": "i32", "reach": "*fp64"}
    signature = {name: "constexpr" if name.isupper() else types.get(name, "*fp32") for name in names}
    aligned = {(place,): [["tt.divisibility", 16]] for place, name in enumerate(names) if signature[name].startswith("*")}
    source = ASTSource(fn=kernel, signature=signature, constexprs={name: constants[name] for name in names if name.isupper()}, attrs=aligned)
    return compile(source, target=GPUTarget("cuda", TARGET, 32), options=options)


def spilled(cubin: bytes, folder: Path) -> int:
    """Bytes a thread that do not fit into registers, by the tool that triton brings along."""
    import triton

    (folder / "kernel.cubin").write_bytes(cubin)
    tool = Path(triton.__path__[0]) / "backends" / "nvidia" / "bin" / "cuobjdump"
    told = subprocess.run([tool, "-res-usage", folder / "kernel.cubin"], capture_output=True, text=True, check=True).stdout
    return int(re.search(r"STACK:(\d+)", told)[1])


@pytest.mark.parametrize("name", NAMES)
def test_it_compiles_for_a_gpu_within_its_registers_and_in_full_precision(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    module = importlib.import_module(f"study.kernels.triton.cells.{name}")
    for kernel, more in ((module.forward, {}), (module.backward, {"REACHED": True})):
        made = compiled(kernel, MOST, "ieee", **more, **({"RELU": False} if name == "rnn" else {}))
        assert spilled(made.asm["cubin"], tmp_path) <= SPILL
        assert made.metadata.shared <= SHARED
        code = made.asm["ptx"]
        assert "fma.rn.f32" in code and "mma" not in code, "products in IEEE float32, on no tensor core"
        assert re.search(r"st\.global(?!.*st\.global).*?bar\.sync", code, flags=re.S), "what a step stores is there before the next one reads it"


def test_rounded_products_are_on_tensor_cores(tmp_path, monkeypatch):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    from study.kernels.triton.cells import rnn

    for precision in ("tf32", "bf16"):
        made = compiled(rnn.forward, 32, precision, RELU=True)
        assert re.search(r"mma\.sync.*tf32", made.asm["ptx"])
    assert "cvt.rn.bf16" in made.asm["ptx"]
