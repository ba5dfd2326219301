"""HTTP client of a user office's REST interface: one request, one JSON answer, in limited time."""

from __future__ import annotations

import ipaddress
import json
import logging
import os
import stat
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import AuthBase

from sdm.bounded_http import AnswerTooLarge, BoundedSession, causes, fetch
from sdm.office.model import OfficeRefused, OfficeUnavailable

_log = logging.getLogger(__name__)

MAX_OFFICE_ANSWER_BYTES = 16_000_000
"""One year's proposals of a beamline are less than a tenth of it."""

_MAX_HANGING_REQUESTS = 3


class Token:
    """A token in a file, read again when the file changes. The token is never part of a log or an error."""

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
                    raise OfficeRefused(f"{self.file} can be read by others and is not used: run chmod 600 {self.file}")
                read_as = (status.st_mtime_ns, status.st_size, status.st_ino)
                if read_as != self._read_as:
                    self._token = self._checked(file.read(100_000))
                    self._read_as = read_as
        except OSError as error:
            raise OfficeRefused(f"the token's file {self.file} cannot be read: {error.strerror}") from error
        return self._token

    def _checked(self, content: bytes) -> str:
        token = content.decode("ascii", "replace").strip()
        if not token or not token.isascii() or not token.isprintable():
            raise OfficeRefused(f"{self.file} does not hold a token: one line of printable ASCII characters")
        return token


class _HeaderAuth(AuthBase):
    # As `auth`, because requests would otherwise send a password of ~/.netrc.
    def __init__(self, name: str, value: str) -> None:
        self._field = (name, value)

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        name, value = self._field
        if value:
            request.headers[name] = value
        return request


@dataclass(frozen=True)
class _Response:
    status: int
    location: str
    body: bytes


class RestClient:
    """Sends requests to one server. `timeout` is in seconds, for a whole request. Threads may share it.

    `header` is the header field with the token, such as `Authorization: Bearer {token}`; `settings_name`
    names the settings in errors; `ca_file` has the certificate authorities to use instead of the system's.
    """

    def __init__(
        self,
        url: str,
        *,
        settings_name: str,
        header: str,
        timeout: float,
        token: Token | None = None,
        ca_file: str = "",
    ) -> None:
        self.url = url
        self.has_token = token is not None
        self._settings_name = settings_name
        self._header = header
        self._timeout = timeout
        self._token = token
        self._ca_file = ca_file
        self._hanging: list[threading.Thread] = []
        parts = urlsplit(url)
        if token is not None and parts.scheme == "http" and not _is_loopback(parts.hostname or ""):
            _log.warning(
                "the token in %s is sent to the user office (%s) unencrypted, so others on the network can read it: "
                "set a `url` with https in %s",
                *(token.file, url, settings_name),
            )

    def get(self, path: str, params: Mapping[str, str] | None = None) -> Any:
        """The JSON answer to a path below `url`; None if there is nothing (404 with JSON, no content, null).

        Raises OfficeRefused, OfficeUnavailable. Redirects are not followed, because they would send the token
        elsewhere. A 404 without JSON does not count as the office's answer: a broken proxy sends the same.
        """
        description = self._description(path)
        response = self._ask(description, self.url + path, params)
        if response.status in (401, 403):
            raise OfficeRefused(self.refusal(path, f"refuses access ({response.status})"))
        if response.status in (404, 410):
            if not _is_json(response.body):
                raise OfficeUnavailable(
                    f"{description} answers with status {response.status} and without JSON, as a proxy does: it does "
                    f"not have what was asked for, or `url` is wrong in {self._settings_name}"
                )
            return None
        if 200 <= response.status < 300 and not response.body.strip():
            return None
        if 300 <= response.status < 400:
            host = urlsplit(response.location).hostname or "another path"
            raise OfficeUnavailable(
                f"{description} redirects to {host!r}, which is not followed; is `url` right in {self._settings_name}?"
            )
        if response.status >= 300:
            raise OfficeUnavailable(f"{description} answers with status {response.status}")
        try:
            return _json(response.body)
        except (ValueError, RecursionError) as error:
            what = "a web page" if response.body.lstrip().startswith(b"<") else "something that is not JSON"
            raise OfficeUnavailable(
                f"{description} answers with {what}; is `url` right in {self._settings_name}?"
            ) from error

    def refusal(self, path: str, what: str) -> str:
        """A sentence for people: that it refuses access, and which token may be the reason."""
        return f"{self._description(path)} {what}: {self._token_hint()}"

    def _description(self, path: str) -> str:
        return f"the user office ({self.url}{path.partition('?')[0]})"

    def _token_hint(self) -> str:
        if self._token is None:
            return f"it needs a token; give its file as `token_file` in {self._settings_name}"
        return f"the token in {self._token.file} is wrong or has expired, or its account cannot read this"

    def _ask(self, description: str, url: str, params: Mapping[str, str] | None) -> _Response:
        """In its own thread, because a silent name server, or a very slow answer, does not end by itself."""
        name, _, value = self._header.partition(":")
        header = _HeaderAuth(name.strip(), value.strip().replace("{token}", self._token()) if self._token else "")
        answer: Future[_Response] = Future()  # in a program that gevent has patched, a queue may fail

        def ask() -> None:
            try:
                answer.set_result(self._fetch(url, params, header))
            except BaseException as error:  # noqa: BLE001 - it is raised below
                answer.set_exception(error)

        self._hanging = [thread for thread in self._hanging if thread.is_alive()]
        if len(self._hanging) >= _MAX_HANGING_REQUESTS:
            raise OfficeUnavailable(f"{description} has not answered {_MAX_HANGING_REQUESTS} earlier requests yet")
        thread = threading.Thread(target=ask, daemon=True, name=f"request to {self.url}")
        thread.start()
        try:
            error = answer.exception(self._timeout)
        except TimeoutError:
            self._hanging.append(thread)
            raise OfficeUnavailable(f"{description} gave no complete answer within {self._timeout:g} s") from None
        if isinstance(error, requests.RequestException | OSError | ValueError):
            raise OfficeUnavailable(f"{description} cannot be asked: {_failure_text(error, self._timeout)}") from error
        return answer.result()

    def _fetch(self, url: str, params: Mapping[str, str] | None, header: _HeaderAuth) -> _Response:
        with BoundedSession() as session:
            answer, body = fetch(
                session,
                "GET",
                url,
                params=params,
                headers={"Accept": "application/json"},
                auth=header,
                timeout=self._timeout,
                whole=self._timeout,
                max_bytes=MAX_OFFICE_ANSWER_BYTES,
                verify=self._ca_file or True,
            )
        return _Response(answer.status_code, answer.headers.get("Location", ""), body)


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


def _failure_text(error: BaseException, timeout: float) -> str:
    """The reason, without the object addresses that urllib3's texts contain."""
    if isinstance(error, requests.Timeout):
        return f"no answer within {timeout:g} s"
    if isinstance(error, requests.exceptions.SSLError):
        return "its certificate is not trusted; give its authority's file as `ca_file`"
    if isinstance(error, requests.exceptions.ChunkedEncodingError | requests.exceptions.ContentDecodingError):
        return "its answer was cut off"
    if isinstance(error, _PROXY_ERRORS):
        return "the proxy that the environment names (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY) cannot be used"
    if type(error) in (AnswerTooLarge, ValueError, OSError):  # the latter by requests, as for a missing file
        return str(error)
    for each in causes(error):
        if isinstance(each, TimeoutError):
            return f"no answer within {timeout:g} s"
        if isinstance(each, OSError) and each.strerror:
            return str(each.strerror)
    return "the connection was closed"
