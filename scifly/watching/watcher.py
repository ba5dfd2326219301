"""The threads of a watch: one finds changes, the other one reports finished files."""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from scifly.watching import filesystem
from scifly.watching.filesystem import FileSystem, Method, WatchStopped, method_for, mounts
from scifly.watching.inotify import InotifyListener, WatchLimitReached
from scifly.watching.model import FinishedFile, printable
from scifly.watching.polling import PollingListener
from scifly.watching.settle import STAT_RETRY_SECONDS, SettledFile, SettlingFiles, WriterState
from scifly.watching.tree import WatchedTree

log = logging.getLogger(__name__)

FULL_ROUND_SECONDS = 600.0
"""Seconds for one full round over the tree, which finds changes that were missed otherwise."""

LOOK_SLICE_SECONDS = 0.05
"""Maximum seconds of checking before new events are processed."""

FILE_SERVER_SILENT_SECONDS = 10.0
"""Seconds without an answer from the file server after which `trouble` reports it."""

WATCHER_STOP_SECONDS = 0.8
"""Maximum seconds that `stop` waits for the threads."""

MAX_SLEEP_SECONDS = 0.25
"""Maximum seconds that a thread sleeps."""


class WatchStatus(NamedTuple):
    """The state of a watch: see `scifly.watching.FolderWatch`."""

    method: Method
    sees: bool
    trouble: str


class Watcher:
    """Implements FolderWatch: see `scifly.watching.watch`."""

    def __init__(
        self,
        root: str,
        wanted: Callable[[str], bool],
        settle: Callable[[str], float],
        on_found: Callable[[FinishedFile], None],
        on_trouble: Callable[[str], None],
        method: Method | None,
        interval: float,
    ) -> None:
        self.root = os.path.abspath(root)
        # The method, and the kernel's limit that has caused polling, "" for none.
        self._way: tuple[Method, str] = (method or method_for(self.root, mounts()), "")
        self._chosen = method
        self._on_found = on_found
        self._on_trouble = on_trouble
        self._interval = interval
        self._stopping = threading.Event()
        self._file_system = FileSystem(self._stopping)
        self._settling = SettlingFiles(self._file_system, settle)
        self._tree = WatchedTree(self._file_system, wanted, self._settling)
        self._identity: tuple[int, int] | None = None
        self._begun = False
        self._problem = ""
        self._failed = ""
        self._not_taken = ""
        self._work: deque[Iterator[None]] = deque()
        self._round: Iterator[None] = iter(())
        self._next_step = self._next_root = self._next_retry = 0.0
        self._rescan = threading.Event()
        self._again: deque[SettledFile] = deque()
        self._queue: queue.Queue[SettledFile | None] = queue.Queue()
        self._watcher = threading.Thread(target=self._run, name="scifly-watch", daemon=True)
        self._reporter = threading.Thread(target=self._report_files, name="scifly-found", daemon=True)

    # ------------------------------------------------------------- called by any thread

    def start(self) -> None:
        self._watcher.start()
        self._reporter.start()

    def stop(self) -> None:
        self._stopping.set()
        self._queue.put(None)
        end = time.monotonic() + WATCHER_STOP_SECONDS
        for thread in (self._watcher, self._reporter):
            if thread.is_alive() and thread is not threading.current_thread():
                thread.join(max(end - time.monotonic(), 0))

    def rescan(self) -> None:
        self._rescan.set()

    @property
    def pending(self) -> int:
        # In the order in which a file moves. A file is counted in the next place before it is removed from the previous
        # one.
        return len(self._settling) + self._queue.unfinished_tasks + len(self._again)

    @property
    def changed(self) -> float:
        return self._settling.changed

    @property
    def method(self) -> Method:
        return self._way[0]

    @property
    def sees(self) -> bool:
        return self.sight.sees

    @property
    def trouble(self) -> str:
        return self.sight.trouble

    @property
    def sight(self) -> WatchStatus:
        (method, no_more), problem = self._way, self._problem
        if self._file_system.waits() > FILE_SERVER_SILENT_SECONDS:
            return WatchStatus(method, False, f"the file server of {printable(self.root)} does not answer")
        if problem:
            return WatchStatus(method, False, problem)
        unreadable = [*self._tree.troubles.copy().values(), *self._settling.troubles.copy().values()]
        more = f" (and {len(unreadable) - 1} more)" if len(unreadable) > 1 else ""
        problems = [no_more, *(text + more for text in unreadable[:1]), self._not_taken, self._failed]
        return WatchStatus(method, True, "; ".join(text for text in problems if text))

    # -------------------------------------------------------------- reports finished files

    def _report_files(self) -> None:
        reported = ""
        while not self._stopping.is_set():
            try:
                file = self._queue.get(timeout=MAX_SLEEP_SECONDS)
            except queue.Empty:
                file = None
            if file is not None and not self._stopping.is_set():
                self._give(file)
                self._queue.task_done()
            if (trouble := self.trouble) != reported:
                reported = trouble
                self._report_trouble(trouble)

    def _give(self, file: SettledFile) -> None:
        path, stat = os.path.join(self.root, file.path), file.stat
        try:
            self._on_found(FinishedFile(path, stat.size, stat.mtime_ns, stat.inode, stat.device, file.seen))
            self._not_taken = ""
        except Exception as error:
            log.exception("taking %s", printable(path))
            self._not_taken = f"{printable(path)} could not be processed, and is retried: {error!r}"
            self._again.append(file)

    def _report_trouble(self, trouble: str) -> None:
        try:
            self._on_trouble(trouble)
        except Exception:
            log.exception("a problem could not be reported: %s", trouble)

    # ------------------------------------------------------------------------ finds changes

    def _run(self) -> None:
        try:
            while not self._stopping.is_set():
                try:
                    self._turn()
                except WatchLimitReached as error:
                    log.warning("%s: %s. It is polled", printable(self.root), error)
                    self._use("polling", f"{error}. Until then {printable(self.root)} is polled")
                    self._look_at_all()
                except WatchStopped:
                    return
                except Exception as error:
                    log.exception("watching %s", printable(self.root))
                    self._failed = f"watching {printable(self.root)} failed: {error!r}. Retrying"
                    self._identity = None
                    self._stopping.wait(STAT_RETRY_SECONDS)  # then everything starts again
        finally:
            if self._begun:
                self._tree.listener.close()

    def _turn(self) -> None:
        now = time.monotonic()
        if now >= self._next_root:
            self._next_root = now + self._interval
            self._look_at_root()
        if self._identity is None:
            self._stopping.wait(min(self._interval, MAX_SLEEP_SECONDS))
            return
        if self._rescan.is_set():
            self._rescan.clear()
            self._begin(again=True)  # the kernel's limit may have been raised
        self._tree.listener.process_changes()
        self._do_work()
        self._take_steps()
        self._settle()
        self._try_again()
        if not self._work:
            turn = min(self._next_root, self._next_step, self._settling.next_turn(), self._tree.listener.next_turn())
            self._tree.listener.wait(min(max(turn - time.monotonic(), 0), MAX_SLEEP_SECONDS))

    def _look_at_root(self) -> None:
        """Check whether the root exists, can be read, and is the same as before."""
        name = printable(self.root)
        first = not self._begun and not self._problem
        try:
            stat = self._file_system.ask(lambda: filesystem.stat_now(self.root, follow=True))
            may = self._file_system.ask(lambda: os.access(self.root, os.R_OK | os.X_OK, effective_ids=True))
            problem = "" if stat.is_folder else f"{name} is not a folder"
            problem = problem or ("" if may else f"{name} cannot be read: permission denied")
        except FileNotFoundError:
            problem = f"{name} does not exist (yet)"
        except OSError as error:
            problem = f"{name} cannot be read: {error.strerror}"
        if problem:
            self._problem = problem
            self._identity = None
            self._work.clear()
        elif self._identity != (stat.device, stat.inode):
            self._problem = ""
            self._identity = (stat.device, stat.inode)
            self._begin(first)
            self._settling.doubt(self._tree.found)  # a file may still be written in the former root

    def _begin(self, first: bool = False, again: bool = False) -> None:
        """Watch the present root; `again`: try again although the kernel's limits were reached."""
        self._file_system.base = self._file_system.ask(lambda: os.path.realpath(self.root))
        no_more = "" if again else self._way[1]
        method = self._best(no_more)
        if not self._begun or method != self.method:
            self._use(method, no_more)
        self._way = method, no_more
        self._tree.troubles.clear()
        self._look_at_all(first)

    def _best(self, no_more: str) -> Method:
        return self._chosen or ("polling" if no_more else method_for(self._file_system.base, mounts()))

    def _use(self, method: Method, no_more: str) -> None:
        """Switch to this method. `no_more`: the kernel's limit that was reached, "" for none."""
        if self._begun:
            self._tree.listener.close()
            self._begun = False
        for folder in self._tree.folders():
            folder.subscribed = False
        if method == "inotify":
            self._tree.listener = InotifyListener(self._tree, self._file_system, self._work.appendleft, self._lost)
            self._tree.found, self._settling.step = WriterState.UNKNOWN, float("inf")
        else:
            self._tree.listener = PollingListener(self._tree, self._file_system, self._interval, self._stopping)
            self._tree.found, self._settling.step = WriterState.QUIET, self._interval
            self._settling.doubt(WriterState.QUIET)
        self._begun = True
        self._way = method, no_more

    def _look_at_all(self, first: bool = False) -> None:
        self._work.clear()
        self._work.append(self._tree.look(self._tree.top, deep=True, first=first))
        self._round = iter(())
        self._next_step = time.monotonic()

    def _lost(self) -> None:
        """The kernel has dropped events: check all files."""
        log.info("the kernel dropped events of %s: all files are checked again", printable(self.root))
        self._settling.doubt(WriterState.UNKNOWN)
        self._look_at_all()

    def _do_work(self) -> None:
        end = time.monotonic() + LOOK_SLICE_SECONDS
        while self._work and time.monotonic() < end:
            look = self._work.popleft()
            if next(look, self) is self:
                self._failed = ""
            else:
                self._work.appendleft(look)
            self._put(self._tree.old)
            self._tree.old.clear()

    def _take_steps(self) -> None:
        """Do the due steps of the full round."""
        now = time.monotonic()
        while self._next_step <= now and not self._work:
            if next(self._round, self) is self:
                self._round = self._tree.look(self._tree.top, deep=True)
            self._next_step = max(self._next_step, now - MAX_SLEEP_SECONDS) + FULL_ROUND_SECONDS / self._tree.steps

    def _settle(self) -> None:
        self._put(self._settling.finished())

    def _put(self, finished: Iterator[SettledFile] | list[SettledFile]) -> None:
        for file in finished:
            self._tree.listener.reported(file)
            self._queue.put(file)

    def _try_again(self) -> None:
        """Retry what has failed."""
        for _ in range(len(self._again)):
            self._tree.report_again(self._again[0].path, STAT_RETRY_SECONDS)
            self._again.popleft()
        now = time.monotonic()
        if now >= self._next_retry:
            self._next_retry = now + STAT_RETRY_SECONDS
            for folder in list(self._tree.troubles):
                self._work.append(self._tree.look(folder, deep=True))
            method, no_more = self._way
            if not no_more and self._best(no_more) != method:
                self._begin()  # something in the tree was mounted or unmounted
