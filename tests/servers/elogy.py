"""The Elogys that tests run against: a stand-in on loopback, and a real one given by the environment.

    SCIZOO_ELOGY_URL=http://127.0.0.1:8000 pytest tests/contract/test_elogy.py

The stand-in does what the real one was seen to do, the unexpected included (LIKE in the search of metadata, a PUT that
resets what is not in it, a PUT that overwrites another one of the same moment, a lock that any PUT from its own
address cancels, files that overwrite each other). Nothing is removed from a given one afterwards.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]

KINDS = ["stand-in", *(["given"] if os.environ.get("SCIZOO_ELOGY_URL") else [])]
"""What there is to run against."""

USERS = [
    {"login": "ada", "name": "Ada Lovelace", "email": "ada@example.org"},
    {"login": "grace", "name": "Grace Hopper", "email": "grace@example.org"},
    {"login": "lise", "name": "Lise Meitner", "email": None},
]

Fault = Callable[[str, str], str]
"""Of method and path: "" to answer, `before` to drop the call, `after` to do it and drop the answer, or a status."""


class Refused(Exception):
    def __init__(self, status: int, message: Any) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


@dataclass
class Store:
    """What an Elogy holds. Entries are kept as they were sent, with what the server adds."""

    logbooks: dict[int, Json] = field(default_factory=dict)
    entries: dict[int, Json] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    locked: dict[int, str] = field(default_factory=dict)
    """By entry, the address that has it open."""
    lock: threading.RLock = field(default_factory=threading.RLock)
    between: Callable[[], None] = lambda: None
    """Called in each PUT between reading the entry and saving it, where other calls are served."""

    # ------------------------------------------------------------------ logbooks

    def add_logbook(self, body: Json) -> Json:
        known = {"id": len(self.logbooks) + 1, "parent_id": None, "description": None, "attributes": [], "metadata": {}}
        made = known | {name: body[name] for name in known.keys() & body.keys()} | {"name": body["name"]}
        self.logbooks[made["id"]] = made
        return self.shown_logbook(made["id"])

    def children(self, parent: int | None) -> list[Json]:
        return [
            {name: book[name] for name in ("id", "parent_id", "name", "description")}
            | {"children": self.children(book["id"])}
            for book in self.logbooks.values()
            if book["parent_id"] == parent
        ]

    def shown_logbook(self, number: int | None) -> Json:
        if number is None:
            return {"id": 0, "name": None, "description": None, "attributes": None, "children": self.children(None)}
        return self.logbooks[number] | {"children": self.children(number)}

    def _descendants(self, number: int) -> set[int]:
        inside = {book["id"] for book in self.logbooks.values() if book["parent_id"] == number}
        return {number}.union(*(self._descendants(inner) for inner in inside))

    # ------------------------------------------------------------------- entries

    def add_entry(self, logbook: int, body: Json, follows: int | None) -> Json:
        book = self.logbooks[logbook]
        self._check_authors(body)
        given = body.get("attributes", {})
        missing = {info["name"] for info in book["attributes"] if info.get("required")} - set(given)
        if missing:
            raise Refused(422, {"attributes": [f"missing required attributes {missing}"]})
        made = {
            "id": len(self.entries) + 1,
            "logbook": logbook,
            "title": body.get("title"),
            "authors": body.get("authors", []),
            "attributes": given,
            "metadata": body.get("metadata", {}),
            "content_type": body.get("content_type", "text/html"),
            "priority": body.get("priority", 0),
            "follows": follows or body.get("follows_id"),
            "created_at": time.time(),
            "archived": False,
            "revisions": 0,
            "attachments": [],
        }
        self.entries[made["id"]] = made
        made["content"] = self._without_images(made, body.get("content", ""))
        return self.shown_entry(made["id"])

    def change_entry(self, number: int, body: Json, address: str) -> Json:
        """As the real one not in one step: the whole entry is saved as it was read, with the changes."""
        with self.lock:
            changed = self._changed(number, body, address)
        self.between()
        with self.lock:
            changed["revisions"] = self.entries[number]["revisions"] + 1
            self.entries[number] = changed
            return self.shown_entry(number)

    def _changed(self, number: int, body: Json, address: str) -> Json:
        entry = self.entries[number]
        if "revision_n" not in body:
            raise Refused(400, "Missing 'revision_n' field!")
        if body["revision_n"] != entry["revisions"]:
            raise Refused(409, f"Conflict: Entry {number} has been edited since you last loaded it!")
        owner = self.locked.get(number)
        if owner == address:
            del self.locked[number]
        elif owner:
            raise Refused(409, f"Conflict: Entry {number} is locked by IP {owner} since 2026-11-22 10:00:00")
        if "authors" in body:
            self._check_authors(body)
        # What is not sent is set to this, not kept.
        body = {"content_type": "text/html", "priority": 0} | body
        names = ("title", "content", "content_type", "authors", "attributes", "metadata", "priority", "archived")
        changed = entry | {name: body[name] for name in names if name in body}
        if "content" in body:
            changed["content"] = self._without_images(changed, body["content"])
        return changed

    def lock_entry(self, number: int, address: str) -> Json:
        """For the address that wants to edit it. Refused if another one has it."""
        owner = self.locked.setdefault(self.entries[number]["id"], address)
        if owner != address:
            raise Refused(409, "Resource locked by someone else!")
        return self.shown_lock(number)

    def shown_lock(self, number: int) -> Json:
        times = {"created_at": "Sun, 22 Nov 2026 10:00:00 -0000", "expires_at": "Sun, 22 Nov 2026 11:00:00 -0000"}
        return {"id": number, "owned_by_ip": self.locked[number], **times}

    def _check_authors(self, body: Json) -> None:
        if "authors" in body and not body["authors"]:
            raise Refused(422, {"authors": ["Invalid value."]})
        for author in body.get("authors", []):
            if author.get("email") is not None and "@" not in author["email"]:
                raise Refused(422, {"authors": {"0": {"email": ["Not a valid email address."]}}})

    def _without_images(self, entry: Json, content: str) -> str:
        if not entry["content_type"].startswith("text/html"):
            return content

        def kept(found: re.Match[str]) -> str:
            data = base64.b64decode(found["data"])
            name = f"inline-{len(data)}-{len(entry['attachments'])}.{found['kind']}"
            self.attach(entry["id"], name, f"image/{found['kind']}", data, int(time.time()), {}, embedded=True)
            return f'src="/attachments/{name}"'

        content = re.sub(r'src="data:image/(?P<kind>\w+);base64,(?P<data>[^"]*)"', kept, content)
        content = re.sub(r"(?is)<(script|style)\b.*?</\1>", "", content)
        return re.sub(r'(?i)\son\w+="[^"]*"', "", content)

    def attach(
        self, number: int, name: str, kind: str, data: bytes, stamp: int, metadata: Json, embedded: bool = False
    ) -> Json:
        name = os.path.basename(name)
        path = f"{stamp}-{name}"
        self.files[path] = data  # one of the same name and second is overwritten
        made = {"id": len(self.files), "filename": name, "content_type": kind, "metadata": metadata, "path": path}
        self.entries[number]["attachments"].append(made | {"embedded": embedded})
        return made

    def shown_entry(self, number: int, thread: bool = False) -> Json:
        entry = self.entries[number]
        while thread and entry["follows"]:
            entry = self.entries[entry["follows"]]
        names = {info["name"] for info in self.logbooks[entry["logbook"]]["attributes"]}
        return entry | {
            "logbook": self.shown_logbook(entry["logbook"]),
            "attributes": {name: value for name, value in entry["attributes"].items() if name in names},
            "revision_n": entry["revisions"],
            "lock": self.shown_lock(number) if number in self.locked else None,
            "followups": [
                self.shown_entry(other["id"]) for other in self.entries.values() if other["follows"] == entry["id"]
            ],
        }

    def search(self, logbook: int, query: dict[str, list[str]]) -> list[Json]:
        books = self._descendants(logbook)
        found = [entry for entry in self.entries.values() if entry["logbook"] in books and not entry["archived"]]
        for name in ("title", "content"):
            for pattern in query.get(name, []):
                found = [entry for entry in found if re.search(pattern, entry[name] or "")]
        for wanted in query.get("metadata", []):
            if wanted.count(":") != 1:
                raise Refused(422, {"metadata": {"0": ["Invalid value."]}})
            key, value = wanted.split(":")
            found = [entry for entry in found if "." not in key and _like(value, entry["metadata"].get(key))]
        found.sort(key=lambda entry: (entry["priority"], entry["created_at"], entry["id"]), reverse=True)
        first = int(query.get("offset", ["0"])[0])
        return [self._headline(entry) for entry in found[first : first + int(query.get("n", ["50"])[0])]]

    def _headline(self, entry: Json) -> Json:
        return {
            "id": entry["id"],
            "title": entry["title"],
            "content": re.sub(r"<[^>]*>", " ", entry["content"])[:200],
            "authors": [author["name"] for author in entry["authors"]],
            "timestamp": time.strftime("%a, %d %b %Y %H:%M:%S -0000", time.gmtime(entry["created_at"])),
            "n_attachments": len(entry["attachments"]),
        }


def _like(pattern: str, text: Any) -> bool:
    """SQLite's LIKE."""
    if text is None:
        return False
    wild = {"%": ".*", "_": "."}
    return bool(re.fullmatch("".join(wild.get(sign) or re.escape(sign) for sign in pattern), str(text), re.I | re.S))


class Handler(BaseHTTPRequestHandler):
    """One call."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def log_message(self, *_: object) -> None:
        """The test's own log is enough."""

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        fault = self.server.fault(self.command, self.path)
        self.server.calls.append((self.command, self.path))
        if fault == "before":
            self.close_connection = True
            return
        if fault.isdecimal():
            self._say(int(fault), {"message": "as the test wants it"})
            return
        try:
            # A PUT locks by itself, for parts of its time: see `Store.change_entry`.
            with nullcontext() if self.command == "PUT" else self.server.store.lock:
                status, found = 200, self._found(body)
        except Refused as refused:
            field_errors = isinstance(refused.message, dict)
            status, found = refused.status, {"messages" if field_errors else "message": refused.message}
        except KeyError:
            status, found = 404, {"message": "This thing does not exist!"}
        if fault == "after":
            self.close_connection = True
            return
        self._say(status, found)

    do_GET = do_POST = do_PUT = answer

    def _say(self, status: int, found: Json) -> None:
        content = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _found(self, body: bytes) -> Json:
        store, parts = self.server.store, urlsplit(self.path)
        names = parts.path.strip("/").split("/")
        query = parse_qs(parts.query)
        match [self.command, *names]:
            case ["GET", "api", "logbooks"]:
                return {"logbook": store.shown_logbook(None)}
            case ["GET", "api", "logbooks", logbook]:
                return {"logbook": store.shown_logbook(int(logbook))}
            case ["POST", "api", "logbooks"]:
                return {"logbook": store.add_logbook(json.loads(body))}
            case ["GET", "api", "logbooks", logbook, "entries"]:
                return {"logbook": store.shown_logbook(int(logbook)), "entries": store.search(int(logbook), query)}
            case ["POST", "api", "entries", entry, "lock"]:
                return {"lock": store.lock_entry(int(entry), self.client_address[0])}
            case ["GET", "api", "entries", entry, "lock"]:
                return {"lock": store.shown_lock(int(entry))}
            case ["POST", "api", "logbooks", _, "entries", entry, "attachments"]:
                return self._attached(int(entry), body)
            case ["POST", "api", "logbooks", logbook, "entries", *follows]:
                return {"entry": store.add_entry(int(logbook), json.loads(body), int(follows[0]) if follows else None)}
            case ["PUT", "api", "logbooks", _, "entries", entry]:
                return {"entry": store.change_entry(int(entry), json.loads(body), self.client_address[0])}
            case ["GET", "api", "entries", entry]:
                return {"entry": store.shown_entry(int(entry), query.get("thread") == ["true"])}
            case ["GET", "api", "users"]:
                return {"users": _users(query.get("search", [""])[0])}
        raise KeyError(self.path)

    def _attached(self, entry: int, body: bytes) -> Json:
        fields, made = _multipart(self.headers["Content-Type"], body), {}
        values = {name: content.decode() for name, file, _, content in fields if not file}
        stamp = int(time.mktime(time.strptime(values["timestamp"], "%Y-%m-%dT%H:%M:%S")))
        for _, file, kind, content in fields:
            if file:
                made = self.server.store.attach(
                    entry, file, kind, content, stamp, json.loads(values["metadata"]), "embedded" in values
                )
        return made  # of several files, the last


def _users(search: str) -> list[Json]:
    """As without LDAP: the login begins with it, or the name in lower case holds it."""
    if not search:
        return []
    return [user for user in USERS if str(user["login"]).startswith(search) or search in str(user["name"]).lower()]


def _multipart(content_type: str, body: bytes) -> list[tuple[str, str, str, bytes]]:
    """Name, file name, content type and content of each part."""
    parsed = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    parts = [part for part in parsed.walk() if not part.is_multipart()]
    return [
        (
            part["Content-Disposition"].params["name"],
            part.get_filename() or "",
            part.get_content_type(),
            bytes(part.get_payload(decode=True) or b""),
        )
        for part in parts
    ]


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.store = Store()
        self.calls: list[tuple[str, str]] = []
        self.fault: Fault = lambda method, path: ""

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], ConnectionError):  # a client that has gone
            super().handle_error(request, client_address)


@dataclass
class RunningElogy:
    """One that answers. `server` is None for one that these tests did not start."""

    url: str
    server: Server | None = None


def given_elogy() -> RunningElogy:
    """The one of the environment."""
    return RunningElogy(os.environ["SCIZOO_ELOGY_URL"].rstrip("/"))


@contextmanager
def stand_in() -> Iterator[RunningElogy]:
    server = Server()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield RunningElogy(f"http://127.0.0.1:{server.server_port}", server)
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
