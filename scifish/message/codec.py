"""Encodes messages as JSON within the size limit, and decodes and checks them against the JSON Schema."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any, cast

from scifish.message.types import AnyMessage, File, Message, Metadata
from scifish.message.values import is_leaf, leaves

MAX_MESSAGE_BYTES = 900_000
"""Maximum size of a message in UTF-8. Kafka's default limit is 1 MB, its own overhead included."""


MAX_REASON_TEXT = 300
"""Characters of a place in a message, and of what is wrong there."""


class MessageError(ValueError):
    """A message that does not conform to the schema. The text names the field."""


def encode(message: Any) -> bytes:
    """UTF-8 JSON. ValueError for a NaN or an infinity: `plain` replaces them by text."""
    return json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def bounded(message: AnyMessage) -> list[AnyMessage]:
    """The message in parts of at most `MAX_MESSAGE_BYTES`: more than one only if its list of files is too long.

    If the metadata alone are too large, their largest values are left out, and `warnings` says which.
    """
    if len(encode(message)) <= MAX_MESSAGE_BYTES:
        return [message]
    whole: Mapping[str, Any] = message
    files: list[File] = whole.get("files", [])
    small = _reduced({**whole, "files": []} if "files" in whole else whole)
    if not files:
        return [cast(AnyMessage, small)]
    pieces = list(_chunks(files, MAX_MESSAGE_BYTES - len(encode(small)) - 200))
    parts: list[AnyMessage] = []
    for number, piece in enumerate(pieces, start=1):
        part: Message = {**small, "files": piece}
        if len(pieces) > 1:
            part["part"] = {"number": number, "of": len(pieces)}
        if number > 1:
            part["scientificMetadata"] = {}
        parts.append(cast(AnyMessage, part))
    return parts


def _chunks(files: list[File], room: int) -> Iterable[list[File]]:
    chunk: list[File] = []
    used = 0
    for file in files:
        size = len(encode(file)) + 1
        if chunk and used + size > room:
            yield chunk
            chunk, used = [], 0
        chunk.append(file)
        used += size
    yield chunk


def _reduced(whole: Mapping[str, Any]) -> Message:
    """A copy of at most half of `MAX_MESSAGE_BYTES`: files have the other half. `warnings` says what is left out."""
    message: Message = json.loads(encode(whole))
    room = MAX_MESSAGE_BYTES // 2
    warnings = message["warnings"] = _few(message.get("warnings", []))
    if len(encode(message)) > room and _cut_texts(message):
        warnings.append("long texts are cut, because they do not fit into the message")
    if len(encode(message)) > room and len(encode(message.get("environment", {}))) > MAX_MESSAGE_BYTES // 10:
        message["environment"], missing = _cut_fields(message["environment"], MAX_MESSAGE_BYTES // 10)
        more = f", {missing} of its fields are left out" if missing else ""
        warnings.append(f"environment: long texts and lists are cut{more}, they do not fit into the message")
    _leave_out(message, len(encode(message)) - room, warnings)
    if "scientificMetadata" in message and len(encode(message)) > room:  # very long names of groups
        message["scientificMetadata"] = {}
        warnings.append("scientificMetadata: all of it is left out, because it does not fit into the message")
    return message


def _few(warnings: list[str], most: int = 200) -> list[str]:
    """The first warnings, each cut to 500 characters, so that they leave room for the metadata."""
    few = [warning if len(warning) <= 500 else f"{warning[:500]}..." for warning in warnings[:most]]
    return [*few, f"and {len(warnings) - most} more warnings"] if len(warnings) > most else few


def _cut_texts(message: Message, longest: int = 2000) -> bool:
    """Cut long texts of the message itself, such as its description; whether there was one."""
    long = [name for name, value in message.items() if isinstance(value, str) and len(value) > longest]
    for name in long:
        message[name] = f"{message[name][:longest]}... ({len(message[name])} characters)"
    return bool(long)


def _cut_fields(fields: Message, room: int) -> tuple[Message, int]:
    """The fields that fit, with long texts and lists cut; and the number of fields that do not fit."""
    kept: Message = {}
    for name, value in fields.items():
        if len(encode(value)) > 2000:
            value = value[:50] if isinstance(value, list) and len(encode(value[:50])) <= 2000 else _shorter(value)
        room -= len(encode(name)) + len(encode(value)) + 2
        if room >= 0:
            kept[name] = value
    return kept, len(fields) - len(kept)


def _shorter(value: Any) -> Any:
    return [str(value)[:500]] if isinstance(value, list) else str(value)[:500]


def _leave_out(message: Message, excess: int, warnings: list[str]) -> None:
    """Remove the largest values until `excess` bytes are saved."""
    gone: set[int] = set()
    by_size = sorted(leaves(message.get("scientificMetadata", {})), key=lambda found: -len(encode(found[1])))
    for count, (path, value) in enumerate(by_size):
        found = cast(Message, value)
        if excess <= 0:
            break
        size = len(encode(found))
        if size > 1000 and count < 100:
            reason = f"left out: {size} bytes do not fit into the message"
            keep: Message = {key: found[key][:200] for key in ("unit", "human_name", "source", "time") if key in found}
            found.clear()
            found |= {**keep, "value": None, "error": reason}
            warning = f"{path[-200:]}: {reason}"
            warnings.append(warning)
            excess -= size - len(encode(found)) - len(encode(warning))
        else:
            gone.add(id(found))
            excess -= size + len(encode(path)) // 2
    if gone:
        message["scientificMetadata"] = _without(message["scientificMetadata"], gone)
        warnings.append(f"{len(gone)} of {len(by_size)} values are left out, because they do not fit into the message")


def _without(metadata: Metadata, gone: set[int]) -> Metadata:
    return {
        name: inner if is_leaf(inner) else _without(inner, gone)
        for name, inner in metadata.items()
        if id(inner) not in gone
    }


@cache
def schema() -> Message:
    """The JSON Schema (draft 2020-12) of the message."""
    found: Message = json.loads(resources.files("scifish.message").joinpath("schema.json").read_text("utf-8"))
    return found


@cache
def _validator() -> Any:
    import jsonschema_rs  # of the extra [ingest]: a machine that only records does not need it

    return jsonschema_rs.Draft202012Validator(schema(), validate_formats=True)


def check(message: Any) -> None:
    """Raises MessageError, which names the first wrong field. Needs the extra `ingest`.

    The first error is enough: a message may be wrong in as many places as it has bytes.
    """
    from jsonschema_rs import ValidationError

    try:
        _validator().validate(message)
    except ValidationError as error:
        where = _shortened("/".join(map(str, error.instance_path))) or "message"
        raise MessageError(f"{where}: {_shortened(error.message)}") from None  # the error holds all of the message
    except ValueError as error:  # a value that JSON cannot carry
        raise MessageError(f"message: {_shortened(str(error))}") from None


def _shortened(text: str) -> str:
    half = MAX_REASON_TEXT // 2
    return text if len(text) <= MAX_REASON_TEXT else f"{text[:half]}...{text[-half:]}"


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        raise ValueError(f"the number {digits[:20]} is too large")
    return value


def decode(data: bytes) -> Message:
    """Decode and check a message. MessageError if it is not JSON or does not conform to the schema."""
    try:
        message = json.loads(data, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"not JSON: {error}") from error
    check(message)
    found: Message = message
    return found
