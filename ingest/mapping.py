"""What a message is in SciCat. Pure: no network, no clock.

The fields are those of SciCat's v3 for creating and of v4 for changing. How the real backend
treats metadata (the comments below say where it surprises) was found by running v4.6.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any

from ingest.ownership import Ownership
from ingest.settings import Settings
from scifish.message import Message
from scifish.units import readable

Json = dict[str, Any]

RUNNING = "running"
SCAN = "scan"
NO_FOLDER = "/unknown"
"""SciCat requires a source folder: this one is given where the message has none."""

# MongoDB's text index takes a field `language` for its own; JavaScript loses `__proto__`.
_RESERVED = ("", "language", "__proto__")


def pid_of(message: Message, settings: Settings) -> str:
    """The dataset's pid, the same for every message about it."""
    return f"{settings.pid_prefix}/{message['uuid']}"


def dataset(message: Message, whose: Ownership, settings: Settings) -> Json:
    """A raw dataset of v3 from `began`, `ended` or `snapshot`."""
    found = {
        "pid": pid_of(message, settings),
        "type": "raw",
        "owner": whose.owner,
        "contactEmail": whose.contact_email,
        "principalInvestigator": whose.principal_investigator,
        **_access(whose),
        "creationLocation": settings.creation_location.format(
            proposal=message["proposalId"], beamline=message["beamline"]
        ),
        "datasetName": message["datasetName"],
        "sourceFolder": _folder(message),
        "creationTime": message.get("startTime", message["creationTime"]),
        "scientificMetadata": metadata(message),
        **({"instrumentId": whose.instrument_id} if whose.instrument_id else {}),
    }
    # No `startTime`: older backends answer 400 to it.
    return found | _if_known(message)


def changes(message: Message, found: Json, whose: Ownership) -> Json:
    """What `ended` adds to the dataset as v3 shows it: a merge-patch of v4.

    Only what differs is in it, so that nothing else is touched: not what people wrote, and not the
    metadata that only `began` had. Names and texts are filled in where the dataset has none.
    """
    new: Json = {
        name: value
        for name, value in _if_known(message).items()
        if name not in ("proposalId", "sampleId") and not found.get(name)
    }
    if message["sampleId"] and not found.get("sampleId"):
        new["sampleIds"] = [message["sampleId"]]
    if message["proposalId"] and not found.get("proposalId"):
        new |= {"proposalIds": [message["proposalId"]], **_access(whose)}
    if _folder(message) not in (NO_FOLDER, found.get("sourceFolder")):
        new["sourceFolder"] = _folder(message)
    difference = _difference(found.get("scientificMetadata") or {}, metadata(message))
    return new | ({"scientificMetadata": difference} if difference else {})


def is_over(found: Json) -> bool:
    """Whether the dataset, as v3 shows it, has had its `ended` or `snapshot`."""
    scan = (found.get("scientificMetadata") or {}).get(SCAN) or {}
    return (scan.get("status") or {}).get("value") not in (None, RUNNING)


def recorded_beamline(found: Json) -> str:
    """Where the dataset, as v3 shows it, was recorded; "" if it does not say."""
    scan = (found.get("scientificMetadata") or {}).get(SCAN) or {}
    return str((scan.get("beamline") or {}).get("value") or "")


def files(message: Message) -> list[Json]:
    """The message's files as a datablock has them, paths relative to the source folder if they are in it."""
    inside = _folder(message) + "/"
    return [
        # Any further field, as the message's `error`, would be a 400.
        {"path": file["path"].removeprefix(inside) or file["path"], "size": file["size"], "time": file["time"]}
        for file in message.get("files", [])
    ]


def annotation(message: Message) -> Json:
    """The changed fields of v3; an image is none of them, nor are metadata: `added_metadata`."""
    said = message["annotation"]
    new = {}
    if "comment" in said:
        new["comment"] = said["comment"]
    if "rating" in said:
        new["dataQualityMetrics"] = said["rating"]
    return new


def added_metadata(message: Message, found: Json) -> Json:
    """The merge-patch of v4 with what an annotation adds to the metadata of `found`; {} if all is there."""
    added = _group(message["annotation"].get("scientificMetadata") or {})
    difference = _difference(found.get("scientificMetadata") or {}, added)
    return {"scientificMetadata": difference} if difference else {}


# ---------------------------------------------------------------------------- fields


def _access(whose: Ownership) -> Json:
    """Who may see it."""
    return {"ownerGroup": whose.owner_group, "accessGroups": list(whose.access_groups)}


def _folder(message: Message) -> str:
    folder = message["sourceFolder"].rstrip("/")  # the backend takes it off, too
    if not folder:
        return NO_FOLDER
    return folder if folder.startswith("/") else "/" + folder


def _if_known(message: Message) -> Json:
    """Fields that are left out where the message does not say them, as SciCat refuses empty ones."""
    fields = {
        "description": message["description"],
        "proposalId": message["proposalId"],
        "sampleId": message["sampleId"],
        "dataFormat": message["dataFormat"],
        "runNumber": str(message["environment"].get("scanID", "")),
        "endTime": message.get("endTime", ""),
    }
    return {name: value for name, value in fields.items() if value}


# -------------------------------------------------------------------------- metadata


def metadata(message: Message) -> Json:
    """`scientificMetadata`: the message's, and the group `scan` with what is known of the scan itself."""
    found: Json = {SCAN: _scan(message)}
    for name, inner in message["scientificMetadata"].items():
        found[_free(_key(name), found)] = _entry(inner)
    return found


def _scan(message: Message) -> Json:
    environment, origin = message["environment"], message["origin"]
    known = {
        "status": ("Status", message.get("status", RUNNING)),
        "title": ("Title", environment.get("title")),
        "scan_id": ("Scan ID", environment.get("scanID")),
        "points": ("Points", message.get("numberOfPoints")),
        "motors": ("Motors", ", ".join(environment.get("motors", []))),
        "detectors": ("Detectors", ", ".join(environment.get("detectors", []))),
        "user": ("User", environment.get("user")),
        "program": ("Program", origin["program"]),
        "host": ("Host", origin["host"]),
        "beamline": ("Beamline", message["beamline"]),
        # Text, as SciCat takes a list of two for a range.
        "warnings": ("Warnings", "; ".join(message.get("warnings", []))),
    }
    return {
        name: {"value": value, "unit": "", "human_name": human_name}
        for name, (human_name, value) in known.items()
        if value not in (None, "")
    }


def _entry(inner: Json) -> Json:
    if isinstance(inner.get("unit"), str):  # the members of a group are all objects
        return _leaf(inner)
    return _group(inner)


def _group(members: Json) -> Json:
    group: Json = {}
    for name, member in members.items():
        group[_free(_key(name), group)] = _entry(member)
    return group


def _leaf(value: Json) -> Json:
    unit = readable(value["unit"])
    found = {"value": _flat(value["value"]), "unit": unit}
    if unit != value["unit"]:
        found["original_unit"] = value["unit"]
    for name, inner in value.items():
        if name in ("value", "unit"):
            continue
        # SciCat takes an object with keys in u and in v for a quantity, whose last such key is its
        # value: beside `value` and `unit` there must be none.
        name = _key(name)
        safe = f"_{name}" if name[0] in "uUvV" else name
        found[_free(safe, found)] = _flat(inner)
    return found


def _key(name: str) -> str:
    """A name that SciCat and MongoDB leave alone. Dots are fine: SciCat encodes them."""
    return f"_{name}" if name in _RESERVED or name.startswith("$") else name


def _free(name: str, taken: Collection[str]) -> str:
    """The name, with a number behind it if it is taken: nothing is dropped."""
    number, free = 2, name
    while free in taken:
        free = f"{name}_{number}"
        number += 1
    return free


def _flat(value: Any) -> Any:
    """The value without objects in it: those become JSON text, as SciCat would look for quantities in them."""
    has_objects = isinstance(value, Mapping) or (isinstance(value, list) and _holds_objects(value))
    return json.dumps(value, ensure_ascii=False, sort_keys=True) if has_objects else value


def _holds_objects(values: list[Any]) -> bool:
    return any(isinstance(value, Mapping) or (isinstance(value, list) and _holds_objects(value)) for value in values)


def _difference(old: Json, new: Json) -> Json:
    """The merge-patch that brings `new` into `old`, entries that only `old` has staying as they are."""
    found = {}
    for name, inner in new.items():
        before = old.get(name)
        if not isinstance(before, Mapping):
            before = {}
        if isinstance(inner.get("unit"), str):
            patch = _leaf_difference(dict(before), inner)
        else:
            patch = _difference(dict(before), inner)
        if patch or name not in old:
            found[name] = patch
    return found


def _leaf_difference(old: Json, new: Json) -> Json:
    before = {name: inner for name, inner in old.items() if name not in ("valueSI", "unitSI")}  # SciCat's own
    if before == new:
        return {}
    # What the new leaf has not must go, as an `error` of before. SciCat wants value and unit both.
    patch = {name: None for name in before if name not in new} | {
        name: inner for name, inner in new.items() if inner != before.get(name) or name in ("value", "unit")
    }
    if patch["value"] is None:
        # In a merge-patch null deletes, and a leaf without a value is none.
        if "value" in before and before["value"] is None:
            del patch["value"]
        else:
            patch["value"] = ""
    return patch
