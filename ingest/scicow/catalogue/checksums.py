"""Checksums of data files that this machine can read, within a limited time.

A file that cannot be read, has changed or takes too long gets none, and the log says so: metadata do not wait.
"""

from __future__ import annotations

import hashlib
import logging
import os
import stat
import threading
import time
from collections.abc import Sequence

from sdm.beneath import open_beneath

log = logging.getLogger(__name__)

CHECKSUM_SECONDS = 60.0
"""Seconds for all files of one message."""

READ_GRACE_SECONDS = 5.0
"""Seconds that a single read may take after that."""

MAX_CHECKSUM_THREADS = 4
"""Messages whose files are read at the same time, also those that hang in a file system that does not answer."""

_CHUNK = 1024 * 1024


class Checksums:
    """`algorithm` is blake2b, sha256 or none. `workers` is how many threads share it.

    Only files below the `folders` are read, also through links: a sender must learn nothing about other files.
    At most half of the workers are in here, so that large files do not hold up what has none.
    """

    def __init__(self, algorithm: str, folders: Sequence[str], workers: int) -> None:
        self._folders = tuple(map(os.path.realpath, folders))
        self.algorithm = "" if algorithm == "none" else algorithm
        self._at_once = max(1, min(MAX_CHECKSUM_THREADS, workers // 2))
        self._room = threading.Semaphore(self._at_once)
        self._budget = CHECKSUM_SECONDS

    def of(self, files: dict[str, int], dataset: str) -> dict[str, str]:
        """Hexadecimal checksums by path, of those of these files (path, and size in bytes) that can be read.

        Takes at most `CHECKSUM_SECONDS` and `READ_GRACE_SECONDS` together. `dataset` is for the log.
        """
        if not self.algorithm or not files:
            return {}
        found: dict[str, str] = {}
        problems: list[str] = []
        work = _ChecksumJob(self.algorithm, self._folders, files, time.monotonic() + self._budget, found, problems)
        if self._room.acquire(blocking=False):
            # A thread of its own: no time-out reaches a read of a file server that hangs.
            thread = threading.Thread(target=self._run, args=(work,), daemon=True, name="checksums")
            thread.start()
            thread.join(self._budget + READ_GRACE_SECONDS)
            found = dict(found)  # a thread that hangs adds no more to it
        else:
            problems.append(
                f"the files of {self._at_once} other messages are being read, or their file system does not answer"
            )
        if len(found) < len(files):
            reason = problems[0] if problems else "the file system does not answer"
            log.warning("%s: %d of %d files have no checksum: %s", dataset, len(files) - len(found), len(files), reason)
        return found

    def _run(self, work: _ChecksumJob) -> None:
        try:
            work.run()
        finally:
            self._room.release()


class _ChecksumJob:
    """The files of one message, one after the other."""

    def __init__(
        self,
        algorithm: str,
        folders: tuple[str, ...],
        files: dict[str, int],
        deadline: float,
        found: dict[str, str],
        problems: list[str],
    ) -> None:
        self._algorithm = algorithm
        self._folders = folders
        self._files = files
        self._deadline = deadline
        self._found = found
        self._problems = problems

    def run(self) -> None:
        for path, size in self._files.items():
            try:
                self._found[path] = self._checksum(path, size)
            except (OSError, ValueError) as error:
                # The path was written by users: shown as Python would write it.
                self._problems.append(f"{path!r}: {getattr(error, 'strerror', None) or error}")
            if time.monotonic() > self._deadline:
                self._problems.insert(0, f"reading takes more than {CHECKSUM_SECONDS:.0f} s")
                return

    def _checksum(self, path: str, size: int) -> str:
        if not os.path.isabs(path):
            raise ValueError("is not a full path")
        real = os.path.realpath(path)
        folder = next((each for each in self._folders if os.path.commonpath((real, each)) == each), None)
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
                if time.monotonic() > self._deadline:
                    raise ValueError("takes too long")
        return digest.hexdigest()
