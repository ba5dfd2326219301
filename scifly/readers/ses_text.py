"""Scienta SES text, versions 1.2 and 1.3: `[Info]`, then for each region its header and its numbers.

`[Data 1]` has one line for each point of the first dimension; with three dimensions there is `[Data 1:1]`,
`[Data 1:2]`, ..., one for each point of the third.
"""

from __future__ import annotations

import datetime as dt

from scifly.readers.fragment import FileHeader
from scifly.readers.ses_note import Note, section
from scifly.readers.source import Lines, Source, UnfinishedError, UnreadableError
from scifly.readers.values import cleaned, number

_FIRST = ("info", "region")
_NUMBERS = ("data", "signal")
_MOST_BEFORE = 100
"""Maximum number of lines before the first section in a text of SES."""

MAX_NOTES = 2_000


def read(source: Source, zone: dt.tzinfo) -> FileHeader:
    """Read the file. Raises UnfinishedError if it has no region yet, UnreadableError if it is another text."""
    return _SesTextReader(source, zone).part()


class _SesTextReader:
    def __init__(self, source: Source, zone: dt.tzinfo) -> None:
        self._source = source
        self._lines = Lines(source)
        self._zone = zone
        self._begin = ""
        """The first line that is not blank."""

        self._general: dict[str, str] = {}
        self._notes: dict[int, Note] = {}
        self._last: Note | None = None
        self._rows = 0
        """Number of lines of numbers in the last region."""

    def part(self) -> FileHeader:
        kind, index = "", 0
        seen = 0
        while (line := self._lines.next()) is not None:
            self._begin = self._begin or line.strip()
            found = section(line)
            if found is None:
                seen += not kind
                if seen > _MOST_BEFORE:
                    break
                self._take(kind, index, line)
                continue
            in_section = bool(kind)
            kind, index = found["kind"].strip().lower(), int(found["number"] or 0)
            if not in_section and kind not in _FIRST:
                break
            if kind in _NUMBERS:
                self._numbers(index)
        if not self._notes and not self._general:
            if self._begin and "[Info]".startswith(self._begin):
                raise UnfinishedError("has no region yet")
            raise UnreadableError("is not a text file of Scienta SES: it has no sections [Info] and [Region 1]")
        return self._finished()

    def _take(self, kind: str, index: int, line: str) -> None:
        if not index:
            key, equals, text = line.partition("=")
            if kind == "info" and equals and len(self._general) < 100:
                self._general[key.strip().lower()] = text.strip()
            return
        note = self._note(index)
        if note is not None:
            note.take(kind, line)

    def _note(self, index: int) -> Note | None:
        if index not in self._notes and len(self._notes) < MAX_NOTES:
            self._notes[index] = Note()
            self._rows = 0
        self._last = self._notes.get(index)
        return self._last

    def _numbers(self, index: int) -> None:
        self._note(index)
        self._rows += self._lines.skip_to(b"[")

    def _finished(self) -> FileHeader:
        version = cleaned(self._general.get("version", ""))[:40]
        part = FileHeader(f"Scienta SES text {version}".strip())
        part.regions = [note.region(self._zone) for _, note in sorted(self._notes.items())]
        return part.ends(self._lines.stopped, self._lacks())

    def _lacks(self) -> str:
        """What the file announces but lacks; "" if nothing."""
        announced = number(self._general.get("number of regions", ""))
        if isinstance(announced, int) and announced > len(self._notes):
            return f"{announced} regions are announced, but there are {len(self._notes)}"
        if self._last is None:
            return "has no region yet"
        rows = self._last.size(1) * (self._last.size(3) or 1)
        if self._rows < max(rows, 1):
            return f"the last region has {self._rows} of {rows or 'its'} lines of numbers"
        return ""
