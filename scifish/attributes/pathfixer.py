"""The client of PathFixer for datasets: proposal, sample and path."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path

from scifish.attributes.reader import Reader
from scifish.message import Message, plain
from scifish.settings import Settings
from scifish.settings.atomic_file import write_atomically

log = logging.getLogger(__name__)


PATHFIXER_TIMEOUT_SECONDS = 1.0
"""Seconds for PathFixer's answer: it has the values in memory."""


SAVE_SECONDS = 3600.0
"""Seconds until the time of an answer that has not changed is written to disk again."""


_FIELDS = {"Proposal": "proposalId", "Sample": "sampleId", "SamplePath": "sourceFolder", "Type": "category"}


class PathFixerReader:
    """Reads PathFixer, and keeps its last answer, also on disk, for times when it does not answer.

    An answer that is older than `RememberProposalDays` is not used: the proposal may be another one by now. `file` has
    one entry for each PathFixer: one account may record for several beamlines.
    """

    def __init__(self, reader: Reader, file: Path) -> None:
        self._reader = reader
        self._file = file
        self._answers = _load(file)
        self._saved = dict(self._answers)

    def last(self, settings: Settings | None) -> Message:
        """The last answer of the PathFixer of these settings; {} if there is none, or it is too old to be used."""
        if settings is None:
            return {}
        found = dict(self._answers.get(settings.path_fixer.lower(), {}))
        age = time.time() - float(found.pop("time", 0.0))
        return found if age <= settings.remember_proposal_days * 86_400 else {}

    def read(self, settings: Settings) -> tuple[Message, list[str]]:
        """The fields of a dataset that PathFixer knows, and warnings. Never raises."""
        if not settings.path_fixer and not settings.scidog:
            return {}, []  # a beamline without PathFixer: the program gives all fields
        if not settings.path_fixer:
            return {}, ["the property PathFixer of SciDog is empty: proposal, sample and path are not known"]
        sources = {f"{settings.path_fixer}/{attribute}": name for attribute, name in _FIELDS.items()}
        readings = self._reader.read(sources, min(PATHFIXER_TIMEOUT_SECONDS, settings.snapshot_timeout))
        errors = [reading.error for reading in readings.values() if reading.error]
        if not errors:
            found = {name: str(plain(str(readings[source].value or ""))) for source, name in sources.items()}
            self._store(settings.path_fixer.lower(), found)
            return found, []
        # A partial answer is not mixed with an older one: they may belong to two proposals.
        warning = f"{settings.path_fixer} does not answer ({errors[0]})"
        if last := self.last(settings):
            return last, [f"{warning}: proposal, sample and path are from its last answer"]
        known = "not known" if settings.send_without_proposal else "not known, and the dataset waits until they are"
        return {}, [f"{warning}: proposal, sample and path are {known}"]

    def _store(self, path_fixer: str, found: Message) -> None:
        now = self._answers[path_fixer] = {**found, "time": time.time()}
        saved = self._saved.get(path_fixer, {})
        if {**saved, "time": now["time"]} == now and now["time"] - saved["time"] < SAVE_SECONDS:
            return
        self._saved[path_fixer] = now
        try:
            # Another program may have written the answer of another PathFixer.
            answers = _load(self._file) | {path_fixer: now}
            write_atomically(self._file, json.dumps(answers, ensure_ascii=False))
        except OSError as error:
            log.warning("the answer of PathFixer cannot be written to disk: %s", error)


def _load(file: Path) -> dict[str, Message]:
    try:
        answers = json.loads(file.read_text("utf-8"))
        return {
            str(path_fixer): {
                **{name: str(answer[name]) for name in _FIELDS.values()},
                "time": min(float(answer["time"]), time.time()),  # a clock that was ahead must not keep it for ever
            }
            for path_fixer, answer in answers.items()
        }
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}  # never written, or written by another version
