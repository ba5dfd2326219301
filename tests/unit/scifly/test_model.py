"""Which proposal and sample a file belongs to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scifish.message.identity import files_uuid
from scifly.journal import Journal
from scifly.model import ProposalContext, ProposalPeriod, inside, stay_of
from scifly.proposal_periods import ProposalPeriods
from scifly.watching.filesystem import birth

A, B = ProposalContext("20250001", "A", "visitors"), ProposalContext("20250001", "B", "visitors")
SECRET = ProposalContext("20250007", "x", "proprietary")

RAW = [ProposalPeriod("/raw", A, since=10, seen=20, left=20), ProposalPeriod("/raw", B, since=20, seen=30)]


@pytest.mark.parametrize(
    ("path", "born", "stays", "place"),
    [
        ("/raw/a.txt", 15, RAW, A),
        ("/raw/a.txt", 20, RAW, B),
        ("/raw/a.txt", 25, RAW, B),
        ("/raw/a.txt", 99, RAW, B),  # nobody says otherwise
        ("/raw/a.txt", 5, RAW, A),  # from before all: of this root's proposal at any rate
        ("/rawer/a.txt", 15, RAW, None),
        # The inner one of two that are watched, and the outer one after the inner one was left.
        ("/raw/x/a.txt", 15, [*RAW, ProposalPeriod("/raw/x", SECRET, 10, 20, 20)], SECRET),
        ("/raw/x/a.txt", 25, [*RAW, ProposalPeriod("/raw/x", SECRET, 10, 20, 20)], B),
        # A program that goes on writing where it began.
        ("/old/a.txt", 25, [ProposalPeriod("/old", A, 10, 20, 20), ProposalPeriod("/new", SECRET, 20, 30)], A),
    ],
)
def test_a_file_belongs_to_the_period_of_its_creation(
    path: str, born: float, stays: list[ProposalPeriod], place: ProposalContext | None
) -> None:
    found = stay_of(path, born, stays)
    assert (found.place if found else None) == place


def test_a_file_created_while_nobody_watched_stays_if_it_may_be_proprietary() -> None:
    # Stopped at 20; started at 40, and the proposal had changed meanwhile.
    stays = [ProposalPeriod("/raw", A, since=10, seen=20, left=40), ProposalPeriod("/raw", SECRET, since=40, seen=50)]
    assert stay_of("/raw/a.txt", 15, stays) == stays[0]
    assert stay_of("/raw/a.txt", 30, stays) == stays[1]
    other = [stays[0], ProposalPeriod("/raw", B, since=40, seen=50)]
    assert stay_of("/raw/a.txt", 30, other) == other[0]


def test_until_a_change_is_noticed_the_previous_period_applies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [100.0]
    monkeypatch.setattr("scifly.proposal_periods.time.time", lambda: clock[0])
    journal = Journal(tmp_path / "lab.journal")
    stays = ProposalPeriods(journal)
    stays.follow("/raw", A)
    clock[0] = 150.0  # it is kept once a minute only that it is still so
    stays.confirm(150.0)
    stays.follow("/raw", SECRET)
    for known in (stays.now(), journal.stays()):
        assert [stay_of("/raw/a.txt", made, known).place for made in (140, 149, 160)] == [A, SECRET, SECRET]
    # After a restart nobody knows when that ended.
    clock[0] = 400.0
    again = ProposalPeriods(journal)
    again.follow("/raw", A)
    assert stay_of("/raw/a.txt", 300, again.now()).place == SECRET
    journal.close()


def test_a_period_is_confirmed_by_pathfixer_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While PathFixer is silent, its last answer grows older, also over restarts."""
    monkeypatch.setattr("scifly.proposal_periods.SAVE_PERIOD_SECONDS", 0.0)
    journal = Journal(tmp_path / "lab.journal")

    def seen(stays: ProposalPeriods) -> float:
        (kept,), (known,) = journal.stays(), stays.now()
        assert kept == known
        return known.seen

    stays = ProposalPeriods(journal)
    stays.follow("/raw", A, 100.0)
    stays.keep()
    assert seen(stays) == 100.0
    stays.confirm(150.0)
    stays.keep()
    assert seen(stays) == 150.0
    again = ProposalPeriods(journal)
    again.keep()
    again.follow("/raw", A, 150.0)
    again.keep()
    assert seen(again) == 150.0
    # Nor is a change of the path an answer.
    again.follow("/new", A, 150.0)
    assert journal.stays()[-1].seen == 150.0
    journal.close()


def test_proposals_that_start_with_in_are_proprietary() -> None:
    assert ProposalContext("IN20250001").proprietary
    assert not A.proprietary


def test_what_is_inside() -> None:
    assert inside("/raw/a", "/raw")
    assert inside("/raw", "/raw")
    assert inside("/a", "/")
    assert not inside("/raw2", "/raw")


def test_a_measurement_has_the_same_uuid_everywhere() -> None:
    assert files_uuid("cosaxs", "/data/Ag_0001", 0) == "0ff26339-77ac-5735-b6d5-55aee49e7fa1"
    others = {
        files_uuid(*given)
        for given in [
            ("cosaxs", "/data/Ag_0001", 0),
            ("CoSAXS", "/data/Ag_0001", 0),
            ("cosaxs", "/data/Ag_0001", 1),
            ("balder", "/data/Ag_0001", 0),
            ("cosaxs", "/data/Ag_0001 1", 0),
            ("cosaxs", os.fsdecode(b"/data/\xff"), 0),
            ("cosaxs", "/data/%FF", 0),
        ]
    }
    assert len(others) == 6


def test_the_creation_time_of_a_file(tmp_path: Path) -> None:
    assert birth(str(tmp_path / "none")) is None
    file = tmp_path / os.fsdecode(b"\xff.txt")
    file.write_text("x")
    found = birth(str(file))
    if found is not None:  # not all file systems know
        os.utime(file, (1.0, 1.0))
        assert birth(str(file)) == found
        assert abs(file.parent.stat().st_mtime - found) < 5
