"""A trainer of your own: a function that trains one point, in any framework."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


class Skeleton(nn.Module):
    """The network that this loop trains."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.rnn = nn.LSTM(inputs, hidden, batch_first=True)
        self.out = nn.Linear(hidden, outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.rnn(x)[0][:, -1])


def train(config: Any, point: Any) -> None:
    """Train, tell what happens, and finish with the score on test data.

    The contract (study/training/trainer_point.py): config is the point's configuration
    (config.hidden, config.trainer.lr, …); a factor that is never read is an error. point has seed,
    device, task (task=declared where data are your own), folder (for checkpoints), watch, log,
    should_stop and finish.
    """
    facts, data = point.task.facts, {}
    for part in ("train", "validation", "test"):
        split = point.task.split(part)
        data[part] = split.x.to(point.device), split.y.to(point.device)
    net = Skeleton(facts.inputs, config.hidden, facts.outputs).to(point.device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=config.trainer.lr)
    checkpoint, start, best, kept = point.folder / "last.pt", 0, -1.0, net.state_dict()
    if checkpoint.exists():  # written before an interruption
        saved = torch.load(checkpoint, map_location=point.device, weights_only=True)
        start, weights, state, best, kept = saved
        net.load_state_dict(weights)
        optimizer.load_state_dict(state)

    def write(update: int) -> None:
        """Write a checkpoint under another name first: a kill in between spoils nothing."""
        made = (update, net.state_dict(), optimizer.state_dict(), best, kept)
        torch.save(made, checkpoint.with_suffix(".new"))
        checkpoint.with_suffix(".new").replace(checkpoint)

    with point.watch(net, every=max(1, config.updates // 10), start=start):
        for update in range(start, config.updates):
            x, y = data["train"]
            draws = torch.Generator().manual_seed(1_000_003 * point.seed + update)
            rows = torch.randint(len(x), (config.batch,), generator=draws)
            loss = nn.functional.cross_entropy(net(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), config.trainer.clip)
            optimizer.step()
            if (update + 1) % config.validate_every == 0 or update + 1 == config.updates:
                x, y = data["validation"]
                with torch.no_grad():
                    outputs = net(x)
                score = float((outputs.argmax(-1) == y).float().mean())
                val_loss = nn.functional.cross_entropy(outputs, y)
                point.log(update + 1, train_loss=loss, val_loss=val_loss, val_score=score)
                if score > best:
                    best, kept = score, {k: v.clone() for k, v in net.state_dict().items()}
                write(update + 1)
            if point.should_stop:
                write(update + 1)
                return
    net.load_state_dict(kept)
    x, y = data["test"]
    with torch.no_grad():
        right = (net(x).argmax(-1) == y).float()
    point.finish(score=right.mean(), per_example=right, weights=net)
