"""Files that are finished, put together until their measurement is. On disk before anything is done with it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from scifish.message.identity import files_uuid
from scifly.grouping import FoundFiles, below, measurement_of
from scifly.journal import Journal
from scifly.model import JournalFile, Measurement, ProposalContext
from scifly.profiles import Profile, profile_of
from scifly.watching.filesystem import birth

FOLDER_RECHECK_SECONDS = 0.5
"""Seconds until a folder is looked at again for files that are not finished: one may have been deleted."""

FOLDER_RECHECK_FACTOR = 10.0
"""A folder of 100,000 files takes long to look at: so many times as long passes until it is done again."""


@dataclass
class OpenMeasurement:
    """A measurement with files that were not recorded yet, or have changed since.

    `last` is when the last was found, `turn` when there is something to be done, by the monotonic clock.
    """

    measurement: Measurement
    profile: Profile
    files: dict[str, JournalFile] = field(default_factory=dict)
    last: float = 0.0
    turn: float = 0.0
    cost: float = 0.0
    now: Future[str] | None = None
    """Somebody wants it to be recorded as it is, and waits for the answer."""

    @property
    def path(self) -> str:
        return self.measurement.path

    def wait(self, seconds: float) -> None:
        self.turn = time.monotonic() + seconds


class MeasurementClaims:
    """Who gathers a measurement: of two roots inside of each other it must be one. Threads may share it."""

    def __init__(self) -> None:
        self._owners: dict[str, MeasurementCollector] = {}
        self._lock = threading.Lock()

    def claim(self, path: str, collector: MeasurementCollector) -> MeasurementCollector:
        """The one whose it is."""
        with self._lock:
            return self._owners.setdefault(path, collector)

    def release(self, path: str) -> None:
        with self._lock:
            self._owners.pop(path, None)


class MeasurementCollector:
    """The measurements of one root. For one thread, but for `given`."""

    def __init__(
        self,
        root: str,
        profiles: Sequence[Profile],
        journal: Journal,
        beamline: str,
        catch_up: float,
        place: Callable[[str, float], ProposalContext],
        claims: MeasurementClaims | None = None,
        pass_on: Callable[[MeasurementCollector, JournalFile], None] = lambda owner, file: None,
    ) -> None:
        """`place` says where the experiment stood when a file (path, seconds since 1970) was made.

        Files that were neither written nor brought here since now, nor within `catch_up` seconds, are left alone.
        `pass_on` is told of a file that another one gathers.
        """
        self.root = root
        self.skipped = 0
        """Files that were left alone."""
        self._profiles = profiles
        self._journal = journal
        self._beamline = beamline
        self._catch_up = catch_up
        self._since = time.time()
        self._place = place
        self._claims = claims or MeasurementClaims()
        self._pass_on = pass_on
        self._open: dict[str, OpenMeasurement] = {}
        self._folders = FoundFiles(profiles)
        self._age = journal.age

    def __len__(self) -> int:
        return len(self._open)

    def __iter__(self) -> Iterator[OpenMeasurement]:
        return iter(list(self._open.values()))

    def restore(self) -> None:
        """Go on with what an earlier run of this program has left at this root. sqlite3.Error as the journal."""
        for measurement, files in self._journal.unfinished():
            if measurement.root != self.root or not self._is_mine(measurement.path):
                continue
            profile = next((one for one in self._profiles if one.name == measurement.profile), None)
            left = {file.path: file for file in files if not file.settled}
            if profile is not None:
                self._open[measurement.path] = OpenMeasurement(measurement, profile, left, last=time.monotonic())
            else:  # if another profile wants them now, they are found as new files
                self._journal.forget(measurement.uuid, list(left))
                self._claims.release(measurement.path)

    def take(self, found: Iterable[JournalFile]) -> None:
        """These files are finished. On disk when this returns.

        sqlite3.Error where the journal refuses: then they are to be taken again.
        """
        latest = {file.path: file for file in found}
        known = self._journal.known(list(latest))
        # Not all files of each: of a measurement of 100,000 frames that would be written with each frame.
        changed: dict[str, tuple[OpenMeasurement, list[JournalFile]]] = {}
        for path, file in latest.items():
            before = known.get(path)
            relative = below(path, self.root)
            profile = profile_of(self._profiles, relative)
            if profile is None:
                continue
            self._folders.found(path)
            if before is not None and before.settled and before.is_like(file):
                continue
            if before is None and self._is_too_old(file):
                self.skipped += 1
                continue
            open_measurement = self._add(replace(file, born=birth(path)), profile, relative)
            if open_measurement is not None:
                changed.setdefault(open_measurement.path, (open_measurement, []))[1].append(
                    open_measurement.files[path]
                )
        if changed:
            self._journal.found((one.measurement, files) for one, files in changed.values())

    def take_now(self, file: JournalFile, answer: Future[str]) -> None:
        """As `take`, of a file that somebody wants to be recorded at once, whatever it is. `answer` gets the uuid."""
        relative = below(file.path, self.root)
        profile = profile_of(self._profiles, relative) or Profile("record now", "*")
        open_measurement = self._add(replace(file, born=birth(file.path)), profile, relative)
        if open_measurement is None:
            raise ValueError(f"{file.path} is being recorded already, with another folder")
        open_measurement.now, open_measurement.turn = answer, 0.0
        self._journal.found([(open_measurement.measurement, [open_measurement.files[file.path]])])

    def due(self) -> list[OpenMeasurement]:
        """The measurements of which all files are finished, and which need not wait for anything else."""
        if self._age != self._journal.age:  # it was damaged, and is a new one
            self._age = self._journal.age
            self._journal.found((one.measurement, one.files.values()) for one in self)
        now = time.monotonic()
        looked: dict[str, tuple[set[str], float]] = {}
        return [one for one in self if one.turn <= now and not self._waits(one, looked)]

    def next_turn(self) -> float:
        """When something is due, by the monotonic clock."""
        return min((one.turn for one in self), default=float("inf"))

    def done(self, open_measurement: OpenMeasurement) -> None:
        """It is recorded, ignored, or gone."""
        self._open.pop(open_measurement.path, None)
        self._claims.release(open_measurement.path)

    def close(self) -> None:
        for open_measurement in self:
            self.done(open_measurement)

    def place_of(self, files: Iterable[JournalFile]) -> ProposalContext:
        """Where the experiment stood when the first of these files was made."""
        made, first = min((_made(file), file.path) for file in files)
        return self._place(first, made)

    # ------------------------------------------------------------------- behind that

    def _add(self, file: JournalFile, profile: Profile, relative: str) -> OpenMeasurement | None:
        """The measurement that it belongs to; None if another collector has that."""
        path = os.path.join(self.root, measurement_of(profile, relative)).rstrip("/")
        if not self._is_mine(path):
            self._pass_on(self._claims.claim(path, self), file)
            return None
        open_measurement = self._open.get(path)
        if open_measurement is None:
            measurement = self._journal.latest(path) or self._begun(path, profile, file)
            open_measurement = self._open[path] = OpenMeasurement(measurement, profile)
        elif self._rank(profile) < self._rank(open_measurement.profile):
            open_measurement.profile = profile  # of several that want its files it is the first
        now = time.monotonic()
        open_measurement.files[file.path] = file
        open_measurement.last, open_measurement.turn = now, now + FOLDER_RECHECK_FACTOR * open_measurement.cost
        return open_measurement

    def _begun(self, path: str, profile: Profile, file: JournalFile) -> Measurement:
        uuid = files_uuid(self._beamline, path, 0)
        return Measurement(uuid, path, 0, self.root, profile.name, self.place_of([file]))

    def _rank(self, profile: Profile) -> int:
        return self._profiles.index(profile) if profile in self._profiles else len(self._profiles)

    def _is_mine(self, path: str) -> bool:
        return self._claims.claim(path, self) is self

    def _is_too_old(self, file: JournalFile) -> bool:
        limit = min(time.time() - self._catch_up, self._since)
        if file.mtime_ns / 1e9 > limit:
            return False
        try:
            return os.lstat(file.path).st_ctime < limit  # one that was copied here has the time of its original
        except OSError:
            return True

    def _waits(self, open_measurement: OpenMeasurement, looked: dict[str, tuple[set[str], float]]) -> bool:
        """Whether there are files of it that are not finished."""
        patient = time.monotonic() < open_measurement.last + open_measurement.profile.patience
        if open_measurement.profile.group == "file" or open_measurement.now is not None or not patient:
            return False
        folder = os.path.dirname(next(iter(open_measurement.files)))
        if folder not in looked:
            began = time.monotonic()
            looked[folder] = (self._folders.unfinished(folder, self.root), time.monotonic() - began)
        unfinished, open_measurement.cost = looked[folder]
        if open_measurement.path not in unfinished:
            return False
        open_measurement.wait(max(FOLDER_RECHECK_SECONDS, FOLDER_RECHECK_FACTOR * open_measurement.cost))
        return True


def _made(file: JournalFile) -> float:
    # One that was copied was made later than it was written. On NFS nobody says when it was made, and one that is
    # written for an hour has the time of its end: there it was made when it was noticed.
    return min(file.mtime_ns / 1e9, file.born or float("inf"), file.seen)
