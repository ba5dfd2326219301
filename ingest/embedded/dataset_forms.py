"""The forms of a dataset: how it is stored (as in v4), and how v3 takes and shows it."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from ingest.embedded import metadata

Json = dict[str, Any]

PID_PREFIX = "PID.SAMPLE.PREFIX"
"""What the real server puts before a pid of its own making, unless it is configured otherwise."""

V3_NAMES = {
    "proposalId": "proposalIds",
    "sampleId": "sampleIds",
    "instrumentId": "instrumentIds",
    "principalInvestigator": "principalInvestigators",
    "investigator": "principalInvestigators",
}
"""v3 has one of each, as text; what is stored, and v4, has a list."""

_EMPTY: Json = {
    "size": 0,
    "packedSize": 0,
    "numberOfFiles": 0,
    "numberOfFilesArchived": 0,
    "isPublished": False,
    "classification": "IN=medium,AV=low,CO=low",
    "accessGroups": [],
    "keywords": [],
    "techniques": [],
    "sharedWith": [],
    "relationships": [],
    "proposalIds": [],
    "sampleIds": [],
    "instrumentIds": [],
    "principalInvestigators": [],
    "inputDatasets": [],
    "usedSoftware": [],
}


RESET_TOTALS: Json = {"size": 0, "packedSize": 0, "numberOfFiles": 0}
"""What a PATCH of v4 sets where it does not carry it: the real server's form of it has these defaults."""


def created(fields: Mapping[str, Any], version: str) -> Json:
    """The document of a new dataset with the fields that were sent, in their stored form.

    `version` is "v3" or "v4". Raises FailsOnRealServer.
    """
    document = _EMPTY | {name: value for name, value in fields.items() if value is not None}
    document.setdefault("pid", f"{PID_PREFIX}/{uuid.uuid4()}")
    document.setdefault("version", version)
    document.setdefault("datasetName", "/".join(document["sourceFolder"].split("/")[-2:]))
    document["_id"] = document["pid"]
    document["scientificMetadata"] = metadata.stored(document.get("scientificMetadata", {}))
    return document


def from_v3(fields: Mapping[str, Any]) -> Json:
    """Fields as v3 takes them, under the names and in the form in which they are stored."""
    result: Json = {}
    for name, value in fields.items():
        if name in V3_NAMES:
            result[V3_NAMES[name]] = [] if value is None else [value]
        else:
            result[name] = value
    return result


def to_v3(document: Mapping[str, Any]) -> Json:
    """A stored document, or the part of one, as v3 shows it."""
    result = {name: value for name, value in document.items() if name not in V3_NAMES.values()}
    for name, many in V3_NAMES.items():
        wanted = name not in ("principalInvestigator", "investigator") or (
            (name == "investigator") == (document.get("type") == "derived")
        )
        if wanted and document.get(many):
            result[name] = document[many][0]
    if isinstance(result.get("scientificMetadata"), Mapping):
        result["scientificMetadata"] = metadata.shown(result["scientificMetadata"])
    return result


def patched(document: Mapping[str, Any], fields: Mapping[str, Any]) -> Json:
    """With these fields in place of its own; null takes a field away.

    scientificMetadata is replaced as a whole. Raises FailsOnRealServer.
    """
    changes = dict(fields)
    if changes.get("scientificMetadata") is not None:
        changes["scientificMetadata"] = metadata.stored(changes["scientificMetadata"])
    return _without_nulls(document, changes)


def merged(document: Mapping[str, Any], fields: Mapping[str, Any]) -> Json:
    """JSON Merge Patch: objects are merged, null takes away."""
    changes = dict(fields)
    if changes.get("scientificMetadata") is not None:
        existing = document.get("scientificMetadata") or {}
        changes["scientificMetadata"] = metadata.merged(existing, changes["scientificMetadata"])
    for name in ("jobParameters", "datasetlifecycle"):
        if changes.get(name) is not None:
            changes[name] = metadata.merge_patch(document.get(name), changes[name])
    return _without_nulls(document, changes)


def replaced(document: Mapping[str, Any], fields: Mapping[str, Any]) -> Json:
    """PUT: what is not in `fields` is gone, `type` and `version` with it. Raises FailsOnRealServer."""
    kept = {name: document[name] for name in ("_id", "pid", "createdAt", "createdBy")}
    return patched(kept, fields)


def _without_nulls(document: Mapping[str, Any], changes: Mapping[str, Any]) -> Json:
    return {name: value for name, value in {**document, **changes}.items() if value is not None}
