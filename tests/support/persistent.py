"""The persistent kernels beside the reference: TRITON_INTERPRET=1 python -m
tests.support.persistent prints as JSON what triton's interpreter finds on the CPU.

A process of its own, since triton decides when it is imported whether it compiles or interprets.
tests/kernels/test_triton.py judges; tests/bench/on_gpu.py asks a GPU.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

import torch
from torch import Tensor

from study.cells.gru import GRU
from study.cells.gru_reset_after import GRUResetAfter
from study.cells.lstm import LSTM
from study.cells.rnn import RNN
from study.interfaces import Cell
from study.kernels import reference, triton
from study.kernels.step_norms import STEP_NORMS
from study.training.evaluation import validate
from study.training.precision import fixed_numerics
from study.training.state import prepare
from study.training.step import step
from tests.support.helpers import point

CELLS = {
    "tanh": RNN(nonlinearity="tanh"),
    "relu": RNN(nonlinearity="relu"),
    "lstm": LSTM(),
    "gru": GRU(),
    "reset_after": GRUResetAfter(),
}
# members, steps, batch, inputs, hidden
SIZES: Mapping[str, tuple[int, int, int, int, int]] = {
    "H=8": (2, 6, 5, 3, 8),
    "two tiles, H=20": (2, 2, 17, 1, 20),
    "H=33": (1, 2, 3, 2, 33),
}


def drawn(
    cell: Cell, members: int, steps: int, batch: int, inputs: int, hidden: int
) -> dict[str, Tensor]:
    """x, weights, and how the outputs count in the loss, in float32."""
    rng = torch.Generator().manual_seed(hidden)
    found = {
        one.name: torch.randn(members, *one.shape, generator=rng) / hidden**0.5
        for one in cell.shapes(inputs, hidden)
    }
    sizes = {"x": inputs, "counts": hidden}
    return found | {
        name: torch.randn(members, steps, batch, size, generator=rng)
        for name, size in sizes.items()
    }


def outcome(
    cell: Cell, kernel: str, given: Mapping[str, Tensor], dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """h, its gradients, and the squared gradient norm of each step."""
    leaves = {
        name: value.detach().to(dtype).requires_grad_()
        for name, value in given.items()
        if name != "counts"
    }
    leaves[STEP_NORMS] = (
        given["x"].new_zeros(given["x"].shape[:3], dtype=torch.float64).requires_grad_()
    )
    params = {name: value for name, value in leaves.items() if name != "x"}
    h = (
        triton.layer(cell, params, leaves["x"])
        if kernel == "triton"
        else reference.outputs(cell, params, leaves["x"], given["weight_h"].shape[-1])
    )
    assert h is not None
    grads = torch.autograd.grad(h, list(leaves.values()), given["counts"].to(dtype))
    return {"h": h.detach(), **dict(zip(leaves, grads, strict=True))}


def errors(
    of: Mapping[str, tuple[int, int, int, int, int]] = SIZES, device: str = "cpu"
) -> dict[str, dict[str, dict[str, tuple[float, float]]]]:
    """size -> cell -> quantity -> error of the kernel and of the reference in float32, as shares of
    the largest value in float64.
    """
    found: dict[str, dict[str, dict[str, tuple[float, float]]]] = {}
    for size, sizes in of.items():
        for name, cell in CELLS.items():
            given = {key: value.to(device) for key, value in drawn(cell, *sizes).items()}
            exact = outcome(cell, "reference", given, torch.float64)
            both = [outcome(cell, kernel, given) for kernel in ("triton", "reference")]
            found.setdefault(size, {})[name] = {
                key: tuple(
                    float((one[key].double() - value).abs().max() / value.abs().max())
                    for one in both
                )  # type: ignore[misc]
                for key, value in exact.items()
            }
    return found


def near(ours: float, theirs: float) -> bool:
    """Whether an error of the kernel is no larger than what rounding explains."""
    return ours < 4 * theirs + 5e-7


def alone_and_among_others() -> dict[str, bool]:
    """Whether a member has the same bits alone (as both of a pair) and as the second of three.

    Outputs, gradients and step norms.
    """
    found = {}
    for name, cell in CELLS.items():
        three = drawn(cell, 3, 2, 16, 4, 16)
        pair = {key: torch.stack([value[1], value[1]]) for key, value in three.items()}
        one, other = outcome(cell, "triton", three), outcome(cell, "triton", pair)
        found[name] = all(torch.equal(one[key][1], other[key][0]) for key in one)
    return found


def visible() -> dict[str, bool]:
    """What is not a number in one member is seen there, as by the reference, and nowhere else."""
    found = {}
    for name, cell in CELLS.items():
        given = drawn(cell, 2, 2, 3, 2, 8)
        given["weight_h"][1, 0, 0] = torch.nan
        one, other = (outcome(cell, kernel, given) for kernel in ("triton", "reference"))
        clean = all(value[0].isfinite().all() for value in one.values())
        found[name] = bool(
            clean
            and torch.equal(one["h"].isfinite(), other["h"].isfinite())
            and not one["weight_h"][1].isfinite().all()
        )
    return found


def small_states() -> float:
    """Largest relative error of tanh(z), z from 1e-30 to 20, as a layer without recurrence gives
    it.
    """
    cell, z = (
        CELLS["tanh"],
        torch.cat([torch.logspace(-30, 1.3, 64), -torch.logspace(-30, 1.3, 64)]),
    )
    given = {
        name: torch.zeros(1, *one.shape) for one in cell.shapes(1, 1) for name in [one.name]
    } | {"x": z.reshape(1, 1, -1, 1), "counts": torch.ones(1, 1, 128, 1)}
    given["weight_x"] += 1
    h = outcome(cell, "triton", given)["h"].flatten().double()
    exact = torch.tanh(z.double())
    return float(((h - exact) / exact).abs().max())


def far_decay() -> tuple[float, float]:
    """Step norm of the first step behind weights of 1e-4, by the kernel and by the reference.

    It is too small for float32.
    """
    cell, given = CELLS["relu"], drawn(CELLS["relu"], 1, 9, 2, 1, 8)
    given["weight_h"] = given["weight_h"].abs() * 1e-4
    given["counts"][:, :-1] = 0
    one, other = (
        float(outcome(cell, kernel, given)[STEP_NORMS][0, 0].max())
        for kernel in ("triton", "reference")
    )
    return one, other


def rounded() -> tuple[float, float]:
    """bf16: difference of h from a recurrence in torch whose operands have 8 bits; and how much
    that changes at all.

    The interpreter cuts the other bits off, where a GPU rounds to nearest.
    """
    cell, given = CELLS["tanh"], drawn(CELLS["tanh"], 2, 5, 4, 3, 16)
    with torch.autocast("cpu", torch.bfloat16):
        h = outcome(cell, "triton", given)["h"]
        z = (
            torch.baddbmm(
                given["bias"][:, None], given["x"].flatten(1, 2), given["weight_x"].transpose(1, 2)
            )
            .float()
            .view(h.shape)
        )
    state, states, across = torch.zeros_like(h[:, 0]), [], _cut(given["weight_h"]).transpose(1, 2)
    for t in range(h.shape[1]):
        state = torch.tanh(z[:, t] + torch.bmm(_cut(state), across))
        states.append(state)
    return float((h - torch.stack(states, 1)).abs().max()), float(
        (h - outcome(cell, "reference", given)["h"]).abs().max()
    )


def _cut(values: Tensor) -> Tensor:
    return (values.contiguous().view(torch.int32) & -65536).view(torch.float32)


def trained() -> dict[str, float]:
    """Two layers of LSTM trained with the profile of the training batch: differences from the
    reference kernel, and how far weights have moved.
    """
    profile = {
        "_target_": "study.probes.train_profile.TrainProfile",
        "every": 1,
        "stages": [0],
        "anchors": 2,
    }
    task = {
        "_target_": "tests.support.helpers.Sum",
        "steps": 3,
        "inputs": 2,
        "every_step": False,
        "lag": 3,
    }
    runs = []
    for kernel in ("triton", "reference"):
        with fixed_numerics():
            training = prepare(
                [
                    point(
                        seed,
                        kernel=kernel,
                        depth=2,
                        updates=2,
                        task=task,
                        batch=6,
                        hidden=12,
                        probe={"p": profile},
                    )
                    for seed in (0, 1)
                ],
                "cpu",
            )
            first = training.params
            for update in (0, 1):
                step(training, update)
            validate(training, 2)
        assert training.model.kernel == kernel and len(training.measured) == 2
        runs.append(training)
    one, other = runs
    pairs = [(a, b) for a, b in zip(one.measured, other.measured, strict=True)]
    columns = [
        (a.profiles[layer][key], b.profiles[layer][key])
        for a, b in pairs
        for layer in a.profiles
        for key in ("log10_mean", "log10_rms")
    ]
    return {
        "losses": float((torch.stack(one.losses) - torch.stack(other.losses)).abs().max()),
        "validations": float((one.validations[-1][1] - other.validations[-1][1]).abs().max()),
        "weights": float((one.params - other.params).abs().max()),
        "moved": float((one.params - first).abs().max()),
        "profiles": max(float(abs(a - b).max()) for a, b in columns),
        "columns": float(len(columns)),
    }


def main() -> None:
    told = (errors, alone_and_among_others, visible, small_states, far_decay, rounded, trained)
    print(json.dumps({what.__name__: what() for what in told}))


if __name__ == "__main__":
    main()
