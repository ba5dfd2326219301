"""Where settings come from: the Tango database, else the last good ones on disk; or fixed ones."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Protocol

import tango

from scifish.config import Entry
from scifish.message import Message
from scifish.settings import (
    BEAMLINE,
    Settings,
    SettingsError,
    find_scidog,
    load_last_good,
    read_properties,
    save_last_good,
    settings_from_properties,
    settings_of,
)
from scifish.tangodb import TangoDatabase, reason

log = logging.getLogger(__name__)

TIMEOUT = 0.5
"""Seconds that a dataset waits for the newest settings, before it takes the known ones."""


class SettingsSource(Protocol):
    """No call raises. `known` does no input or output; `now` waits for `timeout` seconds at most.

    `described` is what `source_of` makes the same source of, in another process.
    """

    def known(self) -> Settings | None: ...

    def now(self, timeout: float = TIMEOUT) -> Settings | None: ...

    def described(self) -> Message: ...


def source_for(settings: Settings | Path | None) -> SettingsSource:
    """Of settings that a program was given; None: those of the SciDog. SettingsError if they cannot be used."""
    if isinstance(settings, Settings):
        return FixedSettings(settings)
    return TangoSettings()


def source_of(described: Message) -> SettingsSource:
    """The source that another process described."""
    if "fixed" in described:
        return FixedSettings(settings_of(described["fixed"]))
    return TangoSettings()


class FixedSettings:
    """Settings that a program was given: no Tango database is asked. SettingsError if they name no beamline."""

    def __init__(self, settings: Settings) -> None:
        if not BEAMLINE.fullmatch(settings.beamline) or not settings.topic:
            raise SettingsError(
                f"beamline {settings.beamline!r} and topic {settings.topic!r}: both are needed, and a beamline is a "
                "short name of letters, digits, '.', '_' and '-'"
            )
        self._settings = settings

    def known(self) -> Settings | None:
        return self._settings

    def now(self, timeout: float = TIMEOUT) -> Settings | None:
        return self._settings

    def described(self) -> Message:
        return {"fixed": asdict(self._settings)}


class TangoSettings:
    """The properties of the beamline's SciDog, read anew when asked, so that an edit in jive is in effect.

    With the database away, the last good settings are used, from memory or from disk.
    """

    def __init__(self) -> None:
        self._db: TangoDatabase | None = None
        self._known = load_last_good()
        self._understood: tuple[str, Mapping[str, Sequence[str]]] = ("", {})
        self._trouble = ""
        self._lock = threading.Lock()
        self._reading: threading.Event | None = None

    def known(self) -> Settings | None:
        return self._known

    def described(self) -> Message:
        return {}

    def now(self, timeout: float = TIMEOUT) -> Settings | None:
        """As they are now, or those known if the database takes longer than `timeout` seconds."""
        with self._lock:
            if self._reading is None:
                self._reading = threading.Event()
                # One of them: a database that hangs must not take a thread for each scan.
                threading.Thread(target=self._read_all, name="scifish-settings", daemon=True).start()
            reading = self._reading
        if not reading.wait(timeout):
            self._say("the database does not answer")
        return self._known

    def _read_all(self) -> None:
        try:
            with tango.EnsureOmniThread():
                self._take(self._read())
            self._say("")
        except Exception as error:  # noqa: BLE001 - DevFailed, SettingsError: recording goes on without
            self._db = None
            self._say(_first_line(error))
        finally:
            with self._lock:
                reading, self._reading = self._reading, None
            if reading is not None:
                reading.set()

    def _take(self, found: Settings) -> None:
        if found == self._known:
            return
        for problem in found.problems:
            log.warning("%s: %s", found.scidog, problem)
        self._known = found
        try:
            save_last_good(found)
        except OSError as error:
            log.warning("the settings of %s cannot be kept on disk: %s", found.scidog, error)

    def _read(self) -> Settings:
        if self._db is None:
            self._db = TangoDatabase()
        device = find_scidog(self._db)
        properties = read_properties(self._db, device)
        if self._known is None or (device, properties) != self._understood:
            # Only what has changed is worked out again: this runs beside a scan that has just begun.
            found = _with_last_good_configs(settings_from_properties(device, properties), self._known)
            self._understood = (device, properties)
            return found
        return self._known

    def _say(self, trouble: str) -> None:
        if trouble and not self._trouble:
            kept = "the last good ones are in use" if self._known else "none were kept, so recording waits for it"
            log.warning("settings cannot be read from the Tango database (%s); %s", trouble, kept)
        self._trouble = trouble


def _with_last_good_configs(found: Settings, before: Settings | None) -> Settings:
    """Put the last good configuration in the place of one that cannot be read at all."""
    if before is None or before.scidog != found.scidog:
        return found
    configs = dict(found.configs)
    problems = []
    for name in found.configs:
        if _unreadable(found, name) and not _unreadable(before, name) and before.configs.get(name):
            configs[name] = before.configs[name]
            problems.append(f"{name}: no line of it can be read; the last good one is in use")
    return replace(found, configs=configs, problems=(*found.problems, *problems)) if problems else found


def _unreadable(settings: Settings, name: str) -> bool:
    alone = replace(settings, always_configs=(), active_config=name)
    entries: list[Entry]
    entries, mistakes = alone.entries()
    return bool(mistakes) and not entries


def _first_line(error: Exception) -> str:
    return reason(error) if isinstance(error, tango.DevFailed) else str(error) or type(error).__name__
