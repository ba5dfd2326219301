"""The sources of settings: the Tango database with the last good settings on disk, a YAML file, or the program."""

from __future__ import annotations

import atexit
import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Protocol

import tango

from scifish.message import Message
from scifish.native import threading
from scifish.settings.fallback import in_use, load_last_good, save_last_good, with_last_good, wrong
from scifish.settings.identity import OWN_SETTINGS, Identity, tango_source
from scifish.settings.model import BEAMLINE_NAME, DEVICE_NAME, Settings, SettingsError, settings_of
from scifish.settings.paths import expanded
from scifish.settings.properties import find_scidog, read_properties, settings_from_properties
from scifish.settings.yaml_file import read_settings_file
from scifish.tango_io.database import TangoDatabase, reason

log = logging.getLogger(__name__)

SETTINGS_TIMEOUT_SECONDS = 0.5
"""How long a dataset waits for the newest settings before it uses the known ones."""


EXIT_WAIT_SECONDS = 3.5
"""How long the exit of a program waits for a call of the database, whose time-out is 3 seconds."""


LASTING_TROUBLE_SECONDS = 30.0
"""Seconds after which a Tango database that does not answer is a lasting trouble: it may have been restarted only."""


class SettingsSource(Protocol):
    """No method raises. `known` does no input or output; `now` waits at most `timeout` seconds.

    `described` returns JSON from which `source_of` makes the same source in another process. `name` is the source of an
    `Identity`. `trouble` is a sentence for people if edits of the settings have no effect, and this will last, else "":
    as of the last call of `now`.
    """

    @property
    def trouble(self) -> str: ...

    def known(self) -> Settings | None: ...

    def now(self, timeout: float = SETTINGS_TIMEOUT_SECONDS) -> Settings | None: ...

    def described(self) -> Message: ...

    @property
    def name(self) -> str: ...


def identity_of(source: SettingsSource) -> Identity:
    """With the settings that are known now. No input or output."""
    found = Identity.of(source.name, source.known())
    if isinstance(source, WithPathFixer):  # which PathFixer is known also before the settings are
        return replace(found, path_fixer=source.pathfixer, chosen_path_fixer=True)
    return found


def without_chosen_pathfixer(source: SettingsSource) -> SettingsSource:
    """The source with its own PathFixer: the one that a program has chosen is only for what it records itself."""
    return source.source if isinstance(source, WithPathFixer) else source


def source_of(described: Message) -> SettingsSource:
    """The source that another process has `described`."""
    if "pathfixer" in described:
        return WithPathFixer(source_of(described["source"]), described["pathfixer"])
    if "fixed" in described:
        return FixedSettings(settings_of(described["fixed"]))
    if "file" in described:
        return FileSettings(Path(described["file"]), settings_of(described["good"]))
    return TangoSettings()


CONFIG_VARIABLE = "SCIFISH_CONFIG"
"""The environment variable that names a YAML file of settings, for a machine without a Tango database."""


def settings_source(settings: Settings | str | Path | None = None, pathfixer: str = "") -> SettingsSource:
    """A program's source of settings: its argument, else the file of `SCIFISH_CONFIG`, else SciDog in Tango.

    `pathfixer` is the device to ask in place of the one of the settings. Raises SettingsError if the argument or the
    file cannot be used.
    """
    if pathfixer:
        return WithPathFixer(settings_source(settings), pathfixer)
    if isinstance(settings, Settings):
        return FixedSettings(settings)
    named = _named_file(settings)
    return FileSettings(named) if named else TangoSettings()


def _named_file(settings: str | Path | None) -> Path | None:
    """The YAML file that a program or `SCIFISH_CONFIG` names. SettingsError if the name is that of a device."""
    named = str(settings or os.environ.get(CONFIG_VARIABLE, "").strip())
    if DEVICE_NAME.fullmatch(named) and not Path(named).exists():
        where = f"settings {named!r}" if settings else f"{CONFIG_VARIABLE}={named}"
        raise SettingsError(
            f"{where}: there is no such file, and this looks like a device. A PathFixer is chosen by "
            f"SciFish(pathfixer={named!r}), a SciDog by the environment variable SCIDOG_DEVICE={named}"
        )
    return expanded(named).absolute() if named else None


def check_settings(settings: Settings | str | Path | None) -> Settings | Path | None:
    """Settings as a program gives them, for `recording_session`. Raises as `settings_source`; asks no database."""
    if isinstance(settings, Settings):
        FixedSettings(settings)
        return settings
    if settings is not None and not isinstance(settings, str | Path):
        raise SettingsError(f"{settings!r:.200} is neither Settings nor the path of a YAML file")
    if named := _named_file(settings):
        read_settings_file(named)
    return named if settings else None


def check_pathfixer(pathfixer: object) -> str:
    """The name of a PathFixer as a program gives it; "" for None. SettingsError if it is not the name of a device."""
    if pathfixer is None or pathfixer == "":
        return ""
    if not isinstance(pathfixer, str) or not DEVICE_NAME.fullmatch(pathfixer):
        raise SettingsError(f"pathfixer {pathfixer!r:.200} is not a device's name, such as 'b303a-e02/ctl/sdm-01'")
    return pathfixer


class WithPathFixer:
    """Settings of another source, with the PathFixer that the program names: a beamline can have several."""

    def __init__(self, source: SettingsSource, pathfixer: str) -> None:
        self.source = source
        self.pathfixer = pathfixer

    @property
    def trouble(self) -> str:
        return self.source.trouble

    def known(self) -> Settings | None:
        return self._with_pathfixer(self.source.known())

    def now(self, timeout: float = SETTINGS_TIMEOUT_SECONDS) -> Settings | None:
        return self._with_pathfixer(self.source.now(timeout))

    def described(self) -> Message:
        return {"pathfixer": self.pathfixer, "source": self.source.described()}

    @property
    def name(self) -> str:
        return self.source.name

    def _with_pathfixer(self, settings: Settings | None) -> Settings | None:
        return None if settings is None else replace(settings, path_fixer=self.pathfixer)


class FixedSettings:
    """Settings that a program passes itself: no Tango database is used. SettingsError if they name no beamline.

    The default topic is `scifish-<beamline>`.
    """

    def __init__(self, settings: Settings) -> None:
        if not BEAMLINE_NAME.fullmatch(settings.beamline):
            raise SettingsError(
                f"beamline {settings.beamline!r}: a short name of letters, digits, '.', '_' and '-' is needed"
            )
        _check_types(settings)
        self._settings = replace(settings, topic=settings.topic or f"scifish-{settings.beamline}")

    @property
    def trouble(self) -> str:
        return ""

    def known(self) -> Settings | None:
        return self._settings

    def now(self, timeout: float = SETTINGS_TIMEOUT_SECONDS) -> Settings | None:
        return self._settings

    def described(self) -> Message:
        return {"fixed": asdict(self._settings)}

    @property
    def name(self) -> str:
        return OWN_SETTINGS


def _check_types(settings: Settings) -> None:
    for one in fields(Settings):
        given, default = getattr(settings, one.name), getattr(Settings(), one.name)
        kinds: tuple[type, ...] = (type(default),)
        if isinstance(default, float):
            kinds = (int, float)
        elif isinstance(default, tuple):
            kinds = (tuple, list)
        if not isinstance(given, kinds) or (isinstance(given, bool) and not isinstance(default, bool)):
            wanted = " or ".join(kind.__name__ for kind in kinds)
            raise SettingsError(f"Settings: {one.name} is {given!r:.60}; it must be {wanted}")
    for name, lines in settings.configs.items():
        if not isinstance(lines, tuple | list):
            raise SettingsError(f"Settings: configs[{name!r}] is {lines!r:.60}; it must be a list of lines")


class FileSettings:
    """Settings of a YAML file on a local disk, which is read again when it has changed.

    SettingsError if the file cannot be used and there are no `good` settings. A later edit that is wrong is reported in
    the log and in `problems`, and the last good settings stay in use.
    """

    def __init__(self, path: Path, good: Settings | None = None) -> None:
        self._path = expanded(path).absolute()
        self._lock = threading.Lock()
        self.trouble = ""
        self._stamp = self._stamp_now()
        self._good = self._known = good or read_settings_file(self._path)
        if good is not None:
            self._read_again()
        else:
            self._log_problems(self._good)

    def described(self) -> Message:
        return {"file": str(self._path), "good": asdict(self._good)}

    @property
    def name(self) -> str:
        return str(self._path)

    def known(self) -> Settings | None:
        return self._known

    def now(self, timeout: float = SETTINGS_TIMEOUT_SECONDS) -> Settings | None:
        with self._lock:
            stamp = self._stamp_now()
            if stamp != self._stamp:
                self._stamp = stamp
                self._read_again()
        return self._known

    def _read_again(self) -> None:
        try:
            found = read_settings_file(self._path)
        except SettingsError as error:
            self.trouble = f"{error}; the last good settings are in use"
            log.warning("%s", self.trouble)
            self._known = replace(self._good, problems=(*self._good.problems, self.trouble))
            return
        self.trouble = ""
        found = with_last_good(found, self._good)
        if found != self._good:
            self._log_problems(found)
        self._good = self._known = found

    def _log_problems(self, settings: Settings) -> None:
        for problem in (*settings.problems, *settings.entries()[1]):
            log.warning("%s: %s", self._path, problem)

    def _stamp_now(self) -> tuple[int, int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


_under_way: set[threading.Event] = set()


@atexit.register
def _let_finish() -> None:
    """A program that exits in the middle of a Tango call is aborted by it."""
    deadline = time.monotonic() + EXIT_WAIT_SECONDS
    for reading in list(_under_way):
        reading.wait(max(deadline - time.monotonic(), 0.0))


class TangoSettings:
    """The properties of the beamline's SciDog, read at each call of `now`, so that an edit in jive has effect.

    If the database does not answer, the last good settings are used, from memory or from disk.
    """

    def __init__(self) -> None:
        self._db: TangoDatabase | None = None
        self._known = load_last_good()
        self._parsed: tuple[str, Mapping[str, Sequence[str]]] = ("", {})
        self._trouble = ""
        self._trouble_since = 0.0
        self._is_mistake = False
        self._lock = threading.Lock()
        self._reading: threading.Event | None = None

    def known(self) -> Settings | None:
        return self._known

    @property
    def trouble(self) -> str:
        """A mistake, such as a second SciDog, at once; a database that does not answer after some time."""
        lasting = self._is_mistake or time.monotonic() - self._trouble_since > LASTING_TROUBLE_SECONDS
        return self._trouble_text() if self._trouble and lasting else ""

    def described(self) -> Message:
        return {}

    @property
    def name(self) -> str:
        known = self._known
        return tango_source(known.scidog if known is not None else os.environ.get("SCIDOG_DEVICE", "").strip())

    def now(self, timeout: float = SETTINGS_TIMEOUT_SECONDS) -> Settings | None:
        """The present settings, or the known ones if the database needs longer than `timeout` seconds."""
        with self._lock:
            if self._reading is None:
                self._reading = threading.Event()
                _under_way.add(self._reading)
                # One thread only: a database that hangs must not occupy a thread for each scan.
                threading.Thread(target=self._read_all, name="scifish-settings", daemon=True).start()
            reading = self._reading
        if not reading.wait(timeout):
            self._set_trouble("the database does not answer")
        return self._known

    def _read_all(self) -> None:
        try:
            with tango.EnsureOmniThread():
                self._read()
            self._set_trouble("")
        except Exception as error:  # noqa: BLE001 - DevFailed, SettingsError: recording goes on without
            self._db = None
            self._set_trouble(_first_line(error), is_mistake=isinstance(error, SettingsError))
        finally:
            with self._lock:
                reading, self._reading = self._reading, None
            if reading is not None:
                reading.set()
                _under_way.discard(reading)

    def _use(self, found: Settings) -> None:
        if found == self._known:
            return
        for problem in (*found.problems, *found.replaced):
            log.warning("%s: %s", found.scidog, problem)
        self._known = found
        try:
            save_last_good(found)
        except OSError as error:
            log.warning("the settings of %s cannot be saved on disk: %s", found.scidog, error)

    def _read(self) -> None:
        if self._db is None:
            self._db = TangoDatabase()
        device = find_scidog(self._db)
        properties = read_properties(self._db, device)
        if (device, properties) == self._parsed:
            return  # parsed already: this runs while a scan has just begun
        found = settings_from_properties(device, properties)
        self._use(with_last_good(found, self._known))  # until SciDog has answered, if it is called
        self._use(in_use(found, self._known))
        if not wrong(self._known or found):  # else SciDog is called again next time: it may have been stopped
            self._parsed = (device, properties)

    def _set_trouble(self, trouble: str, *, is_mistake: bool = False) -> None:
        appeared = trouble and not self._trouble
        if appeared:
            self._trouble_since = time.monotonic()
        self._trouble, self._is_mistake = trouble, is_mistake
        if appeared:
            log.warning("%s", self._trouble_text())

    def _trouble_text(self) -> str:
        kept = "the last good settings are in use" if self._known else "none are saved on this machine"
        return f"the settings cannot be read from the Tango database ({self._trouble}); {kept}"


def _first_line(error: Exception) -> str:
    if not isinstance(error, tango.DevFailed):
        return str(error) or type(error).__name__
    if error.args and str(error.args[0].reason) in ("API_CorbaException", "API_CantConnectToDatabase"):
        host = os.environ.get("TANGO_HOST", "")
        return f"nothing answers at TANGO_HOST={host}: check the variable, and that the database's server is running"
    return reason(error)
