"""Rows into an entry of Elogy, never twice. No Qt here.

Elogy's writes have no key of their own: a repeat makes a second entry. So each export has an id that follows from what
is exported and where to; it is written in the entry's metadata together with the rows, and looked for before
anything is written. What was lost on the way, an answer or the rest of the pictures, is found out in the same way.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from taurus_widgets.scanlog.data.cells import Sheet, readable, stays_on_one_line
from taurus_widgets.scanlog.data.columns import Json
from taurus_widgets.scanlog.exporting.elogy import Author, Elogy, ElogyError, Stale
from taurus_widgets.scanlog.exporting.html_file import wide_table
from taurus_widgets.scanlog.exporting.pictures import PictureFile
from taurus_widgets.scanlog.exporting.progress import Cancelled, ExportProgress

DEFAULT_TITLE = "Exported from Scanlog"
"""The title of an entry without a given title."""

MAX_ELOGY_ROWS = 2_000
"""Rows of one entry: Elogy sends them all to everybody who opens the logbook."""

MAX_APPEND_TRIES = 5
"""Attempts to change an entry that somebody else changes at the same time."""

APPEND_SETTLE_SECONDS = 1.0
"""After an append, before it is read back. A change that another thread of Elogy's began earlier is over by then."""

CHECK_PAUSES_SECONDS = (0.5, 1.0, 2.0)
"""Pauses before each check whether a write happened whose answer was lost."""


SHA_LENGTH = 8
"""Hexadecimal digits of a picture's SHA-256 at the end of its file's name."""

_ATTACHED_SHA = re.compile(rf".*-([0-9a-f]{{{SHA_LENGTH}}})\.[a-z]+", re.DOTALL)


class UncertainWrite(ElogyError):
    """A write was sent without an answer, and its result is not in Elogy (yet)."""


class Overwritten(ElogyError):
    """Elogy has accepted an append, and then another change that was made from the entry as it was before."""


class DuplicateEntry(ElogyError):
    """Two computers have exported the same rows at the same moment. A program cannot delete an entry."""


@dataclass(frozen=True)
class ElogyTarget:
    """`entry` is the entry to append to, None for a new one. The rest is for a new entry, `authors` for both."""

    logbook: int
    entry: int | None = None
    title: str = ""
    authors: tuple[Author, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class WrittenEntry:
    """The entry with the rows. `before`: an earlier export had already written it."""

    logbook: int
    entry: int
    before: bool
    pictures: int


@dataclass(frozen=True)
class ElogyExport:
    """The exported texts: `rows` has the cells in the order of `headings`."""

    intro: str
    headings: list[str]
    pids: list[str]
    rows: list[list[str]]
    pictures: list[tuple[str, PictureFile]]
    """Each with the pid of its dataset."""
    unwrapped: frozenset[int] = frozenset()
    """The places of the columns whose cells stay on one line: times and numbers."""

    @classmethod
    def of(cls, sheet: Sheet, datasets: Sequence[Json], pictures: list[tuple[str, PictureFile]]) -> ElogyExport:
        rows = [[readable(column, dataset) for column in sheet.columns] for dataset in datasets]
        intro = f"{sheet.title}, {len(rows)} row{'s' * (len(rows) != 1)} from {sheet.catalogue}"
        pids = [dataset["pid"] for dataset in datasets]
        unwrapped = frozenset(place for place, column in enumerate(sheet.columns) if stays_on_one_line(column))
        return cls(intro, sheet.headings, pids, rows, pictures, unwrapped)

    def id(self, target: ElogyTarget) -> str:
        """An id that is the same for the same rows and the same target, with and without pictures.

        It has only letters and digits: other characters have a meaning in Elogy's search.
        """
        said = [target.logbook, target.entry, target.title, self.headings, self.pids, self.rows]
        return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:32]

    def html(self) -> str:
        return f"<p>{escape(self.intro)}</p>{wide_table(self.headings, self.rows, self.unwrapped)}"

    def text(self) -> str:
        """The rows as text, for entries that are not HTML."""
        lines = [self.headings, *([cell.replace("\n", " / ") for cell in row] for row in self.rows)]
        widths = [max(len(line[place]) for line in lines) for place in range(len(self.headings))]
        padded = ("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) for line in lines)
        return "\n".join([self.intro, *(line.rstrip() for line in padded)])


def send(elogy: Elogy, target: ElogyTarget, export: ElogyExport, progress: ExportProgress) -> WrittenEntry:
    """Write the rows unless they are already in Elogy, and add the missing pictures.

    Raises ElogyError (Stale for an entry that is locked, UncertainWrite where an answer was lost for good) and
    Cancelled. It can be repeated after any of them.
    """
    mark = export.id(target)
    entry, before = (_created if target.entry is None else _appended)(elogy, target, export, mark, progress)
    logbook, number = int(entry["logbook"]["id"]), int(entry["id"])
    sent = 0
    try:
        sent = _attach(elogy, number, export, progress)
    except Cancelled as error:
        raise Cancelled(f"The rows are in entry {number}, not all of the pictures.") from error
    except ElogyError as error:
        raise ElogyError(
            f"{error}. The rows are in entry {number}, not all of the pictures: export again to send the rest",
            error.status,
        ) from error
    return WrittenEntry(logbook, number, before and not sent, len(export.pictures))


def _key(mark: str) -> str:
    """The key in the entry's metadata: one for each export, since an entry can hold several."""
    return f"scanlog_{mark[:12]}"


# ------------------------------------------------------------------------------ new


def _created(
    elogy: Elogy, target: ElogyTarget, export: ElogyExport, mark: str, progress: ExportProgress
) -> tuple[Json, bool]:
    progress.check()
    found = elogy.marked(target.logbook, _key(mark), mark)
    if found is not None:
        return found, True
    body = {
        "title": target.title or DEFAULT_TITLE,
        "content": export.html(),
        "content_type": "text/html",
        "authors": [author.as_json() for author in target.authors],
        "attributes": target.attributes,
        "metadata": {_key(mark): mark},
        "priority": 0,
    }
    progress.check()
    try:
        made = elogy.entry(elogy.create(target.logbook, body))
    except ElogyError as error:
        if not error.uncertain:
            raise
        return _found_after(error, elogy, target, mark, progress), False
    try:
        first = elogy.marked(target.logbook, _key(mark), mark) or made
    except ElogyError:
        return made, False  # the entry exists; the next export of these rows checks again
    if first["id"] != made["id"]:
        raise DuplicateEntry(
            f"Somebody else has exported the same rows at the same moment: they are in entry {first['id']}, "
            f"and in entry {made['id']}, which can be deleted in Elogy"
        )
    return made, False


def _found_after(error: ElogyError, elogy: Elogy, target: ElogyTarget, mark: str, progress: ExportProgress) -> Json:
    """The entry, if the write whose answer was lost has created it.

    The write is never repeated here: the server may still be busy with the first one.
    """
    for seconds in CHECK_PAUSES_SECONDS:
        progress.pause(seconds)
        try:
            found = elogy.marked(target.logbook, _key(mark), mark)
        except ElogyError:
            continue  # still no answer: the error of the write is reported
        if found is not None:
            return found
    raise UncertainWrite(
        f"{error}. The entry is not in Elogy, but may still appear. "
        "Export again later: the export first searches for it",
        error.status,
    ) from error


# ----------------------------------------------------------------------- append


def _appended(
    elogy: Elogy, target: ElogyTarget, export: ElogyExport, mark: str, progress: ExportProgress
) -> tuple[Json, bool]:
    assert target.entry is not None
    problem: ElogyError | None = None
    for attempt in range(MAX_APPEND_TRIES):
        if attempt:
            # Not the same pause for all that append at the same moment, so that they do not meet again.
            progress.pause(0.2 * 2**attempt * random.uniform(0.5, 1.5))  # noqa: S311 - not for secrets
        progress.check()
        entry = elogy.entry(target.entry)
        if (entry.get("metadata") or {}).get(_key(mark)) == mark:
            return entry, problem is None
        # Safe to repeat: if the first write was done after all, the entry has another revision.
        try:
            _check_unlocked(entry)
            elogy.change(entry, _changes(entry, target, export, mark))
        except ElogyError as error:
            if not error.uncertain and not isinstance(error, Stale):
                raise
            problem = error
            continue
        progress.pause(APPEND_SETTLE_SECONDS)
        entry = elogy.entry(target.entry)
        if (entry.get("metadata") or {}).get(_key(mark)) == mark:
            return entry, False
        problem = Overwritten(f"Somebody else's change of entry {target.entry} has replaced the rows")
    if isinstance(problem, Stale):
        raise Stale(f"Entry {target.entry} is being edited by somebody else ({problem}). Try again later", 409)
    raise UncertainWrite(
        f"{problem}. Export again: what is in entry {target.entry} already is not added twice"
    ) from problem


def _check_unlocked(entry: Json) -> None:
    """Stale if somebody has the entry open for editing.

    Elogy itself refuses a change only where the lock has another address, and else cancels it. Behind a proxy
    all its users have one address.
    """
    lock = entry.get("lock")
    if isinstance(lock, dict):
        raise Stale(f"it is locked by {lock.get('owned_by_ip')} since {lock.get('created_at')}", 409)


def _changes(entry: Json, target: ElogyTarget, export: ElogyExport, mark: str) -> Json:
    content = entry.get("content") or ""
    if str(entry.get("content_type") or "text/html").startswith("text/html"):
        title = f"<h3>{escape(target.title)}</h3>" if target.title else ""
        content = f"{content}<hr/>{title}{export.html()}"
    else:
        content = "\n\n".join(part for part in (content, target.title, export.text()) if part)
    changes: Json = {"content": content, "metadata": (entry.get("metadata") or {}) | {_key(mark): mark}}
    written = entry.get("authors") or []
    known = {(author.get("login") or author.get("name")) for author in written}
    further = [author.as_json() for author in target.authors if (author.login or author.name) not in known]
    return changes | ({"authors": written + further} if further else {})


# --------------------------------------------------------------------- pictures


def _attach(elogy: Elogy, number: int, export: ElogyExport, progress: ExportProgress) -> int:
    """Send the pictures that the entry lacks; returns their number.

    A picture is known by its dataset and its content, so that it is sent once, whichever export it comes with.
    """
    sent = 0
    if not export.pictures:
        return sent
    entry = elogy.entry(number)
    there = _attached(entry)
    for pid, picture in export.pictures:
        progress.check()
        # One name for one picture: two files of the same name and second would overwrite each other.
        dataset = hashlib.sha256(pid.encode()).hexdigest()[:8]
        name = f"{picture.stem}-{dataset}-{picture.sha256[:SHA_LENGTH]}.{picture.suffix}"
        key = (pid, picture.sha256[:SHA_LENGTH])
        if key not in there:
            try:
                elogy.attach(entry, name, picture.kind, picture.data, {"caption": picture.caption, "pid": pid})
            except ElogyError as error:
                if not error.uncertain or not _arrived(elogy, number, key, progress):
                    raise
            there.add(key)
            sent += 1
        progress.step()
    return sent


def _arrived(elogy: Elogy, number: int, key: tuple[str, str], progress: ExportProgress) -> bool:
    for seconds in CHECK_PAUSES_SECONDS:
        progress.pause(seconds)
        try:
            if key in _attached(elogy.entry(number)):
                return True
        except ElogyError:
            continue
    return False


def _attached(entry: Json) -> set[tuple[str, str]]:
    """The pictures that earlier exports have attached: the dataset's pid, and the start of the content's SHA-256."""
    return {
        (str((attachment.get("metadata") or {}).get("pid")), _ATTACHED_SHA.sub(r"\1", str(attachment.get("filename"))))
        for attachment in entry.get("attachments") or []
    }
