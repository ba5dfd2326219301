"""One message into SciCat. Every step can be repeated: it looks first, and does only what is left to do."""

from __future__ import annotations

import logging
from urllib.parse import quote

from ingest import mapping
from ingest.failures import DatasetMissing
from ingest.ownership import Validation, check_same_beamline
from ingest.scicat import Conflict, Json, SciCat, SciCatError
from ingest.settings import Settings
from scifish.message import Message

log = logging.getLogger(__name__)

FILES_A_BLOCK = 1000


class Ingestor:
    """Writes what messages say with one client. One writer at a time for a dataset: see `ingest`.

    Threads may share it. `validation` says whose a dataset is, or that it is to wait or to be refused.
    """

    def __init__(self, client: SciCat, settings: Settings, validation: Validation) -> None:
        self._client = client
        self._settings = settings
        self._validation = validation

    def ingest(self, message: Message) -> None:
        """Bring SciCat to what this (checked) message says, and log it.

        Raises SciCatError and NotYet, after which the call can simply be made again, and Refused. Two calls
        for one dataset must not run at once: the real backend would lose one's changes.
        """
        pid = mapping.pid_of(message, self._settings)
        if message["type"] == "began":
            done = self._begin(pid, message)
        elif message["type"] == "annotation":
            done = self._annotate(pid, message)
        else:
            done = self._complete(pid, message)
        log.info("%s: %s", describe(message, done), pid)

    # ------------------------------------------------------------------ steps

    def _begin(self, pid: str, message: Message) -> str:
        if self._create(message):
            return "began"
        return "is there already"  # repeated, or its `ended` came first: that says all of it

    def _complete(self, pid: str, message: Message) -> str:
        """`ended` and `snapshot`: the metadata with part 1, files with every part."""
        if message.get("part", {"number": 1})["number"] > 1:
            if self._there(pid, message) is None:
                raise DatasetMissing(f"{pid} is not in SciCat", self._settings.missing_dataset_wait)
            done = f"files, part {message['part']['number']} of {message['part']['of']}"
        else:
            done = self._complete_metadata(pid, message)
        added = self._add_files(pid, mapping.files(message))
        return f"{done}, {added} files" if added else done

    def _complete_metadata(self, pid: str, message: Message) -> str:
        found = self._there(pid, message)
        if found is None:
            if self._create(message):
                return str(message["status"])
            found = self._client.dataset(pid)
            if found is None:
                raise SciCatError(f"{pid} can neither be created nor read", 0, "the account may lack the right to read")
        if mapping.is_over(found):
            return "is complete already"
        new = mapping.changes(message, found, self._validation(message))
        self._client.merge_dataset(pid, new)
        return str(message["status"])

    def _annotate(self, pid: str, message: Message) -> str:
        found = self._there(pid, message)
        if found is None:
            raise DatasetMissing(f"{pid} is not in SciCat", self._settings.missing_dataset_wait)
        new = {name: value for name, value in mapping.annotation(message).items() if found.get(name) != value}
        if new:
            self._client.patch_dataset(pid, new)
        added = mapping.added_metadata(message, found)
        if added:
            self._client.merge_dataset(pid, added)
        image = message["annotation"].get("image")
        if image:
            self._attach(pid, str(found["ownerGroup"]), image)
        return "written"

    # ---------------------------------------------------------------- helpers

    def _there(self, pid: str, message: Message) -> Json | None:
        """The dataset that the message is about, if it is there. Refused if it is another beamline's."""
        found = self._client.dataset(pid)
        if found is not None:
            check_same_beamline(message, mapping.recorded_beamline(found))
        return found

    def _create(self, message: Message) -> bool:
        """Whether it was created: if not, it is there already."""
        try:
            self._client.create_dataset(mapping.dataset(message, self._validation(message), self._settings))
        except Conflict:
            return False
        except SciCatError as error:
            # A 500 may come after the write happened.
            if error.status < 500 or self._client.dataset(mapping.pid_of(message, self._settings)) is None:
                raise
        return True

    def _add_files(self, pid: str, files: list[Json]) -> int:
        """How many were not there yet."""
        if not files:
            return 0
        there = self._client.files(pid)
        if not there and not self._client.alive():
            # With an expired token the answer would be the same, and all files would be added twice.
            self._client.login()
            there = self._client.files(pid)
        paths = {file["path"] for file in there}
        new = list({file["path"]: file for file in files if file["path"] not in paths}.values())
        for start in range(0, len(new), FILES_A_BLOCK):
            self._client.add_files(pid, new[start : start + FILES_A_BLOCK])
        return len(new)

    def _attach(self, pid: str, group: str, image: Json) -> None:
        path = f"/api/v3/datasets/{quote(pid, safe='')}/attachments"
        there = self._client.call("GET", path) or []
        if any((each["caption"], each["thumbnail"]) == (image["caption"], image["uri"]) for each in there):
            return
        body = {"ownerGroup": group, "caption": image["caption"], "thumbnail": image["uri"]}
        self._client.call("POST", path, body)


def describe(message: Message, done: str) -> str:
    """A line about it for people. What users wrote is quoted, and cannot break out of its line."""
    name = str(message.get("datasetName", message["type"]))
    return f"{message['beamline']} {_quoted(message['proposalId'] or 'no proposal')} {_quoted(name)} {done}"


def _quoted(text: str) -> str:
    """As it is if it is one plain word, else as Python would write it, with control characters escaped."""
    text = text[:200]
    return text if text.isascii() and text.isalnum() else repr(text)
