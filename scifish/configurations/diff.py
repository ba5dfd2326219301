"""The differences between two configurations, entry by entry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from scifish.settings.entries import Entry, flow

COMPARED_FIELDS = ("source", "unit", "map", "record")


class Difference(NamedTuple):
    """An entry that only one of them has (`what` is added or removed), or a field that differs."""

    what: str
    group: str
    name: str
    before: str
    after: str


def differences(before: Sequence[Entry], after: Sequence[Entry]) -> list[Difference]:
    """The differences in the order of `after`, removed entries last. Group and name identify an entry."""
    old = {(entry.group, entry.name): entry for entry in before}
    found = []
    for entry in after:
        earlier = old.pop((entry.group, entry.name), None)
        if earlier is None:
            found.append(Difference("added", entry.group, entry.name, "", entry.source))
            continue
        for name in COMPARED_FIELDS:
            was, now = getattr(earlier, name), getattr(entry, name)
            if was != now:
                found.append(Difference(name, entry.group, entry.name, _shown(was), _shown(now)))
    found += [Difference("removed", entry.group, entry.name, entry.source, "") for entry in old.values()]
    return found


def _shown(value: Any) -> str:
    if isinstance(value, tuple):
        return ", ".join(value)
    return value if isinstance(value, str) else flow(value) if value else ""
