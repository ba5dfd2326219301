"""HTTP with limits for everything: connecting, each read, the whole answer, and its size.

It is in `sdm` because every part that calls a server may import `sdm`, but the parts may not import each other.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import requests
from requests.exceptions import ChunkedEncodingError, ContentDecodingError
from urllib3.exceptions import DecodeError, HTTPError, ReadTimeoutError

_READ_BYTES = 65_536


class AnswerTooLarge(requests.RequestException):
    """The answer has more bytes than are accepted."""


class AnswerTooSlow(requests.Timeout):
    """The answer has begun and does not end in time."""


def fetch(
    session: requests.Session, method: str, url: str, *, timeout: float, whole: float, max_bytes: int, **options: Any
) -> tuple[requests.Response, bytes]:
    """The answer, and its whole body, decoded.

    `timeout` (connecting, and each read) and `whole` (until the body is complete) are in seconds. `options` are those
    of `requests.Session.request`; redirects are followed only with `allow_redirects=True`. Raises what that raises,
    and for the body AnswerTooLarge, AnswerTooSlow, ContentDecodingError, and ChunkedEncodingError if it is cut off.
    """
    options = {"allow_redirects": False, **options}
    until = time.monotonic() + whole
    with session.request(method, url, timeout=timeout, stream=True, **options) as answer:
        body = bytearray()
        try:
            # In pieces of one read of the socket: a server that sends a byte from time to time would make a longer read
            # block for ever.
            while part := answer.raw.read1(_READ_BYTES, decode_content=True):
                body += part
                if len(body) > max_bytes:
                    raise AnswerTooLarge(f"the answer is larger than {max_bytes:,} bytes")
                if time.monotonic() > until:
                    raise AnswerTooSlow("the answer arrives too slowly")
        except ReadTimeoutError as error:
            raise AnswerTooSlow(error) from error
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
