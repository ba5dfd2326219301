"""Making folders: the requested modes with any umask, and never through a link."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import grp
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sdm import folders
from sdm.folders import FolderError
from sdm.layout import FolderRule, Layout
from sdm.names import DataLocation
from tests.waiting import PATIENCE

PLACE = DataLocation("visitors", "cosaxs", "20250001", "20250310", "batch/cell_01")
AT_FDCWD, RENAME_EXCHANGE = -100, 2  # linux/fcntl.h, linux/fs.h
GROUP = grp.getgrgid(os.getgid()).gr_name

MODES = {
    "20250001": 0o2750,
    "20250001/20250310": 0o2770,
    "20250001/20250310/process": 0o2770,
    "20250001/20250310/raw": 0o2770,
    "20250001/20250310/raw/batch": 0o2770,
    "20250001/20250310/raw/batch/cell_01": 0o2770,
}


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """A layout with the beamline's folder, which this project never makes."""
    made = Layout(tmp_path)
    made.beamline(PLACE).mkdir(parents=True)
    return made


@pytest.fixture(params=[0o000, 0o022, 0o077, 0o777], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


def modes(layout: Layout) -> dict[str, int]:
    top = layout.beamline(PLACE)
    return {str(path.relative_to(top)): stat.S_IMODE(path.lstat().st_mode) for path in sorted(top.rglob("*"))}


def test_the_modes_are_set_with_any_umask(layout: Layout, umask: None) -> None:
    done = folders.make(layout, PLACE, GROUP)
    assert modes(layout) == MODES
    assert done.raw == layout.raw(PLACE)
    assert done.sample == layout.sample(PLACE)
    assert len(done.made) == len(MODES)
    assert done.notes == ()


def test_repeating_it_changes_nothing(layout: Layout) -> None:
    folders.make(layout, PLACE, GROUP)
    (layout.raw(PLACE) / "scan_1.h5").write_text("data")
    before = {path: path.stat().st_ctime_ns for path in layout.root.rglob("*")}
    again = folders.make(layout, PLACE, GROUP)
    assert again.made == ()
    assert {path: path.stat().st_ctime_ns for path in layout.root.rglob("*")} == before


def test_incomplete_folders_are_completed(layout: Layout) -> None:
    layout.visit(PLACE).mkdir(parents=True, mode=0o700)
    layout.proposal(PLACE).chmod(0o700)
    done = folders.make(layout, PLACE, GROUP)
    assert modes(layout) == MODES
    assert layout.proposal(PLACE) not in done.made
    assert layout.raw(PLACE) in done.made


def test_raw_can_be_read_only_for_users(layout: Layout) -> None:
    folders.make(layout, PLACE, GROUP, raw_read_only=True)
    found = modes(layout)
    assert {mode for name, mode in found.items() if "raw" in name} == {0o2750}
    assert found["20250001/20250310/process"] == 0o2770


def test_new_files_inside_get_the_proposals_group(layout: Layout) -> None:
    folders.make(layout, PLACE, GROUP)
    file = layout.sample(PLACE) / "scan.h5"
    file.write_text("data")
    assert file.stat().st_gid == layout.proposal(PLACE).stat().st_gid == os.getgid()


def test_a_group_or_owner_that_does_not_exist_is_a_note_and_no_failure(layout: Layout) -> None:
    done = folders.make(layout, PLACE, "20250001-group", owner="no-such-account")
    assert modes(layout) == MODES
    assert any("'20250001-group'" in note for note in done.notes)
    assert any("'no-such-account'" in note for note in done.notes)


def test_modes_that_cannot_be_set_are_a_note(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    folders.make(layout, PLACE, GROUP)
    layout.raw(PLACE).chmod(0o700)
    monkeypatch.setattr(os, "fchmod", refuse)
    monkeypatch.setattr(os, "fchown", refuse)
    monkeypatch.setattr("sdm.folders.gid_of", lambda *_: os.getgid() + 1)
    notes = folders.make(layout, PLACE, "another").notes
    assert any("the mode is 0700, not 2770" in note for note in notes)
    assert any("Operation not permitted" in note for note in notes)


def test_a_storage_that_cannot_be_written_to_is_a_note(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    folders.make(layout, PLACE, GROUP)
    layout.raw(PLACE).chmod(0o700)
    monkeypatch.setattr(os, "fchmod", refuse)
    assert folders.make(layout, PLACE, GROUP).notes == (
        f"{layout.raw(PLACE)}: the mode is 0700, not 2770; Read-only file system",
    )


@pytest.mark.parametrize("linked", ["20250001", "20250001/20250310", "20250001/20250310/raw"])
def test_a_symbolic_link_is_refused_and_nothing_is_made_behind_it(
    layout: Layout, tmp_path_factory: pytest.TempPathFactory, linked: str
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    link = layout.beamline(PLACE) / linked
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(elsewhere)
    with pytest.raises(FolderError, match="symbolic link"):
        folders.make(layout, PLACE, GROUP)
    assert list(elsewhere.iterdir()) == []
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o700


def test_a_dangling_link_and_a_file_are_refused(layout: Layout) -> None:
    layout.proposal(PLACE).symlink_to("nowhere")
    with pytest.raises(FolderError, match="symbolic link"):
        folders.make(layout, PLACE, GROUP)
    layout.proposal(PLACE).unlink()
    layout.proposal(PLACE).write_text("a file")
    with pytest.raises(FolderError, match="Not a directory"):
        folders.make(layout, PLACE, GROUP)


Swap = Callable[[Path], None]


def by_a_link(path: Path) -> None:
    path.rename(path.with_name("moved"))
    path.symlink_to(path.parents[4] / "elsewhere")


def by_nothing(path: Path) -> None:
    path.rmdir()


@pytest.mark.parametrize(("swap", "says"), [(by_a_link, "symbolic link"), (by_nothing, "was removed")])
def test_a_link_put_in_place_between_making_and_opening_is_not_followed(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, swap: Swap, says: str
) -> None:
    elsewhere = layout.root / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    make_folder = folders._make_folder

    def made_and_replaced(path: Path, above: int) -> bool:
        new = make_folder(path, above)
        if path.name == "raw":
            swap(path)
        return new

    monkeypatch.setattr(folders, "_make_folder", made_and_replaced)
    with pytest.raises(FolderError, match=says):
        folders.make(layout, PLACE, GROUP)
    assert list(elsewhere.iterdir()) == []
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o700


def test_a_folder_put_in_place_after_opening_is_not_changed(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = layout.root / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    correct = folders._correct

    def replaced(folder: folders.PlannedFolder, *rest: int) -> list[str]:
        if folder.path.name == "raw":
            by_a_link(folder.path)
        return correct(folder, *rest)

    monkeypatch.setattr(folders, "_correct", replaced)
    folders.make(layout, PLACE, GROUP)
    assert list(elsewhere.iterdir()) == []
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o700
    assert (layout.visit(PLACE) / "moved" / "batch" / "cell_01").is_dir()


def test_swapping_a_folder_and_a_link_all_the_time_changes_nothing_outside(layout: Layout) -> None:
    elsewhere = layout.root / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    folders.make(layout, PLACE, GROUP)
    raw, link = layout.raw(PLACE), layout.visit(PLACE) / "link"
    link.symlink_to(elsewhere)
    renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
    done = threading.Event()

    def swap() -> None:
        while not done.is_set():
            assert renameat2(AT_FDCWD, bytes(raw), AT_FDCWD, bytes(link), RENAME_EXCHANGE) == 0

    swapper = threading.Thread(target=swap)
    swapper.start()
    turns = refused = 0
    until = time.monotonic() + PATIENCE
    try:
        while turns < 300 or (refused == 0 and time.monotonic() < until):
            turns += 1
            try:
                folders.make(layout, PLACE, GROUP)
            except FolderError:
                refused += 1
    finally:
        done.set()
        swapper.join()
    assert refused > 0
    assert list(elsewhere.iterdir()) == []
    assert stat.S_IMODE(elsewhere.stat().st_mode) == 0o700


def test_another_layout_has_its_own_folders_and_modes(tmp_path: Path) -> None:
    layout = Layout(
        tmp_path,
        "{beamline}/{proposal}/{visit}/data",
        ("logs",),
        {"logs": FolderRule(0o700), "{proposal}": FolderRule(0o2710)},
    )
    (tmp_path / "cosaxs").mkdir()
    done = folders.make(layout, PLACE, GROUP, raw_read_only=True)
    assert done.raw == tmp_path / "cosaxs/20250001/20250310/data"
    assert modes(layout) == {
        "20250001": 0o2710,
        "20250001/20250310": 0o2770,
        "20250001/20250310/logs": 0o700,
        "20250001/20250310/data": 0o2750,
        "20250001/20250310/data/batch": 0o2750,
        "20250001/20250310/data/batch/cell_01": 0o2750,
    }


def test_a_storage_that_is_not_mounted_is_not_filled(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="mounted"):
        folders.make(Layout(tmp_path), PLACE, GROUP)
    with pytest.raises(FolderError, match="mounted"):
        folders.make(Layout(tmp_path / "data"), PLACE, GROUP)
    assert list(tmp_path.iterdir()) == []


def test_the_root_itself_may_be_a_link(layout: Layout, tmp_path_factory: pytest.TempPathFactory) -> None:
    link = tmp_path_factory.mktemp("mnt") / "data"
    link.symlink_to(layout.root)
    assert folders.make(Layout(link), PLACE, GROUP).raw.is_dir()


@pytest.mark.parametrize("swap", [None, by_a_link, by_nothing])
def test_no_descriptor_is_left_open(layout: Layout, monkeypatch: pytest.MonkeyPatch, swap: Swap | None) -> None:
    make_folder = folders._make_folder

    def made_and_replaced(path: Path, above: int) -> bool:
        new = make_folder(path, above)
        if swap is not None and path.name == "raw":
            swap(path)
        return new

    monkeypatch.setattr(folders, "_make_folder", made_and_replaced)
    with contextlib.nullcontext() if swap is None else pytest.raises(FolderError):
        folders.make(layout, PLACE, GROUP)
    assert open_below(layout.root) == []


def open_below(folder: Path) -> list[str]:
    """The open files of this process below the folder; other threads may use other files at any time."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed in the meantime
            found.append(os.readlink(f"/proc/self/fd/{name}"))
    return [path for path in found if Path(path).is_relative_to(folder)]
