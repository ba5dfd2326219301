"""Watches one root in a thread of its own, because its file server may hang."""

from __future__ import annotations

import contextlib
import logging
import os
import queue
import sqlite3
import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from typing import Protocol

from scifish.recording.session import NotRecorded
from scifish.settings import SettingsError
from scifly.collector import MeasurementCollector
from scifly.grouping import below
from scifly.model import JournalFile
from scifly.profiles import Profile, profile_of
from scifly.recorder import RECORD_RETRY_SECONDS, DatasetRecorder, Outcome, RecorderStopped
from scifly.watching import FinishedFile, FolderWatch, printable

log = logging.getLogger(__name__)

FILE_BATCH_SECONDS = 0.1
"""Seconds in which found files are collected into one batch: each batch costs several syncs of the disk."""

MAX_FILE_BATCH = 2000
"""Maximum number of files in one batch."""

FOLLOWER_IDLE_SECONDS = 30.0
"""Seconds between two checks if nothing is due earlier."""


class FollowerListener(Protocol):
    """Receives the results of a root. The root's thread calls it."""

    def outcome(self, outcome: Outcome, collector: MeasurementCollector) -> None: ...

    def trouble_of(self, root: str, trouble: str) -> None: ...

    def pulse(self) -> None: ...


class RootFollower(threading.Thread):
    """Collects the files that the watch of a root finds, and records their measurements."""

    def __init__(
        self,
        collector: MeasurementCollector,
        watch: Callable[[RootFollower], FolderWatch],
        recorder: DatasetRecorder,
        listener: FollowerListener,
        stopping: threading.Event,
    ) -> None:
        super().__init__(name="scifly-root", daemon=True)
        self.root = collector.root
        self.collector = collector
        self.left: float | None = None
        """The time when the experiment left this root (monotonic clock); None while it is the current one."""
        self.watch = watch(self)
        self._recorder = recorder
        self._listener = listener
        self._found: queue.Queue[JournalFile | tuple[str, Future[str]] | None] = queue.Queue()
        """An item counts as unfinished until the collector has it."""
        self._batch: list[JournalFile] = []
        self._requests: list[tuple[str, Future[str]]] = []
        self._stopping = stopping
        self._trouble = ""
        self._restored = False

    @property
    def pending(self) -> int:
        """Number of files and measurements that are not finished or not recorded.

        It may be too high for a moment, never too low.
        """
        # In the order in which a file moves. A file is counted in the next place before it is removed from the previous
        # one.
        return self.watch.pending + self._found.unfinished_tasks + len(self.collector)

    # ----------------------------------------------------------- called by other threads

    def on_found(self, found: FinishedFile) -> None:
        file = JournalFile.of(found.path, found.size, found.mtime_ns, found.inode)
        self._found.put(replace(file, seen=found.seen))

    def give(self, file: JournalFile) -> None:
        """Take a file of this root's measurement that was found below another root."""
        self._found.put(file)

    def record_now(self, path: str) -> Future[str]:
        """Record the measurement of this file now. The future gets the dataset's uuid when it is recorded."""
        answer: Future[str] = Future()
        self._found.put((path, answer))
        return answer

    def is_done(self, linger: float, patience: float) -> bool:
        """Whether the experiment has left this root, everything is recorded, and no late files are expected.

        Files that a program keeps open are waited for at most `patience` seconds after the last change.
        """
        if self.left is None:
            return False
        now = time.monotonic()
        quiet = now - max(self.left, self.watch.changed)
        return quiet > linger + patience or (now - self.left > linger and not self.pending)

    def stop(self) -> None:
        """Request the stop; `join` waits for it."""
        self._stopping.set()
        self.watch.stop()
        self._found.put(None)

    # ---------------------------------------------------------------------- its own thread

    def run(self) -> None:
        self.watch.start()
        while not self._stopping.is_set():
            try:
                self._turn()
                self._report_trouble("")
            except RecorderStopped:
                break
            except sqlite3.Error as error:
                self._report_trouble(
                    f"the journal refuses writes, and nothing is recorded until it accepts them: {error}"
                )
                self._stopping.wait(RECORD_RETRY_SECONDS)
            except (NotRecorded, SettingsError) as error:
                self._report_trouble(str(error))
                self._stopping.wait(RECORD_RETRY_SECONDS)
            except Exception as error:
                log.exception("recording files below %s", printable(self.root))
                self._report_trouble(f"{type(error).__name__}: {error}")
                self._stopping.wait(RECORD_RETRY_SECONDS)
        self.collector.close()

    def _turn(self) -> None:
        if not self._restored:
            self.collector.restore()
            self._restored = True
        self._drain_queue()
        if self._batch:
            self.collector.take(self._batch)
            self._taken(len(self._batch))
            self._batch = []
        while self._requests:
            self._take_now(*self._requests[0])
            self._taken(1)
            self._requests.pop(0)
        due = self.collector.due()
        if due:
            outcome = self._recorder.record(self.collector, due)
            self._listener.outcome(outcome, self.collector)
        self._listener.pulse()

    def _drain_queue(self) -> None:
        """Move the queued files and requests into `_batch` and `_requests`. Waits until there is something to do."""
        left = self._batch or self._requests  # of an earlier call, if the journal could not be written
        wait = min(max(self.collector.next_turn() - time.monotonic(), 0.0), FOLLOWER_IDLE_SECONDS)
        with contextlib.suppress(queue.Empty):
            one = self._found.get(timeout=0.0 if left else wait)
            self._stopping.wait(FILE_BATCH_SECONDS)
            while not self._stopping.is_set():
                if isinstance(one, JournalFile):
                    self._batch.append(one)
                elif one is not None:
                    self._requests.append(one)
                if len(self._batch) >= MAX_FILE_BATCH:
                    break
                one = self._found.get_nowait()

    def _taken(self, number: int) -> None:
        for _ in range(number):
            self._found.task_done()

    def _take_now(self, path: str, answer: Future[str]) -> None:
        try:
            # A link could lead out of the proposal's folder; a link within it would make two datasets of one file.
            real = os.path.join(os.path.realpath(os.path.dirname(path)), os.path.basename(path))
            if real != os.path.join(os.path.realpath(self.root), below(path, self.root)):
                raise ValueError(
                    f"{printable(path)} is behind a symbolic link, which is not followed: {printable(real)}"
                )
            found = os.lstat(path)
            if not stat.S_ISREG(found.st_mode):
                raise ValueError(f"{printable(path)} is not a file")
            file = JournalFile.of(path, found.st_size, found.st_mtime_ns, found.st_ino)
            self.collector.take_now(file, answer)
        except (OSError, ValueError) as error:
            answer.set_exception(error)

    def _report_trouble(self, trouble: str) -> None:
        if trouble != self._trouble:
            self._trouble = trouble
            self._listener.trouble_of(self.root, trouble)


def wanted(profiles: tuple[Profile, ...]) -> Callable[[str], bool]:
    """A function that returns whether any profile matches a path below the root."""
    return lambda relative_path: profile_of(profiles, relative_path) is not None


def settle(profiles: tuple[Profile, ...]) -> Callable[[str], float]:
    """A function that returns the seconds without a change after which a file is finished."""

    def of(relative_path: str) -> float:
        profile = profile_of(profiles, relative_path)
        return profile.settle if profile is not None else 0.0

    return of
