"""Turns values of any Python type into the values of a message: times, texts, numbers, arrays and metadata.

Every value that is too long, too deep or cannot be read is replaced by a text that says so.
"""

from __future__ import annotations

import datetime as dt
import enum
import itertools
import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, cast

from scifish.message.types import Message, Metadata, Value

SCHEMA = "scifish/1"


STATUSES = ("completed", "stopped", "aborted", "failed", "interrupted")


MAX_ARRAY = 64
"""Longer arrays are summarised where no other limit is given (`MaxArraySize`)."""


MAX_TEXT_CHARACTERS = 20_000
"""Characters of one text value; longer ones are cut, and say so."""


MAX_DEPTH = 30
"""Dictionaries and lists inside each other; what is deeper is left out, and says so."""


MAX_NESTED = 100_000
"""Dictionaries and lists that are deeper than `FREE_DEPTH` in one value; the rest is left out, and says so."""


FREE_DEPTH = 3
"""A list of files, each a dictionary, is not deep, and may be as long as it likes."""


MAX_SUMMARISED = 1_000_000
"""Lists (not arrays) that are longer are not summarised."""


MAX_ITERATED = 100_000
"""So much is taken of a set, a range, or anything else that gives its values one by one."""


MAX_PROBLEMS_PER_VALUE = 20
"""So many are told of one value."""


MAX_BITS = 1023
"""Larger integers are written as text: they do not fit into a double, which is what JSON's readers use."""


# ----------------------------------------------------------------------------- times


def iso(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC with milliseconds and Z. ValueError outside of the years 1 to 9999."""
    try:
        moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
    except (OverflowError, OSError) as error:  # which of them depends on how far outside, and on the C library
        raise ValueError(f"{seconds} seconds since 1970 are no time that can be written: {error}") from error
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


def leaf(value: Any, *, unit: str = "", human_name: str = "", source: str = "", time: str, **more: Any) -> Value:
    """One value with what is known of it. `more`: quality, error, end, min, max, mean, std, samples."""
    found: Message = {"value": value, "unit": unit, "human_name": human_name, "source": source, "time": time, **more}
    return cast(Value, found)


def plain(value: Any, problems: list[str] | None = None) -> Any:
    """What JSON can carry, of anything: numpy, datetime, enum, bytes, NaN, sets, objects (their text).

    Never raises. Where something cannot be had (an object without a text, a list that contains
    itself), a text in its place says so, and so does `problems`.
    """
    return _Converter([] if problems is None else problems).plain(value)


class _Converter:
    """One walk through what a program gave. It ends, also where that contains itself, or has no end."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        self._above: set[int] = set()
        self._left = MAX_NESTED

    def plain(self, value: Any) -> Any:
        try:
            return self._plain(value)
        except Exception as error:  # noqa: BLE001 - objects of others: whatever they raise costs only themselves
            return self.says(value, f"cannot be read: {_reason(error)}")

    def says(self, value: Any, why: str) -> str:
        """What stands in place of a value that cannot be had."""
        text = f"({type(value).__name__}: {why})"
        if len(self.problems) < MAX_PROBLEMS_PER_VALUE:
            self.problems.append(text)
        return text

    def inside(self, value: Any, walk: Callable[[], Any], otherwise: Callable[[str], Any]) -> Any:
        """Walk through what is in `value`, unless that would not end."""
        self._left -= len(self._above) > FREE_DEPTH
        if id(value) in self._above:
            return otherwise("it contains itself")
        if len(self._above) >= MAX_DEPTH:
            return otherwise(f"more than {MAX_DEPTH} deep")
        if self._left < 0:
            return otherwise(f"more than {MAX_NESTED} lists and dictionaries in each other")
        self._above.add(id(value))
        try:
            return walk()
        finally:
            self._above.discard(id(value))

    def _plain(self, value: Any) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, enum.Enum):
            return self.plain(value.name)
        if isinstance(value, str):
            return _text(value)
        if isinstance(value, int):
            # A decimal text of so many digits would take Python long, and is refused by it.
            return int(value) if value.bit_length() <= MAX_BITS else _text(hex(value))
        if isinstance(value, float):
            return _number(float(value))
        if isinstance(value, dt.datetime):
            return _moment(value)
        if isinstance(value, bytes | bytearray):
            return _text(bytes(value).decode("utf-8", "replace"))
        return self._of_parts(value)

    def _of_parts(self, value: Any) -> Any:
        walk: Callable[[], Any]
        if hasattr(value, "tolist"):  # numpy's arrays and scalars

            def walk() -> Any:
                return self.plain(value.tolist())

        elif isinstance(value, Mapping):

            def walk() -> Any:
                return self._mapping(value)

        elif isinstance(value, Iterable) and not isinstance(value, Iterator):

            def walk() -> Any:
                return self._list(value)

        else:  # also an iterator: it may be read only once, and is its program's
            return _text(str(value))
        return self.inside(value, walk, lambda why: self.says(value, why))

    def _mapping(self, value: Mapping[Any, Any]) -> Message:
        found: Message = {}
        for name, inner in list(value.items()):
            found[self.name(name, found)] = self.plain(inner)
        return found

    def _list(self, value: Iterable[Any]) -> list[Any]:
        found: list[Any] = []
        # Of what is not in memory as a list nobody knows whether it has an end.
        most = len(value) if isinstance(value, list | tuple) else MAX_ITERATED
        for inner in value:
            if len(found) >= most:
                found.append(self.says(value, f"more than {len(found)} values"))
                break
            found.append(self.plain(inner))
        return found

    def name(self, name: Any, taken: Message) -> str:
        """A key as text, so that two that read the same (1 and "1") do not hide each other."""
        text = first = name if isinstance(name, str) and name.isascii() and len(name) < 100 else self._key(name)
        count = 1
        while text in taken:
            count += 1
            text = f"{first} ({count})"
        return text

    def _key(self, name: Any) -> str:
        found = self.plain(name)
        return found if isinstance(found, str) else str(self.plain(str(found)))


def _reason(error: Exception) -> str:
    try:
        return f"{type(error).__name__}: {_text(str(error))[:200]}"
    except Exception:  # noqa: BLE001 - an exception without a text
        return type(error).__name__


def _moment(value: dt.datetime) -> str:
    try:
        return iso_of(value)
    except (ValueError, OverflowError, OSError):  # it is in UTC before the year 1, or after 9999
        return value.isoformat()


def _number(value: float) -> float | str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value


def _text(value: str) -> str:
    if len(value) > MAX_TEXT_CHARACTERS:
        value = f"{value[:MAX_TEXT_CHARACTERS]}... ({len(value)} characters)"
    # A lone surrogate (a file name that is not UTF-8) cannot be encoded.
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def array_fields(value: Any, limit: int = MAX_ARRAY, problems: list[str] | None = None) -> Message:
    """The fields of a leaf for a value that may be an array.

    `{"value": ...}` where it is short; else its shape, min, max and mean with a null value.
    Arrays of text are cut to their first `limit` entries and say so in `shape`. Never raises, as `plain`.
    """
    return _array_fields(value, limit, _Converter([] if problems is None else problems))


def _array_fields(value: Any, limit: int, carrier: _Converter) -> Message:
    try:
        shape = _shape(value)
        if math.prod(shape) > limit:
            summary = _summary(value) or {"value": carrier.plain(list(itertools.islice(_flat(value), limit)))}
            return {"value": None, "shape": list(shape), **summary}
    except Exception as error:  # noqa: BLE001 - a list that contains itself, or an array of another library
        return {"value": carrier.says(value, f"cannot be read: {_reason(error)}")}
    return {"value": carrier.plain(value)}


def _summary(value: Any) -> Message | None:
    """min, max and mean of the finite numbers in an array; None if it has none."""
    if hasattr(value, "dtype") and value.dtype.kind in "uif":
        # By numpy itself: a detector's image would keep the interpreter busy for milliseconds.
        finite = value if value.dtype.kind != "f" else value[abs(value) < math.inf]
        if finite.size == 0:
            return None
        return {"min": finite.min().item(), "max": finite.max().item(), "mean": float(finite.mean(dtype="float64"))}
    flat = list(itertools.islice(_flat(value), MAX_SUMMARISED + 1))
    if len(flat) > MAX_SUMMARISED:  # of those that are left out nobody knows
        return None
    numbers = [
        number
        for number in flat
        if isinstance(number, int | float) and not isinstance(number, bool) and math.isfinite(number)
    ]
    if not numbers:
        return None
    return {"min": min(numbers), "max": max(numbers), "mean": sum(numbers) / len(numbers)}


def _shape(value: Any) -> tuple[int, ...]:
    if hasattr(value, "shape"):
        return tuple(int(length) for length in value.shape)
    if isinstance(value, list | tuple | range):
        return (len(value), *(_shape(value[0]) if value else ()))
    return ()


def _flat(value: Any) -> Iterable[Any]:
    """RecursionError for a list that contains itself."""
    # Not by recursion: each value would go through as many generators as it is deep, and a program's call wait for it.
    within = [iter((value,))]
    while within:
        for inner in within[-1]:
            if hasattr(inner, "tolist"):
                inner = inner.tolist()
            if isinstance(inner, list | tuple | range):
                within.append(iter(inner))
                break
            yield inner
        else:
            within.pop()
        if len(within) > sys.getrecursionlimit():
            raise RecursionError("it contains itself, or is too deep")


def as_metadata(given: Mapping[Any, Any], source: str, time: str, problems: list[str] | None = None) -> Metadata:
    """Metadata as a program gives it, in the message's form.

    Plain values become leaves with unit ""; a dictionary with "value" is a leaf and gets what
    it lacks; any other dictionary is a group. Never raises: a value that cannot be had costs only
    itself, and `problems` says which.
    """
    found = [] if problems is None else problems
    return _MetadataConverter(source, time, found).group(given, "")


class _MetadataConverter:
    """The walk of `as_metadata`."""

    def __init__(self, source: str, time: str, problems: list[str]) -> None:
        self._source = source
        self._time = time
        self._problems = problems
        self._carrier = _Converter([])

    def group(self, given: Mapping[Any, Any], above: str) -> Metadata:
        metadata: Metadata = {}
        try:
            items = list(given.items())
        except Exception as error:  # noqa: BLE001 - another thread changes it, or a mapping of its own kind
            self._problems.append(f"{above or 'scientificMetadata'}: cannot be read: {_reason(error)}")
            return metadata
        for key, value in items:
            name = self._carrier.name(key, metadata)
            metadata[name] = self._entry(name, value, f"{above}/{name}" if above else name)
            self._problems += [
                f"{above}/{name}: {problem}" if above else f"{name}: {problem}" for problem in self._said()
            ]
        return metadata

    def _said(self) -> list[str]:
        said, self._carrier.problems = self._carrier.problems, []
        return said

    def _entry(self, name: str, value: Any, path: str) -> Message:
        def left_out(why: str) -> Message:
            found = self._leaf(name)
            return found | {"error": self._carrier.says(value, why)}

        def walk() -> Message:
            return self._given_leaf(name, value) if "value" in value else self.group(value, path)

        try:
            if isinstance(value, Mapping):
                found: Message = self._carrier.inside(value, walk, left_out)
                return found
            return self._leaf(name) | _array_fields(value, MAX_ARRAY, self._carrier)
        except Exception as error:  # noqa: BLE001 - objects of others, see `plain`
            return left_out(f"cannot be read: {_reason(error)}")

    def _leaf(self, name: str) -> Message:
        return cast(Message, leaf(None, human_name=name, source=self._source, time=self._time))

    def _given_leaf(self, name: str, given: Mapping[Any, Any]) -> Message:
        """A value as a program gives it, with what it lacks; what is of the wrong kind is kept under another key."""
        known: dict[str, Any] = {}
        for key, inner in list(given.items()):
            known[self._carrier.name(key, known)] = inner
        value = known.pop("value")
        if isinstance(value, Mapping):  # a value, and no group: so it was meant
            value = json.dumps(self._carrier.plain(value), ensure_ascii=False)
        found = self._leaf(name)
        for key in ("unit", "human_name", "source"):
            text = self._carrier.plain(known.pop(key, None))
            if text not in (None, ""):
                found[key] = text if isinstance(text, str) else str(text)
        when = known.pop("time", None)
        shown = self._carrier.plain(when)
        if moment := _known_time(when):
            found["time"] = moment
        elif shown not in (None, ""):
            found["given_time"] = shown
        for key, inner in known.items():
            shown = self._carrier.plain(inner)
            if key in _TEXTS:
                found[key] = shown if isinstance(shown, str) else str(shown)
            else:
                found[f"given_{key}" if key in _COUNTS else key] = shown
        return found | _array_fields(value, MAX_ARRAY, self._carrier)


_TEXTS = ("quality", "error")


_COUNTS = ("samples", "shape")


def _known_time(given: Any) -> str:
    """As `iso_of`; "" where that is no time."""
    try:
        return iso_of(given) if given else ""
    except Exception:  # noqa: BLE001 - no time: it is kept as it was given
        return ""


def leaves(metadata: Metadata, above: str = "") -> Iterable[tuple[str, Value]]:
    """Each value with its path (`group/name`)."""
    for name, inner in metadata.items():
        if is_leaf(inner):
            yield above + name, inner
        else:
            yield from leaves(inner, f"{above}{name}/")


def is_leaf(inner: Any) -> bool:
    """Whether this is a value and not a group."""
    return isinstance(inner, Mapping) and "value" in inner and not isinstance(inner["value"], Mapping)
