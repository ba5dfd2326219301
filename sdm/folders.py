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
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sdm.layout import Layout, Place

# The leading 2 (setgid) hands the group down to what is made inside.
PROPOSAL_MODE = 0o2750
VISIT_MODE = 0o2770
READ_ONLY_MODE = 0o2750


class FolderError(Exception):
    """A folder could not be made. The text names it and says what to do."""


@dataclass(frozen=True)
class Folder:
    """A folder as it should be."""

    path: Path
    mode: int


@dataclass(frozen=True)
class Folders:
    """What `make` did. `notes` are sentences about what could not be set, though the folders are there."""

    raw: Path
    sample: Path
    made: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def planned(layout: Layout, place: Place, *, raw_read_only: bool = False) -> list[Folder]:
    """The folders of a place, from the proposal's downwards. `raw_read_only`: only the owner writes into raw."""
    raw_mode = READ_ONLY_MODE if raw_read_only else VISIT_MODE
    wanted = [
        Folder(layout.proposal(place), PROPOSAL_MODE),
        Folder(layout.visit(place), VISIT_MODE),
        Folder(layout.process(place), VISIT_MODE),
        Folder(layout.raw(place), raw_mode),
    ]
    sample = layout.sample(place)
    below_raw = [path for path in (sample, *sample.parents) if layout.raw(place) in path.parents]
    return wanted + [Folder(path, raw_mode) for path in reversed(below_raw)]


def make(layout: Layout, place: Place, group: str, *, owner: str = "", raw_read_only: bool = False) -> Folders:
    """Make what is missing, and put right what is there. Doing it again changes nothing.

    Modes do not depend on the umask. The group, and the owner if one is named, are set where they
    exist and we may; `notes` say where not. Raises FolderError if a folder cannot be made.
    """
    notes: list[str] = []
    gid = _gid(group, notes)
    uid = _uid(owner, notes) if owner else -1
    made = []
    with contextlib.ExitStack() as stack:
        opened = {layout.beamline(place): stack.enter_context(_beamline_folder(layout, place))}
        for folder in planned(layout, place, raw_read_only=raw_read_only):
            above = opened[folder.path.parent]
            new = _make_one(folder.path, above)
            handle = stack.enter_context(_open(folder.path, above))
            opened[folder.path] = handle
            if new:
                made.append(folder.path)
            notes += _put_right(folder, handle, uid, gid)
    return Folders(layout.raw(place), layout.sample(place), tuple(made), tuple(dict.fromkeys(notes)))


@contextlib.contextmanager
def _beamline_folder(layout: Layout, place: Place) -> Iterator[int]:
    # It is never made here: where it is missing, a disk is not mounted, and the data would
    # fill the machine's own. The root may be a link; what is below it may not.
    with contextlib.ExitStack() as stack:
        try:
            handle = stack.enter_context(_descriptor(os.open(layout.root, os.O_RDONLY | os.O_DIRECTORY)))
        except OSError as error:
            raise FolderError(f"{layout.root}: {error.strerror}. Is the storage mounted?") from error
        path = layout.root
        for name in (place.category, place.beamline):
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
    try:
        handle = os.open(path.name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
    except FileNotFoundError:
        raise
    except OSError as error:
        if stat.S_ISLNK(os.lstat(path.name, dir_fd=above).st_mode):
            raise FolderError(f"{path} is a symbolic link; folders of proposals are not made through links") from error
        raise FolderError(f"{path}: {error.strerror}") from error
    with _descriptor(handle):
        yield handle


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
    if stat.S_IMODE(os.fstat(handle).st_mode) != folder.mode:
        with contextlib.suppress(PermissionError):  # looked at below, like a bit that is dropped silently
            os.fchmod(handle, folder.mode)
    mode = stat.S_IMODE(os.fstat(handle).st_mode)
    if mode != folder.mode:
        notes.append(
            f"{folder.path}: the mode is {mode:04o}, not {folder.mode:04o}; "
            "only its owner, as a member of its group, may set it"
        )
    return notes


def _gid(group: str, notes: list[str]) -> int:
    try:
        return grp.getgrnam(group).gr_gid
    except KeyError:
        notes.append(f"there is no group {group!r} on this machine; the folders keep the group they have")
        return -1


def _uid(owner: str, notes: list[str]) -> int:
    try:
        return pwd.getpwnam(owner).pw_uid
    except KeyError:
        notes.append(f"there is no account {owner!r} on this machine; the folders keep the owner they have")
        return -1
