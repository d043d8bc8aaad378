"""Trainers as users write them, right ones and wrong ones."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys

import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, inputs, hidden, outputs):
        super().__init__()
        self.rnn = nn.GRU(inputs, hidden, batch_first=True)
        self.out = nn.Linear(hidden, outputs)

    def forward(self, x):
        return self.out(self.rnn(x)[0][:, -1])


def train(config, point):
    """A loop with checkpoints; `trainer.dies_at` kills its process once, at that update."""
    facts = point.task.facts
    net = Net(facts.inputs, config.hidden, facts.outputs)
    optimizer = torch.optim.SGD(net.parameters(), lr=config.trainer.lr, momentum=0.9)
    checkpoint, start, best = point.folder / "last.pt", 0, (float("inf"), None)
    if checkpoint.exists():
        start, weights, state, best = torch.load(checkpoint, weights_only=False)
        net.load_state_dict(weights)
        optimizer.load_state_dict(state)
    train_part, valid, test = (point.task.split(part) for part in ("train", "validation", "test"))
    with point.watch(net, every=4, start=start):
        for update in range(start, config.updates):
            if update == config.trainer.get("dies_at") and start == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            rng = torch.Generator().manual_seed(1000 * point.seed + update)
            rows = torch.randint(len(train_part.x), (config.batch,), generator=rng)
            loss = (net(train_part.x[rows]) - train_part.y[rows]).square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if (update + 1) % 2 == 0:
                with torch.no_grad():
                    error = (net(valid.x) - valid.y).square().mean().item()
                if error < best[0]:
                    best = (error, {k: v.clone() for k, v in net.state_dict().items()})
                point.log(update + 1, train_loss=loss, val_loss=error, val_score=error)
                torch.save((update + 1, net.state_dict(), optimizer.state_dict(), best), checkpoint)
            if point.should_stop:
                return
    net.load_state_dict(best[1])
    with torch.no_grad():
        errors = (net(test.x) - test.y).square().mean(1)
    point.finish(score=errors.mean(), per_example=errors, weights=net)


def stops_and_finishes(config, point):
    for update in range(config.updates):
        point.log(update + 1, train_loss=config.trainer.lr, val_loss=1.0, val_score=1.0)
        if point.should_stop:
            break
    point.finish(score=1.0)


def forgets(config, point):
    point.log(config.updates, train_loss=1.0)


def raises(config, point):
    raise KeyError("learning_rate")


def goes_on(config, point):
    point.finish(score=0.5)
    point.log(1, train_loss=1.0)


def twice(config, point):
    point.finish(score=0.5)
    point.finish(score=0.6)


def goes_back(config, point):
    point.log(4, train_loss=1.0)
    point.log(2, train_loss=1.0)


def beyond(config, point):
    point.log(config.updates + 1)


def text(config, point):
    point.log(1, val_score="good")


def vector(config, point):
    point.finish(score=torch.ones(3))


def other_mean(config, point):
    point.finish(score=0.5, per_example=[0.0, 0.25])


def nothing_finite(config, point):
    point.log(2, train_loss=float("nan"), val_score=0.3, val_loss=0.3)
    point.finish(score=float("nan"))


def plain(config, point):
    """Reads nothing of the configuration."""
    point.log(1, train_loss=1.0, val_loss=1.0, val_score=1.0)
    point.finish(score=1.0)


def one_argument(config):
    pass


def takes_liberties(config, point):
    """Leaves torch and its process otherwise than it found them, and has a child process."""
    multiprocessing.get_context("fork").Process(target=int).start()
    used = torch.zeros(1).dtype == torch.float32 and torch.is_grad_enabled()
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.set_num_threads(2)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.chdir("/")
    point.log(1, train_loss=config.trainer.lr, val_loss=1.0, val_score=1.0)
    point.finish(score=float(used))


def leaves(config, point):
    sys.exit("no more data")
