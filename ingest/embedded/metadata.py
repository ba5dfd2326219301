"""scientificMetadata: how it is stored, shown and merged."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

from ingest.scicat.si_values import to_si

Json = dict[str, Any]


class FailsOnRealServer(ValueError):
    """Metadata to which the real server answers 500, or over which it ends after it has answered 201.

    It ends over a null directly in scientificMetadata, and over an entry there whose `human_name` is no text, but an
    object or a list.
    """


_FAILING_NAMES = frozenset({"constructor", "_bsontype"})
_LOST_NAMES = frozenset(
    {
        *("prototype", "__proto__", "__defineGetter__", "__defineSetter__", "__lookupGetter__", "__lookupSetter__"),
        *("hasOwnProperty", "isPrototypeOf", "propertyIsEnumerable", "toLocaleString", "toString", "valueOf"),
    }
)
"""What every object of JavaScript has: the real server leaves it out without a word."""


def encode_key(key: str) -> str:
    """As the real server stores it: unchanged where it looks encoded, else encoded, also its dots."""
    return _encoded_key(key) if len(key) <= _SHORT else _encoded_key.__wrapped__(key)


def decode_key(key: str) -> str:
    """As v3 shows it."""
    return _decoded_key(key) if len(key) <= _SHORT else _decoded_key.__wrapped__(key)


# A beamline's datasets have the same keys again and again: they were a third of the time of a request.
_SHORT = 200


@lru_cache(maxsize=16_384)
def _encoded_key(key: str) -> str:
    return key if decode_key(key) != key else quote(key, safe="-_!~*'()").replace(".", "%2E")


@lru_cache(maxsize=16_384)
def _decoded_key(key: str) -> str:
    # JavaScript's decodeURIComponent decodes all or nothing.
    if "%" not in key or _BAD_ESCAPE.search(key):
        return key
    try:
        return unquote(key, errors="strict").replace("%2E", ".")
    except UnicodeDecodeError:
        return key


_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")


def stored(metadata: Mapping[str, Any]) -> Json:
    """What is kept of what a client sends: keys encoded, SI values added. Raises FailsOnRealServer."""
    kept = _kept(metadata)
    _check_entries(kept)
    return _encoded(_with_si(kept))


def merged(existing: Mapping[str, Any], patch: Mapping[str, Any]) -> Json:
    """RFC 7396 on stored metadata. SI values come from the patch alone, so that it must hold
    value and unit both, as on the real server. Raises as `stored`."""
    merge: Json = merge_patch(existing, _encoded(_with_si(_kept(patch))))
    _check_entries(merge)
    return merge


def _kept(metadata: Mapping[str, Any]) -> Json:
    """Without the names that the real server loses. Raises FailsOnRealServer."""
    for name in _FAILING_NAMES & metadata.keys():
        raise FailsOnRealServer(f"scientificMetadata: {name!r} is a 500 on the real server: use another name")
    return {
        name: _kept(value) if isinstance(value, Mapping) else value
        for name, value in metadata.items()
        if name not in _LOST_NAMES
    }


def _check_entries(metadata: Mapping[str, Any]) -> None:
    for key, value in metadata.items():
        if value is None:
            raise FailsOnRealServer(
                f"scientificMetadata: {key[:100]!r} is null; leave it out, or send {{'value': null}}"
            )
        if isinstance(value, Mapping) and isinstance(value.get("human_name"), Mapping | list):
            raise FailsOnRealServer(f"scientificMetadata: human_name in {key[:100]!r} is not a text: use another name")


def shown(metadata: Mapping[str, Any]) -> Json:
    """As v3 shows stored metadata: keys decoded. v4 shows them as they are stored."""
    return _renamed(metadata, decode_key)


def key_paths(metadata: Mapping[str, Any], above: str = "") -> Iterator[str]:
    """The paths of the values, keys decoded: `energy`, `group.gap`. A quantity is one value."""
    for key, value in metadata.items():
        path = above + decode_key(key)
        if isinstance(value, Mapping) and "unit" not in value and "u" not in value:
            yield from key_paths(value, f"{path}.")
        else:
            yield path


def texts(value: Any) -> Iterator[str]:
    """All text in a value, without the keys: what a text search finds."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for inner in value.values():
            yield from texts(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from texts(inner)


def merge_patch(target: Any, patch: Any) -> Any:
    """A JSON Merge Patch (RFC 7396)."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge_patch(result.get(key), value)
    return result


def _with_si(metadata: Mapping[str, Any]) -> Json:
    """valueSI and unitSI beside every quantity.

    What counts as one is the real server's rule: an object with a key that starts with `u` and
    one that starts with `v` (the last of each wins, those that end with `SI` don't count). What
    is in it is not looked at. Other objects are gone through, unless they have a `unit` or `u`.
    """
    result: Json = {}
    for key, value in metadata.items():
        if not isinstance(value, Mapping):
            result[key] = value
            continue
        unit, quantity = _last(value, "u"), _last(value, "v")
        if quantity and unit and isinstance(unit[0], str | list) and unit[0]:
            value_si, unit_si = to_si(quantity[0], unit[0])
            result[key] = {**value, "valueSI": value_si, "unitSI": unit_si}
        elif not (_there(value, "unit") or _there(value, "u")):
            result[key] = _with_si(value)
        else:
            result[key] = value
    return result


def _last(instance: Mapping[str, Any], letter: str) -> tuple[Any] | None:
    found = [value for key, value in instance.items() if key.startswith(letter) and not key.endswith("SI")]
    return (found[-1],) if found else None


def _there(instance: Mapping[str, Any], key: str) -> bool:
    return instance.get(key) not in (None, 0, False)  # "" counts as there


def _encoded(metadata: Mapping[str, Any]) -> Json:
    return _renamed(metadata, encode_key)


def _renamed(metadata: Mapping[str, Any], rename: Callable[[str], str]) -> Json:
    return {
        rename(key): _renamed(value, rename) if isinstance(value, dict) else value for key, value in metadata.items()
    }
