"""Collects finished files until their measurement is complete. All is written to the journal before it is processed."""

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
"""Seconds until a folder is listed again for unfinished files: one of them may have been deleted."""

FOLDER_RECHECK_FACTOR = 10.0
"""The folder is listed again after at least this many times the duration of the listing (100,000 files take long)."""


@dataclass
class OpenMeasurement:
    """A measurement with files that are not recorded yet, or have changed since they were recorded.

    `last` is the time when the last file was found, `turn` the time of the next action, both by the monotonic clock.
    `cost` is how long the last listing of its folder took, in seconds.
    """

    measurement: Measurement
    profile: Profile
    files: dict[str, JournalFile] = field(default_factory=dict)
    last: float = 0.0
    turn: float = 0.0
    cost: float = 0.0
    now: Future[str] | None = None
    """The answer for a caller who requested that it is recorded as it is now."""

    @property
    def path(self) -> str:
        return self.measurement.path

    def wait(self, seconds: float) -> None:
        self.turn = time.monotonic() + seconds


class MeasurementClaims:
    """Which collector owns a measurement: with nested roots, exactly one of them. Threads may share it."""

    def __init__(self) -> None:
        self._owners: dict[str, MeasurementCollector] = {}
        self._lock = threading.Lock()

    def claim(self, path: str, collector: MeasurementCollector) -> MeasurementCollector:
        """The collector that owns the measurement: `collector`, unless another one has claimed it before."""
        with self._lock:
            return self._owners.setdefault(path, collector)

    def release(self, path: str) -> None:
        with self._lock:
            self._owners.pop(path, None)


class MeasurementCollector:
    """The open measurements of one root. For one thread; others may read the length and `skipped`."""

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
        """`place` returns the proposal in use when a file (path, seconds since 1970) was created.

        Files that were neither written nor moved here since the start, nor within the last `catch_up` seconds, are
        skipped. `pass_on` gets the files that another collector owns.
        """
        self.root = root
        self.skipped = 0
        """Number of skipped files: they were too old."""
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
        """Continue with the unfinished measurements of an earlier run at this root.

        Raises sqlite3.Error like the journal.
        """
        for measurement, files in self._journal.unfinished():
            if measurement.root != self.root or not self._is_mine(measurement.path):
                continue
            profile = next((one for one in self._profiles if one.name == measurement.profile), None)
            left = {file.path: file for file in files if not file.settled}
            if profile is not None:
                self._open[measurement.path] = OpenMeasurement(measurement, profile, left, last=time.monotonic())
            else:  # if another profile matches them now, they are found as new files
                self._journal.forget(measurement.uuid, list(left))
                self._claims.release(measurement.path)

    def take(self, found: Iterable[JournalFile]) -> None:
        """Take finished files. They are in the journal when this returns.

        Raises sqlite3.Error if the journal cannot be written; the caller then passes the same files again.
        """
        latest = {file.path: file for file in found}
        existing = self._journal.known(list(latest))
        # Only the new files of each measurement: otherwise a measurement of 100,000 frames would be written with each
        # frame.
        changed: dict[str, tuple[OpenMeasurement, list[JournalFile]]] = {}
        for path, file in latest.items():
            before = existing.get(path)
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
        """Like `take`, for a file to be recorded at once, even if no profile matches it.

        `answer` gets the uuid. Raises ValueError if another collector owns the measurement.
        """
        relative = below(file.path, self.root)
        profile = profile_of(self._profiles, relative) or Profile("record now", "*")
        open_measurement = self._add(replace(file, born=birth(file.path)), profile, relative)
        if open_measurement is None:
            raise ValueError(f"{file.path} is being recorded already, with another folder")
        open_measurement.now, open_measurement.turn = answer, 0.0
        self._journal.found([(open_measurement.measurement, [open_measurement.files[file.path]])])

    def due(self) -> list[OpenMeasurement]:
        """The measurements whose files are all finished and which have nothing else to wait for."""
        if self._age != self._journal.age:  # the journal was damaged and has been replaced by an empty one
            self._age = self._journal.age
            self._journal.found((one.measurement, one.files.values()) for one in self)
        now = time.monotonic()
        looked: dict[str, tuple[set[str], float]] = {}
        return [one for one in self if one.turn <= now and not self._waits(one, looked)]

    def next_turn(self) -> float:
        """The time of the next action, by the monotonic clock; inf if there is none."""
        return min((one.turn for one in self), default=float("inf"))

    def done(self, open_measurement: OpenMeasurement) -> None:
        """Close a measurement that is recorded, ignored or deleted."""
        self._open.pop(open_measurement.path, None)
        self._claims.release(open_measurement.path)

    def close(self) -> None:
        for open_measurement in self:
            self.done(open_measurement)

    def place_of(self, files: Iterable[JournalFile]) -> ProposalContext:
        """The proposal in use when the first of these files was created."""
        made, first = min((_made(file), file.path) for file in files)
        return self._place(first, made)

    # ----------------------------------------------------------------------- private

    def _add(self, file: JournalFile, profile: Profile, relative: str) -> OpenMeasurement | None:
        """The measurement that the file belongs to; None if another collector owns it."""
        path = os.path.join(self.root, measurement_of(profile, relative)).rstrip("/")
        if not self._is_mine(path):
            self._pass_on(self._claims.claim(path, self), file)
            return None
        open_measurement = self._open.get(path)
        if open_measurement is None:
            measurement = self._journal.latest(path) or self._begun(path, profile, file)
            open_measurement = self._open[path] = OpenMeasurement(measurement, profile)
        elif self._rank(profile) < self._rank(open_measurement.profile):
            open_measurement.profile = profile  # the first of the profiles that match its files
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
            return os.lstat(file.path).st_ctime < limit  # a copied file keeps the mtime of its original
        except OSError:
            return True

    def _waits(self, open_measurement: OpenMeasurement, looked: dict[str, tuple[set[str], float]]) -> bool:
        """Whether the folder has unfinished files of this measurement."""
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
    # A copy is created later than its mtime. NFS (before 4.2) has no creation time, and the mtime of a file that is
    # written for an hour is the end of the writing: there the time at which the file was noticed counts.
    return min(file.mtime_ns / 1e9, file.born or float("inf"), file.seen)
