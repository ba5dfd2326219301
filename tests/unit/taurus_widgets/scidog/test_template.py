"""Templates of a first configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from scifish.settings.entries import parse_entries
from taurus_widgets.scidog.data.draft import new_row
from taurus_widgets.scidog.data.tango_names import Names
from taurus_widgets.scidog.data.template import (
    MAX_CANDIDATES,
    TemplateError,
    TemplateItem,
    read_template,
    suggestions,
    template_file,
)

NAMES = Names(
    ("r3-319s2/dia/dcct-01", "b311a-o01/pss/bst-01", "b311a-e/dia/dcct-dead"),
    frozenset({"r3-319s2/dia/dcct-01", "b311a-o01/pss/bst-01"}),
)
ATTRIBUTES = {
    "r3-319s2/dia/dcct-01": ["InstantaneousCurrent", "Lifetime", "State"],
    "b311a-o01/pss/bst-01": ["State", "Permit"],
}


def test_that_of_the_package_has_entries_that_are_right_and_finds_them() -> None:
    items = read_template()["beamline"]
    found = {one.row.name: one for one in suggestions(items, NAMES, lambda device: (), ATTRIBUTES.__getitem__)}
    assert found["Ring current"].candidates == ("r3-319s2/dia/dcct-01/InstantaneousCurrent",)
    assert found["Safety shutter"].candidates == ("b311a-o01/pss/bst-01/State",)
    assert found["Undulator gap"].candidates == ()
    lines = [line for one in found.values() if one.candidates for line in one.with_source(one.candidates[0]).lines]
    entries, mistakes = parse_entries(lines)
    assert not mistakes
    shutter = next(entry for entry in entries if entry.name == "Safety shutter")
    assert shutter.map == {"open": "open", "close": "closed"}
    assert shutter.group == "Front end"


def test_an_attribute_of_the_last_of_many_devices_is_found() -> None:
    devices = [f"b311a-v/vac/gauge-{number:03d}" for number in range(3 * MAX_CANDIDATES)]
    names = Names(tuple(devices), frozenset(devices))
    item = TemplateItem(new_row("Pressure", "a/b/c/d"), ("*/vac/*/Pressure",))

    def known(device: str) -> list[str]:
        return ["Pressure"] if device == devices[-1] else ["State"] if device > devices[MAX_CANDIDATES] else []

    asked: list[str] = []

    def ask(device: str) -> list[str]:
        asked.append(device)
        return ["Pressure"] if device == devices[3] else []

    (suggestion,) = suggestions([item], names, known, ask)
    assert suggestion.candidates == (f"{devices[3]}/Pressure", f"{devices[-1]}/Pressure")
    assert asked == devices[:MAX_CANDIDATES]  # the others are known, or are too many to be asked


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("- a list", "expected the name of a configuration"),
        ("a: [{name: X}]", "a, entry 1: expected {name: ..., find"),
        ("a: [{name: X, find: [a/b/c]}]", "'a/b/c' is not of the form domain/family/member/attribute"),
        ("a: [{find: ['*/*/*/X']}]", "name is missing"),
        ("a: [{name: X, find: ['*/*/*/X'], grup: Y}]", "did you mean 'group'?"),
        ("a: {", "cannot be read"),
    ],
)
def test_a_wrong_one_is_refused_with_the_place(tmp_path: Path, content: str, why: str) -> None:
    file = tmp_path / "facility.yaml"
    file.write_text(content, "utf-8")
    with pytest.raises(TemplateError) as refused:
        read_template(file)
    assert str(file) in str(refused.value)
    assert why in str(refused.value)


def test_a_missing_file_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCIDOG_TEMPLATE", str(tmp_path / "none.yaml"))
    assert template_file() == tmp_path / "none.yaml"
    assert template_file("/other.yaml") == Path("/other.yaml")
    with pytest.raises(TemplateError, match=r"none\.yaml cannot be read"):
        read_template(template_file())
