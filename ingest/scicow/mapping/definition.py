"""The mapping page: the one that is shipped, and the changes of the user's own page."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from fnmatch import translate
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from ingest.scicow.mapping import scicat_fields
from ingest.scicow.mapping.reserved_names import RESERVED_FOR_ENTRIES
from ingest.scicow.mapping.templates import MappingTemplate, parse
from ingest.scicow.settings import SciCowSettingsError

ANNOTATIONS = "annotations"
"""The entry of the group `scan` that lists the annotations which SciCow has written."""

REVISION = "revision"
"""The entry with the largest revision that SciCow has written."""

_KNOWS_BY = {
    "status": "that a dataset is over",
    "beamline": "whose messages may change a dataset",
    REVISION: "which recording of a dataset is the last",
}
"""Entries of the group `scan`, each named as its template, and what SciCow knows by them."""

_LAYOUTS = ("nested", "flat")
_SCAN_KEY = re.compile(r"[A-Za-z0-9_]+")


@dataclass(frozen=True)
class ScanEntry:
    """One of the group `scan`."""

    name: str
    value: MappingTemplate


@dataclass(frozen=True)
class MappingPage:
    """The mapping. Patterns are Templates, or lists, mappings and plain values with Templates in them."""

    fields: Mapping[str, Mapping[str, Any]]
    """By the version of the interface, v3 and v4."""

    scan: Mapping[str, ScanEntry]
    flat: bool
    separator: str
    leave_out: re.Pattern[str] | None
    leave_out_of_values: frozenset[str]
    units: Mapping[str, str]


@dataclass
class _Sections:
    """The sections, later pages replacing earlier ones; None is what was removed."""

    fields: dict[str, dict[str, Any]] = field(
        default_factory=lambda: {name: {} for name in scicat_fields.FIELDS_BY_SECTION}
    )
    scan: dict[str, ScanEntry | None] = field(default_factory=dict)
    metadata: dict[str, Any] = field(default_factory=dict)
    units: dict[str, str] = field(default_factory=dict)


def load_page(path: str) -> MappingPage:
    """The shipped page, with what the page in this file ("" is none) changes.

    Raises SciCowSettingsError naming file, line and field of every mistake.
    """
    raw = _Sections()
    shipped = resources.files("ingest.scicow.mapping").joinpath("default.yaml")
    _MappingReader(Path("default.yaml"), raw).page(shipped.read_text("utf-8"))
    if path:
        try:
            text = Path(path).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SciCowSettingsError(f"{path}: mapping: cannot be read: {error}") from error
        _MappingReader(Path(path), raw).page(text)
    patterns = raw.metadata["leave_out"]
    return MappingPage(
        fields={
            version: {
                name: pattern
                for name, pattern in {**raw.fields["fields"], **raw.fields[version]}.items()
                if pattern is not None
            }
            for version in ("v3", "v4")
        },
        scan={name: entry for name, entry in raw.scan.items() if entry is not None},
        flat=raw.metadata["layout"] == "flat",
        separator=raw.metadata["separator"],
        leave_out=re.compile("|".join(map(translate, patterns))) if patterns else None,
        leave_out_of_values=frozenset(raw.metadata["leave_out_of_values"]),
        units=raw.units,
    )


class _MappingReader:
    """Reads a page on top of the earlier ones, and collects the mistakes, each with its line."""

    def __init__(self, path: Path, raw: _Sections) -> None:
        self._path = path
        self._raw = raw
        self._mistakes: list[str] = []

    def page(self, text: str) -> None:
        try:
            root = yaml.compose(text, Loader=yaml.SafeLoader)
        except (yaml.YAMLError, RecursionError) as error:
            raise SciCowSettingsError(f"{self._path}: not YAML: {error}") from error
        sections = {
            **dict.fromkeys(scicat_fields.FIELDS_BY_SECTION, self._fields),
            "scan": self._scan,
            "metadata": self._metadata,
            "units": self._units,
        }
        try:
            for name, key, node in self._lines(root, "") if root is not None else ():
                if name in sections:
                    sections[name](node, name)
                else:
                    self._unknown(key, name, sections)
        except RecursionError:
            self._mistake(root, "mapping", "contains itself")
        if self._mistakes:
            raise SciCowSettingsError("\n".join(self._mistakes))

    def _mistake(self, node: yaml.Node | None, name: str, text: str) -> None:
        line = node.start_mark.line + 1 if node else 1
        self._mistakes.append(f"{self._path}, line {line}: {name}: {text}")

    # --------------------------------------------------------------- sections

    def _fields(self, node: yaml.Node, section: str) -> None:
        required = scicat_fields.REQUIRED["v4"] if section == "v4" else scicat_fields.REQUIRED["v3"]
        for name, key, inner in self._lines(node, section):
            where = f"{section}.{name}"
            kind = scicat_fields.FIELDS_BY_SECTION[section].get(name)
            if kind is None:
                self._not_a_field(key, where, section, name)
                continue
            value = self._plain(inner, where)
            if value is None:
                if name in required:
                    self._mistake(inner, where, "cannot be removed: SciCat requires it")
            elif scicat_fields.wrong(kind, value):
                self._mistake(inner, where, f"must be {kind}")
                continue
            self._raw.fields[section][name] = self._pattern(inner, where, value)

    def _not_a_field(self, key: yaml.Node, where: str, section: str, name: str) -> None:
        if name in scicat_fields.SET_BY_SCICOW:
            self._mistake(key, where, "is set by SciCow itself: remove the line")
            return
        other = [version for version in ("v3", "v4") if name in scicat_fields.FIELDS_BY_SECTION[version]]
        if other:
            self._mistake(key, where, f"is a field of {other[0]} only: write it below '{other[0]}:'")
        else:
            self._unknown(key, where, scicat_fields.FIELDS_BY_SECTION[section], name)

    def _scan(self, node: yaml.Node, section: str) -> None:
        for name, key, inner in self._lines(node, section):
            where = f"{section}.{name}"
            if not _SCAN_KEY.fullmatch(name):
                self._mistake(key, where, "cannot be the name of an entry: use letters, digits and _")
            elif name == ANNOTATIONS or name in RESERVED_FOR_ENTRIES:
                self._mistake(key, where, "cannot be the name of an entry: SciCat or SciCow takes it for its own")
            elif _is_null(inner):
                if name in _KNOWS_BY:
                    self._mistake(inner, where, f"cannot be removed: from it SciCow knows {_KNOWS_BY[name]}")
                self._raw.scan[name] = None
            else:
                self._raw.scan[name] = self._entry(inner, where, self._raw.scan.get(name))

    def _entry(self, node: yaml.Node, where: str, old: ScanEntry | None) -> ScanEntry:
        name, value = (old.name, old.value) if old else ("", MappingTemplate(()))
        for part, key, inner in self._lines(node, where):
            if part == "name":
                name = self._text(inner, f"{where}.name")
            elif part == "value":
                value = self._template(inner, f"{where}.value", self._text(inner, f"{where}.value"))
            else:
                self._unknown(key, f"{where}.{part}", ("name", "value"))
        if not name or not value.parts:
            self._mistake(node, where, "must have a displayed name and a value: write {name: ..., value: ...}")
        own = where.removeprefix("scan.")
        if own in _KNOWS_BY and value != parse(f"{{{own}}}"):
            self._mistake(node, where, f"must have the value {{{own}}}: from it SciCow knows {_KNOWS_BY[own]}")
        return ScanEntry(name, value)

    def _metadata(self, node: yaml.Node, section: str) -> None:
        known_names = ("layout", "separator", "leave_out", "leave_out_of_values")
        for name, key, inner in self._lines(node, section):
            where = f"{section}.{name}"
            if name not in known_names:
                self._unknown(key, where, known_names)
            elif name.startswith("leave_out"):
                if not isinstance(inner, yaml.SequenceNode):
                    self._mistake(inner, where, "must be a list, like [a, b]")
                    continue
                found = [self._text(each, where) for each in inner.value]
                self._raw.metadata[name] = found
                if name == "leave_out_of_values" and {"value", "unit"} & set(found):
                    self._mistake(inner, where, "value and unit cannot be left out")
            else:
                value = self._text(inner, where)
                if name == "layout" and value not in _LAYOUTS:
                    self._mistake(inner, where, f"must be one of {', '.join(_LAYOUTS)}")
                if name == "separator" and not value:
                    self._mistake(inner, where, "is empty: write the text between group and name")
                self._raw.metadata[name] = value

    def _units(self, node: yaml.Node, section: str) -> None:
        for name, _, inner in self._lines(node, section):
            self._raw.units[name] = self._text(inner, f"{section}.{name}")

    # ------------------------------------------------------------------ nodes

    def _lines(self, node: yaml.Node | None, where: str) -> list[tuple[str, yaml.Node, yaml.Node]]:
        """(name, its node, the value's node) of each line."""
        if not isinstance(node, yaml.MappingNode):
            self._mistake(node, where or "mapping", "must be 'name: value' lines")
            return []
        found: dict[str, tuple[str, yaml.Node, yaml.Node]] = {}
        for key, inner in node.value:
            name = str(key.value)
            if name in found:
                self._mistake(key, f"{where}.{name}".lstrip("."), "is set twice: keep one")
            found[name] = (name, key, inner)
        return list(found.values())

    def _unknown(self, key: yaml.Node, where: str, names: Any, name: str = "") -> None:
        near = get_close_matches(name or where.rpartition(".")[2], list(names), 1)
        hint = f"did you mean {near[0]}?" if near else f"allowed are {', '.join(names)}"
        self._mistake(key, where, f"is not known: {hint}")

    def _text(self, node: yaml.Node, where: str) -> str:
        if not isinstance(node, yaml.ScalarNode) or _is_null(node):
            self._mistake(node, where, "must be text")
            return ""
        return str(node.value)

    def _template(self, node: yaml.Node, where: str, text: str) -> MappingTemplate:
        try:
            return parse(text)
        except ValueError as error:
            self._mistake(node, where, str(error))
            return MappingTemplate(())

    def _plain(self, node: yaml.Node, where: str) -> Any:
        """The value, texts as they are written: a runNumber 042 is not a number."""
        if isinstance(node, yaml.SequenceNode):
            return [self._plain(inner, where) for inner in node.value]
        if isinstance(node, yaml.MappingNode):
            return {name: self._plain(inner, where) for name, _, inner in self._lines(node, where)}
        if node.tag.endswith(":bool"):
            return node.value.lower() in ("true", "yes", "on")
        return None if _is_null(node) else str(node.value)

    def _pattern(self, node: yaml.Node, where: str, value: Any) -> Any:
        if isinstance(value, str):
            return self._template(node, where, value)
        if isinstance(node, yaml.SequenceNode):
            return [self._pattern(inner, where, each) for inner, each in zip(node.value, value, strict=True)]
        if isinstance(node, yaml.MappingNode):
            return {name: self._pattern(inner, where, value[name]) for name, _, inner in self._lines(node, where)}
        return value


def _is_null(node: yaml.Node) -> bool:
    return node.tag.endswith(":null")
