"""Datasets whose proposal is not known, as PathFixer did not answer: they wait on this machine until it does."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field, replace
from typing import cast

from scifish.attributes.pathfixer import PathFixerReader
from scifish.dataset.compose import Record
from scifish.dataset.proprietary import lacks_proposal
from scifish.message import iso
from scifish.message.types import DatasetPlace
from scifish.native import Future, threading
from scifish.settings import Settings
from scifish.tango_io.executors import ThreadPool

log = logging.getLogger(__name__)

ASK_AGAIN_SECONDS = 5.0
"""Seconds between two questions to a PathFixer that does not answer, and that its answer is used for."""


@dataclass
class _PathFixerQuestion:
    """What one PathFixer was asked. `answered` is in seconds since 1970, 0 if it has not answered yet."""

    pending: Future[None] | None = None
    next: float = 0.0
    answered: float = 0.0
    place: DatasetPlace = field(default_factory=DatasetPlace)


class LateProposals:
    """Asks PathFixer again, in the background. Threads may share it.

    Of what other programs have left it asks the PathFixer of those.
    """

    def __init__(self, pathfixer: PathFixerReader, pool: ThreadPool) -> None:
        self._pathfixer = pathfixer
        self._pool = pool
        self._lock = threading.Lock()
        self._questions: dict[str, _PathFixerQuestion] = {}

    def complete(self, record: Record, settings: Settings) -> bool:
        """Whether the dataset's proposal is known. What PathFixer says now is used, with a warning in the dataset.

        That may not be the proposal of then: an answer that comes later than `RememberProposalDays` is not used.
        """
        if not lacks_proposal(record, settings):
            return True
        with self._lock:
            question = self._questions.setdefault(settings.path_fixer.lower(), _PathFixerQuestion())
        when, place = question.answered, question.place
        if time.time() - when > ASK_AGAIN_SECONDS:
            self._ask(question, settings)
            return False
        if when - record.started > settings.remember_proposal_days * 86_400:
            return False
        said = f"{settings.path_fixer} did not answer then: proposal, sample and path are those of {iso(when)}"
        record.observed = replace(record.observed, place=place, warnings=[*record.observed.warnings, said])
        log.warning("dataset %s: %s", record.uuid, said)
        return True

    def _ask(self, question: _PathFixerQuestion, settings: Settings) -> None:
        with self._lock:
            busy = question.pending is not None and not question.pending.done()
            if not busy and time.monotonic() >= question.next:
                question.next = time.monotonic() + ASK_AGAIN_SECONDS
                pending: Future[None] = Future()
                question.pending = pending
                self._pool.submit(lambda: self._read(question, pending, settings))

    def _read(self, question: _PathFixerQuestion, pending: Future[None], settings: Settings) -> None:
        try:
            place, warnings = self._pathfixer.read(settings)
            if not warnings:
                question.place = cast(DatasetPlace, place)
                question.answered = time.time()
        finally:
            pending.set_result(None)
