# ruff: noqa: S608 - the SQL is made of constants and of what `filters` has checked
"""The SQLite file: its connections, its transactions and its collections of documents.

A document is one JSON text. What is looked up often has an index on the expression by which
`filters` reads it; the members of its lists are rows of their own; the words of its values are in
a full-text index.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import secrets
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.embedded.filters import (
    TIME_FIELDS,
    TRUE_CONDITION,
    FilterQuery,
    SqlCondition,
    TableShape,
    order_sql,
    order_value,
    project,
    value_of,
)
from ingest.embedded.metadata import texts

MAX_ORDER_INDEXES = 12
"""Indexes of this kind. Each costs every write a little, so the oldest goes for a new one."""

NEW_INDEXES_SECONDS = 3600.0
"""As many as these are made in this time at most: whoever sorts by ever new fields must not hold up the writers."""


log = logging.getLogger(__name__)


class OrderIndexes:
    """Makes them one after the other, in a thread of its own, so that no reader waits.

    `write` is the store's transaction. Writers wait for the seconds that an index takes.
    """

    def __init__(
        self,
        write: Callable[[], AbstractContextManager[sqlite3.Connection]],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._clock = clock
        self._begun: deque[float] = deque(maxlen=MAX_ORDER_INDEXES)
        self._wanted: queue.SimpleQueue[tuple[TableShape, str] | None] = queue.SimpleQueue()
        self._asked: set[tuple[str, str]] = set()
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._stopped = False

    def want(self, shape: TableShape, path: str) -> None:
        """Ask for an index on the order by this path. Returns at once."""
        with self._lock:
            if self._stopped or order_value(path, shape) == "NULL" or (shape.table, path) in self._asked:
                return
            now = self._clock()
            if len(self._begun) == MAX_ORDER_INDEXES and now - self._begun[0] < NEW_INDEXES_SECONDS:
                return  # sorting by it stays slow, and right
            self._begun.append(now)
            self._asked.add((shape.table, path))
            self._wanted.put((shape, path))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="indexes", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """Ends after the index that is being made."""
        with self._lock:
            self._stopped = True
            thread, self._thread = self._thread, None
        if thread is not None:
            self._wanted.put(None)
            thread.join()

    def _work(self) -> None:
        while (wanted := self._wanted.get()) is not None and not self._stopped:
            shape, path = wanted
            begin = time.monotonic()
            try:
                self._make(shape, order_value(path, shape))
            except sqlite3.Error as error:  # the disk is full: sorting stays slow, and right
                log.warning("no index on %s.%s: %s", shape.table, path, error)
            else:
                log.info("index on %s.%s made in %.1f s", shape.table, path, time.monotonic() - begin)
            with self._lock:
                self._asked.discard((shape.table, path))

    def _make(self, shape: TableShape, value: str) -> None:
        prefix = f"{shape.table}_order_"
        with self._write() as connection:
            rows = connection.execute(
                "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND name GLOB ?", (f"{prefix}*",)
            ).fetchall()
            if any(sql.endswith(f" ({value})") for _, sql in rows):
                return
            numbers = sorted(int(name.removeprefix(prefix)) for name, _ in rows)
            for number in numbers[: max(0, len(numbers) - MAX_ORDER_INDEXES + 1)]:
                connection.execute(f"DROP INDEX {prefix}{number}")
            newest = numbers[-1] + 1 if numbers else 1
            connection.execute(f"CREATE INDEX {prefix}{newest} ON {shape.table} ({value})")


Json = dict[str, Any]


SCHEMA_VERSION = 1


SLOW_QUERY_SECONDS = 0.3
"""Seconds of a sorted query from which on an index for its order is worth while."""


_MAX_EXACT_NUMBER = 2.0**62
"""What SQLite can hold as an integer."""


PUBLIC, READER = "public", "reader"
"""Rows of members for who may read: `public` where everybody may, `reader` with the name of a group."""


class StoreError(Exception):
    """The database cannot be used. The text says which file, why and what to do."""


class DocumentExists(Exception):
    """There is a document with this key."""


@dataclass(frozen=True)
class Collection:
    """One kind of document. `key` is the field that identifies one, `indexes` the fields with an index."""

    shape: TableShape
    key: str
    indexes: tuple[str, ...] = ()
    searchable: bool = False

    @property
    def table(self) -> str:
        return self.shape.table

    # ------------------------------------------------------------------- schema

    def create(self, connection: sqlite3.Connection) -> None:
        table = self.table
        words = ", words TEXT NOT NULL" if self.searchable else ""
        connection.execute(
            f"CREATE TABLE {table} (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, document TEXT NOT NULL{words})"
        )
        connection.execute(
            f"CREATE TABLE {table}_members (field TEXT, value TEXT, id INTEGER, PRIMARY KEY (field, value, id))"
            " WITHOUT ROWID"
        )
        connection.execute(f"CREATE INDEX {table}_members_id ON {table}_members (id)")
        for field in self.indexes:
            connection.execute(f"CREATE INDEX {table}_{field} ON {table} ({value_of(field)})")
        if self.searchable:
            connection.execute(
                f"CREATE VIRTUAL TABLE {table}_words USING fts5"
                f"(words, content={table}, content_rowid=id, tokenize='porter unicode61')"
            )

    # -------------------------------------------------------------------- write

    def insert(self, connection: sqlite3.Connection, document: Json) -> None:
        """Raises DocumentExists if its key is there."""
        values = {"key": document[self.key], "document": _text(document)}
        if self.searchable:
            values["words"] = _words(document)
        try:
            cursor = connection.execute(
                f"INSERT INTO {self.table} ({', '.join(values)}) VALUES ({', '.join('?' * len(values))})",
                tuple(values.values()),
            )
        except sqlite3.IntegrityError as error:
            raise DocumentExists(document[self.key]) from error
        self._add(connection, cursor.lastrowid or 0, document, values.get("words"))

    def replace(self, connection: sqlite3.Connection, document: Json) -> None:
        """Put the document in the place of the one with its key, which must be there."""
        number = self._remove_parts(connection, document[self.key])
        words = _words(document) if self.searchable else None
        if words is None:
            connection.execute(
                f"UPDATE {self.table} SET document = ? WHERE id = ?",
                (_text(document), number),
            )
        else:
            connection.execute(
                f"UPDATE {self.table} SET document = ?, words = ? WHERE id = ?",
                (_text(document), words, number),
            )
        self._add(connection, number, document, words)

    def set_plain(self, connection: sqlite3.Connection, key: str, values: Mapping[str, str | int]) -> None:
        """Set fields of the document with this key, if there is one. They must not be found by a word or a member."""
        paths = ", ?, ?" * len(values)
        given = [each for name, value in values.items() for each in (f"$.{name}", value)]
        connection.execute(f"UPDATE {self.table} SET document = json_set(document{paths}) WHERE key = ?", (*given, key))

    def delete(self, connection: sqlite3.Connection, key: str) -> None:
        number = self._remove_parts(connection, key)
        connection.execute(f"DELETE FROM {self.table} WHERE id = ?", (number,))

    def _remove_parts(self, connection: sqlite3.Connection, key: str) -> int:
        columns = "id, words" if self.searchable else "id"
        row = connection.execute(f"SELECT {columns} FROM {self.table} WHERE key = ?", (key,)).fetchone()
        number = int(row[0])
        connection.execute(f"DELETE FROM {self.table}_members WHERE id = ?", (number,))
        if self.searchable:  # an FTS5 table without a content of its own must be told what goes
            connection.execute(
                f"INSERT INTO {self.table}_words ({self.table}_words, rowid, words) VALUES ('delete', ?, ?)",
                (number, row[1]),
            )
        return number

    def _add(self, connection: sqlite3.Connection, number: int, document: Json, words: str | None) -> None:
        connection.executemany(
            f"INSERT OR IGNORE INTO {self.table}_members VALUES (?, ?, ?)",
            [(field, value, number) for field, value in self._members(document)],
        )
        if words is not None:
            connection.execute(
                f"INSERT INTO {self.table}_words (rowid, words) VALUES (?, ?)",
                (number, words),
            )

    def _members(self, document: Json) -> Iterator[tuple[str, str]]:
        for field in self.shape.lists:
            yield from ((field, value) for value in document.get(field) or [])
        for group in [document.get("ownerGroup"), *(document.get("accessGroups") or [])]:
            if group:
                yield READER, group
        if document.get("isPublished"):
            yield PUBLIC, "1"

    # --------------------------------------------------------------------- read

    def get(self, connection: sqlite3.Connection, key: str) -> Json | None:
        row = connection.execute(f"SELECT document FROM {self.table} WHERE key = ?", (key,)).fetchone()
        return dict(json.loads(row[0])) if row else None

    def find(self, store: Store, query: FilterQuery) -> list[Json]:
        """As `select`; an order that was slow gets an index, so that the next page comes at once."""
        begin = time.monotonic()
        with store.read() as connection:
            found = self.select(connection, query)
        if query.order and time.monotonic() - begin > SLOW_QUERY_SECONDS:
            store.indexes.want(self.shape, query.order[0][0])
        return found

    def select(self, connection: sqlite3.Connection, query: FilterQuery) -> list[Json]:
        rows = connection.execute(
            f"SELECT document FROM {self.table} WHERE {query.condition.sql}"
            f" ORDER BY {order_sql(query.order, self.shape)} LIMIT ? OFFSET ?",
            (*query.condition.values, query.limit, query.skip),
        )
        return [project(json.loads(text), query.fields) for (text,) in rows]

    def count(self, connection: sqlite3.Connection, condition: SqlCondition = TRUE_CONDITION) -> int:
        row = connection.execute(
            f"SELECT count(*) FROM {self.table} WHERE {condition.sql}",
            condition.values,
        ).fetchone()
        return int(row[0])

    def sums(self, connection: sqlite3.Connection, paths: Iterable[str], condition: SqlCondition) -> list[int]:
        """Over the documents, of a number at each path, or of the length where there is a list."""
        each = ", ".join(
            f"total(CASE json_type(document, '{path}') WHEN 'array' THEN json_array_length(document, '{path}')"
            f" ELSE json_extract(document, '{path}') END)"
            for path in paths
        )
        row = connection.execute(f"SELECT {each} FROM {self.table} WHERE {condition.sql}", condition.values).fetchone()
        return [int(min(value, _MAX_EXACT_NUMBER)) for value in row]

    def counts(self, connection: sqlite3.Connection, path: str, condition: SqlCondition) -> list[tuple[Any, int]]:
        """(value, how many documents) of a field, in falling order.

        A list counts with each of its members, a time with its day (`2026-11-22`).
        """
        if path in self.shape.lists:
            sql = (
                f"SELECT value, count(*) FROM {self.table}_members"
                f" WHERE field = ? AND id IN (SELECT id FROM {self.table} WHERE {condition.sql})"
                " GROUP BY value ORDER BY value DESC"
            )
            return list(connection.execute(sql, (path, *condition.values)))
        value = f"substr({value_of(path)}, 1, 10)" if path in TIME_FIELDS else value_of(path)
        sql = f"SELECT {value}, count(*) FROM {self.table} WHERE {condition.sql} GROUP BY 1 ORDER BY 1 DESC"
        return list(connection.execute(sql, condition.values))


def _text(document: Mapping[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _words(document: Mapping[str, Any]) -> str:
    return " ".join(dict.fromkeys(texts(document)))


class Store:
    """The database file. Any number of readers at a time, one writer."""

    def __init__(self, path: Path, collections: Iterable[Collection]) -> None:
        """Opens the file and makes it where there is none. Raises StoreError."""
        self._path = path
        self._lock = threading.Lock()
        self._readers: queue.LifoQueue[sqlite3.Connection] = queue.LifoQueue()
        self.indexes = OrderIndexes(self.write)
        try:
            self._writer = self._connect()
        except sqlite3.Error as error:
            raise self._unusable(error) from error
        try:
            self._prepare(collections)
        except sqlite3.Error as error:
            self.close()
            raise self._unusable(error) from error

    def _unusable(self, error: sqlite3.Error) -> StoreError:
        return StoreError(
            f"{self._path}: cannot be used as the database ({error}). It must be a file of this program, or not be"
            " there yet, in a folder where this user may write"
        )

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """A connection for reading: it sees all that is committed."""
        try:
            connection = self._readers.get_nowait()
        except queue.Empty:  # as many as there have been readers at a time
            connection = self._connect()
            connection.execute("PRAGMA query_only = ON")
        try:
            yield connection
        finally:
            self._readers.put(connection)

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """One transaction: what is read in it is still true when it is written."""
        with self._lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                if self._writer.in_transaction:  # some errors, as a full disk, end it by themselves
                    self._writer.execute("ROLLBACK")
                raise

    def secret(self, name: str) -> bytes:
        """Random bytes that are made once and stay the same."""
        with self.write() as connection:
            connection.execute("INSERT OR IGNORE INTO secrets VALUES (?, ?)", (name, secrets.token_bytes(32)))
            row = connection.execute("SELECT value FROM secrets WHERE name = ?", (name,)).fetchone()
        return bytes(row[0])

    def close(self) -> None:
        """Only when no request is being answered any more."""
        self.indexes.stop()
        self._writer.close()
        while not self._readers.empty():
            self._readers.get().close()

    def _connect(self) -> sqlite3.Connection:
        # Datasets of closed groups are not for every account of the machine.
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(self._path, timeout=30.0, isolation_level=None, check_same_thread=False)
        try:
            self._configure(connection)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _configure(self, connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        # FULL: who gets a 201 commits a Kafka offset and never sends it again, so it must outlive
        # a power cut as well; with WAL that is one fsync for each write.
        connection.execute("PRAGMA synchronous = FULL")

    def _prepare(self, collections: Iterable[Collection]) -> None:
        with self.write() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version > SCHEMA_VERSION:
                raise sqlite3.DatabaseError(f"it was written by a newer release, version {version}")
            if version == SCHEMA_VERSION:
                return
            connection.execute("CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL)")
            for collection in collections:
                collection.create(connection)
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
