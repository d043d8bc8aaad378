"""The compiled kernels' tests as on a processor without AVX-512 (python -m tests.support.narrow):
its vectors have half the values, and other tiles.
"""

from __future__ import annotations

import sys

import llvmlite.binding
import pytest

features = llvmlite.binding.get_host_cpu_features()
features |= {name: False for name in features if name.startswith("avx512")}
llvmlite.binding.get_host_cpu_features = lambda: features

if __name__ == "__main__":
    from study.kernels.native import vectors

    assert vectors.BYTES == 32
    sys.exit(
        pytest.main(
            [
                "-q",
                "-p",
                "no:cacheprovider",
                "tests/kernels/test_kernels.py",
                "-k",
                "equals_the_reference or total_derivatives or not_finite or sigmoid",
            ]
        )
    )
