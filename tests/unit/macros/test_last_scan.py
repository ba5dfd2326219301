"""Which scan a comment without a number is for."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from scifish.recording.recorded_scans import RecordedScan, RecordedScans
from tests.macro_page import macros


def scan(number: int) -> dict[str, Any]:
    return {"serialno": number, "startts": 1000.0 + number, "endts": 1000.5 + number, "title": "ascan"}


def recorded(number: int, door: str) -> RecordedScan:
    return RecordedScan(number, 1000.0 + number, f"uuid-{number}", door)


@pytest.mark.parametrize(
    ("known", "expected"),
    [
        # Scans 3 and 4 were not recorded: nobody knows at which Door they ran.
        ([recorded(1, "door/1"), recorded(2, "door/2")], "uuid-1"),
        # Scan 2 ran before the first known one: an earlier version has recorded it.
        ([recorded(3, "door/2"), recorded(4, "door/2")], "computed-2"),
    ],
)
def test_never_one_that_may_be_of_another_door(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: list[RecordedScan], expected: str
) -> None:
    macros()  # with the types that a MacroServer adds
    scizoo_datasets = importlib.import_module("macros.scizoo_datasets")
    scans = RecordedScans(tmp_path / "scans.jsonl")
    for one in known:
        scans.add(one)
    history = [scan(number) for number in (1, 2, 3, 4)]
    monkeypatch.setattr(scizoo_datasets, "recorded_scans", lambda: scans)
    monkeypatch.setattr(scizoo_datasets, "variable", lambda macro, name, default: history)
    monkeypatch.setattr(scizoo_datasets, "last_snapshots", lambda macro: {})
    monkeypatch.setattr(scizoo_datasets, "scan_uuid", lambda server, number, started: f"computed-{number}")
    macro = SimpleNamespace(
        getDoorName=lambda: "door/1",
        getMacroServer=lambda: SimpleNamespace(full_name="ms"),
        warning=lambda *_: None,
    )
    assert scizoo_datasets._find(macro, None)[0] == expected
