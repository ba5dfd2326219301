"""Reads what is new or changed in the catalogue since the last read."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence

from ingest.scicat import Expired, NotAllowed, SciCatError
from sdm.bounded_http import cause
from taurus_widgets.scanlog.data.columns import Json
from taurus_widgets.scanlog.data.pages import TABLE_FIELDS, Pages, checked
from taurus_widgets.scanlog.data.query import stored_fields

CHANGES_PER_PAGE = 200
"""Datasets read at once."""

OVERLAP = dt.timedelta(seconds=2)
"""Each read reaches back by this much: a write may become visible after one with a later
`updatedAt`, because several of SciCat's processes write, each by its own clock."""

TOKEN_CHECK_SECONDS = 60.0
"""Time between checks that the token is still valid: with an invalid one, SciCat answers reads with 200,
but with public data only."""

ADVANCE_SECONDS = 30.0
"""Time between reads of the latest change in the whole catalogue."""


class Feed:
    """One reader of a catalogue. Not for several threads at once.

    It returns all datasets that match the query and have changed after `since` (an `updatedAt`; "" for all).
    """

    def __init__(self, pages: Pages, since: str) -> None:
        self._pages = pages
        self._scicat = pages.scicat
        self._fields = stored_fields([*TABLE_FIELDS, *pages.fields])
        self.since = since
        """The latest `updatedAt` that was seen."""
        self._trusted = since  # the same, when the token was last known to be valid
        self._seen: dict[str, str] = {}  # pid to updatedAt, of what the next read will return again
        self._check_at = 0.0
        self._advance_at = time.monotonic() + ADVANCE_SECONDS

    def read(self, watched: Sequence[str] = ()) -> list[Json]:
        """What is new or changed since the last call, oldest change first.

        Datasets in `watched` (pids, not more than a page) are returned even if they no longer match the query.
        Raises SciCatError; then the next call returns what this one could not.
        """
        if time.monotonic() >= self._check_at:
            self._check_token()
        latest = self._latest() if time.monotonic() >= self._advance_at else ""
        found = self._look(watched)
        if not found and self._seen:
            # Known datasets are missing: the token may be invalid, or they were deleted.
            self._check_token()
            found = self._look(watched)
        fresh = [dataset for dataset in found if self._is_fresh(dataset)]
        self.since = max(self.since, latest)
        return fresh

    def _latest(self) -> str:
        """The catalogue's latest `updatedAt`. Without it, reads get slower while nothing matches the query."""
        self._advance_at = time.monotonic() + ADVANCE_SECONDS
        found = checked(self._scicat.datasets({}, ["pid", "updatedAt"], "updatedAt:desc", 1))
        return str(found[0].get("updatedAt", "")) if found else ""

    def _look(self, watched: Sequence[str]) -> list[Json]:
        reach = self._reach()
        self._seen = {pid: updated for pid, updated in self._seen.items() if updated >= reach}
        found = self._changed(reach)
        if watched and reach:
            after = {"$and": [{"pid": {"$in": list(watched)}}, {"updatedAt": {"$gte": reach}}]}
            found += checked(self._scicat.datasets(after, self._fields, "updatedAt:asc", CHANGES_PER_PAGE))
        return found

    def _changed(self, reach: str) -> list[Json]:
        found: list[Json] = []
        limit = CHANGES_PER_PAGE
        while True:
            page = self._ask(reach, limit)
            found += page
            if len(page) < limit:
                return found
            # Not the next page by `skip`: what changes between two pages moves to the end, and
            # shifts something that was not read yet into the page before.
            latest = str(page[-1].get("updatedAt", ""))
            limit = CHANGES_PER_PAGE if latest > reach else limit * 2
            reach = latest

    def _ask(self, reach: str, limit: int) -> list[Json]:
        after = {"updatedAt": {"$gte": reach}} if reach else None
        return checked(self._scicat.datasets(self._pages.where(after), self._fields, "updatedAt:asc", limit))

    def _is_fresh(self, dataset: Json) -> bool:
        updated = str(dataset.get("updatedAt", ""))
        fresh = self._seen.get(dataset["pid"]) != updated
        self._seen[dataset["pid"]] = updated
        self.since = max(self.since, updated)
        return fresh

    def _reach(self) -> str:
        if not self.since:
            return ""
        latest = dt.datetime.fromisoformat(self.since)
        return (latest - OVERLAP).astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _check_token(self) -> None:
        if self._scicat.revived():
            self.since = self._trusted  # what was read in the meantime may have been public data only
        self._trusted = self.since
        self._check_at = time.monotonic() + TOKEN_CHECK_SECONDS


def problem_text(error: Exception) -> str:
    """A short text for people about a problem with the catalogue."""
    if isinstance(error, Expired):
        return "Your login has expired"
    if isinstance(error, NotAllowed):
        return "SciCat refuses this user: name, password or rights are wrong"
    if isinstance(error, SciCatError) and error.status == 0:
        return f"SciCat does not answer ({cause(error)})"
    if isinstance(error, SciCatError) and error.status >= 500:
        return f"SciCat reports an internal error (status {error.status})"
    return "The server at this address is not SciCat's REST API"
