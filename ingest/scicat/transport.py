"""Calls to one server over connections that are kept, and SciCatError in place of the errors of HTTP."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping

import requests
from requests.exceptions import ChunkedEncodingError

from ingest.scicat.errors import Answer, SciCatError, TimedOut
from sdm.bounded_http import BoundedSession, fetch

MAX_ANSWER_BYTES = 256 * 1024 * 1024
"""Bytes. More is not read: memory is bounded."""

CALL_TIMEOUT_FACTOR = 6
"""A call may take this many times the time-out of its parts."""

MAX_IDLE_SECONDS = 4.0
"""Seconds after which a connection is not used again: SciCat closes it after 5."""


class _Connection:
    """A thread's own."""

    def __init__(self, base_url: str) -> None:
        self.session = BoundedSession()
        # What the environment says of proxies and certificates, once: asked for each call it is a third of its cost.
        found = self.session.merge_environment_settings(base_url, {}, None, None, None)
        self.session.proxies, self.session.verify = found["proxies"], found["verify"]
        # Nor is ~/.netrc asked: what it has for this host would take the place of our token.
        self.session.trust_env = False
        self.used = time.monotonic()


class Transport:
    """One server. Threads may share it. `timeout` (connect, and each read) and `whole` are in seconds."""

    def __init__(self, base_url: str, timeout: float, whole: float) -> None:
        self.base_url = base_url
        self._timeout = timeout
        self._whole = whole
        self._own = threading.local()

    def send(
        self,
        method: str,
        path: str,
        data: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str] | None = None,
    ) -> Answer:
        """The answer, whatever its status. SciCatError with status 0 if there is none, or not all of it.

        It is TimedOut if the call was sent.
        """
        try:
            try:
                return self._once(method, path, data, headers, query)
            except (requests.ConnectionError, ChunkedEncodingError) as error:
                # The server may have closed a connection that was kept: a read can be made once more.
                # A write may have happened, and is looked for by whoever knows what it was.
                if method != "GET" or isinstance(error, requests.Timeout):
                    raise
                self._own.connection.session.close()
                return self._once(method, path, data, headers, query)
        except requests.ReadTimeout as error:
            raise TimedOut(f"{method} {self.base_url}{path}", 0, f"no answer in {self._timeout:.0f} s") from error
        except (requests.RequestException, OSError) as error:
            raise SciCatError(f"{method} {self.base_url}{path}", 0, f"no answer ({error})") from error

    def _once(
        self,
        method: str,
        path: str,
        data: bytes | None,
        headers: Mapping[str, str] | None,
        query: Mapping[str, str] | None,
    ) -> Answer:
        response, content = fetch(
            self._session(),
            method,
            self.base_url + path,
            data=data,
            headers=headers,
            params=query,
            timeout=self._timeout,
            whole=self._whole,
            max_bytes=MAX_ANSWER_BYTES,
        )
        self._own.connection.used = time.monotonic()
        return Answer(
            response.status_code,
            content,
            response.headers.get("Location", ""),
            response.headers.get("Retry-After", ""),
            response.headers.get("Date", ""),
        )

    def _session(self) -> BoundedSession:
        connection: _Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = _Connection(self.base_url)
        if time.monotonic() - connection.used > MAX_IDLE_SECONDS:
            connection.session.close()  # the next call opens it again
        return connection.session
