"""Checksums of data files that this machine can read, within a limited time.

They are computed in threads of their own, for which no worker waits: the dataset does, before its list of files is
written. A file that cannot be read, has changed or takes too long gets none, and the log says so.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import cached_property

from ingest.scicow.errors import NotYet
from sdm.beneath import open_beneath

log = logging.getLogger(__name__)

CHECKSUM_SECONDS = 60.0
"""Seconds for all files of one message, also those until a thread is free for them."""

READ_GRACE_SECONDS = 5.0
"""Seconds that a single read may take after that."""

WORKER_WAIT_SECONDS = 0.1
"""How long a worker waits: small files are done by then."""

MAX_CHECKSUM_THREADS = 4
"""Messages whose files are read at the same time, also those that hang in a file system that does not answer."""

FORGET_SECONDS = 3600.0
"""Seconds after which nobody asks any more: the message has gone to another SciCow."""

_CHUNK = 1024 * 1024


class Checksums:
    """`algorithm` is blake2b, sha256 or none. Threads may share it.

    Only files below the `folders` are read, also through links: a sender must learn nothing about other files.
    """

    def __init__(self, algorithm: str, folders: Sequence[str], clock: Callable[[], float] = time.monotonic) -> None:
        self.algorithm = "" if algorithm == "none" else algorithm
        self._folders = _Folders(folders)
        self._clock = clock
        self._lock = threading.Lock()
        self._jobs: dict[tuple[str, frozenset[tuple[str, int]]], _ChecksumJob] = {}
        self._waiting: deque[_ChecksumJob] = deque()
        self._reading: set[_ChecksumJob] = set()
        self._threads = 0

    def of(self, files: dict[str, int], dataset: str) -> dict[str, str]:
        """Hexadecimal checksums by path, of those of these files (path, and size in bytes) that can be read.

        NotYet while they are read: the same call again has them, or what there is after `CHECKSUM_SECONDS` and
        `READ_GRACE_SECONDS` together. `dataset` is its uuid.
        """
        if not self.algorithm or not files:
            return {}
        key = (dataset, frozenset(files.items()))
        job = self._job(key, files)
        job.is_over.wait(WORKER_WAIT_SECONDS)
        if not job.is_over.is_set() and self._clock() < job.deadline + READ_GRACE_SECONDS and not self._all_hang():
            raise NotYet(f"the checksums of its {len(files)} files are being computed")
        with self._lock:
            self._jobs.pop(key, None)
            if job in self._waiting:
                self._waiting.remove(job)
        found = dict(job.found)  # a thread that hangs adds no more to it
        if len(found) < len(files):
            reason = job.problems[0] if job.problems else "their file system does not answer, or too slowly"
            log.warning("%s: %d of %d files have no checksum: %s", dataset, len(files) - len(found), len(files), reason)
        return found

    def _job(self, key: tuple[str, frozenset[tuple[str, int]]], files: dict[str, int]) -> _ChecksumJob:
        now = self._clock()
        with self._lock:
            for old in [old for old, job in self._jobs.items() if now > job.deadline + FORGET_SECONDS]:
                del self._jobs[old]
            if key not in self._jobs:
                job = self._jobs[key] = _ChecksumJob(
                    self.algorithm, self._folders, files, now + CHECKSUM_SECONDS, self._clock
                )
                self._waiting.append(job)
                if self._threads < MAX_CHECKSUM_THREADS:
                    self._threads += 1
                    threading.Thread(target=self._run, daemon=True, name="checksums").start()
            return self._jobs[key]

    def _all_hang(self) -> bool:
        """Whether no thread can take a further message, as each is in a file system that does not answer."""
        late = self._clock() - READ_GRACE_SECONDS
        with self._lock:
            return sum(job.deadline < late for job in self._reading) >= MAX_CHECKSUM_THREADS

    def _run(self) -> None:
        while (job := self._next()) is not None:
            try:
                job.run()
            finally:
                job.is_over.set()
                with self._lock:
                    self._reading.remove(job)

    def _next(self) -> _ChecksumJob | None:
        with self._lock:
            if not self._waiting:
                self._threads -= 1
                return None
            job = self._waiting.popleft()
            self._reading.add(job)
            return job


class _Folders:
    """Resolved only in a thread that may hang: they may be in a file system that does not answer."""

    def __init__(self, folders: Sequence[str]) -> None:
        self._folders = folders

    @cached_property
    def resolved(self) -> tuple[str, ...]:
        return tuple(map(os.path.realpath, self._folders))


class _ChecksumJob:
    """The files of one message, one after the other. `deadline` is of the `clock`."""

    def __init__(
        self, algorithm: str, folders: _Folders, files: dict[str, int], deadline: float, clock: Callable[[], float]
    ) -> None:
        self.deadline = deadline
        self.found: dict[str, str] = {}
        self.problems: list[str] = []
        self.is_over = threading.Event()
        self._algorithm = algorithm
        self._folders = folders
        self._files = files
        self._clock = clock

    def run(self) -> None:
        for path, size in self._files.items():
            try:
                self.found[path] = self._checksum(path, size)
            except (OSError, ValueError) as error:
                # The path was written by users: shown as Python would write it.
                self.problems.append(f"{path!r}: {getattr(error, 'strerror', None) or error}")
            if self._clock() > self.deadline:
                self.problems.insert(0, f"reading takes more than {CHECKSUM_SECONDS:.0f} s")
                return

    def _checksum(self, path: str, size: int) -> str:
        if not os.path.isabs(path):
            raise ValueError("is not a full path")
        real = os.path.realpath(path)
        folder = next((each for each in self._folders.resolved if os.path.commonpath((real, each)) == each), None)
        if folder is None:
            raise ValueError("is not below one of the checksum_folders")
        # What was resolved may be a link again by now.
        with open(open_beneath(folder, real), "rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise ValueError("is not a regular file")
            if status.st_size != size:
                raise ValueError(f"has {status.st_size} bytes now, but had {size}")
            digest = hashlib.new(self._algorithm)
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
                if self._clock() > self.deadline:
                    raise ValueError("takes too long")
        return digest.hexdigest()
