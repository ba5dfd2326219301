"""Writes one message to SciCat. Every step can be repeated: it reads first, and does only what is left."""

from __future__ import annotations

import logging
from functools import partial

from ingest.scicat import DocumentConflict, Json, SciCat, SciCatError, TooLarge
from ingest.scicow import mapping
from ingest.scicow.catalogue.checksums import Checksums
from ingest.scicow.catalogue.datablocks import DatasetFiles
from ingest.scicow.catalogue.dataset_writer import DatasetWriter
from ingest.scicow.catalogue.group_change import share
from ingest.scicow.errors import DatasetMissing, MessageRefused
from ingest.scicow.mapping import Mapping
from ingest.scicow.mapping.ownership import Validation, check_same_beamline
from ingest.scicow.settings import SciCowSettings
from scifish.message import Message

log = logging.getLogger(__name__)


class Ingestor:
    """Writes messages with one client. Only one thread at a time may write a dataset: see `ingest`.

    Threads may share it. `validation` says whose a dataset is, or that it is to wait or to be refused.
    SciCowSettingsError if the mapping's page is wrong.
    """

    def __init__(self, client: SciCat, settings: SciCowSettings, validation: Validation) -> None:
        self._client = client
        self._settings = settings
        self._validation = validation
        self._mapping = Mapping(settings)
        self._checksums = Checksums(settings.checksums, settings.checksum_folders)
        self._files = DatasetFiles(client, self._checksums.algorithm)
        self._version = "" if settings.scicat.api == "auto" else settings.scicat.api

    def ingest(self, message: Message, resent: bool = False) -> None:
        """Write this (validated) message to SciCat, and log it.

        `resent` is whether it was ingested before: of a dataset that was deleted since, the files are still in SciCat.

        Raises SciCatError and NotYet, after which the call can be repeated, and MessageRefused. Two calls
        for one dataset must not run at once: the real backend would lose one's changes.
        """
        pid = mapping.pid_of(message, self._settings)
        try:
            if message["type"] == "began":
                # If it is not created, it is repeated, or its `ended` came first: that says all of it.
                done = "began" if self._create(message) else "exists already"
                if done != "began":
                    self._there(pid, message)  # which may be another beamline's
            elif message["type"] == "annotation":
                done = self._annotate(pid, message)
            else:
                done = self._complete(pid, message, resent)
        except TooLarge as error:
            raise MessageRefused(
                f"{error}; record less with this dataset, or leave out values in the mapping"
            ) from error
        log.info("%s: %s", describe(message, done), pid)

    # ------------------------------------------------------------------ steps

    def _complete(self, pid: str, message: Message, resent: bool) -> str:
        """`ended` and `snapshot`: the metadata with part 1, files with every part."""
        revision, none_there = mapping.revision(message), False
        if message.get("part", {"number": 1})["number"] > 1:
            found = self._there(pid, message)
            if found is None or mapping.recorded_revision(found) < revision:
                raise self._missing(pid, revision)
            done, last = f"files, part {message['part']['number']} of {message['part']['of']}", found
        else:
            done, last, none_there = self._complete_metadata(pid, message)
        if mapping.recorded_revision(last) > revision:
            return f"{done}: was recorded again later"  # which named the files as they were by then
        files, checksums = mapping.files(message), partial(self._with_checksums, message)
        replaced = self._files.replace(pid, files, checksums) if revision else 0
        added = self._files.add(pid, files, checksums, none_there and not resent)
        counts = {"files": added, "files changed": replaced}
        return ", ".join([done, *(f"{count} {what}" for what, count in counts.items() if count)])

    def _complete_metadata(self, pid: str, message: Message) -> tuple[str, Json, bool]:
        """What was done, the dataset before (or {}), and whether for certain none of its files are in SciCat."""
        # A snapshot is new but for a repeat; before an `ended` came its `began`, but for a loss.
        first = message["type"] == "snapshot" and not mapping.revision(message)
        found = None if first else self._there(pid, message)
        if found is None:
            if self._create(message):
                # Whoever gets this message again finds a dataset that is over, and looks.
                return str(message["status"]), {}, True
            found = self._there(pid, message)
            if found is None:
                raise SciCatError(
                    f"{pid} can be neither created nor read", 0, "the account may lack the right to read it"
                )
        if mapping.recorded_revision(found) > mapping.revision(message):
            whose, version = self._validation(message), self._api()
            self._writer().settle(pid, found, lambda now: self._mapping.lacking(message, now, whose, version))
            return "is complete already", found, False
        if not mapping.ends(message, found):
            return "is complete already", found, False
        whose, version = self._validation(message), self._api()
        new = self._mapping.changes(message, found, whose, version)
        if new.keys() & {"ownerGroup", "accessGroups"}:
            share(self._client, pid, {name: (found | new).get(name) or [] for name in ("ownerGroup", "accessGroups")})
            found = self._there(pid, message) or found  # SciCat has counted its files again
        # The status is written before any file. So as long as it says that the dataset is running, no try
        # has got to the files, however often the message came.
        none_there = not mapping.is_over(found)
        self._writer().settle(pid, found, lambda now: self._mapping.changes(message, now, whose, version))
        return str(message["status"]), found, none_there

    def _annotate(self, pid: str, message: Message) -> str:
        found = self._there(pid, message)
        if found is None:
            raise self._missing(pid)
        done = False
        said = message["annotation"]
        if "image" in said:
            image = said["image"]
            owner, others = str(found["ownerGroup"]), found.get("accessGroups") or []
            done = self._client.attach_once(pid, owner, image["caption"], image["uri"], others)
        if said.keys() - {"image"}:
            # Last, as by its mark a repeat knows that all is done.
            done |= self._writer().settle(pid, found, partial(self._mapping.annotation, message, found))
        return "written" if done else "exists already"

    # ---------------------------------------------------------------- helpers

    def _api(self) -> str:
        """v3 or v4: as the settings have it, else the better one that the server has."""
        if not self._version:
            self._version = "v4" if self._client.has_v4() else "v3"
            log.info("using API %s of SciCat", self._version)
        return self._version

    def _writer(self) -> DatasetWriter:
        return DatasetWriter(self._client, self._api())

    def _missing(self, pid: str, revision: int = 0) -> DatasetMissing:
        which = f"revision {revision} of {pid}" if revision else pid
        return DatasetMissing(f"{which} is not in SciCat", self._settings.missing_dataset_wait)

    def _there(self, pid: str, message: Message) -> Json | None:
        """The dataset that the message is about, if it is there. ForeignMessage if it is another beamline's."""
        found = self._client.dataset(pid)
        if found is not None:
            check_same_beamline(message, mapping.recorded_beamline(found))
        return found

    def _create(self, message: Message) -> bool:
        """Whether this call created it; if not, it exists already."""
        new = self._mapping.dataset(message, self._validation(message), self._api())
        try:
            self._client.create_dataset(new, self._api())
        except DocumentConflict:
            return False
        except SciCatError as error:
            # A 500 may come after the write happened.
            if error.status < 500 or self._there(new["pid"], message) is None:
                raise
            return False
        return True

    def _with_checksums(self, message: Message, files: list[Json]) -> list[Json]:
        """These of the message's files, in the form of a datablock, with `chk` where it can be had."""
        full = {
            given["path"]: there["path"]
            for there, given in zip(message["files"], mapping.files(message), strict=True)
            if "error" not in there
        }
        sizes = {full[file["path"]]: file["size"] for file in files if file["path"] in full}
        found = self._checksums.of(sizes, str(message["uuid"]))
        return [
            {**file, "chk": found[full[file["path"]]]} if full.get(file["path"]) in found else file for file in files
        ]


def describe(message: Message, done: str) -> str:
    """A line about it for people. Texts of users are quoted, so they cannot break the line."""
    name = str(message.get("datasetName", message["type"]))
    return f"{message['beamline']} {_quoted(message['proposalId'] or 'no proposal')} {_quoted(name)} {done}"


def _quoted(text: str) -> str:
    """As it is if it is one plain word, else as Python would write it, with control characters escaped."""
    text = text[:200]
    return text if text.isascii() and text.isalnum() else repr(text)
