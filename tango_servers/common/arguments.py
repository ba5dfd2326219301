"""What clients give a device's commands, and who they are."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

from tango.server import Device

from scifish.configurations import table_file
from scifish.settings.entries import checked, line_of
from scifish.tango_io.database import text

SELF = ("unix", "127.0.0.1", "::1", "::ffff:127.0.0.1")
"""How omniORB says that a client is on this machine."""


class WrongArgument(ValueError):
    """An argument is not of the form that the command's documentation says."""


def words(given: Sequence[str], least: int, most: int, what: str) -> list[str]:
    """The texts of a command, and "" for those at the end that are not given. WrongArgument if there are too few."""
    found = [text(word).strip() for word in given]
    if not least <= len(found) <= most:
        raise WrongArgument(f"{what} are needed, and not {len(found)} texts")
    return [*found, *[""] * (most - len(found))]


def json_object(given: str, known: Sequence[str]) -> dict[str, Any]:
    """A JSON object with these names in it and no others. WrongArgument if it is none."""
    try:
        found = json.loads(text(given))
    except (ValueError, RecursionError) as error:
        raise WrongArgument(f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise WrongArgument(f"not a JSON object with {', '.join(known)}")
    unknown = [name for name in found if name not in known]
    if unknown:
        raise WrongArgument(f"not known: {', '.join(unknown)}; known are {', '.join(known)}")
    return found


def text_in(request: Mapping[str, Any], name: str, otherwise: str | None = None) -> str:
    """A text of the request. WrongArgument if it is missing (and there is no other), or is no text."""
    found = request.get(name, otherwise)
    if not isinstance(found, str):
        raise WrongArgument(f"{name} is missing" if found is None else f"{name}: {found!r} is no text")
    return found


def lines_in(request: Mapping[str, Any]) -> list[str]:
    """The lines that a request carries as `lines`, or as `entries` with the fields of a configuration."""
    if ("lines" in request) == ("entries" in request):
        raise WrongArgument("either lines or entries are needed")
    given = request.get("lines", request.get("entries"))
    if not isinstance(given, list):
        raise WrongArgument("lines and entries are lists")
    if "lines" in request:
        if not all(isinstance(line, str) for line in given):
            raise WrongArgument("lines are texts")
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
    """The lines of a file: `text`, or its bytes as `base64`. WrongArgument, and TableError if it is none of entries."""
    if ("text" in request) == ("base64" in request):
        raise WrongArgument("either text or base64 is needed")
    if "text" in request:
        return table_file.lines_from_text(text_in(request, "text"))
    try:
        data = base64.b64decode(text_in(request, "base64"), validate=True)
    except binascii.Error as error:
        raise WrongArgument(f"base64: {error}") from error
    return table_file.lines_from_text(table_file.decoded(data))


def caller(device: Device, name: str = "") -> str:
    """Who calls, as far as Tango says: process and machine; `name` is what the client itself says."""
    found = device.get_client_ident()
    if found is None or not found.client_ident:
        where = "unknown"
    else:
        program = found.java_main_class or "process"
        where = f"{program} {found.client_pid} on {_host(found.client_ip)}" if found.client_pid else program
    return f"{name} ({where})" if name else where


def _host(address: str) -> str:
    """Of an omniORB endpoint: `giop:tcp:10.0.0.5:3210`, `giop:tcp:[::1]:3210`, `giop:unix:/tmp/...`."""
    kind, _, rest = address.removeprefix("giop:").partition(":")
    host = rest.rpartition(":")[0].strip("[]") if kind in ("tcp", "ssl") else kind
    return "this machine" if host in SELF else host or address
