"""`scientificMetadata` of a message, in a form that SciCat and MongoDB keep completely.

How the real backend treats metadata (the comments say where it surprises) was found by running v4.6.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from typing import Any

from ingest.scicow.mapping.definition import MappingPage
from ingest.scicow.mapping.merge_patch import is_leaf
from ingest.scicow.mapping.reserved_names import RESERVED, RESERVED_FOR_ENTRIES
from ingest.scicow.mapping.templates import as_text
from scifish.message.units import convertible, mathjs_spelling

Json = dict[str, Any]

SCAN_GROUP = "scan"

MAX_GROUP_DEPTH = 20
"""Groups inside each other. What is deeper becomes JSON text: MongoDB ends at 100."""

MAX_FLAT_KEY = 1000
"""Characters of a key of the flat layout, whose names may be as long as a message, once for each value."""

MAX_NAME_IN_PATH = 200
"""Characters of each name in a path, which notes and patterns have: for the same reason."""

MAX_EXACT_INTEGER = 2**53
"""JavaScript, and so SciCat, has no larger whole numbers: it rounds them."""


class Metadata:
    """Converts the metadata of one message. `notes` says what differs from the recording."""

    def __init__(self, page: MappingPage) -> None:
        self._page = page
        self.notes: list[str] = []

    def of(self, given: Mapping[str, Any], names: Mapping[str, Any]) -> Json:
        """A dataset's: the group `scan` with what is known of the scan itself, and what was recorded."""
        found: Json = {SCAN_GROUP: self._scan(names)}
        return self.added(given, found)

    def added(self, given: Mapping[str, Any], found: Json) -> Json:
        """`found` with these added."""
        if self._page.flat:
            self._flatten(given, "", "", found, {}, 0)
        else:
            self._fill(found, given, "", 0)
        return found

    def _scan(self, names: Mapping[str, Any]) -> Json:
        found = {}
        for key, entry in self._page.scan.items():
            value = entry.value.value(names)
            if value not in (None, ""):
                shown = value if isinstance(value, int | float) else as_text(value)
                found[key] = {"value": shown, "unit": "", "human_name": entry.name}
        return found

    # ---------------------------------------------------------------- groups

    def _fill(self, group: Json, members: Mapping[str, Any], above: str, depth: int) -> Json:
        numbers: dict[str, int] = {}
        for name, member in members.items():
            path = above + name[:MAX_NAME_IN_PATH]
            if self._left_out(path):
                continue
            key = self._named(name, group, numbers, path)
            if is_leaf(member):
                group[key] = self._leaf(member, path)
            elif depth >= MAX_GROUP_DEPTH:
                group[key] = self._too_deep(member, path)
            else:
                group[key] = self._fill({}, member, f"{path}/", depth + 1)
        return group

    def _flatten(
        self, members: Mapping[str, Any], above: str, joined: str, found: Json, numbers: dict[str, int], depth: int
    ) -> None:
        for name, member in members.items():
            path, whole = above + name[:MAX_NAME_IN_PATH], (joined + name)[-MAX_FLAT_KEY:]
            if self._left_out(path):
                continue
            if not is_leaf(member) and depth < MAX_GROUP_DEPTH:
                self._flatten(member, f"{path}/", whole + self._page.separator, found, numbers, depth + 1)
            else:
                key = self._named(whole, found, numbers, path)
                if len(whole) == MAX_FLAT_KEY:
                    self.notes.append(f"{path}: its name is cut to its last {MAX_FLAT_KEY} characters")
                found[key] = self._leaf(member, path) if is_leaf(member) else self._too_deep(member, path)

    def _left_out(self, path: str) -> bool:
        return self._page.leave_out is not None and self._page.leave_out.fullmatch(path) is not None

    def _too_deep(self, group: Mapping[str, Any], path: str) -> Json:
        self.notes.append(f"{path}: more than {MAX_GROUP_DEPTH} levels of groups, written as JSON text")
        return {"value": json.dumps(group, ensure_ascii=False), "unit": ""}

    def _named(self, name: str, taken: Collection[str], numbers: dict[str, int], path: str) -> str:
        key = _free(_key(name, RESERVED_FOR_ENTRIES), taken, numbers)
        if key != name:
            self.notes.append(f"{path}: is named {key!r} in SciCat")
        return key

    # ---------------------------------------------------------------- values

    def _leaf(self, value: Mapping[str, Any], path: str) -> Json:
        unit = self._unit(value["unit"], path)
        found = {"value": self._flat(value["value"], path), "unit": unit}
        numbers: dict[str, int] = {}
        if value["value"] is None:
            self.notes.append(f"{path}: has no value ({value.get('error') or 'null'})")
        if unit != value["unit"]:
            found["original_unit"] = value["unit"]
        self._keep_digits(found, "exact", numbers, value["value"], path)
        for name, inner in value.items():
            if name in ("value", "unit") or inner is None or name in self._page.leave_out_of_values:
                continue
            # SciCat takes an object with keys in u and in v for a quantity, whose last such key is its
            # value: beside `value` and `unit` there must be none.
            key = _key(name)
            key = f"_{key}" if key[0] in "uUvV" else key
            free = _free(key, found, numbers)
            if free != name:
                self.notes.append(f"{path}: its {name!r} is named {free!r} in SciCat")
            found[free] = self._flat(inner, path)
            self._keep_digits(found, f"{free}_exact", numbers, inner, path)
        return found

    def _keep_digits(self, found: Json, name: str, numbers: dict[str, int], value: Any, path: str) -> None:
        """The text of numbers that SciCat rounds, beside them: of one its digits, of a list JSON."""
        if _is_rounded(value):
            found[_free(name, found, numbers)] = json.dumps(value)
            self.notes.append(f"{path}: is rounded by SciCat, its digits are in {name!r}")

    def _unit(self, given: str, path: str) -> str:
        unit = self._page.units.get(given) or mathjs_spelling(given)
        if unit != given:
            self.notes.append(f"{path}: unit {given!r} is written as {unit!r}")
        if unit and not convertible(unit):
            self.notes.append(f"{path}: unit {unit!r} cannot be converted by SciCat: searches must use it unchanged")
        return unit

    def _flat(self, value: Any, path: str) -> Any:
        """The value without objects in it: SciCat would look for quantities in those."""
        if isinstance(value, Mapping) or (isinstance(value, list) and _holds_objects(value)):
            self.notes.append(f"{path}: is an object, written as JSON text")
            return json.dumps(value, ensure_ascii=False, sort_keys=True)
        return value


_ENCODED = re.compile(r"%(?=[0-9A-Fa-f]{2})")


def _is_rounded(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_is_rounded, value))
    return isinstance(value, int) and abs(value) > MAX_EXACT_INTEGER


def _key(name: str, reserved: Collection[str] = RESERVED) -> str:
    """A name that SciCat and MongoDB do not change. Dots are allowed: SciCat encodes them.

    It takes a name with a %2E in it for one that is encoded already, and shows another one.
    """
    name = _ENCODED.sub("_", name)
    return f"_{name}" if name in reserved or name.startswith("$") else name


def _free(name: str, taken: Collection[str], numbers: dict[str, int]) -> str:
    """The name, with a number appended if it is used already: no value is dropped.

    `numbers` has the last one of each name, so that thousands of equal names are no more work than as many others.
    """
    free, number = name, numbers.get(name, 1)
    while free in taken:
        number += 1
        free = f"{name}_{number}"
    numbers[name] = number
    return free


def _holds_objects(values: list[Any]) -> bool:
    return any(isinstance(value, Mapping) or (isinstance(value, list) and _holds_objects(value)) for value in values)
