"""Merge-patches (RFC 7396) between what a dataset has and what it is to have. Metadata as SciCat shows them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]

_SCICATS_OWN = ("valueSI", "unitSI")


def is_leaf(entry: Any) -> bool:
    """Whether it is a value and not a group, whose members are all objects."""
    return isinstance(entry, Mapping) and isinstance(entry.get("unit"), str)


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> Json:
    """What brings the metadata `new` into `old`; entries that only `old` has stay as they are."""
    found = {}
    for name, inner in new.items():
        before = old.get(name)
        if not isinstance(before, Mapping):
            before = {}
        if is_leaf(inner):
            patch = _leaf_difference(before, inner)
        elif is_leaf(before):
            patch = dict.fromkeys(before) | difference({}, inner)  # the value goes, the group comes
        else:
            patch = difference(before, inner)
        if patch or name not in old:
            found[name] = patch
    return found


def _leaf_difference(before: Mapping[str, Any], new: Mapping[str, Any]) -> Json:
    wanted = {name: inner for name, inner in new.items() if inner is not None}
    # In a merge-patch null deletes, and SciCat wants value and unit both.
    wanted["value"] = "" if new.get("value") is None else new["value"]
    old = _own({name: inner for name, inner in before.items() if inner is not None})
    old["value"] = "" if before.get("value") is None else before["value"]
    if "value" in before and same(old, wanted):
        return {}
    # What the new leaf has not must go, as an `error` of before. All else is sent, not only what
    # differs: a server that loses the old leaf over it still has a whole one.
    return dict.fromkeys(set(_own(before)) - set(wanted)) | wanted


def merged(target: Any, patch: Any) -> Any:
    """`target` with the merge-patch in it."""
    if not isinstance(patch, Mapping):
        return patch
    result = dict(target) if isinstance(target, Mapping) else {}
    for name, inner in patch.items():
        if inner is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), inner)
    return result


def united(one: Mapping[str, Any], other: Mapping[str, Any]) -> Json:
    """One merge-patch that does what both do, and the `other`'s where they differ; nulls stay, which delete."""
    found = dict(one)
    for name, inner in other.items():
        mine = found.get(name)
        found[name] = united(mine, inner) if isinstance(mine, Mapping) and isinstance(inner, Mapping) else inner
    return found


def whole(metadata: Mapping[str, Any], patch: Mapping[str, Any]) -> Json:
    """All metadata with the merge-patch in them, fit to be sent: without what SciCat adds, and without top-level
    nulls, which would kill the real server."""
    found: Json = merged(_stripped(metadata), patch)
    return {name: inner for name, inner in found.items() if inner is not None}


def missing(before: Mapping[str, Any], now: Mapping[str, Any]) -> Json:
    """The merge-patch that brings back what somebody else's write has taken away."""
    found = {}
    for name, inner in before.items():
        if inner is None:
            continue
        if name not in now:
            found[name] = _as_patch(inner)
        elif isinstance(inner, Mapping) and isinstance(now[name], Mapping) and not is_leaf(inner):
            lost = missing(inner, now[name]) if not is_leaf(now[name]) else {}
            if lost:
                found[name] = lost
    return found


def undone(patch: Mapping[str, Any], before: Mapping[str, Any], now: Mapping[str, Any]) -> Json:
    """The part of the merge-patch that has left no trace: what is `now` as it was `before`.

    What has changed to another value was normalised by the server, or changed again by somebody else.
    """
    found = {}
    for name, inner in patch.items():
        old, new = before.get(name), now.get(name)
        if isinstance(inner, Mapping) and not is_leaf(inner) and isinstance(new, Mapping):
            part = undone(inner, old if isinstance(old, Mapping) else {}, new)
            if part:
                found[name] = part
        elif (name in before) == (name in now) and same(_stripped(old), _stripped(new)):
            found[name] = inner
    return found


def same(one: Any, other: Any) -> bool:
    """Equal, with numbers as JavaScript has them."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return one == other or math.isclose(one, other, rel_tol=1e-15)
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(inner, other[name]) for name, inner in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _as_patch(entry: Any) -> Any:
    """What brings the entry in where there is none."""
    if is_leaf(entry):
        return _leaf_difference({}, _own(entry))
    if isinstance(entry, Mapping):
        return {name: _as_patch(inner) for name, inner in _stripped(entry).items() if inner is not None}
    return entry


def _own(leaf: Mapping[str, Any]) -> Json:
    return {name: inner for name, inner in leaf.items() if name not in _SCICATS_OWN}


def _stripped(entry: Any) -> Any:
    if not isinstance(entry, Mapping):
        return entry
    return {name: _stripped(inner) for name, inner in (_own(entry) if "valueSI" in entry else entry).items()}
