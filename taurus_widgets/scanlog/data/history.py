"""What was changed in a dataset, by whom and when, as far as SciCat reports it. No Qt here.

Where SciCat stores it depends on the server's version:

- until the summer of 2025, and again since October 2025 (backend #2282), in v3's `history` of the dataset: entries of
  `{updatedAt, updatedBy, FIELD: {previousValue, currentValue}}`;
- since the summer of 2025 (backend #1939) in `GET /api/v3/history`, for administrators and
  HISTORY_ACCESS_DATASET_GROUPS: `{items: [{timestamp, user, operation, before, after}], totalCount}`, where before and
  after are whole documents, or only the changed parts, depending on the server's TRACKABLE_STRATEGY.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from ingest.scicat import NotAllowed, SciCat, SciCatError
from scifish.message import is_leaf
from taurus_widgets.scanlog.data.columns import Json, line

MAX_CHANGES = 100
"""Maximum number of changes that are read."""

_STAMPS = frozenset({"_id", "id", "__v", "updatedAt", "updatedBy", "createdAt", "createdBy", "history"})
_MADE_BY_SCICAT = frozenset({"valueSI", "unitSI"})


@dataclass(frozen=True)
class FieldChange:
    """`path` has the names from the dataset down, without `scientificMetadata`. None means that there is no value."""

    path: tuple[str, ...]
    before: Any
    after: Any


@dataclass(frozen=True)
class DatasetChange:
    """All changes of one write. `time` is SciCat's text, `user` may be ""."""

    time: str
    user: str
    fields: tuple[FieldChange, ...]


@dataclass(frozen=True)
class DatasetHistory:
    """The changes, newest first. `total` may be more than were read; `note` has the reason if there are none."""

    changes: tuple[DatasetChange, ...] = ()
    total: int = 0
    note: str = ""


NO_CHANGES_KEPT = "This catalogue does not report single changes"
NO_CHANGES_SHOWN = "SciCat shows single changes to administrators only, or to groups that are given the right"


def history_in(dataset: Json) -> DatasetHistory | None:
    """The history in the dataset itself; None if it has none, so that the server must be asked."""
    changes_there = dataset.get("history")
    if not isinstance(changes_there, list):
        return None
    changes = [_from_dataset(entry) for entry in changes_there if isinstance(entry, Mapping)]
    return _history(changes, len(changes))


def read_history(scicat: SciCat, pid: str) -> DatasetHistory:
    """The history from the server. For another thread. Raises SciCatError, but not if the server has no history."""
    wanted = {"filter": {"subsystem": "Dataset", "documentId": pid}, "limit": str(MAX_CHANGES)}
    try:
        answer = scicat.call("GET", "/api/v3/history", params=wanted)
    except NotAllowed:
        return DatasetHistory(note=NO_CHANGES_SHOWN)
    except SciCatError as error:
        if error.temporary:
            raise
        return DatasetHistory(note=NO_CHANGES_KEPT)
    items = answer.get("items") if isinstance(answer, Mapping) else None
    if not isinstance(items, list):
        return DatasetHistory(note=NO_CHANGES_KEPT)
    changes = [_from_server(entry) for entry in items if isinstance(entry, Mapping)]
    total = answer.get("totalCount")
    return _history(changes, total if isinstance(total, int) else len(changes))


def _history(changes: Sequence[DatasetChange], total: int) -> DatasetHistory:
    shown = sorted((change for change in changes if change.fields), key=lambda change: change.time, reverse=True)
    hidden = len(changes) - len(shown)
    return DatasetHistory(tuple(shown), max(total - hidden, len(shown)))


def _from_dataset(entry: Mapping[str, Any]) -> DatasetChange:
    fields: list[FieldChange] = []
    for name, change in entry.items():
        if isinstance(change, Mapping) and ("previousValue" in change or "currentValue" in change):
            # Each of them has only the changed values, so a missing value means nothing.
            fields += _differences((str(name),), change.get("previousValue"), change.get("currentValue"))
    return DatasetChange(line(entry.get("updatedAt")), line(entry.get("updatedBy")), tuple(fields))


def _from_server(entry: Mapping[str, Any]) -> DatasetChange:
    before, after = entry.get("before"), entry.get("after")
    if not isinstance(before, Mapping) or not isinstance(after, Mapping):
        before, after = {}, {}
    return DatasetChange(line(entry.get("timestamp")), line(entry.get("user")), tuple(_differences((), before, after)))


def _differences(path: tuple[str, ...], before: Any, after: Any) -> Iterator[FieldChange]:
    both = isinstance(before, Mapping) and isinstance(after, Mapping)
    if not both or is_leaf(before) or is_leaf(after):
        if _plain(before) != _plain(after):
            yield FieldChange(_shown(path), before, after)
        return
    for name in dict.fromkeys([*before, *after]):
        if (len(path) == 0 and name in _STAMPS) or name in _MADE_BY_SCICAT:
            continue
        yield from _differences((*path, str(name)), before.get(name), after.get(name))


def _plain(value: Any) -> Any:
    if is_leaf(value):
        return {name: inner for name, inner in value.items() if name not in _MADE_BY_SCICAT and inner is not None}
    return value


def _shown(path: tuple[str, ...]) -> tuple[str, ...]:
    """The path for people: SciCat stores the keys of metadata URL-encoded."""
    names = path[1:] if len(path) > 1 and path[0] == "scientificMetadata" else path
    return tuple(line(unquote(name)) for name in names)
