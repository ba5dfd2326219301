"""What becomes of a message that failed: its dataset waits, all wait, or it is a dead letter."""

from __future__ import annotations

import threading

from ingest.scicat import NotAllowed, SciCatError, TimedOut
from ingest.scicow.errors import DatasetMissing, NotYet, Refused
from ingest.scicow.pipeline.backoff import Hold, longer
from ingest.scicow.pipeline.item import Item
from ingest.scicow.settings import Settings
from scifish.message import MessageError

FAULT_OF_THE_MESSAGE = (400, 413, 422)
"""SciCat's answers that the same message will get again. Any other says something of SciCat or of its address."""

FAULT_OF_THE_DATASET = (408, 409, 412, 429, 500)
"""What SciCat answers to one dataset alone: the real one answers 500 to two writers, and to some bad messages."""

TOO_MANY = 429

MANY = 5
"""If so many datasets fail, and not one succeeds, then it is not their fault."""


class Judge:
    """Threads may share it. `hold` is what it holds all work with."""

    def __init__(self, hold: Hold, settings: Settings) -> None:
        self._hold = hold
        self._settings = settings
        self._lock = threading.Lock()
        self._last_good = float("-inf")
        self._suspects: set[str] = set()

    def succeeded(self, began: float) -> None:
        """SciCat took what a try brought that began at this time (of `time.monotonic`)."""
        with self._lock:
            self._last_good = max(self._last_good, began)
            self._suspects.clear()
        self._hold.succeeded(began)

    def failed(self, item: Item, error: Exception, began: float) -> float | None:
        """For how many seconds its dataset has to wait, 0 if all have to; None if it is a dead letter."""
        if isinstance(error, DatasetMissing) or (isinstance(error, SciCatError) and is_final(error)):
            self._hold.succeeded(began)  # it answers
        if is_final(error):
            return None
        with self._lock:
            trouble = _trouble(error)
            if item.trouble != trouble:
                item.trouble, item.since, item.began, item.wait = trouble, self._hold.worked, began, 0.0
            longest = self._longest(error)
            # The time in which nothing could be done for any dataset is not counted.
            waited = self._hold.worked - item.since
            if longest is not None and waited >= longest:
                return None
            asked = min(error.retry_after, self._settings.server_error_wait) if isinstance(error, SciCatError) else 0.0
            if isinstance(error, SciCatError) and self._is_everybodys(item, error):
                self._hold.failed(_why_held(error), error, began, asked)
                return 0.0
            item.wait = longer(item.wait)
            wait = item.wait if longest is None else min(item.wait, max(longest - waited, 0.1))
            return max(wait, asked)

    def _longest(self, error: Exception) -> float | None:
        if isinstance(error, NotYet):
            return error.longest
        assert isinstance(error, SciCatError)
        return None if error.status == TOO_MANY else self._settings.server_error_wait

    def _is_everybodys(self, item: Item, error: SciCatError) -> bool:
        """Whether SciCat as a whole is away."""
        if self._last_good > item.began:
            return False  # another dataset was written after this one's trouble began
        if error.status not in FAULT_OF_THE_DATASET and not isinstance(error, TimedOut):
            return True
        self._suspects.add(item.lane)
        return len(self._suspects) >= MANY


def is_final(error: Exception) -> bool:
    """Whether the same message will fail again, whatever is waited for."""
    if isinstance(error, SciCatError):
        return error.status in FAULT_OF_THE_MESSAGE
    return not isinstance(error, NotYet)


def is_mistake_of_ours(error: Exception) -> bool:
    return not isinstance(error, SciCatError | NotYet | Refused | MessageError | RecursionError)


def _trouble(error: Exception) -> str:
    """What makes it another trouble, whose time is counted anew."""
    if isinstance(error, NotYet):
        return f"{type(error).__name__} {error.longest}"
    return f"SciCat {TOO_MANY}" if isinstance(error, SciCatError) and error.status == TOO_MANY else "SciCat"


def _why_held(error: SciCatError) -> str:
    """In words that stay the same as long as it is the same."""
    if isinstance(error, NotAllowed):
        return (
            "SciCat refuses this account: check scicat.username and scicat.password, "
            "and that the account is in SciCat's ADMIN_GROUPS"
        )
    return f"SciCat answers with status {error.status}" if error.status else "SciCat does not answer"
