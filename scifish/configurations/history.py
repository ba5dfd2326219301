"""The history of SciDog's properties: time, author and content of each change, as JSON lines on the server's machine.

It is not a property: each scan reads all properties and would read the history too, and a refused write could
destroy it. Recording does not need the history. If the server moves to another machine, copy the file; without it a
new history begins with the present properties.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from scifish.message import iso
from scifish.settings import state_directory
from scifish.settings.atomic_file import write_atomically

log = logging.getLogger(__name__)

MAX_CHANGES_PER_PROPERTY = 1000
"""Maximum number of changes for each property, so that macros that switch configurations do not fill the history."""

MAX_HISTORY_BYTES = 8_000_000

DATABASE_AUTHOR = "the database"
"""The author of a change that was not made through SciDog, in jive for example."""


@dataclass(frozen=True)
class Change:
    """A property got these lines; None means deleted. `time` is ISO 8601 in UTC."""

    number: int
    time: str
    who: str
    what: str
    property: str
    lines: tuple[str, ...] | None


def history_file(device: str, tango_host: str = "") -> Path:
    """The file for one device of one Tango system, in the state folder of the account."""
    name = f"{tango_host or os.environ.get('TANGO_HOST', '')}_{device}".lower()
    return state_directory() / "scidog" / f"{re.sub(r'[^a-z0-9.-]+', '_', name).strip('_')}.jsonl"


class History:
    """The changes, oldest first. Never raises; `trouble` says what is wrong with the file."""

    def __init__(self, path: Path, most: int = MAX_CHANGES_PER_PROPERTY, most_bytes: int = MAX_HISTORY_BYTES) -> None:
        self.path = path
        self._most = most
        self._most_bytes = most_bytes
        self._changes: list[Change] = []
        self._damaged = ""
        self._unwritten = ""
        self._read()

    @property
    def trouble(self) -> str:
        """What is wrong with the file, "" if all is well."""
        return self._unwritten or self._damaged

    @property
    def changes(self) -> Sequence[Change]:
        return tuple(self._changes)

    def change(self, number: int) -> Change | None:
        return next((change for change in self._changes if change.number == number), None)

    def before(self, change: Change) -> Change | None:
        """The change that this one replaced, if it is still in the history."""
        name = change.property.lower()
        earlier = (c for c in reversed(self._changes) if c.number < change.number and c.property.lower() == name)
        return next(earlier, None)

    def of(self, names: Sequence[str]) -> list[Change]:
        """The changes, newest first, of the first of these properties that has any. Names in upper or lower case."""
        for name in names:
            found = [change for change in reversed(self._changes) if change.property.lower() == name.lower()]
            if found:
                return found
        return []

    def now(self) -> dict[str, Change]:
        """The last change of each property, by its name in lower case."""
        return {change.property.lower(): change for change in self._changes}

    def notice(self, properties: Mapping[str, Sequence[str]], who: str = DATABASE_AUTHOR) -> None:
        """Add changes that were not made through SciDog."""
        known = self.now()
        began = not known
        changed: list[tuple[str, str, Sequence[str] | None]] = []
        for name, lines in properties.items():
            last = known.pop(name.lower(), None)
            if last is None or last.lines != tuple(lines) or last.property != name:
                what = "was there when the history began" if began else _verb(last, lines)
                changed.append((what, name, lines))
        changed += [("deleted", last.property, None) for last in known.values() if last.lines is not None]
        if changed:
            self.add(who, changed)
        elif self._unwritten:
            self._write()

    def add(self, who: str, changed: Iterable[tuple[str, str, Sequence[str] | None]]) -> None:
        """Add changes: what was done, the property, and its lines."""
        first = self._changes[-1].number + 1 if self._changes else 1
        now = iso(time.time())
        for number, (what, name, lines) in enumerate(changed, start=first):
            self._changes.append(Change(number, now, who, what, name, None if lines is None else tuple(lines)))
        self._write()

    def _write(self) -> None:
        texts = [json.dumps(asdict(change)) for change in self._changes]
        size = sum(map(len, texts))
        last = {change.number for change in self.now().values()}
        kept, left = [], Counter(change.property.lower() for change in self._changes)
        for change, text in zip(self._changes, texts, strict=True):
            name = change.property.lower()
            if (left[name] > self._most or size > self._most_bytes) and change.number not in last:
                left[name], size = left[name] - 1, size - len(text)
            else:
                kept.append((change, text))
        self._changes = [change for change, _ in kept]
        try:
            write_atomically(self.path, "".join(f"{text}\n" for _, text in kept))
            self._unwritten = ""
        except OSError as error:
            self._unwritten = (
                f"the history {self.path} cannot be written and would be lost when the server stops: {error}"
            )

    def _read(self) -> None:
        try:
            lines = self.path.read_text("utf-8").splitlines()
            self._changes = [_change(json.loads(line)) for line in lines]
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, KeyError) as error:
            # The file is kept: people may still read it.
            aside = self.path.with_suffix(f".damaged-{time.time_ns()}")
            self._damaged = f"the history cannot be read ({error}); a new one is started, the old file is {aside}"
            try:
                os.replace(self.path, aside)
            except OSError as refused:
                self._damaged = f"the history {self.path} cannot be read or renamed: {refused}"
            log.error("%s", self._damaged)


def _change(kept: Mapping[str, Any]) -> Change:
    lines = kept["lines"]
    return Change(**{**kept, "lines": None if lines is None else tuple(lines)})


def _verb(last: Change | None, lines: Sequence[str]) -> str:
    if last is None or last.lines is None:
        return "added"
    return "edited" if last.lines != tuple(lines) else "renamed"
