"""Which file system a path is on, and whether the kernel tells of all that is written there."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

Method = Literal["inotify", "polling"]

MOUNTINFO = Path("/proc/self/mountinfo")

LOCAL = frozenset(
    {
        *("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "bcachefs", "f2fs", "jfs", "nilfs2", "reiserfs"),
        *("tmpfs", "ramfs", "rootfs", "overlay", "ecryptfs", "squashfs", "erofs"),
        *("vfat", "exfat", "ntfs", "ntfs3", "fuseblk", "hfsplus", "udf", "iso9660"),
    }
)
"""Kinds that one machine alone writes to, so that inotify sees it all.

Of all others (nfs4, gpfs, cifs, smb3, lustre, beegfs, ceph, fuse.sshfs, 9p, autofs, ...) inotify tells
only what this machine itself writes (man 7 inotify, "Limitations and caveats").
"""


class Mount(NamedTuple):
    point: str
    kind: str


def mounts() -> list[Mount]:
    """What is mounted, in the order of mounting."""
    return parsed(MOUNTINFO.read_bytes())


def parsed(mountinfo: bytes) -> list[Mount]:
    """The lines of /proc/self/mountinfo (man 5 proc_pid_mountinfo): the fifth field, and that behind the hyphen."""
    found = []
    for line in mountinfo.splitlines():
        before, _, after = line.partition(b" - ")
        found.append(Mount(_unescaped(before.split()[4]), os.fsdecode(after.split()[0])))
    return found


def _unescaped(field: bytes) -> str:
    # Space, tab, newline and backslash come as \ and three octal digits.
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), field))


def method_for(path: str, mounted: Sequence[Mount]) -> Method:
    """How to watch a tree: polling if it, or a part of it, is on a file system where inotify does not tell all.

    `path` is absolute and without symbolic links.
    """
    holding = Mount("", "")
    kinds = set()
    for mount in mounted:
        if _is_in(path, mount.point) and len(mount.point) >= len(holding.point):
            holding = mount  # the last one of those on the same point covers the others
        elif _is_in(mount.point, path):
            kinds.add(mount.kind)
    return "inotify" if kinds | {holding.kind} <= LOCAL else "polling"


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")
