"""A file of entries that beamlines usually want, with patterns by which they are found in the Tango database.

    beamline:
      - {name: Ring current, find: ['*/*/dcct*/InstantaneousCurrent', '*/*/dcct*/Current'], group: Machine}

The keys are those of a configuration's entry, with `find` in place of `source`. A facility ships a file of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from scifish.settings.entries import checked
from taurus_widgets.scidog.data.draft import DraftRow, edited, new_row
from taurus_widgets.scidog.data.tango_names import Names, matching

FACILITY_TEMPLATE = Path("/etc/scizoo/scidog-template.yaml")
"""Used if no other file is named."""

MAX_CANDIDATES = 20


class TemplateError(ValueError):
    """The template cannot be used. The text names the file, the item, and what to do."""


@dataclass(frozen=True)
class TemplateItem:
    """An entry without its source, and the patterns that find it, the best one first."""

    row: DraftRow
    patterns: tuple[str, ...]


@dataclass(frozen=True)
class Suggestion:
    """An entry of the template, and the attributes of this database that it may mean, the best one first."""

    row: DraftRow
    candidates: tuple[str, ...]

    def with_source(self, source: str) -> DraftRow:
        return edited(self.row, {"source": source})


def template_file(named: str = "") -> Path | None:
    """This file or that of SCIDOG_TEMPLATE, else the facility's; None for the one of this package."""
    named = named or os.environ.get("SCIDOG_TEMPLATE", "").strip()
    if named:
        return Path(named)
    return FACILITY_TEMPLATE if FACILITY_TEMPLATE.exists() else None


def read_template(file: Path | None = None) -> dict[str, list[TemplateItem]]:
    """The items by name of the configuration. Raises TemplateError."""
    where = str(file or "the template of this package")
    try:
        source = file or files("taurus_widgets.scidog.data").joinpath("template.yaml")
        found = yaml.safe_load(source.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise TemplateError(f"{where} cannot be read: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(items, list) for items in found.values()):
        raise TemplateError(f"{where}: expected the name of a configuration with a list of entries below it")
    return {
        str(name): [_item(fields, f"{where}, {name}, entry {number}") for number, fields in enumerate(items, 1)]
        for name, items in found.items()
    }


def _item(fields: Any, where: str) -> TemplateItem:
    if not isinstance(fields, dict) or not isinstance(fields.get("find"), list) or not fields["find"]:
        raise TemplateError(f"{where}: expected {{name: ..., find: [patterns], ...}}")
    patterns = tuple(map(str, fields["find"]))
    wrong = [pattern for pattern in patterns if pattern.count("/") != 3]
    if wrong:
        raise TemplateError(f"{where}: {wrong[0]!r} is not of the form domain/family/member/attribute, with * in it")
    given = {key: value for key, value in fields.items() if key != "find"} | {"source": "a/b/c/d"}
    entry, mistakes = checked(given)
    if entry is None or mistakes:
        raise TemplateError(f"{where}: {'; '.join(mistakes)}")
    more = {"map": tuple(entry.map.items()), "record": entry.record}
    return TemplateItem(new_row(entry.name, "", entry.group, entry.unit, **more), patterns)


def suggestions(
    items: Sequence[TemplateItem],
    names: Names,
    known: Callable[[str], Sequence[str]],
    ask: Callable[[str], Sequence[str]],
) -> list[Suggestion]:
    """What each item may mean among the running devices: call it in a thread.

    `known` gives the attributes of a device as far as they are known; the first others that match are asked by `ask`.
    """
    running = [device for device in names.devices if device.lower() in names.running]
    found = []
    for item in items:
        candidates: dict[str, None] = {}
        for pattern in item.patterns:
            device_pattern, _, attribute_pattern = pattern.rpartition("/")
            devices = {device: known(device) for device in matching(running, device_pattern)}
            for device in [device for device, attributes in devices.items() if not attributes][:MAX_CANDIDATES]:
                devices[device] = ask(device)
            for device, attributes in devices.items():
                for attribute in matching(attributes, attribute_pattern):
                    candidates[f"{device}/{attribute}"] = None
        found.append(Suggestion(item.row, tuple(candidates)[:MAX_CANDIDATES]))
    return found
