"""What PathFixer said last, for a time when it does not answer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from scifish.attributes import pathfixer
from scifish.attributes.pathfixer import PathFixerReader
from scifish.attributes.reader import Reader, Reading
from scifish.settings import Settings

SAXS = Settings(beamline="saxs", path_fixer="saxs/ctl/pathfixer")
MAX = Settings(beamline="max", path_fixer="max/ctl/pathfixer")


class Answers:
    """In place of a reader of Tango attributes: what each device says; None for one that is away."""

    def __init__(self, proposals: dict[str, str | None]) -> None:
        self.proposals = proposals

    def read(self, sources: Iterable[str], timeout: float) -> dict[str, Reading]:
        return {source: self._read(*source.rsplit("/", 1)) for source in sources}

    def _read(self, device: str, attribute: str) -> Reading:
        proposal = self.proposals[device]
        if proposal is None:
            return Reading(None, 0.0, error="it is away")
        return Reading(value=proposal if attribute == "Proposal" else "", time=0.0)


def place(file: Path, **proposals: Any) -> PathFixerReader:
    return PathFixerReader(
        cast(Reader, Answers({f"{name}/ctl/pathfixer": said for name, said in proposals.items()})), file
    )


def test_one_that_does_not_answer_keeps_its_last_answer_and_not_that_of_another(tmp_path: Path) -> None:
    file = tmp_path / "place.json"
    assert place(file, saxs="1", max="2").read(SAXS)[0]["proposalId"] == "1"
    found, warnings = place(file, max=None).read(MAX)
    assert found == {}
    assert "are not known" in warnings[0]
    found, warnings = place(file, saxs=None).read(SAXS)
    assert found["proposalId"] == "1"
    assert "from its last answer" in warnings[0]


def test_two_programs_keep_what_their_own_pathfixers_say(tmp_path: Path) -> None:
    file = tmp_path / "place.json"
    one, other = place(file, saxs="1"), place(file, max="2")
    one.read(SAXS)
    other.read(MAX)
    again = place(file)
    assert (again.last(SAXS)["proposalId"], again.last(MAX)["proposalId"]) == ("1", "2")
    assert again.last(None) == {}


def test_an_answer_that_is_too_old_is_as_good_as_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "place.json"
    now = [1_000_000.0]
    monkeypatch.setattr(pathfixer.time, "time", lambda: now[0])
    place(file, saxs="1").read(SAXS)
    now[0] += 6.9 * 86_400
    assert place(file, saxs=None).read(SAXS)[0]["proposalId"] == "1"
    now[0] += 0.2 * 86_400
    found, (warning,) = place(file, saxs=None).read(SAXS)
    assert found == {}
    assert "not known, and the dataset waits until they are" in warning
    assert place(file, saxs=None).read(replace(SAXS, remember_proposal_days=8.0))[0]["proposalId"] == "1"


def test_an_answer_that_has_not_changed_is_as_young_as_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "place.json"
    now = [1_000_000.0]
    monkeypatch.setattr(pathfixer.time, "time", lambda: now[0])
    reader = place(file, saxs="1")
    for _ in range(3):
        reader.read(SAXS)
        now[0] += 5 * 86_400
    assert place(file, saxs=None).last(SAXS)["proposalId"] == "1"


def test_a_file_that_is_none_is_as_good_as_no_file(tmp_path: Path) -> None:
    file = tmp_path / "place.json"
    for text in ("", "[]", '{"saxs/ctl/pathfixer": 3}', '{"proposalId": "1"}'):
        file.write_text(text)
        assert place(file, saxs=None).last(SAXS) == {}
