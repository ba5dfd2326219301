"""Records existing files afterwards: lists a folder once, and watches nothing."""

from __future__ import annotations

import os
import re
import stat
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from scifish.recording.session import RecordingSession
from scifly.collector import MeasurementCollector
from scifly.grouping import measurement_of
from scifly.model import JournalFile, ProposalContext
from scifly.profiles import Profile, profile_of
from scifly.recorder import DatasetRecorder, Outcome
from scifly.watching import is_passing, printable

PROPOSAL_IN_PATH = r"/(?P<category>visitors|proprietary|staff)/(?P<beamline>[^/]+)/(?P<proposal>[^/]+)/[^/]+/raw(?:/|$)"
"""The default regular expression for the proposal in a path: PathFixer's default layout."""

MAX_SCAN_BATCH = 200
"""Maximum number of measurements that are recorded together."""

MAX_DATASETS_IN_FLIGHT = 2000
"""Maximum number of datasets waiting for Kafka: they use memory, and space in the spool."""

SCAN_PULSE_SECONDS = 0.2


class UnknownProposalError(ValueError):
    """The proposal of a file is unknown. The text says what to do."""


@dataclass(frozen=True)
class PathRule:
    """The proposal of a file: the given one, else the one in its path. With `beamline` "" any beamline is accepted."""

    layout: re.Pattern[str]
    beamline: str = ""
    proposal: str = ""
    sample: str = ""

    def place_of(self, path: str) -> ProposalContext:
        """Raises UnknownProposalError if the path has no proposal, or belongs to another beamline."""
        found = self.layout.search(path)
        named = {name: text or "" for name, text in (found.groupdict() if found else {}).items()}
        proposal = self.proposal or named.get("proposal", "")
        if not proposal:
            raise UnknownProposalError("the path does not contain the proposal: give --proposal, or --layout")
        beamline = named.get("beamline", "")
        if self.beamline and beamline and beamline.lower() != self.beamline.lower():
            raise UnknownProposalError(
                f"it belongs to the beamline {beamline}, but the settings are for {self.beamline}"
            )
        # Data in a proprietary folder stays at the beamline, whatever the options say.
        category = "proprietary" if "/proprietary/" in path else named.get("category", "")
        return ProposalContext(proposal, self.sample or named.get("sample", ""), category)


@dataclass
class MeasurementFiles:
    """The files of one measurement."""

    path: str
    profile: Profile
    files: list[JournalFile] = field(default_factory=list)

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    @property
    def written(self) -> float:
        """The latest mtime, in seconds since 1970."""
        return max(file.mtime_ns for file in self.files) / 1e9


def measurements(root: str, profiles: Sequence[Profile], problem: Callable[[str], None]) -> list[MeasurementFiles]:
    """All measurements below the root, sorted by time.

    `problem` gets a sentence for each folder that cannot be read.
    """
    found: dict[str, MeasurementFiles] = {}
    for relative, file in _files(root, "", problem):
        profile = profile_of(profiles, relative)
        if profile is not None:
            path = os.path.join(root, measurement_of(profile, relative)).rstrip("/")
            measured = found.setdefault(path, MeasurementFiles(path, profile))
            if profiles.index(profile) < profiles.index(measured.profile):
                measured.profile = profile
            measured.files.append(file)
    return sorted(found.values(), key=lambda one: (one.written, one.path))


def _files(folder: str, relative: str, problem: Callable[[str], None]) -> Iterator[tuple[str, JournalFile]]:
    folders = [(folder, relative)]
    while folders:
        folder, relative = folders.pop()
        try:
            with os.scandir(folder) as listed:
                entries = sorted((entry for entry in listed if not is_passing(entry.name)), key=lambda one: one.name)
        except OSError as error:
            problem(f"{printable(folder)}: {error.strerror}")
            continue
        for entry in entries:
            try:
                about = entry.stat(follow_symlinks=False)
            except OSError:
                continue  # it has just been deleted
            if stat.S_ISDIR(about.st_mode):
                folders.append((entry.path, f"{relative}{entry.name}/"))
            elif stat.S_ISREG(about.st_mode):
                yield relative + entry.name, JournalFile.of(entry.path, about.st_size, about.st_mtime_ns, about.st_ino)


class FolderScan:
    """Records measurements in batches until it is stopped. Measurements that are recorded already are skipped."""

    def __init__(
        self,
        collector: MeasurementCollector,
        recorder: DatasetRecorder,
        session: Callable[[], RecordingSession],
        on_outcome: Callable[[Outcome], None],
        stopping: threading.Event,
    ) -> None:
        self._collector = collector
        self._recorder = recorder
        self._session = session
        self._on_outcome = on_outcome
        self._stopping = stopping

    def run(self, found: Sequence[MeasurementFiles]) -> list[str]:
        """Record the measurements. Returns the paths of those that are not recorded: unfinished, or stopped before.

        Raises like `DatasetRecorder.record`.
        """
        for start in range(0, len(found), MAX_SCAN_BATCH):
            if self._stopping.is_set():
                return [one.path for one in found[start:]]
            some = found[start : start + MAX_SCAN_BATCH]
            self._collector.take(file for one in some for file in one.files)
            while (due := self._collector.due()) and not self._stopping.is_set():
                outcome = self._recorder.record(self._collector, due)
                outcome.end(self._collector)
                outcome.answer()
                self._on_outcome(outcome)
            self._wait_for_kafka(MAX_DATASETS_IN_FLIGHT)
        return [one.path for one in self._collector]

    def finish(self, patience: float, progress: Callable[[int], None]) -> int:
        """Wait until Kafka has all messages, or makes no progress for `patience` seconds. Returns how many are left."""
        return self._wait_for_kafka(0, patience, progress)

    def _wait_for_kafka(
        self, most: int, patience: float = float("inf"), progress: Callable[[int], None] = lambda left: None
    ) -> int:
        before, since = -1, time.monotonic()
        while not self._stopping.is_set() or patience < float("inf"):
            try:
                left = self._session().waiting(SCAN_PULSE_SECONDS * 10)
            except TimeoutError:
                left = before
            if left != before:
                before, since = left, time.monotonic()
                progress(left)
            if 0 <= left <= most or time.monotonic() - since > patience:
                break
            time.sleep(SCAN_PULSE_SECONDS)
        return max(before, 0)
