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
"""Longer arrays are summarised; the property `MaxArraySize` sets another limit for attributes."""


MAX_TEXT_CHARACTERS = 20_000
"""Longer texts are cut, and say so."""


MAX_DEPTH = 30
"""Maximum nesting of dictionaries and lists; deeper ones are replaced by a text that says so."""


MAX_NESTED = 100_000
"""Maximum number of dictionaries and lists in one value that are deeper than `FREE_DEPTH`; a text replaces the rest."""


FREE_DEPTH = 3
"""Dictionaries and lists up to this depth are not counted: a list of files may have any length."""


MAX_SUMMARISED = 1_000_000
"""Longer lists (not arrays) are not summarised."""


MAX_ITERATED = 100_000
"""Maximum number of values taken from a set, a range, or any other iterable that is not a list."""


MAX_PROBLEMS_PER_VALUE = 20
"""Maximum number of problems reported for one value."""


MAX_BITS = 1023
"""Larger integers become hexadecimal text: they do not fit into a double, which JSON readers use."""


# ----------------------------------------------------------------------------- times


def iso(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC with milliseconds and Z. ValueError outside of the years 1 to 9999."""
    try:
        moment = dt.datetime.fromtimestamp(seconds, dt.UTC)
    except (OverflowError, OSError) as error:  # which one depends on the value and the C library
        raise ValueError(f"{seconds} seconds since 1970 cannot be written as a date: {error}") from error
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def iso_of(moment: Any) -> str:
    """A `datetime` (without a time zone: local time), seconds since 1970, or ISO text, as ISO 8601 in UTC.

    ISO text without an offset is UTC, as existing clients of SciFish write the times of files.
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
    """One value with its description. `more`: quality, error, end, min, max, mean, std, samples."""
    found: Message = {"value": value, "unit": unit, "human_name": human_name, "source": source, "time": time, **more}
    return cast(Value, found)


def plain(value: Any, problems: list[str] | None = None) -> Any:
    """Any value in the types of JSON: numpy, datetime, enum, bytes, NaN, sets, and other objects as text.

    Never raises. A part that cannot be read (an object without a text, a list that contains itself) is replaced by a
    text that says so; `problems` gets the same text.
    """
    return _Converter([] if problems is None else problems).plain(value)


class _Converter:
    """Converts one value recursively. It terminates, also if the value contains itself or is infinite."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        self._ancestors: set[int] = set()
        self._remaining = MAX_NESTED

    def plain(self, value: Any) -> Any:
        try:
            return self._plain(value)
        except Exception as error:  # noqa: BLE001 - foreign objects may raise anything: only they are lost
            return self.placeholder(value, f"cannot be read: {_reason(error)}")

    def placeholder(self, value: Any, why: str) -> str:
        """The text that replaces a value that cannot be read; it is added to `problems`."""
        text = f"({type(value).__name__}: {why})"
        if len(self.problems) < MAX_PROBLEMS_PER_VALUE:
            self.problems.append(text)
        return text

    def enter(self, value: Any, walk: Callable[[], Any], otherwise: Callable[[str], Any]) -> Any:
        """Call `walk` for the content of a container, or `otherwise` with the reason if that would not terminate."""
        self._remaining -= len(self._ancestors) > FREE_DEPTH
        if id(value) in self._ancestors:
            return otherwise("it contains itself")
        if len(self._ancestors) >= MAX_DEPTH:
            return otherwise(f"more than {MAX_DEPTH} deep")
        if self._remaining < 0:
            return otherwise(f"more than {MAX_NESTED} lists and dictionaries in each other")
        self._ancestors.add(id(value))
        try:
            return walk()
        finally:
            self._ancestors.discard(id(value))

    def _plain(self, value: Any) -> Any:
        if value is None or isinstance(value, bool):
            return value
        if isinstance(value, enum.Enum):
            return self.plain(value.name)
        if isinstance(value, str):
            return _text(value)
        if isinstance(value, int):
            # Python refuses to write so many decimal digits, because it is slow.
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
        if hasattr(value, "tolist"):  # numpy arrays and scalars

            def walk() -> Any:
                return self.plain(value.tolist())

        elif isinstance(value, Mapping):

            def walk() -> Any:
                return self._mapping(value)

        elif isinstance(value, Iterable) and not isinstance(value, Iterator):

            def walk() -> Any:
                return self._list(value)

        else:  # also an iterator: reading it would take its values from the program
            return _text(str(value))
        return self.enter(value, walk, lambda why: self.placeholder(value, why))

    def _mapping(self, value: Mapping[Any, Any]) -> Message:
        found: Message = {}
        for name, inner in list(value.items()):
            found[self.name(name, found)] = self.plain(inner)
        return found

    def _list(self, value: Iterable[Any]) -> list[Any]:
        found: list[Any] = []
        # Any other iterable may be infinite.
        most = len(value) if isinstance(value, list | tuple) else MAX_ITERATED
        for inner in value:
            if len(found) >= most:
                found.append(self.placeholder(value, f"more than {len(found)} values"))
                break
            found.append(self.plain(inner))
        return found

    def name(self, name: Any, taken: Message) -> str:
        """A key as text that is not in `taken`: 1 and "1" must not hide each other."""
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
    except Exception:  # noqa: BLE001 - the exception has no text
        return type(error).__name__


def _moment(value: dt.datetime) -> str:
    try:
        return iso_of(value)
    except (ValueError, OverflowError, OSError):  # in UTC it is before the year 1 or after 9999
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
    """The fields of a leaf for a value that may be an array: `{"value": ...}` if it has at most `limit` values.

    A longer array becomes its shape, min, max and mean with a null value. An array of texts is cut to its first `limit`
    texts; `shape` has the full size. Never raises, as `plain`.
    """
    return _array_fields(value, limit, _Converter([] if problems is None else problems))


def _array_fields(value: Any, limit: int, converter: _Converter) -> Message:
    try:
        shape = _shape(value)
        if math.prod(shape) > limit:
            summary = _summary(value) or {"value": converter.plain(list(itertools.islice(_flat(value), limit)))}
            return {"value": None, "shape": list(shape), **summary}
    except Exception as error:  # noqa: BLE001 - a list that contains itself, or an array of another library
        return {"value": converter.placeholder(value, f"cannot be read: {_reason(error)}")}
    return {"value": converter.plain(value)}


def _summary(value: Any) -> Message | None:
    """min, max and mean of the finite numbers of an array; None if there is none, or the list is too long."""
    if hasattr(value, "dtype") and value.dtype.kind in "uif":
        # numpy computes it: Python would need milliseconds for a detector's image.
        finite = value if value.dtype.kind != "f" else value[abs(value) < math.inf]
        if finite.size == 0:
            return None
        return {"min": finite.min().item(), "max": finite.max().item(), "mean": float(finite.mean(dtype="float64"))}
    flat = list(itertools.islice(_flat(value), MAX_SUMMARISED + 1))
    if len(flat) > MAX_SUMMARISED:  # the rest was not read
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
    """The values of nested lists in one sequence. RecursionError for a list that contains itself."""
    # Not recursive: each value would pass through one generator for each level, and a scan waits for it.
    stack = [iter((value,))]
    while stack:
        for inner in stack[-1]:
            if hasattr(inner, "tolist"):
                inner = inner.tolist()
            if isinstance(inner, list | tuple | range):
                stack.append(iter(inner))
                break
            yield inner
        else:
            stack.pop()
        if len(stack) > sys.getrecursionlimit():
            raise RecursionError("it contains itself, or is too deep")


def as_metadata(given: Mapping[Any, Any], source: str, time: str, problems: list[str] | None = None) -> Metadata:
    """Metadata of a program in the form of the message.

    Plain values become leaves with unit ""; a dictionary with "value" is a leaf, and missing fields are added; other
    dictionaries are groups. Never raises: a value that cannot be read is replaced, and `problems` names it.
    """
    found = [] if problems is None else problems
    return _MetadataConverter(source, time, found).group(given, "")


class _MetadataConverter:
    """Does the work of `as_metadata`."""

    def __init__(self, source: str, time: str, problems: list[str]) -> None:
        self._source = source
        self._time = time
        self._problems = problems
        self._converter = _Converter([])

    def group(self, given: Mapping[Any, Any], above: str) -> Metadata:
        metadata: Metadata = {}
        try:
            items = list(given.items())
        except Exception as error:  # noqa: BLE001 - another thread changes it, or a foreign mapping type
            self._problems.append(f"{above or 'scientificMetadata'}: cannot be read: {_reason(error)}")
            return metadata
        for key, value in items:
            name = self._converter.name(key, metadata)
            metadata[name] = self._entry(name, value, f"{above}/{name}" if above else name)
            self._problems += [
                f"{above}/{name}: {problem}" if above else f"{name}: {problem}" for problem in self._take_problems()
            ]
        return metadata

    def _take_problems(self) -> list[str]:
        problems, self._converter.problems = self._converter.problems, []
        return problems

    def _entry(self, name: str, value: Any, path: str) -> Message:
        def left_out(why: str) -> Message:
            found = self._leaf(name)
            return found | {"error": self._converter.placeholder(value, why)}

        def walk() -> Message:
            return self._given_leaf(name, value) if "value" in value else self.group(value, path)

        try:
            if isinstance(value, Mapping):
                found: Message = self._converter.enter(value, walk, left_out)
                return found
            return self._leaf(name) | _array_fields(value, MAX_ARRAY, self._converter)
        except Exception as error:  # noqa: BLE001 - foreign objects, see `plain`
            return left_out(f"cannot be read: {_reason(error)}")

    def _leaf(self, name: str) -> Message:
        return cast(Message, leaf(None, human_name=name, source=self._source, time=self._time))

    def _given_leaf(self, name: str, given: Mapping[Any, Any]) -> Message:
        """A leaf of the program, with missing fields added; a field of the wrong type is kept as `given_<name>`."""
        known: dict[str, Any] = {}
        for key, inner in list(given.items()):
            known[self._converter.name(key, known)] = inner
        value = known.pop("value")
        if isinstance(value, Mapping):  # the program meant a value, not a group
            value = json.dumps(self._converter.plain(value), ensure_ascii=False)
        found = self._leaf(name)
        for key in ("unit", "human_name", "source"):
            text = self._converter.plain(known.pop(key, None))
            if text not in (None, ""):
                found[key] = text if isinstance(text, str) else str(text)
        when = known.pop("time", None)
        shown = self._converter.plain(when)
        if moment := _known_time(when):
            found["time"] = moment
        elif shown not in (None, ""):
            found["given_time"] = shown
        for key, inner in known.items():
            shown = self._converter.plain(inner)
            if key in _TEXTS:
                found[key] = shown if isinstance(shown, str) else str(shown)
            else:
                found[f"given_{key}" if key in _COUNTS else key] = shown
        return found | _array_fields(value, MAX_ARRAY, self._converter)


_TEXTS = ("quality", "error")


_COUNTS = ("samples", "shape")


def _known_time(given: Any) -> str:
    """As `iso_of`; "" if it is not a time."""
    try:
        return iso_of(given) if given else ""
    except Exception:  # noqa: BLE001 - not a time: the caller keeps it as it is
        return ""


def leaves(metadata: Metadata, above: str = "") -> Iterable[tuple[str, Value]]:
    """All values of the metadata with their paths (`group/name`)."""
    for name, inner in metadata.items():
        if is_leaf(inner):
            yield above + name, inner
        else:
            yield from leaves(inner, f"{above}{name}/")


def is_leaf(inner: Any) -> bool:
    """Whether an item of metadata is a value, not a group."""
    return isinstance(inner, Mapping) and "value" in inner and not isinstance(inner["value"], Mapping)
