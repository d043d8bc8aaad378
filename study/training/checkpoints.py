"""Checkpoints: one file per member, so that a member can resume alone or in any other group.

outputs/NAME/checkpoints/ID.safetensors   everything that training carries from update to update,
                                          written whole or not at all
outputs/NAME/checkpoints/ID.set-aside     one that could not be used, kept for inspection

Draws are functions of (seed, update), so no generator state is stored. A file is verified by its
digest, and used only by the code that wrote it: a point trained by two versions of the code would
have the numbers of neither.
"""

from __future__ import annotations

import functools
import hashlib
import inspect
import json
import math
import re
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import get_class
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from study.interfaces import AtLags, ByIndex, ByStep, Point
from study.records import NUMERICS
from study.store.atomic import write_whole
from study.store.digests import UNSET, digest
from study.training.serialize import Unpackable, join, mapped, named_tuples, pack, take, unpack
from study.training.state import Measured, Training

FOLDER, ENDING = "checkpoints", ".safetensors"
VERSION = 1  # of the files
PLAIN = ("params", "alive", "diverged_at", "best_score", "best_loss", "best_params")
BY_UPDATE = ("losses", "norms", "scales", "cosines")


class Unusable(Exception):
    """A checkpoint that must not be gone on from, and why."""


@dataclass(frozen=True)
class Kept:
    """What a file holds of one member: `update` updates made in `seconds`, and where it was
    `resumed` before.
    """

    update: int
    seconds: float
    resumed: Sequence[int]
    state: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one study."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / FOLDER

    def path(self, id: str) -> Path:
        return self.folder / f"{id}{ENDING}"

    def updates(self, ids: Iterable[str]) -> dict[str, int]:
        """Updates that are kept of these points, by the files' own word: for planning.

        Points without one are left out.
        """
        there = (
            {path.name.removesuffix(ENDING) for path in self.folder.glob(f"*{ENDING}")}
            if self.folder.is_dir()
            else set()
        )
        found = {}
        for id in ids:
            if id in there:
                try:
                    with safe_open(self.path(id), framework="pt") as file:
                        found[id] = int(file.metadata()["update"])
                except (
                    OSError,
                    RuntimeError,
                    SafetensorError,
                    KeyError,
                    TypeError,
                    ValueError,
                ):  # RuntimeError: the file is gone since
                    continue  # whoever trains it looks closer, and tells
        return found

    def save(
        self,
        training: Training,
        update: int,
        seconds: Sequence[float],
        resumed: Sequence[Sequence[int]],
    ) -> None:
        """Keep every member as it is before the probes of `update`.

        Raises Unpackable, or OSError where it cannot be written.
        """
        self.folder.mkdir(exist_ok=True)
        for point, state, spent, at in zip(
            training.points, _states(training), seconds, resumed, strict=False
        ):
            tensors: dict[str, Tensor] = {}
            facts = {
                "state": pack(state, tensors),
                "seconds": spent,
                "resumed": list(at),
                "shapes": _shapes(tensors),
            }
            data = _digested(
                _flat(tensors),
                {
                    "update": str(update),
                    "stamp": json.dumps(stamp(point)),
                    "facts": json.dumps(facts),
                },
            )
            write_whole(self.path(point.id), functools.partial(_write, data))

    def load(self, point: Point, training: Training) -> Kept | None:
        """What is kept of a point; None if nothing is. `training`: any that has such points.

        Raises Unusable.
        """
        try:
            data = self.path(point.id).read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise Unusable(f"it cannot be read ({error.strerror})") from error
        try:
            header = _header(data)
            if _digest(data, header["digest"]) != header["digest"]:
                raise Unusable(
                    "it is damaged: its content does not have the digest that was written with it"
                )
            there, here = json.loads(header["stamp"]), stamp(point)
            differ = [key for key in here if there.get(key) != here[key]]
            if differ:
                raise Unusable(f"it was written by another {', '.join(differ)}")
            facts = json.loads(header["facts"])
            named = named_tuples([training.optimizer_state, training.clip_states])
            return Kept(
                int(header["update"]),
                facts["seconds"],
                facts["resumed"],
                unpack(facts["state"], _shaped(load(data), facts["shapes"]), named),
            )
        except (
            SafetensorError,
            struct.error,
            ValueError,
            KeyError,
            TypeError,
            IndexError,
        ) as error:
            raise Unusable(f"it is damaged ({type(error).__name__})") from error

    def set_aside(self, id: str) -> None:
        self.path(id).rename(self.folder / f"{id}.set-aside")

    def remove(self, ids: Iterable[str]) -> None:
        """Of points that are stored, or failed: nothing will go on from there."""
        for id in ids:
            self.path(id).unlink(missing_ok=True)

    def tidy(self, ids: Collection[str]) -> None:
        """Remove what is left of these points, half-written files of processes that were killed
        among it.
        """
        for path in self.folder.glob(f"*{ENDING}"):
            partial = re.match(r"\.partial-\d+-", path.name)
            if path.name[partial.end() if partial else 0 :].removesuffix(ENDING) in ids:
                path.unlink(missing_ok=True)


# --- a file ---------------------------------------------------------------------------------------


def _write(data: bytes, path: Path) -> None:
    path.write_bytes(data)


_type = functools.lru_cache(maxsize=None)(str)  # as text, which torch makes slowly


def _shapes(tensors: Mapping[str, Tensor]) -> list[list[Any]]:
    return [[name, _type(tensor.dtype), tuple(tensor.shape)] for name, tensor in tensors.items()]


def _flat(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The values of all tensors of one type, one after the other: profiles are hundreds of small
    ones, and each would cost as much as a large one.
    """
    of: dict[str, list[Tensor]] = {}
    for tensor in tensors.values():
        of.setdefault(_type(tensor.dtype), []).append(tensor.reshape(-1))
    return {dtype: torch.cat(parts) for dtype, parts in of.items()}


def _shaped(flat: Mapping[str, Tensor], shapes: Sequence[Sequence[Any]]) -> dict[str, Tensor]:
    ends: dict[str, int] = {}
    tensors = {}
    for name, dtype, shape in shapes:
        start = ends.get(dtype, 0)
        ends[dtype] = start + math.prod(shape)
        tensors[name] = flat[dtype][start : ends[dtype]].reshape(shape)
    return tensors


def _digested(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    try:
        data = save(tensors, metadata={**metadata, "digest": UNSET})
    except (
        SafetensorError,
        ValueError,
        RuntimeError,
    ) as error:  # a layout or a type that the format does not have
        raise Unpackable(str(error)) from error
    return data.replace(UNSET.encode(), _digest(data, UNSET).encode(), 1)


def _digest(data: bytes, written: str) -> str:
    """Digest of the whole file, with UNSET in the place of its own."""
    return digest(data.replace(written.encode(), UNSET.encode(), 1))


def _header(data: bytes) -> dict[str, str]:
    """The texts of a safetensors file: 8 bytes with the header's length, then the header."""
    (length,) = struct.unpack("<Q", data[:8])
    header: dict[str, str] = json.loads(data[8 : 8 + length])["__metadata__"]
    return header


# --- who wrote it ---------------------------------------------------------------------------------


def stamp(point: Point) -> dict[str, Any]:
    """What must be the same for training to go on; what decides a point's numbers by configuration
    is in its id.
    """
    measured = json.dumps([point.config["probe"], point.config["health"]], sort_keys=True)
    return {
        "version of checkpoints": VERSION,
        "numerics": NUMERICS,
        "torch": torch.__version__,
        "code": sources(tuple(sorted(_pieces(point.config)))),
        "probes": hashlib.blake2b(measured.encode(), digest_size=8).hexdigest(),
    }


def _pieces(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(node.get("_target_"), str):
            yield node["_target_"]
        for name, item in node.items():
            if name not in ("tracker", "executor", "search", "study"):
                yield from _pieces(item)


@functools.lru_cache(maxsize=64)
def sources(pieces: tuple[str, ...]) -> str:
    """Digest of this package's sources and of the files of pieces from elsewhere."""
    here = Path(__file__).resolve().parent.parent
    files = {inspect.getsourcefile(get_class(piece)) for piece in pieces}
    digest = hashlib.blake2b(digest_size=8)
    auto = here.glob("kernels/*.yaml")  # what kernel=auto means
    for path in sorted(
        {*here.rglob("*.py"), *auto, *(Path(file).resolve() for file in files if file)}
    ):
        digest.update(path.read_bytes())
    return digest.hexdigest()


# --- members --------------------------------------------------------------------------------------


def _states(training: Training) -> Iterator[dict[str, Any]]:
    """Everything that each member carries across updates."""
    members = len(training.points)
    by_update = {
        name: (
            torch.stack(values) if (values := getattr(training, name)) else torch.zeros(0, members)
        )
        for name in BY_UPDATE
    }
    validated = [torch.stack([loss, score]) for _, loss, score in training.validations]
    clips = [(rule, of.tolist()) for rule, of in training.clip_rules]
    for member in range(members):
        clip, of = next(
            (state, of)
            for state, (_, of) in zip(training.clip_states, clips, strict=True)
            if member in of
        )
        yield {
            **{name: getattr(training, name)[member] for name in PLAIN},
            "optimizer": take(training.optimizer_state, member, members),
            "clip": take(clip, of.index(member), len(of)),
            "carried": take(training.carried, member, members),
            **{name: values[:, member] for name, values in by_update.items()},
            "validations": [
                (update, values[:, member])
                for (update, _, _), values in zip(training.validations, validated, strict=True)
            ],
            "measured": [_measured(one, member) for one in training.measured],
        }


def _measured(one: Measured, member: int) -> dict[str, Any]:
    values: dict[str, tuple[Any, ...]] = {}
    for name, value in one.values.items():
        if isinstance(value, AtLags):
            values[name] = ("lags", value.values[member], [int(lag) for lag in value.lags])
        elif isinstance(value, ByStep):
            values[name] = ("steps", value.values[member], value.last.tolist())
        else:
            values[name] = (
                ("index", value.values[member])
                if isinstance(value, ByIndex)
                else ("plain", value[member, ...])
            )
    return {
        "of": (one.probe, one.stage, one.update),
        "values": values,
        "profiles": {
            which: {name: column[member] for name, column in columns.items()}
            for which, columns in one.profiles.items()
        },
        "states": {layer: rows[member] for layer, rows in one.states.items()},
    }


def restore(training: Training, kept: Sequence[Kept]) -> None:
    """Members as they were kept, all at one update, into a training just prepared; a lone one
    stands for its shadow too.

    Raises Unusable where they do not fit together.
    """
    states = (
        [one.state for one in kept]
        if len(kept) == len(training.points)
        else [kept[0].state] * len(training.points)
    )
    device = training.device
    try:
        for name in PLAIN:
            setattr(training, name, torch.stack([state[name] for state in states]).to(device))
        training.optimizer_state = _placed(join([state["optimizer"] for state in states]), device)
        training.clip_states = [
            _placed(join([states[member]["clip"] for member in of.tolist()]), device)
            for _, of in training.clip_rules
        ]
        training.carried = _placed(join([state["carried"] for state in states]), device)
        for name in BY_UPDATE:
            setattr(
                training,
                name,
                list(torch.stack([state[name] for state in states], dim=1).to(device).unbind(0)),
            )
        # one [M, 2] a validation
        both = join([[values for _, values in state["validations"]] for state in states])
        updates = [update for update, _ in states[0]["validations"]]
        training.validations = [
            (update, *values.to(device).unbind(1))
            for update, values in zip(updates, both, strict=True)
        ]
        training.measured = [
            _joined([state["measured"][index] for state in states])
            for index in range(len(states[0]["measured"]))
        ]
    except (ValueError, KeyError, IndexError, RuntimeError, TypeError) as error:
        raise Unusable(
            f"what it holds does not fit this group ({type(error).__name__}: {error})"
        ) from error


def _placed(state: Any, device: torch.device) -> Any:
    return mapped(lambda leaf: leaf.to(device) if isinstance(leaf, Tensor) else leaf, state)


def _joined(parts: Sequence[Mapping[str, Any]]) -> Measured:
    probe, stage, update = join([part["of"] for part in parts])
    values: dict[str, np.ndarray | ByIndex | AtLags | ByStep] = {}
    for name, (kind, *_) in parts[0]["values"].items():
        both = [part["values"][name] for part in parts]
        if kind == "lags":
            values[name] = AtLags(torch.stack([value for _, value, _ in both]), both[0][2])
        elif kind == "steps":
            values[name] = ByStep(
                torch.stack([value for _, value, _ in both]), torch.tensor(both[0][2])
            )
        else:
            values[name] = (
                ByIndex(torch.stack([value for _, value in both]))
                if kind == "index"
                else np.stack([np.asarray(value) for _, value in both])
            )
    return Measured(
        probe,
        stage,
        update,
        values=values,
        profiles=join([part["profiles"] for part in parts]),
        states={layer: [part["states"][layer] for part in parts] for layer in parts[0]["states"]},
    )
