"""A trainer by PyTorch Lightning (pip install pytorch-lightning), with checkpoints of its own."""

from __future__ import annotations

from typing import Any

import pytorch_lightning as lightning
import torch
from torch import nn
from torch.utils.data import DataLoader


class Classifier(lightning.LightningModule):
    def __init__(self, inputs: int, hidden: int, classes: int, lr: float) -> None:
        super().__init__()
        self.rnn = nn.GRU(inputs, hidden, batch_first=True)
        self.out = nn.Linear(hidden, classes)
        self.lr = lr

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.rnn(x)[0][:, -1])

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        x, y = batch
        return nn.functional.cross_entropy(self(x), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        self.adam = torch.optim.Adam(self.parameters(), lr=self.lr)
        return self.adam


class Batches(torch.utils.data.Dataset[Any]):
    """The batch of each update, from (seed, update): a launch that resumes draws the same ones."""

    def __init__(self, part: Any, seed: int, updates: range, size: int) -> None:
        self.part, self.seed, self.updates, self.size = part, seed, updates, size

    def __len__(self) -> int:
        return len(self.updates)

    def __getitem__(self, index: int) -> Any:
        if index >= len(self):
            raise IndexError(index)
        draws = torch.Generator().manual_seed(1_000_003 * self.seed + self.updates[index])
        rows = torch.randint(len(self.part.x), (self.size,), generator=draws)
        return self.part.x[rows], self.part.y[rows]


class Report(lightning.Callback):
    """Tells the study what happens, and stops when it says so."""

    def __init__(self, config: Any, point: Any, start: int, valid: Any) -> None:
        self.config, self.point, self.start, self.valid = config, point, start, valid

    def on_train_batch_end(self, trainer, module, outputs, batch, batch_idx) -> None:  # type: ignore[no-untyped-def]
        update, checkpoint = self.start + batch_idx + 1, self.point.folder / "last.pt"
        if update % self.config.validate_every == 0 or update == self.config.updates:
            with torch.no_grad():
                logits = module(self.valid.x.to(module.device))
            y = self.valid.y.to(module.device)
            self.point.log(
                update,
                train_loss=outputs["loss"],
                val_loss=nn.functional.cross_entropy(logits, y),
                val_score=(logits.argmax(-1) == y).float().mean(),
            )
        if self.point.should_stop:
            made = (update, module.state_dict(), module.adam.state_dict())
            torch.save(made, checkpoint.with_suffix(".new"))
            checkpoint.with_suffix(".new").replace(checkpoint)
            trainer.should_stop = True


def train(config: Any, point: Any) -> None:
    facts = point.task.facts
    parts = {name: point.task.split(name) for name in ("train", "validation", "test")}
    module = Classifier(facts.inputs, config.hidden, facts.outputs, config.trainer.lr)
    start, state, checkpoint = 0, None, point.folder / "last.pt"
    if checkpoint.exists():
        start, weights, state = torch.load(checkpoint, weights_only=True)
        module.load_state_dict(weights)
    if state is not None:  # of Adam, once Lightning has made it
        made = module.configure_optimizers
        module.configure_optimizers = lambda: _loaded(made(), state)  # type: ignore[method-assign]
    batches = Batches(parts["train"], point.seed, range(start, config.updates), config.batch)
    with point.watch(module, every=max(1, config.updates // 10), start=start):
        lightning.Trainer(
            accelerator="cpu" if point.device == "cpu" else "gpu",
            devices=1 if point.device == "cpu" else [int(point.device.split(":")[1])],
            max_epochs=1,
            gradient_clip_val=config.trainer.clip,
            callbacks=[Report(config, point, start, parts["validation"])],
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        ).fit(module, DataLoader(batches, batch_size=None))
    if point.stopped:
        return
    with torch.no_grad():
        right = (module.cpu()(parts["test"].x).argmax(-1) == parts["test"].y).float()
    point.finish(score=right.mean(), per_example=right, weights=module)


def _loaded(optimizer: torch.optim.Optimizer, state: Any) -> torch.optim.Optimizer:
    optimizer.load_state_dict(state)
    return optimizer
