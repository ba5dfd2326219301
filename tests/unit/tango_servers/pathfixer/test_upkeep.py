"""What PathFixer does without a client: the visit follows the date, but not while a scan runs."""

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
from tango_servers.pathfixer.running_scans import RunningScans
from tango_servers.pathfixer.selection import Selection, Selector, visit_on
from tango_servers.pathfixer.upkeep import Upkeep

VISITS = (Visit("20250310", "2025-03-10"), Visit("2025092212", "2025-09-22"))
PROPOSAL = Proposal("20250001", "Fibres", "cosaxs", group="root", visits=VISITS)


class Office:
    """An office with one proposal, while it is `up`."""

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
    """A PathFixer without Tango: the test sets the day, the clock and the scans."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        for category in ("visitors", "staff"):
            (folder / category / "cosaxs").mkdir(parents=True)
        self.day, self.now, self.scans = date(2025, 3, 10), 0.0, RunningScans()
        self.office = Office()
        self.warnings: list[str] = []
        self.warned = self.warnings.append
        self.selector = Selector("cosaxs", self.office, Layout(folder), day=lambda: self.day)
        self.in_use = Selection()
        self.upkeep = Upkeep(self.selector, lambda: self.scans, lambda: self.in_use, self.replace, self.warned)
        patch.setattr(upkeep.time, "monotonic", lambda: self.now)
        self.use("20250001", "auto")

    def replace(self, before: Selection, found: Selection) -> None:
        if self.in_use is before:
            self.in_use = found

    def use(self, number: str, visit: str, sample: str = "") -> None:
        self.in_use = self.selector.change_to(self.in_use, number, visit, sample).prepare()
        self.upkeep.selection_written()

    def after(self, seconds: float) -> Selection:
        self.now += seconds
        self.upkeep.run()
        return self.in_use


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(tmp_path, monkeypatch)


def test_the_visit_of_a_day_is_the_offices_if_it_has_one() -> None:
    assert visit_on(PROPOSAL, date(2025, 9, 22)) == "2025092212"
    assert visit_on(PROPOSAL, date(2025, 9, 23)) == "20250923"


def test_the_day_is_in_local_time(monkeypatch: pytest.MonkeyPatch) -> None:
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
    desk.upkeep.selection_written()
    proposal = desk.after(upkeep.UPKEEP_RETRY_SECONDS).proposal
    assert proposal is not None
    assert proposal.as_of == ""


def test_a_request_during_a_check_is_not_lost(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[float] = []

    def unwritable(_: Selector, __: Selection) -> str:
        asked.append(desk.now)
        if len(asked) == 1:
            desk.office.category = "staff"  # after this check has asked the office
            desk.upkeep.check_soon()  # as TurnOn does
        return ""

    monkeypatch.setattr(Selector, "unwritable", unwritable)
    desk.after(upkeep.UPKEEP_CHECK_SECONDS)
    assert "/staff/" in desk.after(0.0).path
    assert len(asked) == 2


def test_a_scan_is_waited_for(desk: Desk) -> None:
    desk.scans = RunningScans(running=("ascan (door/x/1)",))
    desk.day = date(2025, 3, 11)
    assert desk.after(1.0).visit == "20250310"
    assert desk.upkeep.report.visit_waits == "The visit becomes 20250311 when the scan has finished: ascan (door/x/1)"
    desk.scans = RunningScans()
    assert desk.after(1.0).visit == "20250310"  # the Doors are not asked every second
    assert desk.after(upkeep.SCAN_CHECK_SECONDS).visit == "20250311"
    assert desk.upkeep.report.visit_waits == ""


def test_a_door_that_hangs_does_not_keep_the_visit(desk: Desk) -> None:
    desk.scans = RunningScans(unanswered=("door/x/1: no answer",))
    desk.day = date(2025, 3, 11)
    assert desk.after(1.0).visit == "20250311"
    sentence = "When the visit became 20250311, it was unknown whether a scan was running: door/x/1: no answer"
    assert (desk.upkeep.report.unanswered_doors, desk.warnings) == ((sentence,), [sentence])
    desk.scans = RunningScans()
    desk.day = date(2025, 3, 12)
    assert desk.after(upkeep.SCAN_CHECK_SECONDS).visit == "20250312"
    assert desk.upkeep.report.unanswered_doors == ()


def test_a_door_that_hangs_at_a_restart_after_midnight_is_reported(desk: Desk) -> None:
    desk.day = date(2025, 3, 11)
    desk.scans = RunningScans(unanswered=("door/x/1: no answer",))
    assert desk.upkeep.restore(Selection("20250001", "20250310")).visit == "20250311"
    sentence = "When the visit became 20250311, it was unknown whether a scan was running: door/x/1: no answer"
    assert desk.upkeep.report.unanswered_doors == (sentence,)
    desk.use("20250001", "auto")
    assert desk.upkeep.report.unanswered_doors == ()
    assert desk.upkeep.restore(Selection("20250001", "20250311")).visit == "20250311"
    assert desk.upkeep.report.unanswered_doors == ()  # nothing has moved


def test_a_path_that_was_set_by_hand_stays_where_it_is(desk: Desk) -> None:
    other = Path(desk.in_use.path) / "other"
    other.mkdir()
    desk.in_use = desk.selector.change_path(desk.in_use, str(other)).prepare()
    desk.day = date(2025, 3, 11)
    assert desk.after(1.0).path == str(other)
    assert "because Path was set by hand" in desk.upkeep.report.visit_waits
    restarted = Selection("20250001", "20250310", by_hand=str(other))
    assert desk.upkeep.restore(restarted) == replace(desk.in_use, answered=desk.upkeep.restore(restarted).answered)


def test_another_category_at_the_office_waits_for_the_scan(desk: Desk) -> None:
    before = desk.after(upkeep.UPKEEP_CHECK_SECONDS)
    desk.office.category = "staff"
    desk.scans = RunningScans(running=("ascan (door/x/1)",))
    assert desk.after(upkeep.UPKEEP_CHECK_SECONDS) is before
    assert desk.upkeep.report.path_waits == (
        "The user office has changed the category of proposal 20250001: its path changes when the scan has finished: "
        "ascan (door/x/1)"
    )
    assert not list((desk.selector.layout.root / "staff" / "cosaxs").iterdir())
    desk.scans = RunningScans(unanswered=("door/x/1: no answer",))
    after = desk.after(upkeep.UPKEEP_RETRY_SECONDS)
    assert (after.category, after.path) == ("staff", before.path.replace("visitors", "staff"))
    assert Path(after.path).is_dir()
    assert desk.upkeep.report.path_waits == ""
    sentence = f"When the path became {after.path}, it was unknown whether a scan was running: door/x/1: no answer"
    assert (desk.upkeep.report.unanswered_doors, desk.warnings) == ((sentence,), [sentence])


@pytest.mark.parametrize("visit", ["20250310", "20250311"])
def test_another_category_since_before_a_restart_waits_for_the_scan(desk: Desk, visit: str) -> None:
    before = desk.in_use
    desk.day = date(int(visit[:4]), int(visit[4:6]), int(visit[6:]))
    desk.office.category = "staff"
    desk.scans = RunningScans(running=("ascan (door/x/1)",))
    kept = Selection("20250001", "20250310", sample="a", last_category="visitors")
    assert desk.selector.change_to(kept, "20250001", "20250310", "b").moves  # so that a write waits, too
    desk.in_use = desk.upkeep.restore(kept)
    desk.upkeep.check_soon()
    assert (desk.in_use.path, desk.in_use.category, desk.in_use.auto) == (before.path, "visitors", True)
    assert desk.after(1.0).path == before.path
    assert desk.upkeep.report.path_waits.startswith(
        "The user office has changed the category of proposal 20250001: its path changes"
    )
    desk.scans = RunningScans(unanswered=("door/x/1: no answer",))
    assert desk.after(upkeep.UPKEEP_RETRY_SECONDS).sample_path.endswith(f"/staff/cosaxs/20250001/{visit}/raw/a")
    desk.in_use = kept
    found = desk.upkeep.restore(kept)
    assert found.category == "staff"
    what = f"the path became {found.path}" if visit == before.visit else f"the visit became {visit}"
    assert desk.upkeep.report.unanswered_doors == (
        f"When {what}, it was unknown whether a scan was running: door/x/1: no answer",
    )


def test_a_path_that_was_set_by_hand_stays_when_the_category_is_another_after_a_restart(desk: Desk) -> None:
    other = Path(desk.in_use.path) / "other"
    other.mkdir()
    desk.office.category = "staff"
    for known in ("visitors", "staff"):  # that changes while it is in use
        kept = Selection("20250001", "20250310", by_hand=str(other), last_category=known)
        assert desk.upkeep.restore(kept).path == str(other)


@pytest.mark.parametrize("sample", ["", "a"])
def test_a_sample_moves_the_path_only_where_it_was_set_by_hand_or_the_category_is_another(
    desk: Desk, sample: str
) -> None:
    assert not desk.selector.change_sample(desk.in_use, sample).moves
    assert desk.selector.change_sample(replace(desk.in_use, proposal=replace(PROPOSAL, category="staff")), sample).moves
    desk.in_use = desk.selector.change_path(desk.in_use, desk.in_use.path).prepare()
    assert desk.selector.change_sample(desk.in_use, sample).moves


def test_the_samples_folder_in_one_that_was_set_by_hand_need_not_be_there(desk: Desk) -> None:
    desk.use("20250001", "auto", "a")
    other = Path(desk.in_use.path) / "other"
    other.mkdir()
    desk.in_use = desk.selector.change_path(desk.in_use, str(other)).prepare()
    assert desk.after(2 * upkeep.UPKEEP_CHECK_SECONDS).sample_path == str(other / "a")
    assert desk.upkeep.report.storage == ""
    other.rmdir()
    desk.after(2 * upkeep.UPKEEP_CHECK_SECONDS)
    assert desk.upkeep.report.storage == f"{other} does not exist. Is the storage mounted?"


def test_a_visit_that_cannot_be_started_is_reported_and_retried(desk: Desk) -> None:
    desk.office.up = False
    desk.day = date(2025, 3, 11)
    assert desk.after(1.0).visit == "20250310"
    assert desk.upkeep.report.visit.startswith("The visit of today, 20250311, cannot be started: the office is closed")
    desk.office.up = True
    assert desk.after(upkeep.SCAN_CHECK_SECONDS).visit == "20250311"
    assert desk.upkeep.report.visit == ""


def test_without_a_proposal_the_visit_is_that_of_the_day_too(desk: Desk) -> None:
    desk.use("", "auto")
    desk.day = date(2025, 3, 11)
    assert desk.after(1.0) == Selection(visit="20250311")


@pytest.mark.parametrize(("running", "visit"), [((), "20250311"), (("ascan",), "20250310")])
def test_a_restart_after_midnight_keeps_the_visit_of_a_scan(desk: Desk, running: tuple[str, ...], visit: str) -> None:
    desk.day = date(2025, 3, 11)
    desk.scans = RunningScans(running=running)
    found = desk.upkeep.restore(Selection("20250001", "20250310", auto=True, sample="a"))
    assert (found.visit, found.auto, found.sample) == (visit, True, "a")


def test_a_clients_write_in_the_meantime_is_not_replaced(desk: Desk) -> None:
    desk.day = date(2025, 3, 11)
    written = replace(desk.in_use, sample="written")
    true_place = desk.selector.layout

    class Slow(Office):
        def proposal(self, proposal_id: str) -> Proposal:
            desk.in_use = written  # while the office is asked
            return PROPOSAL

    selector = Selector("cosaxs", Slow(), true_place, day=lambda: desk.day)
    Upkeep(selector, lambda: desk.scans, lambda: desk.in_use, desk.replace, desk.warned).run()
    assert desk.in_use is written


def test_a_missing_folder_is_made_again_and_a_missing_storage_is_reported(desk: Desk, tmp_path: Path) -> None:
    Path(desk.in_use.path).rmdir()
    assert Path(desk.after(upkeep.UPKEEP_CHECK_SECONDS).path).is_dir()
    away = tmp_path / "away"
    (tmp_path / "visitors").rename(away)
    desk.after(upkeep.UPKEEP_CHECK_SECONDS)
    assert "Is the storage mounted?" in desk.upkeep.report.storage
    away.rename(tmp_path / "visitors")
    desk.after(upkeep.UPKEEP_RETRY_SECONDS)
    assert desk.upkeep.report.storage == ""


def test_modes_that_were_changed_on_purpose_stay(desk: Desk) -> None:
    desk.in_use = replace(desk.in_use, notes=())
    Path(desk.in_use.path).chmod(0o2750)
    after = desk.after(upkeep.UPKEEP_CHECK_SECONDS)
    assert Path(after.path).stat().st_mode & 0o7777 == 0o2750


def test_a_read_only_storage_is_reported_until_it_can_be_written(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def mounted(path: object) -> os.statvfs_result:
        fields = list(true_statvfs(path))
        fields[8] |= os.ST_RDONLY  # f_flag
        return os.statvfs_result(fields)

    true_statvfs = os.statvfs
    desk.after(upkeep.UPKEEP_CHECK_SECONDS)
    assert desk.upkeep.report.unwritable == ""
    monkeypatch.setattr(os, "statvfs", mounted)
    desk.office.up = False
    desk.after(upkeep.UPKEEP_CHECK_SECONDS)
    assert desk.upkeep.report.unwritable.startswith("The storage is mounted read-only on this machine: ")
    assert desk.in_use.path in desk.upkeep.report.unwritable
    assert desk.upkeep.report.storage == ""  # the folder is there
    desk.office.up = True
    desk.after(upkeep.UPKEEP_RETRY_SECONDS)
    assert desk.upkeep.report.unwritable != ""
    monkeypatch.setattr(os, "statvfs", true_statvfs)
    desk.after(upkeep.UPKEEP_RETRY_SECONDS)
    assert desk.upkeep.report.unwritable == ""


@pytest.mark.parametrize("which", ["raw", "beamline", "by hand"])
def test_a_read_only_folder_is_reported_unless_it_was_set_by_hand(which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(tempfile.mkdtemp(prefix="pathfixer-"))  # pytest's own is closed to other accounts
    try:
        desk = Desk(root, monkeypatch)
        raw = Path(desk.in_use.path)
        if which == "by hand":
            desk.in_use = desk.selector.change_path(desk.in_use, str(raw)).prepare()
        shut = root / "staff" / "cosaxs" if which == "beamline" else raw
        for path in (root, *root.rglob("*")):
            path.chmod(0o555 if path == shut else 0o777)
        if os.geteuid() == 0:  # whom no mode stops
            os.seteuid(pwd.getpwnam("nobody").pw_uid)
        try:
            found = desk.selector.unwritable(desk.in_use)
        finally:
            os.seteuid(os.getuid())
        sentence = f"This account cannot write to {shut}: check owner, group and mode"
        assert found == ("" if which == "by hand" else sentence)
    finally:
        shutil.rmtree(root)


def test_a_broken_disk_is_reported(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.ESTALE, "Stale file handle", "/data/x")

    monkeypatch.setattr(selection.folders, "make", broken)
    with pytest.raises(FolderError, match=r"^/data/x: Stale file handle$"):
        desk.use("20250001", "20250310")
    monkeypatch.setattr(Path, "is_dir", broken)
    desk.after(upkeep.UPKEEP_CHECK_SECONDS)
    assert desk.upkeep.report.storage == "/data/x: Stale file handle"
