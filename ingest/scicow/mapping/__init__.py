"""Converts messages to SciCat's datasets. Pure: no network, no clock.

What is produced is for the named version of the API, v3 or v4; what is read has always the form of v3, whose keys
every server decodes.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from ingest.scicow.errors import MessageRefused
from ingest.scicow.mapping import scicat_fields
from ingest.scicow.mapping.annotations import annotation
from ingest.scicow.mapping.definition import REVISION, load_page
from ingest.scicow.mapping.merge_patch import difference, missing, same, united
from ingest.scicow.mapping.metadata import SCAN_GROUP, Metadata
from ingest.scicow.mapping.ownership import Ownership
from ingest.scicow.mapping.templates import (
    END_NAMES,
    NO_FOLDER,
    PEOPLE_NAMES,
    RUNNING,
    as_text,
    filled,
    folder,
    names_in,
    names_of,
)
from ingest.scicow.settings import SciCowSettings
from scifish.message import Message

__all__ = ["Mapping", "ends", "files", "is_over", "pid_of", "recorded_beamline", "recorded_revision", "revision"]

Json = dict[str, Any]


def pid_of(message: Message, settings: SciCowSettings) -> str:
    """The dataset's pid, the same for every message about it."""
    return f"{settings.pid_prefix}/{message['uuid']}"


def is_over(found: Json) -> bool:
    """Whether the dataset, as v3 shows it, has had its `ended` or `snapshot`."""
    return _status(found) not in (None, RUNNING)


def ends(message: Message, found: Json) -> bool:
    """Whether this `ended` or `snapshot` says how the dataset, as v3 shows it, ended.

    The largest revision does, of one revision the first; but `interrupted` is only what the next start
    of a program guesses.
    """
    if revision(message) != recorded_revision(found):
        return revision(message) > recorded_revision(found)
    return not is_over(found) or (_status(found) == "interrupted" and message["status"] != "interrupted")


def revision(message: Message) -> int:
    """How often the dataset of an `ended` or `snapshot` was recorded before."""
    return int(message.get("revision", 0))


def recorded_revision(found: Json) -> int:
    """The largest revision that the dataset, as v3 shows it, has had."""
    value = (_scan(found).get(REVISION) or {}).get("value")
    return value if isinstance(value, int) else 0


def recorded_beamline(found: Json) -> str:
    """Where the dataset, as v3 shows it, was recorded; "" if it does not say."""
    return str((_scan(found).get("beamline") or {}).get("value") or "")


def files(message: Message) -> list[Json]:
    """The message's files as a datablock has them, paths relative to the source folder if they are in it.

    A file that is gone has the size 0 and a time, as the message has it.
    """
    inside = folder(message) + "/"
    return [
        # Any further field, as the message's `error`, would be a 400.
        {"path": file["path"].removeprefix(inside) or file["path"], "size": file["size"], "time": file["time"]}
        for file in message.get("files", [])
    ]


class Mapping:
    """The page in use. Threads may share it."""

    def __init__(self, settings: SciCowSettings) -> None:
        """SciCowSettingsError naming each mistake in the page `settings.mapping`."""
        self._settings = settings
        self._page = load_page(settings.mapping)

    def dataset(self, message: Message, whose: Ownership, version: str) -> Json:
        """A new raw dataset from `began`, `ended` or `snapshot`.

        MessageRefused if the page gives no value for a field that SciCat requires.
        """
        names = names_of(message, whose, self._settings)
        fields = {name: filled(pattern, names) for name, pattern in self._page.fields[version].items()}
        # SciCat refuses empty ones.
        fields = {name: value for name, value in fields.items() if value not in (None, "", [])}
        lacking = sorted(scicat_fields.REQUIRED[version] - set(fields))
        if lacking:
            raise MessageRefused(f"the mapping has no value for {lacking[0]}, which SciCat requires: see its page")
        fields = {name: _as_field(name, value) for name, value in fields.items()}
        metadata = Metadata(self._page).of(message["scientificMetadata"], names)
        return {"pid": pid_of(message, self._settings), "type": "raw", **fields, "scientificMetadata": metadata}

    def notes(self, message: Message, whose: Ownership) -> list[str]:
        """What of the metadata will be different in SciCat, one line each."""
        walk = Metadata(self._page)
        if message["type"] == "annotation":
            walk.added(message["annotation"].get("scientificMetadata") or {}, {})
        else:
            walk.of(message["scientificMetadata"], names_of(message, whose, self._settings))
        return walk.notes

    def changes(self, message: Message, found: Json, whose: Ownership, version: str) -> Json:
        """What `ended` adds to the dataset as v3 shows it: a merge-patch.

        Only what differs is in it, so that nothing else is touched: not what people wrote, and not the
        metadata that only `began` had. Fields are filled in where the dataset has none.
        """
        wanted = self.dataset(message, whose, version)
        # The proposal was not known in the beginning: nor was whose it is.
        late = bool(message["proposalId"]) and not found.get("proposalId")
        new = {}
        for name, pattern in self._page.fields[version].items():
            there, names = there_of(name, found), names_in(pattern)
            if name not in wanted or _equal(there, wanted[name]):
                continue
            moved = "sourceFolder" in names and folder(message) != NO_FOLDER
            if not there or moved or names & END_NAMES or (late and names & PEOPLE_NAMES):
                new[name] = wanted[name]
        if whose.alone:  # also where its `began` came when more were to see it
            groups: Json = {name: wanted.get(name, []) for name in ("ownerGroup", "accessGroups")}
            new |= {name: value for name, value in groups.items() if not same(found.get(name) or [], value)}
        metadata = difference(found.get("scientificMetadata") or {}, wanted["scientificMetadata"])
        if revision(message):
            # What was said of the recording before, as that a part was missing, is no longer so.
            gone = (self._page.scan.keys() & _scan(found).keys()) - wanted["scientificMetadata"][SCAN_GROUP].keys()
            metadata = united(metadata, {SCAN_GROUP: dict.fromkeys(gone)} if gone else {})
        return new | ({"scientificMetadata": metadata} if metadata else {})

    def lacking(self, message: Message, found: Json, whose: Ownership, version: str) -> Json:
        """What an `ended` or `snapshot` that came after a larger revision still adds: values that the dataset has not.

        Attributes, for one, are in the first recording only.
        """
        wanted = self.dataset(message, whose, version)["scientificMetadata"]
        del wanted[SCAN_GROUP]
        metadata = missing(wanted, found.get("scientificMetadata") or {})
        return {"scientificMetadata": metadata} if metadata else {}

    def annotation(self, message: Message, first: Json, found: Json) -> Json:
        """The merge-patch, the same in v3 and v4, that an annotation is for the dataset: see `annotations`."""
        return annotation(message, first, found, self._page)


def there_of(name: str, found: Json) -> Any:
    """A field, v3's or v4's, of the dataset as v3 shows it."""
    if name in scicat_fields.NAMES_IN_V3:
        first = found.get(scicat_fields.NAMES_IN_V3[name])
        return [first] if first else []
    return found.get(name)


def _status(found: Json) -> Any:
    return (_scan(found).get("status") or {}).get("value")


def _scan(found: Json) -> Json:
    scan: Json = (found.get("scientificMetadata") or {}).get(SCAN_GROUP) or {}
    return scan


def _as_field(name: str, value: Any) -> Any:
    """A number as text, where SciCat has text."""
    kind = scicat_fields.FIELDS_BY_SECTION["v3"].get(name) or scicat_fields.FIELDS_BY_SECTION["v4"][name]
    if kind == scicat_fields.TEXT:
        return as_text(value)
    return [str(each) for each in value] if kind == scicat_fields.LIST else value


def _equal(there: Any, value: Any) -> bool:
    if isinstance(there, str) and isinstance(value, str) and there != value:
        try:
            moments = [dt.datetime.fromisoformat(text) for text in (there, value)]
        except ValueError:
            return False
        return all(each.tzinfo for each in moments) and abs((moments[0] - moments[1]).total_seconds()) < 0.001
    return same(there, value)
