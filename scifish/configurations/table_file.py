"""Configurations as files: YAML, and tables of spreadsheets.

In: YAML as in the property, or below a name as in a file of settings; CSV with the columns name, source,
group, unit, map and record in any order, separated by commas, semicolons or tabs, in the encodings that
Excel and LibreOffice write. Out: no cell begins like a formula.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import io
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import yaml

from scifish.settings.entries import (
    ENTRY_KEYS,
    YAML_ERRORS,
    ConfigurationLoader,
    checked,
    flow,
    line_of,
    parse_new_entries,
    written_fields,
)
from scifish.tango_io.property_limits import storage_problems

SEPARATORS = ",;\t"

# Characters that begin a formula in spreadsheets, also in their full-width forms, and with an apostrophe before
# them that prevents it.
_FORMULA = re.compile(r"^'*[=+\-@\uff1d\uff0b\uff0d\uff20]")

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


class TableError(ValueError):
    """The file is not a table of entries. The text says what is wrong, with the line."""


def decoded(data: bytes) -> str:
    """A file's text: UTF-8 or UTF-16 with a mark at its begin, else UTF-8, else Windows-1252 as Excel writes it.

    TableError if it is none of these.
    """
    encoding = next((encoding for mark, encoding in _MARKS if data.startswith(mark)), "")
    try:
        if encoding:
            return data.decode(encoding)
        try:
            return data.decode("utf-8")
        except UnicodeDecodeError:
            return data.decode("cp1252")
    except UnicodeDecodeError as error:
        raise TableError(f"the file is not a text of {encoding or 'UTF-8 or Windows-1252'}: {error.reason}") from error


def lines_from_csv(text: str) -> list[str]:
    """The lines of a configuration. TableError, with the line in the file, for each row that is not an entry."""
    rows = _rows(text)
    header = _header(rows)
    problems = list(header.problems)
    lines = []
    named: dict[tuple[str, str], int] = {}
    for number, cells in rows[header.row :]:
        if not any(cell.strip() for cell in cells):
            continue
        fields, mistakes = _fields(header.columns, cells)
        entry, more = checked(fields)
        problems += [f"line {number}: {mistake}" for mistake in (*mistakes, *more)]
        if entry is None:
            continue
        if (first := named.setdefault((entry.group, entry.name), number)) != number:
            problems.append(f"line {number}: the name {entry.name!r} is taken by line {first}")
        lines.append(line_of(fields))
    if problems:
        raise TableError("; ".join(problems[:20]))
    if not lines:
        raise TableError("there is no entry below the line with the names of the columns")
    return lines


def lines_from_text(text: str) -> list[str]:
    """The lines of a configuration out of YAML, as it is in the property or below a name, or out of a table.

    TableError as `lines_from_csv`, and for YAML that cannot be read or has another number of configurations than one.
    """
    lines = [line.rstrip() for line in text.removeprefix("\ufeff").splitlines() if not _MARK.fullmatch(line.strip())]
    first = next((line.strip() for line in lines if line.strip() and not line.strip().startswith("#")), "")
    if _NAMED.match(first) or (first.startswith("{") and _has_name("\n".join(lines))):
        lines = _lines_below("\n".join(lines))
    elif first.startswith(("-", "{")):
        lines = textwrap.dedent("\n".join(lines)).splitlines()
    else:
        return lines_from_csv(text)
    # JSON is YAML, too; but the backslashes in it are not safe in the Tango database.
    return [line_of(fields) for fields in written_fields(lines)] if _rewritable(lines) else lines


def _rewritable(lines: Sequence[str]) -> bool:
    return bool(storage_problems("", lines)) and not parse_new_entries(lines)[1]


_MARK = re.compile(r"(?:---|\.\.\.|%YAML)(?:\s.*)?")
"""A line of YAML that has no content of a configuration."""

_NAMED = re.compile(r"\[|[^,;\t:{]+:(?:\s|$)")
"""How YAML begins that is not as in the property: a list in brackets, or `saxs:` with the entries below it."""


def _has_name(text: str) -> bool:
    """Whether it is `{saxs: [...]}`, as JSON has it, and no entry."""
    try:
        root = yaml.compose(text, Loader=ConfigurationLoader)
    except (yaml.YAMLError, *YAML_ERRORS):
        return False  # one entry a line, or an error that is reported with its line
    return isinstance(root, yaml.MappingNode) and not any(str(key.value) in ENTRY_KEYS for key, _ in root.value)


def _lines_below(text: str) -> list[str]:
    """The lines of the only configuration in it: below `saxs:`, `Config.saxs:` or `Config: {saxs: ...}`, or all."""
    try:
        root = yaml.compose(text, Loader=ConfigurationLoader)  # no more than the nodes: values are made line by line
    except (yaml.YAMLError, *YAML_ERRORS) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        raise TableError(f"not YAML{where}: {getattr(error, 'problem', None) or 'cannot be read'}") from error
    found = dict(_configurations(root))
    if len(found) != 1:
        raise TableError(
            f"the YAML has several configurations, {', '.join(found)}: leave one of them in it"
            if found
            else "the YAML has no list of '- {name: ..., source: ...}'"
        )
    (node,) = found.values()
    if isinstance(node, yaml.ScalarNode):  # as in jive, below `saxs: |`
        return str(node.value).splitlines()
    if isinstance(node, yaml.SequenceNode) and not node.flow_style:  # with the comments in it
        block = text[node.start_mark.index - node.start_mark.column : node.end_mark.index]
        return [line.rstrip() for line in textwrap.dedent(block).rstrip().splitlines()]
    entries = node.value if isinstance(node, yaml.SequenceNode) else [node]
    written = (text[entry.start_mark.index : entry.end_mark.index] for entry in entries)
    return [line for entry in written for line in f"- {textwrap.indent(entry, '  ').strip()}".splitlines()]


def _configurations(node: yaml.Node | None) -> Iterator[tuple[str, yaml.Node]]:
    """The nodes that may be configurations, by name."""
    if node is None:
        return
    if not isinstance(node, yaml.MappingNode) or {"name", "source"} <= {str(key.value) for key, _ in node.value}:
        yield "", node
        return
    for key, value in node.value:
        below = isinstance(value, yaml.MappingNode) and str(key.value).lower() == "config"
        for name, inner in value.value if below else [(key, value)]:
            of_entries = isinstance(inner, yaml.SequenceNode) and all(
                isinstance(entry, yaml.MappingNode) for entry in inner.value
            )
            if of_entries or (isinstance(inner, yaml.ScalarNode) and inner.style in ("|", ">")):
                yield str(name.value), inner


def csv_from_lines(lines: Sequence[str], separator: str = ",") -> str:
    """The entries of a configuration as a table with a mark at its begin, by which Excel knows that it is UTF-8.

    Comments and lines with mistakes are not in it.
    """
    out = io.StringIO()
    out.write("\ufeff")
    writer = csv.writer(out, delimiter=separator, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(ENTRY_KEYS)
    for fields in written_fields(lines):
        writer.writerow([_cell(key, fields.get(key)) for key in ENTRY_KEYS])
    return out.getvalue()


# ------------------------------------------------------------------------------ in


class _Header:
    """Which column is where; `row` is the index of the first row of entries."""

    def __init__(self, columns: list[str], row: int, problems: list[str]) -> None:
        self.columns = columns
        self.row = row
        self.problems = problems


def _rows(text: str) -> list[tuple[int, list[str]]]:
    """Each row with the number of its last line in the file."""
    text = text.removeprefix("\ufeff")
    first, _, rest = text.partition("\n")
    hint = first.strip('\r" ').lower()
    if hint in {f"sep={separator}" for separator in SEPARATORS}:  # Excel's own
        separator, text, skipped = hint[-1], rest, 1
    else:
        separator, skipped = _separator(text), 0
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    try:
        return [(reader.line_num + skipped, row) for row in reader]
    except csv.Error as error:
        raise TableError(f"line {reader.line_num + skipped}: {error}") from error


def _separator(text: str) -> str:
    """The separator with which the first line has the most names of columns."""
    first = next((line for line in text.splitlines() if line.strip()), "")
    return max(SEPARATORS, key=lambda separator: sum(_column(cell) in ENTRY_KEYS for cell in first.split(separator)))


def _header(rows: Sequence[tuple[int, list[str]]]) -> _Header:
    for index, (number, cells) in enumerate(rows):
        if not any(cell.strip() for cell in cells):
            continue
        columns = [_column(cell) for cell in cells]
        missing = [key for key in ("name", "source") if key not in columns]
        if missing:
            raise TableError(
                f"line {number}: {' and '.join(missing)} not found; the first line names the columns, which are "
                f"{', '.join(ENTRY_KEYS)}"
            )
        problems = []
        for column in dict.fromkeys(columns):
            if column in ENTRY_KEYS and columns.count(column) > 1:
                problems.append(f"line {number}: several columns have the name {column}")
            near = difflib.get_close_matches(column, ENTRY_KEYS, n=1) if column not in ENTRY_KEYS else []
            if near:  # other columns, for remarks for example, are ignored
                problems.append(f"line {number}: column {column!r}: did you mean {near[0]}?")
        return _Header(columns, index + 1, problems)
    raise TableError("the table is empty")


def _column(cell: str) -> str:
    return cell.strip().strip("\"'").strip().lower()


def _fields(columns: Sequence[str], cells: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    problems = []
    if any(cell.strip() for cell in cells[len(columns) :]):
        problems.append(f"there are {len(cells)} cells, and {len(columns)} columns")
    given = {key: _plain(cell) for key, cell in zip(columns, cells, strict=False) if key in ENTRY_KEYS}
    fields: dict[str, Any] = {key: text for key, text in given.items() if text}
    if "record" in fields:
        fields["record"] = re.split(r"[\s,;|+]+", fields["record"].strip("[](){} "))
    if "map" in fields:
        fields["map"], mistakes = _map(fields["map"])
        problems += mistakes
    return fields, problems


def _plain(cell: str) -> str:
    text = cell.strip()
    return text[1:] if text.startswith("'") and _FORMULA.match(text[1:]) else text


def _map(text: str) -> tuple[Any, list[str]]:
    """`4: insert, 5: extract`, with or without braces."""
    braced = text if text.startswith("{") else "{" + text + "}"
    try:
        # Below its key, as in an entry: there `unit: 0` is a value's name with a number. Further lines of the cell
        # are further in, so that none is a key of its own. Our own SafeLoader: it makes nothing but plain values.
        found = yaml.load("map: " + "\n ".join(braced.splitlines()), Loader=ConfigurationLoader)["map"]  # noqa: S506
    except (yaml.YAMLError, *YAML_ERRORS):
        found = None
    # A key without a colon has no value; one that is meant is written out.
    if not isinstance(found, dict) or (None in found.values() and "null" not in braced):
        return None, [f"map {text[:80]!r} is not of the form '4: insert, 5: extract'"]
    return found, []


# ----------------------------------------------------------------------------- out


def _cell(key: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, Mapping):
        text = flow(value)
    elif isinstance(value, Iterable) and not isinstance(value, str):
        text = ", ".join(map(str, value))
    else:
        text = str(value).strip()
    return f"'{text}" if _FORMULA.match(text) else text
