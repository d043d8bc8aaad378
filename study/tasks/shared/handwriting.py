"""scikit-learn's 1,797 handwritten digits of 8 x 8 pixels."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import numpy as np

from study.interfaces import PARTS
from study.machine.cache import kept_arrays

COUNT, SIDE, WHITE = 1797, 8, 16
SOURCE = (
    "scikit-learn's digits: UCI Optical Recognition of Handwritten Digits (Alpaydin & Kaynak 1998),"
    " test part"
)
LICENCE = "CC BY 4.0"


def handwriting(
    *, validation: float, test: float, split_seed: int
) -> tuple[np.ndarray, np.ndarray, dict[str, np.ndarray]]:
    """(images [N, 8, 8] with values pixels/16 in fp32, labels [N], indices of each part).

    Split stratified with `split_seed`. `test`: number of images, or share of all; `validation`:
    likewise, of the remaining ones.
    """
    settings: dict[str, Any] = {"validation": validation, "test": test, "split_seed": split_seed}
    versions = {name: version(name) for name in ("scikit-learn", "numpy")}
    kept = kept_arrays("digits", settings | versions, lambda: _split(**settings))
    return kept["images"], kept["labels"], {part: kept[part] for part in PARTS}


def _split(*, validation: float, test: float, split_seed: int) -> dict[str, np.ndarray]:
    # importing scikit-learn takes a second
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    x, y = load_digits(return_X_y=True)
    others, tests = train_test_split(
        np.arange(COUNT), test_size=test, stratify=y, random_state=split_seed
    )
    train, validations = train_test_split(
        others, test_size=validation, stratify=y[others], random_state=split_seed
    )
    images = (x / WHITE).astype(np.float32).reshape(COUNT, SIDE, SIDE)
    parts = dict(zip(PARTS, (train, validations, tests), strict=True))
    return {"images": images, "labels": y.astype(np.int64), **parts}
