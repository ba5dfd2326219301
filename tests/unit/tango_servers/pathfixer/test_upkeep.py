"""What PathFixer does by itself: the visit follows the date, but not while a scan runs."""

from __future__ import annotations

import errno
import os
import pwd
import shutil
import tempfile
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from sdm.folders import FolderError
from sdm.layout import Layout
from sdm.office import OfficeUnavailable, Proposal, Visit
from tango_servers.pathfixer import selection, upkeep
from tango_servers.pathfixer.running_scans import Scans
from tango_servers.pathfixer.selection import Chooser, InUse, visit_on
from tango_servers.pathfixer.upkeep import Upkeep

VISITS = (Visit("20250310", "2025-03-10"), Visit("2025092212", "2025-09-22"))
PROPOSAL = Proposal("20250001", "Fibres", "cosaxs", group="root", visits=VISITS)


class Office:
    """Knows one proposal, while it is `up`."""

    def __init__(self) -> None:
        self.up = True
        self.category = "visitors"

    def proposal(self, proposal_id: str) -> Proposal:
        if not self.up:
            raise OfficeUnavailable("the office is closed")
        return replace(PROPOSAL, category=self.category)

    def proposals(self, beamline: str) -> list[Proposal]:
        return [self.proposal("")]


class Desk:
    """A PathFixer without Tango: the day, the clock and the scans are the test's."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        for category in ("visitors", "staff"):
            (folder / category / "cosaxs").mkdir(parents=True)
        self.day, self.now, self.scans = date(2025, 3, 10), 0.0, Scans()
        self.office = Office()
        self.warnings: list[str] = []
        self.warned = self.warnings.append
        self.chooser = Chooser("cosaxs", self.office, Layout(folder), day=lambda: self.day)
        self.in_use = InUse()
        self.upkeep = Upkeep(self.chooser, lambda: self.scans, lambda: self.in_use, self.replace, self.warned)
        patch.setattr(upkeep.time, "monotonic", lambda: self.now)
        self.use("20250001", "auto")

    def replace(self, before: InUse, found: InUse) -> None:
        if self.in_use is before:
            self.in_use = found

    def use(self, number: str, visit: str, sample: str = "") -> None:
        self.in_use = self.chooser.target(self.in_use, number, visit, sample).reach()
        self.upkeep.changed()

    def after(self, seconds: float) -> InUse:
        self.now += seconds
        self.upkeep.work()
        return self.in_use


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def test_the_visit_of_a_day_is_the_offices_if_it_has_one() -> None:
    assert visit_on(PROPOSAL, date(2025, 9, 22)) == "2025092212"
    assert visit_on(PROPOSAL, date(2025, 9, 23)) == "20250923"


def test_the_day_is_that_of_the_clock_on_the_wall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection.time, "time", lambda: 1741561200.0)
    assert selection.today() == date.fromtimestamp(1741561200.0)


def test_at_midnight_the_visit_changes(desk: Desk) -> None:
    assert desk.after(1.0).visit == "20250310"
    desk.day = date(2025, 9, 22)
    after = desk.after(1.0)
    assert (after.visit, after.auto) == ("2025092212", True)
    assert after.path.endswith("/2025092212/raw")
    assert Path(after.path).is_dir()


def test_a_visit_that_was_written_stays(desk: Desk) -> None:
    desk.use("20250001", "20250310")
    desk.day = date(2025, 9, 22)
    assert desk.after(100.0).visit == "20250310"


def test_an_office_that_is_back_is_asked_soon_also_after_a_write(desk: Desk) -> None:
    desk.in_use = replace(desk.in_use, proposal=replace(PROPOSAL, as_of="2025-03-09T10:00:00Z"))
    desk.upkeep.changed()
    proposal = desk.after(upkeep.RETRY).proposal
    assert proposal is not None
    assert proposal.as_of == ""


def test_a_scan_is_waited_for(desk: Desk) -> None:
    desk.scans = Scans(running=("ascan (door/x/1)",))
    desk.day = date(2025, 3, 11)
    assert desk.after(1.0).visit == "20250310"
    assert desk.upkeep.said.later == "The visit becomes 20250311 when the scan is over: ascan (door/x/1)"
    desk.scans = Scans()
    assert desk.after(1.0).visit == "20250310"  # the Doors are not asked every second
    assert desk.after(upkeep.SCAN).visit == "20250311"
    assert desk.upkeep.said.later == ""


def test_a_door_that_hangs_does_not_keep_the_visit(desk: Desk) -> None:
    desk.scans = Scans(silent=("door/x/1: no answer",))
    desk.day = date(2025, 3, 11)
    assert desk.after(1.0).visit == "20250311"
    said = "When the visit became 20250311, it was not known whether a scan runs: door/x/1: no answer"
    assert (desk.upkeep.said.silent, desk.warnings) == ((said,), [said])
    desk.scans = Scans()
    desk.day = date(2025, 3, 12)
    assert desk.after(upkeep.SCAN).visit == "20250312"
    assert desk.upkeep.said.silent == ()


def test_a_door_that_hangs_at_a_restart_after_midnight_is_told(desk: Desk) -> None:
    desk.day = date(2025, 3, 11)
    desk.scans = Scans(silent=("door/x/1: no answer",))
    assert desk.upkeep.restored(InUse("20250001", "20250310")).visit == "20250311"
    said = "When the visit became 20250311, it was not known whether a scan runs: door/x/1: no answer"
    assert desk.upkeep.said.silent == (said,)
    desk.use("20250001", "auto")
    assert desk.upkeep.said.silent == ()
    assert desk.upkeep.restored(InUse("20250001", "20250311")).visit == "20250311"
    assert desk.upkeep.said.silent == ()  # nothing has moved


def test_a_path_that_was_set_by_hand_stays_where_it_is(desk: Desk) -> None:
    other = Path(desk.in_use.path) / "other"
    other.mkdir()
    desk.in_use = desk.chooser.by_hand(desk.in_use, str(other)).reach()
    desk.day = date(2025, 3, 11)
    assert desk.after(1.0).path == str(other)
    assert "since Path was set by hand" in desk.upkeep.said.later
    restarted = InUse("20250001", "20250310", by_hand=str(other))
    assert desk.upkeep.restored(restarted) == replace(desk.in_use, answered=desk.upkeep.restored(restarted).answered)


def test_another_category_at_the_office_waits_for_the_scan(desk: Desk) -> None:
    before = desk.after(upkeep.AGAIN)
    desk.office.category = "staff"
    desk.scans = Scans(running=("ascan (door/x/1)",))
    assert desk.after(upkeep.AGAIN) is before
    assert desk.upkeep.said.moving == (
        "The office has given proposal 20250001 another category: its path changes when the scan is over: "
        "ascan (door/x/1)"
    )
    assert not list((desk.chooser.layout.root / "staff" / "cosaxs").iterdir())
    desk.scans = Scans(silent=("door/x/1: no answer",))
    after = desk.after(upkeep.RETRY)
    assert (after.category, after.path) == ("staff", before.path.replace("visitors", "staff"))
    assert Path(after.path).is_dir()
    assert desk.upkeep.said.moving == ""
    said = f"When the path became {after.path}, it was not known whether a scan runs: door/x/1: no answer"
    assert (desk.upkeep.said.silent, desk.warnings) == ((said,), [said])


@pytest.mark.parametrize("visit", ["20250310", "20250311"])
def test_another_category_since_before_a_restart_waits_for_the_scan(desk: Desk, visit: str) -> None:
    before = desk.in_use
    desk.day = date(int(visit[:4]), int(visit[4:6]), int(visit[6:]))
    desk.office.category = "staff"
    desk.scans = Scans(running=("ascan (door/x/1)",))
    kept = InUse("20250001", "20250310", sample="a", remembered="visitors")
    assert desk.chooser.target(kept, "20250001", "20250310", "b").moves  # so that a write waits, too
    desk.in_use = desk.upkeep.restored(kept)
    desk.upkeep.soon()
    assert (desk.in_use.path, desk.in_use.category, desk.in_use.auto) == (before.path, "visitors", True)
    assert desk.after(1.0).path == before.path
    assert desk.upkeep.said.moving.startswith(
        "The office has given proposal 20250001 another category: its path changes"
    )
    desk.scans = Scans(silent=("door/x/1: no answer",))
    assert desk.after(upkeep.RETRY).sample_path.endswith(f"/staff/cosaxs/20250001/{visit}/raw/a")
    desk.in_use = kept
    found = desk.upkeep.restored(kept)
    assert found.category == "staff"
    what = f"the path became {found.path}" if visit == before.visit else f"the visit became {visit}"
    assert desk.upkeep.said.silent == (f"When {what}, it was not known whether a scan runs: door/x/1: no answer",)


def test_a_path_that_was_set_by_hand_stays_when_the_category_is_another_after_a_restart(desk: Desk) -> None:
    other = Path(desk.in_use.path) / "other"
    other.mkdir()
    desk.office.category = "staff"
    for known in ("visitors", "staff"):  # that changes while it is in use
        kept = InUse("20250001", "20250310", by_hand=str(other), remembered=known)
        assert desk.upkeep.restored(kept).path == str(other)


@pytest.mark.parametrize("sample", ["", "a"])
def test_a_sample_moves_the_path_only_where_it_was_set_by_hand_or_the_category_is_another(
    desk: Desk, sample: str
) -> None:
    assert not desk.chooser.same_visit(desk.in_use, sample).moves
    assert desk.chooser.same_visit(replace(desk.in_use, proposal=replace(PROPOSAL, category="staff")), sample).moves
    desk.in_use = desk.chooser.by_hand(desk.in_use, desk.in_use.path).reach()
    assert desk.chooser.same_visit(desk.in_use, sample).moves


def test_the_samples_folder_in_one_that_was_set_by_hand_need_not_be_there(desk: Desk) -> None:
    desk.use("20250001", "auto", "a")
    other = Path(desk.in_use.path) / "other"
    other.mkdir()
    desk.in_use = desk.chooser.by_hand(desk.in_use, str(other)).reach()
    assert desk.after(2 * upkeep.AGAIN).sample_path == str(other / "a")
    assert desk.upkeep.said.storage == ""
    other.rmdir()
    desk.after(2 * upkeep.AGAIN)
    assert desk.upkeep.said.storage == f"{other} is not there. Is the storage mounted?"


def test_a_visit_that_cannot_be_begun_is_told_and_tried_again(desk: Desk) -> None:
    desk.office.up = False
    desk.day = date(2025, 3, 11)
    assert desk.after(1.0).visit == "20250310"
    assert desk.upkeep.said.visit.startswith("The visit of today, 20250311, cannot be begun: the office is closed")
    desk.office.up = True
    assert desk.after(upkeep.SCAN).visit == "20250311"
    assert desk.upkeep.said.visit == ""


def test_without_a_proposal_the_visit_is_that_of_the_day_too(desk: Desk) -> None:
    desk.use("", "auto")
    desk.day = date(2025, 3, 11)
    assert desk.after(1.0) == InUse(visit="20250311")


@pytest.mark.parametrize(("running", "visit"), [((), "20250311"), (("ascan",), "20250310")])
def test_a_restart_after_midnight_keeps_the_visit_of_a_scan(desk: Desk, running: tuple[str, ...], visit: str) -> None:
    desk.day = date(2025, 3, 11)
    desk.scans = Scans(running=running)
    found = desk.upkeep.restored(InUse("20250001", "20250310", auto=True, sample="a"))
    assert (found.visit, found.auto, found.sample) == (visit, True, "a")


def test_what_a_client_has_written_meanwhile_is_not_replaced(desk: Desk) -> None:
    desk.day = date(2025, 3, 11)
    written = replace(desk.in_use, sample="written")
    true_place = desk.chooser.layout

    class Slow(Office):
        def proposal(self, proposal_id: str) -> Proposal:
            desk.in_use = written  # while the office is asked
            return PROPOSAL

    chooser = Chooser("cosaxs", Slow(), true_place, day=lambda: desk.day)
    Upkeep(chooser, lambda: desk.scans, lambda: desk.in_use, desk.replace, desk.warned).work()
    assert desk.in_use is written


def test_a_folder_that_is_gone_is_made_again_and_a_storage_that_is_gone_is_told(desk: Desk, tmp_path: Path) -> None:
    Path(desk.in_use.path).rmdir()
    assert Path(desk.after(upkeep.AGAIN).path).is_dir()
    away = tmp_path / "away"
    (tmp_path / "visitors").rename(away)
    desk.after(upkeep.AGAIN)
    assert "Is the storage mounted?" in desk.upkeep.said.storage
    away.rename(tmp_path / "visitors")
    desk.after(upkeep.RETRY)
    assert desk.upkeep.said.storage == ""


def test_modes_that_were_changed_on_purpose_stay(desk: Desk) -> None:
    desk.in_use = replace(desk.in_use, notes=())
    Path(desk.in_use.path).chmod(0o2750)
    after = desk.after(upkeep.AGAIN)
    assert Path(after.path).stat().st_mode & 0o7777 == 0o2750


def test_a_storage_that_has_become_read_only_is_told_until_it_can_be_written(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def mounted(path: object) -> os.statvfs_result:
        fields = list(true_statvfs(path))
        fields[8] |= os.ST_RDONLY  # f_flag
        return os.statvfs_result(fields)

    true_statvfs = os.statvfs
    desk.after(upkeep.AGAIN)
    assert desk.upkeep.said.closed == ""
    monkeypatch.setattr(os, "statvfs", mounted)
    desk.office.up = False
    desk.after(upkeep.AGAIN)
    assert desk.upkeep.said.closed.startswith("The storage is mounted read-only on this machine: ")
    assert desk.in_use.path in desk.upkeep.said.closed
    assert desk.upkeep.said.storage == ""  # the folder is there
    desk.office.up = True
    desk.after(upkeep.RETRY)
    assert desk.upkeep.said.closed != ""
    monkeypatch.setattr(os, "statvfs", true_statvfs)
    desk.after(upkeep.RETRY)
    assert desk.upkeep.said.closed == ""


@pytest.mark.parametrize("which", ["raw", "beamline", "by hand"])
def test_a_folder_that_may_not_be_written_is_told_but_for_one_that_was_set_by_hand(
    which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = Path(tempfile.mkdtemp(prefix="pathfixer-"))  # pytest's own is closed to other accounts
    try:
        desk = Desk(root, monkeypatch)
        raw = Path(desk.in_use.path)
        if which == "by hand":
            desk.in_use = desk.chooser.by_hand(desk.in_use, str(raw)).reach()
        shut = root / "staff" / "cosaxs" if which == "beamline" else raw
        for path in (root, *root.rglob("*")):
            path.chmod(0o555 if path == shut else 0o777)
        if os.geteuid() == 0:  # whom no mode stops
            os.seteuid(pwd.getpwnam("nobody").pw_uid)
        try:
            found = desk.chooser.closed(desk.in_use)
        finally:
            os.seteuid(os.getuid())
        told = f"This account may not write into {shut}: see owner, group and mode"
        assert found == ("" if which == "by hand" else told)
    finally:
        shutil.rmtree(root)


def test_a_disk_that_is_broken_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle", "/data/x")

    monkeypatch.setattr(selection.folders, "make", broken)
    with pytest.raises(FolderError, match=r"^/data/x: Stale file handle$"):
        desk.use("20250001", "20250310")
    monkeypatch.setattr(Path, "is_dir", broken)
    desk.after(upkeep.AGAIN)
    assert desk.upkeep.said.storage == "/data/x: Stale file handle"
