"""What SciCat, or whatever stands before it, can answer, and the errors that it becomes."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Any

MAX_ERROR_TEXT = 500
"""Characters of an answer that an error shows."""

MAX_RETRY_AFTER_SECONDS = 60.0
"""What a server asks for beyond this is not kept: one call a minute harms nobody, and a wrong value, or that of a
maintenance which ends early, holds nothing up for long."""


class SciCatError(Exception):
    """An answer that is not the one hoped for. `status` is 0 if there was no answer at all.

    `retry_after` is for how many seconds the server asks not to be called, a minute at most; 0 if it does not say.
    """

    def __init__(self, what: str, status: int = 0, text: str = "", retry_after: float = 0.0) -> None:
        super().__init__(f"{what}: {status} {text[:MAX_ERROR_TEXT]}" if status else f"{what}: {text[:MAX_ERROR_TEXT]}")
        self.status = status
        self.retry_after = retry_after

    @property
    def temporary(self) -> bool:
        """True where the same call may succeed later: no answer, a time-out, a server's fault, no JSON."""
        return self.status < 400 or self.status in (408, 412, 425, 429) or self.status >= 500


class DocumentConflict(SciCatError):
    """409: what was to be created is there already."""


class NotAllowed(SciCatError):
    """401 or 403 although logged in: the account lacks the right."""


class Expired(NotAllowed):
    """The token counts no more, and there is no password to take a new one with: somebody must log in again."""


class TimedOut(SciCatError):
    """The call was sent, and no answer came in time; it may have been done."""


class Modified(SciCatError):
    """412: somebody else has changed it since it was read."""


class TooLarge(SciCatError):
    """413, or more than SciCat would take: it was not even sent. Never temporary."""


MAX_PAGE = 20_000
"""Bytes of a page that are looked at for its words."""

_TAGS = re.compile(r"(?s)<(style|script|head)\b.*?</\1>|<[^>]*>")

STATUSES_OF_PROXIES = (408, 413, 425, 429)
"""What a proxy may answer with a page of its own, and mean it."""

ERROR_BY_STATUS: dict[int, type[SciCatError]] = {
    401: NotAllowed,
    403: NotAllowed,
    409: DocumentConflict,
    412: Modified,
    413: TooLarge,
}


@dataclass(frozen=True)
class Answer:
    """A whole answer."""

    status: int
    content: bytes = b""
    location: str = ""
    retry_after: str = ""
    date: str = ""
    """The server's, as it writes it in `Date`."""

    @property
    def good(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> Any:
        """The decoded answer, None if it is empty. ValueError if it is not JSON."""
        return json.loads(self.content) if self.content.strip() else None

    def text(self) -> str:
        """What is of use in it for people, in one line: SciCat's own message, or the words of a page."""
        try:
            found = self.json()
        except ValueError:
            return _line(_TAGS.sub(" ", self.content[:MAX_PAGE].decode("utf-8", "replace")))
        if isinstance(found, dict):
            found = found.get("message") or found.get("error") or found
        if isinstance(found, list):
            found = "; ".join(map(str, found))
        return _line(str(found))

    def error(self, what: str) -> SciCatError:
        """The error that this answer is. `what` was asked for."""
        if 300 <= self.status < 400:
            # Followed, a POST would become a GET, and nothing would be written.
            return SciCatError(what, self.status, f"it redirects to {_line(self.location)}: is scicat.url right?")
        if 400 <= self.status < 500 and self.status not in STATUSES_OF_PROXIES and not self._is_scicats():
            # A proxy's page, as long as the server behind it is away: SciCat's own errors are JSON.
            return SciCatError(what, 0, f"{self.status} by something that is not SciCat: {self.text()}")
        return ERROR_BY_STATUS.get(self.status, SciCatError)(what, self.status, self.text(), self._asked_wait())

    def _asked_wait(self) -> float:
        """The seconds of its Retry-After: a number, or a date (RFC 9110, 10.2.3); 0 if it is neither.

        A date is by the server's clock, as `Date` is. This machine's may be wrong.
        """
        if re.fullmatch(r"[0-9]{1,9}", self.retry_after.strip()):
            return min(float(self.retry_after), MAX_RETRY_AFTER_SECONDS)
        try:
            moments = [parsedate_to_datetime(text).timestamp() for text in (self.retry_after, self.date)]
        except (ValueError, OverflowError):
            return 0.0
        return min(max(moments[0] - moments[1], 0.0), MAX_RETRY_AFTER_SECONDS)

    def _is_scicats(self) -> bool:
        try:
            return self.json() is None or isinstance(self.json(), dict)
        except ValueError:
            return False


def _line(text: str) -> str:
    shown = "".join(letter if letter.isprintable() else " " for letter in text[:MAX_PAGE])
    return " ".join(shown.split())[:MAX_ERROR_TEXT]
