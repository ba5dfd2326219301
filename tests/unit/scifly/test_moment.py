"""All values that SciFly shows together are from the same moment, whatever it is doing."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from itertools import groupby
from pathlib import Path

import pytest

from scifish.dataset.compose import Record
from scifish.settings import Settings
from scifish.settings.sources import FixedSettings
from scifly import collector, follower, recorder
from scifly import service as fly_service_module
from scifly.service import FlyCounts, FlyService
from scifly.watching import settle, watcher
from tango_servers.scifly import service as device_service
from tango_servers.scifly.properties import PathFixerReply, settings_from
from tango_servers.scifly.service import SciFlyStatus, SciFlyWork
from tests.moments import at_each_line
from tests.waiting import eventually

PATHFIXER = "a/b/pathfixer"


class Disk:
    """A recording session that stores each record at once."""

    closed = False

    def record(self, records: Sequence[Record]) -> Future[None]:
        written: Future[None] = Future()
        written.set_result(None)
        return written

    def trouble(self) -> str:
        return ""


class PathFixer:
    """Replaces `PathFixerClient`: the test sets its answer."""

    def __init__(self) -> None:
        self.last_reply: PathFixerReply | None = None
        self.answered = time.time()
        self.trouble = ""

    def update(self, path_fixer: str) -> None:
        assert path_fixer == PATHFIXER

    def close(self) -> None: ...


class Lab:
    """A SciFly without its Tango device."""

    def __init__(self, folder: Path, method: str, alone: bool) -> None:
        self.root = folder / "raw"
        self.root.mkdir()
        self.pathfixer = PathFixer()
        wanted = settings_from(
            profiles=["{name: dat, pattern: '*.dat', settle: 0}"],
            path_fixer=[] if alone else [PATHFIXER],
            scidog=[],
            folder=[str(self.root)] if alone else [],
            method=[method],
            catch_up=[],
            time_zone=["UTC"],
        )
        assert (wanted.wrong, wanted.problems) == ((), ())
        self.scifly = SciFlyWork(wanted)
        self.scifly._pathfixer_client = self.pathfixer  # type: ignore[assignment]

    @property
    def fly_service(self) -> FlyService:
        assert self.scifly._fly_service is not None
        return self.scifly._fly_service

    @property
    def counted(self) -> FlyCounts:
        return self.fly_service.seen().counts

    def write(self, name: str) -> str:
        """Write a file, and return its path."""
        (self.root / name).write_text("x")
        return str(self.root / name)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Lab]]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv(device_service.SCIDOG_VARIABLE, "")  # restored afterwards
    monkeypatch.setattr(device_service, "_own_scidog", device_service._OwnSciDog())
    monkeypatch.setattr(device_service, "settings_source", lambda: FixedSettings(Settings(beamline="lab")))
    monkeypatch.setattr(device_service, "recording_session", lambda program: Disk())
    labs: list[Lab] = []
    yield labs
    for lab in labs:
        lab.scifly.close()


@pytest.fixture
def lab(made: list[Lab], tmp_path: Path) -> Lab:
    """A SciFly with a fixed folder."""
    made.append(Lab(tmp_path, "inotify", alone=True))
    return made[0]


@pytest.fixture
def with_pathfixer(made: list[Lab], tmp_path: Path) -> Lab:
    """A SciFly with a PathFixer."""
    made.append(Lab(tmp_path, "inotify", alone=False))
    made[0].pathfixer.last_reply = PathFixerReply(
        "20250001", "20251123", "A", "visitors", str(made[0].root), str(made[0].root / "A")
    )
    return made[0]


def status_of(shown: SciFlyStatus) -> str:
    return shown.condition().status(shown.ready)


def test_the_count_the_file_and_the_time_of_the_last_recording_are_shown_together(lab: Lab) -> None:
    lab.scifly.work()
    before = lab.scifly.shown()
    path = lab.write("a.dat")
    assert eventually(lambda: lab.counted.recorded == 1)
    # Between two calls of `work` nothing of the recording is shown, and after the call all of it.
    assert lab.scifly.shown() == before
    assert before.counts == FlyCounts()
    lab.scifly.work()
    shown = lab.scifly.shown()
    assert (shown.counts.recorded, shown.pending, shown.counts.last_file) == (1, 0, path)
    assert shown.counts.last_recorded.endswith("Z")
    assert "Measurements recorded: 1. Files and measurements not finished: 0" in status_of(shown)
    assert f"The last file, at {shown.counts.last_recorded}: a.dat" in status_of(shown)


@pytest.mark.parametrize("method", ["inotify", "polling"])
def test_a_file_is_pending_until_it_is_counted(made: list[Lab], tmp_path: Path, method: str) -> None:
    """Also while it is passed from one thread to the next."""
    lab = Lab(tmp_path, method, alone=True)
    made.append(lab)
    modules = [fly_service_module, follower, collector, recorder, settle, watcher]

    def state() -> tuple[int, str, bool] | None:
        fly_service = lab.scifly._fly_service
        if fly_service is None or fly_service._lock._is_owned():  # type: ignore[attr-defined]
            return None  # other threads wait
        seen = fly_service.seen()
        return seen.counts.recorded, seen.counts.last_file, seen.pending > 0

    with at_each_line(modules, state) as seen:
        lab.scifly.work()
        path = lab.write("a.dat")
        assert eventually(lambda: lab.fly_service.seen().pending == 0 and lab.counted.recorded == 1)
    moments = [moment for moment, _ in groupby(one for one in seen if one is not None)]
    assert moments == [(0, "", False), (0, "", True), (1, path, False)]


def test_a_client_that_has_the_answer_of_record_now_sees_the_file_counted(lab: Lab) -> None:
    lab.scifly.work()
    path = lab.write("notes.md")
    assert lab.scifly.record_now(path)
    shown = lab.scifly.shown()
    assert (shown.counts.recorded, shown.counts.last_file, shown.pending) == (1, path, 0)
    with pytest.raises(FileNotFoundError):
        lab.scifly.record_now(str(lab.root / "none.dat"))


def test_counts_never_decrease(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while it stops and continues."""
    lab.scifly.work()
    lab.scifly.record_now(lab.write("a.md"))
    stop = FlyService.stop

    def stops(self: FlyService) -> None:
        """A file that is recorded during the stop is counted, too."""
        with suppress(ValueError, TimeoutError):
            self.record_now(lab.write("b.md"))
        stop(self)

    monkeypatch.setattr(FlyService, "stop", stops)
    with at_each_line([device_service, fly_service_module], lambda: lab.scifly.shown().counts.recorded) as seen:
        lab.scifly.stop()
        lab.scifly.work()
        lab.scifly.start()
        lab.scifly.work()
    assert seen == [1, 2]
    assert lab.scifly.shown().counts.last_file == str(lab.root / "b.md")


def test_work_without_a_change_publishes_no_change(with_pathfixer: Lab) -> None:
    with_pathfixer.scifly.work()
    with_pathfixer.pathfixer.trouble = "the device does not answer"
    with_pathfixer.scifly.work()
    shown = with_pathfixer.scifly.shown()
    assert shown.condition().alarms == [
        f"{PATHFIXER}: the device does not answer",
        "Its last answer is in use: proposal 20250001, sample A",
    ]
    with at_each_line([device_service], with_pathfixer.scifly.shown) as seen:
        with_pathfixer.scifly.work()
    assert seen == [shown]


def test_path_and_proposal_change_at_the_same_moment(with_pathfixer: Lab, tmp_path: Path) -> None:
    with_pathfixer.scifly.work()
    first = with_pathfixer.pathfixer.last_reply
    assert first is not None
    (tmp_path / "other").mkdir()
    other = replace(first, proposal="20250117", sample="B", path=str(tmp_path / "other"))

    def state() -> tuple[str, str, str, str]:
        shown = with_pathfixer.scifly.shown()
        return os.path.basename(shown.watched), shown.place.proposal, shown.place.sample, shown.ready.name

    with at_each_line([device_service, fly_service_module], state) as seen:
        with_pathfixer.pathfixer.last_reply = other
        with_pathfixer.scifly.work()
        with_pathfixer.pathfixer.last_reply = PathFixerReply()
        with_pathfixer.scifly.work()
    assert seen == [("raw", "20250001", "A", "ON"), ("other", "20250117", "B", "ON"), ("", "", "", "STANDBY")]
    assert f"{PATHFIXER} has no active proposal: there is nothing to watch" in status_of(with_pathfixer.scifly.shown())
