"""Findings on entries, without a device."""

from __future__ import annotations

from scifish.attributes.reader import DeviceDescription, Reading
from scifish.configurations import check
from scifish.settings.entries import Entry


def test_a_thousand_unknown_attributes_are_all_told_and_some_with_a_hint() -> None:
    """To look for a like name among hundreds takes milliseconds, and Validate has 2.5 s for all."""
    entries = [Entry(f"V{n}", f"a/b/c/SomeAtribute{n}") for n in range(1000)]
    readings = {entry.source: Reading(None, 0.0, error="not found") for entry in entries}
    described = DeviceDescription(tuple(f"SomeAttribute{n}" for n in range(500)), {})
    reads = check.ReadResult("", entries, readings, {}, 0.0, {"a/b/c": described})
    findings = check.check(reads, lambda device: True)
    assert [finding.name for finding in findings] == [entry.name for entry in entries]
    assert findings[0].text == "unknown attribute: a/b/c has no SomeAtribute0; did you mean SomeAttribute0?"
    assert sum("did you mean" in finding.text for finding in findings) == check.MAX_HINTS
