"""Data of the right shapes for tasks whose own must be fetched, drawn at random: what a network
would bring.
"""

from __future__ import annotations

import gzip
import struct
import zipfile
from pathlib import Path

import numpy as np

from study.tasks.mnist import FILES


def idx_files(folder: Path, train: int = 400, test: int = 100) -> Path:
    """Noise in the form of MNIST's four files, .gz; classes in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    drawn = np.random.default_rng(0)
    for name in FILES:
        count = train if name.startswith("train") else test
        of = drawn.integers(0, 256, (count, 28, 28)) if "images" in name else np.arange(count) % 10
        header = struct.pack(f">HBB{of.ndim}I", 0, 8, of.ndim, *of.shape)
        (folder / f"{name}.gz").write_bytes(
            gzip.compress(header + of.astype(np.uint8).tobytes(), 1)
        )
    return folder


def archive(
    path: Path,
    name: str,
    channels: int,
    classes: int,
    lengths: tuple[int, int],
    train: int = 80,
    test: int = 40,
) -> Path:
    """NAME.zip with noise in the .ts format."""
    drawn = np.random.default_rng(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as files:
        for part, count in (("TRAIN", train), ("TEST", test)):
            lines = [
                f"#{name}",
                f"@problemName {name}",
                "@timeStamps false",
                "@classLabel true " + " ".join(map(str, range(classes))),
                "@data",
            ]
            for number in range(count):
                values = drawn.normal(
                    size=(channels, int(drawn.integers(lengths[0], lengths[1] + 1)))
                )
                lines.append(
                    ":".join(",".join(f"{value:.3f}" for value in channel) for channel in values)
                    + f":{number % classes}"
                )
            files.writestr(f"{name}_{part}.ts", "\n".join(lines))
    return path


def settings(task: str, folder: Path) -> dict[str, str]:
    """Settings with which a committed task or experiment of this name needs no network; none where
    it needs none anyway.
    """
    if task in ("mnist", "fashion_mnist"):
        return {"folder": str(idx_files(folder / task))}
    if task == "spoken_digits":
        return {
            "folder": str(
                archive(
                    folder / "ucr" / "SpokenArabicDigits.zip", "SpokenArabicDigits", 13, 10, (4, 93)
                ).parent
            )
        }
    return {}


def overrides(experiment: str, folder: Path) -> list[str]:
    """The same for a committed experiment, as it is typed."""
    small = [f"task.{key}={value}" for key, value in settings(experiment, folder).items()]
    if experiment == "mnist":
        small += ["task.train=300", "task.test=100"]
    return (
        small
        + (["task.test=100"] if experiment == "fashion_mnist" else [])
        + (["task.validation=50"] if "mnist" in experiment else [])
    )
