"""Parses and writes configurations: the lists of Tango attributes to record, as people write them in jive.

A configuration is the lines of a device property `Config.<name>`. One entry is one YAML flow mapping on a line of its
own; block style, blank lines and comments are read too:

    - {name: Ring current, source: r3-319s2/dia/dcct-01/InstantaneousCurrent, unit: mA, group: Machine}

A mistake affects its own entry only, and is reported with its line.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache
from typing import Any

import yaml

from scifish.tango_io.property_limits import loses_backslash

RECORD_WHEN = ("start", "end", "statistics")
TEXT_KEYS = ("name", "source", "group", "unit")
ENTRY_KEYS = (*TEXT_KEYS, "map", "record")

_SOURCE = re.compile(
    r"""^(tango://[^/\s]+:\d+/)?
    (?:[^/\s:]+/[^/\s]+/[^/\s]+/[^/\s]+  # domain/family/member/attribute
    |[^/\s:]+/[^/\s]+)$                  # alias of a device/attribute
    |^[^/\s:]+$                          # alias of an attribute
    """,
    re.VERBOSE,
)
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # also lone surrogates, which cannot be sent


@dataclass(frozen=True)
class Entry:
    """One attribute to record. `source` is its full name, or has an alias; `unit` "" means the attribute's own unit.

    `map` replaces values: its keys are numbers, enum labels, state names, true or false, in lower case (`map_key`).
    `record` has some of `RECORD_WHEN`. `config` is the name of the configuration.
    """

    name: str
    source: str
    group: str = ""
    unit: str = ""
    map: Mapping[str, Any] = field(default_factory=dict)
    record: tuple[str, ...] = ("start",)
    config: str = ""

    @property
    def device(self) -> str:
        """Its name or alias, with `tango://host:port/` where the source has it; "" for the alias of an attribute."""
        return self.source.rpartition("/")[0]

    @property
    def attribute(self) -> str:
        return self.source.rpartition("/")[2]


_HALVES = re.compile(r"[\ud800-\udbff][\udc00-\udfff]")


def _joined(halves: re.Match[str]) -> str:
    return halves[0].encode("utf-16", "surrogatepass").decode("utf-16")


class ConfigurationLoader(yaml.SafeLoader):
    """YAML in which only true and false are booleans, and nothing is a date.

    In YAML 1.1, ON, off, yes and no are booleans too; but ON and OFF are Tango states. The texts of an entry stay as
    they are written: `name: 1:30` is not 90, `name: 007` is not 7.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._maps: list[Any] = []

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        # In the map of an entry, `unit` is a key like any other.
        for key, value in node.value if isinstance(node, yaml.MappingNode) and node not in self._maps else ():
            if key.value == "map":
                self._maps.append(value)
            elif key.value in TEXT_KEYS and isinstance(value, yaml.ScalarNode) and not value.tag.endswith(":null"):
                value.tag = "tag:yaml.org,2002:str"
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: Any) -> Any:
        """JSON may write a character beyond U+FFFF as a surrogate pair: `\\ud83d\\ude00`."""
        return _HALVES.sub(_joined, super().construct_scalar(node))

    def flatten_mapping(self, node: Any) -> None:
        """`<<` is a key like any other: with nested merges, one line could need gigabytes in every program."""
        for key, _ in node.value:
            if key.tag.endswith((":merge", ":value")):
                key.tag = "tag:yaml.org,2002:str"


ConfigurationLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if not tag.endswith((":bool", ":timestamp"))]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
ConfigurationLoader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), "tTfF"
)


def parse_entries(lines: Sequence[str], config_name: str = "") -> tuple[list[Entry], list[str]]:
    """The correct entries, and a sentence for each mistake, with its line."""
    entries, problems = _parsed(tuple(lines), config_name)
    return list(entries), list(problems)


def parse_new_entries(lines: Sequence[str], config_name: str = "") -> tuple[list[Entry], list[str]]:
    """As `parse_entries`, for lines that are not in use: the result is not kept in memory."""
    entries: list[Entry] = []
    problems: list[str] = []
    names: dict[tuple[str, str], int] = {}
    for number, text in items(lines):
        where = f"{config_name or 'configuration'}, line {number}"
        entry, mistakes = _entry(text, config_name)
        problems += [f"{where}: {mistake}" for mistake in mistakes]
        if entry is None:
            continue
        first = names.setdefault((entry.group, entry.name), number)
        if first != number:
            problems.append(f"{where}: the name {entry.name!r} is taken by line {first}; this line is not recorded")
            continue
        entries.append(entry)
    return entries, problems


_parsed = lru_cache(maxsize=64)(parse_new_entries)
"""Each scan parses the same lines."""


def effective_entries(
    configs: Mapping[str, Sequence[str]], always: Sequence[str], active: str
) -> tuple[list[Entry], list[str]]:
    """The entries to record: of the configurations `always`, then of `active`, whose entries replace equal names.

    An entry's name is its group and name. The case of a configuration's name does not matter, as in Tango.
    """
    by_name = {name.lower(): name for name in configs}
    found: dict[tuple[str, str], Entry] = {}
    problems: list[str] = []
    for wanted in dict.fromkeys(name.lower() for name in (*always, active) if name):
        if wanted not in by_name:
            which = "ActiveConfig" if wanted == active.lower() else "AlwaysConfigs"
            known = ", ".join(sorted(configs)) or "none"
            problems.append(f"{which}: there is no configuration {wanted!r}; there are: {known}")
            continue
        name = by_name[wanted]
        entries, mistakes = parse_entries(configs[name], name)
        problems += mistakes
        found.update({(entry.group, entry.name): entry for entry in entries})
    return _apart_from_groups(list(found.values()), problems), problems


def _apart_from_groups(entries: list[Entry], problems: list[str]) -> list[Entry]:
    """Rename an entry without a group whose name is also a group: one would hide the other."""
    groups = {entry.group for entry in entries}
    apart = []
    for entry in entries:
        if not entry.group and entry.name in groups:
            problems.append(f"{entry.config}: {entry.name!r} is also a group: it is recorded as '{entry.name} (value)'")
            entry = replace(entry, name=f"{entry.name} (value)")
        apart.append(entry)
    return apart


def written_fields(lines: Sequence[str]) -> list[dict[str, Any]]:
    """The fields of each correct entry, as they are written."""
    found = []
    for _, text in items(lines):
        fields, _ = fields_of(text)
        if fields is not None and checked(fields)[0] is not None:
            found.append({key: _bounded(fields[key]) for key in ENTRY_KEYS if fields.get(key) is not None})
    return found


def _bounded(value: Any) -> Any:
    """A value without nested parts, which one line of YAML can expand to gigabytes."""
    if isinstance(value, dict):
        return {key: inner for key, inner in value.items() if _is_plain(inner)}
    return [inner for inner in value if _is_plain(inner)] if isinstance(value, list) else value


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)


def line_of(fields: Mapping[str, Any]) -> str:
    """An entry as one line of a configuration; `parse_entries` reads the same fields from it.

    The line avoids a backslash before a quote, which the C++ Tango database drops.
    """
    return "- " + flow({key: fields[key] for key in ENTRY_KEYS if fields.get(key) not in (None, "", {}, (), [])})


_PLAIN = re.compile(r"[^\W\d_](?:[\w./ -]*[\w.])?")
_TAKEN = ("null", "true", "false", "yes", "no", "on", "off", "y", "n")
"""Words that are not text in YAML, for this program or for others."""


def flow(value: Any) -> str:
    """As YAML in flow style."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{flow(key)}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(flow, value)) + "]"
    if value is None:
        return "null"
    if isinstance(value, bool | int):
        return str(value).lower()
    if isinstance(value, float):
        mantissa, exponent, power = repr(value).partition("e")
        return repr(value) if not exponent or "." in mantissa else f"{mantissa}.0e{power}"
    return _scalar(str(value))


def _scalar(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.isprintable() and text.lower() not in _TAKEN:
        return text
    quoted = "'" + text.replace("'", "''") + "'"
    if text.isprintable() and not loses_backslash(quoted):
        return quoted
    return '"' + "".join(c if c.isprintable() and c not in '\\"' else _escaped(ord(c)) for c in text) + '"'


def _escaped(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def entries_as_json(entries: Sequence[Entry]) -> str:
    """The entries as a JSON list of objects with the fields of `Entry`."""
    return json.dumps([asdict(entry) for entry in entries], ensure_ascii=False)


def items(lines: Sequence[str]) -> Iterator[tuple[int, str]]:
    """The text of each entry with the number of its first line; an entry starts with `-` or `{`."""
    start, chunk = 0, ""
    for number, line in enumerate(lines, start=1):
        # A property edited in one text field may come as one string with line breaks.
        for piece in line.splitlines() or [""]:
            stripped = piece.strip()
            begins = _BEGIN.match(piece) and not _is_item_of(chunk, piece)
            # Unindented text does not belong to the entry above: it is a mistake of its own.
            stray = bool(stripped) and piece[0] not in " \t}]#"
            if (begins or stray) and chunk:
                yield start, chunk
                chunk = ""
            if not chunk and (not stripped or stripped.startswith("#")):
                continue
            start = start if chunk else number
            chunk += piece.replace("\t", "    ") + "\n"
    if chunk:
        yield start, chunk


_BEGIN = re.compile(r"\s*-(?:[\s{]|$)|\{")
_ITEM = re.compile(r"(\s*)-\s+(?![{#]|[\"'\w ]+:(?:\s|$))\S")
"""A line of a list inside an entry, as below `record:`: without a key or a mapping."""


def _is_item_of(chunk: str, piece: str) -> bool:
    """Whether it is a line of a list inside the entry above, which is in block style and indented less."""
    item = _ITEM.match(piece.replace("\t", "    "))
    above = re.match(r"(\s*)-(?!\s*\{)", chunk)
    return bool(item and above and len(item[1]) > len(above[1]))


def _entry(text: str, config_name: str) -> tuple[Entry | None, list[str]]:
    fields, why = fields_of(text.rstrip("\n"))
    return checked(fields, config_name) if fields is not None else (None, [why])


def fields_of(text: str) -> tuple[dict[Any, Any] | None, str]:
    """The fields of one entry's text, or None and why it cannot be read."""
    if text.lstrip().startswith("-{"):  # YAML wants a blank after the dash
        text = text.replace("-{", "- {", 1)
    try:
        # A subclass of SafeLoader: it constructs plain values only.
        loaded = yaml.load(text, Loader=ConfigurationLoader)  # noqa: S506
    except (yaml.YAMLError, *YAML_ERRORS) as error:
        return None, f"not YAML ({_short(error)}): {text.strip()[:80]!r}"
    if isinstance(loaded, list) and len(loaded) == 1:
        loaded = loaded[0]
    if not isinstance(loaded, dict):
        return None, f"not of the form '- {{name: ..., source: ...}}': {text.strip()[:80]!r}"
    return loaded, ""


YAML_ERRORS = (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError)
"""What PyYAML raises besides YAMLError: for a number of 5,000 digits, `!!int x`, or 1,000 brackets."""


def _short(error: Exception) -> str:
    return str(getattr(error, "problem", None) or "cannot be read")


def checked(fields: Mapping[Any, Any], config_name: str = "") -> tuple[Entry | None, list[str]]:
    """The entry with these fields, or None if they are wrong; and a sentence for each mistake."""
    problems = []
    for key in fields:
        if key not in ENTRY_KEYS:
            near = difflib.get_close_matches(str(key), ENTRY_KEYS, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; allowed are {', '.join(ENTRY_KEYS)}"
            problems.append(f"the key {key!r} is not known and is ignored{hint}")
    texts = {}
    for key in TEXT_KEYS:
        value = fields.get(key)
        # Shortened: one line of YAML can expand to gigabytes.
        texts[key] = "" if value is None else value.strip() if isinstance(value, str) else reprlib.repr(value)
        if isinstance(value, dict | list) or _CONTROL.search(texts[key]):
            return None, [*problems, f"{key}: {texts[key][:80]!r} is not a plain text"]
    if not texts["name"]:
        return None, [*problems, "name is missing"]
    if not texts["source"]:
        return None, [*problems, f"{texts['name']}: source is missing"]
    if not _SOURCE.match(texts["source"]):
        return None, [
            *problems,
            f"{texts['name']}: source {texts['source']!r} is not of the form domain/family/member/attribute, "
            "nor an alias",
        ]
    value_map, mistakes = _map(fields.get("map"), texts["name"])
    record, more = _record(fields.get("record"), texts["name"])
    return Entry(**texts, map=value_map, record=record, config=config_name), problems + mistakes + more


def _map(given: Any, name: str) -> tuple[dict[str, Any], list[str]]:
    if given is None:
        return {}, []
    if not isinstance(given, dict):
        return {}, [
            f"{name}: map {reprlib.repr(given)} is not of the form {{4: insert, 5: extract}}; values are not mapped"
        ]
    value_map = {
        map_key(key): str(value) if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in given.items()
        if _is_plain(value)
    }
    if len(value_map) < len(given):
        return value_map, [f"{name}: map has keys that are the same, or values that are not plain; these are ignored"]
    return value_map, []


def map_key(value: Any) -> str:
    """The key of a value in a map: 4, 4.0 and '4' have the same key, and so have ON and on, true and True."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip().lower()


def _record(given: Any, name: str) -> tuple[tuple[str, ...], list[str]]:
    if given is None:
        return ("start",), []
    wanted = [
        when.strip() if isinstance(when, str) else reprlib.repr(when)
        for when in (given if isinstance(given, list | tuple) else [given])
    ]
    known = tuple(when for when in RECORD_WHEN if when in wanted)
    wrong = [when for when in wanted if when not in RECORD_WHEN]
    problems = [f"{name}: record {when!r} is not one of {', '.join(RECORD_WHEN)}" for when in wrong]
    return known or ("start",), problems
