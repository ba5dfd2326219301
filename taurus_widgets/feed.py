"""What is new or changed in the catalogue since the last look."""

from __future__ import annotations

import datetime as dt
import time
from typing import Any

import requests

from ingest.scicat import Expired, NotAllowed, SciCat, SciCatError

Json = dict[str, Any]

PAGE = 200
"""Datasets asked for at once."""

OVERLAP = dt.timedelta(seconds=2)
"""Each look reaches back by this much: a write may become visible after one with a later
`updatedAt`, because several of SciCat's processes write, each by its own clock."""

TOKEN_CHECK = 60.0
"""Seconds between checks that the token still counts: with a dead one, reads are answered 200,
with only what is public."""


class Feed:
    """One reader of a catalogue. Not for several threads at once.

    `fields` must hold pid, creationTime and updatedAt. Datasets older than the `newest` that
    the first look found are left out from then on: they are not in the table either.
    """

    def __init__(self, scicat: SciCat, fields: list[str], proposal: str = "", newest: int = 200) -> None:
        self._scicat = scicat
        self._fields = fields
        self._newest = newest
        self._where: Json = {"proposalId": proposal} if proposal else {}
        self._since = ""  # the latest `updatedAt` that was seen
        self._trusted = ""  # the same, at the time when the token was last known to count
        self._seen: dict[str, str] = {}  # pid to updatedAt, of what the next look will find again
        self._check_at = 0.0

    def read(self) -> list[Json]:
        """What is new or changed since the last call, oldest change first; at first, the newest datasets.

        Raises SciCatError; then the next call tells what this one could not.
        """
        if time.monotonic() >= self._check_at:
            self._check_token()
        found = self._look()
        if not found:
            # The newest row itself should be there: so the token may be dead, or it was deleted.
            self._check_token()
            found = self._look()
        return [dataset for dataset in found if self._is_fresh(dataset)]

    def _look(self) -> list[Json]:
        return self._changed() if self._since else self._first()

    def _first(self) -> list[Json]:
        found = _checked(self._scicat.datasets(self._where, self._fields, "creationTime:desc", self._newest))
        if found and len(found) >= self._newest:
            oldest = min(str(dataset.get("creationTime", "")) for dataset in found)
            self._where = {**self._where, "creationTime": {"gte": oldest}}
        return found

    def _changed(self) -> list[Json]:
        found: list[Json] = []
        reach, limit = self._reach(), PAGE
        self._seen = {pid: updated for pid, updated in self._seen.items() if updated >= reach}
        while True:
            page = self._ask(reach, limit)
            found += page
            if len(page) < limit:
                return found
            # Not the next page by `skip`: what changes between two pages moves to the end, and
            # shifts something that was not read yet into the page before.
            latest = str(page[-1].get("updatedAt", ""))
            limit = PAGE if latest > reach else limit * 2
            reach = latest

    def _ask(self, reach: str, limit: int) -> list[Json]:
        where = {**self._where, "updatedAt": {"gte": reach}}
        return _checked(self._scicat.datasets(where, self._fields, "updatedAt:asc", limit))

    def _is_fresh(self, dataset: Json) -> bool:
        updated = str(dataset.get("updatedAt", ""))
        fresh = self._seen.get(dataset["pid"]) != updated
        self._seen[dataset["pid"]] = updated
        self._since = max(self._since, updated)
        return fresh

    def _reach(self) -> str:
        latest = dt.datetime.fromisoformat(self._since)
        return (latest - OVERLAP).astimezone(dt.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

    def _check_token(self) -> None:
        if self._scicat.revived():
            self._since = self._trusted  # what was read meanwhile may have been only what is public
        self._trusted = self._since
        self._check_at = time.monotonic() + TOKEN_CHECK


def _checked(answer: Any) -> list[Json]:
    if not isinstance(answer, list):
        raise SciCatError("GET /api/v3/datasets", 200, "the answer is no list of datasets")
    return [dataset for dataset in answer if isinstance(dataset, dict) and isinstance(dataset.get("pid"), str)]


def problem_text(error: Exception) -> str:
    """What is wrong with the catalogue, in a few words."""
    if isinstance(error, Expired):
        return "Your login has expired"
    if isinstance(error, NotAllowed):
        return "SciCat refuses this user: name, password or rights are wrong"
    if isinstance(error, SciCatError) and error.status == 0:
        return f"SciCat does not answer ({_reason(error)})"
    if isinstance(error, SciCatError) and error.status >= 500:
        return f"SciCat has a fault (status {error.status})"
    return "What answers there is not SciCat's REST API"


def _reason(error: BaseException) -> str:
    """The system's own words out of what requests and urllib3 wrapped around them."""
    if isinstance(error, TimeoutError | requests.Timeout):
        return "no answer in time"
    if isinstance(error, OSError) and error.errno and error.strerror:
        return error.strerror.lower()
    inner = error.__cause__ or error.__context__
    return _reason(inner) if inner else "no connection"
