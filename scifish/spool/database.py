"""The spool: what is to be sent, on the local disk until Kafka has it.

One SQLite file for each run of a program that records, in WAL mode with a sync at every commit,
so that what a call has returned from survives SIGKILL and a power cut. The program writes what it
says into it, and its companion process the rest. A lock file beside it says that one of the two
lives; a file whose lock is free is an orphan, which whoever starts next adopts.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import logging
import os
import sqlite3
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Any, TypeVar, cast

from scifish.dataset.compose import Observed, Record
from scifish.message import AnyMessage, Origin, bounded, encode

log = logging.getLogger(__name__)


Method = TypeVar("Method", bound=Callable[..., Any])


SPOOL_SUFFIX = ".spool"


_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, content TEXT NOT NULL);
-- datasets that have begun and whose last message is not yet composed
CREATE TABLE IF NOT EXISTS datasets (
    uuid TEXT PRIMARY KEY,
    started REAL NOT NULL,
    single INTEGER NOT NULL,
    announced INTEGER NOT NULL, -- whether `began` is to be sent: 0 no, 1 yes, 2 it is composed
    given TEXT NOT NULL,
    observed TEXT NOT NULL,
    ending TEXT NOT NULL, -- 'null' until it is over
    points INTEGER NOT NULL DEFAULT 0,
    seen REAL NOT NULL
);
-- composed messages, in the order in which they are sent
CREATE TABLE IF NOT EXISTS outbox (
    seq INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    uuid TEXT NOT NULL,
    message BLOB NOT NULL,
    since REAL NOT NULL
);
-- messages that Kafka will never take; they wait for a person
CREATE TABLE IF NOT EXISTS refused (
    seq INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    uuid TEXT NOT NULL,
    message BLOB NOT NULL,
    since REAL NOT NULL,
    reason TEXT NOT NULL
);
"""


class SpoolLocked(Exception):
    """The program that made this spool is still running."""


@dataclass(frozen=True)
class OutboxMessage:
    """A message of the outbox. `since` is in seconds since 1970."""

    seq: int
    topic: str
    uuid: str
    message: bytes
    since: float


@dataclass(frozen=True)
class OpenDataset:
    """A dataset without its last message; `seen` is its last sign of life, in seconds since 1970."""

    record: Record
    points: int
    seen: float
    announced: bool
    """Whether `began` is to be sent, and is not yet composed."""


@dataclass(frozen=True)
class OpenDatasetRow:
    """A dataset as it is first kept, its parts as texts (`as_text`). The order is that of the table's columns."""

    uuid: str
    started: float
    single: bool
    announced: bool
    given: str
    observed: str
    ending: str

    @staticmethod
    def of(record: Record, announced: bool = False, given: str | None = None) -> OpenDatasetRow:
        """`given` is the text of the record's, where there is one already."""
        parts = (given or as_text(record.given), as_text(record.observed.as_kept()), as_text(record.ending))
        return OpenDatasetRow(record.uuid, record.started, record.single, announced, *parts)

    def record(self) -> Record:
        """The dataset's record. ValueError if a text is no JSON."""
        given, observed, ending = json.loads(self.given), json.loads(self.observed), json.loads(self.ending)
        return Record(self.uuid, self.started, given, self.single, _observed(observed), ending)


@dataclass(frozen=True)
class OutboxBatch:
    """What is put into the outbox at once: messages of one dataset, as JSON that lacks its `seq`."""

    topic: str
    uuid: str
    pieces: tuple[bytes, ...]
    closes: str = ""
    begins: bool = False

    @staticmethod
    def of(topic: str, messages: Sequence[AnyMessage], closes: str = "") -> OutboxBatch:
        """ValueError for a NaN that slipped into a message."""
        pieces = tuple(encode(piece) for message in messages for piece in bounded(message))
        begins = not closes and messages[0].get("type") == "began"
        return OutboxBatch(topic, str(messages[0]["uuid"]), pieces, closes, begins)


def _rescued(write: Method) -> Method:
    """A write that begins a new file where this one is damaged: what comes must not be lost, too."""

    @functools.wraps(write)
    def rescued(self: Spool, *args: Any, **named: Any) -> Any:
        try:
            return write(self, *args, **named)
        except sqlite3.DatabaseError as error:
            # Of this class itself, and not of one below it, is only what says that the file is damaged.
            if type(error) is not sqlite3.DatabaseError or self.shared:
                raise  # of a shared file, its program begins a new one
            self.start_new_file(error)
            return write(self, *args, **named)

    return cast(Method, rescued)


class Spool:
    """One file. Not for several threads: `scifish.spool.executor` is the one thread of a process that uses it.

    All methods may raise `sqlite3.Error`, and have then changed nothing.
    """

    def __init__(self, path: Path, origin: Origin | None = None, lock: int | None = None) -> None:
        """Take the file for this process; with `origin` it is made, without it is an orphan's.

        With `lock`, the descriptor of a lock that is held already, the file is shared with the
        program that holds it. Raises SpoolLocked if another process has it, FileNotFoundError if
        an orphan is gone.
        """
        self.path = path
        self.shared = lock is not None
        self.lock = _take_lock(path.with_suffix(".lock")) if lock is None else lock
        self.open_rows: Callable[[], Sequence[OpenDatasetRow]] = tuple
        """Says which datasets have not ended, where a new file has to be begun."""
        try:
            if origin is None and not path.exists():
                raise FileNotFoundError(path)
            # What is in it is not for everybody: SQLite gives its other files the same mode.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._db = self._connect()
            if origin is not None:
                self._db.execute("INSERT OR REPLACE INTO meta VALUES ('origin', ?)", (json.dumps(origin),))
            row = self._db.execute("SELECT content FROM meta WHERE name = 'origin'").fetchone()
            if row is None:  # its program was killed between making the file and the line above
                row = (json.dumps({"host": "", "program": "", "version": "", "run": path.stem}),)
            self.origin: Origin = json.loads(row[0])
        except BaseException:
            os.close(self.lock)
            raise

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=1.0)
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("PRAGMA synchronous=FULL")
        db.executescript(_TABLES)
        return db

    def skip_checkpoints(self) -> None:
        """Let the companion bring the log into the file: it takes long, and the caller is a scan."""
        self._db.execute("PRAGMA wal_autocheckpoint=20000")  # pages of 4 kB: only where nobody else does

    def set_limit(self, size: int) -> None:
        """The file takes no more than `size` bytes; then it refuses as a full disk does."""
        (page,) = self._db.execute("PRAGMA page_size").fetchone()
        self._db.execute(f"PRAGMA max_page_count={max(size // int(page), 1)}")

    def size(self) -> int:
        """Bytes of the file that are in use."""
        page, pages, free = (
            int(self._db.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_size", "page_count", "freelist_count")
        )
        return page * (pages - free)

    def start_new_file(self, why: Exception) -> None:
        """Put a damaged file aside as `.broken`, and go on in a new one as a new run."""
        aside = rename_damaged(self.path)
        log.error("the spool %s is damaged (%s): it is kept as %s, and a new one is begun", self.path, why, aside)
        self._db.close()
        self._db = self._connect()
        self.origin = {**self.origin, "run": f"{self.origin['run']}-{int(time.time())}"}
        self._db.execute("INSERT OR REPLACE INTO meta VALUES ('origin', ?)", (json.dumps(self.origin),))
        for kept in self.open_rows():
            self._insert(kept)

    # -------------------------------------------------------------- open datasets

    @_rescued
    def begin(self, kept: OpenDatasetRow) -> None:
        """Keep the intention: a dataset begins, or is there at once (`single`). Repeatable."""
        self._insert(kept)

    @_rescued
    def begin_all(self, all_kept: Sequence[OpenDatasetRow]) -> None:
        """`begin` of each: all are kept, or none."""
        with self._transaction():
            for kept in all_kept:
                self._insert(kept)

    def _insert(self, kept: OpenDatasetRow) -> None:
        # One statement is a transaction by itself, and this one a scan waits for: each further
        # call of SQLite gives the interpreter away, and waits until it is free again.
        self._db.execute(
            "INSERT OR REPLACE INTO datasets (uuid, started, single, announced, given, observed, ending, seen)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (*astuple(kept), time.time()),
        )

    @_rescued
    def save_observed(self, uuid: str, content: str) -> None:
        """Keep `observed` (`as_text`) of a dataset, if it is still open."""
        self._db.execute("UPDATE datasets SET observed = ?, seen = ? WHERE uuid = ?", (content, time.time(), uuid))

    @_rescued
    def end(self, uuid: str, given: str | None, ending: str) -> None:
        """Keep `ending`, and `given` where it is not None, of a dataset that is over."""
        self._db.execute(
            "UPDATE datasets SET ending = ?, given = coalesce(?, given), seen = ? WHERE uuid = ?",
            (ending, given, time.time(), uuid),
        )

    @_rescued
    def announce(self, uuid: str, given: str | None) -> None:
        """`began` is to be sent, with `given` where it is not None."""
        self._db.execute(
            "UPDATE datasets SET announced = max(announced, 1), given = coalesce(?, given) WHERE uuid = ?",
            (given, uuid),
        )

    @_rescued
    def progress(self, points: dict[str, tuple[int, str | None]]) -> None:
        """By uuid: the number of points, and `given` where it is not None."""
        now = time.time()
        with self._transaction():
            self._db.executemany(
                # Not of one that is over: its last word is there.
                "UPDATE datasets SET points = ?, given = coalesce(?, given), seen = ?"
                " WHERE uuid = ? AND ending = 'null'",
                [(count, given, now, uuid) for uuid, (count, given) in points.items()],
            )

    def open_datasets(self, only: Collection[str] | None = None) -> list[OpenDataset]:
        """In the order in which they began; `only` those of these uuids."""
        rows = self._db.execute(
            "SELECT uuid, started, single, given, observed, ending, points, seen, announced FROM datasets"
            " WHERE ? OR uuid IN (SELECT value FROM json_each(?)) ORDER BY rowid",
            (only is None, json.dumps(list(only or ()))),
        ).fetchall()
        return [
            OpenDataset(
                OpenDatasetRow(uuid, started, bool(single), announced == 1, given, observed, ending).record(),
                points,
                seen,
                announced == 1,
            )
            for uuid, started, single, given, observed, ending, points, seen, announced in rows
        ]

    def open_states(self) -> list[tuple[str, bool, bool]]:
        """Of each open dataset: its uuid, whether `began` is still to be sent, and whether it is over."""
        rows = self._db.execute("SELECT uuid, announced, ending != 'null' FROM datasets")
        return [(uuid, announced == 1, bool(ended)) for uuid, announced, ended in rows]

    def forget(self, uuid: str) -> None:
        """Drop an open dataset without a message: it was proprietary."""
        self._db.execute("DELETE FROM datasets WHERE uuid = ?", (uuid,))

    # --------------------------------------------------------------------- outbox

    def put(self, topic: str, *messages: AnyMessage, closes: str = "") -> list[int]:
        """Put composed messages of one dataset into the outbox, a long one in pieces; their `seq` are returned.

        The recording whose uuid is `closes` is no longer open: all happen, or nothing.
        """
        return self.put_all([OutboxBatch.of(topic, messages, closes)])

    @_rescued
    def put_all(self, puts: Sequence[OutboxBatch]) -> list[int]:
        """The same of several datasets: all are put, or none."""
        with self._transaction():
            row = self._db.execute("SELECT content FROM meta WHERE name = 'seq'").fetchone()
            first = int(row[0]) + 1 if row else 1
            now = time.time()
            rows = [(put, piece) for put in puts for piece in put.pieces]
            self._db.executemany(
                "INSERT INTO outbox VALUES (?, ?, ?, ?, ?)",
                (
                    (seq, put.topic, put.uuid, b'{"seq":%d,' % seq + piece.removeprefix(b"{"), now)
                    for seq, (put, piece) in enumerate(rows, start=first)
                ),
            )
            last = first + len(rows) - 1
            self._db.execute("INSERT OR REPLACE INTO meta VALUES ('seq', ?)", (str(last),))
            self._db.executemany("DELETE FROM datasets WHERE uuid = ?", [(put.closes,) for put in puts if put.closes])
            begun = [(put.uuid,) for put in puts if put.begins]
            self._db.executemany("UPDATE datasets SET announced = 2 WHERE uuid = ?", begun)
        return list(range(first, last + 1))

    def waiting(self, limit: int, after: int = 0) -> list[OutboxMessage]:
        """The oldest messages whose seq is above `after`."""
        rows = self._db.execute("SELECT * FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit))
        return [OutboxMessage(*row) for row in rows]

    def count(self) -> int:
        """How many messages wait."""
        return int(self._db.execute("SELECT count(*) FROM outbox").fetchone()[0])

    def delivered(self, seqs: Sequence[int]) -> None:
        """Kafka has them: drop them."""
        with self._transaction():
            self._db.executemany("DELETE FROM outbox WHERE seq = ?", [(seq,) for seq in seqs])

    def refuse(self, seq: int, reason: str) -> None:
        """Move a message that Kafka will never take out of the way of the others."""
        with self._transaction():
            self._db.execute("INSERT INTO refused SELECT *, ? FROM outbox WHERE seq = ?", (reason, seq))
            self._db.execute("DELETE FROM outbox WHERE seq = ?", (seq,))

    # ------------------------------------------------------------------ the file

    @_rescued
    def save_trouble(self, why: str) -> None:
        """Why nothing goes out, for `scifish status` of another process; "" if all is well."""
        self._db.execute("INSERT OR REPLACE INTO meta VALUES ('trouble', ?)", (why,))

    @property
    def empty(self) -> bool:
        """Whether nothing in it is of any use to anybody."""
        row = self._db.execute(
            "SELECT EXISTS (SELECT 1 FROM datasets) + EXISTS (SELECT 1 FROM outbox) + EXISTS (SELECT 1 FROM refused)"
        ).fetchone()
        return bool(row[0] == 0)

    def close(self) -> None:
        """Let go of it; an empty one is removed."""
        try:
            empty = self.empty
            self._db.close()
            if empty:
                # The lock is held until the end, so that nobody adopts what is being removed.
                for name in (SPOOL_SUFFIX, f"{SPOOL_SUFFIX}-wal", f"{SPOOL_SUFFIX}-shm", ".log", ".lock"):
                    self.path.with_suffix(name).unlink(missing_ok=True)
        finally:
            self._db.close()
            os.close(self.lock)

    def leave(self) -> None:
        """Let go of it, and leave it to the process with which it is shared."""
        self._db.close()
        os.close(self.lock)

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db)


class _Transaction:
    """All or nothing, also where SQLite has given up the transaction by itself (a full disk)."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def __enter__(self) -> None:
        self._db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        try:
            if kind is None:
                self._db.execute("COMMIT")
        finally:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")


def orphans(directory: Path) -> list[Spool]:
    """The spools in a folder whose programs are gone, taken for this process. OSError if it cannot be read."""
    found = []
    for path in sorted(directory.glob(f"*{SPOOL_SUFFIX}")):
        try:
            found.append(Spool(path))
        except (SpoolLocked, FileNotFoundError):
            continue  # it is in use, or another process was quicker
        except PermissionError:
            log.debug("%s belongs to another account", path)
        except (OSError, sqlite3.OperationalError) as error:
            log.error("the spool %s, left by another program, cannot be opened: %s", path, error)
        except (sqlite3.DatabaseError, ValueError) as error:
            log.error(
                "the spool %s, left by another program, is damaged (%s): see %s", path, error, rename_damaged(path)
            )
    return found


def rename_damaged(path: Path) -> Path:
    """Rename a damaged spool, so that a person can look at it and nobody tries it again."""
    aside = path.with_suffix(".broken")
    count = 1
    while aside.exists():  # of an earlier time
        count += 1
        aside = path.with_name(f"{path.stem}-{count}.broken")
    path.rename(aside)
    with contextlib.suppress(FileNotFoundError):  # what came last is in it, and nowhere else
        path.with_name(f"{path.name}-wal").rename(f"{aside}-wal")
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    return aside


def _observed(kept: dict[str, Any] | None) -> Observed:
    """Of an older or newer version it may have other fields."""
    known = {one.name for one in fields(Observed)}
    return Observed(**{name: value for name, value in (kept or {}).items() if name in known})


def _take_lock(path: Path) -> int:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise SpoolLocked(path) from error
    return handle


def as_text(content: Mapping[str, Any] | bool | None) -> str:
    """As it is kept: JSON on one line."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False)
