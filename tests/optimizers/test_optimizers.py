"""Optimizers equal torch.optim for each member, with its own hyperparameters."""

from __future__ import annotations

import pytest
import torch

from study.optimizers.adam import Adam
from study.optimizers.rmsprop import RMSprop
from study.optimizers.sgd import SGD


def members(*values):
    return torch.tensor(values, dtype=torch.float64)


CASES = {
    "sgd": (
        SGD,
        torch.optim.SGD,
        [
            {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01},
            {"lr": 0.01, "momentum": 0.0, "weight_decay": 0.0},
        ],
    ),
    "adam": (
        Adam,
        lambda p, beta1, beta2, **k: torch.optim.Adam(p, betas=(beta1, beta2), **k),
        [
            {"lr": 0.01, "beta1": 0.9, "beta2": 0.999, "eps": 1e-8, "weight_decay": 0.1},
            {"lr": 0.1, "beta1": 0.5, "beta2": 0.9, "eps": 1e-3, "weight_decay": 0.0},
        ],
    ),
    "rmsprop": (
        RMSprop,
        torch.optim.RMSprop,
        [
            {"lr": 0.01, "alpha": 0.99, "eps": 1e-8, "momentum": 0.0, "weight_decay": 0.1},
            {"lr": 0.1, "alpha": 0.5, "eps": 1e-3, "momentum": 0.9, "weight_decay": 0.0},
        ],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_equals_torch_optim_over_twenty_updates(name):
    ours, theirs, settings = CASES[name]
    stacked = {key: members(*(each[key] for each in settings)) for key in settings[0]}
    optimizer = ours(**stacked, decay_biases=True)
    generator = torch.Generator().manual_seed(0)
    params = torch.randn(2, 30, dtype=torch.float64, generator=generator)
    leaves = [params[m].clone().requires_grad_() for m in range(2)]
    torchs = [theirs([leaf], **each) for leaf, each in zip(leaves, settings, strict=True)]
    state = optimizer.init(params)
    for _ in range(20):
        grads = torch.randn(2, 30, dtype=torch.float64, generator=generator)
        params, state = optimizer(grads, params, state)
        for leaf, each, grad in zip(leaves, torchs, grads, strict=True):
            leaf.grad = grad.clone()
            each.step()
    for m in range(2):
        torch.testing.assert_close(params[m], leaves[m].detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("sgd", "lr", 0.0),
        ("sgd", "momentum", 1.0),
        ("sgd", "weight_decay", -1.0),
        ("adam", "lr", -1.0),
        ("adam", "lr", 0.0),
        ("adam", "beta1", -0.1),
        ("adam", "beta2", 1.0),
        ("adam", "eps", 0.0),
        ("adam", "weight_decay", -1.0),
        ("rmsprop", "lr", 0.0),
        ("rmsprop", "alpha", -0.1),
        ("rmsprop", "alpha", 1.0),
        ("rmsprop", "momentum", 1.0),
        ("rmsprop", "eps", 0.0),
        ("rmsprop", "weight_decay", -1.0),
    ],
)
def test_impossible_settings_are_refused(name, key, value):
    ours, _, settings = CASES[name]
    settings = [{**each, "decay_biases": True} for each in settings]
    with pytest.raises(ValueError, match=f"{key} must be"):
        ours(**{**settings[0], key: value})
    stacked = {
        name: number if name == "decay_biases" else members(number, number)
        for name, number in settings[0].items()
    }
    ours(**stacked)
    with pytest.raises(ValueError, match=f"{key} must be"):
        ours(**{**stacked, key: members(settings[0][key], value)})  # one member of two
