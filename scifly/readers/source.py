"""Opens and reads other programs' files: they may be deleted, not be regular files, or have any size."""

from __future__ import annotations

import codecs
import errno
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO

from sdm.beneath import open_beneath

BLOCK_BYTES = 1 << 20

MAX_TEXT_LINE_BYTES = 1 << 20
"""Maximum bytes of a line; the rest of a longer one is skipped. A scale of 50,000 points fits."""

MAX_TEXT_BYTES = 64 * BLOCK_BYTES
"""Maximum bytes of all lines read from a file, without the skipped blocks of numbers."""


class UnreadableError(Exception):
    """A file, or the rest of it, cannot be read. The text is for the operator."""


class UnfinishedError(UnreadableError):
    """The file ends before the contents that it declares."""


def shown(path: str) -> str:
    """A file's name for people: bytes that are not UTF-8 are escaped."""
    return os.path.basename(path).encode("utf-8", "backslashreplace").decode("utf-8")


@dataclass(frozen=True)
class Source:
    """An open file. `deadline` limits reading, in the time of `time.monotonic`."""

    file: BinaryIO
    name: str
    size: int
    deadline: float

    @property
    def late(self) -> bool:
        return time.monotonic() > self.deadline

    def up_to(self, count: int, place: int = 0) -> bytes:
        """Up to `count` bytes from `place`, in several reads if the file server returns fewer than requested."""
        self.file.seek(place)
        found = b""
        while len(found) < count and (more := self.file.read(count - len(found))):
            found += more
        return found

    def bytes_at(self, place: int, count: int) -> bytes:
        """Exactly `count` bytes from `place`. Raises UnfinishedError if there are fewer."""
        found = self.up_to(count, place) if place + count <= self.size else b""
        if len(found) < count:
            raise UnfinishedError(f"ends after {self.size} bytes, but declares {place + count}")
        return found


@contextmanager
def opened(root: str, path: str, deadline: float) -> Iterator[Source]:
    """Open a file below the root for reading. Raises OSError, or UnreadableError if it is not a regular file."""
    try:
        handle = open_beneath(root, path)
    except ValueError as error:
        raise UnreadableError(str(error)) from error
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        behind = "" if error.errno == errno.ELOOP else "behind "
        raise UnreadableError(f"is {behind}a symbolic link, which is not followed") from error
    with open(handle, "rb", buffering=0) as raw:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode):
            raise UnreadableError("is not a file")
        yield Source(raw, shown(path), found.st_size, deadline)


class Lines:
    """The lines of a text file of any size: only a few blocks of it are in memory.

    It reads UTF-8, Latin-1 and UTF-16 with any line ends. Lines are returned without their ends, and cut after
    `MAX_TEXT_LINE_BYTES`. After the deadline, or `MAX_TEXT_BYTES`, there are no more lines, and `stopped` says why.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._buffer = self._held = b""
        self._at = 0
        self._over = False
        self._widen = _decoder_of_utf16(source)
        self._given = 0
        self.stopped = ""
        self.unended = False
        """Whether the last line that was read or skipped had no line end."""

    def _more(self) -> bool:
        """Read another block, and drop the used part of the buffer. Returns whether there was one."""
        if self._over:
            return False
        if self._source.late:
            self._stop("too large for the available time")
            return False
        block = self._source.file.read(BLOCK_BYTES)
        self._over = not block
        if self._widen is not None:
            # an incomplete character at the end is dropped
            block = self._widen.decode(block).encode("utf-8", "replace")
        block = self._held + block
        self._held = b"\r" if block.endswith(b"\r") and not self._over else b""  # perhaps the first half of a line end
        block = block.removesuffix(self._held).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        self._buffer, self._at = self._buffer[self._at :] + block, 0
        return not self._over or bool(block)

    def _stop(self, why: str) -> None:
        self.stopped = f"not read to its end: {why}"
        self._over, self._buffer, self._at = True, b"", 0

    def next(self) -> str | None:
        """The next line, or None at the end."""
        line = self._next()
        self._given += len(line or "")
        if self._given > MAX_TEXT_BYTES and not self.stopped:
            self._stop(f"more than {MAX_TEXT_BYTES >> 20} MB of headers")
        return line

    def _next(self) -> str | None:
        begun = b""
        skipping = False
        while (end := self._buffer.find(b"\n", self._at)) < 0:
            if len(self._buffer) - self._at > MAX_TEXT_LINE_BYTES:
                if not skipping:
                    begun, skipping = self._buffer[self._at : self._at + MAX_TEXT_LINE_BYTES], True
                self._at = len(self._buffer)
            if not self._more():
                self.unended = True
                rest, self._at = self._buffer[self._at :], len(self._buffer)
                line = begun or rest
                return decoded(line) if line else None
        line = begun if skipping else self._buffer[self._at : min(end, self._at + MAX_TEXT_LINE_BYTES)]
        self._at = end + 1
        self.unended = False
        return decoded(line)

    def skip_to(self, mark: bytes) -> int:
        """Skip to the next line that begins with `mark`, and return the number of skipped lines.

        Call it at the start of a line. It is a thousand times faster than `next`, because most of a file is numbers.
        """
        skipped = 0
        if self.at(mark):
            return 0
        while (found := self._buffer.find(b"\n" + mark, self._at)) < 0:
            # The kept bytes may be the first part of the mark.
            keep = min(len(self._buffer) - self._at, len(mark))
            skipped += self._buffer.count(b"\n", self._at, len(self._buffer) - keep)
            self._at = len(self._buffer) - keep
            if not self._more():
                rest = self._buffer[self._at :]
                skipped += rest.count(b"\n")
                self._at = len(self._buffer)
                self.unended = bool(rest) and not rest.endswith(b"\n")
                return skipped + self.unended
        skipped += self._buffer.count(b"\n", self._at, found + 1)
        self._at = found + 1
        self.unended = False
        return skipped

    def at(self, mark: bytes) -> bool:
        """Whether the next line begins with `mark`."""
        while len(self._buffer) - self._at < len(mark):
            if not self._more():
                break
        return self._buffer.startswith(mark, self._at)


def _decoder_of_utf16(source: Source) -> codecs.IncrementalDecoder | None:
    """A decoder if the file is UTF-16: it has a byte order mark, or zero bytes in its first two characters."""
    head = source.up_to(4)
    source.file.seek(0)
    if head.startswith(codecs.BOM_UTF8):
        source.file.seek(3)
    elif head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return codecs.getincrementaldecoder("utf-16")("replace")
    elif len(head) == 4 and head[0::2] == b"\0\0" and b"\0" not in head[1::2]:
        return codecs.getincrementaldecoder("utf-16-be")("replace")
    elif len(head) == 4 and head[1::2] == b"\0\0" and b"\0" not in head[0::2]:
        return codecs.getincrementaldecoder("utf-16-le")("replace")
    return None


def decoded(text: bytes) -> str:
    """Decode UTF-8, else the encoding of Windows in western Europe (cp1252)."""
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("cp1252", "replace")
