"""The device's findings at the rows that they are about."""

from __future__ import annotations

from typing import Any

from taurus_widgets.scidog.data.draft import Draft
from taurus_widgets.scidog.data.findings import RowFinding, device_findings, own_findings

LINES = [
    "# comment",
    "- {name: Pressure, source: b/vac/g/Presure, group: Vacuum}",
    "- {name: Flux, source: b/dia/v/Flux}",
    "- {name: Wrong}",
]


def finding(level: str, text: str, name: str = "", group: str = "") -> dict[str, Any]:
    return {"level": level, "text": text, "config": "saxs", "group": group, "name": name, "source": ""}


def test_they_are_at_their_rows_the_worst_first() -> None:
    draft = Draft("saxs", LINES)
    answer = {
        "findings": [
            finding("error", "saxs, line 4: Wrong: source is missing"),
            finding("note", "SciCat cannot convert the unit 'x'", "Pressure", "Vacuum"),
            finding("error", "unknown attribute: b/vac/g has no Presure; did you mean Pressure?", "Pressure", "Vacuum"),
            finding("warning", "cannot be read now: no answer", "Flux"),
            finding("error", "of an entry that is not here", "Other"),
        ]
    }
    (key, found), *others = device_findings(draft, answer).items()
    assert not others  # the draft itself knows the mistake of line 4, and the live column what is not read
    assert draft.row(key).name == "Pressure"
    assert [one.level for one in found] == ["error", "note"]
    assert found[0].fix == {"source": "b/vac/g/Pressure"}
    assert found[0].fix_text == "Use Pressure"
    assert own_findings(draft) == {draft.rows[2].key: [RowFinding("error", "Wrong: source is missing")]}


def test_a_mistake_that_only_the_device_finds_is_at_its_line() -> None:
    draft = Draft("saxs", LINES[:3])
    (found,) = device_findings(draft, {"findings": [finding("error", "saxs, line 3: a new rule")]}).items()
    assert found == (draft.rows[1].key, [RowFinding("error", "a new rule")])
