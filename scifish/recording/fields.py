"""What a program says of a dataset: it sets plain attributes, as it likes and when it likes.

They are read from the program's own thread, and each second from another, so that what a killed
program had said is on disk.
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
    """The fields of the dataset. What is left empty is taken from PathFixer where it knows.

    `scientificMetadata` holds plain values, `{"value", "unit"}`, and dictionaries of these.
    `files` holds paths, or `{"path", "time", "size"}` with time in UTC (ISO 8601) and size in bytes.
    What a program sets here under another name is recorded with the metadata.
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
    """The measurement: its title, its number, its detectors; and what a program sets under another name."""

    title: Any = ""
    scanID: Any = None
    detectors: Any = field(default_factory=list)


DATASET_FIELDS = tuple(one.name for one in fields(ScicatData))

ENVIRONMENT_FIELDS = ("title", "scanID", "detectors", "motors", "user")
"""What is of the environment, also where a program sets it on `scicat_data`, as early versions of contrast do."""

_unknown: set[str] = set()
"""Names that were told in the log: once for each run, and not with each dataset."""


class DatasetFields:
    """Of one dataset. The program may put anything in the place of both objects, too."""

    def __init__(self, datasetName: Any = "") -> None:
        self.scicat_data: Any = ScicatData(datasetName=datasetName)
        self.environment_data: Any = EnvironmentData()
        self._last = self.now()

    def now(self) -> Message:
        """All of it, in a copy that no longer changes. For the program's own thread. Never raises."""
        for data in (self.scicat_data, self.environment_data):
            _read_iterators(data)
        self._last = self._read()
        return self._last

    def latest(self) -> Message | None:
        """As `now`, for any thread; None where nothing has changed since it was last asked for, by either."""
        before, found = self._last, self._read()
        if _same(found, before):
            return None
        self._last = found
        return found

    def changed(self) -> list[str]:
        """The names of what has changed since it was last asked for."""
        before, found = self._last, self._read()
        return [name for name in found if name not in before or not _same(found[name], before[name])]

    def _read(self) -> Message:
        environment = _fields(self.environment_data, "environment_data")
        said: Message = {}
        more: Message = {}
        for name, value in _fields(self.scicat_data, "scicat_data").items():
            if name in DATASET_FIELDS:
                said[name] = value
            elif name in ENVIRONMENT_FIELDS:
                environment[name] = value if _empty(environment.get(name)) else environment[name]
            else:
                _tell(name)
                more[name] = value
        if more:
            said["scientificMetadata"] = _with_more(said.get("scientificMetadata"), more)
        return said | {"environment": environment}


def _fields(data: Any, name: str) -> Message:
    """What is set, in a copy; `data` is an object with attributes, or a dictionary in its place."""
    if data is None:
        return {}
    try:
        found = dict(data) if isinstance(data, Mapping) else dict(vars(data))
    except Exception:  # noqa: BLE001 - a text, a list, an object of its own kind: it is recorded as one value
        found = {name: data}
    return {
        key if isinstance(key, str) else str(plain(key)): _copy(value)
        for key, value in found.items()
        # An iterator can be read only once: `now` has made a list of it, and another thread leaves it alone.
        if not (value is None or (isinstance(value, str) and not value) or isinstance(value, Iterator))
    }


def _empty(value: Any) -> bool:
    return value is None or (isinstance(value, str | list | tuple) and not value)


def _copy(value: Any) -> Any:
    try:
        return _copied(value, {})
    except Exception:  # noqa: BLE001 - keys of a kind of their own: what is wrong with them is told where it is carried
        return value


def _copied(value: Any, memo: dict[int, Any], depth: int = 0) -> Any:
    """Dictionaries and lists are copied, all else is as it is. `memo`: one that contains itself is copied once."""
    if type(value) not in (dict, list) or depth > MAX_DEPTH:
        return value
    if id(value) not in memo:
        # Of a plain dictionary or list this is done in one go, whatever other threads do.
        copy = memo[id(value)] = value.copy()
        for key, inner in copy.items() if type(copy) is dict else enumerate(copy):
            copy[key] = _copied(inner, memo, depth + 1)
    return memo[id(value)]


def _read_iterators(data: Any) -> None:
    """A field that was given as an iterator (`map`, a generator) becomes a list: it can be read only once."""
    if not isinstance(data, dict) and not hasattr(data, "__dict__"):
        return  # a text, a number: there is none in it
    try:
        fields = data if isinstance(data, dict) else vars(data)
        for name, value in list(fields.items()):
            if isinstance(value, Iterator):
                fields[name] = list(itertools.islice(value, MAX_ITERATED))
                if len(fields[name]) == MAX_ITERATED:
                    log.warning("SciFish: only the first %d of %s are taken", MAX_ITERATED, name)
    except Exception as error:  # noqa: BLE001 - a generator of the program, whatever it raises
        log.warning("SciFish: an iterator could not be read: %s", plain(error))


def _with_more(metadata: Any, more: Message) -> Message:
    found = (
        dict(metadata) if type(metadata) is dict else ({"scientificMetadata": metadata} if metadata is not None else {})
    )
    for name, value in more.items():
        found[f"{name} (scicat_data)" if name in found else name] = value
    return found


def _tell(name: str) -> None:
    if name not in _unknown:
        _unknown.add(name)
        log.warning("SciFish: scicat_data has no field %r: it is recorded in scientificMetadata", plain(name))


_PLAIN = (str, bytes, bool, int, float, complex, dt.date, dt.time, dt.timedelta)


def _same(one: Any, other: Any) -> bool:
    """Whether nothing has changed. Objects and arrays are the same if they are the same object."""
    try:
        return _equal(one, other, set())
    except Exception:  # noqa: BLE001 - keys that cannot be compared, for one: then it is kept anew
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
    seen.add((id(one), id(other)))  # what contains itself, or the same thing often
    if type(one) is dict:
        return one.keys() == other.keys() and all(_equal(one[key], other[key], seen) for key in one)
    return all(_equal(mine, theirs, seen) for mine, theirs in zip(one, other, strict=True))
