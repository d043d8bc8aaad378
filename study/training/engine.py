"""Run one group from configurations to stored points."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from study.config.setup import set_up
from study.interfaces import Group, Point
from study.records import StudyError
from study.store import CannotStore, PointRecord, Store
from study.training.by_trainer import remove, train_point
from study.training.checkpoints import Checkpoints, MemberCheckpoint, Unusable, restore
from study.training.early_end import members_ending, probe_streaks, split_off
from study.training.evaluation import evaluate
from study.training.live import LiveGroup, OnRows
from study.training.loop import Stopped, train
from study.training.members import keep_members
from study.training.postmortem import first_nonfinite
from study.training.precision import fixed_numerics
from study.training.results import failed_record, point_record
from study.training.serialize import CannotSerialize
from study.training.state import Training, prepare

OnProgress = Callable[[int], bool | None]
"""on_progress(updates made): called before each update; true: write a checkpoint and stop."""
Warn = Callable[[str], None]
"""warn(text): something that the user should know and that stops nothing."""

# Errors of a process that stores a point while another process stores the same point.
STORED_MEANWHILE = (errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY)
TRIES = 20


def run_group(
    group: Group,
    folder: Path,
    device: str,
    on_progress: OnProgress,
    warn: Warn = lambda text: None,
    on_rows: OnRows = lambda rows: None,
) -> list[str]:
    """Train the points of a group, store them in the study at `folder`, and return their ids.

    Points resume from their checkpoints. device: cpu or cuda (cuda:1, …). `on_rows` receives rows
    of their histories while they train, if their trackers ask for them. Raises Stopped if
    `on_progress` returned true.
    """
    if set_up(group.points[0].config).trainer is None:
        train_in_parts(group.points, folder, device, on_progress, warn, on_rows)
    else:
        train_one_by_one(group.points, folder, device, on_progress, warn, on_rows)
    return [point.id for point in group.points]


def train_one_by_one(
    points: Sequence[Point],
    folder: Path,
    device: str,
    on_progress: OnProgress,
    warn: Warn,
    on_rows: OnRows,
) -> None:
    """Have a trainer of the user's own train points, and store them."""
    store, updates = Store(folder), set_up(points[0].config).updates
    for index, point in enumerate(points):
        before = store.version(point.id)

        def on_own_progress(update: int, done: int = index * updates) -> bool | None:
            return on_progress((done + update) // len(points))

        record = train_point(point, folder, device, on_own_progress, warn, on_rows)
        write_once(store, record, before)
        remove(folder, point)


def train_in_parts(
    points: Sequence[Point],
    folder: Path,
    device: str,
    on_progress: OnProgress,
    warn: Warn,
    on_rows: OnRows,
) -> None:
    """Train points that have made the same number of updates side by side, else one by one."""
    setup = set_up(points[0].config)
    together, updates = setup.model.whole_blocks(), setup.updates
    resumed_at = Checkpoints(folder).updates(point.id for point in points)
    parts: dict[object, list[Point]] = {}
    for index, point in enumerate(points):
        parts.setdefault(resumed_at.get(point.id, 0) if together else index, []).append(point)
    for index, part in enumerate(parts.values()):

        def on_part_progress(update: int, before: int = index * updates) -> bool | None:
            return on_progress((before + update) // len(parts))

        train_together(part, folder, device, on_part_progress, warn, on_rows)


def train_together(
    points: Sequence[Point],
    folder: Path,
    device: str,
    on_progress: OnProgress,
    warn: Warn,
    on_rows: OnRows,
) -> None:
    """Train points side by side and store them."""
    store, checkpoints = Store(folder), Checkpoints(folder)
    start, started = time.time(), time.perf_counter()
    writer = PointWriter(
        store, checkpoints, {point.id: store.version(point.id) for point in points}, start
    )
    with fixed_numerics():
        training = prepare(points, device)
        saved = resume(training, points, checkpoints, warn)
        if saved is None:
            return train_in_parts(points, folder, device, on_progress, warn, on_rows)
        keeper = CheckpointKeeper(checkpoints, training, saved, started, on_progress, warn)
        live = LiveGroup(training, on_rows)

        def before_update(update: int) -> None:
            live(update)
            keeper(update)

        train(
            training,
            lambda update: after_validation(training, keeper, writer, update),
            updates_made=saved[0].update,
            before_update=before_update,
        )
        if keeper.members:
            writer.write(training, keeper, range(len(keeper.members)), ended_after=None)
    return None


def after_validation(
    training: Training, keeper: CheckpointKeeper, writer: PointWriter, update: int
) -> bool:
    """Store the members that end here (`stop`) and continue without them; true: none is left."""
    probe_streaks(training, len(keeper.members), update)
    if update == training.setup.updates:
        return False
    ended = list(members_ending(training, len(keeper.members)))
    if not ended:
        return False
    writer.write(split_off(training, ended, update), keeper, ended, ended_after=update)
    stay = [member for member in range(len(keeper.members)) if member not in ended]
    keeper.continue_with(stay)
    if stay:
        keep_members(training, stay)
    return not stay


@dataclass(frozen=True)
class PointWriter:
    """Stores trained points. `versions`: of the stored points when their group was started."""

    store: Store
    checkpoints: Checkpoints
    versions: Mapping[str, object]
    start: float

    def write(
        self,
        training: Training,
        keeper: CheckpointKeeper,
        members: Sequence[int],
        ended_after: int | None,
    ) -> None:
        """Store the members of `training`; `members` are their indices in `keeper`.

        `ended_after`: the updates after which they ended early, if they did.
        """
        evaluate(training)
        causes, seconds = first_nonfinite(training, len(members)), keeper.seconds()
        for index, member in enumerate(members):
            point = training.points[index]
            record = point_record(
                training,
                index,
                ended_after=ended_after,
                cause=causes.get(index),
                start=self.start,
                seconds=seconds[member],
            )
            if keeper.resumed[member]:
                record = replace(
                    record, provenance={**record.provenance, "resumed": keeper.resumed[member]}
                )
            differ = self.store.differs(record) if training.setup.reprobe else None
            if differ:
                raise StudyError(
                    f"point {record.id}: trained again, its {differ} differs from the stored one,"
                    " which is kept. Was it trained on another machine or with other versions?"
                )
            write_once(self.store, record, self.versions[point.id])
            self.checkpoints.remove([point.id])


def resume(
    training: Training, points: Sequence[Point], checkpoints: Checkpoints, warn: Warn
) -> list[MemberCheckpoint] | None:
    """Restore the checkpoints of a training's points; a point without one starts at update 0.

    Unusable checkpoints are set aside with a warning. Returns None if the points are then not all
    at the same update.
    """
    saved = []
    for point in points:
        try:
            saved.append(
                checkpoints.load(point, training)
                or MemberCheckpoint(update=0, seconds=0.0, resumed=(), state={})
            )
        except Unusable as error:
            _set_aside(checkpoints, point, error, warn)
            return None
    if len({each.update for each in saved}) > 1:
        return None
    if saved[0].update > 0:
        try:
            restore(training, saved)
        except Unusable as error:
            for point in points:
                _set_aside(checkpoints, point, error, warn)
            return None
    return saved


def _set_aside(checkpoints: Checkpoints, point: Point, error: Unusable, warn: Warn) -> None:
    checkpoints.set_aside(point.id)
    warn(f"point {point.id} starts again from update 0; its checkpoint is set aside: {error}")


@dataclass
class CheckpointKeeper:
    """Writes checkpoints, every `checkpoint_seconds` and when training is asked to stop."""

    checkpoints: Checkpoints
    training: Training
    members: Sequence[MemberCheckpoint]  # those still in training, as last resumed
    started: float  # when exactly these members started or resumed
    on_progress: OnProgress
    warn: Warn

    def __post_init__(self) -> None:
        self.every, self.saved = (
            self.training.setup.store.checkpoint_seconds,
            self.members[0].update,
        )
        self.last = time.monotonic()
        self.resumed = [
            [*each.resumed, each.update] if each.update else [] for each in self.members
        ]

    def __call__(self, update: int) -> None:
        stop = self.on_progress(update)
        if stop or (self.every is not None and time.monotonic() - self.last >= self.every):
            self.save(update)
        if stop:
            raise Stopped(f"after {update} updates")

    def save(self, update: int) -> None:
        if update > self.saved:
            try:
                self.checkpoints.save(self.training, update, self.seconds(), self.resumed)
                self.saved = update
            except CannotSerialize as error:
                self.every = None
                self.warn(
                    "groups with this clip rule or optimizer have no checkpoints and start again"
                    f" after an interruption: {error}"
                )
            except OSError as error:
                self.warn(
                    f"a checkpoint could not be written; training continues ({error.strerror})"
                )
        self.last = time.monotonic()

    def continue_with(self, stay: Sequence[int]) -> None:
        """Continue with these members; the time up to now is shared with those that ended."""
        seconds = self.seconds()
        self.members = [replace(self.members[member], seconds=seconds[member]) for member in stay]
        self.resumed = [self.resumed[member] for member in stay]
        self.started = time.perf_counter()

    def seconds(self) -> list[float]:
        """Each member's share of the time up to now, earlier launches included."""
        share = (time.perf_counter() - self.started) / len(self.members)
        return [each.seconds + share for each in self.members]


def write_once(store: Store, record: PointRecord, before: object) -> None:
    """Store a point unless its stored version is no longer `before`. Raises CannotStore.

    Then another launch has taken the point over, and has stored the same numbers.
    """
    for attempt in range(TRIES):
        if store.version(record.id) != before:
            return
        try:
            store.write(record)
            return
        except OSError as error:
            if error.errno not in STORED_MEANWHILE or attempt == TRIES - 1:
                why = os.strerror(error.errno) if error.errno else str(error)
                raise CannotStore(
                    f"{store.folder}: results cannot be written ({why}); nothing incomplete is kept"
                ) from error
            time.sleep(0.05)  # both have moved the old one away; one of them is finished soon


def store_failure(points: Sequence[Point], folder: Path, failure: Mapping[str, str]) -> None:
    """Mark points failed, with the reason and the traceback (provenance.failure).

    Raises CannotStore.
    """
    store = Store(folder)
    for point in points:
        write_once(store, failed_record(point, failure), store.version(point.id))
    Checkpoints(folder).remove(point.id for point in points)
