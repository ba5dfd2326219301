"""The fields and metadata values that the catalogue has, for columns and filters.

No Qt here. Call it from a thread: reading may be slow.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

from ingest.scicat import SciCat, SciCatError
from scifish.message import is_leaf
from taurus_widgets.scanlog.data.columns import (
    Json,
    LogColumn,
    column_of,
    default_columns,
    further_columns,
    group_name,
    key_of,
    leaf_text,
    line,
    path_of,
)
from taurus_widgets.scanlog.data.conditions import NamedValue
from taurus_widgets.scanlog.data.pages import checked
from taurus_widgets.scanlog.data.query import metadata_field

NEWEST_DATASETS = 40
"""Number of datasets that are read with all fields."""

MAX_KEY_DATASETS, KEY_DATASETS_PER_CALL = 400, 50
"""Number of datasets whose metadata names are read by SciCat's metadataKeys, in total and per call of a search.

One answer has a hundred names at most.
"""

SEARCH_ROUNDS, NAMES_PER_ROUND, DATASETS_PER_ROUND = 3, 10, 5
"""A search for names without example: number of rounds, names in each round, and datasets read for them."""

MAX_NAME_DOTS = 3
"""Number of dots in a path that may be part of a name; any further dot separates two names."""

_INTERNAL = frozenset({"_id", "__v", "id", "scientificMetadata"})


@dataclass(frozen=True)
class AvailableField:
    """One field or metadata value: the name of its column, and one of its values as an example."""

    key: str
    group: str
    name: str
    unit: str = ""
    example: str = ""
    numeric: bool | None = None

    @property
    def known(self) -> NamedValue:
        return NamedValue(self.key, self.name, self.unit, self.numeric)

    @property
    def words(self) -> str:
        """The text that a search matches."""
        return f"{self.group} {self.name} {self.unit} {' '.join(path_of(self.key)) or self.key}".casefold()


@dataclass(frozen=True)
class AvailableFields:
    """The fields by key, group by group; and the beamline of the datasets, "" if there are several."""

    found: Mapping[str, AvailableField] = field(default_factory=dict)
    beamline: str = ""

    def with_keys(self, keys: Iterable[str]) -> AvailableFields:
        """A copy with the results of `metadata_keys` added, in which each dot separates two names."""
        more = {found.key: found for found in map(_by_name, self.unknown(keys)) if found is not None}
        return AvailableFields({**self.found, **more}, self.beamline)

    def unknown(self, keys: Iterable[str]) -> list[str]:
        """The results of `metadata_keys` that are not among these fields."""
        seen = {".".join(path_of(key)) for key in self.found}
        return [key for key in keys if unquote(key) not in seen and key not in seen]


DATASET_GROUP = "Dataset"
"""The group of a dataset's own fields."""


def default_fields() -> AvailableFields:
    """The fields that are available before the catalogue has been read."""
    return AvailableFields({column.key: _of_column(column) for column in [*default_columns(), *further_columns()]})


def read_newest(scicat: SciCat, proposal: str = "") -> AvailableFields:
    """The fields of the newest datasets. Raises SciCatError."""
    # In a list it stays a text: a single number like 2025-1 would be converted into a date.
    where = {"proposalIds": {"$in": [proposal]}} if proposal else None
    datasets = scicat.datasets(where, None, "creationTime:desc", NEWEST_DATASETS)
    if not isinstance(datasets, list):
        raise SciCatError("GET /api/v3/datasets", 200, "the answer is not a list of datasets")
    return gathered([dataset for dataset in datasets if isinstance(dataset, dict)])


def metadata_keys(scicat: SciCat, proposal: str = "", containing: str = "") -> list[str]:
    """The dotted paths that contain a text, as SciCat's `metadataKeys` returns them. Raises SciCatError.

    They are filtered here: with a `metadataKey` the real server answers 500.
    """
    fields: Json = {"proposalIds": [proposal]} if proposal else {}
    found: dict[str, None] = {}
    step = KEY_DATASETS_PER_CALL if containing else MAX_KEY_DATASETS
    for skip in range(0, MAX_KEY_DATASETS, step):
        limits = {"limit": step, "skip": skip, "order": "creationTime:desc"}
        answer = scicat.call("GET", "/api/v3/datasets/metadataKeys", params={"fields": fields, "limits": limits})
        found.update(dict.fromkeys(key for key in answer or [] if isinstance(key, str)))
    return [key for key in found if containing.casefold() in unquote(key).casefold()]


def search(scicat: SciCat, catalogue: AvailableFields, proposal: str = "", containing: str = "") -> AvailableFields:
    """`catalogue` with the metadata whose names contain a text, including older datasets. Raises SciCatError.

    A name may contain a dot, and `metadataKeys` does not report which dots belong to a name. So datasets with the value
    are read; they also have the unit and an example.
    """
    keys = metadata_keys(scicat, proposal, containing)
    found = dict(catalogue.found)
    hopeless: set[str] = set()
    for _round in range(SEARCH_ROUNDS):
        unknown = [key for key in AvailableFields(found).unknown(keys) if key not in hopeless][:NAMES_PER_ROUND]
        having = [{metadata_field(path): {"$exists": True}} for key in unknown for path in _paths(key)]
        if not having:
            break
        # SciCat overwrites a top-level $or unless an administrator asks, and sorts only by fields that it returns.
        fields = ["pid", "creationTime", "scientificMetadata"]
        datasets = scicat.datasets({"$and": [{"$or": having}]}, fields, "creationTime:desc", DATASETS_PER_ROUND)
        for dataset in checked(datasets):
            _gather(dataset.get("scientificMetadata"), (), found)
        if not datasets:
            hopeless.update(unknown)
    return AvailableFields(found, catalogue.beamline).with_keys(keys)


def _paths(key: str) -> list[tuple[str, ...]]:
    """All paths that a dotted path may mean, the usual one first: each dot separates two names or belongs to a name."""
    parts = [unquote(part) for part in key.split(".")]
    dots = range(min(len(parts) - 1, MAX_NAME_DOTS))
    paths = []
    for chosen in range(2 ** len(dots)):
        path = parts[:1]
        for place, part in enumerate(parts[1:]):
            if chosen >> place & 1:
                path[-1] += f".{part}"
            else:
                path.append(part)
        paths.append(tuple(path))
    return [path for path in paths if all(path)]


def gathered(datasets: Sequence[Json]) -> AvailableFields:
    """The fields of these datasets, those of the first dataset first."""
    first = datasets[0] if datasets else {}
    found = {column.key: _of_column(column, column.text(first)) for column in [*default_columns(), *further_columns()]}
    for dataset in datasets:
        for key, value in dataset.items():
            if key not in found and key not in _INTERNAL and "/" not in key:
                found[key] = _of_column(column_of(key), column_of(key).text(dataset), value)
    for dataset in datasets:
        _gather(dataset.get("scientificMetadata"), (), found)
    places = {line(dataset.get("creationLocation")) for dataset in datasets}
    return AvailableFields(found, places.pop() if len(places) == 1 else "")


def _gather(group: Any, above: tuple[str, ...], found: dict[str, AvailableField]) -> None:
    if not isinstance(group, Mapping):
        return
    for name, inner in group.items():
        path = (*above, str(name))
        if not all(path):
            continue
        if isinstance(inner, Mapping) and not (is_leaf(inner) or {"value", "unit"} <= inner.keys()):
            _gather(inner, path, found)
            continue
        key = key_of(path)
        # A value that could not be read has no unit and no type: a later one may have them.
        if key not in found or (found[key].numeric is None and not found[key].unit):
            found[key] = _of_leaf(path, inner)


def _of_leaf(path: Sequence[str], leaf: Any) -> AvailableField:
    inner: Mapping[str, Any] = leaf if isinstance(leaf, Mapping) else {"value": leaf}
    value = inner.get("value")
    return AvailableField(
        key_of(path),
        " / ".join(map(group_name, path[:-1])),
        line(inner.get("human_name")) or line(path[-1]),
        line(inner.get("unit")),
        leaf_text(leaf),
        _numeric(value),
    )


def _of_column(column: LogColumn, example: str = "", value: Any = None) -> AvailableField:
    return AvailableField(column.key, DATASET_GROUP, column.title, example=example, numeric=_numeric(value))


def _numeric(value: Any) -> bool | None:
    if isinstance(value, str):
        return False
    return True if isinstance(value, int | float) and not isinstance(value, bool) else None


def _by_name(key: str) -> AvailableField | None:
    """The field of a dotted path. Which dots belong to a name is unknown, so fields of datasets take precedence."""
    path = [unquote(part) for part in key.split(".")]
    return _of_leaf(path, None) if all(path) else None


def proposals(scicat: SciCat) -> list[str]:
    """The proposals that have datasets, the latest first. Raises SciCatError."""
    answer = scicat.call("GET", "/api/v3/datasets/fullfacet", params={"fields": {}, "facets": ["proposalIds"]})
    counted = answer[0].get("proposalIds") if isinstance(answer, list) and answer else None
    found = [one.get("_id") for one in counted or [] if isinstance(one, dict)]
    return sorted({line(name) for name in found if isinstance(name, str) and name}, reverse=True)
