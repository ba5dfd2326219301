"""The check for faults that nobody reports must be able to fail."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.alerts import firing, rules
from tests.faults import watch
from tests.faults.known import Knowledge
from tests.faults.ledger import Place
from tests.faults.system import System
from tests.faults.watch import Watch
from tests.unit.tools.test_faults_verdict import HOME, entry


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Any:
    """One dataset that has ended, and that is in no catalogue yet."""
    monkeypatch.setattr(watch, "GRACE", 0.0)
    monkeypatch.setattr(watch, "BETWEEN_LOOKS", 0.0)
    known = Knowledge([entry("started", name="one"), entry("ending", status="completed", points=1), entry("ended")])
    catalogue: set[str] = set()
    ingestion = SimpleNamespace(places=[Place(*HOME)], ended=catalogue.intersection)
    return SimpleNamespace(known=known, ingestion=ingestion, damages=[], catalogue=catalogue)


def watched(system: Any, said: list[str]) -> Watch:
    found = Watch(cast(System, system), lambda _: None)
    found.said = lambda: said  # type: ignore[method-assign]
    return found


def test_what_is_missing_while_all_is_well_is_found(system: Any) -> None:
    found = watched(system, [])
    found.look("a fault")
    assert [(each.who, each.what[:7]) for each in found.silent] == [("a", "a fault")]


def test_what_is_reported_or_is_there_is_not(system: Any) -> None:
    found = watched(system, ["scifish status: 1 messages wait"])
    found.look("a fault")
    assert (found.silent, found.looks) == ([], 1)
    system.catalogue.add("a")
    found = watched(system, [])
    found.look("a fault")
    assert (found.silent, found.looks) == ([], 0)


def test_the_alerts_of_the_page_are_understood() -> None:
    assert {"SciCowAway", "SciCowHeld", "SciCowLost"} <= set(rules())
    assert firing(None) == {"SciCowAway"}
    well = {("scicow_held", ""): 0.0, ("scicow_lag_seconds", "t"): 3.0, ("scicow_messages_lost_total", "t"): 2.0}
    assert firing(well, well) == set()
    assert firing({**well, ("scicow_held", ""): 1.0}, well) == {"SciCowHeld"}
    assert firing({**well, ("scicow_messages_lost_total", "t"): 3.0}, well) == {"SciCowLost"}
    assert firing({**well, ("scicow_lag_seconds", "t"): 601.0}, well) == {"SciCowBehind"}
    new = {name: value for name, value in well.items() if name[0] != "scicow_messages_lost_total"}
    assert firing(well, new) == {"SciCowLost"}
