"""A proxy before a SciCat, that is slow, fails on request, and sees whether a dataset has two writers at once."""

from __future__ import annotations

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests

from tests.waiting import PATIENCE

UUID = re.compile(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")

Fault = Callable[[str, str], int | None]
"""Of method and uuid ("" if there is none), the status to answer with; None to let it through. It may take its time."""


class Proxy:
    """`url` is what to use in place of the server's. `latency` is in seconds and added to each call."""

    def __init__(self, server: str, latency: float = 0.0, fault: Fault = lambda method, uuid: None) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._now: Counter[str] = Counter()
        self._sessions = threading.local()
        self.latency = latency
        self.away = False
        """Calls are cut off without an answer."""
        self.fault = fault
        self.content = b""
        """What is answered with the status of a fault."""
        self.headers: dict[str, str] = {}
        """What is in its head besides."""
        self.calls = 0
        self.at_once: Counter[str] = Counter()
        """The most calls at once by uuid."""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def answer(self) -> None:
                proxy._answer(self)

            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = answer

            def log_message(self, *_: object) -> None:
                """The test's own log is enough."""

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 100

            def handle_error(self, *_: object) -> None:
                """A client that was killed."""

        self.http = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    @property
    def two_writers(self) -> list[str]:
        return [uuid for uuid, most in self.at_once.items() if most > 1]

    def _answer(self, call: BaseHTTPRequestHandler) -> None:
        body = call.rfile.read(int(call.headers.get("Content-Length", 0)))
        found = UUID.search(call.path.encode()) or UUID.search(body)
        uuid = found[0].decode() if found else ""
        with self._lock:
            self.calls += 1
            self._now[uuid] += 1
            if uuid:
                self.at_once[uuid] = max(self.at_once[uuid], self._now[uuid])
        try:
            time.sleep(self.latency)
            if self.away:
                call.close_connection = True
                return
            status = self.fault(call.command, uuid)
            content, kind, more = self.content, "text/plain", self.headers
            if status is None:
                status, content, kind = self._passed_on(call, body)
                more = {}
        finally:
            with self._lock:
                self._now[uuid] -= 1
        call.send_response(status)
        call.send_header("Content-Type", kind)
        call.send_header("Content-Length", str(len(content)))
        for name, value in more.items():
            call.send_header(name, value)
        call.end_headers()
        call.wfile.write(content)

    def _passed_on(self, call: BaseHTTPRequestHandler, body: bytes) -> tuple[int, bytes, str]:
        if not hasattr(self._sessions, "http"):
            self._sessions.http = requests.Session()
        kept = ("Authorization", "Content-Type", "Accept")
        headers = {name: value for name, value in call.headers.items() if name in kept}
        try:
            got = self._sessions.http.request(
                call.command, self._server + call.path, data=body, headers=headers, timeout=PATIENCE
            )
        except requests.RequestException:
            return 502, b"", "text/plain"
        return got.status_code, got.content, got.headers.get("Content-Type", "text/plain")


@contextmanager
def proxy(server: str, latency: float = 0.0, fault: Fault = lambda method, uuid: None) -> Iterator[Proxy]:
    found = Proxy(server, latency, fault)
    thread = threading.Thread(target=found.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        found.http.shutdown()
        found.http.server_close()
        thread.join()
