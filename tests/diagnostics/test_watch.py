"""watch: its records of a user's training loop, which it does not change."""

from __future__ import annotations

import contextlib
import copy
import gc
import math
import warnings
import weakref

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from study.probes import gradient_profile, watch
from study.records import StudyError
from tests.support import pages
from tests.support.plain_modules import gradients, log_ratios, mean_by_lag

D, H, T, B = 3, 6, 9, 5
COLUMNS = ["log10_mean", "log10_p10", "log10_p90", "log10_rms", "n", "n_zero", "n_nonfinite"]


class Net(nn.Module):
    """A network around one recurrent layer."""

    def __init__(self, kind=nn.LSTM, **settings) -> None:
        super().__init__()
        self.embed = nn.Linear(D, D)
        self.encoder = nn.ModuleDict({"rnn": kind(D, H, batch_first=True, **settings)})
        self.head = nn.Linear(H, 1)

    def forward(self, x: Tensor) -> Tensor:
        output, _ = self.encoder["rnn"](self.embed(x))
        return self.head(output[:, -1])


def made(kind=nn.LSTM, *, dtype=torch.float64, **settings) -> Net:
    torch.manual_seed(0)
    return Net(kind, **settings).to(dtype)


def draw(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def train(net: nn.Module, updates: int, *, clip: float = 0.1, dtype=torch.float64) -> list[float]:
    """A plain loop; returns the norms of clip_grad_norm_."""
    optimizer, said = torch.optim.SGD(net.parameters(), lr=0.1), []
    for update in range(updates):
        x = draw(B, T, D, seed=update).to(dtype)
        optimizer.zero_grad()
        (net(x) - x.sum((1, 2))[:, None]).square().mean().backward()
        said.append(float(torch.nn.utils.clip_grad_norm_(net.parameters(), clip)))
        optimizer.step()
    return said


def clean(net: nn.Module) -> bool:
    return not any(part._forward_hooks for part in net.modules()) and not any(
        parameter._post_accumulate_grad_hooks for parameter in net.parameters()
    )


def rows(frame, **where):
    for key, value in where.items():
        frame = frame[frame[key] == value]
    assert len(frame), where
    return frame.sort_values("lag")


# --- norms ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-6)])
def test_norms_are_those_before_clipping(dtype, tolerance):
    net = made(dtype=dtype)
    with watch(net, every=None) as watched:
        said = train(net, 300, dtype=dtype)
    assert watched.norms["norm"].tolist() == pytest.approx(said, rel=tolerance)
    assert min(said) > 0.1, "all were clipped: norms after it would all be .1"
    assert watched.norms["backward"].tolist() == list(range(300))
    assert watched.norms["nonfinite"].isna().all()
    assert not len(watched.profiles)


def test_norms_of_accumulated_gradients_and_of_frozen_parameters():
    net = made()
    net.embed.requires_grad_(False)
    said = []
    with watch(net, every=2) as watched:
        for update in range(3):
            net.zero_grad()
            for part in range(2):
                net(draw(B, T, D, seed=10 * update + part)).square().mean().backward()
                said.append(float(nn.utils.clip_grad_norm_(net.parameters(), math.inf)))
    assert watched.norms["norm"].tolist() == pytest.approx(said, rel=1e-12)
    assert said[1] > said[0]
    assert sorted(set(watched.states["backward"])) == [0, 2, 4]


def test_a_norm_that_single_precision_loses_and_the_first_tensor_that_is_not_finite():
    net, x = made(dtype=torch.float32), torch.ones(B, T, D)
    with watch(net, every=None) as watched:
        for scale in (1e30, 1e-30, math.inf):
            net.zero_grad()
            (net(x).sum() * scale).backward()
    found = watched.norms["norm"].tolist()
    net.zero_grad()
    net(x).sum().backward()
    one = math.sqrt(
        sum(float(parameter.grad.double().square().sum()) for parameter in net.parameters())
    )
    assert found[:2] == pytest.approx([one * 1e30, one * 1e-30], rel=1e-5)
    assert not math.isfinite(found[2])
    assert watched.norms["nonfinite"].isna().tolist() == [True, True, False]
    assert watched.norms["nonfinite"].iloc[2] == "embed.weight"


def test_norms_with_a_gradient_scaler_are_of_the_unscaled_loss():
    net, scaler = made(dtype=torch.float32), torch.amp.GradScaler("cpu", init_scale=1024.0)
    optimizer, said = torch.optim.SGD(net.parameters(), lr=0.1), []
    with watch(net, every=1, scaler=scaler) as watched:
        for update in range(3):
            optimizer.zero_grad()
            scaler.scale(net(draw(B, T, D, seed=update).float()).square().mean()).backward()
            scaler.unscale_(optimizer)
            said.append(float(nn.utils.clip_grad_norm_(net.parameters(), 1.0)))
            scaler.step(optimizer)
            scaler.update()
    assert watched.norms["norm"].tolist() == pytest.approx(said, rel=1e-6)
    assert set(watched.states["backward"]) == {0, 1, 2}


def test_half_precision_autocast_without_its_scaler_is_refused():
    net = made(dtype=torch.float32)
    with (
        watch(net, every=1),
        torch.autocast("cpu", dtype=torch.float16),
        pytest.raises(StudyError, match="pass the loop's GradScaler"),
    ):
        net(torch.zeros(B, T, D))
    with watch(net, every=1) as watched, torch.autocast("cpu", dtype=torch.bfloat16):
        net(draw(B, T, D).float()).square().mean().backward()
    assert watched.states["state"].notna().all()


# --- profiles -------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [nn.RNN, nn.LSTM, nn.GRU])
def test_profiles_of_every_nth_pass_equal_gradient_profile(kind):
    net = made(kind, num_layers=2)
    expected = {}
    with watch(net, every=3) as watched:
        for update in range(7):
            x, y = draw(B, T, D, seed=update), draw(B, 1, seed=100 + update)
            if update % 3 == 0:
                layer, head = copy.deepcopy(net.encoder["rnn"]), copy.deepcopy(net.head)

                def loss(out, head=head, y=y):
                    return (head(out[:, -1]) - y).square().mean()

                expected[update] = gradient_profile(layer, net.embed(x), loss)
            net.zero_grad()
            (net(x) - y).square().mean().backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1e-3)
            with torch.no_grad():
                for parameter in net.parameters():
                    parameter -= 30 * parameter.grad
    assert sorted(set(watched.profiles["backward"])) == [0, 3, 6]
    assert set(watched.profiles["module"]) == {"encoder.rnn"}
    for update, health in expected.items():
        for (layer, state), part in health.profile.groupby(["layer", "state"]):
            found = rows(watched.profiles, backward=update, probe="loss", layer=layer, state=state)
            assert np.allclose(
                found[COLUMNS], part.sort_values("lag")[COLUMNS], rtol=0, atol=1e-10, equal_nan=True
            )
        assert rows(watched.profiles, backward=update, probe="transport")["n"].max() == B
    at_start = watched.states[watched.states["backward"] == 0].set_index("layer")
    assert at_start.loc["network", "D"] == pytest.approx(expected[0].D, abs=1e-10)


def profile_of(watched, layer: int, state: str) -> Tensor:
    return torch.tensor(
        rows(watched.profiles, probe="loss", layer=str(layer), state=state)["log10_mean"].to_numpy()
    )


@pytest.mark.parametrize("reads", ["output", "h_n", "c_n", "all"])
def test_any_loss_is_followed_exactly_the_last_states_among_them(reads):
    torch.manual_seed(0)
    module, x = nn.LSTM(D, H, num_layers=2, dtype=torch.float64), draw(T, B, D)
    first = (draw(2, B, H, seed=4), draw(2, B, H, seed=5))

    def loss(output, h, c):
        parts = {"output": output[-1].square().sum(), "h_n": h.square().sum(), "c_n": c.sin().sum()}
        return sum(parts.values()) + output[3].sum() if reads == "all" else parts[reads]

    with watch(module, every=1) as watched:
        output, (h, c) = module(x, first)
        loss(output, h, c).backward()
    assert set(watched.states["module"]) == {"LSTM"}
    anchor = torch.full((B,), T - 1)
    for number, states in enumerate(gradients(module, x, loss, first), start=1):
        start = torch.cat(states, -1)
        for name, gradient in zip("hc", states, strict=True):
            expected = mean_by_lag(log_ratios(gradient, start, anchor))
            assert torch.allclose(
                profile_of(watched, number, name), expected, rtol=0, atol=1e-10, equal_nan=True
            )


@pytest.mark.parametrize("sort", [True, False])
def test_packed_sequences_and_the_first_examples_alone(sort):
    torch.manual_seed(0)
    lengths = torch.tensor([9, 8, 6, 4, 2]) if sort else torch.tensor([4, 9, 2, 8, 6])
    module, x = nn.GRU(D, H, num_layers=2, batch_first=True, dtype=torch.float64), draw(B, T, D)
    packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=sort)
    with watch(module, every=1, examples=3) as watched:
        output, h = module(packed)
        (h[1].square().sum() + pad_packed_sequence(output)[0].sum(0)[:, 0].sum()).backward()
    parts = [[], []]
    for b in range(3):
        alone = gradients(
            module,
            x[b, : lengths[b], None],
            lambda output, h, _: h[1].square().sum() + output[..., 0].sum(),
        )
        for layer in (0, 1):
            parts[layer] += log_ratios(alone[layer][0], alone[layer][0], lengths[b : b + 1] - 1)
    for layer in (0, 1):
        assert torch.allclose(
            profile_of(watched, layer + 1, "h"), mean_by_lag(parts[layer]), rtol=0, atol=1e-10
        )


def test_a_layer_called_twice_in_one_pass_has_one_profile_per_call():
    """Windows that pass on their state: the second call's gradient reaches the first through h."""
    torch.manual_seed(0)
    module, x = nn.GRU(D, H, dtype=torch.float64), draw(2 * T, B, D)
    with watch(module, every=1) as watched:
        _, h = module(x[:T])
        output, _ = module(x[T:], h)
        output[-1].square().sum().backward()
    (states,) = gradients(module, x, lambda output, *_: output[-1].square().sum())[0]
    first, second = (
        log_ratios(part, part, torch.full((B,), T - 1)) for part in (states[:T], states[T:])
    )
    for call, expected in enumerate((first, second)):
        found = rows(watched.profiles, call=call, probe="loss", layer="1", state="h")["log10_mean"]
        assert np.allclose(found, mean_by_lag(expected), rtol=0, atol=1e-10)


def test_several_recurrent_layers_have_profiles_of_their_own():
    torch.manual_seed(0)
    net = nn.ModuleDict(
        {"a": nn.LSTM(D, H, dtype=torch.float64), "b": nn.GRU(H, H, dtype=torch.float64)}
    )
    with watch(net, every=1) as watched:
        net["b"](net["a"](draw(T, B, D))[0])[0][-1].square().sum().backward()
    assert set(watched.verdicts) == {"a", "b"}
    assert set(watched.states["module"]) == {"a", "b"}
    assert len(watched.plot().axes) == 6


# --- what is no training pass ---------------------------------------------------------------------


def test_evaluation_leaves_nothing_behind():
    net = made()
    with watch(net, every=1) as watched:
        with torch.no_grad():
            net(draw(B, T, D))
        x = draw(B, T, D)
        unused, seen = net(x), weakref.ref(x)
        inputs = draw(B, T, D).requires_grad_()
        torch.autograd.grad(net(inputs).sum(), inputs)
        del x, unused
        gc.collect()
        assert seen() is None, "a pass without a backward pass must not be kept"
        assert not len(watched.norms)
        net(draw(B, T, D)).sum().backward()
    assert len(watched.norms) == 1
    assert set(watched.profiles["call"]) == {0}


def test_the_loop_does_not_notice():
    weights = []
    for surroundings in (lambda net: contextlib.nullcontext(), lambda net: watch(net, every=2)):
        net = made(dtype=torch.float32, num_layers=2, dropout=0.3)
        with surroundings(net):
            train(net, 6, dtype=torch.float32)
        weights.append(
            [*(parameter.detach() for parameter in net.parameters()), torch.get_rng_state()]
        )
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_dropout_between_the_layers_is_noted():
    net = made(num_layers=2, dropout=0.3)
    with watch(net, every=1) as watched:
        train(net, 1)
    assert watched.notes == ("encoder.rnn: Dropout 0.3 between the layers is left out.",)


def test_hooks_are_gone_after_an_exception_and_what_was_seen_stays():
    net = made()
    with pytest.raises(ZeroDivisionError), watch(net, every=1) as watched:
        train(net, 2)
        raise ZeroDivisionError
    assert clean(net)
    assert len(watched.norms) == 2
    train(net, 1)
    assert len(watched.norms) == 2


def test_a_graph_made_inside_and_used_outside_is_ignored():
    net = made()
    with watch(net, every=1) as watched:
        loss = net(draw(B, T, D)).sum()
    loss.backward()
    assert not len(watched.norms)


def test_a_backward_pass_that_fails_does_not_spoil_the_next():
    class Fails(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            raise RuntimeError("jammed")

    net, x = made(), draw(B, T, D)
    with watch(net, every=1) as watched:
        with pytest.raises(RuntimeError, match="jammed"):
            net.head(net.encoder["rnn"](Fails.apply(net.embed(x)))[0][:, -1]).sum().backward()
        net.zero_grad()
        net(x).sum().backward()
        said = float(nn.utils.clip_grad_norm_(net.parameters(), math.inf))
    assert watched.norms["norm"].tolist() == pytest.approx([said], rel=1e-12)
    assert set(watched.profiles["call"]) == {0}


def test_what_a_failed_backward_pass_left_behind_is_no_part_of_the_next_over_the_same_graph():
    class FailsOnce(torch.autograd.Function):
        jammed = False

        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, grad):
            if not FailsOnce.jammed:
                FailsOnce.jammed = True
                raise RuntimeError("jammed")
            return grad

    torch.manual_seed(0)
    module, x = nn.LSTM(D, H, dtype=torch.float64), draw(T, B, D).requires_grad_()
    with watch(module, every=1) as watched:
        output, (_, c) = module(FailsOnce.apply(x))
        with pytest.raises(RuntimeError, match="jammed"):
            (output[-1].sum() + 100 * c.sum()).backward(retain_graph=True)
        output[-1].sum().backward()
    expected = gradients(module, x.detach(), lambda output, *_: output[-1].sum())[0]
    start = torch.cat(expected, -1)
    assert torch.allclose(
        profile_of(watched, 1, "h"),
        mean_by_lag(log_ratios(expected[0], start, torch.full((B,), T - 1))),
        rtol=0,
        atol=1e-10,
    )


def test_a_copy_made_inside_is_not_watched():
    net = made()
    with watch(net, every=1) as watched:
        average = copy.deepcopy(net)
        average(draw(B, T, D)).sum().backward()
        assert not len(watched.norms)
        (net(draw(B, T, D)) + average(draw(B, T, D))).sum().backward()
    assert len(watched.norms) == 1
    assert set(watched.profiles["call"]) == {0}


def test_nothing_to_measure_is_a_warning_and_the_loop_goes_on():
    torch.manual_seed(0)
    net = made()
    with watch(net, every=1) as watched, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            (0 * net(draw(B, T, D))).sum().backward()
            net(draw(B, 1, D)).sum().backward()
    assert len(watched.norms) == 4
    assert not len(watched.states)
    assert len(caught) == len(watched.notes) == 2
    assert any("gradient there is exactly 0" in note for note in watched.notes)
    with pytest.raises(StudyError, match="no profile was taken"):
        _ = watched.verdict
    assert len(watched.plot().axes) == 3


# --- verdict and figure ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ((0.1, 0.5, 1, 1, 1), "opens"),
        ((0.1, 1), "opens"),  # the first is not part of the end
        ((1, 1, 1), "carries"),
        ((0.1, 0.1), "shut"),
        ((1, 0.1, 0.1), "closes"),
        ((0.1, 1.5, 1.5, 1.5), "explodes"),
    ],
)
def test_the_verdict_goes_from_the_first_state_to_the_last(gains, verdict):
    """tanh at h = 0 and x = 0 is h_t = W h_{t-1} exactly."""
    module, x = (
        nn.RNN(D, H, bias=False, dtype=torch.float64),
        torch.zeros(40, B, D, dtype=torch.float64),
    )
    with watch(module, every=1) as watched:
        for gain in gains:
            with torch.no_grad():
                module.weight_hh_l0.copy_(gain * torch.eye(H))
            module(x)[0][-1].sum().backward()
    assert watched.verdict == verdict
    assert watched.verdicts == {"RNN": verdict}
    network = watched.states[watched.states["layer"] == "network"]
    assert network["state"].iloc[0] == {0.1: "vanishing", 1: "carrying"}[gains[0]]
    norms, health, travel = watched.plot().axes
    assert len(norms.get_lines()) >= 1
    assert health.get_title() == f"RNN: {verdict}"
    D_line = next(line for line in health.get_lines() if line.get_label() == "D")
    assert D_line.get_ydata() == pytest.approx(network["D"].tolist())
    assert len(travel.get_legend().get_texts()) == len(gains)


def test_the_example_of_the_page_runs_as_pasted(tmp_path, monkeypatch):
    section = pages.section("study/README.md", "Your own network")
    blocks = [part.split("```")[0] for part in section.split("```python\n")[1:]]
    assert len(blocks) == 2
    assert len([line for line in blocks[0].splitlines() if line]) <= 10
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    torch.manual_seed(0)
    for block in blocks:
        exec(block, names)
    assert names["health"].state == "vanishing"
    assert len(names["watched"].norms) == 60
    assert (tmp_path / "health.png").stat().st_size > 10_000
    assert (tmp_path / "watched.png").stat().st_size > 10_000


# --- bad input ------------------------------------------------------------------------------------


class Bidirectional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.tagger = nn.LSTM(D, H, bidirectional=True)


@pytest.mark.parametrize(
    ("module", "settings", "message"),
    [
        (
            nn.Linear(2, 2),
            {"every": 1},
            "no torch.nn.RNN, LSTM or GRU inside Linear; every=None records gradient norms alone",
        ),
        (
            nn.LSTM(2, 2),
            {"every": 0},
            "every must be a whole number of at least 1, or None for norms alone; got 0",
        ),
        (nn.LSTM(2, 2), {"every": True}, "every must be a whole number"),
        (nn.LSTM(2, 2), {"every": 1, "lag": 0}, "lag must be a whole number"),
        (nn.LSTM(2, 2), {"every": 1, "examples": 2.5}, "examples must be a whole number"),
        (Bidirectional(), {"every": 1}, "tagger: bidirectional=True is not supported.*every=None"),
        (
            nn.Sequential(nn.DataParallel(nn.LSTM(2, 2))),
            {"every": None},
            "0 is DataParallel, which gathers gradients elsewhere",
        ),
        (
            torch.compile(nn.LSTM(2, 2), backend="eager"),
            {"every": 1},
            "is compiled, and hooks cannot see inside; watch and train the module from before",
        ),
        ("lstm", {"every": 1}, "module must be a torch.nn.Module, got str"),
    ],
)
def test_what_it_cannot_watch(module, settings, message):
    with pytest.raises(StudyError, match=message):
        watch(module, **settings)


def test_misuse_of_the_context():
    net = made()
    with watch(net, every=1) as watched, pytest.raises(StudyError, match="already open"), watched:
        pass
    net.requires_grad_(False)
    with (
        pytest.raises(StudyError, match="no parameter of the module requires a gradient"),
        watch(net, every=1),
    ):
        pass
    assert clean(net)


def test_a_bidirectional_layer_has_norms_at_least():
    net = Bidirectional()
    with watch(net, every=None) as watched:
        net.tagger(torch.zeros(T, B, D))[0].sum().backward()
    assert len(watched.norms) == 1
