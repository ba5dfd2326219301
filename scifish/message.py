"""The message that SciFish sends: its parts, its bounds, and the check that it is right.

The format is the JSON Schema beside this file. Nothing here knows Tango or Kafka, so that
SciCow, and any other reader, can use it.
"""

from __future__ import annotations

import datetime as dt
import enum
import json
import math
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from typing import Any

Message = dict[str, Any]

SCHEMA = "scifish/1"
STATUSES = ("completed", "stopped", "aborted", "failed", "interrupted")

MAX_BYTES = 900_000
"""A message's size in UTF-8. Kafka's own default limit is 1 MB with its overhead."""

MAX_ARRAY = 64
"""Longer arrays are summarised where no other limit is given (`MaxArraySize`)."""

MAX_TEXT = 20_000
"""Characters of one text value; longer ones are cut, and say so."""


class MessageError(ValueError):
    """A message that is not of the schema. The text names the field."""


# ----------------------------------------------------------------------------- times


def iso(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC with milliseconds and Z."""
    moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_of(moment: Any) -> str:
    """A `datetime` (without a zone: local time), a number of seconds, or ISO text as ISO 8601 in UTC.

    ISO text without an offset is UTC: so existing clients of SciFish write the times of files.
    """
    if isinstance(moment, str):
        moment = dt.datetime.fromisoformat(moment)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=dt.UTC)
    if isinstance(moment, dt.datetime):
        return iso(moment.timestamp())
    return iso(float(moment))


# ---------------------------------------------------------------------------- values


def leaf(value: Any, *, unit: str = "", human_name: str = "", source: str = "", time: str, **more: Any) -> Message:
    """One value with what is known of it. `more`: quality, error, end, min, max, mean, std, samples."""
    return {"value": value, "unit": unit, "human_name": human_name, "source": source, "time": time, **more}


def plain(value: Any) -> Any:
    """What JSON can carry, of anything: numpy, datetime, enum, bytes, NaN, sets, objects (their text)."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, enum.Enum):
        return value.name
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return _number(value)
    if isinstance(value, dt.datetime):
        return iso_of(value)
    if isinstance(value, bytes | bytearray):
        return _text(bytes(value).decode("utf-8", "replace"))
    if hasattr(value, "tolist"):  # numpy's arrays and scalars
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, Iterable):
        return [plain(inner) for inner in value]
    return _text(str(value))


def _number(value: float) -> float | str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _text(value: str) -> str:
    # A lone surrogate (a file name that is not UTF-8) cannot be encoded.
    value = value.encode("utf-8", "backslashreplace").decode("utf-8")
    if len(value) > MAX_TEXT:
        return f"{value[:MAX_TEXT]}... ({len(value)} characters)"
    return value


def array_fields(value: Any, limit: int = MAX_ARRAY) -> Message:
    """The fields of a leaf for a value that may be an array.

    `{"value": ...}` where it is short; else its shape, min, max and mean with a null value.
    Arrays of text are cut to their first `limit` entries and say so in `shape`.
    """
    shape = _shape(value)
    if math.prod(shape) <= limit or not shape:
        return {"value": plain(value)}
    summary = _summary(value)
    if summary is None:
        return {"value": plain(list(_flat(value))[:limit]), "shape": list(shape)}
    return {"value": None, "shape": list(shape), **summary}


def _summary(value: Any) -> Message | None:
    """min, max and mean of the finite numbers in an array; None if it has none."""
    if hasattr(value, "dtype") and value.dtype.kind in "uif":
        # By numpy itself: a detector's image would keep the interpreter busy for milliseconds.
        finite = value if value.dtype.kind != "f" else value[abs(value) < math.inf]
        if finite.size == 0:
            return None
        return {"min": finite.min().item(), "max": finite.max().item(), "mean": float(finite.mean(dtype="float64"))}
    numbers = [
        number
        for number in _flat(value)
        if isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
    ]
    if not numbers:
        return None
    return {"min": min(numbers), "max": max(numbers), "mean": sum(numbers) / len(numbers)}


def _shape(value: Any) -> tuple[int, ...]:
    if hasattr(value, "shape"):
        return tuple(value.shape)
    if isinstance(value, list | tuple):
        return (len(value), *(_shape(value[0]) if value else ()))
    return ()


def _flat(value: Any) -> Iterable[Any]:
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list | tuple):
        for inner in value:
            yield from _flat(inner)
    else:
        yield value


def as_metadata(given: Mapping[str, Any], source: str, time: str) -> Message:
    """Metadata as a program gives it, in the message's form.

    Plain values become leaves with unit ""; a dictionary with "value" is a leaf and gets what
    it lacks; any other dictionary is a group.
    """
    metadata: Message = {}
    for name, value in given.items():
        name = str(plain(str(name)))
        if isinstance(value, Mapping) and "value" in value:
            metadata[name] = _given_leaf(name, value, source, time)
        elif isinstance(value, Mapping):
            metadata[name] = as_metadata(value, source, time)
        else:
            metadata[name] = leaf(human_name=name, source=source, time=time, **array_fields(value))
    return metadata


_TEXTS = ("quality", "error")
_COUNTS = ("samples", "shape")


def _given_leaf(name: str, given: Mapping[str, Any], source: str, time: str) -> Message:
    """A value as a program gives it, with what it lacks; what is of the wrong kind is kept under another key."""
    known = {str(key): inner for key, inner in given.items()}
    value = known.pop("value")
    if isinstance(value, Mapping):  # a value, and no group: so it was meant
        value = json.dumps(plain(value), ensure_ascii=False)
    found = leaf(
        None,
        unit=str(plain(str(known.pop("unit", None) or ""))),
        human_name=str(plain(str(known.pop("human_name", None) or name))),
        source=str(plain(str(known.pop("source", None) or source))),
        time=time,
    )
    if known.get("time"):
        try:
            found["time"] = iso_of(known["time"])
        except (ValueError, TypeError, OverflowError, OSError):
            found["given_time"] = plain(known["time"])
    known.pop("time", None)
    for key, inner in known.items():
        if key in _TEXTS:
            found[key] = str(plain(str(inner)))
        elif key in _COUNTS:
            found[f"given_{key}"] = plain(inner)
        else:
            found[key] = plain(inner)
    return found | array_fields(value)


# ------------------------------------------------------------------------ the whole


def encode(message: Any) -> bytes:
    """UTF-8 JSON. ValueError for a NaN that slipped in: `plain` was not used on something."""
    return json.dumps(message, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def bounded(message: Message) -> list[Message]:
    """The message in pieces that fit: one, or more where the list of files is too long.

    Metadata that does not fit by itself loses its largest values, and `warnings` says which.
    """
    if len(encode(message)) <= MAX_BYTES:
        return [message]
    files = message.get("files", [])
    small = _reduced({**message, "files": []} if "files" in message else message)
    if not files:
        return [small]
    pieces = list(_chunks(files, MAX_BYTES - len(encode(small)) - 200))
    parts = []
    for number, piece in enumerate(pieces, start=1):
        part = {**small, "files": piece}
        if len(pieces) > 1:
            part["part"] = {"number": number, "of": len(pieces)}
        if number > 1:
            part["scientificMetadata"] = {}
        parts.append(part)
    return parts


def _chunks(files: list[Message], room: int) -> Iterable[list[Message]]:
    chunk: list[Message] = []
    used = 0
    for file in files:
        size = len(encode(file)) + 1
        if chunk and used + size > room:
            yield chunk
            chunk, used = [], 0
        chunk.append(file)
        used += size
    yield chunk


def _reduced(message: Message) -> Message:
    """At most half of `MAX_BYTES`, so that files have the other half. It says what it left out."""
    message = json.loads(encode(message))
    excess = len(encode(message)) - MAX_BYTES // 2
    warnings = message.setdefault("warnings", [])
    if excess > 0 and len(encode(message.get("environment", {}))) > MAX_BYTES // 10:
        excess -= _cut_texts(message["environment"])
        warnings.append("environment: long texts and lists are cut, they do not fit into the message")
    gone: set[int] = set()
    by_size = sorted(leaves(message.get("scientificMetadata", {})), key=lambda found: -len(encode(found[1])))
    for count, (path, found) in enumerate(by_size):
        if excess <= 0:
            break
        size = len(encode(found))
        if size > 1000 and count < 100:
            reason = f"left out: {size} bytes do not fit into the message"
            keep: Message = {key: found[key] for key in ("unit", "human_name", "source", "time") if key in found}
            found.clear()
            found |= {**keep, "value": None, "error": reason}
            warnings.append(f"{path}: {reason}")
            excess -= size - len(encode(found)) - len(path) - len(reason)
        else:
            gone.add(id(found))
            excess -= size + len(encode(path)) // 2
    if gone:
        message["scientificMetadata"] = _without(message["scientificMetadata"], gone)
        warnings.append(f"{len(gone)} of {len(by_size)} values are left out: they do not fit into the message")
    return dict(message)


def _cut_texts(fields: Message) -> int:
    """Cut each text and list that is long; how many bytes that saves."""
    before = len(encode(fields))
    for name, value in fields.items():
        if len(encode(value)) > 2000:
            fields[name] = (
                value[:50] if isinstance(value, list) and len(encode(value[:50])) <= 2000 else str(value)[:500]
            )
    return before - len(encode(fields))


def _without(metadata: Message, gone: set[int]) -> Message:
    return {
        name: inner if is_leaf(inner) else _without(inner, gone)
        for name, inner in metadata.items()
        if id(inner) not in gone
    }


def leaves(metadata: Message, above: str = "") -> Iterable[tuple[str, Message]]:
    """Each value with its path (`group/name`)."""
    for name, inner in metadata.items():
        if is_leaf(inner):
            yield above + name, inner
        else:
            yield from leaves(inner, f"{above}{name}/")


def is_leaf(inner: Any) -> bool:
    """Whether this is a value and not a group."""
    return isinstance(inner, Mapping) and "value" in inner and not isinstance(inner["value"], Mapping)


@cache
def schema() -> Message:
    """The JSON Schema (draft 2020-12) of the message."""
    found: Message = json.loads(resources.files("scifish").joinpath("message.schema.json").read_text("utf-8"))
    return found


@cache
def _validator() -> Any:
    import jsonschema  # of the extra [ingest]: a machine that only records does without

    return jsonschema.Draft202012Validator(schema())


def check(message: Any) -> None:
    """Raises MessageError naming the first field that is wrong. Needs jsonschema."""
    errors = sorted(_validator().iter_errors(message), key=lambda error: list(map(str, error.absolute_path)))
    if errors:
        where = "/".join(map(str, errors[0].absolute_path)) or "message"
        raise MessageError(f"{where}: {errors[0].message[:300]}")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def decode(data: bytes) -> Message:
    """A checked message. MessageError if it is not JSON, or not of the schema."""
    try:
        message = json.loads(data, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise MessageError(f"not JSON: {error}") from error
    check(message)
    found: Message = message
    return found
