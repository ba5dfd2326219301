"""The fields that a catalogue has, from its datasets."""

from __future__ import annotations

from hypothesis import given

from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.available_fields import AvailableField, AvailableFields, gathered
from tests.builders.scicat_datasets import scan
from tests.unit.taurus_widgets.scanlog.data.test_columns import METADATA


def test_a_value_has_group_name_unit_and_an_example() -> None:
    found = gathered([scan(1, 0.0)]).found
    assert found["Machine/Ring current"] == AvailableField(
        "Machine/Ring current", "Machine", "Ring current", "mA", "500.083", True
    )
    assert found["Optics/Shutter"].numeric is False
    assert found["sourceFolder"].name == "Folder"
    assert found["scan/user"].group == "Scan"


def test_an_unread_value_takes_its_unit_from_another_dataset() -> None:
    broken, good = ({"scientificMetadata": {"G": {"p": leaf}}} for leaf in (_unread(), {"value": 2.5, "unit": "mbar"}))
    assert gathered([broken, good]).found["G/p"] == AvailableField("G/p", "G", "p", "mbar", "2.5", True)


def _unread() -> dict[str, object]:
    return {"value": None, "unit": "", "error": "no answer"}


def test_a_table_is_one_value() -> None:
    table = {"value": {"x": [1, 2], "y": [3, 4]}, "unit": ""}
    assert [key for key in gathered([{"scientificMetadata": {"G": {"t": table}}}]).found if "/" in key] == ["G/t"]


def test_names_with_slashes_and_dots_keep_their_path() -> None:
    dataset = {"scientificMetadata": {"Machine / Ring 2.5": {"value": 3, "unit": "mA"}, "flat": 1}}
    found = gathered([dataset]).found
    assert cols.column_of("/Machine %2F Ring 2.5").text(dataset) == "3 mA"
    assert "/Machine %2F Ring 2.5" in found
    assert cols.column_of("/flat").text(dataset) == "1"
    # SciCat's metadataKeys splits the first of them into two; the rows have it right.
    assert gathered([dataset]).with_keys(["Machine / Ring 2.5", "Other.deep.x"]).found.keys() - found.keys() == {
        "Other/deep/x"
    }


def test_the_beamline_is_that_of_all_datasets() -> None:
    assert gathered([scan(1, 0.0), scan(2, 0.0)]).beamline == "cosaxs"
    assert gathered([scan(1, 0.0), scan(2, 0.0, creationLocation="femtomax")]).beamline == ""
    assert gathered([]).beamline == ""


@given(METADATA)
def test_any_metadata_is_accepted(metadata: object) -> None:
    found = gathered([{"pid": "x", "scientificMetadata": metadata}])
    assert isinstance(found, AvailableFields)
    for key in found.found:
        assert cols.column_of(key).key == key
