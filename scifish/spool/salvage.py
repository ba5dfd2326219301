"""Gets what can be had out of damaged spools (`.broken`), into new ones that are sent as any other (`scifish salvage`).

SQLite reads a file up to the first page that is damaged, and a write-ahead log up to its first frame with a wrong
checksum. So each table is read from both ends, and row by row between them; and the log is read a second time, with all
frames that belong to it (https://www.sqlite.org/fileformat2.html). What is not a whole message or dataset is left out.
"""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import sqlite3
import struct
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scifish.message import Origin
from scifish.settings.identity import Identity
from scifish.spool.database import (
    BROKEN_SUFFIX,
    SPOOL_SUFFIX,
    OpenDatasetRow,
    Spool,
    delete_traces,
    identity_in,
    unknown_origin,
    unused,
)

log = logging.getLogger(__name__)

SALVAGED_SUFFIX = ".salvaged"
"""Damaged files that have been read are renamed, not deleted."""

MAX_PROBED_ROWS = 10_000
"""Rows before and beyond those that were found that are tried one by one; ten times as many between them."""

_COLUMNS = {
    "meta": "name, content",
    "outbox": "seq, topic, uuid, message, since, ''",
    "refused": "seq, topic, uuid, message, since, reason",
    "datasets": "uuid, started, single, announced, given, observed, ending, points, seen",
}

Row = tuple[Any, ...]


@dataclass
class Salvaged:
    """What was had out of a file. `spools` are the new ones; the file is `aside` now."""

    aside: Path

    messages: int = 0
    datasets: int = 0
    spools: list[Path] = field(default_factory=list)


def salvage(path: Path) -> Salvaged:
    """Make new spools of a damaged one, and rename it. OSError or sqlite3.Error if the disk refuses that."""
    tables = _read_all(path)
    meta = {name: content for name, content in tables["meta"] if isinstance(content, str)}
    messages = {row[0]: row for row in (*tables["outbox"], *tables["refused"]) if _is_message(row)}
    datasets: dict[str, Row] = {}
    over = {row[2] for row in messages.values() if json.loads(row[3])["type"] in ("ended", "snapshot")}
    for row in filter(_is_dataset, tables["datasets"]):
        known = datasets.get(row[0])
        if _dataset_uuid(row) not in over and (known is None or _progress(known) < _progress(row)):
            datasets[row[0]] = row
    origin, identity = _origin(meta, path), identity_in(meta)
    found = Salvaged(unused(path, SALVAGED_SUFFIX), len(messages), len(datasets))
    # The messages are numbered already; those of the datasets get numbers of a run of their own.
    if messages:
        rows = sorted(messages.values())
        found.spools.append(_spool(_new(path, "salvaged"), origin, identity, rows, []))
    if datasets:
        own: Origin = {**origin, "run": f"{origin['run']}-salvaged"}
        found.spools.append(_spool(_new(path, "salvaged-open"), own, identity, [], list(datasets.values())))
    for suffix in ("-wal", ""):
        with contextlib.suppress(FileNotFoundError):  # the first one
            path.with_name(path.name + suffix).rename(found.aside.with_name(found.aside.name + suffix))
    delete_traces(path)
    return found


def broken_files(folder: Path) -> list[Path]:
    """The damaged spools in a folder. OSError if it cannot be read."""
    return sorted(folder.glob(f"*{BROKEN_SUFFIX}"))


def _new(path: Path, word: str) -> Path:
    return unused(path.with_name(f"{path.stem}-{word}{BROKEN_SUFFIX}"), SPOOL_SUFFIX)


def _spool(path: Path, origin: Origin, identity: Identity | None, messages: list[Row], datasets: list[Row]) -> Path:
    spool = Spool(path, origin, identity=identity)
    try:
        spool.restore(messages, datasets)
    finally:
        spool.close()
    return path


def _origin(meta: Mapping[str, str], path: Path) -> Origin:
    """As it was recorded, else of the run that the file's name is."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        origin: Origin = json.loads(meta["origin"])
        if isinstance(origin["run"], str):
            return origin
    return unknown_origin(path)


def _is_message(row: Row) -> bool:
    with contextlib.suppress(ValueError, TypeError, KeyError):
        content = json.loads(row[3])
        sent_as = (content["seq"], content["uuid"])
        return sent_as == (row[0], row[2]) and isinstance(row[1], str) and isinstance(content["type"], str)
    return False


def _is_dataset(row: Row) -> bool:
    with contextlib.suppress(ValueError, TypeError, AttributeError):
        record = OpenDatasetRow(*row[:8]).record()
        return isinstance(row[0], str) and isinstance(record.given, dict) and isinstance(row[8], float)
    return False


def _dataset_uuid(row: Row) -> str:
    return OpenDatasetRow(*row[:8]).record().dataset


def _progress(row: Row) -> tuple[bool, float]:
    """Of two states of a dataset, that of the later one is greater."""
    return row[6] != "null", row[8]


# -------------------------------------------------------------------------------- the file


def _read_all(path: Path) -> dict[str, list[Row]]:
    """The rows of all tables, as SQLite reads the file, and as all frames of its log would make it."""
    found: dict[str, list[Row]] = {table: [] for table in _COLUMNS}
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".salvage-") as folder:
        for number, whole_log in enumerate((True, False)):
            copy = Path(folder) / f"{number}.db"
            shutil.copyfile(path, copy)
            wal = path.with_name(f"{path.name}-wal")
            if whole_log:
                _apply_all_frames(copy, wal)
            elif wal.exists():
                shutil.copyfile(wal, copy.with_name(f"{copy.name}-wal"))
            for table in _COLUMNS:
                found[table] += _rows(copy, table)
            if not found["meta"] and copy.stat().st_size:
                _replace_first_page(copy)
                for table in _COLUMNS:
                    found[table] += _rows(copy, table)
    return found


def _rows(path: Path, table: str) -> list[Row]:
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.text_factory = lambda text: text.decode("utf-8", "surrogateescape")
        found: dict[int, Row] = {}
        for order in ("ASC", "DESC"):
            try:
                for rowid, *row in db.execute(f"SELECT rowid, {_COLUMNS[table]} FROM {table} ORDER BY rowid {order}"):  # noqa: S608
                    found[rowid] = tuple(row)
            except sqlite3.Error as error:
                log.debug("%s, table %s: %s", path, table, error)
                if getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR):
                    return []  # there is no such table: its rows need not be tried one by one
            else:
                return list(found.values())
        for rowid in _between(found):
            with contextlib.suppress(sqlite3.Error):
                row = db.execute(f"SELECT {_COLUMNS[table]} FROM {table} WHERE rowid = ?", (rowid,)).fetchone()  # noqa: S608
                if row is not None:
                    found[rowid] = row
        return list(found.values())


def _between(found: Mapping[int, Row]) -> Iterator[int]:
    """The numbers of the rows that were not read, and some before and beyond."""
    first = max(min(found, default=0) - MAX_PROBED_ROWS, 1)
    last = min(max(found, default=0), first + 10 * MAX_PROBED_ROWS) + MAX_PROBED_ROWS
    return (rowid for rowid in range(first, last) if rowid not in found)


def _apply_all_frames(copy: Path, wal: Path) -> None:
    """Write the pages of all frames of the log into the file, whatever their checksums, up to the last commit."""
    content = wal.read_bytes() if wal.exists() else b""
    page = struct.unpack(">I", content[8:12])[0] if len(content) >= 32 else 0
    if page not in {1 << power for power in range(9, 17)}:
        page = 4096
    frames = [content[start : start + 24 + page] for start in range(32, len(content), 24 + page)]
    frames = [frame for frame in frames if len(frame) == 24 + page and frame[8:16] == content[16:24]]
    commits = [number for number, frame in enumerate(frames) if frame[4:8] != bytes(4)]
    with copy.open("r+b") as file:
        for frame in frames[: commits[-1] + 1] if commits else []:
            (number,) = struct.unpack(">I", frame[:4])
            if 0 < number <= len(frames) + copy.stat().st_size // page + MAX_PROBED_ROWS:
                file.seek((number - 1) * page)
                file.write(frame[24:])
    _mend_header(copy, page)


def _mend_header(copy: Path, page: int) -> None:
    """Its size in pages is that of the file, and it has no write-ahead log."""
    with copy.open("r+b") as file:
        header = bytearray(file.read(100))
        if len(header) == 100:
            header[18:20] = b"\x01\x01"
            header[28:32] = struct.pack(">I", copy.stat().st_size // page)
            header[92:96] = header[24:28]
            file.seek(0)
            file.write(header)


def _replace_first_page(copy: Path) -> None:
    """The first page says where the tables are: in all spools at the same places."""
    template = copy.with_name("template.db")
    with contextlib.closing(sqlite3.connect(template)) as db:
        Spool.make_tables(db)
    with copy.open("r+b") as file:
        file.write(template.read_bytes()[:4096])
    _mend_header(copy, 4096)
    template.unlink()
