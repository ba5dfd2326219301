"""The pages on the devices list everything that the devices have, and nothing else; their examples are valid."""

from __future__ import annotations

import re

import pytest
from tango.server import Device

from scifish.settings.entries import parse_entries
from scifly.profiles import SHIPPED_PROFILES, profiles_from
from tango_servers.PathFixer import PathFixer
from tango_servers.pathfixer.consumers import parse_consumers
from tango_servers.SciCow import SciCow
from tango_servers.SciDog import SciDog
from tango_servers.SciFly import SciFly
from tests.paths import DOCS

OF_EVERY_DEVICE = {"State", "Status", "Init"}
OF_ANY_NAME = {"Config.<name>"}


def named(page: str, section: str) -> set[str]:
    """The first column of the section's first table."""
    text = (DOCS / "reference" / page).read_text("utf-8")
    table = re.search(rf"^## {section}\n.*?\n((?:\|[^\n]*\n)+)", text, re.MULTILINE | re.DOTALL)
    assert table, f"{page} has no table in the section {section}"
    return set(re.findall(r"^\| `([^`]+)` \|", table[1], re.MULTILINE))


@pytest.mark.parametrize(
    ("page", "device"),
    [("scidog.md", SciDog), ("pathfixer.md", PathFixer), ("scicow-device.md", SciCow), ("scifly.md", SciFly)],
)
def test_the_page_has_each_property_attribute_and_command(page: str, device: type[Device]) -> None:
    tango_class = device.TangoClassClass
    assert named(page, "Properties") - OF_ANY_NAME == set(tango_class.device_property_list)
    assert named(page, "Attributes") - OF_EVERY_DEVICE == set(tango_class.attr_list) - OF_EVERY_DEVICE
    assert named(page, "Commands") - OF_EVERY_DEVICE == set(tango_class.cmd_list) - OF_EVERY_DEVICE


def examples(page: str) -> list[list[str]]:
    """The lines of each YAML block."""
    text = (DOCS / page).read_text("utf-8")
    return [block.splitlines() for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]


@pytest.mark.parametrize("page", ["reference/scidog.md", "how-to/change-what-is-recorded.md"])
def test_the_examples_are_configurations_without_a_mistake(page: str) -> None:
    blocks = examples(page)
    assert blocks
    for lines in blocks:
        entries, problems = parse_entries(lines, page)
        assert (len(entries), problems) == (len(lines), [])


def test_the_examples_of_consumers_are_right() -> None:
    (lines,) = examples("reference/pathfixer.md")
    consumers, problems = parse_consumers(lines)
    assert (len(consumers), problems) == (len(lines), [])


def test_the_examples_of_profiles_are_right() -> None:
    (lines,) = examples("reference/scifly.md")
    how_to = (DOCS / "how-to" / "record-files-of-other-programs.md").read_text("utf-8")
    for each in (lines, [*re.findall(r"\| `((?:\{name|ses|any)[^`]*)`", how_to)]):
        for line in each:
            profiles, problems = profiles_from([line])
            assert (len(profiles), problems) == (1, ()), line


def test_the_page_has_each_shipped_profile() -> None:
    text = (DOCS / "reference" / "scifly.md").read_text("utf-8")
    rows = {
        row[0]: row[1:] for row in re.findall(r"^\| `(\w+)` \| `(\S+)` \| `(\w+)` \| (\d+) \| `(\w+)` \|$", text, re.M)
    }
    shipped = {one.name: (one.pattern, one.group, f"{one.settle:g}", one.reader) for one in SHIPPED_PROFILES.values()}
    assert rows == shipped
