"""Ranges of time as users choose them."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator

import pytest

from taurus_widgets.scanlog.data.timerange import Span, TimeRange, day_of

NOW = dt.datetime(2026, 11, 23, 14, 30, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Stockholm")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def utc(*numbers: int) -> dt.datetime:
    return dt.datetime(*numbers, tzinfo=dt.UTC)  # type: ignore[arg-type, misc]


def test_the_last_hours() -> None:
    assert TimeRange(Span.LAST_HOURS).times(NOW) == (utc(2026, 11, 23, 6, 30), None)


def test_today_starts_at_local_midnight() -> None:
    assert TimeRange(Span.TODAY).times(NOW.astimezone()) == (utc(2026, 11, 22, 23), None)


def test_a_visit_begins_on_its_day_also_before_summer_time_ended() -> None:
    visit = TimeRange(Span.VISIT, visit="20261020")
    assert visit.times(NOW) == (utc(2026, 10, 19, 22), None)
    assert visit.folder == ""


def test_a_visit_of_another_name_is_a_folder() -> None:
    visit = TimeRange(Span.VISIT, visit="visit-2")
    assert visit.times(NOW) == (None, None)
    assert visit.folder == "visit-2"


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("20261123", dt.date(2026, 11, 23)),
        ("2026-11-23", dt.date(2026, 11, 23)),
        ("20261123-b", dt.date(2026, 11, 23)),
        ("20261323", None),
        ("202611231", None),
        ("", None),
        ("visit", None),
    ],
)
def test_the_day_of_a_visit(name: str, day: dt.date | None) -> None:
    assert day_of(name) == day


def test_all_and_from_to() -> None:
    assert TimeRange().times(NOW) == (None, None)
    assert TimeRange(Span.FROM_TO, NOW).times(NOW) == (NOW, None)
    later = NOW + dt.timedelta(hours=1)
    assert TimeRange(Span.FROM_TO, NOW, later).text == "2026-11-23 14:30 to 2026-11-23 15:30"
    assert TimeRange(Span.FROM_TO, end=NOW).text == "until 2026-11-23 14:30"
