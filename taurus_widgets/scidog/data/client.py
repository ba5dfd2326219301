"""The SciDog device as the editor uses it. Its commands check, write and keep the history; nothing else writes.

All methods wait for the device: call them in a thread. They raise NotReachable, Refused, ReadOnlyAccess or
SavedMeanwhile, whose texts are for people.
"""

from __future__ import annotations

import getpass
import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import tango

from scifish.settings import SettingsError
from scifish.settings.devices import NotReachable, PartDevice, Refused
from scifish.settings.properties import find_scidog
from scifish.tango_io.database import TangoDatabase, raw, reason

TIMEOUT_SECONDS = 5.0
"""Time-out of a call: SciDog itself answers `Validate` after 2.5 s at the latest."""

READ_COMMANDS = ("GetConfig", "InUse", "Validate", "History", "ExportConfig")
"""What the editor needs of SciDog to show a configuration."""

T = TypeVar("T")


class SavedMeanwhile(Refused):
    """Somebody else has changed the configuration since it was read."""


class ReadOnlyAccess(Refused):
    """Tango's access control does not allow this client to call the command."""


@dataclass(frozen=True)
class Stored:
    """A configuration in the device: `revision` is needed to save it."""

    name: str
    revision: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Overview:
    """What the beamline has. `read_only` says why this client cannot save; "" if it can, as far as is known."""

    device: str
    configs: tuple[str, ...]
    active: str
    always: tuple[str, ...]
    problems: tuple[str, ...]
    recorded: tuple[tuple[str, str], ...]
    """(source, configuration) of all entries that a scan records now."""
    max_array: int
    read_only: str

    def use_of(self, name: str) -> str:
        """`active`, `always` or ""."""
        if name.lower() == self.active.lower():
            return "active"
        return "always" if name.lower() in map(str.lower, self.always) else ""


@dataclass(frozen=True)
class HistoryChange:
    """One change of the history, see SciDog's command History. `lines` is the number of lines after it."""

    number: int
    time: str
    who: str
    what: str
    property: str
    revision: str
    lines: int
    added: int
    removed: int


class ScidogClient:
    """One SciDog. Threads may share it. `device` "" means the one of SCIDOG_DEVICE, or the only one in the database."""

    def __init__(self, device: str = "") -> None:
        self._name = device
        self._part: PartDevice | None = None
        self._lock = threading.Lock()

    def find(self) -> str:
        """The name of the device."""
        if not self._name:
            self._name = self._asked(self._find)
        return self._name

    def overview(self) -> Overview:
        def read() -> Overview:
            part = self._connected()
            used = json.loads(part.command("InUse"))
            access = part.proxy.get_access_control()
            return Overview(
                self.find(),
                tuple(part.read("Configs")),
                str(part.read("ActiveConfig")),
                tuple(used["always_configs"]),
                tuple(part.read("Problems")),
                tuple((entry["source"], entry["config"]) for entry in json.loads(part.read("Entries"))),
                int(used["max_array_size"]),
                self._read_only() if access == tango.AccessControlType.ACCESS_READ else "",
            )

        return self._asked(read)

    def config(self, name: str) -> Stored:
        return _stored(self._command("GetConfig", raw(name)))

    def save(self, name: str, lines: Sequence[str], revision: str) -> Stored:
        """Write a configuration; SavedMeanwhile if the device's revision is another one."""
        request = {"name": name, "lines": list(lines), "revision": revision, "who": _user()}
        return _stored(self._command("SaveConfig", json.dumps(request)))

    def validate(self, name: str, lines: Sequence[str]) -> dict[str, Any]:
        """What the device finds in these lines: see its command Validate."""
        found: dict[str, Any] = json.loads(self._command("Validate", json.dumps({"name": name, "lines": list(lines)})))
        return found

    def export(self, name: str, form: str) -> str:
        """The text of a file. `form` is a format of ExportConfig: yaml, csv, csv; or tsv."""
        return str(json.loads(self._command("ExportConfig", [raw(name), form]))["text"])

    def delete(self, name: str, revision: str) -> None:
        self._command("DeleteConfig", [raw(name), revision])

    def rename(self, name: str, new: str) -> None:
        self._command("RenameConfig", [raw(name), raw(new)])

    def activate(self, name: str) -> None:
        """Make it the active configuration; "" for none."""
        self._asked(lambda: self._connected().write("ActiveConfig", raw(name)))

    def history(self, name: str) -> list[HistoryChange]:
        """Newest first."""
        found = json.loads(self._command("History", raw(f"Config.{name}")))
        return [HistoryChange(**change) for change in found]

    def lines_after(self, number: int) -> list[str]:
        """The lines of the property after this change of the history; [] if it was deleted."""
        return list(json.loads(self._command("History", f"#{number}"))["lines"] or ())

    # ---------------------------------------------------------------------- helpers

    def _command(self, command: str, argument: Any) -> Any:
        return self._asked(lambda: self._connected().command(command, argument))

    def _asked(self, call: Callable[[], T]) -> T:
        with tango.EnsureOmniThread():  # Tango has to know its threads
            try:
                return call()
            except (NotReachable, Refused) as error:
                cause = error.__cause__
                why = str(cause.args[0].reason) if isinstance(cause, tango.DevFailed) else ""
                if why == "SciDog_Conflict":
                    raise SavedMeanwhile(str(error)) from error
                if why == "API_ReadOnlyMode":
                    raise ReadOnlyAccess(self._read_only()) from error
                raise

    def _read_only(self) -> str:
        return (
            f"Tango's access control gives {_user()} on this machine only read access to {self._name}: ask for write "
            f"access to it (and for the commands {', '.join(READ_COMMANDS)} of the class SciDog, to see all)"
        )

    def _find(self) -> str:
        try:
            return find_scidog(TangoDatabase())
        except tango.DevFailed as failed:
            raise NotReachable(f"the Tango database does not answer: {reason(failed)}") from failed
        except SettingsError as error:
            raise NotReachable(str(error)) from error

    def _connected(self) -> PartDevice:
        name = self.find()
        with self._lock:
            if self._part is None:
                part = PartDevice("SciDog", name)
                try:
                    # `set_timeout_millis` of an unconnected proxy connects it with the interpreter's lock held.
                    part.proxy.ping()
                    part.proxy.set_timeout_millis(int(TIMEOUT_SECONDS * 1000))
                except tango.DevFailed as failed:
                    raise NotReachable(f"{part}: {reason(failed)}") from failed
                self._part = part
            return self._part


def _user() -> str:
    """The account's name for the history."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # an account without a name
        return "somebody"


def _stored(answer: str) -> Stored:
    found = json.loads(answer)
    return Stored(found["name"], found["revision"], tuple(found["lines"]))
