"""What follows when a message could not be ingested: its dataset waits, all wait, or it is a dead letter."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from ingest.scicat import NotAllowed, SciCatError, TimedOut
from ingest.scicow.errors import DatasetMissing, MessageRefused, NotYet
from ingest.scicow.pipeline.backoff import Backoff, next_wait
from ingest.scicow.pipeline.received_message import FailedAttempts, ReceivedMessage
from ingest.scicow.settings import SciCowSettings
from scifish.message import MessageError

MESSAGE_ERRORS = (400, 413, 422)
"""Answers of SciCat that the same message will get again. Any other is about SciCat itself, or about its address."""

DATASET_ERRORS = (408, 409, 412, 429, 500)
"""Answers of SciCat that may concern one dataset alone: it answers 500 to two writers, and to some bad messages."""

TOO_MANY_REQUESTS = 429

MIN_FAILING_DATASETS = 5
"""If this number of datasets fail and none succeeds, the fault is considered to be SciCat's."""


@dataclass(frozen=True)
class Retry:
    """The dataset waits for this number of seconds; other datasets are not delayed."""

    wait: float
    dataset_missing: bool = False
    """Whether the dataset must be created first, by another message."""
    first: bool = False
    """Whether this is the first retry for this reason."""


@dataclass(frozen=True)
class Pause:
    """All datasets wait, as SciCat itself does not work. `at_least` is the shortest wait in seconds."""

    reason: str
    at_least: float


@dataclass(frozen=True)
class DeadLetter:
    """The message goes to the dead-letter topic. `defect` is whether SciCow itself is at fault."""

    defect: bool


Decision = Retry | Pause | DeadLetter


class FailurePolicy:
    """Decides what follows from each failure. Threads may share it. `backoff` is that of SciCat."""

    def __init__(self, backoff: Backoff, settings: SciCowSettings) -> None:
        self._backoff = backoff
        self._settings = settings
        self._lock = threading.Lock()
        self._last_success = float("-inf")
        self._failing: set[str] = set()

    def succeeded(self, began: float) -> None:
        """An attempt that began at this time (of `time.monotonic`) was accepted by SciCat."""
        with self._lock:
            self._last_success = max(self._last_success, began)
            self._failing.clear()
        self._backoff.succeeded(began)

    def failed(self, message: ReceivedMessage, error: Exception, began: float) -> Decision:
        """What follows from the failure of an attempt that began at this time."""
        if isinstance(error, DatasetMissing) or (isinstance(error, SciCatError) and is_final(error)):
            self._backoff.succeeded(began)  # SciCat answers
        if is_final(error):
            return DeadLetter(is_defect(error))
        with self._lock:
            failures = self._failures(message, error, began)
            longest = self._longest_wait(error)
            # The time in which no dataset could be written does not count.
            waited = self._backoff.running_time - failures.since
            if longest is not None and waited >= longest:
                return DeadLetter(is_defect(error))
            asked = error.retry_after if isinstance(error, SciCatError) else 0.0
            if isinstance(error, SciCatError) and self._concerns_all(message, failures, error):
                return Pause(_pause_reason(error), asked)
            first = failures.wait == 0.0
            failures.wait = next_wait(failures.wait)
            wait = failures.wait if longest is None else min(failures.wait, max(longest - waited, 0.1))
            return Retry(max(wait, asked), isinstance(error, DatasetMissing), first)

    def _failures(self, message: ReceivedMessage, error: Exception, began: float) -> FailedAttempts:
        reason = _reason(error)
        if message.failures is None or message.failures.reason != reason:
            message.failures = FailedAttempts(reason, self._backoff.running_time, began)
        return message.failures

    def _longest_wait(self, error: Exception) -> float | None:
        if isinstance(error, NotYet):
            return error.longest
        assert isinstance(error, SciCatError)
        return None if error.status == TOO_MANY_REQUESTS else self._settings.server_error_wait

    def _concerns_all(self, message: ReceivedMessage, failures: FailedAttempts, error: SciCatError) -> bool:
        """Whether SciCat itself does not work."""
        if self._last_success > failures.first_began:
            return False  # another dataset was written after this one began to fail
        if error.status not in DATASET_ERRORS and not isinstance(error, TimedOut):
            return True
        self._failing.add(message.dataset)
        return len(self._failing) >= MIN_FAILING_DATASETS


def is_final(error: Exception) -> bool:
    """Whether the same message will fail again at any time."""
    if isinstance(error, SciCatError):
        return error.status in MESSAGE_ERRORS
    return not isinstance(error, NotYet)


def is_defect(error: Exception) -> bool:
    """Whether it is an error in SciCow itself."""
    return not isinstance(error, SciCatError | NotYet | MessageRefused | MessageError | RecursionError)


def _reason(error: Exception) -> str:
    """The time that a message may wait is counted for each reason."""
    if isinstance(error, NotYet):
        return f"{type(error).__name__} {error.longest}"
    too_many = isinstance(error, SciCatError) and error.status == TOO_MANY_REQUESTS
    return f"SciCat {TOO_MANY_REQUESTS}" if too_many else "SciCat"


def _pause_reason(error: SciCatError) -> str:
    """A text that stays the same as long as the cause does."""
    if isinstance(error, NotAllowed):
        return (
            "SciCat refuses this account: check scicat.username and scicat.password, "
            "and that the account is in SciCat's ADMIN_GROUPS"
        )
    if 200 <= error.status < 300:
        return "what answers at scicat.url is not SciCat (a proxy?), or only half of its answer comes"
    return f"SciCat answers with status {error.status}" if error.status else "SciCat does not answer"
