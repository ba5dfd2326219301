"""The mapping's page: what it changes, and what a mistake in it says."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from ingest.scicow.mapping import Mapping
from ingest.scicow.mapping.definition import load_page
from ingest.scicow.mapping.ownership import by_settings
from ingest.scicow.mapping.templates import TEMPLATE_NAMES, known, parse
from ingest.scicow.settings import SciCowSettingsError, load
from tests.builders.messages import message, value
from tests.paths import DOCS

SETTINGS = load(DOCS / "scicow.example.yaml", secrets=False)


@pytest.fixture
def page(tmp_path):
    def write(text):
        path = tmp_path / "mapping.yaml"
        path.write_text(text, "utf-8")
        return str(path)

    return write


@pytest.fixture
def mapped(page):
    def run(text, version="v3", kind="ended", **changes):
        given = message(kind, **changes)
        settings = replace(SETTINGS, mapping=page(text))
        return Mapping(settings).dataset(given, by_settings(given, settings), version)

    return run


@pytest.fixture
def mistakes(page):
    def run(text):
        path = page(text)
        with pytest.raises(SciCowSettingsError) as raised:
            load_page(path)
        return [line.removeprefix(f"{path}, line ") for line in str(raised.value).splitlines()]

    return run


def test_an_empty_page_changes_nothing(page):
    assert load_page(page("")) == load_page("")


def test_a_page_adds_changes_and_takes_away_fields(mapped):
    found = mapped(
        """
fields:
  keywords: ["{beamline}", "{environment.motors}", "run {environment.scanID}", "{environment.nothing}"]
  description: "{datasetName} by {origin.program}"
  dataFormat: ~
  isPublished: false
  techniques: [{pid: "http://purl.org/{beamline}", name: SAXS}]
v3: {instrumentId: "{beamline}"}
"""
    )
    assert found["keywords"] == ["cosaxs", "mot01", "run 42"]
    assert found["description"] == "ascan mot01 0 1 10 0.1 by sardana"
    assert "dataFormat" not in found
    assert found["isPublished"] is False
    assert found["techniques"] == [{"pid": "http://purl.org/cosaxs", "name": "SAXS"}]
    assert found["instrumentId"] == "cosaxs"


def test_a_field_one_of_whose_names_is_not_known_is_left_out(mapped):
    assert "description" not in mapped('fields: {description: "of {environment.title} at {environment.x}"}')


def test_what_differs_by_version(mapped):
    text = 'v3: {creationLocation: "/a/{beamline}"}\nv4: {creationLocation: ~, instrumentIds: ["{beamline}", x]}\n'
    assert mapped(text)["creationLocation"] == "/a/cosaxs"
    found = mapped(text, "v4")
    assert "creationLocation" not in found
    assert found["instrumentIds"] == ["cosaxs", "x"]


def test_entries_of_the_scan(mapped):
    text = """
scan:
  status: {name: Ergebnis}
  host: ~
  sample: {name: Sample, value: "{sampleId}"}
"""
    found = mapped(text)["scientificMetadata"]["scan"]
    assert found["status"] == {"value": "completed", "unit": "", "human_name": "Ergebnis"}
    assert found["sample"]["value"] == "S-1"
    assert "host" not in found
    assert found["scan_id"]["value"] == 42


ENTRIES = {
    "Machine": {"current": value(400, "mA"), "deep": {"x": value(1), "user": value("me")}},
    "Machine / current": value(2),
}


def test_a_flat_layout(mapped):
    found = mapped("metadata: {layout: flat}", scientificMetadata=ENTRIES)["scientificMetadata"]
    assert set(found) == {
        "scan",
        "Machine / current",
        "Machine / deep / x",
        "Machine / deep / user",
        "Machine / current_2",
    }
    assert found["Machine / current"]["unit"] == "mA"
    assert found["scan"]["status"]["value"] == "completed"
    dots = mapped('metadata: {layout: flat, separator: "."}', scientificMetadata=ENTRIES)["scientificMetadata"]
    assert dots["Machine.deep.x"]["value"] == 1


def test_what_is_left_out(mapped):
    text = 'metadata: {leave_out: ["*/current", Machine/deep/u*], leave_out_of_values: [source, time]}'
    found = mapped(text, scientificMetadata=ENTRIES)["scientificMetadata"]
    assert set(found) == {"scan", "Machine", "Machine / current"}
    assert found["Machine"] == {"deep": {"x": {"value": 1, "unit": "", "human_name": ""}}}


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("- a", "1: mapping: must be 'name: value' lines"),
        ("field: {}", "1: field: is not known: did you mean fields?"),
        ("\nfields: {keyword: [x]}", "2: fields.keyword: is not known: did you mean keywords?"),
        ("fields: {proposalIds: [x]}", "1: fields.proposalIds: is a field of v4 only: write it below 'v4:'"),
        ("v3: {proposalIds: [x]}", "1: v3.proposalIds: is a field of v4 only: write it below 'v4:'"),
        ("fields: {pid: x}", "1: fields.pid: is set by SciCow itself: remove the line"),
        ("fields: {owner: ~}", "1: fields.owner: cannot be removed: SciCat requires it"),
        ("v4: {owner: ~}", "1: v4.owner: cannot be removed: SciCat requires it"),
        ("v3: {principalInvestigator: ~}", "1: v3.principalInvestigator: cannot be removed: SciCat requires it"),
        ("fields: {keywords: x}", "1: fields.keywords: must be a list of texts"),
        ("fields: {description: [x]}", "1: fields.description: must be text"),
        ("fields: {isPublished: x}", "1: fields.isPublished: must be true or false"),
        ("fields: {techniques: [x]}", "1: fields.techniques: must be a list of 'name: value' lines"),
        ("fields:\n  description: a\n  description: b", "3: fields.description: is set twice: keep one"),
        ("fields: {description: '{x'}", "1: fields.description: expected '}' before end of string: write {{ or }}"),
        ("fields: {description: '{nothing}'}", "1: fields.description: {nothing} is not known: allowed are "),
        ("fields: {description: '{owner!r}'}", "1: fields.description: {owner} takes no format"),
        ("scan: {status: ~}", "1: scan.status: cannot be removed: from it SciCow knows"),
        ("scan: {revision: ~}", "1: scan.revision: cannot be removed: from it SciCow knows which recording"),
        ("scan: {revision: {value: x}}", "1: scan.revision: must have the value {revision}: from it SciCow knows"),
        ("scan: {status: {value: x}}", "1: scan.status: must have the value {status}: from it SciCow knows"),
        ("scan: {new: {name: New}}", "1: scan.new: must have a displayed name and a value"),
        ("scan: {new: {nam: New}}", "1: scan.new.nam: is not known: did you mean name?"),
        ("scan: {'a b': {name: New, value: x}}", "1: scan.a b: cannot be the name of an entry"),
        ("scan: {annotations: ~}", "1: scan.annotations: cannot be the name of an entry"),
        ("scan: {human_name: {name: New, value: x}}", "1: scan.human_name: cannot be the name of an entry"),
        ("metadata: {layout: tree}", "1: metadata.layout: must be one of nested, flat"),
        ("metadata: {separator: ''}", "1: metadata.separator: is empty"),
        ("metadata: {leave_out: x}", "1: metadata.leave_out: must be a list, like [a, b]"),
        ("metadata: {leave_out_of_values: [unit]}", "1: metadata.leave_out_of_values: value and unit cannot"),
        ("metadata: {leaveout: []}", "1: metadata.leaveout: is not known: did you mean leave_out?"),
        ("units: {x: [a]}", "1: units.x: must be text"),
        ("fields: &a {techniques: [*a]}", "1: mapping: contains itself"),
    ],
)
def test_a_mistake_is_named_with_its_line(mistakes, text, mistake):
    assert mistakes(text)[0].startswith(mistake)


def test_all_mistakes_are_reported_at_once(mistakes):
    assert len(mistakes("fields: {pid: x, keywords: y}\nmetadata: {layout: z}\n")) == 3


def test_what_cannot_be_read(page, tmp_path):
    with pytest.raises(SciCowSettingsError, match="cannot be read"):
        load_page(str(tmp_path / "none.yaml"))
    with pytest.raises(SciCowSettingsError, match="not YAML"):
        load_page(page("a: ["))


def test_braces_that_are_meant_as_such():
    assert parse("{{x}} {beamline}").value({"beamline": "b"}) == "{x} b"


PAGE = (DOCS / "reference" / "scicow.md").read_text("utf-8")
DOCS = PAGE.partition("\n## Mapping\n")[2].partition("\n## ")[0]


def test_the_example_in_the_docs(mapped):
    (example,) = re.findall(r"```yaml\n(.*?)```", DOCS, re.DOTALL)
    entries = {"Vacuum": {"gauge": value(1)}, "Sample": {"T": value(20, "Grad C", end=21)}}
    found = mapped(example, "v4", scientificMetadata=entries)
    assert found["keywords"] == ["cosaxs", "mot01"]
    assert found["description"] == "ascan mot01 0 1 10 0.1, recorded by sardana"
    assert found["instrumentIds"] == ["cosaxs"]
    assert "dataFormat" not in found
    assert mapped(example)["instrumentId"] == "cosaxs"
    metadata = found["scientificMetadata"]
    assert set(metadata) == {"scan", "Sample / T"}
    assert (metadata["Sample / T"]["unit"], metadata["Sample / T"]["end"]) == ("degC", 21)
    assert "source" not in metadata["Sample / T"]
    assert metadata["scan"]["status"]["human_name"] == "Result"
    assert metadata["scan"]["sample"]["value"] == "S-1"


def test_the_docs_name_each_name():
    rows = re.findall(r"^\| (`.*?) \|", DOCS, re.MULTILINE)
    named = set(re.findall(r"`([^`]+)`", " ".join(rows)))
    assert {name for name in named if "." not in name} == TEMPLATE_NAMES
    assert all(known(name) for name in named)
