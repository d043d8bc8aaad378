"""Fix how training rounds: one thread, denormals flushed, the configured precision."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from study.training.state import Training


@contextlib.contextmanager
def fixed_numerics() -> Iterator[None]:
    """One thread, denormals flushed, full fp32 on CUDA, no autotuning.

    Denormals make computations with vanishing gradients up to ten times slower.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    blas = threadpool_limits(1, user_api="blas")
    torch.set_flush_denormal(True)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        blas.restore_original_limits()


@contextlib.contextmanager
def rounding(training: Training) -> Iterator[None]:
    """Round the matrix products of an update to tf32 on CUDA if `precision` says so.

    Weights, validation, tests and probes are unaffected.
    """
    if training.setup.precision != "tf32":
        yield
        return
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


def autocast(training: Training) -> contextlib.AbstractContextManager[Any]:
    """For precision=bf16: products of forward and backward pass take bfloat16 operands."""
    if training.setup.precision != "bf16":
        return contextlib.nullcontext()
    return torch.autocast(training.device.type, torch.bfloat16)
