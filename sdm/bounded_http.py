"""HTTP with limits for everything: connecting, each read, the whole answer with its headers, and its size.

It is in `sdm` because every part that calls a server may import `sdm`, but the parts may not import each other.
"""

from __future__ import annotations

import http.client
import io
import socket
import threading
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from requests.exceptions import ChunkedEncodingError, ContentDecodingError
from urllib3 import HTTPConnectionPool, PoolManager
from urllib3.exceptions import DecodeError, HTTPError, ReadTimeoutError

_READ_BYTES = 65_536


class AnswerTooLarge(requests.RequestException):
    """The answer has more bytes than are accepted."""


class AnswerTooSlow(requests.Timeout):
    """The answer has begun and does not end in time."""


class BoundedSession(requests.Session):
    """A session for `fetch`."""

    def __init__(self) -> None:
        super().__init__()
        for scheme in ("http://", "https://"):
            self.mount(scheme, _BoundedAdapter())


def fetch(
    session: BoundedSession, method: str, url: str, *, timeout: float, whole: float, max_bytes: int, **options: Any
) -> tuple[requests.Response, bytes]:
    """The answer, and its whole body, decoded. Redirects are not followed: each would have limits of its own.

    `timeout` (connecting, and each read) and `whole` (until the body is complete) are in seconds. `options` are those
    of `requests.Session.request`. Raises what that raises, and for the body AnswerTooLarge, AnswerTooSlow,
    ContentDecodingError, and ChunkedEncodingError if it is cut off.
    """
    _deadline.until = time.monotonic() + whole
    with session.request(method, url, timeout=timeout, stream=True, allow_redirects=False, **options) as answer:
        body = bytearray()
        try:
            # In pieces of one read of the socket: a server that sends a byte from time to time would make a longer read
            # block for ever.
            while part := answer.raw.read1(_READ_BYTES, decode_content=True):
                body += part
                if len(body) > max_bytes:
                    raise AnswerTooLarge(f"the answer is larger than {max_bytes:,} bytes")
        except ReadTimeoutError as error:
            raise AnswerTooSlow("the answer arrives too slowly") from error
        except DecodeError as error:
            raise ContentDecodingError(error) from error
        except HTTPError as error:
            raise ChunkedEncodingError(error) from error
        return answer, bytes(body)


def causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and what caused it, from the outside in."""
    inner: BaseException | None = error
    while inner is not None:
        yield inner
        inner = inner.__cause__ or inner.__context__


def cause(error: BaseException) -> str:
    """The system's own text, without those that requests and urllib3 put around it."""
    for each in causes(error):
        if isinstance(each, TimeoutError | requests.Timeout):
            return "no answer in time"
        if isinstance(each, OSError) and each.errno and each.strerror:
            return each.strerror.lower()
    return "no connection"


class _Deadline(threading.local):
    until = float("inf")
    """When the call that this thread makes must be over, as `time.monotonic`."""


_deadline = _Deadline()


class _SocketReads(io.RawIOBase):
    """What comes out of a socket. Each read ends in time, also of headers, which http.client reads byte by byte."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._reads = sock.makefile("rb", buffering=0)
        self._timeout = sock.gettimeout()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = _deadline.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer arrives too slowly")
        self._sock.settimeout(left if self._timeout is None else min(self._timeout, left))
        return self._reads.readinto(buffer)

    def close(self) -> None:
        self._reads.close()
        super().close()


class _Stream:
    """In the place of a socket, of which an answer is read."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_SocketReads(self._sock))


class _BoundedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(_Stream(sock), *args, **options)  # type: ignore[arg-type]


@cache
def _bounded(pool: type[HTTPConnectionPool]) -> type[HTTPConnectionPool]:
    """The pool with limits. It connects as before: to the server, or through the proxy that it is for (SOCKS)."""
    connection = type("BoundedConnection", (pool.ConnectionCls,), {"response_class": _BoundedResponse})
    return type("BoundedPool", (pool,), {"ConnectionCls": connection})


class _BoundedAdapter(HTTPAdapter):
    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, **options)
        _bound(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **options: Any) -> Any:
        known = proxy in self.proxy_manager
        manager = super().proxy_manager_for(proxy, **options)
        if not known:
            _bound(manager)
        return manager


def _bound(manager: PoolManager) -> None:
    pools = manager.pool_classes_by_scheme
    manager.pool_classes_by_scheme = {scheme: _bounded(pool) for scheme, pool in pools.items()}
