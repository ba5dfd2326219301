"""The parts of watching: names, file systems, file states, writers."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scifly.watching import filesystem, is_passing, printable
from scifly.watching.filesystem import FileSystem, Mount, being_written, method_for
from scifly.watching.inotify import InotifyListener
from scifly.watching.settle import SettlingFiles
from scifly.watching.tree import WatchedTree


@pytest.mark.parametrize(
    "name",
    [
        *(".Ag.txt", ".nfs0000000012", "._Ag.txt", "~$Ag.xlsx", "Ag.txt~", "Ag.tmp", "Ag.TMP", "Ag.txt.part"),
        *("Ag.h5.filepart", "Ag.lck", "Thumbs.db", "desktop.ini", "lost+found", "System Volume Information"),
    ],
)
def test_hidden_and_temporary_names(name: str) -> None:
    assert is_passing(name)


@pytest.mark.parametrize(
    "name", ["Ag.txt", "tmp", "part.txt", "Ag~1.txt", "a.b.c", "temp_1.h5", "~Ag.txt", "-", "\udcff"]
)
def test_names_of_measurements(name: str) -> None:
    assert not is_passing(name)


def test_printable_shows_what_cannot_be_written() -> None:
    assert printable("/data/Ag 0001å.txt") == "/data/Ag 0001å.txt"
    assert printable(os.fsdecode(b"new\nline\t\xff\x1b[31m")) == r"new\nline\t\xff\x1b[31m"


@given(st.binary())
def test_printable_of_any_bytes_is_one_line_of_text(name: bytes) -> None:
    shown = printable(os.fsdecode(name))
    assert shown.isprintable()
    shown.encode("utf-8")


# ------------------------------------------------------------------------ file systems

MOUNTINFO = rb"""22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw
23 22 0:5 / /dev rw,nosuid - devtmpfs udev rw
24 22 0:44 / /data rw,relatime shared:99 - autofs /etc/auto.data rw,fd=6
25 24 0:45 / /data/visitors rw,relatime shared:100 master:7 - nfs4 storage:/visitors rw,vers=4.2
26 22 8:3 / /home rw - xfs /dev/sda3 rw
27 26 0:50 / /home/user/on\040tape\134\011x rw - fuse.sshfs tape: rw
28 22 0:51 / /mnt/gpfs rw - gpfs gpfs0 rw
29 22 0:52 / /mnt/windows rw - cifs //pc/ses rw
30 22 8:4 / /mnt/windows/disk rw - ext4 /dev/sda4 rw
31 22 8:5 / /stacked rw - ext4 /dev/sda5 rw
32 31 0:60 / /stacked rw - nfs storage:/stacked rw
33 22 0:61 / /new rw - aFsOfTheFuture none rw
"""


def test_mountinfo_is_read_with_its_escapes() -> None:
    mounts = filesystem.parsed(MOUNTINFO)
    assert mounts[0] == Mount("/", "ext4")
    assert mounts[5] == Mount("/home/user/on tape\\\tx", "fuse.sshfs")
    assert len(mounts) == 12


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/local/data", "inotify"),
        ("/datasets", "inotify"),
        ("/home/other/raw", "inotify"),
        ("/data/visitors/cosaxs/20240001/2024010108/raw", "polling"),
        ("/data/staff", "polling"),
        ("/mnt/gpfs", "polling"),
        ("/mnt/windows/ses", "polling"),
        ("/mnt/windows/disk/raw", "inotify"),
        ("/home/user", "polling"),
        ("/home", "polling"),
        ("/", "polling"),
        ("/stacked/raw", "polling"),
        ("/new/raw", "polling"),
    ],
)
def test_polling_where_other_machines_may_write(path: str, method: str) -> None:
    assert method_for(path, filesystem.parsed(MOUNTINFO)) == method


def test_without_knowing_the_file_system_it_is_polled() -> None:
    assert method_for("/data", []) == "polling"


def test_the_mounts_of_this_machine_are_read() -> None:
    assert any(mount.point == "/" for mount in filesystem.mounts())


# ----------------------------------------------------------------------- what is asked


@pytest.mark.parametrize("follow", [False, True])
def test_stat_now_equals_stat(tmp_path: Path, follow: bool) -> None:
    file = tmp_path / os.fsdecode(b"latin \xe5.txt")
    file.write_bytes(b"content")
    os.utime(file, ns=(0, -1_500_000_001))
    link = tmp_path / "link"
    link.symlink_to(file)
    for path in (file, link, tmp_path, Path("/dev/null")):
        expected = os.stat(path, follow_symlinks=follow)
        stat = filesystem.stat_now(os.fspath(path), follow)
        assert stat == (
            *(expected.st_mode, expected.st_size, expected.st_mtime_ns, expected.st_ctime_ns),
            *(expected.st_ino, expected.st_dev, expected.st_nlink),
        )
        assert (stat.is_file, stat.is_folder) == (path == file or (follow and path == link), path == tmp_path)


def test_stat_now_raises_like_stat(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nothing"):
        filesystem.stat_now(str(tmp_path / "nothing"))


def test_a_folder_is_not_listed_through_a_link_that_has_taken_its_name(tmp_path: Path) -> None:
    (tmp_path / "real" / "sub").mkdir(parents=True)
    (tmp_path / "real" / "Ag.txt").touch()
    (tmp_path / "real" / "link").symlink_to("Ag.txt")
    (tmp_path / "folder").symlink_to("real")
    file_system = FileSystem(threading.Event())
    file_system.base = str(tmp_path)
    listing = file_system.list("real")
    assert (listing.folders, [name for name, _ in listing.files]) == (["sub"], ["Ag.txt"])
    with pytest.raises(OSError, match="folder") as raised:
        file_system.list("folder")
    assert raised.value.errno in (errno.ELOOP, errno.ENOTDIR)


def test_open_files_of_the_own_programs_are_found(tmp_path: Path) -> None:
    names = [tmp_path / name for name in ("read", "write", "append", "both", "clo\nsed")]
    for name in names:
        name.touch()
    code = (
        "import sys; r, w, a, b, c = sys.argv[1:]; files = open(r), open(w, 'w'), open(a, 'a'), open(b, 'r+')\n"
        "open(c, 'w').close(); print('ready', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", code, *map(str, names)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert being_written(map(str, names)) == {str(name) for name in names[1:4]}
        process.communicate("")
    assert being_written(map(str, names)) == set()


@pytest.mark.parametrize(("old", "new"), [("one/a", "two/a"), ("two/b", "one/b")])
def test_a_folder_that_is_first_seen_at_its_new_place_stays_subscribed(tmp_path: Path, old: str, new: str) -> None:
    """A full check finds it there, with the watch of the old place, which is dropped then."""
    for folder in ("one/a", "two/b"):
        (tmp_path / folder).mkdir(parents=True)
    file_system = FileSystem(threading.Event())
    file_system.base = str(tmp_path)
    settling = SettlingFiles(file_system, lambda path: 0.0)
    tree = WatchedTree(file_system, lambda path: True, settling)
    work: list[Iterator[None]] = []
    tree.listener = InotifyListener(tree, file_system, work.append, lambda: None)
    with closing(tree.listener):
        for _ in tree.look(tree.top, deep=True):
            pass
        (tmp_path / old).rename(tmp_path / new)
        for _ in tree.look(tree.top, deep=True):
            pass
        tree.listener.process_changes()
        for look in work:
            for _ in look:
                pass
        (tmp_path / new / "Ag.txt").write_bytes(b"x")
        tree.listener.process_changes()
        assert [finished.path for finished in settling.finished()] == [f"{new}/Ag.txt"]
