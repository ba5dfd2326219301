"""A user office as a real HTTP server on loopback that does what a test tells it: answers, lies, hangs, breaks off."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

Answer = Callable[[BaseHTTPRequestHandler], None]

DUO_PROPOSAL = {
    "propid": 20250001,
    "title": "Swelling of fibres",
    "abstract": "Time-resolved\nscattering.",
    "type": "N",
    "principal": {"fullname": "Astrid Lindqvist", "email": "astrid@example.org"},
    "participants": [{"name": "Jon Berg"}, {"name": "Mariko Sato"}],
    "beamline": "CoSAXS",
    "sessions": [{"start": "2025-03-10", "end": "2025-03-13"}, {"start": "2025-09-22", "end": ""}],
    "samples": [{"name": "fibre A (dry)"}, {"name": "empty_cell"}],
}


class UserOffice:
    """`answers` are by path without its query; `asked` has the requests' paths, `headers` those of the last one."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.answers: dict[str, Answer] = {}
        self.asked: list[str] = []
        self.headers: dict[str, str] = {}

    def says(self, path: str, value: Any, status: int = 200) -> None:
        self.answers[path] = body(json.dumps(value).encode(), status)

    def does(self, path: str, answer: Answer) -> None:
        self.answers[path] = answer


def body(data: bytes, status: int = 200, kind: str = "application/json", **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(data)

    return answer


def html(status: int = 200) -> Answer:
    return body(b"<!DOCTYPE html><html><body>Please log in</body></html>", status, "text/html")


def redirect(to: str) -> Answer:
    return body(b"", 302, Location=to)


def silent(seconds: float) -> Answer:
    def answer(_request: BaseHTTPRequestHandler) -> None:
        time.sleep(seconds)

    return answer


def hung(request: BaseHTTPRequestHandler) -> None:
    """Until who asked gives up, and hangs up."""
    while request.connection.recv(65_536):
        pass


def in_drops(seconds: float) -> Answer:
    """Never silent for long, and never done."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        until = time.monotonic() + seconds
        _drip(request, lambda: time.monotonic() < until)

    return answer


def dripping(request: BaseHTTPRequestHandler) -> None:
    """Never silent for long, and never done, until who asked hangs up."""
    _drip(request, lambda: True)


def _drip(request: BaseHTTPRequestHandler, goes_on: Callable[[], bool]) -> None:
    request.send_response(200)
    request.send_header("Content-Length", "1000000")
    request.end_headers()
    while goes_on():
        request.wfile.write(b" ")
        request.wfile.flush()
        time.sleep(0.02)


def dripping_headers(request: BaseHTTPRequestHandler) -> None:
    """As `dripping`, but not even its headers are ever done."""
    request.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
    while True:
        request.wfile.write(b"x")
        request.wfile.flush()
        time.sleep(0.02)


def cut_off(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.send_header("Content-Length", "1000")
    request.end_headers()
    request.wfile.write(b'{"propid": 2025')


def endless(request: BaseHTTPRequestHandler) -> None:
    request.send_response(200)
    request.end_headers()
    while True:
        request.wfile.write(b" " * 100_000)


@contextmanager
def user_office() -> Iterator[UserOffice]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            office.asked.append(self.path)
            office.headers = dict(self.headers)
            answer = office.answers.get(urlsplit(self.path).path, body(b'{"message": "not found"}', 404))
            answer(self)

        def log_message(self, *_: Any) -> None:
            """Not on the terminal."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        block_on_close = False

        def handle_error(self, *_: Any) -> None:
            """A client that hangs up is what these tests are about."""

    with Server(("127.0.0.1", 0), Handler) as server:
        office = UserOffice(f"http://127.0.0.1:{server.server_address[1]}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield office
        finally:
            server.shutdown()
            thread.join()
