"""What SciFly shows together is of one moment, whatever it is just doing."""

from __future__ import annotations

import os
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
from scifly import service as flyer_module
from scifly.service import FlyCounts, FlyService
from scifly.watching import settle, watcher
from tango_servers.scifly import service as flight_module
from tango_servers.scifly.properties import PathFixerReply, settings_from
from tango_servers.scifly.service import SciFlyStatus, SciFlyWork
from tests.moments import at_each_line
from tests.waiting import eventually

PATHFIXER = "a/b/pathfixer"


class Disk:
    """A session that has at once what it is told."""

    closed = False

    def record(self, records: Sequence[Record]) -> Future[None]:
        written: Future[None] = Future()
        written.set_result(None)
        return written

    def trouble(self) -> str:
        return ""


class PathFixer:
    """What it says is the test's; as `PathFixerClient`."""

    def __init__(self) -> None:
        self.told: PathFixerReply | None = None
        self.trouble = ""

    def look(self, path_fixer: str) -> None:
        assert path_fixer == PATHFIXER

    def close(self) -> None: ...


class Lab:
    """A SciFly without Tango."""

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
        self.flight = SciFlyWork(wanted)
        self.flight._pathfixer_client = self.pathfixer  # type: ignore[assignment]

    @property
    def fly_service(self) -> FlyService:
        assert self.flight._fly_service is not None
        return self.flight._fly_service

    @property
    def counted(self) -> FlyCounts:
        return self.fly_service.seen().counts

    def write(self, name: str) -> str:
        """A file; its path."""
        (self.root / name).write_text("x")
        return str(self.root / name)


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Lab]]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv(flight_module.SCIDOG_VARIABLE, "")  # put back afterwards
    monkeypatch.setattr(flight_module, "_own_scidog", flight_module._OwnSciDog())
    monkeypatch.setattr(flight_module, "settings_source", lambda: FixedSettings(Settings(beamline="lab")))
    monkeypatch.setattr(flight_module, "recording_session", lambda program: Disk())
    found: list[Lab] = []
    yield found
    for lab in found:
        lab.flight.close()


@pytest.fixture
def lab(made: list[Lab], tmp_path: Path) -> Lab:
    """With a folder of its own."""
    made.append(Lab(tmp_path, "inotify", alone=True))
    return made[0]


@pytest.fixture
def asking(made: list[Lab], tmp_path: Path) -> Lab:
    """With a PathFixer."""
    made.append(Lab(tmp_path, "inotify", alone=False))
    made[0].pathfixer.told = PathFixerReply(
        "20250001", "20251123", "A", "visitors", str(made[0].root), str(made[0].root / "A")
    )
    return made[0]


def said(shown: SciFlyStatus) -> str:
    return shown.condition().status(shown.ready)


def test_the_count_the_file_and_the_time_of_the_last_recording_are_shown_together(lab: Lab) -> None:
    lab.flight.work()
    before = lab.flight.shown()
    path = lab.write("a.dat")
    assert eventually(lambda: lab.counted.recorded == 1)
    # Between two turns of the work: nothing of it is shown, and then all of it.
    assert lab.flight.shown() == before
    assert before.counts == FlyCounts()
    lab.flight.work()
    shown = lab.flight.shown()
    assert (shown.counts.recorded, shown.pending, shown.counts.last_file) == (1, 0, path)
    assert shown.counts.last_recorded.endswith("Z")
    assert "Measurements recorded: 1. Files and measurements not finished: 0" in said(shown)
    assert f"The last file, at {shown.counts.last_recorded}: a.dat" in said(shown)


@pytest.mark.parametrize("method", ["inotify", "polling"])
def test_a_file_is_pending_until_it_is_counted(made: list[Lab], tmp_path: Path, method: str) -> None:
    """Also while it is handed from one thread to the next."""
    lab = Lab(tmp_path, method, alone=True)
    made.append(lab)
    modules = [flyer_module, follower, collector, recorder, settle, watcher]

    def look() -> tuple[int, str, bool] | None:
        fly_service = lab.flight._fly_service
        if fly_service is None or fly_service._lock._is_owned():  # type: ignore[attr-defined]
            return None  # others wait
        seen = fly_service.seen()
        return seen.counts.recorded, seen.counts.last_file, seen.pending > 0

    with at_each_line(modules, look) as seen:
        lab.flight.work()
        path = lab.write("a.dat")
        assert eventually(lambda: lab.fly_service.seen().pending == 0 and lab.counted.recorded == 1)
    moments = [moment for moment, _ in groupby(one for one in seen if one is not None)]
    assert moments == [(0, "", False), (0, "", True), (1, path, False)]


def test_who_has_the_answer_to_record_now_sees_it_counted(lab: Lab) -> None:
    lab.flight.work()
    path = lab.write("notes.md")
    assert lab.flight.record_now(path)
    shown = lab.flight.shown()
    assert (shown.counts.recorded, shown.counts.last_file, shown.pending) == (1, path, 0)
    with pytest.raises(FileNotFoundError):
        lab.flight.record_now(str(lab.root / "none.dat"))


def test_a_count_is_never_less_than_it_was(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also while it stops, and goes on."""
    lab.flight.work()
    lab.flight.record_now(lab.write("a.md"))
    stop = FlyService.stop

    def stops(self: FlyService) -> None:
        """What is recorded while it stops counts, too."""
        with suppress(ValueError, TimeoutError):
            self.record_now(lab.write("b.md"))
        stop(self)

    monkeypatch.setattr(FlyService, "stop", stops)
    with at_each_line([flight_module, flyer_module], lambda: lab.flight.shown().counts.recorded) as seen:
        lab.flight.stop()
        lab.flight.work()
        lab.flight.start()
        lab.flight.work()
    assert seen == [1, 2]
    assert lab.flight.shown().counts.last_file == str(lab.root / "b.md")


def test_a_turn_of_the_work_in_which_nothing_changes_shows_no_change(asking: Lab) -> None:
    asking.flight.work()
    asking.pathfixer.trouble = "the device does not answer"
    asking.flight.work()
    shown = asking.flight.shown()
    assert shown.condition().alarms == [
        f"{PATHFIXER}: the device does not answer",
        "Its last answer is in use: proposal 20250001, sample A",
    ]
    with at_each_line([flight_module], asking.flight.shown) as seen:
        asking.flight.work()
    assert seen == [shown]


def test_where_it_watches_and_for_whom_changes_in_one_moment(asking: Lab, tmp_path: Path) -> None:
    asking.flight.work()
    first = asking.pathfixer.told
    assert first is not None
    (tmp_path / "other").mkdir()
    other = replace(first, proposal="20250117", sample="B", path=str(tmp_path / "other"))

    def look() -> tuple[str, str, str, str]:
        shown = asking.flight.shown()
        return os.path.basename(shown.watched), shown.place.proposal, shown.place.sample, shown.ready.name

    with at_each_line([flight_module, flyer_module], look) as seen:
        asking.pathfixer.told = other
        asking.flight.work()
        asking.pathfixer.told = PathFixerReply()
        asking.flight.work()
    assert seen == [("raw", "20250001", "A", "ON"), ("other", "20250117", "B", "ON"), ("", "", "", "STANDBY")]
    assert f"{PATHFIXER} has no active proposal: there is nothing to watch" in said(asking.flight.shown())
