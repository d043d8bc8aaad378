"""A trainer without gradients: an echo-state network and a ridge classifier of scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import RidgeClassifier


def train(config: Any, point: Any) -> None:
    digits, rng = load_digits(), np.random.default_rng(point.seed)
    weights = rng.normal(size=(config.hidden, config.hidden))
    weights *= config.trainer.radius / np.abs(np.linalg.eigvals(weights)).max()
    weights_x = 0.2 * rng.normal(size=(config.hidden, 8))
    h = np.zeros((len(digits.target), config.hidden))
    for row in digits.images.transpose(1, 0, 2) / 16:  # [T, N, 8]
        h = np.tanh(h @ weights.T + row @ weights_x.T)
    parts = {"train": slice(0, 1000), "validation": slice(1000, 1400), "test": slice(1400, None)}
    x, y = ({name: of[part] for name, part in parts.items()} for of in (h, digits.target))
    readout = RidgeClassifier(alpha=config.trainer.alpha).fit(x["train"], y["train"])
    point.log(config.updates, val_score=readout.score(x["validation"], y["validation"]))
    right = readout.predict(x["test"]) == y["test"]
    point.finish(score=right.mean(), per_example=right, weights={"W": weights, "V": readout.coef_})
