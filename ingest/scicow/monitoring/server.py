"""Metrics, health and status over HTTP, from threads that SciCow never waits for."""

from __future__ import annotations

import json
import logging
import os
import socket
import sys
import threading
from collections import OrderedDict
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from typing import Any

from prometheus_client.exposition import choose_encoder

from ingest.scicow.monitoring.metrics import registry
from ingest.scicow.monitoring.status import ReplicaStatus, StatusSnapshot
from ingest.scicow.settings import HttpSettings, SciCowSettingsError

log = logging.getLogger(__name__)

MAX_CONNECTIONS = 16
"""Connections at a time. For one more the oldest is closed, so that a client that holds all open blocks nobody."""

CLIENT_TIMEOUT_SECONDS = 10.0
"""Seconds that a client may be silent."""

SHUTDOWN_POLL_SECONDS = 0.1
"""Between two checks whether to stop."""

PLAIN_TEXT = "text/plain; charset=utf-8"

Response = tuple[HTTPStatus, str, bytes]
"""Status, content type, body."""


class MonitoringServer:
    """Has the address from the beginning (SciCowSettingsError if it cannot), and serves as a context manager."""

    def __init__(self, settings: HttpSettings, state: ReplicaStatus) -> None:
        self._server = _listen(settings, _Pages(state))
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(SHUTDOWN_POLL_SECONDS,), name="http", daemon=True
        )

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://{_bracketed(str(host))}:{port}"

    def __enter__(self) -> MonitoringServer:
        self._thread.start()
        log.info("metrics, health and status are served at %s", self.url)
        return self

    def __exit__(self, *_: object) -> None:
        # Answers that are under way are cut off with the process: nobody waits for a slow client.
        self._server.shutdown()
        self._server.server_close()


class _Pages:
    """What there is to see, by path."""

    def __init__(self, state: ReplicaStatus) -> None:
        self._state = state
        self._registry = registry(state)
        self._pages: dict[str, Callable[[str], Response]] = {
            "/metrics": self._metrics,
            "/healthz": lambda _: _probe(state.not_alive(), ""),
            "/readyz": lambda _: _ready(state.snapshot()),
            "/status": self._status,
        }

    def get(self, path: str, accept: str) -> Response:
        page = self._pages.get(path)
        if page is None:
            return HTTPStatus.NOT_FOUND, PLAIN_TEXT, f"there are {', '.join(self._pages)}\n".encode()
        return page(accept)

    def _metrics(self, accept: str) -> Response:
        encode, kind = choose_encoder(accept)
        return HTTPStatus.OK, kind, encode(self._registry)

    def _status(self, _: str) -> Response:
        return HTTPStatus.OK, "application/json", json.dumps(self._state.as_json()).encode()


def _ready(snapshot: StatusSnapshot) -> Response:
    return _probe(snapshot.not_ready, snapshot.held)


def _probe(wrong: str, remark: str) -> Response:
    status = HTTPStatus.SERVICE_UNAVAILABLE if wrong else HTTPStatus.OK
    text = wrong or (f"ok; held: {remark}" if remark else "ok")
    return status, PLAIN_TEXT, f"{text}\n".encode()


class _RequestHandler(BaseHTTPRequestHandler):
    """One request a connection, as HTTP/1.0 has it."""

    timeout = CLIENT_TIMEOUT_SECONDS
    server_version = "SciCow"
    sys_version = ""
    server: _Listener

    def do_GET(self) -> None:
        accept = str(self.headers.get("Accept", ""))
        self._answer(*self.server.pages.get(self.path.partition("?")[0], accept))

    do_HEAD = do_GET

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """What the base class refuses."""
        status = HTTPStatus(code)
        if status == HTTPStatus.NOT_IMPLEMENTED:  # so it calls a method that we do not have
            status = HTTPStatus.METHOD_NOT_ALLOWED
        self._answer(status, PLAIN_TEXT, f"{status.phrase}\n".encode())

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Content-Type-Options", "nosniff")
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug("%s: %s", self.address_string(), format % args)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 8 * MAX_CONNECTIONS
    pages: _Pages

    def __init__(self, family: socket.AddressFamily, address: Any) -> None:
        self.address_family = family
        self._open: OrderedDict[Any, None] = OrderedDict()
        self._lock = threading.Lock()
        super().__init__(address, _RequestHandler)

    def server_bind(self) -> None:
        TCPServer.server_bind(self)  # without the base class's question to the name server

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open[request] = None
            oldest = self._open.popitem(last=False)[0] if len(self._open) > MAX_CONNECTIONS else None
        if oldest is not None:
            _cut(oldest)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.pop(request, None)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if isinstance(sys.exception(), OSError):
            log.debug("the response to %s was interrupted", client_address)
        else:
            log.exception("internal error in SciCow, please report it")


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host


def _cut(connection: socket.socket) -> None:
    """Its thread then finds the end, and closes it."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        log.debug("the connection was closed already")


def _listen(settings: HttpSettings, pages: _Pages) -> _Listener:
    host, port = settings.host, settings.port
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = _Listener(family, address)
    except (OSError, UnicodeError) as error:  # the latter of a name that can be no host's
        why = (error.strerror or os.strerror(error.errno or 0)) if isinstance(error, OSError) else error
        raise SciCowSettingsError(
            f"http: metrics and health cannot be served at {host}:{port} ({why}); "
            "set http.host and http.port to a free address of this machine, or http.port to 0 to serve nothing"
        ) from error
    listener.pages = pages
    return listener
