"""Keeps what Kafka has confirmed for some days, so that it can be sent again if Kafka loses it (`scifish resend`).

Kafka's retention may delete messages before SciCow has read them. Files `*.sent` in the folder of the spools: each
companion writes its own, a member of gzip for each batch, and in it a line of JSON for each message. Nothing is synced:
Kafka has the messages, this is a second chance. Old files are deleted whole.
"""

from __future__ import annotations

import contextlib
import errno
import gzip
import json
import logging
import os
import time
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from io import FileIO
from pathlib import Path

from confluent_kafka import KafkaError, KafkaException, Producer

from scifish.message import Message
from scifish.settings import Settings
from scifish.settings.identity import Identity
from scifish.spool.disk import open_file
from scifish.spool.kafka_config import make_client, producer_config

log = logging.getLogger(__name__)

SENT_SUFFIX = ".sent"

MAX_SENT_FILE_BYTES = 20_000_000
MAX_SENT_FILE_SECONDS = 6 * 3600.0
"""A file that is larger, or that was started longer ago, is followed by a new one. It is deleted as a whole."""

SENT_PRUNE_SECONDS = 600.0
"""Seconds between two deletions of old files."""

SENT_FREE_BYTES = 400_000_000
SENT_FREE_FRACTION = 0.2
"""With less than both free on the disk, old files are deleted: messages that have not been sent need the room."""


@dataclass(frozen=True)
class SentMessage:
    """A message that Kafka has confirmed at `time`, in seconds since 1970. `message` is its JSON as it was sent.

    `identity` says under which settings it was recorded; None if that is not known.
    """

    time: float
    topic: str
    uuid: str
    message: str
    identity: Identity | None = None


class SentLog:
    """The file of one companion. Not thread-safe. No method raises: what cannot be kept is logged."""

    def __init__(self) -> None:
        self._file: FileIO | None = None
        self._folder: Path | None = None
        self._since = 0.0
        self._next_prune: dict[Path, float] = {}
        self._count = 0
        self._failed = False

    def keep(self, folder: Path, messages: Sequence[SentMessage], days: float, limit: int) -> None:
        """Write confirmed messages, after `prune_sometimes`. 0 days: nothing is written."""
        self.prune_sometimes(folder, days, limit)
        if days <= 0 or not messages:
            return
        try:
            self._write(folder, messages)
            self._failed = False
        except (OSError, ValueError) as error:
            self.close()
            self._report(folder, error)
            if getattr(error, "errno", None) == errno.EDQUOT:
                self.delete_all(folder)
            else:
                self._prune(folder, days, limit)

    def prune_sometimes(self, folder: Path, days: float, limit: int) -> None:
        """Delete what `prune` deletes, every `SENT_PRUNE_SECONDS`, and after each new file."""
        if time.monotonic() >= self._next_prune.get(folder, 0.0):
            self._prune(folder, days, limit)

    def delete_all(self, folder: Path) -> None:
        """Delete all that is kept: messages that have not been sent need the room."""
        self._prune(folder, 0, 0)

    def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            with contextlib.suppress(OSError):
                file.close()

    def _prune(self, folder: Path, days: float, limit: int) -> None:
        self._next_prune[folder] = time.monotonic() + SENT_PRUNE_SECONDS
        try:
            prune(folder, days, limit)
        except OSError as error:
            self._report(folder, error)
        if self._file is not None and os.fstat(self._file.fileno()).st_nlink == 0:
            self.close()  # until then it has its room

    def _report(self, folder: Path, error: Exception) -> None:
        if not self._failed:
            log.warning("sent messages are not kept in %s: %s", folder, error)
        self._failed = True

    def _write(self, folder: Path, messages: Sequence[SentMessage]) -> None:
        file = self._file
        if (
            file is None
            or folder != self._folder
            or file.tell() > MAX_SENT_FILE_BYTES
            or time.monotonic() - self._since > MAX_SENT_FILE_SECONDS
            or os.fstat(file.fileno()).st_nlink == 0  # another companion of this account has deleted it
        ):
            self.close()
            file = self._file = self._new_file(folder)
            self._folder, self._since = folder, time.monotonic()
        lines = "".join(json.dumps(asdict(each)) + "\n" for each in messages)
        content = gzip.compress(lines.encode(), 1)
        if file.write(content) != len(content):
            raise OSError(errno.ENOSPC, "the disk took only a part")

    def _new_file(self, folder: Path) -> FileIO:
        self._count += 1
        self._next_prune.pop(folder, None)
        name = f"{time.time():.0f}-{os.getpid()}-{self._count}{SENT_SUFFIX}"
        handle = open_file(folder / name, os.O_WRONLY | os.O_EXCL)
        # Without a buffer: what the disk refuses would be written again by each later call, also by `close`.
        return os.fdopen(handle, "wb", buffering=0)


def prune(folder: Path, days: float, limit: int) -> None:
    """Delete this account's oldest files: what is older than `days`, beyond `limit` bytes, or where the disk is full.

    OSError if the folder cannot be read.
    """
    mine = []
    for path in folder.glob(f"*{SENT_SUFFIX}"):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        if status.st_uid == os.geteuid():
            mine.append((status.st_mtime, status.st_size, path))
    total = sum(size for _, size, _ in mine)
    disk = os.statvfs(folder)
    free = disk.f_bavail * disk.f_frsize
    least = min(SENT_FREE_BYTES, SENT_FREE_FRACTION * disk.f_blocks * disk.f_frsize)
    now = time.time()
    for written, size, path in sorted(mine):
        if now - written <= days * 86_400 and total <= limit and free >= least:
            break
        path.unlink(missing_ok=True)
        total -= size
        free += size


def sent_messages(path: Path, since: float, until: float, uuids: Collection[str] = ()) -> Iterator[SentMessage]:
    """Messages of one file that were sent in a time (seconds since 1970), of these datasets, or of all if () is given.

    A file whose end is missing, because its program was killed, is read as far as it goes. OSError if it cannot be
    opened.
    """
    try:
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            for line in lines:
                found = _sent_message(json.loads(line))
                if since <= found.time < until and (not uuids or found.uuid in uuids):
                    yield found
    except (EOFError, zlib.error, gzip.BadGzipFile, ValueError, TypeError) as error:
        log.debug("%s ends here: %s", path, error)


def _sent_message(kept: Message) -> SentMessage:
    identity = kept.pop("identity", None)
    return SentMessage(**kept, identity=Identity(**identity) if identity else None)


@dataclass
class Resent:
    """What became of messages that were sent again.

    `sent`: how many Kafka has; `refused`: a line for each one that it did not accept; `left`: how many it has not
    confirmed in time.
    """

    sent: int = 0
    refused: list[str] = field(default_factory=list)
    left: int = 0


def send_again(settings: Settings, messages: Iterable[SentMessage], timeout: float) -> Resent:
    """Send them to their topics, as they were, in at most `timeout` seconds.

    Raises SettingsError.
    """
    done = Resent()
    producer = make_client(Producer, {**producer_config(settings), "batch.num.messages": 1}, settings)
    deadline = time.monotonic() + timeout

    def report(of: SentMessage, error: KafkaError | None, _: object) -> None:
        if error is None:
            done.sent += 1
        else:
            done.refused.append(f"{of.topic} {of.uuid}: {error.str()}")

    for each in messages:
        value = each.message.encode("utf-8", "surrogateescape")
        passed = False
        while not passed and time.monotonic() < deadline:
            try:
                producer.produce(each.topic, value, key=each.uuid, on_delivery=partial(report, each))
                passed = True
            except BufferError:
                producer.poll(0.2)
            except KafkaException as failed:
                report(each, failed.args[0], None)
                passed = True
        done.left += not passed
        producer.poll(0)
    done.left += producer.flush(max(deadline - time.monotonic(), 0.0))
    return done
