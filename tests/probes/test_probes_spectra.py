"""Spectra, products and exponents against autograd and mpmath on every cell, and against theory."""

from __future__ import annotations

import math

import mpmath
import numpy as np
import pytest
import torch

from study.cells.gru import GRU
from study.cells.gru_reset_after import GRUResetAfter
from study.cells.lstm import LSTM
from study.cells.rnn import RNN
from study.interfaces import AtLags, ByIndex
from study.probes.jacobian import Jacobian
from study.probes.lyapunov import Lyapunov
from study.probes.recurrence import Recurrence
from study.probes.shared.onestep import layer_steps
from study.probes.shared.spectra import Triangular, graded, qr, random_orthogonal
from study.probes.spectrum import Spectrum
from study.records import StudyError
from study.training.trace import StageTrace
from tests.support import plain
from tests.support.helpers import LRU, Linear, MinGRU, orthogonal, trace

H = 6
CELLS = plain.every_cell()
LN10 = math.log(10)


def jacobian(
    of: StageTrace, *, examples: int = 2, steps: int = 2, lags: list[int] | None = None
) -> dict[str, AtLags | ByIndex | torch.Tensor]:
    return dict(Jacobian(stages=[0], examples=examples, steps=steps, lags=lags)(of))


def lyapunov(of: StageTrace, *, examples: int = 2, drop: float = 0.25) -> torch.Tensor:
    return Lyapunov(stages=[0], examples=examples, drop=drop)(of)["lyapunov"].values


def small(cell, **changes) -> StageTrace:
    """Two layers, three examples of different length, weights that do not saturate units."""
    settings = {
        "steps": 9,
        "depth": 2,
        "hidden": 3,
        "examples": 3,
        "lengths": torch.tensor([9, 5, 7]),
    } | changes
    drawn = trace(cell, {}, **settings)
    return StageTrace(
        **{**vars(drawn), "params": {name: 0.6 * value for name, value in drawn.params.items()}}
    )


def close(found: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    assert torch.equal(found.isinf(), expected.isinf()), (
        f"{found} and {expected} have different zeros"
    )
    known = expected.isfinite()
    error = (found[known] - expected[known]).abs().max() if known.any() else 0.0
    assert error < tolerance, f"differ by {error:.1e}"


# --- against plain references ---------------------------------------------------------------------


@pytest.mark.parametrize("cell", CELLS.values(), ids=CELLS)
def test_jacobians_equal_torchs_own_one_by_one(cell):
    of = small(cell)
    for layer in (1, 2):
        steps = layer_steps(of, layer, 3)
        for example in range(3):
            for t, expected in enumerate(plain.jacobians(of, layer, example), start=1):
                assert torch.allclose(
                    steps.jacobian(torch.tensor([t, t, t]).clamp(max=steps.last))[0, example],
                    expected,
                    rtol=1e-12,
                    atol=1e-14,
                )


# Of these, several values are 0: as 0 here and as rounding there, and eigenvalues as its roots.
ZEROS = ("slstm", "mlstm", "ntm")


@pytest.mark.parametrize("name", [name for name in CELLS if name not in ZEROS])
def test_spectra_of_jacobians_equal_dense_products_in_many_digits(name):
    """At every lag; an example that is too short for a lag is left out of its mean."""
    of, lags = small(CELLS[name]), [1, 3, 4, 8]
    found = jacobian(of, examples=3, lags=lags)
    for layer in (1, 2):
        values, moduli = {lag: [] for lag in lags}, []
        for example in range(3):
            of_example = plain.jacobians(of, layer, example)
            # two evenly spaced steps: from the second to the last
            ends = [of_example[0], of_example[-1]]
            moduli += [torch.linalg.eigvals(end).abs().sort(descending=True).values for end in ends]
            product = mpmath.eye(len(ends[0]))
            for lag, matrix in enumerate(reversed(of_example), start=1):
                product = product * plain.exact(matrix)
                if lag in lags:
                    values[lag].append(plain.log_singular_values(product))
        assert [len(values[lag]) for lag in lags] == [3, 3, 3, 1]
        assert torch.allclose(
            found["step_radius"][0, layer - 1],
            torch.stack([one[0] for one in moduli]).mean(),
            rtol=1e-10,
        )
        eigenvalue = torch.stack(moduli).log10().mean(0)
        # an eigenvalue that is 0 comes out as rounding: of the size of eps
        assert torch.allclose(
            found["log10_eigenvalue"].values[0, layer - 1].clamp(min=-12),
            eigenvalue.clamp(min=-12),
            atol=1e-6,
        )
        for number, lag in enumerate(lags):
            logs = torch.stack(values[lag])
            expected = logs.mean(0) / LN10
            close(found["log10_singular_value"].values[0, layer - 1, number], expected, 1e-9)
            close(found["log10_sigma_max"].values[0, layer - 1, number], expected[0], 1e-9)
            close(found["log10_sigma_min"].values[0, layer - 1, number], expected[-1], 1e-9)
            close(
                found["log10_condition"].values[0, layer - 1, number],
                (expected[0] - expected[-1]).nan_to_num(nan=math.inf, posinf=math.inf),
                1e-9,
            )
            p = torch.softmax(logs, dim=1)
            ranks = torch.exp(-torch.where(p > 0, p * p.log(), 0.0).sum(1))
            rank = torch.where(logs[:, 0] == -torch.inf, 0.0, ranks).mean()
            close(found["effective_rank"].values[0, layer - 1, number], rank, 1e-9)
        assert found["log10_singular_value"].lags == lags


def log_volumes(matrix: mpmath.matrix) -> list[mpmath.mpf]:
    """ln of the volumes spanned by the first 1, 2, … columns."""
    gram = matrix.T * matrix
    dets = [mpmath.det(gram[:p, :p]) for p in range(1, gram.rows + 1)]
    return [mpmath.log(det) / 2 if det > 0 else mpmath.ninf for det in dets]


# Their steps lose directions: ReLUs that are shut, states that the next step does not read.
LOSING = ("rnn_relu", "indrnn", "orthogonal_rnn", "lru", "slstm", "mlstm", "deltanet", "ntm")


@pytest.mark.parametrize("name", [name for name in CELLS if name not in LOSING])
def test_exponents_equal_the_growth_of_volumes_in_many_digits(name):
    """Σ_{i≤p} Σ_t ln R_ii is the log growth of a p-dimensional volume over the counted steps."""
    of = small(CELLS[name])
    found = lyapunov(of, examples=3)
    for layer in (1, 2):
        q = random_orthogonal(found.shape[-1], of.generator("lyapunov"))
        every = []
        for example in range(3):
            matrices = plain.jacobians(of, layer, example)
            dropped, product = len(matrices) // 4, plain.exact(q)
            for t, matrix in enumerate(matrices, start=1):
                product = plain.exact(matrix) * product
                if t == dropped:
                    before = log_volumes(product)
            before = before if dropped else [mpmath.mpf(0)] * len(q)
            growth = [end - start for end, start in zip(log_volumes(product), before, strict=True)]
            rates = [
                (this - last) / (len(matrices) - dropped)
                for this, last in zip(growth, [mpmath.mpf(0), *growth], strict=False)
            ]
            every.append(sorted(map(float, rates), reverse=True))
        close(found[0, layer - 1], torch.tensor(every, dtype=torch.float64).mean(0), 1e-8)


def test_a_direction_that_a_step_loses_has_exponent_minus_infinity():
    of = small(CELLS["rnn_relu"], hidden=5, depth=1, lengths=None)
    ranks = [
        [int(torch.linalg.matrix_rank(matrix)) for matrix in plain.jacobians(of, 1, example)]
        for example in range(2)
    ]
    # 8 steps, a quarter of them not counted
    lost = 5 - min(min(of_example[2:]) for of_example in ranks)
    found = lyapunov(of)[0, 0]
    assert lost > 0
    assert int((found == -torch.inf).sum()) == lost


def test_spectrum_of_weights_gate_by_gate():
    of = trace(LSTM(), {}, steps=4, hidden=H, depth=2)
    found = Spectrum(stages=[0])(of)
    for layer in (1, 2):
        for number, gate in enumerate(LSTM().shapes(2, H)[0].gates):
            block = of.params[f"layer{layer}.weight_h"][0, number * H : (number + 1) * H].numpy()
            values = (
                found[f"eigenvalue_real.{gate}"].values[0, layer - 1]
                + 1j * found[f"eigenvalue_imag.{gate}"].values[0, layer - 1]
            )
            assert (values.abs().diff() < 1e-12).all(), "largest modulus first"
            assert np.allclose(np.poly(values.numpy()), np.poly(block), rtol=1e-9, atol=1e-9), (
                "the same characteristic polynomial"
            )
            assert np.allclose(
                found[f"singular_value.{gate}"].values[0, layer - 1].numpy() ** 2,
                np.linalg.eigvalsh(block.T @ block)[::-1],
                rtol=1e-8,
            )
    assert len(found) == 12


def test_spectrum_of_a_diagonal_recurrence_is_the_diagonal_and_without_one_there_is_none():
    d = torch.tensor([0.3, -0.9, 0.5, 0.99, 0.1, -0.2], dtype=torch.float64)
    found = Spectrum(stages=[0])(trace(LRU(), {"layer1.decay": d}, steps=4, hidden=H))
    assert torch.allclose(
        found["eigenvalue_real.h"].values[0, 0],
        torch.tensor([0.99, -0.9, 0.5, 0.3, -0.2, 0.1], dtype=torch.float64),
    )
    assert torch.allclose(
        found["singular_value.h"].values[0, 0], d.abs().sort(descending=True).values
    )
    with pytest.raises(ValueError, match="MinGRU has no recurrent weights.*leave the probe out"):
        Spectrum(stages=[0])(trace(MinGRU(), {}, steps=4, hidden=H))


# --- theory ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("gain", [0.3, 0.9, 1.0, 1.1])
def test_linear_orthogonal(gain):
    of = trace(Linear(), {"layer1.weight_h": orthogonal(H, gain)}, steps=60, hidden=H)
    found = jacobian(of, lags=[1, 30, 59])
    for number, lag in enumerate((1, 30, 59)):
        close(
            found["log10_singular_value"].values[0, 0, number],
            torch.full((H,), lag * math.log10(gain), dtype=torch.float64),
            1e-13 * 60,
        )
    assert found["log10_condition"].values.abs().max() < 1e-12, "kappa = 1"
    assert torch.allclose(
        found["effective_rank"].values, torch.tensor(float(H), dtype=torch.float64), rtol=1e-12
    )
    assert torch.allclose(
        found["log10_eigenvalue"].values,
        torch.tensor(math.log10(gain), dtype=torch.float64),
        atol=1e-12,
    )
    close(lyapunov(of)[0, 0], torch.full((H,), math.log(gain), dtype=torch.float64), 1e-13)


@pytest.mark.parametrize("spread", [0.2, 1e-6, 1e-12])
def test_linear_diagonal_singular_values_are_powers_far_below_what_a_direct_svd_sees(spread):
    d = torch.logspace(math.log10(spread), 0.02, H, dtype=torch.float64)
    of = trace(Linear(), {"layer1.weight_h": torch.diag(d)}, steps=101, hidden=H)
    found = jacobian(of, lags=[10, 100])
    for number, lag in enumerate((10, 100)):
        expected = lag * d.log10().sort(descending=True).values
        close(found["log10_singular_value"].values[0, 0, number], expected, 1e-11)
        close(found["log10_condition"].values[0, 0, number], expected[0] - expected[-1], 1e-11)
    assert float(lyapunov(of)[0, 0].sum()) == pytest.approx(float(d.log().sum()), rel=1e-11), (
        "Σ ln R = k·ln|det W|"
    )


def test_products_reach_far_below_the_smallest_float():
    of = trace(Linear(), {"layer1.weight_h": orthogonal(H, 0.001)}, steps=400, hidden=H)
    close(
        jacobian(of, lags=[399])["log10_singular_value"].values[0, 0, 0],
        torch.full((H,), -3.0 * 399, dtype=torch.float64),
        1e-9,
    )
    close(lyapunov(of)[0, 0], torch.full((H,), math.log(0.001), dtype=torch.float64), 1e-12)


def test_tanh_stretches_nothing_by_more_than_its_gain():
    of = trace(
        RNN(nonlinearity="tanh"), {"layer1.weight_h": orthogonal(H, 1.2)}, steps=30, hidden=H
    )
    assert (jacobian(of, lags=[29])["log10_sigma_max"].values <= 29 * math.log10(1.2) + 1e-12).all()
    assert (lyapunov(of) <= math.log(1.2) + 1e-12).all()


@pytest.mark.parametrize("forget_bias", [0.0, 1.0, 3.0])
def test_lstm_without_weights_keeps_its_forget_gate_and_forgets_h(forget_bias):
    gates = LSTM().shapes(2, H)[0].gates
    bias = torch.cat(
        [torch.full((H,), {"f": forget_bias, "g": 0.0}.get(gate, 0.5)) for gate in gates]
    )
    zeros = {f"layer1.{p.name}": torch.zeros(p.shape) for p in LSTM().shapes(2, H)}
    of = trace(LSTM(), zeros | {"layer1.bias": bias}, steps=51, hidden=H)
    keep = 1 / (1 + math.exp(-forget_bias))
    # dh/dc = o at c = 0
    found, through_h = (jacobian(of, lags=[50]), math.hypot(1, 1 / (1 + math.exp(-0.5))))
    values = found["log10_singular_value"].values[0, 0, 0]
    close(
        values[:H], torch.full((H,), math.log10(through_h * keep**50), dtype=torch.float64), 1e-11
    )
    assert (values[H:] == -torch.inf).all()
    assert found["log10_condition"].values.item() == math.inf
    assert found["effective_rank"].values.item() == pytest.approx(H, rel=1e-12)
    exponents = lyapunov(of)[0, 0]
    close(exponents[:H], torch.full((H,), math.log(keep), dtype=torch.float64), 1e-12)
    assert (exponents[H:] == -torch.inf).all()


@pytest.mark.parametrize("bias", [-1.0, 0.0, 2.0])
@pytest.mark.parametrize(("cell", "sign"), [(GRU(), -1), (GRUResetAfter(), 1)])
def test_gru_without_weights_keeps_its_update_gate(cell, sign, bias):
    zeros = {f"layer1.{p.name}": torch.zeros(p.shape) for p in cell.shapes(2, H)}
    z = torch.cat(
        [torch.full((H,), bias if gate == "z" else 0.0) for gate in cell.shapes(2, H)[0].gates]
    )
    of = trace(cell, zeros | {"layer1.bias": z}, steps=40, hidden=H)
    keep = 1 / (1 + math.exp(-sign * bias))
    close(
        jacobian(of, lags=[39])["log10_singular_value"].values[0, 0, 0],
        torch.full((H,), 39 * math.log10(keep), dtype=torch.float64),
        1e-11,
    )
    close(lyapunov(of)[0, 0], torch.full((H,), math.log(keep), dtype=torch.float64), 1e-12)


def test_diagonal_cells_have_their_modes():
    d = torch.linspace(0.3, 0.99, H, dtype=torch.float64)
    of = trace(LRU(), {"layer1.decay": d}, steps=41, hidden=H)
    close(
        jacobian(of, lags=[40])["log10_singular_value"].values[0, 0, 0],
        40 * d.log10().sort(descending=True).values,
        1e-11,
    )
    of = trace(MinGRU(), {}, steps=30, hidden=H)
    z = (of.batch.x[0, :2] @ of.params["layer1.weight_x"][0, :H].T).sigmoid()  # [B, T, H]
    kept = (1 - z)[:, 1:].log().sum(1).sort(dim=-1, descending=True).values.mean(0)
    close(jacobian(of, lags=[29])["log10_singular_value"].values[0, 0, 0], kept / LN10, 1e-11)


# --- singular values of graded products -----------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "factors", "spread"), [(6, 40, 1.0), (6, 100, 3.0), (5, 200, 6.0)]
)
def test_graded_products_equal_many_digits_where_a_direct_svd_saturates(size, factors, spread):
    generator = torch.Generator().manual_seed(3)
    every = torch.randn(factors, size, size, dtype=torch.float64, generator=generator)
    every = every * torch.exp(
        -spread * torch.rand(factors, size, 1, dtype=torch.float64, generator=generator)
    )
    q = random_orthogonal(size, generator)
    product, exact, dense = (
        Triangular.identity(q),
        mpmath.eye(size),
        torch.eye(size, dtype=torch.float64),
    )
    with mpmath.workdps(900):
        for matrix in every:
            q, r, _ = qr(matrix @ q)
            product, exact, dense = product.times(r), plain.exact(matrix) * exact, matrix @ dense
        values = mpmath.svd_r(exact, compute_uv=False)
        expected = torch.tensor([float(mpmath.log(value)) for value in values], dtype=torch.float64)
    assert expected[0] - expected[-1] > 20 * LN10
    close(product.singular_values(), expected, 1e-10)
    direct = torch.linalg.svdvals(dense).log()
    assert (direct - expected).abs().max() > 1, (
        "a direct SVD shows rounding: this is what the accumulation is for"
    )


def test_columns_that_span_more_than_a_float_are_brought_apart():
    """Both methods agree where both apply; only the decoupled one works beyond LAPACK's range."""
    rng = np.random.default_rng(0)
    columns = rng.standard_normal((7, 7))
    for span in (1.0, 300.0, 2000.0):
        logs = -span * np.linspace(0, 1, 7)
        with mpmath.workdps(int(3 * span / LN10) + 60):
            scaled = mpmath.matrix(columns.tolist()) * mpmath.diag(
                [mpmath.exp(mpmath.mpf(one)) for one in logs.tolist()]
            )
            expected = [
                float(mpmath.log(value)) for value in mpmath.svd_r(scaled, compute_uv=False)
            ]
        assert np.abs(graded(columns, logs) - expected).max() < 1e-12 * max(1.0, span)


def test_not_finite_stays_not_a_number():
    of = trace(Linear(), {"layer1.weight_h": torch.full((H, H), torch.nan)}, steps=6, hidden=H)
    assert jacobian(of, lags=[3])["log10_singular_value"].values.isnan().all()
    assert jacobian(of, lags=[3])["step_radius"].isnan().all()
    assert lyapunov(of).isnan().all()
    assert Spectrum(stages=[0])(of)["eigenvalue_real.h"].values.isnan().all()


# --- lengths, members, bad input ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["lstm", "gru", "rnn"])
def test_unequal_lengths_equal_sequences_one_by_one(name):
    of = small(CELLS[name])
    lags, both = [2, 4], (jacobian(of, examples=3, lags=[2, 4]), lyapunov(of, examples=3))
    alone = []
    for example in range(3):
        steps = plain.length(of, example)
        batch = type(of.batch)(
            of.batch.x[:, example : example + 1, :steps], of.batch.y[:, example : example + 1], None
        )
        one = StageTrace(
            **{**{k: v for k, v in vars(of).items() if not k.startswith("_")}, "batch": batch}
        )
        alone.append((jacobian(one, examples=1, lags=lags), lyapunov(one, examples=1)))
    for key in ("log10_singular_value", "effective_rank", "log10_eigenvalue"):
        close(both[0][key].values, torch.stack([one[0][key].values for one in alone]).mean(0), 1e-9)
    close(both[1], torch.stack([one[1] for one in alone]).mean(0), 1e-10)


def test_large_layers_are_pulled_back_in_parts(monkeypatch):
    of = small(CELLS["lstm"])
    whole = jacobian(of, lags=[4])["log10_singular_value"].values
    monkeypatch.setattr("study.probes.shared.onestep.ROWS", 20)
    close(jacobian(of, lags=[4])["log10_singular_value"].values, whole, 1e-10)


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (
            lambda of: jacobian(of, lags=[3, 9]),
            (
                r"probe.jacobian: lags must lie between 1 and 8 \(the longest sequence has 9"
                r" steps\).*got 9"
            ),
        ),
        (lambda of: jacobian(of, lags=[0]), r"lags must lie between 1 and 8.*got 0"),
        (
            lambda of: jacobian(of, examples=4),
            (
                r"probe.jacobian: examples must lie between 1 and 3, the size of the probe batch"
                r" \(health.examples\), got 4"
            ),
        ),
        (lambda of: lyapunov(of, examples=4), r"probe.lyapunov: examples must lie between 1 and 3"),
    ],
)
def test_what_cannot_be_measured_is_told(call, told):
    with pytest.raises(StudyError, match=told):
        call(small(CELLS["rnn"]))


def test_a_sequence_of_one_step_is_told():
    of = small(CELLS["rnn"], steps=1, lengths=None)
    for call in (jacobian, lyapunov):
        with pytest.raises(StudyError, match="one step.*leave the probe out"):
            call(of)


@pytest.mark.parametrize(("key", "value"), [("examples", 0), ("steps", 0), ("lags", [])])
def test_wrong_settings_are_told(key, value):
    with pytest.raises(ValueError, match=f"jacobian: {key} must be .*, got"):
        Jacobian(**{"stages": [0], "examples": 1, "steps": 1, "lags": None} | {key: value})
    with pytest.raises(ValueError, match="lyapunov: drop must be .*, got 1"):
        Lyapunov(stages=[0], examples=1, drop=1)


@pytest.mark.parametrize("inputs", [1, 3])
def test_recurrence_of_a_cell_without_matrix_is_nan_for_each_member(inputs):
    probe = Recurrence(stages=[0], level=0.95)
    found = probe(trace(MinGRU(), {}, steps=5, inputs=inputs, depth=2))
    assert found["spectral_radius"].shape == found["saturation"].shape == (1, 2)
    assert found["spectral_radius"].isnan().all() and found["saturation"].isfinite().all()
