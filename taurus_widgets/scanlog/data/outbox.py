"""The outbox: edits are stored on disk until they are in SciCat.

One file (mode 0600) per edit, written completely or not at all. Several windows of one user share the folder: a lock on
the file decides which of them sends it, and is released when its process ends.
"""

from __future__ import annotations

import dataclasses
import enum
import fcntl
import json
import logging
import os
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from scifish.message import iso
from scifish.settings.atomic_file import write_atomically
from taurus_widgets.scanlog.data.columns import Json
from taurus_widgets.scanlog.data.state_folder import makePrivate

log = logging.getLogger(__name__)

COMMENT, RATING, PICTURE = "comment", "dataQualityMetrics", "picture"

OUTBOX_FORMAT = 1
"""The version of the files. Files of another version are left alone."""


@dataclasses.dataclass(frozen=True)
class Edit:
    """One change of one dataset. `value` is a text, a number of stars (0: not rated) or a picture's `data:` URI.

    `before` are the values that it replaces on purpose: the one that was shown when the edit began, and earlier ones by
    the same person that were being sent then. `title` names the dataset for people, `made` is the time of the edit.
    `early`: the dataset was not in the catalogue when the edit was made, and may arrive at any time.
    """

    catalogue: str
    username: str
    pid: str
    field: str
    value: Any
    before: tuple[Any, ...] = ()
    caption: str = ""
    title: str = ""
    early: bool = False
    made: str = dataclasses.field(default_factory=lambda: iso(time.time()))
    key: str = dataclasses.field(default_factory=lambda: uuid.uuid4().hex)


class Claim(enum.Enum):
    """Whether this window may send an edit now."""

    OURS = "ours"
    BUSY = "another window is sending it"
    GONE = "another window has sent or deleted it"


def normal(name: str, value: Any) -> Any:
    """A field's value in a form for comparisons: None equals "" and 0 stars."""
    if name == RATING:
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0
    return "\n".join(str(value or "").splitlines()).strip()


class Outbox:
    """The folder with the edits of one user of this machine. Threads may share it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, edit: Edit) -> None:
        """Write the edit. It is on disk when this returns. Raises OSError."""
        makePrivate(self._folder)
        write_atomically(self._path(edit), json.dumps({"format": OUTBOX_FORMAT, **dataclasses.asdict(edit)}))

    def drop(self, edit: Edit) -> None:
        """Delete the edit: it is in SciCat, or it was discarded."""
        self._path(edit).unlink(missing_ok=True)

    def edits(self) -> list[Edit]:
        """All edits in the outbox, oldest first. An unreadable file is logged and left alone."""
        found = []
        for path in self._folder.glob("[!.]*.json"):
            try:
                found.append(_edit(json.loads(path.read_text("utf-8")), path.stem))
            except FileNotFoundError:
                continue  # sent in the meantime
            except (OSError, ValueError, TypeError, KeyError) as error:
                log.warning("%s: not an edit that this version can read: %s", path, error)
        return sorted(found, key=lambda edit: (edit.made, edit.key))

    @contextmanager
    def claimed(self, edit: Edit) -> Iterator[Claim]:
        """Lock the edit, so that no other window sends it. Raises OSError if the file cannot be opened."""
        try:
            handle = os.open(self._path(edit), os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            yield Claim.GONE
            return
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # It may have been sent between the two calls.
            claim = Claim.OURS if os.fstat(handle).st_nlink else Claim.GONE
        except BlockingIOError:
            claim = Claim.BUSY
        except OSError:
            claim = Claim.OURS  # a file system without locks: an edit that is sent twice does no harm
        try:
            yield claim
        finally:
            os.close(handle)

    def _path(self, edit: Edit) -> Path:
        return self._folder / f"{edit.key}.json"


def _edit(found: Json, key: str) -> Edit:
    if found.pop("format") != OUTBOX_FORMAT:
        raise ValueError("it is of another version")
    edit = Edit(**{**found, "before": tuple(found["before"])})
    texts = (edit.catalogue, edit.username, edit.pid, edit.field, edit.caption, edit.title, edit.made, edit.key)
    known = edit.field in (COMMENT, RATING, PICTURE) and edit.key == key
    if not known or not isinstance(edit.early, bool) or not all(isinstance(text, str) for text in texts):
        raise ValueError("its fields are wrong")
    return edit
