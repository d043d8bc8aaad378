"""What a user would write for one network: torch.nn, a training loop, a W&B run.

Started once a point; it knows nothing of this program.

    python script.py --cell lstm --initializer orthogonal --clip norm --depth 1 --seed 0

The same task, sizes, updates, batches, validations, optimizer, clipping and first weights' rules as
the default study's (gru: torch's form, which resets after the product). No probes, no resuming; a
network, a line of JSON and a W&B run are what is left in `--out`.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

torch.set_num_threads(1)
torch.set_flush_denormal(True)

# of what a run tells of its updates, evenly spread: as many as the program that this is compared
# with
ROWS = 100

LAYERS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
RECURRENT = {
    "orthogonal": nn.init.orthogonal_,
    "xavier_uniform": nn.init.xavier_uniform_,
    "normal": lambda block: nn.init.normal_(block, std=block.shape[1] ** -0.5),
}


class Classifier(nn.Module):
    def __init__(self, cell, inputs, hidden, depth, outputs):
        super().__init__()
        self.layers = LAYERS[cell](inputs, hidden, depth, batch_first=True)
        self.readout = nn.Linear(hidden, outputs)

    def forward(self, x):
        return self.readout(self.layers(x)[0][:, -1])


def initialize(model, cell, hidden, rule):
    """Gate by gate, as the rules are meant; biases 0, the LSTM's forget gate 1."""
    for name, parameter in model.layers.named_parameters():
        if "bias" in name:
            nn.init.zeros_(parameter)
            if cell == "lstm" and "bias_ih" in name:
                nn.init.ones_(parameter.data[hidden : 2 * hidden])
        else:
            for block in parameter.data.split(hidden):
                (RECURRENT[rule] if "weight_hh" in name else nn.init.xavier_uniform_)(block)
    nn.init.xavier_uniform_(model.readout.weight)
    nn.init.zeros_(model.readout.bias)


def data(form):
    """(x, y) by part: 1,077 to train, 360 to validate, 360 to test."""
    x, y = load_digits(return_X_y=True)
    x = torch.tensor(x / 16, dtype=torch.float32).reshape(
        len(x), *((64, 1) if form == "pixel" else (8, 8))
    )
    y = torch.tensor(y)
    rest, test = train_test_split(range(len(x)), test_size=360, stratify=y, random_state=0)
    train, validation = train_test_split(rest, test_size=360, stratify=y[rest], random_state=0)
    return {
        name: (x[index], y[index])
        for name, index in (("train", train), ("validation", validation), ("test", test))
    }


def batches(x, y, seed, batch):
    """Without end: every epoch in an order of its own; what is left of one
    begins the next batch.
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.empty(0, dtype=torch.long)
    while True:
        while len(order) < batch:
            order = torch.cat([order, torch.randperm(len(x), generator=generator)])
        index, order = order[:batch], order[batch:]
        yield x[index], y[index]


def evaluate(model, x, y):
    with torch.no_grad():
        outputs = model(x)
        return (
            nn.functional.cross_entropy(outputs, y).item(),
            (outputs.argmax(1) == y).float().mean().item(),
        )


def fit(model, examples, parts, updates, every, rate, threshold, log):
    """All updates, validated before the first, every `every` and after the last; the best weights
    so far.
    """
    optimizer = torch.optim.Adam(model.parameters(), lr=rate)
    best, best_score = None, -1.0
    for update in range(updates + 1):
        row = {}
        if update % every == 0 or update == updates:
            row["validation_loss"], row["validation_score"] = evaluate(model, *parts["validation"])
            if row["validation_score"] > best_score:
                best, best_score = (
                    {name: value.clone() for name, value in model.state_dict().items()},
                    row["validation_score"],
                )
        if update < updates:
            x, y = next(examples)
            loss = nn.functional.cross_entropy(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(model.parameters(), threshold)
            optimizer.step()
            if update % math.ceil(updates / ROWS) == 0:
                row["loss"], row["norm"] = loss.item(), norm.item()
        if row:
            log(row, update)
    return best, best_score


def run(
    cell,
    initializer,
    clip,
    depth,
    seed,
    form="pixel",
    hidden=32,
    batch=64,
    updates=400,
    validate_every=25,
    out=".",
):
    """One point from nothing to its results."""
    import wandb

    began, out = time.time(), Path(out)
    out.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(seed)
    settings = {
        "cell": cell,
        "initializer": initializer,
        "clip": clip,
        "depth": depth,
        "seed": seed,
        "hidden": hidden,
        "batch": batch,
        "updates": updates,
    }
    tracker = wandb.init(
        mode="offline",
        project="digits",
        dir=str(out),
        config=settings,
        settings=wandb.Settings(silent=True),
    )
    parts = data(form)
    model = Classifier(cell, parts["train"][0].shape[2], hidden, depth, 10)
    initialize(model, cell, hidden, initializer)
    examples = batches(*parts["train"], seed, batch)
    threshold = 1.0 if clip == "norm" else float("inf")
    best, score = fit(
        model,
        examples,
        parts,
        updates,
        validate_every,
        0.004,
        threshold,
        lambda row, update: tracker.log(row, step=update),
    )
    final = evaluate(model, *parts["test"])
    model.load_state_dict(best)
    result = {
        **settings,
        "began": began,
        "score": score,
        "test": evaluate(model, *parts["test"])[1],
        "final": final[1],
    }
    tracker.summary.update(result)
    tracker.finish()
    name = f"{cell}-{initializer}-{clip}-{depth}-{seed}"
    torch.save(best, out / f"{name}.pt")
    (out / f"{name}.json").write_text(json.dumps({**result, "ended": time.time()}))
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    for name in ("cell", "initializer", "clip"):
        parser.add_argument(f"--{name}", required=True)
    for name, default in (
        ("depth", 1),
        ("seed", 0),
        ("hidden", 32),
        ("batch", 64),
        ("updates", 400),
        ("validate_every", 25),
    ):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--form", default="pixel")
    parser.add_argument("--out", default="runs")
    print(json.dumps(run(**vars(parser.parse_args()))))
