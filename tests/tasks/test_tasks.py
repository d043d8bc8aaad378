"""Tasks: published facts, baselines, and no leaks."""

from __future__ import annotations

import math

import pytest
import torch

from study.health.verdicts import OutcomeLimits, Run, outcome
from study.interfaces import Batch, Parameter
from study.numerics.streams import generator
from study.tasks.adding import Adding
from study.tasks.caption import LETTERS, NAMES, Caption
from study.tasks.copying import BLANK, MARKER, Copying
from study.tasks.diffusion import Diffusion
from study.tasks.digits import Digits
from study.tasks.moving_digits import HEADINGS, MovingDigits
from study.tasks.noiseless_memory import NoiselessMemory
from study.tasks.parity import Parity
from study.tasks.recall import Recall
from study.tasks.shared.losses import correct, cross_entropy, squared_error
from study.tasks.temporal_order import TemporalOrder
from tests.support.helpers import MinGRU, point, run

DIGITS = {
    "form": "pixel",
    "permuted": False,
    "lag": None,
    "validation": 360,
    "test": 360,
    "split_seed": 0,
    "solved": 0.9,
}


def digits(**changes) -> Digits:
    task = Digits(**{**DIGITS, **changes})
    task.load()
    return task


def one(batch: Batch) -> Batch:
    return Batch(
        batch.x[None], batch.y[None], None if batch.lengths is None else batch.lengths[None]
    )


def test_digits_are_scikit_learns_split_1077_360_360_and_stratified():
    from sklearn.datasets import load_digits

    task = digits()
    parts = task.parts
    assert {name: len(part.x) for name, part in parts.items()} == {
        "train": 1077,
        "validation": 360,
        "test": 360,
    }
    images = {tuple(row) for row in load_digits().data.tolist()}
    seen = [tuple(x) for part in parts.values() for x in (part.x.flatten(1) * 16).tolist()]
    assert len(seen) == 1797
    assert set(seen) == images
    for part in parts.values():
        shares = torch.bincount(part.y, minlength=10) / len(part.y)
        assert float((shares - 0.1).abs().max()) < 0.006
    assert task.facts.steps == task.facts.lag == 64
    assert digits().data_hash() == task.data_hash() != digits(split_seed=1).data_hash()


def test_digits_by_row_and_permuted_hold_the_same_pixels():
    pixel, row, permuted = digits(), digits(form="row"), digits(permuted=True)
    assert row.facts.steps == 8
    assert row.facts.inputs == 8
    assert torch.equal(pixel.parts["test"].x.flatten(1), row.parts["test"].x.flatten(1))
    a, b = pixel.parts["test"].x.flatten(1), permuted.parts["test"].x.flatten(1)
    assert not torch.equal(a, b)
    assert torch.equal(a.sort(1).values, b.sort(1).values)
    assert torch.equal(permuted.parts["test"].x, digits(permuted=True).parts["test"].x), (
        "one fixed permutation"
    )
    rough_a, rough_b = (each.diff(dim=1).abs().mean() for each in (a, b))
    assert rough_b > 1.2 * rough_a, "neighbouring pixels no longer follow each other"


def test_an_epoch_shows_every_training_example_once_and_the_next_another_order():
    task = digits()

    def stream(*key):
        return generator(0, "data", *key)

    count = 1077
    labels = torch.cat(
        [task.sample(stream, update, 64).x.flatten(1) for update in range(2 * count // 64 + 1)]
    )
    first, second = labels[:count], labels[count : 2 * count]
    assert len(torch.unique(first, dim=0)) == len(
        torch.unique(task.parts["train"].x.flatten(1), dim=0)
    )
    assert torch.allclose(first.sum(0), task.parts["train"].x.flatten(1).sum(0))
    assert not torch.equal(first, second)
    assert torch.allclose(second.sum(0), first.sum(0)), "the second epoch is whole too"
    assert len(torch.unique(second, dim=0)) == len(torch.unique(first, dim=0))


def test_training_examples_scored_are_as_many_as_validation_has():
    task = digits(validation=100, test=100)
    assert len(task.split("train").x) == 100
    assert len(task.parts["train"].x) == 1597


def test_the_memoryless_baseline_of_digits():
    """Class frequencies as probabilities, and the most frequent class as the guess."""
    task = digits()
    train = task.parts["train"]
    shares = torch.bincount(train.y, minlength=10) / len(train.y)
    outputs = shares.log().expand(1, len(train.y), 10)
    assert float(task.loss(outputs, one(train))) == pytest.approx(
        task.facts.baseline_loss, rel=1e-5
    )
    assert float(task.metric(outputs, one(train)).mean()) == pytest.approx(
        task.facts.baseline, rel=1e-5
    )
    assert task.facts.higher_is_better


@pytest.mark.parametrize(
    ("task", "constant"),
    [
        (Adding(steps=50, lag=None, examples=20000, solved=0.01), torch.ones(1, 20000, 1)),
        (TemporalOrder(steps=50, lag=None, examples=20000, solved=0.99), torch.zeros(1, 20000, 4)),
        (Parity(steps=10, lag=None, examples=20000, solved=0.99), torch.zeros(1, 20000, 10, 2)),
    ],
    ids=["adding", "temporal_order", "parity"],
)
def test_the_memoryless_baseline_is_what_a_constant_scores(task, constant):
    test = one(task.split("test"))
    assert float(task.loss(constant, test)) == pytest.approx(task.facts.baseline_loss, rel=0.02)
    assert float(task.metric(constant, test).mean()) == pytest.approx(task.facts.baseline, rel=0.05)


def test_the_memoryless_baseline_of_copying():
    """Blank until the marker, then all symbols with equal probability."""
    task = Copying(steps=40, lag=None, examples=2000, solved=0.99)
    test = one(task.split("test"))
    outputs = torch.full((1, 2000, 40, 9), -50.0)
    outputs[..., :30, BLANK] = 50.0
    outputs[..., 30:, :BLANK] = 0.0
    assert float(task.loss(outputs, test)) == pytest.approx(10 * math.log(8) / 40, rel=1e-4)
    assert task.facts.baseline_loss == pytest.approx(10 * math.log(8) / 40)
    assert float(task.metric(outputs, test).mean()) == pytest.approx(
        task.facts.baseline, abs=0.01
    ), "recall of the symbols alone"
    right = torch.nn.functional.one_hot(test.y, 9).float()
    assert (task.metric(right, test) == 1).all()


def test_the_memoryless_baseline_of_noiseless_memory():
    """Blank until the marker, then both bits with equal probability."""
    task = NoiselessMemory(bits=4, wait=10, lag=None, examples=2000, solved=0.99)
    test = one(task.split("test"))
    outputs = torch.full((1, 2000, 19, 3), -50.0)
    outputs[..., :15, 2] = 50.0
    outputs[..., 15:, :2] = 0.0
    assert float(task.loss(outputs, test)) == pytest.approx(4 * math.log(2) / 19, rel=1e-4)
    assert task.facts.baseline_loss == pytest.approx(4 * math.log(2) / 19)
    assert float(task.metric(outputs, test).mean()) == pytest.approx(task.facts.baseline, abs=0.02)
    assert (task.metric(torch.nn.functional.one_hot(test.y, 3).float(), test) == 1).all()
    x, y = task.split("test").x.argmax(-1), task.split("test").y
    assert torch.equal(x[:, :4], y[:, task.facts.lag : task.facts.lag + 4]), (
        "a bit is asked for `lag` steps after it was shown"
    )
    assert (x[:, 4:14] == 2).all()
    assert (x[:, 14] == 3).all()
    assert (y[:, :15] == 2).all()


def test_recall_asks_once_for_every_pair_that_it_shows():
    """And a constant scores its memoryless baseline, counting values without keys more."""
    task = Recall(pairs=8, keys=16, lag=None, examples=2000, solved=0.99)
    test = one(task.split("test"))
    keys, values = test.x[0, ..., :16].argmax(-1), test.x[0, ..., 16:]
    assert (test.x[0, ..., :16].sum(-1) == 1).all() and not values[:, 8:].any()
    assert (test.y[0, :, :8] == 8).all()
    for key, value, y in zip(
        keys[:50], values[:50, :8].argmax(-1), test.y[0, :50, 8:], strict=True
    ):
        shown = dict(zip(key[:8].tolist(), value.tolist(), strict=True))
        assert len(shown) == 8 and [shown[asked] for asked in key[8:].tolist()] == y.tolist()
    outputs = torch.full((1, 2000, 16, 9), -50.0)
    outputs[..., :8, 8] = 50.0
    outputs[..., 8:, :8] = 0.0
    assert float(task.loss(outputs, test)) == pytest.approx(task.facts.baseline_loss, rel=1e-4)
    assert float(task.metric(outputs, test).mean()) == pytest.approx(task.facts.baseline, abs=0.01)
    outputs[..., 8:, :8] = values.sum(1)[None, :, None]
    assert float(task.metric(outputs, test).mean()) == pytest.approx(0.33, abs=0.01)


def test_the_best_errors_of_diffusion_are_those_of_the_best_linear_rules():
    """Of least squares on many examples: from all readings, and from each node's own.

    On a graph whose nodes differ; few steps, so that nothing has settled.
    """
    edges = [[0, 1], [1, 2], [2, 3, 3.0], [3, 1]]
    settings = {"spread": 0.7, "shock": 0.6, "noise": 0.8, "lag": None, "solved": None}
    task = Diffusion(nodes=4, edges=edges, steps=3, examples=40000, **settings)
    x, y = (value.double() for value in (task.split("test").x, task.split("test").y))

    def fitted(readings, wanted):
        rest = wanted - readings @ torch.linalg.lstsq(readings, wanted).solution
        return float(rest.square().mean())

    alone = [fitted(x[..., node], y[:, node, None]) for node in range(4)]
    assert task.best == pytest.approx(fitted(x.flatten(1), y), rel=0.02)
    assert task.alone == pytest.approx(sum(alone) / 4, rel=0.02)
    assert task.facts.baseline == pytest.approx(task.guess_loss("test"), rel=0.02)
    assert 1.2 * task.best < task.facts.solved < task.alone < 0.9 * task.facts.baseline


def test_parity_is_the_exclusive_or_of_all_bits_so_far():
    batch = Parity(steps=9, lag=None, examples=50, solved=0.99).split("validation")
    for x, y in zip(batch.x[..., 0].tolist(), batch.y.tolist(), strict=True):
        state = 0
        for bit, expected in zip(x, y, strict=True):
            state ^= bit > 0
            assert state == expected


class InputGated(MinGRU):
    """minGRU with biases: gates in (0, 1) that depend on the input alone."""

    def shapes(self, inputs, hidden):
        return (*super().shapes(inputs, hidden), Parameter("bias", "bias", ("z", "n"), (hidden,)))

    def step(self, params, x, state):
        z, n = (x @ params["weight_x"].transpose(1, 2) + params["bias"][:, None]).chunk(2, -1)
        return (state[0] + z.sigmoid() * (n - state[0]),)


def test_parity_is_solved_by_a_gru_and_not_by_gates_that_see_the_input_alone(tmp_path):
    """Flipping a state takes a factor of -1 (Grazzi 2025, arXiv 2411.12537).

    Input-gated cells learn the first steps and guess the last.
    """
    own = {
        "task": {
            "_target_": "study.tasks.parity.Parity",
            "steps": 12,
            "lag": None,
            "examples": 200,
            "solved": 0.99,
        },
        "readout": {"_target_": "study.readouts.every.Every"},
        "optimizer": {**point().config["optimizer"], "lr": 0.01},
    } | {
        "updates": 200,
        "hidden": 32,
        "batch": 32,
        "validate_every": 50,
        "probe": {},
        "kernel": "reference",
    }
    found = {}
    for cell in ("study.cells.gru.GRU", "tests.tasks.test_tasks.InputGated"):
        points = run(
            [point(seed, **own, cell={"_target_": cell}) for seed in (0, 1)], tmp_path / cell
        ).points()
        found[cell] = [*zip(points["outcome"], points["score"], strict=True)]
    gru, gated = found.values()
    assert gru == [("solved", 1.0)] * 2
    assert all(outcome == "learning" and score < 0.65 for outcome, score in gated), gated


@pytest.mark.parametrize("target", ["motion", "digit"])
def test_films_show_a_real_digit_that_moves_and_then_stands_still(target):
    task = MovingDigits(
        target=target,
        canvas=12,
        moving=5,
        still=3,
        lag=None,
        examples=200,
        split_seed=0,
        solved=0.9,
    )
    task.load()
    film = task.split("test")
    frames = film.x.reshape(200, 8, 12, 12)
    images, labels = task.digits["test"]
    known = {
        tuple(image.flatten().sort().values.tolist()): int(label)
        for image, label in zip(images, labels, strict=True)
    }
    for frame, y in zip(frames, film.y.tolist(), strict=True):
        assert torch.equal(frame[4:], frame[4:5].expand(4, -1, -1))
        moves = [
            heading
            for heading in HEADINGS
            if all(torch.equal(frame[t].roll(heading, (0, 1)), frame[t + 1]) for t in range(4))
        ]
        assert len(moves) == 1
        pixels = tuple(frame[0].flatten().sort().values[-64:].tolist())
        assert pixels in known, "a digit of the test images, whole"
        assert y == (HEADINGS.index(moves[0]) if target == "motion" else known[pixels])
    assert [len(y) for _, y in task.digits.values()] == [1077, 360, 360]
    shares = torch.bincount(film.y, minlength=task.classes) / 200
    assert float(shares.max()) < 2 * task.facts.baseline
    constant = torch.zeros(1, 200, task.classes)
    assert float(task.loss(constant, one(film))) == pytest.approx(task.facts.baseline_loss)


def test_captions_spell_the_digits_of_their_strip():
    task = Caption(digits=3, lag=None, examples=300, split_seed=0, solved=0.95)
    task.load()
    strips = task.split("test")
    images, labels = task.images["test"]
    of_image = {
        tuple(image.flatten().tolist()): int(label)
        for image, label in zip(images, labels, strict=True)
    }
    for x, y, length in zip(strips.x, strips.y, strips.lengths, strict=True):
        # [steps, rows, columns], the middle two new at each step
        windows = x[:12, : 8 * 4].unflatten(1, (8, 4))
        digits = [
            of_image[tuple(part.transpose(0, 1).flatten().tolist())]
            for part in windows[..., 1:3].split(4)
        ]
        assert torch.equal(windows[1:, :, 0], windows[:-1, :, 2]), "a column of the one before"
        assert torch.equal(windows[:-1, :, 3], windows[1:, :, 1]), "a column of the next"
        assert (windows[0, :, 0] == 0).all() and (windows[-1, :, 3] == 0).all()
        spelled = "".join(LETTERS[letter] for letter in y[y >= 0].tolist())
        assert spelled == "".join(f"{NAMES[digit]} " for digit in digits)
        assert int(length) == 12 + len(spelled)
        assert torch.equal(y[12 : int(length)] >= 0, torch.ones(len(spelled), dtype=torch.bool))
        assert (y[:12] == -1).all()
        before = x[12 : int(length), 32:].argmax(-1).tolist()
        assert before == [len(LETTERS), *(LETTERS.index(letter) for letter in spelled[:-1])], (
            "the letter before, never the one asked for"
        )
        assert (x[int(length) :] == 0).all()
    shares = task.letter_shares.float().log().expand(1, 300, task.steps, -1)
    assert float(task.loss(shares, one(strips))) == pytest.approx(
        task.facts.baseline_loss, rel=0.02
    )
    assert float(task.metric(shares, one(strips)).mean()) == pytest.approx(
        task.facts.baseline, rel=0.05
    )
    shorter = Batch(strips.x[None, :, :-1], strips.y[None, :, :-1], strips.lengths[None])
    fits = strips.lengths < task.steps
    outputs = torch.randn(
        1, 300, task.steps, len(LETTERS), generator=torch.Generator().manual_seed(0)
    )
    assert fits.any(), "or nothing is compared"
    assert torch.equal(
        task.metric(outputs, one(strips))[:, fits],
        task.metric(outputs[:, :, :-1], shorter)[:, fits],
    ), "padding counts for nothing"


def test_the_loss_of_a_step_is_that_steps_alone():
    """Copying, with one anchor per example; the mean over all anchors is the loss."""
    task = Copying(steps=25, lag=None, examples=4, solved=0.99)
    test = one(task.split("test"))
    outputs = torch.randn(1, 4, 25, 9, generator=torch.Generator().manual_seed(0))
    anchors = torch.tensor([0, 7, 15, 24])
    found = task.step_loss(outputs, test, anchors)[0]
    for example, anchor in enumerate(anchors.tolist()):
        expected = torch.nn.functional.cross_entropy(
            outputs[0, example, anchor], test.y[0, example, anchor]
        )
        assert float(found[example]) == pytest.approx(float(expected), rel=1e-5)
    every = torch.stack(
        [task.step_loss(outputs, test, torch.full((4,), step)) for step in range(25)]
    )
    assert float(every.mean()) == pytest.approx(float(task.loss(outputs, test)), rel=1e-5)


def test_losses_by_hand():
    outputs, y = torch.tensor([[[1.0, 5.0]]]), torch.tensor([[[3.0, 5.0]]])
    assert squared_error(outputs, y).item() == 2.0
    assert squared_error(outputs + 100, y).item() == (98.0**2 + 100.0**2) / 2
    logits, label = torch.tensor([[0.3, -2.0, 1e4]]), torch.tensor([1])
    torch.testing.assert_close(
        cross_entropy(logits, label),
        torch.nn.functional.cross_entropy(logits, label, reduction="none"),
    )
    assert correct(logits, torch.tensor([2])).tolist() == [1.0]
    assert correct(logits, label).tolist() == [0.0]


def test_lags_and_directions_are_those_of_the_definitions():
    adding = Adding(steps=100, lag=None, examples=9, solved=0.01).facts
    assert (adding.lag, adding.higher_is_better) == (100, False)
    copying = Copying(steps=70, lag=None, examples=9, solved=0.99)
    x, y = copying.split("test").x.argmax(-1), copying.split("test").y
    assert torch.equal(x[:, :10], y[:, copying.facts.lag : copying.facts.lag + 10]), (
        "a symbol is asked for `lag` steps after it was shown"
    )
    assert copying.facts.higher_is_better
    order = TemporalOrder(steps=60, lag=None, examples=9, solved=0.99).facts
    assert (order.lag, order.higher_is_better) == (54, True)
    assert Copying(steps=70, lag=7, examples=9, solved=0.99).facts.lag == 7


def test_adding_marks_one_step_in_each_half_and_asks_for_their_sum():
    batch = Adding(steps=31, lag=None, examples=300, solved=0.01).split("validation")
    marks = batch.x[..., 1]
    assert (marks[:, :15].sum(1) == 1).all()
    assert (marks[:, 15:].sum(1) == 1).all()
    torch.testing.assert_close((batch.x[..., 0] * marks).sum(1, keepdim=True), batch.y)


def test_copying_repeats_its_symbols_after_the_wait():
    task = Copying(steps=27, lag=None, examples=50, solved=0.99)
    batch = task.split("validation")
    symbols = batch.x.argmax(-1)
    assert symbols.shape == (50, 27)
    assert torch.equal(symbols[:, :10], batch.y[:, -10:])
    assert (symbols[:, 10:16] == BLANK).all()
    assert (symbols[:, 16] == MARKER).all()
    assert (symbols[:, 17:] == BLANK).all()
    assert (batch.y[:, :17] == BLANK).all()


def test_temporal_order_places_its_two_symbols():
    task = TemporalOrder(steps=50, lag=None, examples=400, solved=0.99)
    batch = task.split("validation")
    symbols = batch.x.argmax(-1)
    asked = symbols < 2
    assert (asked.sum(1) == 2).all()
    assert asked[:, 5:10].sum() == 400
    assert asked[:, 25:30].sum() == 400
    first, second = (symbols[asked].view(-1, 2)[:, i] for i in (0, 1))
    assert torch.equal(2 * first + second, batch.y)


@pytest.mark.parametrize("steps", [10, 12, 37, 45, 60])
def test_temporal_order_fills_its_windows_and_no_more(steps):
    """p0 in [.1L, .2L), p1 in [.5L, .6L), also if L is not a multiple of ten."""
    symbols = (
        TemporalOrder(steps=steps, lag=None, examples=600, solved=0.99)
        .split("validation")
        .x.argmax(-1)
    )
    windows = {
        step
        for low in (1, 5)
        for step in range(steps)
        if low * steps <= 10 * step < (low + 1) * steps
    }
    assert set(torch.nonzero(symbols < 2)[:, 1].tolist()) == windows


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: Digits(**{**DIGITS, "lag": 0}),
        lambda: Digits(**{**DIGITS, "test": 1500}),
        lambda: Digits(**{**DIGITS, "solved": 1.5}),
        lambda: Digits(**{**DIGITS, "form": "column"}),
        lambda: Digits(**{**DIGITS, "split_seed": -1}),
        lambda: Adding(steps=1, lag=None, examples=9, solved=0.01),
        lambda: Copying(steps=20, lag=None, examples=9, solved=0.9),
        lambda: Parity(steps=1, lag=None, examples=9, solved=0.9),
        lambda: NoiselessMemory(bits=0, wait=9, lag=None, examples=9, solved=0.9),
        lambda: MovingDigits(
            target="shape",
            canvas=12,
            moving=5,
            still=3,
            lag=None,
            examples=9,
            split_seed=0,
            solved=0.9,
        ),
        lambda: Caption(digits=0, lag=None, examples=9, split_seed=0, solved=0.9),
        lambda: TemporalOrder(steps=9, lag=None, examples=9, solved=0.9),
        lambda: Adding(steps=9, lag=-1, examples=9, solved=0.01),
    ],
)
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match="must be|at least|between"):
        wrong()


def test_an_easy_draw_makes_no_constant_look_as_if_it_had_learned():
    """Of 100 drawn sums the guess of their expectation is by luck better or worse than 1/6."""
    limits = OutcomeLimits(
        stuck=0.95, spike=6.0, blown=10.0, radius_blown=2.0, radius_jump=2.0, saturation_jump=0.5
    )
    seen = []
    for steps in (20, 40, 60, 80, 100):
        task = Adding(steps=steps, lag=None, examples=100, solved=0.01)
        y = task.split("validation").y
        always_one = float(squared_error(torch.ones_like(y), y).mean())
        seen.append(always_one / task.facts.baseline_loss)
        run = Run(
            diverged=False,
            solved=False,
            updates=[0, 10, 20],
            val_loss=[always_one] * 3,
            baseline_loss=task.guess_loss("validation"),
            grad_norm=[1.0] * 20,
            radius=[1.0] * 3,
            saturation=[0.0] * 3,
        )
        assert outcome(run, limits) == "stuck"
    assert min(seen) < 0.95, "by the distribution's own loss one of them would have learned"
