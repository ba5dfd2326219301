"""Changes a beamline's settings in the Tango database without losing anything.

Before each change the properties are read: what jive has written in the meantime goes into the history, and a change
of an older state is refused. After each change the written property is read back.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import tango

from scifish.configurations.history import DATABASE_AUTHOR, Change, History
from scifish.native import threading
from scifish.settings import CONFIG_PREFIX, DEFAULT_ALWAYS, Settings, settings_from_properties
from scifish.settings.entries import parse_new_entries
from scifish.settings.fallback import with_last_good
from scifish.tango_io import property_limits
from scifish.tango_io.database import reason

log = logging.getLogger(__name__)

_CONFIG_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
"""The name of a configuration: without wildcards of Tango, and without spaces, which spock takes for two parameters."""


class EditError(Exception):
    """A change was not made. The text says why and what to do, for people."""


class WrongName(EditError):
    """The name is not valid for a configuration, or is taken."""


class UnknownConfig(EditError):
    """There is no configuration of this name."""


class UnknownChange(EditError):
    """The history has no such change."""


class WrongContent(EditError):
    """The lines have mistakes, or the Tango database cannot store them."""


class InUse(EditError):
    """The configuration to be deleted is in use."""


class Conflict(EditError):
    """Somebody else has changed the configuration in the meantime."""


class NotWritten(EditError):
    """The Tango database has not stored the property as it was written."""


class Properties(Protocol):
    """What an edit needs of the Tango database (`scifish.tango_io.database`). All may raise `tango.DevFailed`."""

    def properties(self, device: str) -> dict[str, list[str]]: ...

    def put_property(self, device: str, name: str, lines: Sequence[str]) -> None: ...

    def delete_property(self, device: str, name: str) -> None: ...


@dataclass(frozen=True)
class StoredConfiguration:
    """A configuration as it is in the database. `revision` differs if the lines differ."""

    name: str
    lines: tuple[str, ...]

    @property
    def revision(self) -> str:
        return revision_of(self.lines)


def revision_of(lines: Sequence[str]) -> str:
    """Twelve hexadecimal digits."""
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()[:12]


def config_in(settings: Settings, name: str) -> StoredConfiguration:
    """A configuration by its name, in upper or lower case. Raises UnknownConfig."""
    for found, lines in settings.configs.items():
        if found.lower() == name.lower():
            return StoredConfiguration(found, tuple(lines))
    known = ", ".join(sorted(settings.configs)) or "none"
    raise UnknownConfig(f"there is no configuration {name!r}; there are: {known}")


class Editor:
    """Changes the properties of one SciDog. Threads may share it.

    Its methods raise EditError where a change cannot be made, and `tango.DevFailed` while the
    database does not answer. `who` is the author for the history; `good` returns the last good settings.
    """

    def __init__(
        self, db: Properties, device: str, history: History, good: Callable[[], Settings | None] = lambda: None
    ) -> None:
        self._good = good
        self._db = db
        self._device = device
        self.history = history
        self._turn = threading.RLock()

    def look(self) -> dict[str, list[str]]:
        """All properties as they are now; changes by others go into the history."""
        with self._turn:
            found = self._db.properties(self._device)
            self.history.notice(found)
            return found

    def save(
        self, name: str, lines: Sequence[str], based_on: str, who: str, what: str = "saved"
    ) -> StoredConfiguration:
        """Write a configuration. `based_on` is the revision that was changed, "" for a new one."""
        lines = split(lines)
        with self._turn:
            before = self._config(name)
            if before is None and based_on:
                raise Conflict(f"{name} does not exist any more: somebody has deleted or renamed it; nothing was saved")
            if before is not None and before.revision != based_on:
                raise Conflict(_changed(before, based_on, self._last(before)))
            _check_content(lines, name)
            return self._put_config(before.name if before else check_name(name), lines, who, what)

    def delete(self, name: str, who: str, based_on: str = "") -> None:
        """Delete a configuration that is not in use; if a revision is given, only if it still has this revision."""
        with self._turn:
            settings = self._settings()
            before = config_in(settings, name)
            if based_on and before.revision != based_on:
                raise Conflict(_changed(before, based_on, self._last(before)))
            self._check_unused(before.name, settings)
            self._write(CONFIG_PREFIX + before.name, None, who, "deleted")

    def copy(self, name: str, new: str, who: str) -> StoredConfiguration:
        """Copy a configuration to a name that is not taken."""
        with self._turn:
            before = config_in(self._settings(), name)
            self._check_free(new)
            return self._put_config(new, before.lines, who, f"copied from {before.name}")

    def rename(self, name: str, new: str, who: str) -> StoredConfiguration:
        """Rename a configuration, also in ActiveConfig and AlwaysConfigs."""
        with self._turn:
            settings = self._settings()
            before = config_in(settings, name)
            what = f"renamed from {before.name}"
            if before.name == new:
                raise WrongName(f"{name} has this name already")
            if one := property_limits.folded(before.name) == property_limits.folded(new):
                # To Tango both names are one property: they cannot exist together.
                check_name(new)
                _check_storable(CONFIG_PREFIX + new, before.lines)
                self._write(CONFIG_PREFIX + before.name, None, who, f"renamed to {new}")
                try:
                    found = self._put_config(new, before.lines, who, what)
                except (NotWritten, tango.DevFailed):
                    self._put_config(before.name, before.lines, who, f"put back: not renamed to {new}")
                    raise
            else:
                self._check_free(new)
                found = self._put_config(new, before.lines, who, what)
            if settings.active_config.lower() == before.name.lower():
                self._write("ActiveConfig", [found.name], who, what)
            # Also if the property is not set and the default applies.
            if before.name.lower() in map(str.lower, settings.always_configs):
                always = [found.name if n.lower() == before.name.lower() else n for n in settings.always_configs]
                self._write("AlwaysConfigs", always, who, what)
            if not one:
                self._write(CONFIG_PREFIX + before.name, None, who, f"renamed to {found.name}")
            return found

    def activate(self, name: str, who: str) -> str:
        """Make a configuration active ("" for none); returns its name as it is written."""
        with self._turn:
            found = config_in(self._settings(), name).name if name else ""
            self._write("ActiveConfig", [found], who, f"made {found} active" if found else "made none active")
            return found

    def restore(self, number: int, who: str) -> Change:
        """Restore a property as it was after this change of the history.

        Lines with mistakes, which jive can write, cannot be restored, as they cannot be saved.
        """
        with self._turn:
            properties = self.look()
            change = self.history.change(number)
            if change is None:
                raise UnknownChange(f"the history has no change {number}; `History` lists those that are kept")
            named = {name.lower(): name for name in properties}
            name = named.get(change.property.lower(), change.property)
            if change.lines is None and name not in properties:
                return change
            settings = settings_from_properties(self._device, properties)
            if name.lower().startswith(CONFIG_PREFIX.lower()):
                config_name = name[len(CONFIG_PREFIX) :]
                if change.lines is None:
                    self._check_unused(config_name, settings)
                else:
                    _check_content(change.lines, config_name)
            if name.lower() == "activeconfig" and any(change.lines or ()):
                config_in(settings, (change.lines or ("",))[0].strip())
            self._write(name, change.lines, who, f"restored {number}")
            return change

    # ------------------------------------------------------------------ what is there

    def _settings(self) -> Settings:
        return settings_from_properties(self._device, self.look())

    def _config(self, name: str) -> StoredConfiguration | None:
        try:
            return config_in(self._settings(), name)
        except UnknownConfig:
            return None

    def _last(self, found: StoredConfiguration) -> Change | None:
        return self.history.now().get((CONFIG_PREFIX + found.name).lower())

    def _check_unused(self, name: str, settings: Settings) -> None:
        used = with_last_good(settings, self._good())
        for which, named, instead in (
            ("ActiveConfig", (settings.active_config,), (used.active_config,)),
            ("AlwaysConfigs", settings.always_configs, used.always_configs),
        ):
            if name.lower() in map(str.lower, instead) and name.lower() not in map(str.lower, named):
                wrong = ", ".join(named)
                raise InUse(f"{name} is in use, as {which} ({wrong}) is wrong: correct {which} first")
        if name.lower() == settings.active_config.lower():
            raise InUse(f"{name} is the active configuration: make another one active first")
        if name.lower() not in map(str.lower, settings.always_configs):
            return
        if settings.always_configs == DEFAULT_ALWAYS:
            raise InUse(
                f"{name} is always recorded, as the property AlwaysConfigs names no other: name others there first, "
                f"or, if nothing is to be recorded always, save {name} with nothing but a comment in it"
            )
        raise InUse(f"{name} is always recorded: take it out of the property AlwaysConfigs first")

    def _check_free(self, name: str) -> None:
        taken = self._config(check_name(name))
        if taken is not None:
            raise WrongName(f"there is a configuration {taken.name} already")

    # ---------------------------------------------------------------------- writing

    def _put_config(self, name: str, lines: Sequence[str], who: str, what: str) -> StoredConfiguration:
        return StoredConfiguration(name, tuple(self._write(CONFIG_PREFIX + name, lines, who, what)))

    def _write(self, name: str, lines: Sequence[str] | None, who: str, what: str) -> Sequence[str]:
        """Write or delete a property, and check the result; returns the lines that the database has then.

        The history has the earlier lines, because they were just read.
        """
        if lines is None and re.search(r"[*%]", name):
            raise WrongName(f"to Tango the name {name!r} is a pattern that matches others, too: delete it in jive")
        if lines is not None:
            _check_storable(name, lines)
        known = self.history.now()
        before = known.get(name.lower())
        if lines is not None and (before is None or before.lines is None):
            _check_apart(name, [change.property for change in known.values() if change.lines is not None])
        failed = ""
        try:
            self._put(name, lines)
        except tango.DevFailed as refused:
            failed = reason(refused)
        try:
            found = self._db.properties(self._device)
            there = _lines_of(found, name)
            if not failed and _same(there, lines):
                self.history.add(who, [(what, name, there)])
                return there or ()
            self._put_back(name, before, found)
        except tango.DevFailed as refused:
            kept = f"change {before.number} of the history" if before else "nothing"
            raise NotWritten(
                f"{name}: the Tango database does not answer any more ({failed or reason(refused)}): check whether "
                f"it has the new value or the old one; the earlier value is {kept}"
            ) from refused
        raise NotWritten(f"{name}: {failed or _difference(lines, there)}; the old value is in place")

    def _put_back(self, name: str, before: Change | None, found: Mapping[str, list[str]]) -> None:
        old = before.lines if before else None
        if _same(_lines_of(found, name), old):
            return
        # The present value may also be from somebody who wrote at the same time.
        self.history.notice(found)
        self._put(name, old)
        now = _lines_of(self._db.properties(self._device), name)
        self.history.add(DATABASE_AUTHOR, [("did not keep what was written; the old value was put back", name, now)])
        if not _same(now, old):
            raise NotWritten(
                f"{name}: the Tango database has kept neither the new value nor the old one: see the history"
            )

    def _put(self, name: str, lines: Sequence[str] | None) -> None:
        if lines is None:
            self._db.delete_property(self._device, name)
        else:
            self._db.put_property(self._device, name, lines)


def split(lines: Sequence[str]) -> list[str]:
    """Single lines, also from texts with line breaks, without blank lines at the end."""
    found = [piece for line in lines for piece in (line.splitlines() or [""])]
    while found and not found[-1].strip():
        found.pop()
    return found


def check_name(name: str) -> str:
    """The name. WrongName if it is not valid for a configuration."""
    if not _CONFIG_NAME.fullmatch(name):
        raise WrongName(
            f"{name!r} is not a valid name of a configuration: use letters (a to z), digits, '.', '_' and '-', "
            "and begin with a letter or a digit"
        )
    limit = property_limits.MAX_NAME_CHARACTERS - len(CONFIG_PREFIX)
    if len(name) > limit:
        raise WrongName(f"the name has {len(name)} characters; {limit} are possible")
    return name


def _check_content(lines: Sequence[str], name: str) -> None:
    if not lines:
        raise WrongContent(f"{name}: there is no line; to remove the configuration, delete it")
    _check_storable(CONFIG_PREFIX + name, lines)
    _, problems = parse_new_entries(lines, name)
    if problems:
        raise WrongContent("nothing was saved: " + "; ".join(problems[:20]))


def _check_storable(name: str, lines: Sequence[str]) -> None:
    problems = property_limits.storage_problems(name, lines)
    if problems:
        raise WrongContent(f"nothing was saved: {name}: " + "; ".join(problems[:20]))


def _check_apart(name: str, others: Sequence[str]) -> None:
    """Check that the database does not take the name of a new property for that of another one."""
    for other in others:
        if property_limits.folded(other) == property_limits.folded(name):
            raise WrongName(f"for the Tango database {name} and {other}, which exists, are the same property")


def _changed(found: StoredConfiguration, based_on: str, last: Change | None) -> str:
    if not based_on:
        return f"there is a configuration {found.name} already, of revision {found.revision}; nothing was saved"
    by = f" by {last.who}, {last.time}" if last else ""
    return (
        f"{found.name} has been changed in the meantime{by}: its revision is {found.revision}, and your change is "
        f"based on {based_on}; nothing was saved. Read the configuration again, and repeat your changes"
    )


def _lines_of(properties: Mapping[str, list[str]], name: str) -> tuple[str, ...] | None:
    return next((tuple(lines) for found, lines in properties.items() if found.lower() == name.lower()), None)


def _same(one: Sequence[str] | None, other: Sequence[str] | None) -> bool:
    """Whether the lines are the same; a property without text equals no property."""
    return list(one or ()) == list(other or ()) or not (any(one or ()) or any(other or ()))


def _difference(wanted: Sequence[str] | None, there: Sequence[str] | None) -> str:
    if wanted is None:
        return "the property still exists"
    for number, (line, kept) in enumerate(zip(wanted, there or (), strict=False), start=1):
        if line != kept:
            return f"line {number} was not stored as it was written: {line[:80]!r} became {kept[:80]!r}"
    return f"{len(wanted)} lines were written, and the database has {len(there or ())}"
