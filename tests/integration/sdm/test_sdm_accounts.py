"""Folders as root and as a service account, with accounts and groups of every Linux system. Needs root."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import stat
import tempfile
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sdm import folders, storage
from sdm.folders import FolderError
from sdm.layout import FolderRule, Layout
from sdm.names import DataLocation

SERVICE, GROUP, STAFF, OTHER = "daemon", "games", "mail", "nobody"
PLACE = DataLocation("visitors", "cosaxs", "20250001", "20250310", "cell_1")


def _missing() -> str:
    if os.geteuid() != 0:
        return "only root may give folders away"
    try:
        for account in (SERVICE, OTHER):
            pwd.getpwnam(account)
        for group in (GROUP, STAFF):
            grp.getgrnam(group)
    except KeyError as error:
        return f"this machine has no {error}"
    return ""


pytestmark = pytest.mark.skipif(bool(_missing()), reason=_missing())


@pytest.fixture
def root() -> Iterator[Path]:
    """A storage that all accounts can enter; pytest's own folders are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="sdm-storage-"))
    folder.chmod(0o755)
    beamline = folder / "visitors" / "cosaxs"
    beamline.mkdir(parents=True)
    for path in (beamline.parent, beamline):
        path.chmod(0o755)
    os.chown(beamline, pwd.getpwnam(SERVICE).pw_uid, grp.getgrnam(STAFF).gr_gid)
    yield folder
    shutil.rmtree(folder)


def as_account(account: str, groups: tuple[str, ...], call: Callable[[], None]) -> None:
    """Run it in a child process with this account and these groups; its failure becomes that of the test."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        failure = ""
        try:
            entry = pwd.getpwnam(account)
            os.setgroups([grp.getgrnam(name).gr_gid for name in groups])
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
            assert os.geteuid() == entry.pw_uid
            call()
        except BaseException:  # noqa: BLE001 - reported to the test by the parent
            failure = traceback.format_exc()
        os.write(writing, failure.encode()[:60_000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        failure = pipe.read().decode()
    os.waitpid(child, 0)
    assert failure == ""


def found(root: Path) -> dict[str, tuple[str, str, int]]:
    """Owner, group and mode of all folders that were made."""
    top = root / "visitors" / "cosaxs"
    result = {}
    for path in sorted(top.rglob("*")):
        status = path.lstat()
        owner, group = pwd.getpwuid(status.st_uid).pw_name, grp.getgrgid(status.st_gid).gr_name
        result[str(path.relative_to(top))] = (owner, group, stat.S_IMODE(status.st_mode))
    return result


def wanted(owner: str, group: str = GROUP) -> dict[str, tuple[str, str, int]]:
    return {
        "20250001": (owner, group, 0o2750),
        "20250001/20250310": (owner, group, 0o2770),
        "20250001/20250310/process": (owner, group, 0o2770),
        "20250001/20250310/raw": (owner, group, 0o2770),
        "20250001/20250310/raw/cell_1": (owner, group, 0o2770),
    }


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777], ids=oct)
def test_root_sets_the_requested_owner_and_group(root: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        done = folders.make(Layout(root), PLACE, GROUP, owner=SERVICE)
    finally:
        os.umask(before)
    assert done.notes == ()
    assert found(root) == wanted(SERVICE)


def test_folders_that_root_made_incompletely_are_completed(root: Path) -> None:
    raw = Layout(root).raw(PLACE)
    raw.mkdir(parents=True, mode=0o777)
    os.chown(raw, pwd.getpwnam(OTHER).pw_uid, 0)
    folders.make(Layout(root), PLACE, GROUP, owner=SERVICE)
    assert found(root) == wanted(SERVICE)
    before = {path: path.stat().st_ctime_ns for path in root.rglob("*")}
    assert folders.make(Layout(root), PLACE, GROUP, owner=SERVICE).made == ()
    assert {path: path.stat().st_ctime_ns for path in root.rglob("*")} == before


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777], ids=oct)
def test_a_service_account_in_the_group_makes_the_same_folders(root: Path, umask: int) -> None:
    def make() -> None:
        os.umask(umask)
        for _ in range(2):
            assert folders.make(Layout(root), PLACE, GROUP).notes == ()

    as_account(SERVICE, (GROUP, STAFF), make)
    assert found(root) == wanted(SERVICE)


def test_folders_that_a_service_account_left_without_rights_are_completed(root: Path) -> None:
    def make() -> None:
        (root / "visitors" / "cosaxs" / "20250001").mkdir(mode=0o000)
        assert folders.make(Layout(root), PLACE, GROUP).notes == ()

    as_account(SERVICE, (GROUP, STAFF), make)
    assert found(root) == wanted(SERVICE)


def test_a_service_account_outside_the_group_says_what_it_could_not_set(root: Path) -> None:
    def make() -> None:
        done = folders.make(Layout(root), PLACE, GROUP)
        assert any("owner and group stay" in note for note in done.notes)
        assert done.raw.is_dir()

    as_account(SERVICE, (STAFF,), make)
    assert {group for _, group, _ in found(root).values()} == {SERVICE}


def test_an_account_without_write_permission_gets_the_reason(root: Path) -> None:
    def make() -> None:
        with pytest.raises(FolderError, match="20250001: Permission denied"):
            folders.make(Layout(root), PLACE, GROUP)

    as_account(OTHER, (), make)
    assert found(root) == {}


def test_members_of_the_group_can_write_and_others_cannot_even_list(root: Path) -> None:
    folders.make(Layout(root), PLACE, GROUP, owner=SERVICE, raw_read_only=True)
    layout = Layout(root)

    def member() -> None:
        (layout.process(PLACE) / "result").mkdir()
        with pytest.raises(PermissionError):
            (layout.raw(PLACE) / "mine").mkdir()

    def stranger() -> None:
        with pytest.raises(PermissionError):
            os.listdir(layout.proposal(PLACE))

    as_account(OTHER, (GROUP,), member)
    as_account(OTHER, (), stranger)
    assert grp.getgrgid((layout.process(PLACE) / "result").stat().st_gid).gr_name == GROUP


def test_a_member_of_the_group_cannot_redirect_root(root: Path) -> None:
    layout = Layout(root)
    folders.make(layout, PLACE, GROUP, owner=SERVICE)
    target = root / "secret"
    target.mkdir(mode=0o700)

    def member() -> None:
        layout.process(PLACE).rename(layout.visit(PLACE) / "old")
        layout.process(PLACE).symlink_to(target)

    as_account(OTHER, (GROUP,), member)
    with pytest.raises(FolderError, match="process is a symbolic link"):
        folders.make(layout, PLACE, GROUP, owner=SERVICE)
    status = target.stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (0, 0, 0o700)


def test_each_folder_can_have_its_own_group(root: Path) -> None:
    layout = Layout(root, siblings=("logs",), rules={"logs": FolderRule(0o2750, STAFF)})
    folders.make(layout, PLACE, GROUP, owner=SERVICE)
    assert found(root)["20250001/20250310/logs"] == (SERVICE, STAFF, 0o2750)
    assert found(root)["20250001/20250310/raw"] == (SERVICE, GROUP, 0o2770)


def test_mxcube_as_root_gives_the_folders_to_the_named_account(root: Path) -> None:
    beamline = storage.Storage("visitors", "cosaxs", SERVICE, str(root))
    raw = Path(beamline.create_path(20250001, GROUP, "20250310"))
    assert found(root)[str(raw.relative_to(root / "visitors" / "cosaxs"))] == (SERVICE, GROUP, 0o2770)
    beamline.create_path(20250001, GROUP, "20250310", OTHER)
    assert found(root)["20250001/20250310/raw"] == (OTHER, GROUP, 0o2770)
