"""Checkpoints: one file per member, so that a member can resume alone or in any other group.

outputs/NAME/checkpoints/ID.safetensors   everything that training carries from update to update,
                                          written whole or not at all
outputs/NAME/checkpoints/ID.set-aside     an unusable one, kept for inspection

Draws are functions of (seed, update), so no generator state is stored. A file is verified by its
digest and used only by the code that wrote it: a point trained by two versions of the code would
have the numbers of neither.
"""

from __future__ import annotations

import functools
import hashlib
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
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from study.config.sources import pieces_of, source_file
from study.interfaces import AtLags, ByIndex, ByStep, Point
from study.records import NUMERICS
from study.store.atomic import write_whole
from study.store.digests import UNSET, digest
from study.training.serialize import (
    CannotSerialize,
    named_tuples,
    on_device,
    pack,
    stack_members,
    take_member,
    unpack,
)
from study.training.state import Measured, Training

FOLDER, ENDING = "checkpoints", ".safetensors"
VERSION = 1  # of the file format
STACKED = ("params", "alive", "diverged_at", "best_score", "best_loss", "best_params")
PER_UPDATE = ("losses", "norms", "scales", "cosines", "factors")
NESTED = {"optimizer": "optimizer_state", "schedule": "schedule_state", "average": "averaged"}


class Unusable(Exception):
    """A checkpoint that cannot be resumed from, and why."""


@dataclass(frozen=True)
class MemberCheckpoint:
    """One member after `update` updates, which took `seconds`; `resumed`: earlier resume points."""

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
        """The update of each point's checkpoint, unverified, for planning; others are left out."""
        existing = (
            {path.name.removesuffix(ENDING) for path in self.folder.glob(f"*{ENDING}")}
            if self.folder.is_dir()
            else set()
        )
        found = {}
        for id in ids:
            if id in existing:
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
                ):  # RuntimeError: the file was removed meanwhile
                    continue  # `load` verifies the file before training, and reports
        return found

    def save(
        self,
        training: Training,
        update: int,
        seconds: Sequence[float],
        resumed: Sequence[Sequence[int]],
    ) -> None:
        """Write a checkpoint of every member, as it is before the probes of `update`.

        Raises CannotSerialize, or OSError if a file cannot be written.
        """
        self.folder.mkdir(exist_ok=True)
        # strict=False: a lone point's training has a second, equal member.
        for point, state, spent, resumed_at in zip(
            training.points, _states(training), seconds, resumed, strict=False
        ):
            tensors: dict[str, Tensor] = {}
            facts = {
                "state": pack(state, tensors),
                "seconds": spent,
                "resumed": list(resumed_at),
                "shapes": _shapes(tensors),
            }
            data = _digested(
                _concatenated(tensors),
                {
                    "update": str(update),
                    "stamp": json.dumps(stamp(point)),
                    "facts": json.dumps(facts),
                },
            )
            write_whole(self.path(point.id), functools.partial(_write, data))

    def load(self, point: Point, training: Training) -> MemberCheckpoint | None:
        """Read a point's checkpoint; None if it has none. Raises Unusable.

        `training`: any training of such points, for the classes of named tuples.
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
                    "it is damaged: its content does not match the digest written with it"
                )
            written, current = json.loads(header["stamp"]), stamp(point)
            differ = [key for key in current if written.get(key) != current[key]]
            if differ:
                raise Unusable(f"it was written by another {', '.join(differ)}")
            facts = json.loads(header["facts"])
            named = named_tuples(
                [training.optimizer_state, training.schedule_state, training.clip_states]
            )
            return MemberCheckpoint(
                int(header["update"]),
                facts["seconds"],
                facts["resumed"],
                unpack(facts["state"], _split(load(data), facts["shapes"]), named),
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
        """Remove checkpoints of points that are stored or have failed."""
        for id in ids:
            self.path(id).unlink(missing_ok=True)

    def tidy(self, ids: Collection[str]) -> None:
        """Remove leftovers of these points, including files half-written by killed processes."""
        for path in self.folder.glob(f"*{ENDING}"):
            partial = re.match(r"\.partial-\d+-", path.name)
            if path.name[partial.end() if partial else 0 :].removesuffix(ENDING) in ids:
                path.unlink(missing_ok=True)


# --- a file ---------------------------------------------------------------------------------------


def _write(data: bytes, path: Path) -> None:
    path.write_bytes(data)


_dtype_name = functools.lru_cache(maxsize=None)(str)  # cached: str(dtype) is slow


def _shapes(tensors: Mapping[str, Tensor]) -> list[list[Any]]:
    return [
        [name, _dtype_name(tensor.dtype), tuple(tensor.shape)] for name, tensor in tensors.items()
    ]


def _concatenated(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Join the values of all tensors of one type into one tensor.

    Profiles are hundreds of small tensors, and each costs as much to write as a large one.
    """
    by_type: dict[str, list[Tensor]] = {}
    for tensor in tensors.values():
        by_type.setdefault(_dtype_name(tensor.dtype), []).append(tensor.reshape(-1))
    return {dtype: torch.cat(parts) for dtype, parts in by_type.items()}


def _split(flat: Mapping[str, Tensor], shapes: Sequence[Sequence[Any]]) -> dict[str, Tensor]:
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
    ) as error:  # a layout or type that the format lacks
        raise CannotSerialize(str(error)) from error
    return data.replace(UNSET.encode(), _digest(data, UNSET).encode(), 1)


def _digest(data: bytes, written: str) -> str:
    """Digest of the whole file, with UNSET in place of the digest itself."""
    return digest(data.replace(written.encode(), UNSET.encode(), 1))


def _header(data: bytes) -> dict[str, str]:
    """Metadata of a safetensors file: 8 bytes with the length of the header, then the header."""
    (length,) = struct.unpack("<Q", data[:8])
    header: dict[str, str] = json.loads(data[8 : 8 + length])["__metadata__"]
    return header


# --- what wrote it --------------------------------------------------------------------------------


def stamp(point: Point) -> dict[str, Any]:
    """What must be unchanged for a point to resume; its id covers the rest of its configuration."""
    measured = json.dumps([point.config["probe"], point.config["health"]], sort_keys=True)
    return {
        "version of checkpoints": VERSION,
        "numerics": NUMERICS,
        "torch": torch.__version__,
        "code": sources(tuple(sorted(set(pieces_of(point.config))))),
        "probes": hashlib.blake2b(measured.encode(), digest_size=8).hexdigest(),
    }


@functools.lru_cache(maxsize=64)
def sources(pieces: tuple[str, ...]) -> str:
    """Digest of this package's sources and of the source files of users' pieces."""
    package = Path(__file__).resolve().parent.parent
    files = {source_file(piece) for piece in pieces}
    digest = hashlib.blake2b(digest_size=8)
    tables = package.glob("kernels/*.yaml")  # decide what kernel=auto means
    for path in sorted({*package.rglob("*.py"), *tables, *(file for file in files if file)}):
        digest.update(path.read_bytes())
    return digest.hexdigest()


# --- members --------------------------------------------------------------------------------------


def _states(training: Training) -> Iterator[dict[str, Any]]:
    """Yield everything that each member carries from update to update."""
    members = len(training.points)
    by_update = {
        name: (
            torch.stack(values) if (values := getattr(training, name)) else torch.zeros(0, members)
        )
        for name in PER_UPDATE
    }
    validated = [torch.stack([loss, score]) for _, loss, score in training.validations]
    clip_members = [indices.tolist() for _, indices in training.clip_rules]
    for member in range(members):
        clip, indices = next(
            (state, indices)
            for state, indices in zip(training.clip_states, clip_members, strict=True)
            if member in indices
        )
        yield {
            **{name: getattr(training, name)[member] for name in STACKED},
            **{
                key: take_member(getattr(training, name), member, members)
                for key, name in NESTED.items()
            },
            "clip": take_member(clip, indices.index(member), len(indices)),
            "carried": take_member(training.carried, member, members),
            **{name: values[:, member] for name, values in by_update.items()},
            "validations": [
                (update, values[:, member])
                for (update, _, _), values in zip(training.validations, validated, strict=True)
            ],
            "measured": [_packed(measured, member) for measured in training.measured],
            "measured alone": [_packed(each, 0) for each in training.measured_alone[member]],
        }


def _packed(measured: Measured, member: int) -> dict[str, Any]:
    values: dict[str, tuple[Any, ...]] = {}
    for name, value in measured.values.items():
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
        "of": (measured.probe, measured.stage, measured.update),
        "values": values,
        "profiles": {
            which: {name: column[member] for name, column in columns.items()}
            for which, columns in measured.profiles.items()
        },
        "states": {layer: rows[member] for layer, rows in measured.states.items()},
    }


def restore(training: Training, saved: Sequence[MemberCheckpoint]) -> None:
    """Put members' checkpoints, all of the same update, into a training just prepared.

    A lone member is doubled. Raises Unusable if the checkpoints do not fit together.
    """
    states = (
        [each.state for each in saved]
        if len(saved) == len(training.points)
        else [saved[0].state] * len(training.points)
    )
    device = training.device
    try:
        for name in STACKED:
            setattr(training, name, torch.stack([state[name] for state in states]).to(device))
        for key, name in NESTED.items():
            setattr(
                training, name, on_device(stack_members([state[key] for state in states]), device)
            )
        training.clip_states = [
            on_device(stack_members([states[member]["clip"] for member in indices]), device)
            for indices in (members.tolist() for _, members in training.clip_rules)
        ]
        training.carried = on_device(stack_members([state["carried"] for state in states]), device)
        for name in PER_UPDATE:
            setattr(
                training,
                name,
                list(torch.stack([state[name] for state in states], dim=1).to(device).unbind(0)),
            )
        # One [M, 2] per validation: loss and score.
        validations = stack_members(
            [[values for _, values in state["validations"]] for state in states]
        )
        updates = [update for update, _ in states[0]["validations"]]
        training.validations = [
            (update, *values.to(device).unbind(1))
            for update, values in zip(updates, validations, strict=True)
        ]
        training.measured = [
            _unpacked([state["measured"][index] for state in states])
            for index in range(len(states[0]["measured"]))
        ]
        training.measured_alone = [
            [_unpacked([part]) for part in state["measured alone"]] for state in states
        ]
    except (ValueError, KeyError, IndexError, RuntimeError, TypeError) as error:
        raise Unusable(
            f"its content does not fit this group ({type(error).__name__}: {error})"
        ) from error


def _unpacked(parts: Sequence[Mapping[str, Any]]) -> Measured:
    probe, stage, update = stack_members([part["of"] for part in parts])
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
        profiles=stack_members([part["profiles"] for part in parts]),
        states={layer: [part["states"][layer] for part in parts] for layer in parts[0]["states"]},
    )
