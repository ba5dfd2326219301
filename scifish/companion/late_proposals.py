"""Datasets whose proposal is not known, as PathFixer did not answer: they wait on this machine until it does."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
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


class LateProposals:
    """Asks PathFixer again, in the background. Threads may share it."""

    def __init__(self, pathfixer: PathFixerReader, pool: ThreadPool) -> None:
        self._pathfixer = pathfixer
        self._pool = pool
        self._lock = threading.Lock()
        self._question: Future[None] | None = None
        self._next_question = 0.0
        self._answer: tuple[str, float, DatasetPlace] = ("", 0.0, {})

    def complete(self, record: Record, settings: Settings) -> bool:
        """Whether the dataset's proposal is known. What PathFixer says now is used, with a warning in the dataset.

        That may not be the proposal of then: an answer that comes later than `RememberProposalDays` is not used.
        """
        if not lacks_proposal(record, settings):
            return True
        path_fixer, when, place = self._answer
        if path_fixer != settings.path_fixer or time.time() - when > ASK_AGAIN_SECONDS:
            self._ask(settings)
            return False
        if when - record.started > settings.remember_proposal_days * 86_400:
            return False
        said = f"{path_fixer} did not answer then: proposal, sample and path are those of {iso(when)}"
        record.observed = replace(record.observed, place=place, warnings=[*record.observed.warnings, said])
        log.warning("dataset %s: %s", record.uuid, said)
        return True

    def _ask(self, settings: Settings) -> None:
        with self._lock:
            busy = self._question is not None and not self._question.done()
            if not busy and time.monotonic() >= self._next_question:
                self._next_question = time.monotonic() + ASK_AGAIN_SECONDS
                self._question = Future()
                question = self._question
                self._pool.submit(lambda: self._read(settings, question))

    def _read(self, settings: Settings, question: Future[None]) -> None:
        try:
            place, warnings = self._pathfixer.read(settings)
            if not warnings:
                self._answer = (settings.path_fixer, time.time(), cast(DatasetPlace, place))
        finally:
            question.set_result(None)
