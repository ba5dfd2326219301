"""Checks the arguments of a device's commands, and identifies the client."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tango.server import Device

from scifish.configurations import table_file
from scifish.settings.entries import checked, line_of
from scifish.tango_io.database import text

LOCAL_ADDRESSES = ("unix", "127.0.0.1", "::1", "::ffff:127.0.0.1")
"""How omniORB names a client on this machine."""


MAX_REQUEST_CHARACTERS = 1_000_000
"""Of the texts of one call: some 10,000 entries of a configuration. Parsing much more would take minutes."""

MAX_CALLER_CHARACTERS = 100


class WrongArgument(ValueError):
    """An argument does not have the documented form."""


def text_arguments(given: Sequence[str], minimum: int, maximum: int, what: str) -> list[str]:
    """The texts of a command, with "" for optional ones that are missing. WrongArgument for a wrong number of texts."""
    _check_length(sum(map(len, given)))
    found = [text(word).strip() for word in given]
    if not minimum <= len(found) <= maximum:
        raise WrongArgument(f"expected {what}, but got {len(found)} texts")
    return [*found, *[""] * (maximum - len(found))]


def json_object(given: str, known: Sequence[str]) -> dict[str, Any]:
    """A JSON object with only these names. WrongArgument otherwise."""
    _check_length(len(given))
    try:
        found = json.loads(text(given))
    except (ValueError, RecursionError) as error:
        raise WrongArgument(f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise WrongArgument(f"not a JSON object with {', '.join(known)}")
    unknown = [name for name in found if name not in known]
    if unknown:
        raise WrongArgument(f"unknown: {', '.join(unknown)}; allowed are {', '.join(known)}")
    return found


def _check_length(characters: int) -> None:
    if characters > MAX_REQUEST_CHARACTERS:
        raise WrongArgument(f"it has {characters} characters; {MAX_REQUEST_CHARACTERS} are possible")


def text_in(request: Mapping[str, Any], name: str, default: str | None = None) -> str:
    """A text of the request. WrongArgument if it is not a text, or if it is missing and there is no default."""
    found = request.get(name, default)
    if not isinstance(found, str):
        raise WrongArgument(f"{name} is missing" if found is None else f"{name}: {found!r} is not a text")
    return found


def lines_in(request: Mapping[str, Any]) -> list[str]:
    """The lines of a request: its `lines`, or its `entries` with the fields of a configuration's entries."""
    if ("lines" in request) == ("entries" in request):
        raise WrongArgument("give either lines or entries")
    given = request.get("lines", request.get("entries"))
    if not isinstance(given, list):
        raise WrongArgument("lines and entries must be lists")
    if "lines" in request:
        if not all(isinstance(line, str) for line in given):
            raise WrongArgument("lines must be texts")
        return given
    lines = []
    for number, fields in enumerate(given, start=1):
        if not isinstance(fields, dict):
            raise WrongArgument(f"entry {number} is not of the form {{name, source, ...}}")
        entry, problems = checked(fields)
        if entry is None or problems:
            raise WrongArgument(f"entry {number}: {'; '.join(problems)}")
        lines.append(line_of(fields))
    return lines


def table_in(request: Mapping[str, Any]) -> list[str]:
    """The lines of a file: `text`, or its bytes as `base64`. Raises WrongArgument, or TableError for wrong content."""
    if ("text" in request) == ("base64" in request):
        raise WrongArgument("give either text or base64")
    if "text" in request:
        return table_file.lines_from_text(text_in(request, "text"))
    try:
        data = base64.b64decode(text_in(request, "base64"), validate=True)
    except ValueError as error:  # binascii.Error, and another one for what is not ASCII
        raise WrongArgument(f"base64: {error}") from error
    return table_file.lines_from_text(table_file.decoded(data))


def caller(device: Device, name: str = "") -> str:
    """Who calls, as far as Tango knows: process and machine. `name` is the name that the client itself gives.

    WrongArgument if that is no name.
    """
    if len(name) > MAX_CALLER_CHARACTERS or not name.isprintable():
        raise WrongArgument(f"who must have at most {MAX_CALLER_CHARACTERS} characters that can be printed")
    found = device.get_client_ident()
    if found is None or not found.client_ident:
        where = "unknown"
    else:
        program = found.java_main_class or "process"
        where = f"{program} {found.client_pid} on {_host(found.client_ip)}" if found.client_pid else program
    return f"{name} ({where})" if name else where


def _host(address: str) -> str:
    """The host of an omniORB endpoint: `giop:tcp:10.0.0.5:3210`, `giop:tcp:[::1]:3210`, `giop:unix:/tmp/...`."""
    kind, _, rest = address.removeprefix("giop:").partition(":")
    host = rest.rpartition(":")[0].strip("[]") if kind in ("tcp", "ssl") else kind
    return "this machine" if host in LOCAL_ADDRESSES else host or address
