"""No change is missed between two reads of the catalogue."""

from __future__ import annotations

import pytest

from ingest.scicat import SciCat, SciCatError
from taurus_widgets.scanlog.data import feed
from taurus_widgets.scanlog.data.feed import Feed
from taurus_widgets.scanlog.data.pages import Pages
from taurus_widgets.scanlog.data.query import DatasetQuery

Json = dict[str, object]


class Made(SciCat):
    """A catalogue in memory whose token can expire as in SciCat: reads are then answered with 200 and nothing."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9", "user", "password")
        self.rows: dict[str, Json] = {}
        self.expired = False
        self.away = False
        self.asked = 0

    def put(self, pid: str, updated: int, created: int | None = None) -> None:
        when = updated if created is None else created
        self.rows[pid] = {"pid": pid, "creationTime": _time(when), "updatedAt": _time(updated)}

    def alive(self) -> bool:
        return not self.expired

    def login(self) -> None:
        self.expired = False

    def datasets(
        self,
        where: Json | None = None,
        fields: list[str] | None = None,
        order: str = "creationTime:desc",
        limit: int = 100,
        skip: int = 0,
    ) -> list[Json]:
        self.asked += 1
        if self.away:
            raise SciCatError("GET", 0, "no answer")
        if self.expired:
            return []
        name, _, direction = order.partition(":")
        tests: list[Json] = (where or {}).get("$and", [])  # type: ignore[assignment]
        found = [row for row in self.rows.values() if all(_fits(row, *test) for each in tests for test in each.items())]
        return sorted(found, key=lambda row: str(row[name]), reverse=direction == "desc")[:limit]


def _fits(row: Json, name: str, wanted: object) -> bool:
    assert isinstance(wanted, dict)
    [(operator, value)] = wanted.items()
    return str(row.get(name)) >= value if operator == "$gte" else row.get(name) in value


def _time(tenths: int) -> str:
    return f"2026-11-21T{12 + tenths // 36000:02d}:{tenths // 600 % 60:02d}:{tenths // 10 % 60:02d}.{tenths % 10}00Z"


def pids(rows: list[Json]) -> list[object]:
    return [row["pid"] for row in rows]


@pytest.fixture
def made() -> Made:
    return Made()


def begun(made: Made, query: DatasetQuery = DatasetQuery()) -> Feed:  # noqa: B008 - it cannot be changed
    pages = Pages(made, query, ())
    return Feed(pages, pages.top().since)


def test_each_change_is_reported_once(made: Made) -> None:
    made.put("a", 100)
    looks = begun(made)
    looks.read()
    made.put("b", 101)
    assert pids(looks.read()) == ["b"]
    made.put("a", 102, created=100)
    assert pids(looks.read()) == ["a"]
    assert looks.read() == []


def test_equal_times_at_the_edge_are_not_missed(made: Made) -> None:
    made.put("a", 100)
    looks = begun(made)
    looks.read()
    made.put("b", 100)
    assert pids(looks.read()) == ["b"]


def test_a_write_that_becomes_visible_late_is_not_missed(made: Made) -> None:
    made.put("a", 100)
    looks = begun(made)
    looks.read()
    made.put("c", 115)
    assert pids(looks.read()) == ["c"]
    made.put("b", 110)
    assert pids(looks.read()) == ["b"]


@pytest.mark.parametrize("spread", [0, 1])
def test_a_burst_of_many_pages_is_read_completely(made: Made, spread: int) -> None:
    made.put("first", 100)
    looks = begun(made)
    looks.read()
    for number in range(3 * feed.CHANGES_PER_PAGE + 7):
        made.put(f"burst-{number}", 101 + number * spread)
    assert len(set(pids(looks.read()))) == 3 * feed.CHANGES_PER_PAGE + 7
    assert looks.read() == []


def test_earlier_changes_are_not_reported(made: Made) -> None:
    for number in range(10):
        made.put(f"row-{number}", 100 + 30 * number)
    assert pids(begun(made).read()) == ["row-9"]


def test_an_expired_token_is_noticed_and_nothing_is_lost(made: Made) -> None:
    made.put("a", 100)
    looks = begun(made)
    looks.read()
    made.expired = True
    made.put("b", 101)
    assert "b" in pids(looks.read())
    assert not made.expired


def test_a_table_started_with_an_expired_token_has_its_rows(made: Made) -> None:
    made.put("a", 100)
    made.expired = True
    assert pids(Pages(made, DatasetQuery(), ()).top().rows) == ["a"]


def test_an_empty_catalogue_fills(made: Made) -> None:
    looks = begun(made)
    assert looks.read() == []
    made.put("a", 100)
    assert pids(looks.read()) == ["a"]


def test_after_a_failure_it_continues_where_it_was(made: Made) -> None:
    made.put("a", 100)
    looks = begun(made)
    looks.read()
    made.away = True
    made.put("b", 101)
    with pytest.raises(SciCatError):
        looks.read()
    made.away = False
    made.put("c", 900)
    assert pids(looks.read()) == ["b", "c"]


def test_a_quiet_catalogue_is_queried_once_per_read(made: Made) -> None:
    made.put("a", 100)
    looks = begun(made)
    looks.read()
    made.asked = 0
    looks.read()
    assert made.asked == 1


def test_watched_datasets_are_reported_even_if_they_no_longer_match(made: Made) -> None:
    made.put("a", 100)
    looks = begun(made, DatasetQuery(status=("running",)))
    assert looks.read() == []
    made.put("a", 150, created=100)
    made.put("b", 151)
    assert pids(looks.read(["a"])) == ["a"]


def test_it_advances_while_nothing_matches(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "ADVANCE_SECONDS", 0.0)
    made.put("a", 100)
    looks = begun(made, DatasetQuery(status=("running",)))
    made.put("b", 900)
    looks.read()
    assert looks.since == made.rows["b"]["updatedAt"]
