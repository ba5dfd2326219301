"""All values that PathFixer shows together are from the same moment, whatever it is doing."""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from itertools import groupby
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import tango
from tango import DevState

from deploy.demo.stack import own_group
from sdm.layout import Layout
from sdm.office import OfficeUnavailable, Proposal
from tango_servers import PathFixer as pathfixer
from tango_servers.pathfixer import consumers, upkeep
from tango_servers.pathfixer.consumers import Consumer, PathDistributor
from tango_servers.pathfixer.locking import ChangeLock, PendingOperations
from tango_servers.pathfixer.running_scans import RunningScans
from tango_servers.pathfixer.selection import Selection, Selector
from tango_servers.pathfixer.upkeep import Upkeep
from tests.moments import at_each_line

FIBRES = Proposal("20250001", "Fibres", "cosaxs", group=own_group() or str(os.getegid()))
CELLS = Proposal("20250117", "Cells", "cosaxs", group=own_group() or str(os.getegid()))


class Office:
    def __init__(self) -> None:
        self.up = True

    def proposal(self, proposal_id: str) -> Proposal:
        if not self.up:
            raise OfficeUnavailable("the office is closed")
        return {one.id: one for one in (FIBRES, CELLS)}[proposal_id]

    def proposals(self, beamline: str) -> list[Proposal]:
        return [FIBRES, CELLS]


class Desk:
    """A PathFixer without its Tango device: `shown` combines what was published with what is read."""

    for _name in ("_change_locked", "_replace", "_use", "_distribute", "_fields", "_publish"):
        locals()[_name] = getattr(pathfixer.PathFixer, _name)
    for _name in ("_condition", "_faults", "_alarms", "_remarks"):
        locals()[_name] = getattr(pathfixer.PathFixer, _name)

    def __init__(self, folder: Path) -> None:
        for category in ("visitors", "staff"):
            (folder / category / "cosaxs").mkdir(parents=True)
        self.office = Office()
        self.monitor = threading.RLock()
        self._pending, self._change_lock = PendingOperations(), ChangeLock()
        self._selector = Selector("cosaxs", self.office, Layout(folder), day=lambda: date(2025, 3, 10))
        self._settings = SimpleNamespace(problems=(), office=None, beamline="cosaxs", raw_read_only=False)
        self._property_check = SimpleNamespace(problems=[])
        self._persistent = SimpleNamespace(trouble="", save=lambda found: None)
        self._publisher = SimpleNamespace(publish=self._record)
        self._doors = SimpleNamespace(query=RunningScans)
        self._distributor = PathDistributor([], lambda: None)
        self._wrong_lines: list[str] = []
        self._late_refusal, self._unanswered_doors = "", ()
        self._user_name = self._endstation = ""
        self._ready = DevState.STANDBY
        self._in_use = Selection()
        self._upkeep = Upkeep(self._selector, RunningScans, lambda: self._in_use, self._replaced, lambda text: None)
        self.published: tuple[DevState, str, Mapping[str, object]] = (DevState.INIT, "", {})
        self._publish()  # type: ignore[attr-defined]

    def _replaced(self, before: Selection, found: Selection) -> None:
        self._replace(self._selector, before, found)  # type: ignore[attr-defined]

    def _record(self, state: DevState, status: str, values: Mapping[str, object]) -> None:
        self.published = state, status, values

    def get_device_attr(self) -> Any:
        return SimpleNamespace(get_w_attr_by_name=lambda name: SimpleNamespace(set_write_value=lambda value: None))

    def write(self, number: str) -> None:
        self._change_locked(  # type: ignore[attr-defined]
            "Proposal", lambda selector, now: selector.change_to(now, number, "auto", ""), False
        )

    @property
    def shown(self) -> tuple[str, str, str, tuple[str, ...]] | None:
        """The proposal that is read, the one in the Status, the State, and the problems; None if clients wait."""
        if self.monitor._is_owned():  # type: ignore[attr-defined]
            return None
        state, status, values = self.published
        inside = [one.id for one in (FIBRES, CELLS) if f"Proposal {one.id}: {one.title}" in status]
        shown = self._published  # type: ignore[attr-defined]
        assert shown.values is values
        assert (shown.state, [line for line in shown.problems if line not in status]) == (state, [])
        return str(values["Proposal"]), "".join(inside), state.name, shown.problems


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    monkeypatch.setattr(tango, "AutoTangoMonitor", lambda desk: desk.monitor)
    return Desk(tmp_path)


def moments(seen: list[object]) -> list[object]:
    """The sequence of states that clients see, without those for which they must wait."""
    return [moment for moment, _ in groupby(one for one in seen if one is not None)]


def test_state_and_status_belong_to_the_proposal_that_is_read(desk: Desk) -> None:
    """Also while the database is updated, and if the previous proposal had problems."""
    desk.write("20250001")
    desk._upkeep.update_report(
        storage="the storage is away", visit_waits="The visit becomes 20250311 when the scan has finished"
    )
    desk._late_refusal = "Sample 'x' was refused at 10:00:00: it is away"
    desk._publish()  # type: ignore[attr-defined]
    before = desk.shown
    assert before is not None
    assert (before[:3], len(before[3])) == (("20250001", "20250001", "FAULT"), 2)
    with at_each_line([pathfixer, upkeep], lambda: desk.shown) as seen:
        desk.write("20250117")
    assert moments(seen) == [before, ("20250117", "20250117", "STANDBY", ())]
    assert "The visit becomes" not in desk.published[1]


def test_a_restored_selection_is_in_use_and_no_longer_reported_as_missing(desk: Desk) -> None:
    desk._in_use = Selection("20250001", "20250310")
    desk._upkeep.update_report(not_restored="the office is closed")
    desk._publish()  # type: ignore[attr-defined]
    before = desk.shown
    assert before is not None
    assert before[:3] == ("20250001", "", "FAULT")
    with at_each_line([pathfixer, upkeep], lambda: desk.shown) as seen:
        desk._upkeep.run()
    assert moments(seen) == [before, ("20250001", "20250001", "STANDBY", ())]


def test_a_delayed_visit_is_in_use_and_no_longer_waited_for(desk: Desk) -> None:
    desk.write("20250001")
    desk._selector = replace(desk._selector, day=lambda: date(2025, 3, 11))
    desk._upkeep._selector = desk._selector
    desk._upkeep.update_report(visit="The visit of today, 20250311, cannot be started: the office is closed")
    desk._publish()  # type: ignore[attr-defined]

    def look() -> tuple[object, bool] | None:
        return None if desk.shown is None else (desk.published[2]["Visit"], "cannot be started" in desk.published[1])

    with at_each_line([pathfixer, upkeep], look) as seen:
        desk._upkeep.run()
    assert moments(seen) == [("20250310", True), ("20250311", False)]


@pytest.mark.parametrize("why", ["it is away", ""])
def test_a_device_is_pending_or_has_refused_the_path_or_has_it(why: str, monkeypatch: pytest.MonkeyPatch) -> None:
    distributor = PathDistributor([Consumer("a/b/detector", attribute="FilePath")], lambda: None)
    (recipient,) = distributor._devices
    monkeypatch.setattr(recipient, "_write", lambda consumer, value: why)
    monkeypatch.setattr(recipient, "_read_back", lambda consumer: None)

    def look() -> tuple[tuple[str, ...], dict[str, str], str] | None:
        if recipient._lock.locked():
            return None  # others wait
        seen = distributor.report()
        return seen.pending, dict(seen.refused), seen.report[0][2]

    distributor.distribute(dict.fromkeys(consumers.TEMPLATE_FIELDS, "x"))
    with at_each_line([consumers], look, steps=True) as found:
        recipient._deliver_all()
    device = "a/b/detector"
    after = ((), {device: why}, "refused") if why else ((), {}, "has it")
    assert moments(found) == [((device,), {}, "being handed"), after]
