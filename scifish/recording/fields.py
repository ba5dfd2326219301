"""The fields of a dataset that a program sets: plain attributes, at any time and with any values.

They are read by the program's own thread, and once a second by another one, so that the fields of a killed
program are on disk.
"""

from __future__ import annotations

import datetime as dt
import itertools
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from scifish.message import MAX_DEPTH, MAX_ITERATED, Message, plain

log = logging.getLogger(__name__)


@dataclass
class ScicatData:
    """The fields of the dataset. PathFixer fills in proposal, sample and folder where they are empty.

    `scientificMetadata` holds plain values, `{"value", "unit"}`, and dictionaries of these.
    `files` holds paths, or `{"path", "time", "size"}` with time in UTC (ISO 8601) and size in bytes.
    Attributes with other names are recorded with the metadata.
    """

    datasetName: Any = ""
    proposalId: Any = ""
    sampleId: Any = ""
    sourceFolder: Any = ""
    dataFormat: Any = ""
    description: Any = ""
    scientificMetadata: dict[str, Any] = field(default_factory=dict)
    files: list[Any] = field(default_factory=list)


@dataclass
class EnvironmentData:
    """The measurement: title, number, detectors, and attributes with any other names."""

    title: Any = ""
    scanID: Any = None
    detectors: Any = field(default_factory=list)


DATASET_FIELDS = tuple(one.name for one in fields(ScicatData))

ENVIRONMENT_FIELDS = ("title", "scanID", "detectors", "motors", "user")
"""Fields of the environment. A program may also set them on `scicat_data`, as early versions of contrast do."""

_warned: set[str] = set()
"""Unknown names that are in the log already: one warning for each run of the program."""


class DatasetFields:
    """The fields of one dataset. The program may also replace both objects by anything."""

    def __init__(self, datasetName: Any = "") -> None:
        self.scicat_data: Any = ScicatData(datasetName=datasetName)
        self.environment_data: Any = EnvironmentData()
        self._last = self.now()

    def now(self) -> Message:
        """All fields, as a copy that no longer changes. For the program's own thread. Never raises."""
        for data in (self.scicat_data, self.environment_data):
            _read_iterators(data)
        self._last = self._read()
        return self._last

    def latest(self) -> Message | None:
        """As `now`, for any thread; None if nothing has changed since the last call of either."""
        before, found = self._last, self._read()
        if _same(found, before):
            return None
        self._last = found
        return found

    def changed(self) -> list[str]:
        """The names of the fields that have changed since the last call of `now` or `latest`."""
        before, found = self._last, self._read()
        return [name for name in found if name not in before or not _same(found[name], before[name])]

    def _read(self) -> Message:
        environment = _fields(self.environment_data, "environment_data")
        given: Message = {}
        more: Message = {}
        for name, value in _fields(self.scicat_data, "scicat_data").items():
            if name in DATASET_FIELDS:
                given[name] = value
            elif name in ENVIRONMENT_FIELDS:
                environment[name] = value if _empty(environment.get(name)) else environment[name]
            else:
                _warn_unknown(name)
                more[name] = value
        if more:
            given["scientificMetadata"] = _with_more(given.get("scientificMetadata"), more)
        return given | {"environment": environment}


def _fields(data: Any, name: str) -> Message:
    """A copy of the fields that are set; `data` is an object with attributes, or a dictionary."""
    if data is None:
        return {}
    try:
        found = dict(data) if isinstance(data, Mapping) else dict(vars(data))
    except Exception:  # noqa: BLE001 - a text, a list, any object: it is recorded as one value
        found = {name: data}
    return {
        key if isinstance(key, str) else str(plain(key)): _copy(value)
        for key, value in found.items()
        # An iterator can be read only once: `now` makes a list of it, and other threads do not touch it.
        if not (value is None or (isinstance(value, str) and not value) or isinstance(value, Iterator))
    }


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | list | tuple) and not value)


def _copy(value: Any) -> Any:
    try:
        return _copied(value, {})
    except Exception:  # noqa: BLE001 - unusual keys: `as_given` reports them
        return value


def _copied(value: Any, memo: dict[int, Any], depth: int = 0) -> Any:
    """Copies of dictionaries and lists; other values as they are. `memo`: each object is copied once."""
    if type(value) not in (dict, list) or depth > MAX_DEPTH:
        return value
    if id(value) not in memo:
        # For a plain dictionary or list this is atomic, whatever other threads do.
        copy = memo[id(value)] = value.copy()
        for key, inner in copy.items() if type(copy) is dict else enumerate(copy):
            copy[key] = _copied(inner, memo, depth + 1)
    return memo[id(value)]


def _read_iterators(data: Any) -> None:
    """Replace a field that is an iterator (`map`, a generator) by a list: it can be read only once."""
    if not isinstance(data, dict) and not hasattr(data, "__dict__"):
        return  # a text or a number has no fields
    try:
        fields = data if isinstance(data, dict) else vars(data)
        for name, value in list(fields.items()):
            if isinstance(value, Iterator):
                fields[name] = list(itertools.islice(value, MAX_ITERATED))
                if len(fields[name]) == MAX_ITERATED:
                    log.warning("SciFish: only the first %d values of %s are recorded", MAX_ITERATED, name)
    except Exception as error:  # noqa: BLE001 - a generator of the program, whatever it raises
        log.warning("SciFish: an iterator could not be read: %s", plain(error))


def _with_more(metadata: Any, more: Message) -> Message:
    found = (
        dict(metadata) if type(metadata) is dict else ({"scientificMetadata": metadata} if metadata is not None else {})
    )
    for name, value in more.items():
        found[f"{name} (scicat_data)" if name in found else name] = value
    return found


def _warn_unknown(name: str) -> None:
    if name not in _warned:
        _warned.add(name)
        log.warning("SciFish: scicat_data has no field %r; the value is recorded in scientificMetadata", plain(name))


_PLAIN = (str, bytes, bool, int, float, complex, dt.date, dt.time, dt.timedelta)


def _same(one: Any, other: Any) -> bool:
    """Whether nothing has changed. Objects and arrays are compared by identity."""
    try:
        return _equal(one, other, set())
    except Exception:  # noqa: BLE001 - keys that cannot be compared, for example: it counts as changed
        return False


def _equal(one: Any, other: Any, seen: set[tuple[int, int]]) -> bool:
    if one is other or (id(one), id(other)) in seen:
        return True
    if type(one) is not type(other):
        return False
    if type(one) not in (dict, list, tuple):
        return isinstance(one, _PLAIN) and bool(one == other)
    if len(one) != len(other):
        return False
    seen.add((id(one), id(other)))  # an object that contains itself, or the same object several times
    if type(one) is dict:
        return one.keys() == other.keys() and all(_equal(one[key], other[key], seen) for key in one)
    return all(_equal(mine, theirs, seen) for mine, theirs in zip(one, other, strict=True))
