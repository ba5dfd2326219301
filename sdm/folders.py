"""Making a proposal's folders, with exactly the modes, the group and the owner that the layout asks for.

Folders are opened one below the other by file descriptor and without following symbolic
links, so that nobody who may write into one of them can lead us out of it.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sdm.layout import Layout, Place

_GROUP_AND_OTHERS_WRITE = 0o022


class FolderError(Exception):
    """A folder could not be made. The text names it and says what to do."""


@dataclass(frozen=True)
class Folder:
    """A folder as it should be."""

    path: Path
    mode: int
    group: str


@dataclass(frozen=True)
class Folders:
    """What `make` did. `notes` are sentences about what could not be set, though the folders are there."""

    raw: Path
    sample: Path
    made: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def planned(layout: Layout, place: Place, group: str, *, raw_read_only: bool = False) -> list[Folder]:
    """The folders that are made for a place, from the top. `raw_read_only`: only the owner writes into raw."""
    raw = layout.raw(place)
    folders = []
    for path, rule in layout.made(place):
        read_only = raw_read_only and path.is_relative_to(raw)
        mode = rule.mode & ~_GROUP_AND_OTHERS_WRITE if read_only else rule.mode
        folders.append(Folder(path, mode, layout.group(rule, place, group)))
    return folders


def make(layout: Layout, place: Place, group: str, *, owner: str = "", raw_read_only: bool = False) -> Folders:
    """Make what is missing, and put right what is there. Doing it again changes nothing.

    Modes do not depend on the umask. The groups, and the owner if one is named, are set where they
    exist and we may; `notes` say where not. Raises FolderError if a folder cannot be made.
    """
    wanted = planned(layout, place, group, raw_read_only=raw_read_only)
    notes = absent(wanted, owner)
    uid = _or_none(uid_of(owner))
    made = []
    with contextlib.ExitStack() as stack:
        opened = {layout.beamline(place): stack.enter_context(beamline_folder(layout, place))}
        for folder in wanted:
            above = opened[folder.path.parent]
            new = _make_one(folder.path, above)
            try:
                handle = stack.enter_context(_open(folder.path, above))
            except FileNotFoundError as error:
                raise FolderError(f"{folder.path} was taken away while it was made. Do it again") from error
            opened[folder.path] = handle
            if new:
                made.append(folder.path)
            notes += _put_right(folder, handle, uid, _or_none(gid_of(folder.group)))
    return Folders(layout.raw(place), layout.sample(place), tuple(made), tuple(notes))


def absent(wanted: Sequence[Folder], owner: str) -> list[str]:
    """A sentence for each group, and for the owner if one is named, that this machine does not have."""
    groups = [group for group in dict.fromkeys(folder.group for folder in wanted) if gid_of(group) is None]
    notes = [
        f"there is no group {group!r} on this machine; the folders keep the group they have. Make it"
        for group in groups
    ]
    if owner and uid_of(owner) is None:
        notes.append(f"there is no account {owner!r} on this machine; the folders keep the owner they have. Make it")
    return notes


def _or_none(number: int | None) -> int:
    """As chown takes it."""
    return -1 if number is None else number


@contextlib.contextmanager
def beamline_folder(layout: Layout, place: Place) -> Iterator[int]:
    """The descriptor of the folder that must exist. Raises FolderError."""
    # It is never made here: where it is missing, a disk is not mounted, and the data would
    # fill the machine's own. The root may be a link; what is below it may not.
    with contextlib.ExitStack() as stack:
        try:
            handle = stack.enter_context(_descriptor(os.open(layout.root, os.O_RDONLY | os.O_DIRECTORY)))
        except OSError as error:
            raise FolderError(f"{layout.root}: {error.strerror}. Is the storage mounted?") from error
        path = layout.root
        for name in layout.beamline(place).relative_to(layout.root).parts:
            path = path / name
            try:
                handle = stack.enter_context(_open(path, handle))
            except FileNotFoundError as error:
                raise FolderError(
                    f"{path} does not exist. Is the storage mounted? If the beamline is new, make the folder "
                    f"and give it to {place.beamline}-service:{place.beamline}"
                ) from error
        yield handle


@contextlib.contextmanager
def _descriptor(handle: int) -> Iterator[int]:
    try:
        yield handle
    finally:
        os.close(handle)


@contextlib.contextmanager
def _open(path: Path, above: int) -> Iterator[int]:
    """The folder, and never what a link in its place leads to. Raises FileNotFoundError, FolderError."""
    try:
        handle = _open_ours(path.name, above)
    except FileNotFoundError:
        raise
    except OSError as error:
        if _is_link(path.name, above):
            raise FolderError(f"{path} is a symbolic link; folders of proposals are not made through links") from error
        raise FolderError(f"{path}: {error.strerror}") from error
    with _descriptor(handle):
        yield handle


def _open_ours(name: str, above: int) -> int:
    how = os.O_DIRECTORY | os.O_NOFOLLOW
    try:
        return os.open(name, os.O_RDONLY | how, dir_fd=above)
    except PermissionError:
        # A umask may have taken even its owner's rights when it was made. By descriptor, as the
        # name could be a link by now; the way through /proc is the only one for an O_PATH.
        with _descriptor(os.open(name, os.O_PATH | how, dir_fd=above)) as handle:
            found = os.fstat(handle)
            if found.st_uid != os.geteuid():
                raise
            itself = f"/proc/self/fd/{handle}"
            os.chmod(itself, stat.S_IMODE(found.st_mode) | stat.S_IRWXU)
            return os.open(itself, os.O_RDONLY | os.O_DIRECTORY)


def _is_link(name: str, above: int) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(name, dir_fd=above).st_mode)
    except OSError:  # it has gone, or its folder is closed to us
        return False


def _make_one(path: Path, above: int) -> bool:
    """Whether it was made; False if it was there."""
    try:
        os.mkdir(path.name, mode=0o700, dir_fd=above)  # nobody gets in before mode and group are set
    except FileExistsError:
        return False
    except OSError as error:
        raise FolderError(f"{path}: {error.strerror}") from error
    return True


def _put_right(folder: Folder, handle: int, uid: int, gid: int) -> list[str]:
    notes = []
    found = os.fstat(handle)
    uid = uid if uid not in (-1, found.st_uid) else -1
    gid = gid if gid not in (-1, found.st_gid) else -1
    if (uid, gid) != (-1, -1):
        try:
            os.fchown(handle, uid, gid)
        except OSError as error:
            notes.append(f"{folder.path}: owner and group stay {found.st_uid}:{found.st_gid} ({error.strerror})")
    # After the owner, since changing that may clear bits of the mode.
    why = "only its owner, as a member of its group, may set it"
    if stat.S_IMODE(os.fstat(handle).st_mode) != folder.mode:
        try:
            os.fchmod(handle, folder.mode)
        except OSError as error:  # told below, like a bit that is dropped silently
            why = why if isinstance(error, PermissionError) else str(error.strerror)
    mode = stat.S_IMODE(os.fstat(handle).st_mode)
    if mode != folder.mode:
        notes.append(f"{folder.path}: the mode is {mode:04o}, not {folder.mode:04o}; {why}")
    return notes


def gid_of(group: str) -> int | None:
    """None if this machine has no such group."""
    try:
        return grp.getgrnam(group).gr_gid
    except (KeyError, ValueError):  # the latter for what is no name, as with a NUL in it
        return None


def uid_of(owner: str) -> int | None:
    """None if this machine has no such account."""
    try:
        return pwd.getpwnam(owner).pw_uid
    except (KeyError, ValueError):
        return None
