"""gradient_profile on torch.nn modules, against an unrolled reference, theory and user mistakes."""

from __future__ import annotations

import copy
import math
import subprocess
import sys

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn
from torch.nn.utils.rnn import (
    PackedSequence,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
)

from study.cells.gru_reset_after import GRUResetAfter
from study.cells.lstm import LSTM
from study.cells.rnn import RNN
from study.config.paths import conf_folder
from study.health.profiles import Thresholds, state_of
from study.probes import gradient_profile
from study.probes.transport import Transport
from study.records import StudyError
from tests.support.helpers import orthogonal, trace
from tests.support.plain_modules import gradients, log_ratios, mean_by_lag

KINDS = {
    "tanh": lambda *a, **k: nn.RNN(*a, nonlinearity="tanh", **k),
    "relu": lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k),
    "lstm": nn.LSTM,
    "gru": nn.GRU,
}
D, H = 3, 6


def made(kind: str, *, gain: float = 1.6, seed: int = 0, **settings) -> nn.Module:
    """A module in fp64 whose weights are large enough to matter."""
    settings = {"dtype": torch.float64, **settings}
    torch.manual_seed(seed)
    module = KINDS[kind](D, H, **settings)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.mul_(gain)
    return module


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def of(frame, layer: str, state: str, column: str = "log10_mean") -> Tensor:
    rows = frame[(frame["layer"] == layer) & (frame["state"] == state)].sort_values("lag")
    assert len(rows), (layer, state, set(frame["layer"]), set(frame["state"]))
    return torch.tensor(rows[column].to_numpy())


def transport(health, layer: str = "network") -> Tensor:
    return of(health.transport, layer, "s")


def same(found: Tensor, expected: Tensor, tolerance: float) -> None:
    """Check that ratios of two means in decades are within `tolerance`; NaN in the same places."""
    assert found.shape == expected.shape
    error = (
        (torch.nan_to_num(found, nan=-9e9) - torch.nan_to_num(expected, nan=-9e9)).abs()
        * math.log(10)
    ).max()
    assert error < tolerance, f"relative error {float(error):.2e}"


def last_loss(output: Tensor) -> Tensor:
    weights = torch.linspace(-1, 2, H, dtype=output.dtype)
    return ((output[:, -1] @ weights + 0.7) ** 2).mean()


# --- equal to a plain reference -------------------------------------------------------------------


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_an_unrolled_reference(kind, depth):
    for bias, batch_first, seed in ((True, True, 0), (False, False, 1)):
        module = made(kind, num_layers=depth, bias=bias, batch_first=batch_first, seed=seed)
        x = draw(5, 9, D) if batch_first else draw(9, 5, D)
        first = tuple(
            0.3 * draw(depth, 5, H, seed=seed + at) for at in range(2 if kind == "lstm" else 1)
        )

        def loss(output, batch_first=batch_first):
            return last_loss(output if batch_first else output.transpose(0, 1))

        health = gradient_profile(module, x, loss, hx=first if kind == "lstm" else first[0])
        expected = gradients(
            module,
            x.transpose(0, 1) if batch_first else x,
            lambda output, *_: last_loss(output.transpose(0, 1)),
            first,
        )
        anchor = torch.full((5,), 8)
        layers = [torch.cat(states, -1) for states in expected]
        for number, states in enumerate(expected, start=1):
            start = layers[number - 1]
            for name, gradient in zip("hc", states, strict=False):
                same(
                    of(health.profile, str(number), name),
                    mean_by_lag(log_ratios(gradient, start, anchor)),
                    1e-10,
                )
            if kind == "lstm":
                same(
                    of(health.profile, str(number), "s"),
                    mean_by_lag(log_ratios(start, start, anchor)),
                    1e-10,
                )
        whole = torch.cat(layers, -1)
        same(
            of(health.profile, "network", "s"), mean_by_lag(log_ratios(whole, whole, anchor)), 1e-10
        )
        assert health.loss_dtype == "float64"
        if kind == "lstm":
            top = (
                (health.profile["layer"] == str(depth))
                & (health.profile["state"] == "c")
                & (health.profile["lag"] == 0)
            )
            assert (health.profile.loc[top, "n_zero"] == 5).all(), (
                "a loss of h_T has dL/dc_T = 0: the tap on c comes after h is formed"
            )


@pytest.mark.parametrize("kind", KINDS)
def test_transport_equals_the_studys_own_probe(kind):
    """A study's probe on a cell with the same weights, examples, lengths and random directions."""
    cell = {
        "tanh": RNN(nonlinearity="tanh"),
        "relu": RNN(nonlinearity="relu"),
        "lstm": LSTM(),
        "gru": GRUResetAfter(),
    }[kind]
    lengths = torch.tensor([11, 3, 7, 11, 5])
    known = trace(cell, {}, steps=11, inputs=D, hidden=H, depth=2, examples=5, lengths=lengths)
    module = made(kind, num_layers=2, batch_first=True)
    with torch.no_grad():
        for layer in (1, 2):
            weights = {name: value[0] for name, value in known.layer_params(layer).items()}
            getattr(module, f"weight_ih_l{layer - 1}").copy_(weights["weight_x"])
            getattr(module, f"weight_hh_l{layer - 1}").copy_(weights["weight_h"])
            getattr(module, f"bias_ih_l{layer - 1}").copy_(weights["bias"])
            getattr(module, f"bias_hh_l{layer - 1}").zero_()
            if kind == "gru":
                getattr(module, f"bias_hh_l{layer - 1}")[2 * H :] = weights["bias_hn"]
    packed = pack_padded_sequence(known.batch.x[0], lengths, batch_first=True, enforce_sorted=False)
    health = gradient_profile(
        module,
        packed,
        lambda out: pad_packed_sequence(out)[0][lengths - 1, torch.arange(5)].square().sum(),
    )
    found = Transport(stages=[0])(known)
    for layer in ("network", "1", "2"):
        norms = found[f"{layer}/s"]
        logs = [norms.norms[0, b, :n].log10() for b, n in enumerate(lengths.tolist())]
        same(transport(health, layer), mean_by_lag(logs), 1e-10)


def test_retain_grad_on_the_fused_layer_gives_zeros_where_this_does_not():
    module, x = made("lstm", batch_first=True), draw(4, 12, D)
    output, _ = module(x)
    output.retain_grad()
    last_loss(output).backward()
    assert (output.grad[:, :-1] == 0).all(), "the trap: a fused layer holds the direct term only"
    assert (output.grad[:, -1] != 0).all()
    health = gradient_profile(module, x, last_loss)
    assert (health.profile["n_zero"][health.profile["state"] == "h"] == 0).all()
    assert of(health.profile, "1", "h")[1:].isfinite().all()


# --- padding, forms of input ----------------------------------------------------------------------

LENGTHS = torch.tensor([4, 9, 2, 9, 6])


def one_by_one(module: nn.Module, x: Tensor) -> dict[tuple[str, str], Tensor]:
    """Mean by lag of the profiles of single, unbatched, unpadded sequences."""
    alone = [
        gradient_profile(module, x[b, :n], lambda out: last_loss(out[None])).profile
        for b, n in enumerate(LENGTHS.tolist())
    ]
    keys = {
        (layer, state)
        for layer, state in zip(alone[0]["layer"], alone[0]["state"], strict=True)
        if state != "c"
    }
    return {key: mean_by_lag([of(profile, *key) for profile in alone]) for key in keys}


@pytest.mark.parametrize("kind", KINDS)
def test_a_padded_batch_equals_its_sequences_one_by_one(kind):
    module, x = made(kind, num_layers=2, batch_first=True), draw(5, 9, D)
    expected = one_by_one(module, x)
    order = LENGTHS.argsort(descending=True)

    def of_packed(output: PackedSequence) -> Tensor:
        padded, lengths = pad_packed_sequence(output, batch_first=True)
        return sum(last_loss(padded[b : b + 1, :n]) for b, n in enumerate(lengths.tolist()))

    def of_padded(output: Tensor) -> Tensor:
        return sum(last_loss(output[b : b + 1, :n]) for b, n in enumerate(LENGTHS.tolist()))

    garbage = x.clone()
    for b, n in enumerate(LENGTHS.tolist()):
        garbage[b, n:] = torch.tensor([torch.nan, 1e300, -1e300])
    for given, loss in (
        (pack_padded_sequence(x, LENGTHS, batch_first=True, enforce_sorted=False), of_packed),
        (
            pack_padded_sequence(x[order], LENGTHS[order], batch_first=True, enforce_sorted=True),
            of_packed,
        ),
        (pack_sequence([x[b, :n] for b, n in enumerate(LENGTHS)], enforce_sorted=False), of_packed),
        (x, of_padded),
        (garbage, of_padded),
    ):
        health = gradient_profile(module, given, loss)
        for key, means in expected.items():
            same(of(health.profile, *key), means, 1e-10)
        assert of(health.profile, "1", "h", "n").tolist() == [
            int((k < LENGTHS).sum()) for k in range(9)
        ]
        assert sorted(health.anchor + 1) == sorted(LENGTHS)
        assert (health.profile["n_nonfinite"] == 0).all()
        assert health.lag == int(0.9 * 5)


def test_a_packed_output_comes_as_the_module_returns_it():
    module, x = made("lstm"), draw(9, 5, D)
    for hx in (None, (draw(1, 5, H), draw(1, 5, H, seed=2))):
        packed = pack_padded_sequence(x, LENGTHS, enforce_sorted=False)
        seen: list[PackedSequence] = []
        gradient_profile(
            module, packed, lambda out, seen=seen: seen.append(out) or out.data.sum(), hx=hx
        )
        expected = module(packed, hx)[0]
        assert torch.allclose(seen[0].data, expected.data, atol=1e-12)
        assert all(torch.equal(a, b) for a, b in zip(seen[0][1:], expected[1:], strict=True))


def test_unbatched_input_and_its_state():
    module, x, hx = made("gru", num_layers=2), draw(9, D), draw(2, H)
    seen: list[Tensor] = []
    health = gradient_profile(
        module, x, lambda out: seen.append(out) or last_loss(out[None]), hx=hx
    )
    assert torch.allclose(seen[0], module(x, hx)[0], atol=1e-12)
    batched = gradient_profile(
        module, x[:, None], lambda out: last_loss(out.transpose(0, 1)), hx=hx[:, None]
    )
    same(of(health.profile, "1", "h"), of(batched.profile, "1", "h"), 1e-12)


# --- exact values (GRADIENT_HEALTH, section 5) ----------------------------------------------------


def at_zero(gain: float, matrix: Tensor) -> nn.Module:
    """A module with h_t = W h_{t-1} exactly: tanh at h = 0 and x = 0."""
    module = made("tanh", bias=False, batch_first=True)
    with torch.no_grad():
        module.weight_hh_l0.copy_(gain * matrix)
    return module


@pytest.mark.parametrize(
    ("gain", "steps"), [(0.9, 200), (1.0, 200), (1.1, 200), (0.5, 1600), (0.001, 150), (3.0, 1200)]
)
def test_linear_orthogonal_is_its_gain_to_the_power_of_the_lag(gain, steps):
    """Down to 1e-481 and up to 1e+572: logarithms never read 0 or Inf."""
    module = at_zero(gain, orthogonal(H, 1.0))
    health = gradient_profile(module, torch.zeros(3, steps, D), lambda out: out[:, -1].sum())
    expected = math.log10(gain) * torch.arange(steps, dtype=torch.float64)
    same(of(health.profile, "1", "h"), expected, 1e-13 * steps)
    same(transport(health), expected, 1e-13 * steps)
    assert (health.profile[["n_zero", "n_nonfinite"]] == 0).all().all()
    assert health.state == (
        "exploding" if gain > 1.05 else "vanishing" if steps * math.log10(gain) < -4 else "carrying"
    )
    lag = int(0.9 * (steps - 1))
    assert health.lag == lag
    assert (
        pytest.approx(
            math.log10(gain) * (np.median(np.arange(math.ceil(0.9 * lag), lag + 1)) - 1), abs=1e-9
        )
        == health.D
    )


def test_a_fused_backward_pass_reads_zero_where_the_profile_does_not():
    """A known mistake: plain norms end at 1e-308 in fp64 and at 1e-38 in fp32."""
    module = at_zero(0.5, orthogonal(H, 1.0))
    hx = torch.zeros(1, 1, H, dtype=torch.float64, requires_grad=True)
    module(torch.zeros(1, 1600, D, dtype=torch.float64), hx)[0][:, -1].sum().backward()
    assert hx.grad.norm() == 0


@pytest.mark.parametrize("gain", [0.5, 1.0, 1.5])
def test_tanh_never_carries_more_than_its_gain(gain):
    module = at_zero(gain, orthogonal(H, 1.0))
    health = gradient_profile(module, draw(8, 60, D), last_loss)
    bound = math.log10(gain) * torch.arange(60, dtype=torch.float64) + 1e-11
    assert (of(health.profile, "1", "h", "log10_p90") <= bound).all()
    assert (of(health.transport, "1", "s", "log10_p90") <= bound).all()


def zeroed(kind: str, **biases: float) -> nn.Module:
    module = made(kind, batch_first=True)
    gates = {"lstm": "ifgo", "gru": "rzn"}[kind]
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
        for gate, value in biases.items():
            at = gates.index(gate)
            module.bias_ih_l0[at * H : (at + 1) * H] = value
    return module


@pytest.mark.parametrize("b", [-1.0, 0.0, 1.0, 3.0])
def test_gates_without_weights_keep_by_their_bias(b):
    x, keep = draw(4, 52, D), 1 / (1 + math.exp(-b))
    lstm = gradient_profile(
        zeroed("lstm", i=0.5, f=b, g=0.5, o=0.5), x, lambda out: out[:, -1].sum()
    )
    gru = gradient_profile(zeroed("gru", z=b), x, lambda out: out[:, -1].sum())
    expected = math.log10(keep) * torch.arange(51, dtype=torch.float64)
    for found in (
        transport(lstm)[1:],
        of(lstm.profile, "1", "c")[1:],
        transport(gru)[:-1],
        of(gru.profile, "1", "h")[:-1],
    ):
        same(found - found[0], expected, 1e-12)
    if b == 1.0:
        assert 10 ** float(transport(lstm)[51] - transport(lstm)[1]) == pytest.approx(
            1.576e-7, rel=1e-3
        )


def test_a_layer_does_not_inherit_its_neighbours_flow():
    module = made("tanh", num_layers=2, bias=False, batch_first=True)
    with torch.no_grad():
        module.weight_hh_l0.copy_(0.1 * torch.eye(H, dtype=torch.float64))
        module.weight_hh_l1.copy_(torch.eye(H))
    health = gradient_profile(module, torch.zeros(4, 30, D), lambda out: out[:, -1].sum())
    lags = torch.arange(30, dtype=torch.float64)
    same(transport(health, "1"), -lags, 1e-12)
    same(transport(health, "2"), 0 * lags, 1e-12)
    assert float(transport(health, "network")[-1]) > -1
    assert health.states.set_index("layer")["state"].to_dict() == {
        "network": "carrying",
        "1": "vanishing",
        "2": "carrying",
    }


def test_a_loss_at_every_step_is_noted_and_can_be_measured_step_by_step():
    module, x = at_zero(0.5, torch.eye(H, dtype=torch.float64)), torch.zeros(3, 40, D)
    whole = gradient_profile(module, x, torch.sum, lag=20)
    lags = torch.arange(40, dtype=torch.float64)
    same(of(whole.profile, "1", "h"), (2 - 0.5**lags).log10(), 1e-12)
    assert float(of(whole.profile, "1", "h").min()) >= 0, "the sum of later losses hides all decay"
    assert any("every_step=True" in note for note in whole.notes)
    alone = gradient_profile(module, x, torch.sum, lag=20, every_step=True)
    same(of(alone.profile, "1", "h"), math.log10(0.5) * lags, 1e-12)
    assert of(alone.profile, "1", "h", "n").tolist()[:21] == [24] * 21, (
        "8 anchors with at least K steps before them, 3 examples"
    )
    assert not alone.notes
    same(transport(whole), math.log10(0.5) * lags, 1e-12)
    assert whole.state == alone.state == "vanishing"


# --- anchors and losses ---------------------------------------------------------------------------


def test_the_anchor_is_the_last_step_the_loss_reads():
    module, x = made("gru", batch_first=True), draw(5, 9, D)
    health = gradient_profile(module, x, lambda out: last_loss(out[:3, :6]))
    expected = gradient_profile(module, x[:3, :6], last_loss)
    assert health.anchor.tolist() == [5, 5, 5, -1, -1]
    same(of(health.profile, "1", "h"), of(expected.profile, "1", "h"), 1e-12)
    assert "2 of 5 examples are left out" in health.notes[0]
    assert "3 of 5" in health.notes[1]
    assert not expected.notes


def test_what_weighs_an_example_cancels():
    module, x = made("lstm", batch_first=True), draw(5, 9, D)
    profiles = [
        gradient_profile(module, x, lambda out, w=w: w * last_loss(out)).profile
        for w in (1.0, 5.0, 1e-200, -1e200)
    ]
    for other in profiles[1:]:
        same(of(other, "1", "h"), of(profiles[0], "1", "h"), 1e-12)


def test_a_loss_whose_gradient_decays_unlike_a_random_direction_is_noted():
    matrix = torch.diag(torch.tensor([1.0, 0.5, 0.5, 0.5, 0.5, 0.5], dtype=torch.float64))
    health = gradient_profile(
        at_zero(1.0, matrix), torch.zeros(3, 40, D), lambda out: out[:, -1, 1].sum()
    )
    assert health.state == "carrying"
    assert [note for note in health.notes if "random direction" in note]
    assert not gradient_profile(
        at_zero(1.0, matrix), torch.zeros(3, 40, D), lambda out: out[:, -1, 0].sum()
    ).notes


def test_single_precision_modules_are_measured_in_fp64():
    wide, x = made("lstm", num_layers=2, batch_first=True), draw(4, 60, D)
    narrow = copy.deepcopy(wide).float()
    with torch.no_grad():
        for a, b in zip(wide.parameters(), narrow.parameters(), strict=True):
            a.copy_(b)
    x = x.float().double()
    head = nn.Linear(H, 1)
    exact_head = copy.deepcopy(head).double()

    def read(by: nn.Module):
        return lambda out: by(out[:, -1]).square().mean()

    for loss, exact, dtype, tolerance in (
        (last_loss, last_loss, "float64", 1e-10),
        (read(head), read(exact_head), "float32", 1e-5),
    ):
        health, expected = (
            gradient_profile(narrow, x.float(), loss),
            gradient_profile(wide, x, exact),
        )
        assert health.loss_dtype == dtype
        same(of(health.profile, "1", "h"), of(expected.profile, "1", "h"), tolerance)
        same(transport(health), transport(expected), 1e-12)


def test_compiled_and_parametrized_modules_are_read_as_they_compute():
    module, x = made("gru", batch_first=True), draw(4, 9, D)
    expected = of(gradient_profile(module, x, last_loss).profile, "1", "h")
    same(
        of(
            gradient_profile(torch.compile(module, backend="eager"), x, last_loss).profile, "1", "h"
        ),
        expected,
        1e-12,
    )
    same(
        of(
            gradient_profile(
                nn.utils.parametrizations.weight_norm(module, "weight_hh_l0"), x, last_loss
            ).profile,
            "1",
            "h",
        ),
        expected,
        1e-12,
    )


def test_not_finite_is_counted_and_undefined():
    module, x = made("tanh", batch_first=True), draw(4, 12, D)
    x[0, 3] = torch.nan
    health = gradient_profile(module, x, last_loss)
    assert of(health.transport, "1", "s", "n_nonfinite").tolist()[1:8] == [1] * 7
    assert health.state == "undefined", "one example in four is more than 10 %"
    relu = made("relu", bias=False, batch_first=True)
    dead = gradient_profile(
        relu, torch.zeros(4, 12, D, dtype=torch.float64), lambda out: out[:, -1].sum()
    )
    assert of(dead.profile, "1", "h", "n_zero").tolist() == [0] + [4] * 11
    assert dead.state == "undefined"


def test_a_layer_that_nothing_reaches_is_zero_and_not_something_that_is_not_a_number():
    module = made("tanh", num_layers=2, batch_first=True)
    with torch.no_grad():
        module.weight_ih_l1.zero_()
    health = gradient_profile(module, draw(4, 12, D), last_loss)
    assert of(health.profile, "1", "h", "n_zero").tolist() == [4] * 12
    assert of(health.profile, "1", "h", "n_nonfinite").tolist() == [0] * 12
    assert of(health.profile, "2", "h", "n_zero").tolist() == [0] * 12


def test_state_margin_and_intervals_follow_the_yaml():
    limits = yaml.safe_load((conf_folder() / "config.yaml").read_text())["health"]
    health = gradient_profile(
        made("gru", num_layers=2, batch_first=True), draw(16, 30, D), last_loss, lag=20
    )
    assert health.thresholds == Thresholds(
        **{name: limits[name] for name in Thresholds.__dataclass_fields__}
    )
    assert (health.state, health.margin) == state_of(health.D, health.U, health.thresholds)
    assert health.D_interval[0] <= health.D <= health.D_interval[1]
    assert health.U_interval[0] <= health.U <= health.U_interval[1]
    assert health.lag == 20
    assert str(health).startswith(f"{health.state}: D {health.D:+.2f}")
    figure = health.plot()
    left, right = figure.axes
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["layer 1", "layer 2"]
    assert health.state in right.get_title()
    drawn = right.get_lines()[
        [line.get_label() for line in right.get_lines()].index("network")
    ].get_ydata()
    assert np.allclose(drawn, (transport(health) - transport(health)[1])[1:])


# --- the module is only read ----------------------------------------------------------------------


@pytest.mark.parametrize("surroundings", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_nothing_is_changed(surroundings):
    module = made("lstm", num_layers=2, batch_first=True, dropout=0.5).train()
    head = nn.Sequential(nn.Dropout(0.5), nn.Linear(H, 1)).double()
    x = draw(4, 9, D)
    module(x)[0].sum().backward()
    before = {
        name: (value.clone(), value.grad.clone()) for name, value in module.named_parameters()
    }
    random, inputs = torch.get_rng_state(), x.clone()
    with surroundings():
        health = gradient_profile(module, x, lambda out: head(out[:, -1]).square().mean())
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(x, inputs)
    assert x.grad is None
    for name, value in module.named_parameters():
        assert torch.equal(value, before[name][0])
        assert torch.equal(value.grad, before[name][1])
    assert all(parameter.grad is None for parameter in head.parameters())
    assert module.training
    assert not module._forward_hooks
    assert any("Dropout 0.5" in note for note in health.notes)


def test_importing_the_package_costs_nothing():
    code = (
        "import sys, study.probes; print(sorted({'torch', 'pandas', 'matplotlib', 'numpy'} &"
        " set(sys.modules)))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout.strip()
        == "[]"
    )


# --- bad input ------------------------------------------------------------------------------------


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(D, D), nn.GRU(D, H))


class Own(nn.LSTM):
    def forward(self, x, hx=None):
        return super().forward(2 * x, hx)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (
            nn.Linear(D, H),
            "module must be a torch.nn.RNN, LSTM or GRU, got Linear, which contains none",
        ),
        (
            Tagger(),
            (
                r"got Tagger; pass the recurrent layer inside it and its inputs:"
                r" module.encoder.1 \(GRU\)"
            ),
        ),
        (
            nn.LSTM(D, H, bidirectional=True),
            "bidirectional=True is not supported.*Use two torch.nn.LSTM of one direction",
        ),
        (nn.LSTM(D, H, proj_size=2), "proj_size=2 is not supported.*use proj_size=0"),
        (nn.LSTMCell(D, H), "LSTMCell computes single steps.*torch.nn.LSTM"),
        (Own(D, H), "Own overrides forward"),
        (lambda x: x, "module must be a torch.nn.RNN, LSTM or GRU, got function"),
    ],
)
def test_modules_it_cannot_measure(module, message):
    with pytest.raises(StudyError, match=message):
        gradient_profile(module, torch.randn(9, 5, D), torch.sum)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"x": np.zeros((9, 5, D))},
            "x must be a tensor of floating-point numbers or a PackedSequence of them, got ndarray",
        ),
        ({"x": torch.zeros(9, 5, D, dtype=torch.long)}, "got torch.int64"),
        (
            {"x": torch.zeros(9, 5, D + 1)},
            (
                rf"\[T, B, D\] \(batch_first=False\) or \[T, D\], with D = input_size = {D}, got"
                rf" \[9, 5, {D + 1}\]"
            ),
        ),
        ({"x": torch.zeros(9, 5, D, 1)}, "x must have shape"),
        ({"x": torch.zeros(1, 5, D)}, "at least one example and two steps"),
        ({"x": torch.zeros(9, 0, D)}, "at least one example and two steps"),
        ({"x": pack_sequence([torch.zeros(4, D + 1)])}, f"input_size = {D} columns"),
        ({"hx": torch.zeros(1, 5, H)}, r"hx must be \(h_0, c_0\), each of shape \[1, 5, 6\]"),
        ({"hx": (torch.zeros(1, 5, H), torch.zeros(1, 4, H))}, r"got \[\[1, 5, 6\], \[1, 4, 6\]\]"),
        (
            {"loss_fn": lambda out: out[-1].square().mean(-1)},
            (
                r"one number, such as losses.mean\(\) or .sum\(\) over the batch; got a tensor of"
                r" shape \[5\]"
            ),
        ),
        ({"loss_fn": lambda out: 0.0}, "got float"),
        ({"loss_fn": lambda out: out.detach().sum()}, "without detach"),
        ({"loss_fn": lambda out: (0 * out).sum()}, "does not depend on the layer's output"),
        ({"loss_fn": lambda out: out[0].sum()}, "reads the first step alone"),
        ({"lag": 9}, "lag must be a whole number between 1 and 8.*got 9"),
        ({"lag": 0}, "got 0"),
    ],
)
def test_input_that_is_wrong(change, message):
    given = {"x": torch.randn(9, 5, D), "loss_fn": lambda out: out[-1].square().sum(), **change}
    with pytest.raises(StudyError, match=message):
        gradient_profile(nn.LSTM(D, H), **given)


def test_what_the_loss_itself_raises_is_shown_as_it_is():
    with pytest.raises(IndexError, match="out of bounds"):
        gradient_profile(nn.LSTM(D, H), torch.randn(9, 5, D), lambda out: out[50].sum())
