"""The spool: open datasets and messages on the local disk until Kafka has confirmed them.

One SQLite file for each run of a program that records, in WAL mode with a sync at every commit: data that a call has
written survives SIGKILL and a power cut. The program writes what it knows of its datasets, and its companion process
the attributes' values and the messages. A lock file beside it is held while one of the two runs. A spool whose lock is
free is an orphan: the next program that starts on this machine adopts it.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import json
import logging
import os
import pwd
import sqlite3
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, astuple, dataclass, fields
from pathlib import Path
from typing import Any, TypeGuard, TypeVar, cast
from urllib.parse import quote

from scifish.dataset.compose import Observed, Record
from scifish.message import AnyMessage, Origin, bounded, encode
from scifish.settings.identity import Identity
from scifish.spool.disk import open_file, why_refused
from scifish.spool.requests import REQUEST_SUFFIX
from scifish.spool.unconfirmed import Unconfirmed

log = logging.getLogger(__name__)


Method = TypeVar("Method", bound=Callable[..., Any])


SPOOL_SUFFIX = ".spool"

BROKEN_SUFFIX = ".broken"
"""Of a damaged spool, which no program opens again; `scifish salvage` reads what can be read."""


_TABLES = """
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, content TEXT NOT NULL);
-- open datasets: they have begun, and their last message is not composed yet
CREATE TABLE IF NOT EXISTS datasets (
    uuid TEXT PRIMARY KEY,
    started REAL NOT NULL,
    single INTEGER NOT NULL,
    announced INTEGER NOT NULL, -- whether `began` is to be sent: 0 no, 1 yes, 2 it is composed
    given TEXT NOT NULL,
    observed TEXT NOT NULL,
    ending TEXT NOT NULL, -- 'null' until it is over
    points INTEGER, -- NULL: nobody counts them
    seen REAL NOT NULL
);
-- composed messages, in the order of sending
CREATE TABLE IF NOT EXISTS outbox (
    seq INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    uuid TEXT NOT NULL,
    message BLOB NOT NULL,
    since REAL NOT NULL
);
-- messages that Kafka refuses, also alone; they are tried again with growing waits
CREATE TABLE IF NOT EXISTS refused (
    seq INTEGER PRIMARY KEY,
    topic TEXT NOT NULL,
    uuid TEXT NOT NULL,
    message BLOB NOT NULL,
    since REAL NOT NULL,
    reason TEXT NOT NULL
);
"""


_SELECT_ALL = {
    "meta": "SELECT * FROM meta",
    "datasets": "SELECT * FROM datasets",
    "outbox": "SELECT * FROM outbox",
    "refused": "SELECT * FROM refused",
}
_INSERT_INTO = {
    "meta": "INSERT INTO meta VALUES (?, ?)",
    "datasets": "INSERT INTO datasets VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
    "outbox": "INSERT INTO outbox VALUES (?, ?, ?, ?, ?)",
    "refused": "INSERT INTO refused VALUES (?, ?, ?, ?, ?, ?)",
}
_INSERT_DATASET = (
    "INSERT OR REPLACE INTO datasets (uuid, started, single, announced, given, observed, ending, points, seen)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


_SHARED_FIRST, _SHARED_SIZE = 0x40000002, 510
"""The bytes that a connection of SQLite locks as long as it is open, in WAL mode
(https://www.sqlite.org/walformat.html#locks_on_the_wal_index_and_on_the_database_file, `os.h`)."""


class SpoolGone(sqlite3.DatabaseError):
    """Somebody has removed the file of a spool while its program runs."""


class SpoolBroken(sqlite3.DatabaseError):
    """The file was damaged, and this process has put it aside (`Spool.put_aside`)."""


def is_damage(error: BaseException) -> TypeGuard[sqlite3.DatabaseError]:
    """Whether the file is damaged or gone: SQLite raises this very class then; other subclasses mean something else."""
    return type(error) in (sqlite3.DatabaseError, SpoolGone)


class SpoolLocked(Exception):
    """Another process has this spool open: its program or its companion is running."""


@dataclass(frozen=True)
class OutboxMessage:
    """A message that waits to be sent. `since` is when it was written, in seconds since 1970."""

    seq: int
    topic: str
    uuid: str
    message: bytes
    since: float


@dataclass(frozen=True)
class OpenDataset:
    """A dataset whose last message is not composed.

    `points` is None if nobody counts them; `seen` is the program's last sign of life, in seconds since 1970.
    """

    record: Record
    points: int | None
    seen: float
    announced: bool
    """Whether `began` has to be sent and is not composed yet."""


@dataclass(frozen=True)
class OpenDatasetRow:
    """A row of the table `datasets` as it is first written; its parts are JSON texts (`as_text`). Fields as columns."""

    uuid: str
    started: float
    single: bool
    announced: bool
    given: str
    observed: str
    ending: str
    points: int | None = None

    @staticmethod
    def of(
        record: Record, announced: bool = False, given: str | None = None, points: int | None = None
    ) -> OpenDatasetRow:
        """`given` is the JSON text of `record.given`, if the caller has it already."""
        parts = (given or as_text(record.given), as_text(record.observed.as_kept()), as_text(record.ending))
        return OpenDatasetRow(record.uuid, record.started, record.single, announced, *parts, points)

    def record(self) -> Record:
        """The dataset's record. ValueError if a text is not JSON."""
        given, observed, ending = json.loads(self.given), json.loads(self.observed), json.loads(self.ending)
        return Record(self.uuid, self.started, given, self.single, _observed(observed), ending)


@dataclass(frozen=True)
class OutboxBatch:
    """Messages of one dataset that enter the outbox in one transaction, as JSON without `seq`.

    `closes` is the uuid of the recording that is complete with them, "" if none is; `begins`: the first one is `began`.
    """

    topic: str
    uuid: str
    pieces: tuple[bytes, ...]
    closes: str = ""
    begins: bool = False

    @staticmethod
    def of(topic: str, messages: Sequence[AnyMessage], closes: str = "") -> OutboxBatch:
        """ValueError if a message has a NaN."""
        pieces = tuple(encode(piece) for message in messages for piece in bounded(message))
        begins = not closes and messages[0].get("type") == "began"
        return OutboxBatch(topic, str(messages[0]["uuid"]), pieces, closes, begins)


def _noting_damage(access: Method) -> Method:
    """A method that keeps in `damage` what SQLite finds: whoever handles the error then knows of which spool it is.

    `PRAGMA quick_check` could not tell it: it does not compare an index with its table, for example.
    """

    @functools.wraps(access)
    def noting_damage(self: Spool, *args: Any, **named: Any) -> Any:
        try:
            return access(self, *args, **named)
        except sqlite3.DatabaseError as error:
            if is_damage(error):
                self.damage = str(error)
            raise

    return cast(Method, noting_damage)


def _with_new_file(write: Method) -> Method:
    """A write that starts a new file if this one is damaged, so that no further data is lost."""
    noting = _noting_damage(write)

    @functools.wraps(write)
    def with_new_file(self: Spool, *args: Any, **named: Any) -> Any:
        try:
            return noting(self, *args, **named)
        except sqlite3.DatabaseError as error:
            if not is_damage(error) or self.shared:
                raise  # the program that shares the file with us starts the new one
            self.start_new_file(error)
            return write(self, *args, **named)

    return cast(Method, with_new_file)


class Spool:
    """One spool file. Not thread-safe: in each process only the thread of `SpoolExecutor` uses it.

    All methods may raise `sqlite3.Error`; the file is then unchanged.
    """

    def __init__(
        self,
        path: Path,
        origin: Origin | None = None,
        lock: int | None = None,
        identity: Identity | None = None,
    ) -> None:
        """Create the file for this process (with `origin`), adopt an orphan (without), or share it (with `lock`).

        `identity` says under which settings a new one is recorded. `lock` is the inherited descriptor of the lock that
        the program holds. Raises SpoolLocked if another process has the file, FileNotFoundError if an orphan does not
        exist any more.
        """
        self.path = path
        self.shared = lock is not None
        """Whether the program has the file too: it is the one that starts a new file."""
        self.lock = _take_lock(path.with_suffix(".lock")) if lock is None else lock
        self.open_rows: Callable[[], Sequence[OpenDatasetRow]] = tuple
        """Returns the open datasets that this process knows, for a new file in place of one that is damaged or gone."""
        self.inode = 0
        """Of the file that was opened last; 0 before a new one is opened."""
        self.damage = ""
        """What SQLite has found in the file that is open; "" if nothing."""
        self.broken = False
        """Whether the file was put aside: then all accesses raise SpoolBroken."""
        self._unconfirmed = Unconfirmed() if self.shared else None  # the process that shares the file sends it
        self._incomplete = False  # what this process knows is not in the new file yet
        self._connection: sqlite3.Connection | None = None
        self._checkpoints = True
        self._limit = 0  # bytes; 0: none
        self._last_seq = 0  # that this process knows of
        self._seen: dict[Path, os.stat_result] = {}
        try:
            if origin is None and not path.exists():
                raise FileNotFoundError(path)
            if origin is None and lock is None:
                self._check_alone()
            os.close(open_file(path, os.O_RDWR))
            if origin is not None:
                with self._transaction():
                    self._write_meta("origin", json.dumps(origin))
                    if identity is not None:
                        self._write_meta("identity", json.dumps(asdict(identity)))
                self._note_seq(0)
            meta = dict(self._db.execute("SELECT name, content FROM meta"))
            self._last_seq = int(meta.get("seq", 0))
            if origin is None and lock is None:
                self._check_against_note(meta)
                self._check_pages()
            # Without an origin, its program was killed before the lines above.
            self.origin: Origin = json.loads(meta["origin"]) if "origin" in meta else unknown_origin(path)
            self.identity = identity_in(meta)
            """Under which settings it was recorded; None if a program of an older version has recorded it."""
        except BaseException:
            if self._connection is not None:
                self._connection.close()
            os.close(self.lock)
            raise

    @property
    def _db(self) -> sqlite3.Connection:
        """The connection. One to a new file is opened by the first call for which the disk allows it."""
        if self.broken:
            raise SpoolBroken(f"the spool {self.path} was damaged, and is put aside")
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> sqlite3.Connection:
        # Without `rw` SQLite would make a file if the program is just replacing it.
        uri = f"file:{quote(os.fsencode(self.path))}?mode=rw"
        self.inode = self.path.stat().st_ino
        db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=1.0)
        try:
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            self.make_tables(db)
            if not self._checkpoints:
                db.execute("PRAGMA wal_autocheckpoint=20000")  # pages of 4 kB: if the companion does not do it
            self._apply_limit(db)
        except BaseException:
            db.close()
            raise
        self._seen = {}
        return db

    def skip_checkpoints(self) -> None:
        """Leave the checkpoints of the write-ahead log to the companion: they take long, and we run scans."""
        self._checkpoints = False
        self._db.execute("PRAGMA wal_autocheckpoint=20000")

    @_noting_damage
    def set_limit(self, size: int) -> None:
        """Limit the file to `size` bytes; beyond that, writes fail as on a full disk."""
        self._limit = size
        self._apply_limit(self._db)

    def _apply_limit(self, db: sqlite3.Connection) -> None:
        if self._limit:
            (page,) = db.execute("PRAGMA page_size").fetchone()
            db.execute(f"PRAGMA max_page_count={max(self._limit // int(page), 1)}")

    @_noting_damage
    def size(self) -> int:
        """The used bytes of the file."""
        page, pages, free = (
            int(self._db.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_size", "page_count", "freelist_count")
        )
        return page * (pages - free)

    # ------------------------------------------------------ a file that is damaged or gone

    def start_new_file(self, why: Exception) -> None:
        """Continue in a new file, with the open datasets; a damaged one is renamed to `.broken`.

        The new one is complete before it takes the place of the other: whatever the disk refuses, this spool is as it
        was, and the same write fails again and is tried again. `seq` goes on, so that what is lost is a gap in it.
        """
        new = self.path.with_suffix(".new")
        for leftover in (new, new.with_name(f"{new.name}-journal")):
            leftover.unlink(missing_ok=True)
        os.close(open_file(new, os.O_RDWR | os.O_EXCL))
        rescued = isinstance(why, SpoolGone) and self._fill(new, self._rows_of_old_file)
        if not rescued:
            self._fill(new, dict)
        if rescued:
            for name in ("", "-wal", "-shm"):
                self.path.with_name(self.path.name + name).unlink(missing_ok=True)
            log.error("the spool %s: %s. A new file has what was in it.", self.path, why)
        else:
            aside = rename_damaged(self.path)
            log.error(
                "the spool %s is damaged (%s): it is renamed to %s and replaced by a new one", self.path, why, aside
            )
        new.rename(self.path)
        self._disconnect()

    @_noting_damage
    def follow(self) -> bool:
        """If the program has started a new file, open it, and write into it what this process knows; whether it has.

        For the process that shares the file. To be called often, as SQLite would not notice it.
        """
        with contextlib.suppress(FileNotFoundError):  # it is just being replaced
            if self._connection is not None and self.path.stat().st_ino != self.inode:
                self._disconnect()
                self._incomplete = True
        if not self._incomplete:
            self._remember()
            return False
        with self._transaction():
            self._write_known(self._db)
            # The program does not have them.
            rows = [row for row in self.open_rows() if json.loads(row.observed)["values"] is not None]
            observed = [(row.observed, row.uuid) for row in rows]
            self._db.executemany("UPDATE datasets SET observed = ? WHERE uuid = ?", observed)
            self._follow_note()
        self._incomplete = False
        return True

    def _disconnect(self) -> None:
        """SQLite leaves the files of the new one alone, as the path of the old one is another file now."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self.inode, self.damage = 0, ""

    def put_aside(self) -> None:
        """Give up the damaged spool of another program: its file is renamed to `.broken`, for `scifish salvage`."""
        self.broken = True
        try:
            aside = rename_damaged(self.path)
            log.error("the spool %s is damaged (%s): it is renamed to %s", self.path, self.damage, aside)
        except OSError as error:
            log.error("the spool %s is damaged (%s), and cannot be renamed: %s", self.path, self.damage, error)
        self._disconnect()
        os.close(self.lock)

    def _remember(self) -> None:
        kept = self._unconfirmed
        if kept is not None:
            kept.add(self._db.execute("SELECT * FROM outbox WHERE seq > ? ORDER BY seq", (kept.last,)))

    def _fill(self, new: Path, rows: Callable[[], Mapping[str, Iterable[Sequence[object]]]]) -> bool:
        """Write tables with these rows, and the open datasets, into a new file; False if the rows cannot be read."""
        with contextlib.closing(sqlite3.connect(new, isolation_level=None)) as db:
            db.execute("PRAGMA synchronous=FULL")
            self.make_tables(db)
            db.execute("BEGIN")
            try:
                for table, found in rows().items():
                    for row in found:
                        db.execute(_INSERT_INTO[table], row)
            except sqlite3.DatabaseError as error:
                if not is_damage(error):
                    raise  # the disk of the new one
                return False
            meta = {"origin": json.dumps(self.origin), "seq": str(self._highest_seq())}
            if self.identity is not None:
                meta["identity"] = json.dumps(asdict(self.identity))
            db.executemany("INSERT OR IGNORE INTO meta VALUES (?, ?)", meta.items())
            self._write_known(db)
            db.execute("COMMIT")
        return True

    def _write_known(self, db: sqlite3.Connection) -> None:
        """Write the open datasets and unconfirmed messages that this process knows, unless they are there."""
        insert = _INSERT_DATASET.replace("REPLACE", "IGNORE")
        db.executemany(insert, [(*astuple(opened), time.time()) for opened in self.open_rows()])
        db.executemany(
            "INSERT OR IGNORE INTO outbox SELECT ?1, ?2, ?3, ?4, ?5 WHERE ?1 NOT IN (SELECT seq FROM refused)",
            self._unconfirmed or (),
        )

    def _rows_of_old_file(self) -> dict[str, sqlite3.Cursor]:
        """What was removed is still there for those who have it open."""
        return {table: self._db.execute(select) for table, select in _SELECT_ALL.items()}

    @_with_new_file
    def check_file(self) -> None:
        """Start a new file if somebody has removed or truncated this one: SQLite would not notice it."""
        self._db.execute("SELECT 1")
        self._renew_lock()
        self._find_gone()
        self._follow_note()

    def _follow_note(self) -> None:
        """The companion may have numbered a message for a file that was removed: others would miss it here."""
        row = self._db.execute("SELECT content FROM meta WHERE name = 'seq'").fetchone()
        if (highest := self._highest_seq()) > (int(row[0]) if row else 0):
            self._write_meta("seq", str(highest))

    def _find_gone(self) -> None:
        """SpoolGone or sqlite3.DatabaseError if the files are not those that SQLite has open, or are truncated."""
        for path in (self.path, self.path.with_name(f"{self.path.name}-wal")):
            before = self._seen.get(path)
            try:
                now = path.stat()
            except FileNotFoundError:
                if before is not None:
                    raise SpoolGone(f"somebody has removed {path}") from None
                continue  # SQLite makes the second one at the first write
            if before is not None and (before.st_dev, before.st_ino) != (now.st_dev, now.st_ino):
                raise SpoolGone(f"somebody has replaced {path}")
            if before is not None and now.st_size < before.st_size:  # SQLite truncates neither while it has them open
                raise sqlite3.DatabaseError(f"somebody has truncated {path}")
            self._seen[path] = now

    def _renew_lock(self) -> None:
        """Lock the lock file anew if somebody has removed or replaced it.

        Until then `_check_alone` keeps other programs away. The companion has to hold the new lock, too.
        """
        path = self.path.with_suffix(".lock")
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == os.fstat(self.lock).st_ino:
                return
        seq, old = self._highest_seq(), self.lock
        try:
            self.lock = _take_lock(path)
        except SpoolLocked:
            return  # another program is looking at it, and will find that this one has the file open
        os.close(old)
        self._note_seq(seq)
        log.error("somebody has removed or replaced %s: it is locked anew", path)

    def _check_alone(self) -> None:
        """SpoolLocked if another process has the file of an orphan open, although its lock is free.

        Somebody has then removed or replaced the lock file. Must not be called for a file that this process has open:
        closing it here would release SQLite's locks.
        """
        with self.path.open("r+b") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _SHARED_SIZE, _SHARED_FIRST)
            except (BlockingIOError, PermissionError) as error:
                raise SpoolLocked(self.path) from error

    def _note_seq(self, seq: int) -> None:
        """Write the last `seq` into the lock file: it shows what has vanished with the other one. It is not synced."""
        before = os.fstat(self.lock)
        if os.geteuid() not in (0, before.st_uid):
            return  # this account may not set the time, which matters more
        with contextlib.suppress(OSError):  # the commit counts; without this a loss is seen by SciCow only later
            os.pwrite(self.lock, b"%020d\n" % seq, 0)
        os.utime(self.lock, ns=(before.st_atime_ns, before.st_mtime_ns))  # the time is that of `show_alive`

    def _noted_seq(self) -> int | None:
        noted = os.pread(self.lock, 21, 0)
        return int(noted) if noted.strip().isdigit() else None

    def _highest_seq(self) -> int:
        """The last number that was given: the other process may have noted it, and this one may be unable to."""
        return max(self._noted_seq() or 0, self._last_seq)

    def _check_pages(self) -> None:
        """sqlite3.DatabaseError if the file is damaged. One of an orphan would hold up the messages of this program."""
        (found,) = self._db.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(str(found).replace("\n", " "))

    def _check_against_note(self, meta: Mapping[str, str]) -> None:
        """sqlite3.DatabaseError if less is in the file than was written: it, or its -wal, was removed or emptied."""
        noted = self._noted_seq()
        if noted is not None and ("origin" not in meta or int(meta.get("seq", 0)) < noted):
            raise sqlite3.DatabaseError(f"messages up to {noted} were written, and it has {meta.get('seq', 'none')}")

    # -------------------------------------------------------------- open datasets

    @_with_new_file
    def begin(self, row: OpenDatasetRow) -> None:
        """Write a dataset that begins, or is complete at once (`single`). Repeatable."""
        self._insert(row)

    @_with_new_file
    def begin_all(self, rows: Sequence[OpenDatasetRow]) -> None:
        """`begin` of each dataset: all are written, or none."""
        with self._transaction():
            for row in rows:
                self._insert(row)

    def _insert(self, row: OpenDatasetRow) -> None:
        # A scan waits for this statement, which is a transaction by itself: each further call of SQLite releases
        # Python's interpreter lock, and has to wait for it afterwards.
        self._db.execute(_INSERT_DATASET, (*astuple(row), time.time()))

    @_with_new_file
    def save_observed(self, uuid: str, content: str) -> None:
        """Update `observed` (JSON text) of a dataset, if it is still open."""
        # No sign of life: the companion reads the values, also when the program has been killed meanwhile.
        self._db.execute("UPDATE datasets SET observed = ? WHERE uuid = ?", (content, uuid))

    @_with_new_file
    def end(self, uuid: str, given: str | None, ending: str) -> None:
        """Write `ending` of a dataset that is over, and `given` unless it is None (both JSON texts)."""
        self._db.execute(
            "UPDATE datasets SET ending = ?, given = coalesce(?, given), seen = ? WHERE uuid = ?",
            (ending, given, time.time(), uuid),
        )

    @_with_new_file
    def announce(self, uuid: str, given: str | None) -> None:
        """Mark that `began` has to be sent, and update `given` (JSON text) unless it is None."""
        self._db.execute(
            "UPDATE datasets SET announced = max(announced, 1), given = coalesce(?, given) WHERE uuid = ?",
            (given, uuid),
        )

    @_with_new_file
    def progress(self, points: dict[str, tuple[int | None, str | None]]) -> None:
        """Update the number of points, and `given` (JSON text) unless it is None, of datasets by uuid."""
        now = time.time()
        with self._transaction():
            self._db.executemany(
                # The condition: the row of a dataset that is over is final.
                "UPDATE datasets SET points = ?, given = coalesce(?, given), seen = ?"
                " WHERE uuid = ? AND ending = 'null'",
                [(count, given, now, uuid) for uuid, (count, given) in points.items()],
            )

    def show_alive(self) -> None:
        """Note on disk that the program lives now, in the time of the lock file: without a sync, which costs time.

        A crash of the machine may lose the last seconds of it, a killed program does not.
        """
        now = time.time()
        os.utime(self.lock, (now, now))

    @_noting_damage
    def open_datasets(self, only: Collection[str] | None = None) -> list[OpenDataset]:
        """All open datasets, or `only` those with these uuids, in the order in which they began."""
        rows = self._db.execute(
            "SELECT uuid, started, single, given, observed, ending, points, seen, announced FROM datasets"
            " WHERE ? OR uuid IN (SELECT value FROM json_each(?)) ORDER BY rowid",
            (only is None, json.dumps(list(only or ()))),
        ).fetchall()
        alive = os.fstat(self.lock).st_mtime
        return [
            OpenDataset(
                OpenDatasetRow(uuid, started, bool(single), announced == 1, given, observed, ending).record(),
                points,
                max(seen, alive),
                announced == 1,
            )
            for uuid, started, single, given, observed, ending, points, seen, announced in rows
        ]

    @_noting_damage
    def open_states(self) -> list[tuple[str, bool, bool]]:
        """For each open dataset: its uuid, whether `began` still has to be sent, and whether it is over."""
        rows = self._db.execute("SELECT uuid, announced, ending != 'null' FROM datasets")
        return [(uuid, announced == 1, bool(ended)) for uuid, announced, ended in rows]

    @_noting_damage
    def forget(self, uuid: str) -> None:
        """Delete an open dataset without a message: its proposal is proprietary."""
        self._db.execute("DELETE FROM datasets WHERE uuid = ?", (uuid,))

    # --------------------------------------------------------------------- outbox

    def put(self, topic: str, *messages: AnyMessage, closes: str = "") -> list[int]:
        """Put composed messages of one dataset into the outbox and return their `seq`; a long message is split.

        In the same transaction the open dataset with the uuid `closes` is deleted.
        """
        return self.put_all([OutboxBatch.of(topic, messages, closes)])

    def restore(self, messages: Sequence[tuple[Any, ...]], datasets: Sequence[tuple[Any, ...]]) -> None:
        """Write rows of another spool: of the outbox, with the reason if Kafka refuses them, and of `datasets`."""
        with self._transaction():
            for *row, reason in messages:
                table, values = ("refused", (*row, reason)) if reason else ("outbox", tuple(row))
                self._db.execute(_INSERT_INTO[table], values)
            self._db.executemany(_INSERT_DATASET, datasets)
            self._write_meta("seq", str(max((row[0] for row in messages), default=0)))

    @staticmethod
    def make_tables(db: sqlite3.Connection) -> None:
        """As in each spool."""
        db.executescript(_TABLES)

    @_with_new_file
    def put_all(self, batches: Sequence[OutboxBatch]) -> list[int]:
        """`put` for several datasets in one transaction."""
        with self._transaction():
            row = self._db.execute("SELECT content FROM meta WHERE name = 'seq'").fetchone()
            # Some may have been numbered for a file that was removed.
            first = max(int(row[0]) if row else 0, self._highest_seq()) + 1
            now = time.time()
            rows = [(batch, piece) for batch in batches for piece in batch.pieces]
            self._db.executemany(
                "INSERT INTO outbox VALUES (?, ?, ?, ?, ?)",
                (
                    (seq, batch.topic, batch.uuid, b'{"seq":%d,' % seq + piece.removeprefix(b"{"), now)
                    for seq, (batch, piece) in enumerate(rows, start=first)
                ),
            )
            last = first + len(rows) - 1
            self._write_meta("seq", str(last))
            closed = [(batch.closes,) for batch in batches if batch.closes]
            self._db.executemany("DELETE FROM datasets WHERE uuid = ?", closed)
            begun = [(batch.uuid,) for batch in batches if batch.begins]
            self._db.executemany("UPDATE datasets SET announced = 2 WHERE uuid = ?", begun)
        self._last_seq = last
        self._note_seq(last)
        with contextlib.suppress(sqlite3.Error):  # they are written; `follow` tries this again
            self._remember()
        return list(range(first, last + 1))

    @_noting_damage
    def waiting(self, limit: int, after: int = 0) -> list[OutboxMessage]:
        """The oldest messages of the outbox whose seq is above `after`."""
        self._remember()
        rows = self._db.execute("SELECT * FROM outbox WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit))
        return [OutboxMessage(*row) for row in rows]

    @_noting_damage
    def count(self) -> int:
        """The number of messages in the outbox."""
        return int(self._db.execute("SELECT count(*) FROM outbox").fetchone()[0])

    @_noting_damage
    def delivered(self, seqs: Sequence[int]) -> None:
        """Delete messages that Kafka has confirmed, also those that it had refused before."""
        numbers = [(seq,) for seq in seqs]
        with self._transaction():
            self._db.executemany("DELETE FROM outbox WHERE seq = ?", numbers)
            self._db.executemany("DELETE FROM refused WHERE seq = ?", numbers)
        if self._unconfirmed is not None:
            self._unconfirmed.discard(seqs)

    @_noting_damage
    def refuse(self, reasons: Mapping[int, str]) -> None:
        """Move messages that Kafka refuses out of the outbox, so that they do not block the others.

        `reasons` are by seq. The reason of one that was refused before is replaced.
        """
        with self._transaction():
            for seq, reason in reasons.items():
                self._db.execute("UPDATE refused SET reason = ? WHERE seq = ?", (reason, seq))
                self._db.execute("INSERT INTO refused SELECT *, ? FROM outbox WHERE seq = ?", (reason, seq))
                self._db.execute("DELETE FROM outbox WHERE seq = ?", (seq,))

    @_noting_damage
    def refused(self, limit: int, after: int = 0) -> list[OutboxMessage]:
        """The oldest messages that Kafka refuses whose seq is above `after`."""
        rows = self._db.execute(
            "SELECT seq, topic, uuid, message, since FROM refused WHERE seq > ? ORDER BY seq LIMIT ?", (after, limit)
        )
        return [OutboxMessage(*row) for row in rows]

    @_noting_damage
    def refusals(self) -> dict[str, int]:
        """How many messages Kafka refuses, by the reason that it gives."""
        return dict(self._db.execute("SELECT reason, count(*) FROM refused GROUP BY reason ORDER BY reason").fetchall())

    # ------------------------------------------------------------------ the file

    @_with_new_file
    def save_trouble(self, why: str) -> None:
        """Write why nothing is sent, for `scifish status` in another process; "" if all is well."""
        self._write_meta("trouble", why)

    @_with_new_file
    def save_identity(self, identity: Identity) -> None:
        """Write under which settings it is recorded, as often as they change."""
        self._write_meta("identity", json.dumps(asdict(identity)))
        self.identity = identity

    def _write_meta(self, name: str, content: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (name, content))

    @property
    @_noting_damage
    def empty(self) -> bool:
        """Whether it has no open dataset and no message."""
        row = self._db.execute(
            "SELECT EXISTS (SELECT 1 FROM datasets) + EXISTS (SELECT 1 FROM outbox) + EXISTS (SELECT 1 FROM refused)"
        ).fetchone()
        return bool(row[0] == 0)

    def close(self) -> None:
        """Close it; an empty spool is deleted."""
        try:
            empty = self.empty
            self._db.close()
            if empty:
                # The lock is held until the end, so that no process adopts the spool during its deletion.
                names = (SPOOL_SUFFIX, f"{SPOOL_SUFFIX}-wal", f"{SPOOL_SUFFIX}-shm", ".log", REQUEST_SUFFIX, ".lock")
                for name in names:
                    self.path.with_suffix(name).unlink(missing_ok=True)
        finally:
            self._db.close()
            os.close(self.lock)

    def leave(self) -> None:
        """Close it without deleting it: the process that shares it goes on using it."""
        self._db.close()
        os.close(self.lock)

    def _transaction(self) -> _Transaction:
        return _Transaction(self._db)


class _Transaction:
    """A transaction that is rolled back on an error, also if SQLite has rolled it back itself (a full disk)."""

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


def unknown_origin(path: Path) -> Origin:
    """For a spool that does not have its origin: the file's name is that of the run."""
    return {"host": "", "program": "", "version": "", "run": path.stem}


def identity_in(meta: Mapping[str, str]) -> Identity | None:
    """The identity in the table `meta` of a spool; None if it has none that this version understands."""
    try:
        return Identity(**json.loads(meta["identity"]))
    except (KeyError, ValueError, TypeError):
        return None


@dataclass(frozen=True)
class LeftSpool:
    """A spool whose program has exited, and that this process leaves alone. `why` says what a person can do."""

    path: Path
    why: str


def orphans(
    directory: Path, refusal: Callable[[Spool], str], mine: Collection[Path] = ()
) -> tuple[list[Spool], list[LeftSpool]]:
    """Adopt the spools in a folder whose programs have exited, and name those that are left alone.

    `refusal` says why one must not be sent by this process, "" if it may; `mine` are those that it has open. OSError
    if the folder cannot be read.
    """
    found: list[Spool] = []
    left: list[LeftSpool] = []
    for path in sorted(set(directory.glob(f"*{SPOOL_SUFFIX}")).difference(mine)):
        try:
            spool = Spool(path)
            # An empty one is adopted in order to be deleted.
            if not spool.empty and (why := refusal(spool)):
                left.append(LeftSpool(path, why))
                spool.leave()
            else:
                found.append(spool)
        except (SpoolLocked, FileNotFoundError):
            continue  # in use, or another process has just adopted it
        except PermissionError:
            if others := left_by_another_account(path):
                left.append(LeftSpool(path, others))
        except (OSError, sqlite3.OperationalError) as error:
            log.error(
                "the spool %s, left by another program, cannot be opened: %s", path, why_refused(error, directory)
            )
        except (sqlite3.DatabaseError, ValueError) as error:
            aside = rename_damaged(path)
            log.error("the spool %s, left by another program, is damaged (%s): it is renamed to %s", path, error, aside)
    return found, left


def left_by_another_account(path: Path) -> str:
    """A sentence if this spool belongs to another account and no program has it; "" if not, or if it is gone."""
    try:
        owner, lock = path.stat().st_uid, path.with_suffix(".lock").stat().st_ino
    except OSError:
        return ""
    if owner == os.geteuid() or lock in _locked_inodes():
        return ""
    try:
        account = pwd.getpwuid(owner).pw_name
    except KeyError:
        account = f"of uid {owner}"
    return f"it belongs to the account {account}, whose program has exited; as this account, run: scifish flush"


def _locked_inodes() -> set[int]:
    """The inodes of all files that processes of this machine lock: their locks cannot be opened by other accounts."""
    # 1: FLOCK  ADVISORY  WRITE 1234 00:2f:5678 0 EOF. The device is not compared: some file systems have two numbers.
    lines = Path("/proc/locks").read_text("ascii").splitlines()
    return {int(line.split()[-3].rpartition(":")[2]) for line in lines if " FLOCK " in line and "->" not in line}


def rename_damaged(path: Path) -> Path:
    """Rename a damaged SQLite file, so that a person can examine it and no program opens it again; its new path."""
    aside = unused(path, BROKEN_SUFFIX)
    if path.exists():
        path.rename(aside)
    else:
        os.close(open_file(aside, os.O_WRONLY | os.O_EXCL))  # its -wal alone may have all
    with contextlib.suppress(FileNotFoundError):  # it has the last changes
        path.with_name(f"{path.name}-wal").rename(f"{aside}-wal")
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    return aside


def unused(path: Path, suffix: str) -> Path:
    """The path with this suffix, and with a number if there is such a file."""
    found, count = path.with_suffix(suffix), 1
    while found.exists():
        count += 1
        found = path.with_name(f"{path.stem}-{count}{suffix}")
    return found


def _observed(kept: dict[str, Any] | None) -> Observed:
    """Fields of another version of this program are ignored."""
    known = {one.name for one in fields(Observed)}
    return Observed(**{name: value for name, value in (kept or {}).items() if name in known})


def delete_traces(path: Path) -> None:
    """Delete lock and log of an exited run that has no spool any more, as it was damaged (`path`) and is salvaged."""
    spool, lock = path.with_suffix(SPOOL_SUFFIX), path.with_suffix(".lock")
    if spool.exists() or not lock.exists():
        return
    try:
        handle = _take_lock(lock)
    except SpoolLocked:
        return
    if not spool.exists():
        path.with_suffix(".log").unlink(missing_ok=True)
        lock.unlink()
    os.close(handle)


def _take_lock(path: Path) -> int:
    handle = open_file(path, os.O_RDWR)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(handle)
        raise SpoolLocked(path) from error
    return handle


def as_text(content: Mapping[str, Any] | bool | None) -> str:
    """JSON on one line, as the spool keeps it."""
    return json.dumps(content, ensure_ascii=False, allow_nan=False)
