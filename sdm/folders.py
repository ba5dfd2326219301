"""Makes a proposal's folders, with the modes, the group and the owner that the layout asks for.

Each folder is opened relative to the file descriptor of its parent and without following symbolic links,
so that an account that can write to one of them cannot redirect this program elsewhere.
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

from sdm.layout import Layout
from sdm.names import DataLocation

_GROUP_AND_OTHERS_WRITE = 0o022


class FolderError(Exception):
    """A folder could not be made. The text names it and says what to do."""


@dataclass(frozen=True)
class PlannedFolder:
    """A folder as it should be."""

    path: Path
    mode: int
    group: str


@dataclass(frozen=True)
class MadeFolders:
    """What `make` did. `notes` are sentences about what could not be set, although the folders exist."""

    raw: Path
    sample: Path
    made: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()


def plan(layout: Layout, location: DataLocation, group: str, *, raw_read_only: bool = False) -> list[PlannedFolder]:
    """The folders of a location, from the top. `raw_read_only`: only the owner can write to raw."""
    raw = layout.raw(location)
    folders = []
    for path, rule in layout.folders(location):
        read_only = raw_read_only and path.is_relative_to(raw)
        mode = rule.mode & ~_GROUP_AND_OTHERS_WRITE if read_only else rule.mode
        folders.append(PlannedFolder(path, mode, layout.group(rule, location, group)))
    return folders


def make(
    layout: Layout, location: DataLocation, group: str, *, owner: str = "", raw_read_only: bool = False
) -> MadeFolders:
    """Make missing folders, and correct existing ones. Repeating it changes nothing.

    Modes do not depend on the umask. The groups, and the owner if one is given, are set if they exist and
    this account is allowed to; `notes` say where not. Raises FolderError if a folder cannot be made.
    """
    planned = plan(layout, location, group, raw_read_only=raw_read_only)
    notes = missing_accounts(planned, owner)
    uid = _or_none(uid_of(owner))
    made = []
    with contextlib.ExitStack() as stack:
        opened = {layout.beamline(location): stack.enter_context(beamline_folder(layout, location))}
        for folder in planned:
            parent = opened[folder.path.parent]
            new = _make_folder(folder.path, parent)
            try:
                descriptor = stack.enter_context(_open(folder.path, parent))
            except FileNotFoundError as error:
                raise FolderError(f"{folder.path} was removed while it was being made. Run it again") from error
            opened[folder.path] = descriptor
            if new:
                made.append(folder.path)
            notes += _correct(folder, descriptor, uid, _or_none(gid_of(folder.group)))
    return MadeFolders(layout.raw(location), layout.sample(location), tuple(made), tuple(notes))


def missing_accounts(planned: Sequence[PlannedFolder], owner: str) -> list[str]:
    """A sentence for each group, and for the owner if one is given, that does not exist on this machine."""
    groups = [group for group in dict.fromkeys(folder.group for folder in planned) if gid_of(group) is None]
    notes = [
        f"there is no group {group!r} on this machine; the folders keep their group. Create the group"
        for group in groups
    ]
    if owner and uid_of(owner) is None:
        notes.append(f"there is no account {owner!r} on this machine; the folders keep their owner. Create the account")
    return notes


def _or_none(number: int | None) -> int:
    """-1 for None, as chown needs it."""
    return -1 if number is None else number


@contextlib.contextmanager
def beamline_folder(layout: Layout, location: DataLocation) -> Iterator[int]:
    """Opens the folder that must exist, and yields its descriptor. Raises FolderError."""
    # It is never made here: if it is missing, a disk is not mounted, and the data would
    # fill the machine's own disk. The root may be a link; the folders below it may not.
    with contextlib.ExitStack() as stack:
        try:
            descriptor = stack.enter_context(_descriptor(os.open(layout.root, os.O_RDONLY | os.O_DIRECTORY)))
        except OSError as error:
            raise FolderError(f"{layout.root}: {error.strerror}. Is the storage mounted?") from error
        path = layout.root
        for name in layout.beamline(location).relative_to(layout.root).parts:
            path = path / name
            try:
                descriptor = stack.enter_context(_open(path, descriptor))
            except FileNotFoundError as error:
                raise FolderError(
                    f"{path} does not exist. Is the storage mounted? If the beamline is new, create the folder "
                    f"and give it to {location.beamline}-service:{location.beamline}"
                ) from error
        yield descriptor


@contextlib.contextmanager
def _descriptor(descriptor: int) -> Iterator[int]:
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _open(path: Path, parent: int) -> Iterator[int]:
    """Opens the folder, but never the target of a link in its place. Raises FileNotFoundError, FolderError."""
    try:
        descriptor = _open_or_unlock(path.name, parent)
    except FileNotFoundError:
        raise
    except OSError as error:
        if _is_link(path.name, parent):
            raise FolderError(f"{path} is a symbolic link; folders of proposals are not made through links") from error
        raise FolderError(f"{path}: {error.strerror}") from error
    with _descriptor(descriptor):
        yield descriptor


def _open_or_unlock(name: str, parent: int) -> int:
    how = os.O_DIRECTORY | os.O_NOFOLLOW
    try:
        return os.open(name, os.O_RDONLY | how, dir_fd=parent)
    except PermissionError:
        # A umask may have removed even the owner's rights when it was made. They are restored by descriptor,
        # because the name could be a link by now; for an O_PATH descriptor this works only through /proc.
        with _descriptor(os.open(name, os.O_PATH | how, dir_fd=parent)) as descriptor:
            found = os.fstat(descriptor)
            if found.st_uid != os.geteuid():
                raise
            proc_path = f"/proc/self/fd/{descriptor}"
            os.chmod(proc_path, stat.S_IMODE(found.st_mode) | stat.S_IRWXU)
            return os.open(proc_path, os.O_RDONLY | os.O_DIRECTORY)


def _is_link(name: str, parent: int) -> bool:
    try:
        return stat.S_ISLNK(os.lstat(name, dir_fd=parent).st_mode)
    except OSError:  # it was removed, or its parent cannot be searched
        return False


def _make_folder(path: Path, parent: int) -> bool:
    """Whether it was made; False if it existed."""
    try:
        os.mkdir(path.name, mode=0o700, dir_fd=parent)  # no access for others before mode and group are set
    except FileExistsError:
        return False
    except OSError as error:
        raise FolderError(f"{path}: {error.strerror}") from error
    return True


def _correct(folder: PlannedFolder, descriptor: int, uid: int, gid: int) -> list[str]:
    notes = []
    found = os.fstat(descriptor)
    uid = uid if uid not in (-1, found.st_uid) else -1
    gid = gid if gid not in (-1, found.st_gid) else -1
    if (uid, gid) != (-1, -1):
        try:
            os.fchown(descriptor, uid, gid)
        except OSError as error:
            notes.append(f"{folder.path}: owner and group stay {found.st_uid}:{found.st_gid} ({error.strerror})")
    # After the owner, because changing the owner may clear bits of the mode.
    why = "only its owner, as a member of its group, may set it"
    if stat.S_IMODE(os.fstat(descriptor).st_mode) != folder.mode:
        try:
            os.fchmod(descriptor, folder.mode)
        except OSError as error:  # reported below, like a bit that is dropped silently
            why = why if isinstance(error, PermissionError) else str(error.strerror)
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    if mode != folder.mode:
        notes.append(f"{folder.path}: the mode is {mode:04o}, not {folder.mode:04o}; {why}")
    return notes


def gid_of(group: str) -> int | None:
    """None if this machine has no such group."""
    try:
        return grp.getgrnam(group).gr_gid
    except (KeyError, ValueError):  # ValueError for an invalid name, e.g. with a NUL
        return None


def uid_of(owner: str) -> int | None:
    """None if this machine has no such account."""
    try:
        return pwd.getpwnam(owner).pw_uid
    except (KeyError, ValueError):
        return None
