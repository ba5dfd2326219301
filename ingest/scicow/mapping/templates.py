"""Templates of the mapping's page: text with `{name}` in it, the names being a message's and its owner's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any

from ingest.scicow.mapping.ownership import Ownership
from ingest.scicow.settings import SciCowSettings
from scifish.message import Message

NO_FOLDER = "/unknown"
"""SciCat requires a source folder: this one is given where the message has none."""

PEOPLE_NAMES = frozenset(
    {"owner", "contact_email", "principal_investigator", "owner_group", "access_groups", "instrument_id"}
)
END_NAMES = frozenset({"status", "endTime", "numberOfPoints"})
"""What is known for sure only when the dataset is over."""

TEMPLATE_NAMES = (
    PEOPLE_NAMES
    | END_NAMES
    | {"uuid", "beamline", "proposalId", "sampleId", "datasetName", "description", "dataFormat", "sourceFolder"}
    | {"creationTime", "startTime", "creation_location", "revision", "warnings"}
)
TEMPLATE_GROUPS = ("environment.", "origin.")
"""What is in these is known by its message only."""

RUNNING = "running"


def known(name: str) -> bool:
    return name in TEMPLATE_NAMES or (name.startswith(TEMPLATE_GROUPS) and not name.endswith("."))


def names_of(message: Message, whose: Ownership, settings: SciCowSettings) -> dict[str, Any]:
    """What `{name}` stands for in the templates of a `began`, `ended` or `snapshot`."""
    place = {"proposal": message["proposalId"], "beamline": message["beamline"]}
    found: dict[str, Any] = {name: message.get(name) for name in TEMPLATE_NAMES}
    found |= {
        "sourceFolder": folder(message),
        "startTime": message.get("startTime", message["creationTime"]),
        "status": message.get("status", RUNNING),
        # Text, as SciCat takes a list of two for a range.
        "warnings": "; ".join(message.get("warnings", [])),
        "owner": whose.owner,
        "contact_email": whose.contact_email,
        "principal_investigator": whose.principal_investigator,
        "owner_group": whose.owner_group,
        "access_groups": list(whose.access_groups),
        "instrument_id": whose.instrument_id,
        "creation_location": settings.creation_location.format(**place),
    }
    for group in TEMPLATE_GROUPS:
        found |= {group + name: inner for name, inner in message[group.rstrip(".")].items()}
    return found


def folder(message: Message) -> str:
    """The source folder as SciCat has it: absolute, without a slash at its end."""
    given = message["sourceFolder"].rstrip("/")  # the backend takes it off, too
    if not given:
        return NO_FOLDER
    return str(given if given.startswith("/") else "/" + given)


@dataclass(frozen=True)
class MappingTemplate:
    """Text around names."""

    parts: tuple[tuple[str, str], ...]
    """Text, and the name after it ("" for none)."""

    @property
    def names(self) -> frozenset[str]:
        return frozenset(name for _, name in self.parts if name)

    def value(self, names: Mapping[str, Any]) -> Any:
        """What it gives: of its own kind where it is nothing but one name; None where a name is not known."""
        found = [(text, names.get(name) if name else "") for text, name in self.parts]
        if any(name and inner in (None, "", []) for (_, name), (_, inner) in zip(self.parts, found, strict=True)):
            return None
        if len(found) == 1 and not found[0][0] and self.names:
            return found[0][1]
        return "".join(text + as_text(inner) for text, inner in found)


def parse(text: str) -> MappingTemplate:
    """Raises ValueError, which says what is wrong and what to do."""
    parts = []
    try:
        for before, name, form, conversion in Formatter().parse(text):
            if form or conversion:
                raise ValueError(f"{{{name}}} takes no format")
            if name is not None and not known(name):
                there = ", ".join([*sorted(TEMPLATE_NAMES), *(f"{group}*" for group in TEMPLATE_GROUPS)])
                raise ValueError(f"{{{name}}} is not known: allowed are {there}")
            parts.append((before, name or ""))
    except ValueError as error:
        hint = "" if "known" in str(error) or "format" in str(error) else ": write {{ or }} for a brace"
        raise ValueError(f"{error}{hint}") from error
    return MappingTemplate(tuple(parts))


def as_text(value: Any) -> str:
    """As people read it: a list by commas."""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def filled(pattern: Any, names: Mapping[str, Any]) -> Any:
    """A field's pattern (a Template, a list or mapping of patterns, or a plain value) with its names' values.

    None where nothing is known; a list loses what is not known, and a name that is a list gives its items.
    """
    if isinstance(pattern, MappingTemplate):
        return pattern.value(names)
    if isinstance(pattern, list):
        found: list[Any] = []
        for inner in pattern:
            value = filled(inner, names)
            found += value if isinstance(value, list) else [] if value is None else [value]
        return found or None
    if isinstance(pattern, dict):
        whole = {name: filled(inner, names) for name, inner in pattern.items()}
        return None if None in whole.values() else whole
    return pattern


def names_in(pattern: Any) -> frozenset[str]:
    """The names in a field's pattern."""
    if isinstance(pattern, MappingTemplate):
        return pattern.names
    inside = pattern if isinstance(pattern, list) else pattern.values() if isinstance(pattern, dict) else ()
    return frozenset().union(*map(names_in, inside))
