"""The columns of the scan log, and the texts of fields and metadata.

No Qt here: window, terminal and exports show the same. Nothing raises for any JSON that a catalogue may hold, and every
text is one line without control characters: users' texts must not draw over other cells or send codes to a terminal.
"""

from __future__ import annotations

import datetime as dt
import enum
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote

from taurus_widgets.scanlog.data.commands import as_typed
from taurus_widgets.value_text import NOT_READ, leaf_text, line, number, value_text

Json = dict[str, Any]

GLYPHS = {
    "running": "▶",
    "completed": "✓",
    "stopped": "■",
    "aborted": "⊘",
    "failed": "✗",
    "interrupted": "↯",
}
"""One sign for each status, of the same width in any terminal; the window draws its own."""

MAX_STARS = 3
PROVISIONAL = "provisional"
"""A key of datasets that are not in the catalogue yet, but were reported by a Door."""

END_REPORTED = "end_reported"
"""A key of datasets that still run in the catalogue, but whose end was reported by a Door."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


class Kind(enum.Enum):
    """How a view draws a column."""

    TEXT = "text"
    NUMBER = "number"
    STATUS = "status"
    RATING = "rating"
    LINK = "link"
    COMMENT = "comment"
    PICTURE = "picture"


@dataclass(frozen=True)
class LogColumn:
    """A column. `fields` are requested from the catalogue; `width` is in digits; `hint` explains the header.

    `group` is shown above the title; it is "" for a dataset's own fields.
    """

    key: str
    title: str
    fields: tuple[str, ...]
    text: Callable[[Json], str]
    tip: Callable[[Json], str]
    width: int
    kind: Kind = Kind.TEXT
    hint: str = ""
    group: str = ""

    @property
    def path(self) -> tuple[str, ...]:
        """The path of the value in the metadata; empty for a column of the dataset's own fields."""
        return path_of(self.key)

    def named_by(self, dataset: Json) -> LogColumn:
        """This column with the name and unit that this dataset has for it, if it has them."""
        return self


@dataclass(frozen=True)
class MetadataColumn(LogColumn):
    """A column of one metadata value, `group/name`. Its unit is in the header as soon as it is known."""

    named: bool = False

    def named_by(self, dataset: Json) -> LogColumn:
        leaf = leaf_at(dataset, self.path)
        # A value that could not be read has no unit: wait for a better one.
        if self.named or not isinstance(leaf, Mapping) or leaf.get("error"):
            return self
        kind = Kind.TEXT if isinstance(leaf.get("value"), str) else Kind.NUMBER
        return _metadata_column(self.key, line(leaf.get("human_name")), line(leaf.get("unit")), kind, named=True)


# ----------------------------------------------------------------------------- times


def moment(text: Any) -> dt.datetime | None:
    """A time of the catalogue as local time; None if it is not a time."""
    if not isinstance(text, str):
        return None
    try:
        found = dt.datetime.fromisoformat(text)
        # Years that cannot be shown as local time are not valid either.
        return (found if found.tzinfo else found.replace(tzinfo=dt.UTC)).astimezone()
    except (ValueError, OverflowError):
        return None


def clock(text: Any, today: dt.date | None = None) -> str:
    """Local time, with the day only if it is not today, and the year only if it is not this year."""
    found = moment(text)
    if found is None:
        return ""
    today = today or dt.date.today()
    if found.date() == today:
        return f"{found:%H:%M:%S}"
    day = f"{found.day} {_MONTHS[found.month - 1]}"  # strftime's names would follow the locale
    return f"{day} {found:%H:%M:%S}" if found.year == today.year else f"{day} {found.year}"


def full_time(text: Any) -> str:
    """Date, time and zone."""
    found = moment(text)
    return f"{found:%Y-%m-%d %H:%M:%S %Z}" if found else ""


def duration(seconds: float) -> str:
    """`12.3 s`, `4 min 05 s`, `1 h 02 min`."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def duration_text(dataset: Json, now: dt.datetime | None = None) -> str:
    """The duration of the scan; while it runs, the time since its start in whole seconds."""
    began, ended = moment(dataset.get("creationTime")), moment(dataset.get("endTime"))
    if began is None:
        return ""
    if ended is not None:
        return duration(max(0.0, (ended - began).total_seconds())) if ended != began else ""
    if status(dataset) != "running":
        return ""
    so_far = int(max(0.0, ((now or dt.datetime.now(dt.UTC)) - began).total_seconds()))
    return f"{so_far} s" if so_far < 60 else duration(so_far)


# -------------------------------------------------------------------- parts of a dataset


def leaf_at(dataset: Json, path: Sequence[str]) -> Any:
    """The metadata at this path; None if there is none."""
    found = dataset.get("scientificMetadata")
    for name in path:
        if not isinstance(found, Mapping):
            return None
        found = found.get(name)
    return found


def _of_scan(dataset: Json, name: str) -> str:
    return leaf_text(leaf_at(dataset, ("scan", name)))


def status(dataset: Json) -> str:
    """The status that SciCow wrote; "" for a dataset from another source."""
    return _of_scan(dataset, "status")


def with_end(dataset: Json, ended: Json) -> Json:
    """A copy of a dataset with status and end time of `ended`, a later state of the same scan."""
    metadata = dataset["scientificMetadata"]
    scan = {**metadata["scan"], "status": ended["scientificMetadata"]["scan"]["status"]}
    end = {"endTime": ended["endTime"]} if "endTime" in ended else {}
    return {**dataset, **end, "scientificMetadata": {**metadata, "scan": scan}, END_REPORTED: True}


def status_tip(dataset: Json) -> str:
    missing = "not in the catalogue yet" if dataset.get(PROVISIONAL) else ""
    missing = missing or ("its end is not in the catalogue yet" if dataset.get(END_REPORTED) else "")
    return ", ".join(filter(None, [status(dataset), missing]))


def title(dataset: Json) -> str:
    """The command as typed, for example `ascan mot01 0 10 20 0.1`; else the dataset's name."""
    return as_typed(_whole_title(dataset))


def _whole_title(dataset: Json) -> str:
    """The command with the defaults that Sardana adds."""
    return _of_scan(dataset, "title") or line(dataset.get("datasetName"))


def scan_number(dataset: Json) -> str:
    return line(dataset.get("runNumber")) or _of_scan(dataset, "scan_id")


def points(dataset: Json) -> str:
    return _of_scan(dataset, "points")


def rating(dataset: Json) -> float:
    """The rating from 0 (not rated) to 3 stars, in halves."""
    given = dataset.get("dataQualityMetrics")
    if isinstance(given, bool) or not isinstance(given, int | float) or not math.isfinite(given):
        return 0.0
    return min(max(round(given * 2) / 2, 0.0), float(MAX_STARS))


def stars(dataset: Json) -> str:
    """The rating as `★★☆` or `★½☆`; "" if it is not rated."""
    rated = rating(dataset)
    if not rated:
        return ""
    drawn = "★" * int(rated) + ("½" if rated % 1 else "")
    return drawn.ljust(MAX_STARS, "☆")


# ------------------------------------------------------------------------------ keys


def key_of(path: Iterable[str]) -> str:
    """The key of a metadata column: `Machine/Ring current`, or `/energy` for a value outside any group.

    It always contains a `/`, and the key of a dataset's own field never does. A `/` in a name is written `%2F`. Raises
    ValueError if a part is empty.
    """
    parts = [part.replace("%", "%25").replace("/", "%2F") for part in path]
    if not parts or not all(parts):
        hint = "write GROUP/NAME, for example Machine/Ring current"
        raise ValueError(f"{'/'.join(parts)!r} is not a path into the metadata: {hint}")
    return "/".join(parts) if len(parts) > 1 else f"/{parts[0]}"


def path_of(key: str) -> tuple[str, ...]:
    """The path into the metadata for this key; empty for a dataset's own field."""
    return tuple(unquote(part) for part in key.removeprefix("/").split("/")) if "/" in key else ()


# --------------------------------------------------------------------------- columns


def _field(
    key: str, heading: str, width: int, text: Callable[[Json], str], *fields: str, kind: Kind = Kind.TEXT
) -> LogColumn:
    return LogColumn(key, heading, fields or (key,), text, text, width, kind)


def _comment_tip(dataset: Json) -> str:
    """The comment with its line breaks."""
    return "\n".join(map(line, str(dataset.get("comment") or "").splitlines()))


def default_columns() -> list[LogColumn]:
    """The default columns of a scan log."""
    return [
        LogColumn("status", "Status", ("scientificMetadata.scan.status",), status, status_tip, 14, Kind.STATUS),
        _field("runNumber", "Scan", 6, scan_number, "runNumber", "scientificMetadata.scan.scan_id", kind=Kind.NUMBER),
        LogColumn(
            "creationTime",
            "Started",
            ("creationTime",),
            lambda dataset: clock(dataset.get("creationTime")),
            lambda dataset: full_time(dataset.get("creationTime")),
            15,
            Kind.NUMBER,
            "Local time, with the date where it is not today's",
        ),
        _field("duration", "Duration", 10, duration_text, "creationTime", "endTime", kind=Kind.NUMBER),
        LogColumn("title", "Command", ("datasetName", "scientificMetadata.scan.title"), title, _whole_title, 26),
        _field("points", "Points", 6, points, "scientificMetadata.scan.points", kind=Kind.NUMBER),
        _field("sampleId", "Sample", 12, lambda dataset: line(dataset.get("sampleId"))),
        _field("proposalId", "Proposal", 9, lambda dataset: line(dataset.get("proposalId"))),
        _field("numberOfFiles", "Files", 5, lambda dataset: number(dataset.get("numberOfFiles")), kind=Kind.NUMBER),
        LogColumn(
            "picture",
            "Picture",
            ("pid",),
            lambda _: "",
            lambda _: "",
            6,
            Kind.PICTURE,
            "One picture; Enter or a double click shows all",
        ),
        _field("dataQualityMetrics", "Rating", 8, stars, kind=Kind.RATING),
        LogColumn(
            "comment",
            "Comment",
            ("comment",),
            lambda dataset: line(dataset.get("comment")),
            _comment_tip,
            16,
            Kind.COMMENT,
        ),
    ]


LINK_COLUMN_KEY = "page"
"""The key of the column with the link to SciCat's page of the dataset."""


def further_columns() -> list[LogColumn]:
    """Further columns that are not fields of a dataset, and that are shown only if the user chooses them."""
    return [page_column(lambda _: "")]


def page_column(address: Callable[[Json], str]) -> LogColumn:
    """The column with the link to SciCat's page of the dataset. `address` depends on the catalogue that is shown."""
    hint = "A click opens the dataset's page in SciCat"
    return LogColumn(LINK_COLUMN_KEY, "SciCat", ("pid",), address, address, 6, Kind.LINK, hint)


def column_of(key: str) -> LogColumn:
    """The column with this key: a default or further column, any field of the dataset, or a path into the metadata.

    Raises ValueError if a path has an empty part.
    """
    if "/" in key:
        return _metadata_column(key_of(path_of(key)))
    usual = [*default_columns(), *further_columns()]
    return next((column for column in usual if column.key == key), None) or _field_column(key)


_TITLES = {"sourceFolder": "Folder", "creationLocation": "Beamline", "datasetName": "Name", "pid": "Pid"}
_NUMBERS = frozenset({"size", "packedSize", "numberOfFiles", "numberOfFilesArchived"})


def _field_column(key: str) -> LogColumn:
    """The column of any field of a dataset: `ownerGroup` becomes Owner group."""
    heading = _TITLES.get(key) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", line(key)).capitalize()
    text, tip, kind, width = value_of(key), value_of(key, 64), Kind.TEXT, 16
    if key.endswith(("Time", "At")):
        text, tip, kind, width = (lambda dataset: clock(dataset.get(key))), time_of(key), Kind.NUMBER, 15
    elif key in _NUMBERS:
        kind, width = Kind.NUMBER, 10
    return LogColumn(key, heading, (key,), text, tip, max(width, len(heading)), kind)


def value_of(key: str, longest: int = 4) -> Callable[[Json], str]:
    return lambda dataset: value_text(dataset.get(key), longest=longest)


def time_of(key: str) -> Callable[[Json], str]:
    return lambda dataset: full_time(dataset.get(key))


def metadata_column(path: str) -> LogColumn:
    """A column of one metadata value: `Machine/Ring current`; `/energy` or `energy` for a value outside any group.

    Raises ValueError if the path has an empty part.
    """
    return _metadata_column(key_of(unquote(part.strip()) for part in path.strip().removeprefix("/").split("/")))


def _metadata_column(
    key: str, name: str = "", unit: str = "", kind: Kind = Kind.NUMBER, named: bool = False
) -> MetadataColumn:
    path = path_of(key)
    heading = (name or line(path[-1])) + (f" ({unit})" if unit else "")

    def text(dataset: Json) -> str:
        leaf = leaf_at(dataset, path)
        shown = leaf_text(leaf)
        own_unit = line(leaf.get("unit")) if isinstance(leaf, Mapping) else ""
        return f"{shown} {own_unit}" if shown and own_unit not in ("", unit) and shown != NOT_READ else shown

    def tip(dataset: Json) -> str:
        leaf = leaf_at(dataset, path)
        if isinstance(leaf, Mapping) and leaf.get("error"):
            return f"Could not be read: {line(leaf['error'])}"
        return text(dataset)

    group = " / ".join(group_name(part) for part in path[:-1])
    return MetadataColumn(
        key,
        heading,
        _metadata_fields(path),
        text,
        tip,
        max(18, round(len(heading) * 0.9)),  # "396.982 → 396.953"; letters are narrower than digits
        kind,
        " / ".join(map(line, path)),
        group,
        named,
    )


def group_name(name: str) -> str:
    """The group's name for people: the scan's own group has a lower-case name in the catalogue."""
    return "Scan" if name == "scan" else line(name)


def _metadata_fields(path: tuple[str, ...]) -> tuple[str, ...]:
    """The path with URL-encoded names, as SciCat stores them, and with plain names, for catalogues without encoding."""
    stored = [quote(name, safe="!~*'()").replace(".", "%2E") for name in path]
    fields = [".".join(["scientificMetadata", *stored])]
    if not any("." in name for name in path):
        fields.append(".".join(["scientificMetadata", *path]))
    return tuple(dict.fromkeys(fields))


def fields_of(columns: Iterable[LogColumn]) -> list[str]:
    """The fields to request. None of them is inside another one, because MongoDB refuses such a projection."""
    wanted = {"pid", "updatedAt", "creationTime", *(field for column in columns for field in column.fields)}
    return sorted(field for field in wanted if not any(field.startswith(f"{other}.") for other in wanted))
