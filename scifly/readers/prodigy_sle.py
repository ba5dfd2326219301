"""SPECS Prodigy .sle: an SQLite database with everything measured in a session.

The table `Configuration` has the schedule as XML (groups, spectra and their planned settings), `NodeData` the settings
used for each spectrum, `RawData` the start of each scan. The spectra themselves are not read.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
import struct
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from scifly.readers.fragment import FileHeader, Region, put
from scifly.readers.prodigy_fields import add, ended
from scifly.readers.prodigy_xml import parameters, schedule
from scifly.readers.source import BLOCK_BYTES, Source, UnfinishedError, UnreadableError, decoded
from scifly.readers.values import cleaned, moment, seconds

MAGIC = b"SQLite format 3\0"
MAX_SLE_VALUE_BYTES = 64 * BLOCK_BYTES
"""Maximum bytes of one value; the schedule of a long session has some megabytes."""

MAX_SCANS = 100_000


def read(source: Source, zone: dt.tzinfo) -> FileHeader:
    """Read the file. Raises UnfinishedError, or UnreadableError if it is another database."""
    _check(source)
    try:
        # Read-only and immutable, so that no lock or journal is made in somebody else's folder. Opened by its
        # descriptor, so that it is the file that was checked, whatever has its name now.
        address = f"file:/proc/self/fd/{source.file.fileno()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(address, uri=True, timeout=1)) as database:
            database.text_factory = decoded
            database.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_SLE_VALUE_BYTES)
            database.execute("PRAGMA trusted_schema = OFF")
            database.set_progress_handler(lambda: source.late, 10_000)
            return _part(database)
    except sqlite3.Error as error:
        raise UnreadableError(f"is damaged, being written, or not a .sle file of Prodigy: {error}") from error


def _check(source: Source) -> None:
    """Raises UnfinishedError if it has fewer pages than its header says (https://www.sqlite.org/fileformat.html)."""
    head = source.up_to(100)
    if len(head) < 100 and MAGIC.startswith(head[:16]):
        raise UnfinishedError("ends within its header")
    if not head.startswith(MAGIC):
        raise UnreadableError("is not a .sle file of Prodigy")
    (page,) = struct.unpack_from(">H", head, 16)
    changed, pages = struct.unpack_from(">II", head, 24)
    (valid,) = struct.unpack_from(">I", head, 92)
    size = (65536 if page == 1 else page) * pages
    if changed == valid and size > source.size:
        raise UnfinishedError(f"ends after {source.size} bytes, and {size} are announced")


def _part(database: sqlite3.Connection) -> FileHeader:
    configuration = dict(
        database.execute("SELECT Key, Value FROM Configuration WHERE Key IN ('Version', 'AppVersion', 'Schedule')")
    )
    program = cleaned(_shown(configuration.get("AppVersion")))[:60]
    part = FileHeader(f"SPECS Prodigy experiment {program}".strip())
    put(part.general, "Program", f"SpecsLab Prodigy {program}".strip())
    put(part.general, "Format version", cleaned(_shown(configuration.get("Version")))[:60] or None)
    try:
        regions = schedule(_bytes(configuration.get("Schedule")))
    except UnreadableError as error:
        part.problems.append(f"its schedule {error}")
        regions = []
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    times = _times(database) if "RawData" in tables else {}
    for region in regions:
        _add(database, tables, region, times)
    # A schedule also has spectra that were not measured: they are recorded only if none was measured.
    measured = [region for region in regions if region.began is not None]
    part.regions = measured or regions
    every = [time for of_node in times.values() for time in of_node]
    part.began, part.ended = min(every, default=None), max(every, default=None)
    put(part.general, "Scans", len(every) or None)
    return part


def _times(database: sqlite3.Connection) -> dict[int, list[float]]:
    """The start of each scan by node, in seconds since 1970. Prodigy writes UTC, as in its other exports."""
    found: dict[int, list[float]] = {}
    for node, date in database.execute(f"SELECT Node, ScanDate FROM RawData LIMIT {MAX_SCANS}"):  # noqa: S608
        when = seconds(moment(_shown(date), dt.UTC))
        if when is not None:
            found.setdefault(node, []).append(when)
    return found


def _add(database: sqlite3.Connection, tables: set[str], region: Region, times: dict[int, list[float]]) -> None:
    """Add the settings and times with which a spectrum was measured."""
    of_schedule = region.fields.get("Spectrum ID")
    node = of_schedule
    if "NodeMapping" in tables:
        node = next((row[0] for row in _rows(database, "NodeMapping", "Node", "InternalID", of_schedule)), node)
    if "NodeData" in tables:
        for (data,) in _rows(database, "NodeData", "Data", "Node", node):
            try:
                for name, text in parameters(_bytes(data)).items():
                    add(region, name, text)
            except UnreadableError:
                continue  # other nodes have no XML
    scans = times.get(node, []) if isinstance(node, int) else []
    if scans:
        region.began, region.ended = min(scans), ended(region, max(scans))
        put(region.fields, "Began", dt.datetime.fromtimestamp(region.began, dt.UTC).isoformat())
        put(region.fields, "Scans", len(scans))


def _rows(database: sqlite3.Connection, table: str, column: str, key: str, wanted: object) -> Iterator[tuple[Any, ...]]:
    """The rows of a query with our own table and column names; none if this version of the database lacks a column."""
    try:
        yield from database.execute(f"SELECT {column} FROM {table} WHERE {key} = ? LIMIT 1", (wanted,))  # noqa: S608
    except sqlite3.OperationalError as error:
        if "no such column" not in str(error):
            raise


def _shown(found: object) -> str:
    return _bytes(found)[:200].decode("utf-8", "replace")


def _bytes(found: object) -> bytes:
    return found if isinstance(found, bytes) else str(found if found is not None else "").encode("utf-8", "replace")
