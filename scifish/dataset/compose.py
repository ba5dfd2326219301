"""Composes messages from the record of a dataset. Pure functions: no Tango, no disk, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from scifish.message import SCHEMA, Message, Metadata, Origin, as_metadata, is_leaf, iso, plain
from scifish.message.types import Annotation, Began, Changes, DatasetPlace, Ended, Ending, File, GivenFields, Image
from scifish.settings import Settings


@dataclass
class Observed:
    """What was observed around a dataset at its begin.

    `place` is what PathFixer says: proposalId, sampleId, sourceFolder, category. `values` are the
    configured attributes in the message's form, None until they are read; `warnings` say what
    could not be known; `pictures` are those attributes that are pictures.
    """

    place: DatasetPlace = field(default_factory=DatasetPlace)
    values: Metadata | None = None
    warnings: list[str] = field(default_factory=list)
    pictures: list[Image] = field(default_factory=list)

    def as_kept(self) -> Message:
        """As the spool stores it. `asdict` would copy each value, which takes long."""
        pictures = {"pictures": self.pictures} if self.pictures else {}
        return {"place": self.place, "values": self.values, "warnings": self.warnings, **pictures}


@dataclass
class Record:
    """All that is known of a dataset; its parts can be carried by JSON, so that the spool can keep them.

    `started` in seconds since 1970. `given` is what the program says (`as_given`): datasetName,
    proposalId, sampleId, sourceFolder, dataFormat, description, environment, scientificMetadata,
    and files: paths, or path, time and size. `ending` is None until it is over: status, endTime
    (seconds since 1970), points if they are counted. `single` is a dataset without a duration.

    A program that learns of a measurement long after its begin knows better than PathFixer where that
    was: `given["place"]`. And it may record one dataset again, when more is known of it: each recording
    has a `uuid` of its own, `given["dataset"]` is the dataset's, and `given["revision"]` says how often
    it was recorded before.
    """

    uuid: str
    started: float
    given: GivenFields
    single: bool = False
    observed: Observed = field(default_factory=Observed)
    ending: Ending | None = None

    @property
    def status(self) -> str:
        """The status of its end; "" before it has ended."""
        return str(self.ending["status"]) if self.ending is not None else ""

    @property
    def dataset(self) -> str:
        """The uuid of the dataset that is recorded."""
        return str(self.given.get("dataset") or self.uuid)

    @property
    def place(self) -> DatasetPlace:
        """Where it was measured: as the program knows it, else PathFixer's answer."""
        return self.given.get("place", self.observed.place)

    def text(self, name: str, default: str = "") -> str:
        """The field that the program gives, else the one of the place, else the default."""
        for source in cast(tuple[Message, Message], (self.given, self.place)):
            if source.get(name) not in (None, ""):
                return str(source[name])
        return default


TEXT_FIELDS = ("datasetName", "proposalId", "sampleId", "sourceFolder", "dataFormat", "description")


def as_given(fields: Mapping[str, Any], started: float, program: str) -> GivenFields:
    """The fields that a program gives, in the message's form and types: `given` of a record.

    This is the one place where they are normalised: everything later takes them as they are. `fields` has the
    message's names; its values may be anything. Long arrays are summarised here, before they cost time. Never raises:
    a value that JSON cannot carry costs only itself, and the `warnings` of the record name it.
    """
    problems: list[str] = []
    given: Message = {}
    for name, value in fields.items():
        if name == "scientificMetadata":
            given[name] = as_metadata(_metadata(value), program, iso(started), problems)
            continue
        wrong: list[str] = []
        found = plain(value, wrong)
        problems += [f"{name}: {problem}" for problem in wrong]
        if name == "environment":
            found = _environment(found)
        elif name in TEXT_FIELDS and found is not None:
            found = _text(found)
        given[name] = found
    # A warning lasts as long as the program gives the value, and no longer.
    return cast(GivenFields, given | ({"warnings": problems} if problems else {}))


def _text(value: Any) -> str:
    """A plain value as text, not longer than a text may be."""
    return value if isinstance(value, str) else str(plain(str(value)))


def _environment(given: Any) -> Message:
    """Plain values of the environment in the types of the schema."""
    environment: Message = {}
    for name, value in given.items() if isinstance(given, Mapping) else ():
        if value is None:
            continue
        if name in ("title", "user"):
            environment[name] = _text(value)
        elif name == "scanID":
            whole = isinstance(value, int) and not isinstance(value, bool)
            environment[name] = value if whole else _text(value)
        elif name in ("detectors", "motors"):
            environment[name] = [one if type(one) is str else _text(one) for one in as_list(value)]
        else:
            environment[name] = value
    return environment


def _metadata(value: Any) -> Mapping[Any, Any]:
    if isinstance(value, Mapping):
        return value
    empty = value is None or (isinstance(value, str | list | tuple) and not value)
    return {} if empty else {"scientificMetadata": value}


def ending(status: str, end: float, points: int | None) -> Ending:
    """The `ending` of a record; `end` in seconds since 1970, `points` None if nobody counts them."""
    found: Ending = {"status": status, "endTime": end}
    return found if points is None else {**found, "points": points}


def interrupted(record: Record, points: int | None, seen: float) -> Record:
    """The record of a dataset whose program was killed; `seen` is its last sign of life, in seconds since 1970."""
    return replace(record, ending=ending("interrupted", max(seen, record.started), points))


def began(record: Record, settings: Settings, origin: Origin) -> Began:
    return cast(Began, {**_common("began", record, settings, origin), **_body(record, origin)})


def ended(record: Record, files: list[File], settings: Settings, origin: Origin) -> Ended:
    """The message `ended`, or `snapshot` for a dataset without a duration. It is complete without `began`.

    `files` are described: path, time, size, and `error` for one that is not there.
    ValueError for a record without an ending.
    """
    end = record.ending
    if end is None:
        raise ValueError(f"dataset {record.uuid} has not ended")
    revision = record.given.get("revision")
    message = {
        **_common("snapshot" if record.single else "ended", record, settings, origin),
        **_body(record, origin),
        "status": end["status"],
        "startTime": iso(record.started),
        "endTime": iso(end["endTime"]),
        **({"numberOfPoints": end["points"]} if "points" in end else {}),
        "files": files,
        **({"revision": revision} if revision else {}),
    }
    return cast(Ended, message)


def annotation(
    uuid: str, changes: Changes, now: float, proposal: str, settings: Settings, origin: Origin
) -> Annotation:
    """A comment (text) or a rating (0 to 3, in halves) on the dataset of this uuid."""
    about = Record(uuid, now, {"proposalId": proposal})
    return cast(Annotation, {**_common("annotation", about, settings, origin), "annotation": changes})


def _common(kind: str, record: Record, settings: Settings, origin: Origin) -> Message:
    message: Message = {
        "schema": SCHEMA,
        "type": kind,
        "uuid": record.dataset,
        "beamline": settings.beamline,
        "proposalId": record.text("proposalId"),
        "creationTime": iso(record.started),
        "origin": origin,
    }
    if warnings := [*record.observed.warnings, *record.given.get("warnings", [])]:
        message["warnings"] = warnings
    return message


def _body(record: Record, origin: Origin) -> Message:
    environment = record.given.get("environment") or {}
    time = iso(record.started)
    metadata = _groups(record.observed.values or {})
    _add(metadata, _groups(record.given.get("scientificMetadata") or {}), origin["program"])
    return {
        "datasetName": record.text("datasetName", str(environment.get("title") or f"dataset {time}")),
        "sampleId": record.text("sampleId"),
        "sourceFolder": record.text("sourceFolder"),
        "dataFormat": record.text("dataFormat"),
        "description": record.text("description"),
        "environment": environment,
        "scientificMetadata": metadata,
    }


def as_list(given: Any) -> list[Any]:
    """The values as a list: a text or a mapping is one value, None is not a value."""
    if given is None:
        return []
    return list(given) if isinstance(given, list | tuple | set) else [given]


def _groups(metadata: Metadata) -> Metadata:
    """A copy to which groups can be added; its values are not copied."""
    return {name: inner if is_leaf(inner) else _groups(inner) for name, inner in metadata.items()}


def _add(metadata: Metadata, more: Metadata, program: str) -> None:
    """Merge the groups; a value whose name is taken gets the name of the program added to its own."""
    for name, inner in more.items():
        taken = metadata.get(name)
        if taken is None:
            metadata[name] = inner
        elif "value" not in taken and "value" not in inner:
            _add(taken, inner, program)
        else:
            metadata[f"{name} ({program})"] = inner
