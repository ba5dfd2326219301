"""A user office's REST interface: one question, one JSON answer, in a bounded time."""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import queue
import stat
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase
from urllib3.exceptions import HTTPError

from sdm.office.model import OfficeRefused, OfficeUnavailable

_log = logging.getLogger(__name__)

LARGEST_ANSWER = 16_000_000
"""Bytes. A year's proposals of a beamline are less than a tenth of it."""

_CHUNK = 4096

_MOST_HANGING = 3


class Token:
    """A token in a file, read again when it changes. It never becomes part of a text."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self._read_as: tuple[int, int, int] | None = None
        self._token = ""

    def __call__(self) -> str:
        """Raises OfficeRefused, with what to do about the file."""
        try:
            with self.file.open("rb") as file:
                status = os.fstat(file.fileno())
                if stat.S_IMODE(status.st_mode) & 0o077:
                    raise OfficeRefused(f"{self.file} can be read by others, and is not used: chmod 600 {self.file}")
                read_as = (status.st_mtime_ns, status.st_size, status.st_ino)
                if read_as != self._read_as:
                    self._token = self._checked(file.read(100_000))
                    self._read_as = read_as
        except OSError as error:
            raise OfficeRefused(f"the token's file {self.file} cannot be read: {error.strerror}") from error
        return self._token

    def _checked(self, said: bytes) -> str:
        token = said.decode("ascii", "replace").strip()
        if not token or not token.isascii() or not token.isprintable():
            raise OfficeRefused(f"{self.file} does not hold a token: one line of printable ASCII characters")
        return token


class _Header(AuthBase):
    # As `auth`, since requests would else put a password of ~/.netrc into Authorization.
    def __init__(self, name: str, value: str) -> None:
        self._field = (name, value)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        name, value = self._field
        if value:
            request.headers[name] = value
        return request


@dataclass(frozen=True)
class _Said:
    status: int
    location: str
    body: bytes


class Server:
    """Asks one server. `timeout` is in seconds, for the whole of a question. Threads may share it.

    `header` is the field that carries the token, as `Authorization: Bearer {token}`; `told_in`
    names the settings in errors; `ca_file` holds the authorities to trust in place of the system's.
    """

    def __init__(
        self, url: str, *, told_in: str, header: str, timeout: float, token: Token | None = None, ca_file: str = ""
    ) -> None:
        self.url = url
        self.has_token = token is not None
        self._told_in = told_in
        self._header = header
        self._timeout = timeout
        self._token = token
        self._ca_file = ca_file
        self._hanging: list[threading.Thread] = []
        parts = urlsplit(url)
        if token is not None and parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
            _log.warning(
                "the token in %s goes to the user office (%s) unencrypted, and whoever is on the way can read it: "
                "give a `url` with https in %s",
                *(token.file, url, told_in),
            )

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """The JSON that is answered to a path below `url`; None if nothing is there (404 with JSON, no content, null).

        Raises OfficeRefused, OfficeUnavailable. Redirects are not followed: the token would go along.
        A 404 without JSON is no word of the office: a broken proxy, and a server without it, say the same.
        """
        shown = self._shown(path)
        said = self._ask(shown, self.url + path, params)
        if said.status in (401, 403):
            raise OfficeRefused(self.refusal(path, f"refuses us ({said.status})"))
        if said.status in (404, 410):
            if not _is_json(said.body):
                raise OfficeUnavailable(
                    f"{shown} answers with status {said.status} and without JSON, as a proxy does: it does not have "
                    f"what was asked for, or `url` is wrong in {self._told_in}"
                )
            return None
        if 200 <= said.status < 300 and not said.body.strip():
            return None
        if 300 <= said.status < 400:
            host = urlsplit(said.location).hostname or "another path"
            raise OfficeUnavailable(
                f"{shown} sends us on to {host!r}, which is not followed; is `url` right in {self._told_in}?"
            )
        if said.status >= 300:
            raise OfficeUnavailable(f"{shown} answers with status {said.status}")
        try:
            return _json(said.body)
        except (ValueError, RecursionError) as error:
            what = "a web page" if said.body.lstrip().startswith(b"<") else "something that is not JSON"
            raise OfficeUnavailable(f"{shown} answers with {what}; is `url` right in {self._told_in}?") from error

    def refusal(self, path: str, what: str) -> str:
        """For people: that it refuses us, and which token may be why."""
        return f"{self._shown(path)} {what}: {self._about_the_token()}"

    def _shown(self, path: str) -> str:
        return f"the user office ({self.url}{path.partition('?')[0]})"

    def _about_the_token(self) -> str:
        if self._token is None:
            return f"it wants a token; name its file as `token_file` in {self._told_in}"
        return f"the token in {self._token.file} is wrong or has expired, or its account may not read this"

    def _ask(self, shown: str, url: str, params: Mapping[str, str] | None) -> _Said:
        """In a thread of its own, since neither the name server's silence nor an answer in drops ends by itself."""
        name, _, value = self._header.partition(":")
        header = _Header(name.strip(), value.strip().replace("{token}", self._token()) if self._token else "")
        answers: queue.SimpleQueue[_Said | Exception] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(self._fetch(url, params, header))
            except (requests.RequestException, HTTPError, OSError, ValueError) as error:
                answers.put(error)

        self._hanging = [thread for thread in self._hanging if thread.is_alive()]
        if len(self._hanging) >= _MOST_HANGING:
            raise OfficeUnavailable(f"{shown} still owes us the answers to {_MOST_HANGING} questions")
        thread = threading.Thread(target=ask, daemon=True, name=f"question to {self.url}")
        thread.start()
        try:
            said = answers.get(timeout=self._timeout)
        except queue.Empty:
            self._hanging.append(thread)
            raise OfficeUnavailable(f"{shown} gave no whole answer within {self._timeout:g} s") from None
        if isinstance(said, Exception):
            raise OfficeUnavailable(f"{shown} cannot be asked: {_reason(said, self._timeout)}") from said
        return said

    def _fetch(self, url: str, params: Mapping[str, str] | None, header: _Header) -> _Said:
        until = time.monotonic() + self._timeout
        with (
            requests.Session() as session,
            session.get(
                url,
                params=params,
                headers={"Accept": "application/json"},
                auth=header,
                timeout=self._timeout,
                allow_redirects=False,
                stream=True,
                verify=self._ca_file or True,
            ) as answer,
        ):
            body = bytearray()
            for chunk in answer.iter_content(_CHUNK):
                body += chunk
                if len(body) > LARGEST_ANSWER:
                    raise ValueError(f"its answer has more than {LARGEST_ANSWER:,} bytes")
                if time.monotonic() > until:
                    raise requests.Timeout
            return _Said(answer.status_code, answer.headers.get("Location", ""), bytes(body))


def _json(body: bytes) -> Any:
    return json.loads(body.decode("utf-8-sig"))


def _is_json(body: bytes) -> bool:
    try:
        _json(body)
    except (ValueError, RecursionError):
        return False
    return True


def _is_loopback(host: str) -> bool:
    """Whether what is sent to this host stays on the machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


_PROXY_ERRORS = (
    requests.exceptions.ProxyError,
    requests.exceptions.InvalidProxyURL,
    requests.exceptions.InvalidSchema,  # for a socks proxy without PySocks
)


def _reason(error: BaseException, timeout: float) -> str:
    """Why, without the addresses of objects that urllib3's texts are made of."""
    if isinstance(error, requests.Timeout):
        return f"no answer within {timeout:g} s"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted; name its authority's file as `ca_file`"
    if isinstance(error, requests.exceptions.ChunkedEncodingError | requests.exceptions.ContentDecodingError):
        return "its answer broke off"
    if isinstance(error, _PROXY_ERRORS):
        return "the proxy that the environment names (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) cannot be used"
    if type(error) in (ValueError, OSError):  # of ours, and of requests for a file that is missing
        return str(error)
    inner: BaseException | None = error
    while inner is not None:
        if isinstance(inner, TimeoutError):
            return f"no answer within {timeout:g} s"
        if isinstance(inner, OSError) and inner.strerror:
            return str(inner.strerror)
        inner = inner.__cause__ or inner.__context__
    return "the connection broke off"
