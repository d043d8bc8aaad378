"""How the numbers of training round: one thread, denormals flushed, precision as asked."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from threadpoolctl import threadpool_limits

from study.training.state import Training


@contextlib.contextmanager
def fixed_numerics() -> Iterator[None]:
    """One thread, denormals flushed (they slow vanishing gradients down up to ten times), full fp32
    on CUDA, no autotuning.
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
    """Products of an update, forward and back, as `precision` says of CUDA's; weights, validation,
    tests and probes stay what they are.
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
    """bf16: products of a forward pass take operands of bfloat16, and so does their way back."""
    if training.setup.precision != "bf16":
        return contextlib.nullcontext()
    return torch.autocast(training.device.type, torch.bfloat16)
