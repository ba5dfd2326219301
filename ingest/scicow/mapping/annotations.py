"""The changes of an annotation, applied once: the dataset itself records which annotations it has had."""

from __future__ import annotations

import hashlib
from typing import Any
from urllib.parse import quote

from ingest.scicow.mapping.definition import ANNOTATIONS, MappingPage
from ingest.scicow.mapping.merge_patch import difference
from ingest.scicow.mapping.metadata import SCAN_GROUP, Metadata
from scifish.message import Message

Json = dict[str, Any]

MAX_ANNOTATION_IDS = 50
"""How many ids of the latest annotations are kept."""

_FIELDS = {"comment": "comment", "rating": "dataQualityMetrics"}


def annotation(message: Message, first: Json, found: Json, page: MappingPage) -> Json:
    """The merge-patch that this annotation is for the dataset as v3 shows it; {} if nothing is left to do.

    `first` is the dataset before the first try, `found` as it is now: a comment that is neither the first one
    nor ours has been written by somebody meanwhile, and stays.
    """
    said, when = message["annotation"], message["creationTime"]
    mine = identity(message)
    if mine in _ids(_leaf(first)):
        return {}
    leaf = _leaf(found)
    # A later one may have been written while this one was a dead letter.
    due = {name: field for name, field in _FIELDS.items() if name in said and when >= str(_leaf(first).get(name, ""))}
    wanted = {name: _wanted(name, message, first) for name in due}
    new = {
        field: wanted[name]
        for name, field in due.items()
        if found.get(field) == first.get(field) and found.get(field) != wanted[name]
    }
    if mine in _ids(leaf) and not new:
        return {}
    last = {key: leaf[key] for name in _FIELDS for key in (name, _written(name)) if key in leaf}
    # The print is of what it says itself: where more stands there, that is known as somebody else's.
    last |= dict.fromkeys(due, when) | {_written(name): _print(said[name]) for name in due}
    others = [each for each in _ids(leaf) if each != mine]
    mark = {
        "value": " ".join([*others[1 - MAX_ANNOTATION_IDS :], mine]),
        "unit": "",
        "human_name": "Annotations",
        **last,
    }
    added = Metadata(page).added(said.get("scientificMetadata") or {}, {SCAN_GROUP: {ANNOTATIONS: mark}})
    return new | {"scientificMetadata": difference(found.get("scientificMetadata") or {}, added)}


def _wanted(name: str, message: Message, first: Json) -> Any:
    """The value that the field is to have.

    What somebody else has written, in the scan log or in SciCat's pages, has no time of its own. As long as the
    dataset has not been changed since the annotation was made, it is older. Else the order is unknown; then nothing
    that people wrote is lost: both comments stay, and their rating.
    """
    said, there = message["annotation"][name], first.get(_FIELDS[name])
    changed = str(first.get("updatedAt", ""))
    if not there or changed <= message["creationTime"] or not _theirs(name, first):
        return said
    if name != "comment" or not said or str(said) in str(there).split("\n"):
        return there
    return f"{there}\n{said}"


def _theirs(name: str, first: Json) -> bool:
    """Whether what stands there is not what the last annotation has said."""
    leaf = _leaf(first)
    if _written(name) in leaf:
        return bool(leaf[_written(name)] != _print(first[_FIELDS[name]]))
    return name not in leaf  # an earlier version kept the time alone


def _written(name: str) -> str:
    """The key under which it is kept what the last annotation has said."""
    return f"{name}_print"


def _print(value: Any) -> str:
    text = value if isinstance(value, str) else repr(float(value))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _leaf(found: Json) -> Json:
    scan = (found.get("scientificMetadata") or {}).get(SCAN_GROUP) or {}
    leaf: Json = scan.get(ANNOTATIONS) or {}
    return leaf


def _ids(leaf: Json) -> list[str]:
    return str(leaf.get("value", "")).split()


def identity(message: Message) -> str:
    """`<run>:<seq>`, without spaces in it."""
    return f"{quote(message['origin']['run'], safe='')}:{message['seq']}"
