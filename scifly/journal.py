"""Stores on disk what was found and recorded: after a crash no file is missed, and none is recorded twice.

One SQLite file per beamline, in WAL mode with a sync at every commit. The device and `scifly scan` may have it open at
the same time.
"""

from __future__ import annotations

import logging
import os
import re
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from scifish.settings import state_directory
from scifish.spool.database import rename_damaged
from scifly.model import (
    MEASUREMENT_COLUMNS,
    JournalFile,
    Measurement,
    ProposalContext,
    ProposalPeriod,
    file_of_row,
    measurement_of_row,
    row_of,
)

log = logging.getLogger(__name__)
Result = TypeVar("Result")

JOURNAL_LOCK_SECONDS = 5.0
"""Maximum seconds to wait for a lock that another process holds."""

NAMES_PER_QUERY = 500
"""Maximum number of names in one SQL query."""

# Paths are bytes: a name need not be UTF-8.
_TABLES = """
CREATE TABLE IF NOT EXISTS stays (
    root BLOB NOT NULL, proposal TEXT NOT NULL, sample TEXT NOT NULL, category TEXT NOT NULL,
    since REAL NOT NULL, seen REAL NOT NULL, left REAL
);
CREATE TABLE IF NOT EXISTS measurements (
    uuid TEXT PRIMARY KEY,
    path BLOB NOT NULL, -- what its files have in common
    generation INTEGER NOT NULL,
    root BLOB NOT NULL,
    profile TEXT NOT NULL,
    proposal TEXT NOT NULL, sample TEXT NOT NULL, category TEXT NOT NULL,
    started REAL, -- as its files say
    recordings INTEGER NOT NULL,
    complete INTEGER NOT NULL, -- whether more is not to come, as far as the last recording knew
    UNIQUE (path, generation)
);
CREATE TABLE IF NOT EXISTS files (
    path BLOB PRIMARY KEY,
    uuid TEXT NOT NULL,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL, born REAL,
    settled INTEGER NOT NULL, -- 0 until it is recorded, or its change is ignored
    changed INTEGER NOT NULL -- whether a change since it was recorded was ignored: inode and born are those of then
);
CREATE INDEX IF NOT EXISTS files_of ON files (uuid);
CREATE INDEX IF NOT EXISTS unsettled ON files (uuid) WHERE settled = 0;
"""


def journal_file(beamline: str) -> Path:
    """The path of a beamline's journal, in the account's state folder."""
    return state_directory() / "scifly" / f"{re.sub(r'[^A-Za-z0-9.-]+', '_', beamline) or 'unknown'}.journal"


class Journal:
    """The journal of a beamline. Threads may share it.

    Methods raise `sqlite3.Error` if the disk refuses the write; nothing has changed then. A damaged file is renamed to
    `.broken`, and a new one is started: this increments `age` and sets `trouble`.
    """

    def __init__(self, path: Path) -> None:
        """Raises OSError or sqlite3.Error if the file cannot be opened or created."""
        self.path = path
        self.age = 0
        self.trouble = ""
        self._lock = threading.RLock()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o770)
        try:
            self._db = self._connect()
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:
                raise
            self._begin_anew(error)

    def _connect(self) -> sqlite3.Connection:
        # Names of samples and proposals are confidential.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=JOURNAL_LOCK_SECONDS)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            db.executescript(_TABLES)
        except BaseException:
            db.close()
            raise
        return db

    def _begin_anew(self, why: Exception) -> None:
        aside = rename_damaged(self.path)
        self.trouble = (
            f"the journal {self.path} was damaged ({why}): it is kept as {aside.name}, and a new one is started; "
            "what is recorded again gets the same uuid"
        )
        log.error("%s", self.trouble)
        self._db = self._connect()
        self.age += 1

    def _read(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        return self._safely(lambda: work(self._db))

    def _do(self, work: Callable[[sqlite3.Connection], Result]) -> Result:
        """Run `work` in one transaction."""

        def transaction() -> Result:
            with _transaction(self._db):
                return work(self._db)

        return self._safely(transaction)

    def _safely(self, work: Callable[[], Result]) -> Result:
        """Run `work`, and run it again in a new file if this one is damaged."""
        with self._lock:
            try:
                return work()
            except sqlite3.DatabaseError as error:
                # Only the class itself means a damaged file; its subclasses have other causes.
                if type(error) is not sqlite3.DatabaseError:
                    raise
                self._db.close()
                self._begin_anew(error)
                return work()

    def close(self) -> None:
        with self._lock:
            self._db.close()

    # ---------------------------------------------------------- proposal periods

    def stay(self, stay: ProposalPeriod) -> None:
        """Start a proposal period, and end the current period of the same root."""
        place = stay.place

        def keep(db: sqlite3.Connection) -> None:
            root = os.fsencode(stay.root)
            db.execute("UPDATE stays SET left = ? WHERE root = ? AND left IS NULL", (stay.since, root))
            row = (root, place.proposal, place.sample, place.category, stay.since, stay.seen, stay.left)
            db.execute("INSERT INTO stays VALUES (?, ?, ?, ?, ?, ?, ?)", row)

        self._do(keep)

    def leave(self, root: str, seen: float, now: float) -> None:
        """End the period of this root at `now`. `seen` is the last time at which it was certainly still valid."""
        statement = "UPDATE stays SET seen = ?, left = ? WHERE root = ? AND left IS NULL"
        self._do(lambda db: db.execute(statement, (seen, now, _b(root))))

    def seen(self, now: float) -> None:
        """Confirm that all open periods are still valid at `now`."""
        self._do(lambda db: db.execute("UPDATE stays SET seen = max(seen, ?) WHERE left IS NULL", (now,)))

    def stays(self) -> list[ProposalPeriod]:
        """All periods, in the order of their start."""
        rows = self._read(lambda db: db.execute("SELECT * FROM stays ORDER BY since").fetchall())
        return [
            ProposalPeriod(_s(root), ProposalContext(*place), since, seen, left)
            for root, *place, since, seen, left in rows
        ]

    # --------------------------------------------------------------- measurements

    def latest(self, path: str) -> Measurement | None:
        """The newest generation of a measurement."""
        statement = f"SELECT {MEASUREMENT_COLUMNS} FROM measurements WHERE path = ? ORDER BY generation DESC LIMIT 1"  # noqa: S608
        row = self._read(lambda db: db.execute(statement, (_b(path),)).fetchone())
        return measurement_of_row(row) if row else None

    def known(self, paths: Sequence[str]) -> dict[str, JournalFile]:
        """The entries of those paths that are in the journal, by path."""

        def read(db: sqlite3.Connection) -> Iterator[JournalFile]:
            for some in _pieces([_b(path) for path in paths], NAMES_PER_QUERY):
                marks = ",".join("?" * len(some))
                yield from map(file_of_row, db.execute(f"SELECT * FROM files WHERE path IN ({marks})", some))  # noqa: S608

        return {file.path: file for file in self._read(lambda db: list(read(db)))}

    def files_of(self, uuid: str) -> list[JournalFile]:
        rows = self._read(lambda db: db.execute("SELECT * FROM files WHERE uuid = ?", (uuid,)).fetchall())
        return [file_of_row(row) for row in rows]

    def unfinished(self) -> list[tuple[Measurement, list[JournalFile]]]:
        """Measurements with files that are neither recorded nor ignored, each with all its files."""
        statement = (
            f"SELECT {MEASUREMENT_COLUMNS} FROM measurements WHERE uuid IN (SELECT uuid FROM files WHERE settled = 0)"  # noqa: S608
        )
        rows = self._read(lambda db: db.execute(statement).fetchall())
        return [(measurement_of_row(row), self.files_of(row[0])) for row in rows]

    def found(self, begun: Iterable[tuple[Measurement, Iterable[JournalFile]]]) -> None:
        """Store files that are to be recorded, of new or existing measurements.

        The entry of a file that was recorded before is not changed until its change is recorded or ignored.
        """
        rows = [(measurement, list(files)) for measurement, files in begun]

        def keep(db: sqlite3.Connection) -> None:
            for measurement, files in rows:
                _add(db, measurement)
                for file in files:
                    row = (_b(file.path), measurement.uuid, file.size, file.mtime_ns, file.inode, file.born)
                    db.execute(
                        "INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, 0, 0) ON CONFLICT (path) DO UPDATE SET"
                        " uuid = excluded.uuid, size = excluded.size, mtime_ns = excluded.mtime_ns,"
                        " inode = excluded.inode, born = excluded.born WHERE settled = 0",
                        row,
                    )

        self._do(keep)

    def renewed(self, begun: Iterable[tuple[Measurement, Iterable[JournalFile]]]) -> None:
        """Store new generations of measurements. Their files no longer belong to the generation before."""
        rows = [(measurement, list(files)) for measurement, files in begun]

        def keep(db: sqlite3.Connection) -> None:
            for measurement, files in rows:
                _add(db, measurement)
                _write(db, [(file, measurement.uuid, False) for file in files])

        self._do(keep)

    def recorded(self, done: Iterable[tuple[Measurement, Iterable[JournalFile]]]) -> None:
        """Store that these measurements are recorded, with the files that have changed."""
        rows = [(measurement, list(files)) for measurement, files in done]

        def keep(db: sqlite3.Connection) -> None:
            for measurement, files in rows:
                db.execute(
                    "UPDATE measurements SET started = ?, complete = ?, recordings = recordings + 1 WHERE uuid = ?",
                    (measurement.started, measurement.complete, measurement.uuid),
                )
                _write(db, [(file, measurement.uuid, True) for file in files])

        self._do(keep)

    def ignored(self, files: Iterable[JournalFile]) -> None:
        """Store changes of recorded files that are not recorded again."""
        rows = [(file, file.uuid, True) for file in files]
        self._do(lambda db: _write(db, rows))

    def forget(self, uuid: str, paths: Sequence[str]) -> None:
        """Remove files that were deleted before they could be recorded, and a measurement that has no others."""

        def keep(db: sqlite3.Connection) -> None:
            db.executemany("DELETE FROM files WHERE path = ? AND settled = 0", [(_b(path),) for path in paths])
            db.execute(
                "DELETE FROM measurements WHERE uuid = ? AND recordings = 0"
                " AND NOT EXISTS (SELECT 1 FROM files WHERE files.uuid = measurements.uuid)",
                (uuid,),
            )

        self._do(keep)


_b, _s = os.fsencode, os.fsdecode


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    finally:
        if db.in_transaction:  # also if the COMMIT itself failed on a full disk
            db.execute("ROLLBACK")


def _add(db: sqlite3.Connection, measurement: Measurement) -> None:
    marks = ", ".join("?" * len(row_of(measurement)))
    db.execute(f"INSERT OR IGNORE INTO measurements ({MEASUREMENT_COLUMNS}) VALUES ({marks})", row_of(measurement))  # noqa: S608


def _write(db: sqlite3.Connection, files: Iterable[tuple[JournalFile, str, bool]]) -> None:
    db.executemany(
        "INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (_b(file.path), uuid, file.size, file.mtime_ns, file.inode, file.born, settled, file.changed)
            for file, uuid, settled in files
        ],
    )


def _pieces(items: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
