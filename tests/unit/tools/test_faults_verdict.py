"""The check of `make faults` must be able to fail: it finds what is lost, changed, double, running and elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from scifish.message import Message
from tests.builders.messages import file, message, value
from tests.faults.known import SECRET, Knowledge
from tests.faults.ledger import SUFFIX, Entry, Ledger, LedgerReader, Said, read_ledgers
from tests.faults.verdict import Damage, Verdict
from tests.faults.verdict import judge as judged

HOME = ["kafka", "scifish-cosaxs", "cosaxs"]

SAID: Said = {
    "fields": {"sampleId": "S-1"},
    "environment": {"scanID": 42},
    "values": {"energy": (12.5, "keV")},
    "files": {"/data/1.h5": 10},
}

PICTURE = {"caption": "plot", "uri": "data:image/png;base64,AAAA"}


def entry(about: str, uuid: str = "a", **more: Any) -> Entry:
    found: Entry = {"about": about, "uuid": uuid, "place": HOME, "pid": 7, "monotonic": 5.0, **more}
    if not uuid:
        del found["uuid"]
    return found


def begun(uuid: str = "a", **more: Any) -> list[Entry]:
    return [entry("starting", "", name=f"name {uuid}", **more), entry("started", uuid, name=f"name {uuid}")]


def over(uuid: str = "a", status: str = "completed", returned: bool = True) -> list[Entry]:
    ending = entry("ending", uuid, status=status, points=11, said=SAID)
    return [ending, entry("ended", uuid)] if returned else [ending]


def commented(uuid: str = "a", **more: Any) -> list[Entry]:
    return [entry("annotating", uuid, comment="fine", rating=1.5, **more), entry("annotated", uuid)]


def said(kind: str, seq: int, uuid: str = "a", run: str = "run-1", **changes: Any) -> Message:
    origin = {"host": "b311a-cc-0", "program": "test", "version": "1", "run": run}
    given: Message = {"origin": origin, "found": ("kafka", "scifish-cosaxs")}
    if kind != "annotation":
        given |= {"datasetName": f"name {uuid}", "scientificMetadata": {"energy": value(12.5, "keV")}}
    if kind == "ended":
        given["files"] = [file("/data/1.h5", 10)]
    return message(kind, uuid, seq=seq, **{**given, **changes})


def judge(entries: list[Entry], messages: list[Message], *damages: Damage) -> Verdict:
    return judged(Knowledge(entries), messages, damages)


def counts(verdict: Verdict) -> tuple[int, int, int]:
    return len(verdict.lost), len(verdict.duplicates), len(verdict.running)


WHOLE = [said("began", 1), said("ended", 2)]


def test_all_is_well() -> None:
    verdict = judge(begun() + over(), WHOLE)
    assert (counts(verdict), verdict.datasets, verdict.scans, verdict.good) == ((0, 0, 0), 1, 0, True)


def test_a_scan_is_counted_as_one() -> None:
    entries: list[Entry] = [{**each, "uuid": "a", "scan": True} for each in begun() + over()]
    verdict = judge(entries, WHOLE)
    assert (counts(verdict), verdict.datasets, verdict.scans) == ((0, 0, 0), 0, 1)


@pytest.mark.parametrize(("status", "points", "lost"), [("aborted", 12, 0), ("aborted", 13, 1), ("completed", 12, 1)])
def test_a_scan_that_is_stopped_may_have_the_point_that_it_was_at(status: str, points: int, lost: int) -> None:
    entries: list[Entry] = [{**each, "uuid": "a", "scan": True} for each in begun() + over(status=status)]
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
        ({"scientificMetadata": {}}, "energy is None None, not 12.5 keV"),
        ({"scientificMetadata": {"energy": value(12.5, "eV")}}, "energy is 12.5 eV, not 12.5 keV"),
        ({"datasetName": "other"}, "datasetName is 'other'"),
        ({"sampleId": "S-2"}, "sampleId is 'S-2', not 'S-1'"),
        ({"environment": {}}, "scanID is None, not 42"),
        ({"files": []}, "the file /data/1.h5 is not listed"),
        ({"files": [file("/data/1.h5", 11)]}, "the file /data/1.h5 has 11 bytes, not 10"),
        ({"files": [file("/data/1.h5"), file("/data/2.h5")]}, "2 files are listed, not 1"),
        ({"files": [file("/data/1.h5"), file("/data/1.h5")]}, "1 files are listed twice"),
        ({"part": {"number": 1, "of": 2}}, "of its 2 parts these are missing: [2]"),
    ],
    ids=lambda changes: str(*changes) if isinstance(changes, dict) else "",
)
def test_what_was_known_when_the_end_returned_must_be_there(changes: Message, says: str) -> None:
    (lost,) = judge(begun() + over(), [WHOLE[0], said("ended", 2, **changes)]).lost
    assert says in lost.what


def test_what_was_announced_must_be_there_after_a_kill() -> None:
    entries = [*begun(), entry("announced", said=SAID)]
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
    entries: list[Entry] = [{**each, "uuid": "a", "scan": True} for each in begun()]
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
    files = ([file("/data/1.h5")], [])
    parts = [said("ended", number + 2, part={"number": number + 1, "of": 2}, files=files[number]) for number in (0, 1)]
    assert counts(judge(begun() + over(), [WHOLE[0], *parts])) == (0, 0, 0)


def test_a_gap_in_the_numbers_is_lost() -> None:
    (lost,) = judge(begun() + over(), [WHOLE[0], said("ended", 4)]).lost
    assert (lost.who, lost.what) == ("run-1", "of its 4 messages these are missing: [2, 3]")


def test_a_comment_and_a_picture_must_be_there() -> None:
    entries = begun() + over() + commented(image=PICTURE)
    whole = {"comment": "fine", "rating": 1.5, "image": PICTURE}
    assert counts(judge(entries, [*WHOLE, said("annotation", 3, annotation=whole)])) == (0, 0, 0)
    for name in whole:
        part = {key: each for key, each in whole.items() if key != name}
        (lost,) = judge(entries, [*WHOLE, said("annotation", 3, annotation=part)]).lost
        assert f"no annotation has the {name} " in lost.what
    assert counts(judge(entries[:-1], WHOLE)) == (0, 0, 0)  # the call did not return


# ----------------------------------------------------------------------------- places


@pytest.mark.parametrize(
    "changes",
    [
        {"found": ("kafka", "scifish-balder")},
        {"found": ("other", "scifish-cosaxs")},
        {"beamline": "balder"},
        {"proposalId": "IN20250042"},
        {"scientificMetadata": {SECRET: value("x")}},
    ],
    ids=["topic", "broker", "beamline", "proprietary proposal", "proprietary value"],
)
def test_a_message_that_is_where_it_does_not_belong_has_crossed(changes: Message) -> None:
    verdict = judge(begun() + over(), [said("began", 1, **changes), WHOLE[1]])
    assert [found.who for found in verdict.crossed] == ["a"]
    assert not verdict.good


def test_also_that_of_a_program_that_did_not_get_to_know_its_uuid() -> None:
    killed = said("ended", 1, status="interrupted", beamline="balder")
    assert len(judge(begun()[:1], [killed]).crossed) == 1


def test_nothing_of_a_proprietary_dataset_leaves_the_machine_once_that_was_said() -> None:
    entries = [*begun(), entry("measuring", proposal="IN20250042")]
    early = said("ended", 1, status="interrupted", scientificMetadata={})
    assert judge(entries, [early]).good  # its program was killed before it had said so
    entries.append(entry("announced", said=SAID))
    assert len(judge(entries, [early]).crossed) == 1
    nothing = judge(entries, [])
    assert (nothing.good, nothing.withheld) == (True, 1)


@pytest.mark.parametrize(("proposal", "sent_as", "crossed"), [("1", "1", 0), ("1", "", 1), ("IN1", "IN1", 1)])
def test_what_waits_for_pathfixer_is_not_sent_without_its_proposal(proposal: str, sent_as: str, crossed: int) -> None:
    entries = begun(asked=True, proposal=proposal) + over()
    assert len(judge(entries, [said("ended", 1, proposalId=sent_as)]).crossed) == crossed


# ---------------------------------------------------------------------------- damages


def test_what_was_only_in_a_damaged_spool_is_not_lost_if_somebody_says_so() -> None:
    entries = begun() + over() + begun("b") + over("b")
    there = [said("began", 1), said("began", 4, "b"), said("ended", 5, "b")]
    reported = judge(entries, there, Damage(7, "run-1", noticed=6.0, said="it is damaged"))
    assert (reported.good, len(reported.damaged)) == (True, 2)  # one dataset, and the gap
    assert counts(judge(entries, there, Damage(7, "run-1", noticed=6.0, said=""))) == (2, 0, 1)
    assert counts(judge(entries, there, Damage(8, "run-2", noticed=6.0, said="it is damaged"))) == (2, 0, 1)


def test_what_had_not_ended_is_written_anew_by_a_program_that_lives() -> None:
    alive, killed = (Damage(7, "run-1", noticed, "it is damaged") for noticed in (4.0, -1.0))
    assert counts(judge(begun() + over(), [], alive)) == (1, 0, 0)
    assert counts(judge(begun() + over(), [], killed)) == (0, 0, 0)


def test_what_is_salvaged_of_a_dataset_that_went_on_is_not_double() -> None:
    guess = said("ended", 1, run="run-1-salvaged", status="interrupted")
    assert counts(judge(begun() + over(), [*WHOLE, guess])) == (0, 0, 0)


# ---------------------------------------------------------------------------- ledgers


def test_ledgers_are_read_back_as_they_grow(tmp_path: Path) -> None:
    reader = LedgerReader(tmp_path)
    assert list(reader.new()) == []
    for name in ("one", "two"):
        ledger = Ledger(tmp_path / f"{name}{SUFFIX}")
        ledger.note("starting", name=name)
        ledger.note("started", name=name, uuid=name)
    wanted = [("starting", "one"), ("started", "one"), ("starting", "two"), ("started", "two")]
    assert [(each["about"], each["name"]) for each in read_ledgers(tmp_path)] == wanted
    assert [(each["about"], each["name"]) for each in reader.new()] == wanted
    ledger.note("closed", name="two")
    assert [each["about"] for each in reader.new()] == ["closed"]
