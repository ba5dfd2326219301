"""What is done behind a measurement, with a spool on disk and a Kafka that is away."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from scifish import compose
from scifish.compose import Observed, Record, ending
from scifish.keeper import NEWS, Keeper
from scifish.message import Message, check
from scifish.settings import Settings
from scifish.source import FixedSettings
from scifish.spool import Kept, Spool
from tests.tango_system import eventually

ORIGIN = {"host": "h", "program": "p", "version": "1", "run": "run-1"}
UUIDS = [f"0d1c950f-5492-5d5f-b66c-f788b18d1ef{n}" for n in range(10)]
SETTINGS = Settings(beamline="lab", topic="scifish-lab", kafka_bootstrap_servers="127.0.0.1:9")

Start = Callable[[], Keeper]


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Spool:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return Spool(tmp_path / "run-1.spool", ORIGIN)


@pytest.fixture
def reports() -> list[Message]:
    return []


@pytest.fixture
def start(spool: Spool, reports: list[Message]) -> Iterator[Start]:
    keepers: list[Keeper] = []

    def begin() -> Keeper:
        keepers.append(Keeper(FixedSettings(SETTINGS), spool, [], reports.append))
        return keepers[-1]

    yield begin
    for keeper in keepers:
        keeper.leave(0.0, finish=False)


def kept(uuid: str, over: bool = False, announced: bool = False) -> Kept:
    end = ending("completed", 2.0, 5) if over else None
    given = {"datasetName": "x", "scientificMetadata": {}}
    return Kept.of(Record(uuid, 1.0, given, ending=end), announced)


def messages(spool: Spool) -> list[Message]:
    found = [json.loads(waiting.message) for waiting in spool.waiting(100)]
    for one in found:
        check(one)
    return found


def said(keeper: Keeper, spool: Spool, count: int) -> list[tuple[str, str]]:
    """Type and uuid of the messages, when there are `count` of them."""
    assert eventually(lambda: keeper.clerk.ask(spool.count).result() >= count)
    return [(found["type"], found["uuid"]) for found in keeper.clerk.ask(lambda: messages(spool)).result()]


def test_what_it_is_told_becomes_messages(start: Start, spool: Spool, reports: list[Message]) -> None:
    keeper = start()
    begun = kept(UUIDS[0], announced=True)
    keeper.clerk.write(lambda: spool.begin(begun)).result()
    keeper.hear("begin", begun.uuid, json.loads(begun.as_line()))
    assert said(keeper, spool, 1) == [("began", UUIDS[0])]
    keeper.hear("end", begun.uuid, {"given": None, "ending": ending("stopped", 3.0, 7)})
    assert said(keeper, spool, 2)[1] == ("ended", UUIDS[0])
    assert keeper.clerk.ask(spool.open_states).result() == []
    assert any(report.get("observed") == UUIDS[0] for report in reports)


def test_what_is_over_at_once_is_one_message(start: Start, spool: Spool) -> None:
    keeper = start()
    begun = kept(UUIDS[0], announced=True)
    keeper.clerk.write(lambda: spool.begin(begun)).result()
    keeper.hear("begin", begun.uuid, json.loads(begun.as_line()))
    keeper.hear("end", begun.uuid, {"given": None, "ending": ending("stopped", 3.0, 7)})
    assert said(keeper, spool, 1) == [("ended", UUIDS[0])]
    assert not eventually(lambda: keeper.clerk.ask(spool.count).result() > 1, 2 * NEWS)


def test_what_it_was_not_told_it_finds_in_the_spool(start: Start, spool: Spool) -> None:
    spool.begin(kept(UUIDS[0], over=True))
    keeper = start()
    assert said(keeper, spool, 1) == [("ended", UUIDS[0])]
    # Later, with the line lost on its way.
    keeper.clerk.write(lambda: spool.begin(kept(UUIDS[1], announced=True))).result()
    assert said(keeper, spool, 2)[1] == ("began", UUIDS[1])
    keeper.clerk.write(lambda: spool.end(UUIDS[1], None, json.dumps(ending("completed", 2.0, 5)))).result()
    assert said(keeper, spool, 3)[2] == ("ended", UUIDS[1])


def test_what_an_earlier_companion_has_seen_is_not_seen_again(start: Start, spool: Spool) -> None:
    values = compose.as_given({"scientificMetadata": {"energy": 12.4}}, 1.0, "p")["scientificMetadata"]
    record = Record(UUIDS[0], 1.0, {"datasetName": "x"}, observed=Observed({}, values, []))
    spool.begin(Kept.of(record))
    keeper = start()
    keeper.clerk.write(lambda: spool.end(UUIDS[0], None, json.dumps(ending("completed", 2.0, 5)))).result()
    said(keeper, spool, 1)
    (ended,) = keeper.clerk.ask(lambda: messages(spool)).result()
    assert ended["scientificMetadata"]["energy"]["value"] == 12.4


def test_told_again_and_on_disk_too_it_is_one_dataset(start: Start, spool: Spool) -> None:
    keeper = start()
    begun = kept(UUIDS[0])
    keeper.clerk.write(lambda: spool.begin(begun)).result()
    for _ in range(3):
        keeper.hear("begin", begun.uuid, json.loads(begun.as_line()))
        keeper.hear("end", begun.uuid, {"given": None, "ending": ending("stopped", 3.0, 7)})
    # A disk that takes the beginning only when all is over.
    said(keeper, spool, 1)
    keeper.clerk.write(lambda: spool.begin(begun)).result()
    assert eventually(lambda: keeper.clerk.ask(spool.open_states).result() == [])
    assert said(keeper, spool, 1) == [("ended", UUIDS[0])]


def test_what_cannot_be_composed_stays_on_disk_and_holds_up_nothing(
    start: Start, spool: Spool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    really = compose.ended

    def ended(record: Record, *more: object) -> Message:
        if record.uuid == UUIDS[0]:
            raise KeyError("a mistake of ours")
        return really(record, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(compose, "ended", ended)
    spool.begin(kept(UUIDS[0], over=True))
    spool.begin(kept(UUIDS[1], over=True))
    keeper = start()
    assert said(keeper, spool, 1) == [("ended", UUIDS[1])]
    assert eventually(lambda: f"dataset {UUIDS[0]} cannot be finished" in caplog.text)
    assert not eventually(lambda: UUIDS[0] not in str(keeper.clerk.ask(spool.open_states).result()), 2.5)


def test_when_the_program_is_gone_what_is_open_is_interrupted(start: Start, spool: Spool, tmp_path: Path) -> None:
    spool.begin(kept(UUIDS[0]))
    spool.progress({UUIDS[0]: (4, json.dumps({"datasetName": "y"}))})
    keeper = start()
    keeper.leave(1.0, finish=True)
    again = Spool(tmp_path / "run-1.spool", lock=spool.lock)
    (ended,) = messages(again)
    assert (ended["status"], ended["numberOfPoints"], ended["datasetName"]) == ("interrupted", 4, "y")
    assert again.open_states() == []
