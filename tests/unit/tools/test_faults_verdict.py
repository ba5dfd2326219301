"""The check of `make faults` must be able to fail: it finds what is lost, double and still running."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scifish.message import Message
from tests.builders.messages import message, value
from tests.faults.ledger import SUFFIX, Entry, Ledger, read_ledgers
from tests.faults.verdict import Verdict, judge

SAID = {"energy": 12.5}


def begun(uuid: str = "a", **more: Any) -> list[Entry]:
    return [{"about": "starting", "name": f"name {uuid}"}, {"about": "started", "uuid": uuid, "name": f"name {uuid}"}]


def over(uuid: str = "a", status: str = "completed", returned: bool = True) -> list[Entry]:
    entry = {"about": "ending", "uuid": uuid, "status": status, "points": 11, "said": SAID}
    return [entry, {"about": "ended", "uuid": uuid}] if returned else [entry]


def said(kind: str, seq: int, uuid: str = "a", run: str = "run-1", **changes: Any) -> Message:
    origin = {"host": "b311a-cc-0", "program": "test", "version": "1", "run": run}
    given = {"datasetName": f"name {uuid}", "origin": origin, "scientificMetadata": {"energy": value(12.5)}}
    return message(kind, uuid, seq=seq, **{**given, **changes})


def counts(verdict: Verdict) -> tuple[int, int, int]:
    return len(verdict.lost), len(verdict.duplicates), len(verdict.running)


WHOLE = [said("began", 1), said("ended", 2)]


def test_all_is_well() -> None:
    verdict = judge(begun() + over(), WHOLE)
    assert (counts(verdict), verdict.datasets, verdict.scans, verdict.good) == ((0, 0, 0), 1, 0, True)


def test_a_scan_is_counted_as_one() -> None:
    entries: list[Entry] = [{**entry, "uuid": "a", "scan": True} for entry in begun() + over()]
    verdict = judge(entries, WHOLE)
    assert (counts(verdict), verdict.datasets, verdict.scans) == ((0, 0, 0), 0, 1)


@pytest.mark.parametrize(("status", "points", "lost"), [("aborted", 12, 0), ("aborted", 13, 1), ("completed", 12, 1)])
def test_a_scan_that_is_stopped_may_have_the_point_that_it_was_at(status: str, points: int, lost: int) -> None:
    entries: list[Entry] = [{**entry, "uuid": "a", "scan": True} for entry in begun() + over(status=status)]
    entries[-1]["points"] = 12
    last = said("ended", 2, status=status, numberOfPoints=points)
    assert counts(judge(entries, [WHOLE[0], last])) == (lost, 0, 0)


def test_a_dataset_without_a_message_is_lost() -> None:
    verdict = judge(begun() + over() + begun("b"), WHOLE)
    (lost,) = verdict.lost
    assert lost.who == "b"
    assert "it began" in lost.what
    assert not verdict.good


def test_a_dataset_that_only_began_is_lost_and_running() -> None:
    assert counts(judge(begun(), WHOLE[:1])) == (1, 0, 1)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"status": "interrupted"}, "status is interrupted, not completed"),
        ({"numberOfPoints": 10}, "numberOfPoints is 10, not 11"),
        ({"scientificMetadata": {}}, "energy is None, not 12.5"),
        ({"datasetName": "other"}, "datasetName is 'other'"),
        ({"part": {"number": 1, "of": 2}}, "of its 2 parts these are missing: [2]"),
    ],
    ids=lambda changes: str(*changes) if isinstance(changes, dict) else "",
)
def test_what_was_known_when_the_end_returned_must_be_there(changes: Message, says: str) -> None:
    (lost,) = judge(begun() + over(), [WHOLE[0], said("ended", 2, **changes)]).lost
    assert says in lost.what


def test_what_was_announced_must_be_there_after_a_kill() -> None:
    entries = [*begun(), {"about": "announced", "uuid": "a", "said": SAID}]
    assert counts(judge(entries, [WHOLE[0], said("ended", 2, status="interrupted")])) == (0, 0, 0)
    killed = said("ended", 2, status="interrupted", scientificMetadata={})
    assert counts(judge(entries, [WHOLE[0], killed])) == (1, 0, 0)


@pytest.mark.parametrize(("status", "lost"), [("interrupted", 0), ("completed", 0), ("failed", 1)])
def test_an_end_that_did_not_return_may_have_been_too_late(status: str, lost: int) -> None:
    verdict = judge(begun() + over(returned=False), [WHOLE[0], said("ended", 2, status=status)])
    assert counts(verdict) == (lost, 0, 0)


def test_a_killed_dataset_is_interrupted() -> None:
    assert counts(judge(begun(), [WHOLE[0], said("ended", 2, status="interrupted")])) == (0, 0, 0)
    assert counts(judge(begun(), WHOLE)) == (1, 0, 0)


@pytest.mark.parametrize(
    ("status", "lost"), [("interrupted", 0), ("stopped", 0), ("aborted", 0), ("failed", 1), ("completed", 1)]
)
def test_a_scan_without_an_end_was_killed_or_ended_by_the_user_while_it_began(status: str, lost: int) -> None:
    entries: list[Entry] = [{**entry, "uuid": "a", "scan": True} for entry in begun()]
    assert counts(judge(entries, [WHOLE[0], said("ended", 2, status=status)])) == (lost, 0, 0)


def test_a_begin_that_did_not_return_may_be_there_once() -> None:
    starting = begun()[:1]
    killed = said("ended", 1, status="interrupted")
    assert counts(judge(starting, [])) == (0, 0, 0)
    assert counts(judge(starting, [killed])) == (0, 0, 0)
    twice = [killed, said("ended", 2, "b", status="interrupted", datasetName="name a")]
    assert counts(judge(starting, twice)) == (0, 1, 0)


def test_a_dataset_that_nobody_began_is_double() -> None:
    assert counts(judge([], [said("ended", 1)])) == (0, 1, 0)


def test_two_last_messages_are_double_and_a_repeated_one_is_not() -> None:
    assert counts(judge(begun() + over(), [*WHOLE, said("ended", 3)])) == (0, 1, 0)
    assert counts(judge(begun() + over(), [*WHOLE, said("ended", 1, run="run-2")])) == (0, 1, 0)
    again = judge(begun() + over(), [*WHOLE, *WHOLE])
    assert (counts(again), again.redelivered) == ((0, 0, 0), 2)


def test_one_number_for_two_messages_is_double() -> None:
    assert counts(judge(begun() + over(), [*WHOLE, said("began", 2)])) == (0, 1, 0)


def test_parts_of_one_are_not_double() -> None:
    parts = [said("ended", number + 1, part={"number": number, "of": 2}) for number in (1, 2)]
    assert counts(judge(begun() + over(), [WHOLE[0], *parts])) == (0, 0, 0)


def test_a_gap_in_the_numbers_is_lost() -> None:
    (lost,) = judge(begun() + over(), [WHOLE[0], said("ended", 4)]).lost
    assert (lost.who, lost.what) == ("run-1", "of its 4 messages these are missing: [2, 3]")


def test_ledgers_are_read_back(tmp_path: Path) -> None:
    for name in ("one", "two"):
        ledger = Ledger(tmp_path / f"{name}{SUFFIX}")
        ledger.note("starting", name=name)
        ledger.note("started", name=name, uuid=name)
    assert [(entry["about"], entry["name"]) for entry in read_ledgers(tmp_path)] == [
        ("starting", "one"),
        ("started", "one"),
        ("starting", "two"),
        ("started", "two"),
    ]
