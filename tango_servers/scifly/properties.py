"""A SciFly's properties as settings.

All are read as texts: with a typed property, a wrong value ends the Tango server.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from string import Formatter
from typing import Literal, TypeVar
from zoneinfo import ZoneInfo

from scifish.settings import DEVICE_NAME
from scifish.tango_io.database import text
from scifly.profiles import DEFAULT_PROFILES, Profile, profiles_from
from scifly.readers.values import local_zone

DAY_SECONDS = 86_400.0
DEFAULT_CATCH_UP_SECONDS = 7 * DAY_SECONDS
MAX_CATCH_UP_SECONDS = 10 * 365 * DAY_SECONDS

Way = Literal["auto", "inotify", "polling"]
"""The method of watching a folder: see `scifly.watching.watch`."""

_WAYS: tuple[Way, ...] = ("auto", "inotify", "polling")

T = TypeVar("T")


@dataclass(frozen=True)
class PathFixerReply:
    """PathFixer's answer: all values are of the same moment."""

    proposal: str = ""
    visit: str = ""
    sample: str = ""
    category: str = ""
    path: str = ""
    sample_path: str = ""


FOLDER_FIELDS = tuple(PathFixerReply.__dataclass_fields__)
"""The names that the property Folder may contain in braces."""


@dataclass(frozen=True)
class SciFlyProperties:
    """The checked properties. `catch_up` is in seconds.

    `wrong` are sentences about mistakes that keep the device from working, `problems` about all others.
    """

    profiles: tuple[Profile, ...] = ()
    path_fixer: str = ""
    scidog: str = ""
    folder: str = ""
    method: Way = "auto"
    catch_up: float = DEFAULT_CATCH_UP_SECONDS
    zone: dt.tzinfo = dt.UTC
    wrong: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()

    def root(self, reply: PathFixerReply) -> str:
        """The folder to watch with this answer of PathFixer; "" if a part of it is unknown."""
        template = self.folder or "{path}"
        names = {name for _, name, _, _ in Formatter().parse(template) if name}
        if not all(getattr(reply, name) for name in names - {"sample"}):
            return ""
        filled = template.format(**{name: getattr(reply, name) for name in FOLDER_FIELDS})
        return re.sub("/{2,}", "/", filled).rstrip("/") or "/"

    @property
    def alone(self) -> bool:
        """Whether the folder does not depend on PathFixer."""
        return bool(self.folder) and "{" not in self.folder


def settings_from(
    *,
    profiles: Sequence[str],
    path_fixer: Sequence[str],
    scidog: Sequence[str],
    folder: Sequence[str],
    method: Sequence[str],
    catch_up: Sequence[str],
    time_zone: Sequence[str],
) -> SciFlyProperties:
    """The settings from the lines of the properties, as PyTango reads them."""
    wrong: list[str] = []
    problems: list[str] = []

    def one(name: str, lines: Sequence[str], check: Callable[[str], T], default: T, into: list[str]) -> T:
        values = [line for line in (text(line).strip() for line in lines) if line]
        try:
            if len(values) > 1:
                raise ValueError(f"it has {len(values)} lines, but must have one: {', '.join(map(repr, values))}")
            return check(values[0]) if values else default
        except ValueError as error:
            into.append(f"property {name}: {error}")
            return default

    lines = [text(line) for line in profiles]
    used, mistakes = profiles_from(lines if any(line.strip() for line in lines) else DEFAULT_PROFILES)
    problems += [f"Profiles, {mistake}" for mistake in mistakes]
    if not used:
        wrong.append("property Profiles: no line can be used, so no file is recorded")
    return SciFlyProperties(
        profiles=used,
        path_fixer=one("PathFixer", path_fixer, _device, "", wrong),
        scidog=one("SciDog", scidog, _device, "", wrong),
        folder=one("Folder", folder, _folder, "", wrong),
        method=one("Method", method, _method, "auto", problems),
        catch_up=one("CatchUp", catch_up, _seconds, DEFAULT_CATCH_UP_SECONDS, problems),
        zone=one("TimeZone", time_zone, _zone, local_zone(), problems),
        wrong=tuple(wrong),
        problems=tuple(problems),
    )


def _device(value: str) -> str:
    if not DEVICE_NAME.fullmatch(value):
        raise ValueError(f"{value!r} is not the name of a device, such as b311a/ctl/sdm-01")
    return value


def _folder(value: str) -> str:
    try:
        parts = list(Formatter().parse(value))
    except ValueError as error:
        raise ValueError(f"{value!r} cannot be read: {error}; write names in braces, such as {{path}}/ses") from error
    for _, name, form, conversion in parts:
        if name is not None and (name not in FOLDER_FIELDS or form or conversion):
            raise ValueError(f"{value!r} has {{{name}}}, which is not known; allowed are {', '.join(FOLDER_FIELDS)}")
    start = parts[0]
    if not value.startswith("/") and (start[0] or start[1] not in ("path", "sample_path")):
        raise ValueError(f"{value!r} is not the full path of a folder, such as /data/ses or {{path}}/ses")
    if ".." in value.split("/"):
        raise ValueError(f"{value!r} has a '..': write the path without it")
    return value


def _method(value: str) -> Way:
    found: Way | None = next((one for one in _WAYS if one == value.lower()), None)
    if found is None:
        raise ValueError(f"{value!r} is not one of {', '.join(_WAYS)}; auto is in use")
    return found


def _seconds(value: str) -> float:
    try:
        found = float(value)
    except ValueError:
        found = math.nan
    if not 0 <= found <= MAX_CATCH_UP_SECONDS:
        raise ValueError(
            f"{value!r} is not a number of seconds from 0 to {MAX_CATCH_UP_SECONDS:.0f}; "
            f"{DEFAULT_CATCH_UP_SECONDS:.0f} is in use"
        )
    return found


def _zone(value: str) -> dt.tzinfo:
    try:
        return ZoneInfo(value)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(f"{value!r} is not a time zone such as Europe/Stockholm; the machine's is in use") from error
