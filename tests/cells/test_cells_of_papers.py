"""Cells of single papers: what theory says of their gradients."""

from __future__ import annotations

import pytest
import torch

from study.cells.antisymmetric import Antisymmetric
from study.cells.linear import Linear
from study.kernels import reference


def test_the_equation_of_the_antisymmetric_cell():
    drawn = torch.Generator().manual_seed(0)
    M, W, b, x, h = (
        torch.randn(size, dtype=torch.float64, generator=drawn)
        for size in ((4, 4), (4, 3), (4,), (3,), (4,))
    )
    cell = Antisymmetric(step_length=0.1, damping=0.01)
    params = {"weight_h": M[None], "weight_x": W[None], "bias": b[None]}
    (found,) = cell.step(params, cell.project(params, x[None, None, None])[:, 0], (h[None, None],))
    inner = (M - M.T - 0.01 * torch.eye(4, dtype=torch.float64)) @ h + W @ x + b
    torch.testing.assert_close(found[0, 0], h + 0.1 * torch.tanh(inner))


@pytest.mark.parametrize("scale", [0.1, 1.0])
def test_gradients_of_the_antisymmetric_cell_last_whatever_its_matrix(scale):
    """Near h = 0 a step is I + ε(M − Mᵀ − γI): singular values √((1 − εγ)² + ε²ω²), at least
    1 − εγ.
    """
    drawn = torch.Generator().manual_seed(1)
    M = scale * torch.randn(1, 8, 8, dtype=torch.float64, generator=drawn)
    params = {"weight_h": M, "weight_x": torch.zeros(1, 8, 1), "bias": torch.zeros(1, 8)}
    cell = Antisymmetric(step_length=0.05, damping=0.2)

    def step(h: torch.Tensor) -> torch.Tensor:
        return cell.step(params, torch.zeros(1, 1, 8, dtype=torch.float64), (h[None, None],))[0][
            0, 0
        ]

    jacobian = torch.autograd.functional.jacobian(step, torch.zeros(8, dtype=torch.float64))
    found = torch.linalg.svdvals(jacobian)
    omega = torch.linalg.eigvals(M[0] - M[0].T).imag
    expected = ((1 - 0.05 * 0.2) ** 2 + (0.05 * omega) ** 2).sqrt().sort(descending=True).values
    torch.testing.assert_close(found, expected)
    assert found.min() >= 0.99 - 1e-12


def test_the_linear_cell_is_a_sum_of_powers_of_its_matrix():
    drawn = torch.Generator().manual_seed(2)
    W, V, b = (
        torch.randn(1, *size, dtype=torch.float64, generator=drawn)
        for size in ((3, 3), (3, 2), (3,))
    )
    x = torch.randn(1, 4, 1, 2, dtype=torch.float64, generator=drawn)
    params = {"weight_h": W, "weight_x": V, "bias": b}
    h = reference.outputs(Linear(), params, x, 3)[0, -1, 0]
    powers = [torch.linalg.matrix_power(W[0], 3 - t) @ (V[0] @ x[0, t, 0] + b[0]) for t in range(4)]
    torch.testing.assert_close(h, torch.stack(powers).sum(0))
