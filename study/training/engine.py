"""Run one group from configurations to stored points: the table of contents."""

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
from study.training.checkpoints import Checkpoints, Kept, Unusable, restore
from study.training.early_end import apart, ending
from study.training.evaluation import evaluate
from study.training.loop import train
from study.training.members import keep
from study.training.postmortem import first_nonfinite
from study.training.precision import fixed_numerics
from study.training.results import failed_record, point_record
from study.training.serialize import Unpackable
from study.training.state import Training, prepare

Hear = Callable[[int], bool | None]
"""hear(update): called before each update with the number made; true: keep a
checkpoint and stop.
"""
Note = Callable[[str], None]
"""note(text): something that the user should know, and that stops nothing."""

# what two that store one point at once may meet
STORED_ELSEWHERE = (errno.ENOENT, errno.EEXIST, errno.ENOTEMPTY)
TRIES = 20


class Left(Exception):
    """Training has stopped where it was, on request; what it had is kept."""


def run_group(
    group: Group, folder: Path, device: str, hear: Hear, note: Note = lambda text: None
) -> list[str]:
    """Train the points of a group from where they are kept, store them in the study at `folder`,
    return their ids.

    device: cpu or cuda (cuda:1, …). Raises Left where `hear` said so.
    """
    run_parts(group.points, folder, device, hear, note)
    return [point.id for point in group.points]


def run_parts(points: Sequence[Point], folder: Path, device: str, hear: Hear, note: Note) -> None:
    """Side by side what can be: all that have made the same number of updates, or one by one."""
    setup = set_up(points[0].config)
    together, updates = setup.model.whole_blocks(), setup.updates
    made = Checkpoints(folder).updates(point.id for point in points)
    parts: dict[object, list[Point]] = {}
    for index, point in enumerate(points):
        parts.setdefault(made.get(point.id, 0) if together else index, []).append(point)
    for index, part in enumerate(parts.values()):

        def hear_part(update: int, before: int = index * updates) -> bool | None:
            return hear((before + update) // len(parts))

        run_together(part, folder, device, hear_part, note)


def run_together(
    points: Sequence[Point], folder: Path, device: str, hear: Hear, note: Note
) -> None:
    """Train points side by side and store them."""
    store, checkpoints = Store(folder), Checkpoints(folder)
    start, begun = time.time(), time.perf_counter()
    writer = PointWriter(
        store, checkpoints, {point.id: store.version(point.id) for point in points}, start
    )
    with fixed_numerics():
        training = prepare(points, device)
        kept = go_on(training, points, checkpoints, note)
        if kept is None:
            return run_parts(points, folder, device, hear, note)
        keeper = CheckpointKeeper(checkpoints, training, kept, begun, hear, note)
        train(
            training,
            lambda update: leave_early(training, keeper, writer, update),
            made=kept[0].update,
            before=keeper,
        )
        if keeper.kept:
            writer.store(training, keeper, range(len(keeper.kept)), left=None)
    return None


def leave_early(
    training: Training, keeper: CheckpointKeeper, writer: PointWriter, update: int
) -> bool:
    """Store the members that end here, as `stop` declares, and go on without them; whether nobody
    is left.
    """
    if update == training.setup.updates:
        return False
    leaving = list(ending(training, len(keeper.kept)))
    if not leaving:
        return False
    writer.store(apart(training, leaving, update), keeper, leaving, left=update)
    stay = [member for member in range(len(keeper.kept)) if member not in leaving]
    keeper.go_on_with(stay)
    if stay:
        keep(training, stay)
    return not stay


@dataclass(frozen=True)
class PointWriter:
    """Stores trained points. `versions`: of the stored points when their group began."""

    points: Store
    checkpoints: Checkpoints
    versions: Mapping[str, object]
    start: float

    def store(
        self, training: Training, keeper: CheckpointKeeper, members: Sequence[int], left: int | None
    ) -> None:
        """Store the members of `training`, which `keeper` has under these numbers.

        `left`: the updates after which they ended early.
        """
        evaluate(training)
        causes, seconds = first_nonfinite(training, len(members)), keeper.seconds()
        for here, member in enumerate(members):
            point = training.points[here]
            record = point_record(
                training,
                here,
                left=left,
                cause=causes.get(here),
                start=self.start,
                seconds=seconds[member],
            )
            if keeper.resumed[member]:
                record = replace(
                    record, provenance={**record.provenance, "resumed": keeper.resumed[member]}
                )
            differ = self.points.differs(record) if training.setup.reprobe else None
            if differ:
                raise StudyError(
                    f"point {record.id} trained again has another {differ} than the stored one,"
                    " which is kept: another machine or other versions?"
                )
            write_once(self.points, record, self.versions[point.id])
            self.checkpoints.remove([point.id])


def go_on(
    training: Training, points: Sequence[Point], checkpoints: Checkpoints, note: Note
) -> list[Kept] | None:
    """Put `training` where its points are kept.

    What cannot be used is set aside and told; None: they are then no longer at one update.
    """
    kept = []
    for point in points:
        try:
            kept.append(
                checkpoints.load(point, training)
                or Kept(update=0, seconds=0.0, resumed=(), state={})
            )
        except Unusable as error:
            _set_aside(checkpoints, point, error, note)
            return None
    if len({one.update for one in kept}) > 1:
        return None
    if kept[0].update > 0:
        try:
            restore(training, kept)
        except Unusable as error:
            for point in points:
                _set_aside(checkpoints, point, error, note)
            return None
    return kept


def _set_aside(checkpoints: Checkpoints, point: Point, error: Unusable, note: Note) -> None:
    checkpoints.set_aside(point.id)
    note(f"point {point.id} begins again, its checkpoint is set aside: {error}")


@dataclass
class CheckpointKeeper:
    """Writes checkpoints, every `checkpoint_seconds` and when training has to stop."""

    checkpoints: Checkpoints
    training: Training
    kept: Sequence[Kept]  # of the members that are still there
    begun: float  # when they, and no more than they, went on
    hear: Hear
    note: Note

    def __post_init__(self) -> None:
        self.every, self.saved = (self.training.setup.store.checkpoint_seconds, self.kept[0].update)
        self.last = time.monotonic()
        self.resumed = [[*one.resumed, one.update] if one.update else [] for one in self.kept]

    def __call__(self, update: int) -> None:
        leave = self.hear(update)
        if leave or (self.every is not None and time.monotonic() - self.last >= self.every):
            self.keep(update)
        if leave:
            raise Left(f"after {update} updates")

    def keep(self, update: int) -> None:
        if update > self.saved:
            try:
                self.checkpoints.save(self.training, update, self.seconds(), self.resumed)
                self.saved = update
            except Unpackable as error:
                self.every = None
                self.note(
                    "no checkpoints of groups with such a clip rule or optimizer, they begin again"
                    f" after an interruption: {error}"
                )
            except OSError as error:
                self.note(f"a checkpoint could not be written, training goes on ({error.strerror})")
        self.last = time.monotonic()

    def go_on_with(self, stay: Sequence[int]) -> None:
        """The other members have ended: they have had their share of the time until now, and have
        none of what comes.
        """
        seconds = self.seconds()
        self.kept = [replace(self.kept[member], seconds=seconds[member]) for member in stay]
        self.resumed = [self.resumed[member] for member in stay]
        self.begun = time.perf_counter()

    def seconds(self) -> list[float]:
        """Each point's share of the time until now, that of earlier launches included."""
        share = (time.perf_counter() - self.begun) / len(self.kept)
        return [one.seconds + share for one in self.kept]


def write_once(store: Store, record: PointRecord, before: object) -> None:
    """Store a point, unless somebody has since `before`: a launch that took it over, and found the
    same numbers. Raises CannotStore.
    """
    for attempt in range(TRIES):
        if store.version(record.id) != before:
            return
        try:
            store.write(record)
            return
        except OSError as error:
            if error.errno not in STORED_ELSEWHERE or attempt == TRIES - 1:
                why = os.strerror(error.errno) if error.errno else str(error)
                raise CannotStore(
                    f"{store.folder}: results cannot be written ({why}); nothing incomplete is kept"
                ) from error
            time.sleep(0.05)  # both have moved the old one away; one of them is done at once


def store_failure(points: Sequence[Point], folder: Path, told: Mapping[str, str]) -> None:
    """Mark points failed, with the reason and the traceback (provenance.failure).

    Raises CannotStore.
    """
    store = Store(folder)
    for point in points:
        write_once(store, failed_record(point, told), store.version(point.id))
    Checkpoints(folder).remove(point.id for point in points)
