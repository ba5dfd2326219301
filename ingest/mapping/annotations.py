"""What an annotation changes, once: the dataset itself keeps which of them it has had."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from ingest.mapping.difference import difference
from ingest.mapping.metadata import SCAN, Metadata
from ingest.mapping.page import ANNOTATIONS, Page
from scifish.message import Message

Json = dict[str, Any]

KEPT = 50
"""So many ids of the last ones are kept."""

_FIELDS = {"comment": "comment", "rating": "dataQualityMetrics"}


def annotation(message: Message, first: Json, found: Json, page: Page) -> Json:
    """The merge-patch that this annotation is for the dataset as v3 shows it; {} if there is nothing left to do.

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
    new = {
        field: said[name]
        for name, field in due.items()
        if found.get(field) == first.get(field) and found.get(field) != said[name]
    }
    if mine in _ids(leaf) and not new:
        return {}
    times = {name: leaf[name] for name in _FIELDS if name in leaf} | dict.fromkeys(due, when)
    others = [each for each in _ids(leaf) if each != mine]
    mark = {"value": " ".join([*others[1 - KEPT :], mine]), "unit": "", "human_name": "Annotations", **times}
    added = Metadata(page).added(said.get("scientificMetadata") or {}, {SCAN: {ANNOTATIONS: mark}})
    return new | {"scientificMetadata": difference(found.get("scientificMetadata") or {}, added)}


def _leaf(found: Json) -> Json:
    scan = (found.get("scientificMetadata") or {}).get(SCAN) or {}
    leaf: Json = scan.get(ANNOTATIONS) or {}
    return leaf


def _ids(leaf: Json) -> list[str]:
    return str(leaf.get("value", "")).split()


def identity(message: Message) -> str:
    """`<run>:<seq>`, without spaces in it."""
    return f"{quote(message['origin']['run'], safe='')}:{message['seq']}"
