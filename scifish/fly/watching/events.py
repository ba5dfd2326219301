"""News of a tree by inotify."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator

from scifish.fly.watching import kernel
from scifish.fly.watching.asking import Asking
from scifish.fly.watching.folder import Folder
from scifish.fly.watching.names import is_passing
from scifish.fly.watching.settling import Finished, State
from scifish.fly.watching.tree import Tree

_STATES = (
    (kernel.MODIFY, State.WRITING),
    (kernel.CREATE, State.MADE),
    (kernel.CLOSE_WRITE | kernel.MOVED_TO, State.QUIET),
)


class NoMore(Exception):
    """The kernel watches no more folders for this account; says what to set."""


class Events:
    """Has each folder of the tree watched by the kernel, and takes what it tells.

    `look` is given what is to be looked at; `lost` is called when the kernel had to drop events.
    """

    def __init__(
        self, tree: Tree, asking: Asking, look: Callable[[Iterator[None]], None], lost: Callable[[], None]
    ) -> None:
        """Raises NoMore."""
        self._tree = tree
        self._asking = asking
        self._look = look
        self._lost = lost
        self._folders: dict[int, Folder] = {}
        self._watches: dict[Folder, int] = {}
        try:
            self._inotify = kernel.Inotify()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                raise NoMore(
                    "too many programs of this account use inotify: raise fs.inotify.max_user_instances"
                ) from error
            raise

    def hear(self, folder: Folder) -> None:
        try:
            watch = self._inotify.add(self._asking.full(folder.path))
        except OSError as error:
            if error.errno == errno.ENOSPC:
                count = len(self._watches)
                raise NoMore(
                    f"inotify watches no more than these {count} folders: raise fs.inotify.max_user_watches"
                ) from error
            raise
        if self._watches.get(folder, watch) != watch:
            self.deaf(folder)  # another folder has taken its name
        other = self._folders.get(watch)
        if other is not None and other is not folder:  # it was renamed, and that is not told yet
            self._watches.pop(other, None)
            other.heard = False
        self._folders[watch] = folder
        self._watches[folder] = watch
        folder.heard = True

    def deaf(self, folder: Folder) -> None:
        watch = self._watches.pop(folder, None)
        folder.heard = False
        if watch is not None:
            del self._folders[watch]
            try:
                self._inotify.remove(watch)
            except OSError as error:
                if error.errno != errno.EINVAL:  # it went with its folder
                    raise

    def listed(self, folder: Folder, stamp: int) -> None:
        """Later changes are told."""

    def told(self, finished: Finished) -> None:
        """Later changes are told."""

    def news(self) -> None:
        for event in self._inotify.read():
            if event.mask & kernel.OVERFLOW:
                self._lost()
            elif event.mask & kernel.IGNORED:
                self._gone(event.watch)
            elif (folder := self._folders.get(event.watch)) is not None and event.name and not is_passing(event.name):
                self._take(folder, event)

    def _gone(self, watch: int) -> None:
        """The folder is deleted, or its file system is unmounted. There may be another one of that name by now."""
        folder = self._folders.pop(watch, None)
        if folder is not None:
            del self._watches[folder]
            folder.heard = False
            self._look(self._tree.look(folder, deep=True))

    def _take(self, folder: Folder, event: kernel.Event) -> None:
        if event.mask & kernel.IS_FOLDER:
            look = self._tree.look_at_name(folder, event.name)
            if look is not None:
                # The first step at once: it has the folder watched, and every moment more may be missed.
                next(look, None)
                self._look(look)
        elif event.mask & (kernel.DELETE | kernel.MOVED_FROM):
            self._tree.vanished(folder, event.name)
        else:
            state = next((state for bits, state in _STATES if event.mask & bits), None)
            self._tree.changed(folder, event.name, state)

    def next_turn(self) -> float:
        return float("inf")

    def wait(self, timeout: float) -> None:
        self._inotify.wait(timeout)

    def close(self) -> None:
        self._inotify.close()
