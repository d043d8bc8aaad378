"""Encoders against torch.nn in outputs and all gradients, and encoders that break the rules."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from study import battery
from study.cells.lstm import LSTM
from study.config import check as checking
from study.config.network import init_facts, input_drive
from study.config.setup import set_up
from study.config.tasks import load_task
from study.encoders.conv import Conv
from study.interfaces import Batch, Encoder, Group, Parameter
from study.model import Model
from study.probes.saliency import Saliency
from study.probes.transport import Transport
from study.readouts.every import Every
from study.records import StudyError
from study.store import Store
from study.tasks.caption import LETTERS, SIDE, WINDOW, Caption
from study.training.engine import run_group
from study.training.state import prepare
from study.training.trace import StageTrace
from tests.battery.test_battery import planned
from tests.support.helpers import Descent, Sum, point, run
from tests.training.test_engine import same_point

CONV = {
    "_target_": "study.encoders.conv.Conv",
    "rows": 5,
    "columns": 4,
    "filters": 16,
    "side": 3,
    "pool": 2,
}
D = 22  # 20 pixels, and 2 that pass


def conv(**changes: int) -> Conv:
    return Conv(**{key: value for key, value in {**CONV, **changes}.items() if key != "_target_"})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("side", "pool", "places"), [(3, 2, (1, 1)), (2, 1, (4, 3)), (1, 2, (2, 2)), (4, 1, (2, 1))]
)
def test_conv_is_torchs_convolution_and_maximum(side, pool, places):
    encoder = conv(side=side, pool=pool, filters=3)
    random = torch.Generator().manual_seed(0)
    x = torch.randn(2, 7, 3, D, generator=random)
    params = {
        each.name: torch.randn(2, *each.shape, generator=random) for each in encoder.shapes(D)
    }
    found = encoder(params, x)
    assert found.shape[3] == encoder.outputs(D) == 3 * places[0] * places[1] + 2
    for member in range(2):
        pictures = x[member, ..., :20].reshape(-1, 1, 5, 4)
        expected = nn.functional.conv2d(
            pictures, params["weight"][member].view(3, 1, side, side), params["bias"][member]
        )
        expected = nn.functional.max_pool2d(expected, pool).relu().permute(0, 2, 3, 1).flatten(1)
        torch.testing.assert_close(found[member, ..., :-2].flatten(0, 1), expected)
        assert torch.equal(found[member, ..., -2:], x[member, ..., -2:])


def test_windows_of_a_caption_are_the_convolution_of_its_whole_strip():
    task = Caption(digits=3, lag=None, examples=20, split_seed=0, solved=0.95)
    task.load()
    x, encoder = task.split("test").x, Conv(rows=SIDE, columns=WINDOW, filters=4, side=3, pool=2)
    weight, bias = (
        torch.randn(1, 4, 9, generator=torch.Generator().manual_seed(0)),
        torch.zeros(1, 4),
    )
    # [steps, B, filters · rows]
    found = encoder({"weight": weight, "bias": bias}, x.transpose(0, 1)[None])[
        0, : task.columns, :, :12
    ]
    # the columns that are new
    strip = (
        torch.cat([x[:, :12, : SIDE * WINDOW].unflatten(2, (SIDE, WINDOW))[..., 1:3]], dim=1)
        .permute(0, 2, 1, 3)
        .flatten(2)
    )
    # [B, filters, rows, steps]
    whole = nn.functional.max_pool2d(
        nn.functional.conv2d(strip[:, None], weight[0].view(4, 1, 3, 3), padding=(0, 1)), 2
    ).relu()
    torch.testing.assert_close(
        found, torch.stack([whole[..., step].transpose(1, 2).flatten(1) for step in range(12)])
    )


class Plain(nn.Module):
    """The same network built from torch's layers."""

    def __init__(self, params: dict[str, Tensor], member: int) -> None:
        super().__init__()
        self.conv, self.lstm, self.fc = (
            nn.Conv2d(1, 16, 3),
            nn.LSTM(18, 8, num_layers=2),
            nn.Linear(8, 3),
        )
        self.double()
        own = {name: value[member] for name, value in params.items()}
        for layer in (1, 2):
            for name, ours in (
                ("weight_ih", "weight_x"),
                ("weight_hh", "weight_h"),
                ("bias_ih", "bias"),
            ):
                getattr(self.lstm, f"{name}_l{layer - 1}").data = own[f"layer{layer}.{ours}"]
            getattr(self.lstm, f"bias_hh_l{layer - 1}").data.zero_()
        self.conv.weight.data, self.conv.bias.data = (
            own["encoder.weight"].view(16, 1, 3, 3),
            own["encoder.bias"],
        )
        self.fc.weight.data, self.fc.bias.data = own["readout.weight"], own["readout.bias"]

    def forward(self, x: Tensor) -> Tensor:
        pictures = nn.functional.max_pool2d(self.conv(x[..., :20].reshape(-1, 1, 5, 4)), 2).relu()
        h, _ = self.lstm(
            torch.cat([pictures.reshape(*x.shape[:2], -1), x[..., 20:]], dim=-1).transpose(0, 1)
        )
        return self.fc(h.transpose(0, 1))


@pytest.mark.parametrize("kernel", ["native", "reference"])
def test_the_gradient_reaches_the_encoder_as_in_torch(kernel):
    """Outputs and gradients of all tensors and of the input, in fp64, one member at a time."""
    model = Model(
        cell=LSTM(),
        readout=Every(),
        inputs=D,
        outputs=3,
        hidden=8,
        depth=2,
        dropout=0.0,
        kernel=kernel,
        encoder=conv(),
    )
    random = torch.Generator().manual_seed(0)
    params = {
        name: value.requires_grad_()
        for name, value in model.named(
            0.5 * torch.randn(2, model.width, dtype=torch.float64, generator=random)
        ).items()
    }
    params = {name: value.detach().requires_grad_() for name, value in params.items()}
    x = torch.randn(2, 5, 9, D, dtype=torch.float64, generator=random).requires_grad_()
    outputs = model.forward(params, x, None)
    grads = dict(
        zip(
            [*params, "x"],
            torch.autograd.grad(outputs.square().sum(), [*params.values(), x]),
            strict=True,
        )
    )
    for member in range(2):
        plain, given = (
            Plain({name: value.detach() for name, value in params.items()}, member),
            x[member].detach().requires_grad_(),
        )
        expected = plain(given)
        torch.testing.assert_close(outputs[member], expected, rtol=1e-10, atol=1e-10)
        expected.square().sum().backward()
        there = {
            "encoder.weight": plain.conv.weight.grad.view(16, 9),
            "encoder.bias": plain.conv.bias.grad,
            "x": given.grad,
            "readout.weight": plain.fc.weight.grad,
        }
        there |= {
            f"layer{layer}.weight_x": getattr(plain.lstm, f"weight_ih_l{layer - 1}").grad
            for layer in (1, 2)
        }
        there |= {
            f"layer{layer}.weight_h": getattr(plain.lstm, f"weight_hh_l{layer - 1}").grad
            for layer in (1, 2)
        }
        for name, value in there.items():
            torch.testing.assert_close(grads[name][member], value, rtol=1e-10, atol=1e-10, msg=name)


def encoded_points(**changes: object) -> list:
    task = {**point().config["task"], "inputs": D}
    return [point(seed, f"{seed}", task=task, **{"encoder": CONV, **changes}) for seed in range(3)]


@pytest.mark.parametrize(("filters", "hidden", "batch"), [(16, 32, 5), (3, 7, 21)])
def test_numbers_do_not_depend_on_company(tmp_path, filters, hidden, batch):
    """Bit for bit, for aligned blocks and for those trained one by one."""
    points = encoded_points(encoder={**CONV, "filters": filters}, hidden=hidden, batch=batch)
    three, alone = run(points, tmp_path / "three"), run(points[2:], tmp_path / "alone")
    same_point(three, alone, "2")
    named = prepare(points, "cpu").model.named(prepare(points, "cpu").params)
    weights = three.weights("2")
    assert weights["encoder.weight"].shape == (filters, 9)
    assert (weights["encoder.weight"] != named["encoder.weight"][2].numpy()).all()


def test_first_values_of_the_layers_are_those_without_an_encoder_of_their_size():
    """The encoder has its own random streams and follows the standing rule for inputs.

    Initializers get the facts of the first layer's input.
    """
    (with_one, *_), (without, *_) = (
        encoded_points(),
        [point(0, task={**point().config["task"], "inputs": 18})],
    )
    one, other = (prepare([each], "cpu") for each in (with_one, without))
    named, plain = one.model.named(one.params), other.model.named(other.params)
    assert all(torch.equal(named[name], plain[name]) for name in plain)
    assert float(named["encoder.weight"][0].abs().max()) <= (6 / (9 + 16)) ** 0.5
    assert (named["encoder.bias"] == 0).all()
    task = load_task(with_one.config["task"])
    facts, examples = init_facts(one.setup, 0), task.split("train")
    read = one.model.encoded(
        {name: value.double() for name, value in named.items()},
        examples.x.double().transpose(0, 1)[None].expand(2, -1, -1, -1),
    )[0]
    assert facts.inputs == 18
    assert facts.input_drive == pytest.approx(
        input_drive(Batch(read.transpose(0, 1), examples.y)), rel=1e-6
    )


def test_probes_see_the_states_behind_an_encoder_and_the_inputs_before_it():
    """Transport is that of the layers on encoded inputs, saliency that of the task's inputs."""
    task = Sum(steps=9, inputs=D, every_step=True, lag=None)
    models = [
        Model(
            cell=LSTM(),
            readout=Every(),
            inputs=width,
            outputs=1,
            hidden=8,
            depth=2,
            dropout=0.0,
            kernel="reference",
            encoder=encoder,
        )
        for width, encoder in ((D, conv()), (18, None))
    ]
    random = torch.Generator().manual_seed(0)
    params = models[0].named(torch.randn(1, models[0].width, dtype=torch.float64, generator=random))
    x, y = (
        torch.randn(1, 6, 9, D, dtype=torch.float64, generator=random),
        torch.randn(1, 6, 9, 1, dtype=torch.float64, generator=random),
    )
    read = models[0].encoded(params, x.transpose(1, 2)).transpose(1, 2)
    traces = [
        StageTrace(
            params=params,
            batch=batch,
            task=task,
            model=model,
            stage=0,
            update=0,
            seeds=[0],
            next_update=Descent(params, batch),
        )
        for model, batch in zip(models, (Batch(x=x, y=y), Batch(x=read, y=y)), strict=True)
    ]
    seen, expected = (Transport(stages=[0])(of) for of in traces)
    assert seen.keys() == expected.keys()
    for which in seen:
        torch.testing.assert_close(seen[which].norms, expected[which].norms, rtol=1e-12, atol=0)
    assert torch.equal(traces[0].layer_inputs(1), traces[1].layer_inputs(1))
    found = Saliency(stages=[0], examples=3)(traces[0])["saliency"].values
    given = x.clone().requires_grad_()
    outputs = models[0].unrolled(params, given, None).outputs
    (grad,) = torch.autograd.grad(
        task.step_loss(outputs, Batch(x=x, y=y), torch.full((6,), 8)).sum(), [given]
    )
    torch.testing.assert_close(found[0], grad[0, :3].norm(dim=-1), rtol=1e-9, atol=1e-12)


class Mixes(Conv):
    def __call__(self, params, x):
        return super().__call__(params, x + 0 * x.mean(0) + x.flip(0) * 1e-3)


class Looks(Conv):
    def __call__(self, params, x):
        return super().__call__(params, x.cumsum(1))


class Stops(Conv):
    def __call__(self, params, x):
        return super().__call__(params, x.detach() + 2 * (x - x.detach()))


class Odd(Encoder):
    def outputs(self, inputs):
        return inputs

    def shapes(self, inputs):
        return (Parameter("weight", "input", ("w",), (inputs, inputs)),)

    def __call__(self, params, x):
        return x[..., :1]


@pytest.mark.parametrize(
    ("encoder", "told"),
    [
        (Mixes, "member 1's inputs"),
        (Looks, "depends on other steps or examples"),
        (Stops, "central differences"),
        (Odd, "weight does not reach the outputs"),
    ],
)
def test_the_battery_finds_encoders_that_break_the_rules(encoder, told):
    made = Odd() if encoder is Odd else encoder(rows=3, columns=3, filters=2, side=2, pool=1)
    with pytest.raises(AssertionError, match=told):
        battery.check_encoder(made)


def test_an_encoder_is_part_of_the_id_and_none_is_not(monkeypatch):
    monkeypatch.setattr("study.records.NUMERICS", 1)  # as it was then
    ids = [
        planned("quick", [*more, "tracker=[]"]).points[0].id
        for more in ([], ["encoder=none"], ["encoder=conv", "encoder.rows=2", "encoder.side=1"])
    ]
    assert ids[0] == ids[1] == "420a6f9c0f0a3860", "a point of before there were encoders"
    assert ids[2] != ids[0]
    with pytest.raises(
        StudyError,
        match="encoder: conv: rows · columns must be at most the task's 8 inputs per step",
    ):
        planned("quick", ["encoder=conv", "tracker=[]"])
    with pytest.raises(
        StudyError, match="encoder: conv: side must be at least 1 and at most 1 with pool 2"
    ):
        planned("quick", ["encoder=conv", "encoder.rows=2", "tracker=[]"])
    swept = planned(
        "caption",
        ["encoder=none,conv", "cell=gru", "initializer=orthogonal", "seed=0", "tracker=[]"],
    )
    assert [
        (each.labels["encoder"], "encoder" in each.config, set_up(each.config).model.read)
        for each in swept.points
    ] == [("none", False, SIDE * WINDOW + len(LETTERS) + 1), ("conv", True, 48 + len(LETTERS) + 1)]


def test_sequences_that_an_encoder_makes_too_large_for_memory_are_told(monkeypatch):
    monkeypatch.setattr(checking, "memory", lambda: 1e7)
    points = [["encoder=conv", "encoder.rows=2", "encoder.side=1", "encoder.filters=4096"], []]
    with pytest.raises(StudyError, match="sequences of 8 steps need about"):
        planned("quick", [*points[0], "tracker=[]"])
    planned("quick", [*points[1], "tracker=[]"])


def test_a_caption_network_is_stored_and_exported_with_its_encoder(tmp_path):
    from reports.export.export import network

    (one,) = planned(
        "caption",
        [
            "encoder=conv",
            "cell=gru",
            "initializer=orthogonal",
            "seed=0",
            "updates=2",
            "task.examples=20",
            "tracker=[]",
            "hidden=16",
        ],
    ).points
    run_group(Group(name="1", points=(one,), cost=1.0), tmp_path, "cpu", lambda update: None)
    weights = Store(tmp_path).weights(one.id)
    assert np.isfinite(weights["encoder.weight"]).all()
    inputs = load_task(one.config["task"]).facts.inputs
    model, state = network(one.config, weights, {"inputs": inputs})
    assert model["encoder"]["filters"] == one.config["encoder"]["filters"]
    assert model["inputs"] == inputs
    assert state["encoder.conv.weight"].ndim == 4
