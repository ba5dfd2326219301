"""What `scifish status` and `scifish list` say of a spool is of one moment, while its program goes on."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from scifish.dataset.compose import Record
from scifish.spool import database, inspection
from scifish.spool.database import OpenDatasetRow, Spool
from scifish.spool.inspection import listing, summarise
from tests.builders.messages import message
from tests.moments import at_each_line

DATASET = message()["uuid"]


def looked(path: Path) -> tuple[int, int, int]:
    """How many are recorded, wait, and are refused."""
    found = summarise(path)
    return found.recording, found.waiting, len(found.refused)


def listed(path: Path) -> tuple[int, int, int]:
    found = listing(path)
    refused = sum(bool(one["refused"]) for one in found["messages"])
    return len(found["recording"]), len(found["messages"]) - refused, refused


BOTH = pytest.mark.parametrize("said", [looked, listed])


def at_any_line(folder: Path, said: Callable[[Path], object], change: Callable[[Spool], object]) -> set[object]:
    """The description of a spool with one dataset that is being recorded and one message, while it changes."""
    found: set[object] = set()
    lines = itertools.count()
    while (line := next(lines)) < at_line(folder / f"{line}.spool", line, said, change, found):
        pass
    assert line > 10
    return found


def at_line(
    path: Path, line: int, said: Callable[[Path], object], change: Callable[[Spool], object], found: set[object]
) -> int:
    """The same, at this line; how many there are."""
    spool = Spool(path, message()["origin"])
    spool.begin(OpenDatasetRow.of(Record(DATASET, 1.0, {})))
    assert spool.put("t", message()) == [1]
    lines = itertools.count()
    last = 0

    def now() -> None:
        nonlocal last
        last = next(lines)
        if last == line:
            change(spool)

    with at_each_line([database, inspection], now):
        found.add(said(spool.path))
    spool.leave()
    return last


@BOTH
def test_a_dataset_that_ends_is_recorded_or_waits(tmp_path: Path, said: Callable[[Path], object]) -> None:
    found = at_any_line(tmp_path, said, lambda spool: spool.put("t", message(), closes=DATASET))
    assert found == {(1, 1, 0), (0, 2, 0)}


@BOTH
def test_a_message_waits_or_is_refused(tmp_path: Path, said: Callable[[Path], object]) -> None:
    found = at_any_line(tmp_path, said, lambda spool: spool.refuse({1: "too large"}))
    assert found == {(1, 1, 0), (1, 0, 1)}


def test_a_program_that_ends_has_left_nothing(tmp_path: Path) -> None:
    """What it had a moment before is not left behind by a program that is gone."""

    def said(path: Path) -> tuple[bool, int]:
        found = summarise(path)
        return found.alive, found.recording

    def end(spool: Spool) -> None:
        spool.put("t", message(), closes=DATASET)
        os.close(spool.lock)
        spool.lock = os.open(os.devnull, os.O_RDONLY)  # what is closed once more below

    assert (False, 1) not in at_any_line(tmp_path, said, end)
