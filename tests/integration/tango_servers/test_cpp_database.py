"""How the Tango database of the facilities differs from pytango-db in its handling of properties.

`make test` runs the tests of SciDog and PathFixer with it, too. All is skipped if Debian's packages are not available.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import tango

from deploy.demo.stack import SCIDOG, Stack
from scifish.settings import read_settings
from scifish.tango_io.database import TangoDatabase
from tests.servers.tango_system import control_system

LONGEST = 65_535  # bytes of a line: the column is MariaDB's TEXT


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with control_system(tmp_path_factory.mktemp("cpp"), "cpp") as system:
        yield system


@pytest.fixture
def database(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> TangoDatabase:
    monkeypatch.setattr("scifish.tango_io.database.DATABASE_DEVICE", stack.name("sys/database/2"))
    return TangoDatabase()


@pytest.fixture
def device(stack: Stack, database: TangoDatabase) -> Iterator[str]:
    """A device without properties."""
    name = "b311a-e/ctl/scidog-99"
    stack.add_device("SciDog/none", "SciDog", name)
    yield name
    stack.db.delete_device_property(name, {property: [] for property in database.properties(name)})
    stack.db.delete_device(name)


@pytest.mark.parametrize("character", ["x", "Å", "波", "😀"])
def test_the_length_of_a_line_is_limited_in_bytes_of_utf_8(
    stack: Stack, database: TangoDatabase, device: str, character: str
) -> None:
    longest = character * (LONGEST // len(character.encode()))
    stack.db.put_device_property(device, {"Config.long": [longest, "after it"]})
    assert database.properties(device) == {"Config.long": [longest, "after it"]}
    with pytest.raises(tango.DevFailed):
        stack.db.put_device_property(device, {"Config.long": [longest + character]})


def test_a_refused_write_destroys_the_previous_value(stack: Stack, database: TangoDatabase, device: str) -> None:
    stack.db.put_device_property(device, {"Config.saxs": ["one", "two"]})
    with pytest.raises(tango.DevFailed, match="Data too long"):
        stack.db.put_device_property(device, {"Config.saxs": ["ok", "x" * 70_000]})
    assert database.properties(device) == {"Config.saxs": ["ok"]}


def test_a_write_that_is_not_utf_8_destroys_the_previous_value(
    stack: Stack, database: TangoDatabase, device: str
) -> None:
    stack.db.put_device_property(device, {"Config.saxs": ["one", "two"]})
    with pytest.raises(tango.DevFailed, match="Incorrect string value"):
        # PyTango sends the text of a command in Latin-1.
        tango.DeviceProxy(stack.name("sys/database/2")).command_inout(
            "DbPutDeviceProperty", [device, "1", "Config.saxs", "2", "ok", "unit: Å"]
        )
    assert database.properties(device) == {"Config.saxs": ["ok"]}


def test_the_backslash_before_a_quote_is_dropped(stack: Stack, database: TangoDatabase, device: str) -> None:
    written = [
        r'- {name: "5\" pipe"}',
        r"it\'s",
        r"C:\data\\x \n \0",
        r"it's `q` %s ? \%",
        "'single'",
        '"double"',
        "\\",
    ]
    stack.db.put_device_property(device, {"Config.saxs": written})
    assert database.properties(device)["Config.saxs"] == ['- {name: "5" pipe"}', "it's", *written[2:]]


def test_blanks_and_empty_lines_are_kept(stack: Stack, database: TangoDatabase, device: str) -> None:
    lines = ["", "  indented, with a blank at the end ", "\ttab\t", "", "波長 λ, Å, 😀", ""]
    stack.db.put_device_property(device, {"Config.saxs": lines})
    assert database.properties(device) == {"Config.saxs": lines}


def test_a_property_without_lines_is_deleted(stack: Stack, database: TangoDatabase, device: str) -> None:
    stack.db.put_device_property(device, {"Config.empty": [], "Config.blank": [""]})
    assert database.properties(device) == {"Config.blank": [""]}


def test_a_missing_property_is_answered_with_a_blank_text(stack: Stack, device: str) -> None:
    """Somebody may delete the property between the two queries that reading all properties takes."""
    stack.db.put_device_property(device, {"Config.after": ["one"]})
    asked = [device, "Config.gone", "Config.after"]
    answer = tango.DeviceProxy(stack.name("sys/database/2")).command_inout("DbGetDeviceProperty", asked)
    assert answer == [device, "2", "Config.gone", "0", " ", "Config.after", "1", "one"]


def test_names_that_differ_in_case_or_accents_are_one(stack: Stack, database: TangoDatabase, device: str) -> None:
    stack.db.put_device_property(device, {"Config.e": ["first"], "Config.saxs": ["first"]})
    stack.db.put_device_property(device, {"config.SAXS": ["second"], "Config.é": ["second"]})
    assert database.properties(device) == {"config.SAXS": ["second"], "Config.é": ["second"]}


def test_a_large_configuration_is_read_as_it_was_written(stack: Stack, database: TangoDatabase, device: str) -> None:
    lines = [f"- {{name: Value {number}, source: a/b/c{number}/d}}" for number in range(2000)]
    stack.db.put_device_property(device, {"Beamline": ["cosaxs"], "AlwaysConfigs": ["large"], "Config.large": lines})
    settings = read_settings(database, device)
    entries, problems = settings.entries()
    assert (len(entries), problems) == (2000, [])


def test_devices_are_found_by_their_class(stack: Stack, database: TangoDatabase, device: str) -> None:
    assert database.devices_of_class("SciDog") == [device]
    assert database.devices_of_class("PathFixer") == []
    assert database.properties(SCIDOG) == {}
