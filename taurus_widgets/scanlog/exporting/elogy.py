"""A small client of Elogy's REST API, which has no login. No Qt here.

The behaviour of the real server was found by tests; comments mark what is unexpected. No write is repeated here: the
caller finds out whether it was done.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import requests

from ingest.scicat.errors import Answer, SciCatError
from ingest.scicat.transport import CALL_TIMEOUT_FACTOR, Transport
from sdm.bounded_http import cause

Json = dict[str, Any]

MAX_LISTED_ENTRIES = 50
"""Maximum number of entries listed to choose from."""


class ElogyError(Exception):
    """An error of Elogy as a text for people. `status` is 0 if there was no answer."""

    def __init__(self, text: str, status: int = 0) -> None:
        super().__init__(text)
        self.status = status

    @property
    def uncertain(self) -> bool:
        """Whether a write may have been done in spite of the error."""
        return self.status == 0 or self.status >= 500


class Stale(ElogyError):
    """409: somebody has changed the entry since it was read, or has it open for editing."""


@dataclass(frozen=True)
class Author:
    """An author, as Elogy stores it."""

    name: str
    login: str = ""
    email: str = ""

    def as_json(self) -> Json:
        fields = {"name": self.name, "login": self.login, "email": self.email}
        return {name: value for name, value in fields.items() if value}  # Elogy refuses an empty address as invalid

    def __str__(self) -> str:
        return f"{self.name} ({self.login})" if self.login and self.login != self.name else self.name


@dataclass(frozen=True)
class Attribute:
    """An attribute that a logbook has for each entry. `kind` is text, number, boolean, option or multioption."""

    name: str
    kind: str = "text"
    required: bool = False
    options: tuple[str, ...] = ()


@dataclass(frozen=True)
class Logbook:
    """A logbook with those inside it. `attributes` are set only if it was read by its id."""

    id: int
    name: str
    description: str = ""
    children: tuple[Logbook, ...] = ()
    attributes: tuple[Attribute, ...] = ()


@dataclass(frozen=True)
class Headline:
    """An entry in a list."""

    id: int
    title: str
    authors: str
    time: str


class Elogy:
    """One server. Threads may share it. `base_url` is without `/api`; `timeout` is in seconds."""

    def __init__(self, base_url: str, timeout: float = 10.0) -> None:
        self.base_url = base_url.strip().rstrip("/")
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"{base_url!r} is not an address of Elogy: write https://elogy.example.org")
        self._transport = Transport(self.base_url, timeout, CALL_TIMEOUT_FACTOR * timeout)

    def page(self, logbook: int, entry: int) -> str:
        """The address of an entry's page."""
        return f"{self.base_url}/logbooks/{logbook}/entries/{entry}/"

    # ---------------------------------------------------------------------- reading

    def logbooks(self) -> tuple[Logbook, ...]:
        """The whole tree of logbooks."""
        return _logbook({"id": 0, **self._read("/api/logbooks/", "logbook")}).children

    def logbook(self, logbook: int) -> Logbook:
        """One logbook, with the attributes of its entries."""
        return _logbook(self._read(f"/api/logbooks/{logbook}/", "logbook"))

    def users(self, search: str) -> list[Author]:
        """The users whose name or login contains this text."""
        # The real server compares with the name in lower case; without LDAP it does not convert the search.
        found = self._list("/api/users/", "users", {"search": search.lower()})
        return [
            Author(
                _text(user.get("name")) or _text(user.get("login")), _text(user.get("login")), _text(user.get("email"))
            )
            for user in found
        ]

    def headlines(self, logbook: int, title: str = "") -> list[Headline]:
        """The entries that were changed last, of this logbook and those inside it, whose title contains this text."""
        query = {"n": str(MAX_LISTED_ENTRIES)} | ({"title": f"(?i){re.escape(title)}"} if title else {})
        return [
            Headline(
                int(entry["id"]),
                _text(entry.get("title")) or "(no title)",
                ", ".join(_text(author) for author in entry.get("authors") or []),
                _text(entry.get("timestamp") or entry.get("last_changed_at") or entry.get("created_at")),
            )
            for entry in self._list(f"/api/logbooks/{logbook}/entries/", "entries", query)
        ]

    def entry(self, entry: int) -> Json:
        """The whole entry."""
        return self._read(f"/api/entries/{entry}/", "entry")

    def marked(self, logbook: int, key: str, value: str) -> Json | None:
        """The oldest entry of this logbook with exactly this value in its metadata.

        Raises ValueError for a key or value that the server cannot search for: its search is `key:value`, and keys are
        SQLite paths, so it answers a `:` in either with 422, and never finds a key with a `.`.
        """
        if ":" in key + value or "." in key:
            raise ValueError(f"Elogy cannot search its metadata for {key}:{value}")
        found = self._list(f"/api/logbooks/{logbook}/entries/", "entries", {"metadata": f"{key}:{value}"})
        for entry in sorted(int(headline["id"]) for headline in found):
            # The server compares with LIKE, in which _ and % match anything, and ignores case.
            whole = self.entry(entry)
            if (whole.get("metadata") or {}).get(key) == value:
                return whole
        return None

    # ---------------------------------------------------------------------- writing

    def create(self, logbook: int, entry: Json) -> int:
        """Create an entry, and return its id."""
        return int(self._write("POST", f"/api/logbooks/{logbook}/entries/", entry)["id"])

    def change(self, entry: Json, changes: Json) -> None:
        """Change an entry that was read before. Raises Stale if it has changed since, or is locked."""
        logbook = int((entry.get("logbook") or {})["id"])
        # If they were omitted, these two would be set to text/html and 0.
        kept = {name: entry[name] for name in ("content_type", "priority") if entry.get(name) is not None}
        body = {**kept, "revision_n": entry["revision_n"], **changes}
        self._write("PUT", f"/api/logbooks/{logbook}/entries/{int(entry['id'])}/", body)

    def attach(self, entry: Json, name: str, kind: str, data: bytes, metadata: Json) -> None:
        """Add a file. It would overwrite one of the same name in the same second.

        One file per request: of several, only the last would be stored. Without `embedded`, because the server takes
        any value of it as true.
        """
        logbook = int((entry.get("logbook") or {})["id"])
        fields = {"timestamp": f"{dt.datetime.now():%Y-%m-%dT%H:%M:%S}", "metadata": json.dumps(metadata)}
        made = requests.Request("POST", self.base_url, data=fields, files={"attachment": (name, data, kind)}).prepare()
        body = made.body if isinstance(made.body, bytes) else b""
        path = f"/api/logbooks/{logbook}/entries/{int(entry['id'])}/attachments/"
        self._call("POST", path, body, made.headers["Content-Type"])

    # ---------------------------------------------------------------------- private

    def _read(self, path: str, envelope: str, query: dict[str, str] | None = None) -> Json:
        found = self._decoded(self._call("GET", path, query=query), envelope)
        if not isinstance(found, dict):
            raise _not_elogy(f"{path} answers without {envelope}")
        return found

    def _list(self, path: str, envelope: str, query: dict[str, str]) -> list[Json]:
        found = self._decoded(self._call("GET", path, query=query), envelope)
        if not isinstance(found, list):
            raise _not_elogy(f"{path} answers without {envelope}")
        return [inner for inner in found if isinstance(inner, dict)]

    def _write(self, method: str, path: str, body: Json) -> Json:
        data = json.dumps(body, allow_nan=False).encode()
        found = self._decoded(self._call(method, path, data, "application/json"), "entry")
        if not isinstance(found, dict):
            raise _not_elogy(f"{path} answers without entry")
        return found

    def _decoded(self, answer: Answer, envelope: str) -> Any:
        try:
            return answer.json()[envelope]
        except (ValueError, KeyError, TypeError) as error:
            raise _not_elogy(answer.text()[:100]) from error

    def _call(
        self, method: str, path: str, data: bytes | None = None, kind: str = "", query: dict[str, str] | None = None
    ) -> Answer:
        headers = {"Accept": "application/json"} | ({"Content-Type": kind} if kind else {})
        try:
            answer = self._transport.send(method, path, data, headers, query)
        except SciCatError as error:
            raise ElogyError(f"Elogy does not answer ({cause(error)})") from error
        if answer.good:
            return answer
        raise _refusal(answer)


def _not_elogy(what: str) -> ElogyError:
    return ElogyError(f"The server at this address is not Elogy: {what}")


def _refusal(answer: Answer) -> ElogyError:
    reasons = " ".join(_sentences(answer))
    match answer.status:
        case 404:
            return ElogyError("Elogy does not have this entry or logbook any more, or it is not Elogy", 404)
        case 409:
            return Stale(reasons or "The entry was changed by somebody else", 409)
        case 413:
            return ElogyError("This is more than Elogy accepts: choose fewer rows, or export without pictures", 413)
        case 422:
            return ElogyError(f"Elogy reports that something is missing: {reasons}", 422)
        case status if status >= 500:
            return ElogyError(f"Elogy reports an internal error (status {status})", status)
    return ElogyError(f"Elogy refuses this (status {answer.status}): {reasons}", answer.status)


def _sentences(answer: Answer) -> Iterator[str]:
    """The texts of a refusal: flask gives `message` or `messages`, nested by field."""

    def texts(found: Any, name: str = "") -> Iterator[str]:
        if isinstance(found, dict):
            for key, inner in found.items():
                yield from texts(inner, "" if key in ("message", "messages", "json") else str(key))
        elif isinstance(found, list):
            for inner in found:
                yield from texts(inner, name)
        else:
            yield f"{name}: {found}" if name else str(found)

    try:
        yield from texts(answer.json())
    except ValueError:
        yield answer.text()


def _logbook(found: Json) -> Logbook:
    return Logbook(
        int(found["id"]),
        _text(found.get("name")),
        _text(found.get("description")),
        tuple(_logbook(child) for child in found.get("children") or []),
        tuple(
            Attribute(
                _text(info.get("name")),
                _text(info.get("type")) or "text",
                bool(info.get("required")),
                tuple(_text(option) for option in info.get("options") or []),
            )
            for info in found.get("attributes") or []
        ),
    )


def _text(found: Any) -> str:
    return "" if found is None else " ".join(str(found).split())
