"""scikit-learn's 1,797 handwritten digits of 8 x 8 pixels."""

from __future__ import annotations

import numpy as np

# slow to import; only tasks on digits import this module
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from study.interfaces import PARTS

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
    x, y = load_digits(return_X_y=True)
    others, tests = train_test_split(
        np.arange(COUNT), test_size=test, stratify=y, random_state=split_seed
    )
    train, validations = train_test_split(
        others, test_size=validation, stratify=y[others], random_state=split_seed
    )
    images = (x / WHITE).astype(np.float32).reshape(COUNT, SIDE, SIDE)
    return images, y.astype(np.int64), dict(zip(PARTS, (train, validations, tests), strict=True))
