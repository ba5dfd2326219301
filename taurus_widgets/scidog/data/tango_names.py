"""What there is in a Tango database: devices, aliases, Sardana's elements, and an index of all attributes.

The database knows devices but no attributes: each device is asked once, in the background, and its answer is kept on
disk, so that a search is answered from memory.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import tango
from platformdirs import user_cache_path

from scifish.tango_io.database import TangoDatabase
from scifish.tango_io.executors import ThreadPool

ASKING_THREADS = 4
"""Devices that are asked for their attributes at the same time: a facility's devices have more important clients."""

ASK_TIMEOUT_SECONDS = 2.0

KEPT_SECONDS = 7 * 86_400.0
"""After this time a device is asked again."""

SARDANA_CLASSES: Mapping[str, str] = {
    "Motor": "Motors",
    "PseudoMotor": "Pseudo motors",
    "CTExpChannel": "Counters",
    "ZeroDExpChannel": "0D channels",
    "OneDExpChannel": "1D channels",
    "TwoDExpChannel": "2D channels",
    "PseudoCounter": "Pseudo counters",
    "IORegister": "IO registers",
    "TriggerGate": "Triggers",
}
"""By Tango class: the heading of Sardana's elements."""

MAX_HITS = 200
"""Attributes that a search lists."""


@dataclass(frozen=True)
class Names:
    """The devices of a database. `running` has the lower-case names of those that a server has exported.

    `aliases` has the device of each alias; `sardana` the devices by heading.
    """

    devices: tuple[str, ...] = ()
    running: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = field(default_factory=dict)
    sardana: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def alias_of(self) -> dict[str, str]:
        """The alias by device in lower case."""
        return {device.lower(): alias for alias, device in self.aliases.items()}


def read_names(host: str) -> Names:
    """Ask the database for its devices: a few calls, whatever their number. Raises `tango.DevFailed`."""
    with tango.EnsureOmniThread():
        db = TangoDatabase(host)
        return Names(
            tuple(sorted(db.device_names("*"), key=str.lower)),
            frozenset(name.lower() for name in db.running_devices()),
        )


def read_aliases(host: str, names: Names) -> Names:
    """The names with aliases and Sardana's elements: a call for each alias. Raises `tango.DevFailed`."""
    with tango.EnsureOmniThread():
        db = TangoDatabase(host)
        sardana = {title: tuple(db.devices_of_class(kind)) for kind, title in SARDANA_CLASSES.items()}
        return Names(
            names.devices, names.running, db.aliases(), {title: found for title, found in sardana.items() if found}
        )


def new_devices(host: str, word: str, names: Names) -> list[str]:
    """Devices with this word in their name (`*` is any text) that were added since. Raises `tango.DevFailed`."""
    with tango.EnsureOmniThread():
        known = {device.lower() for device in names.devices}
        found = TangoDatabase(host).device_names(f"*{word}*")
        return [device for device in found if device.lower() not in known]


# --------------------------------------------------------------------------- the index


@dataclass(frozen=True)
class Hit:
    """An attribute that a search has found."""

    device: str
    attribute: str


@dataclass(frozen=True)
class SearchResult:
    """The first `MAX_HITS` attributes by device, the devices whose name matches, and the number of all attributes."""

    attributes: tuple[Hit, ...]
    devices: tuple[str, ...]
    total: int


class AttributeIndex:
    """The attributes of all devices of one database. Threads may share it.

    `asked` and `to_ask` say how far `fill` is. The file is replaced as a whole, and an unreadable one is made anew.
    """

    def __init__(self, host: str, file: Path | None = None) -> None:
        self._host = host
        self._prefix = f"tango://{host}/" if host else ""
        self._file = file or _cache_file(host)
        self._lock = threading.Lock()
        self._load_lock = threading.Lock()
        self._loaded = False
        self._known: dict[str, tuple[float, tuple[str, ...]]] = {}
        self._lines: list[tuple[str, str, str]] | None = None
        self._aliases: Mapping[str, str] = {}
        self._spelled: Mapping[str, str] = {}
        self._end = threading.Event()
        self.asked = self.to_ask = 0
        self.trouble = ""
        """Why the file cannot be written; the index works without it."""

    @property
    def count(self) -> int:
        """The number of known attributes."""
        with self._lock:
            return sum(len(names) for _, names in self._known.values())

    def know(self, names: Names) -> None:
        """The devices and aliases that there are; what is known of devices that are gone is forgotten."""
        with self._lock:
            self._aliases = names.alias_of()
            self._spelled = {device.lower(): device for device in names.devices}
            for gone in self._known.keys() - self._spelled.keys():
                del self._known[gone]
            self._lines = None

    def fill(self, names: Names, progress: Callable[[], None] = lambda: None) -> None:
        """Ask the running devices that are not known, or were asked too long ago. Returns when all were asked."""
        self.load()
        self.know(names)
        now = time.time()
        with self._lock:
            wanted = [
                device
                for device in names.devices
                if device.lower() in names.running
                and now - self._known.get(device.lower(), (0.0, ()))[0] > KEPT_SECONDS
            ]
            self.asked, self.to_ask = 0, len(wanted)
        if not wanted:
            return
        pool = ThreadPool("scidog-index", ASKING_THREADS)
        done = threading.Event()

        def ask(device: str) -> None:
            attributes = [] if self._end.is_set() else ask_attributes(self._prefix + device)
            with self._lock:
                if attributes:
                    self._put(device, attributes, time.time())
                self.asked += 1
                last = self.asked == len(wanted)
            if last:
                done.set()
            elif self.asked % 100 == 0:
                progress()

        for device in wanted:
            pool.submit(lambda device=device: ask(device))  # type: ignore[misc]
        done.wait()
        pool.stop()
        self._save()
        progress()

    def stop(self) -> None:
        """End `fill` early, without waiting for the devices that are being asked."""
        self._end.set()

    def put(self, device: str, attributes: Sequence[str]) -> None:
        """A device's attributes, as it has just said."""
        with self._lock:
            if self._known.get(device.lower(), (0.0, ()))[1] != tuple(attributes):
                self._put(device, attributes, time.time())

    def _put(self, device: str, attributes: Sequence[str], when: float) -> None:
        self._known[device.lower()] = (when, tuple(attributes))
        self._lines = None

    def attributes_of(self, device: str) -> tuple[str, ...]:
        """As they are known; () if the device has not answered yet."""
        with self._lock:
            return self._known.get(device.lower(), (0.0, ()))[1]

    def search(self, text: str, names: Names) -> SearchResult:
        """Each word of the text must be found: anywhere in the name or alias, or with `*` as a whole part of it."""
        words = [_Word(word) for word in text.lower().split()]
        if not words:
            return SearchResult((), (), 0)
        self.load()
        lines = self._all_lines()
        for word in words:
            lines = [line for line in lines if word.found_in(line[0])]
        aliases = self._aliases
        devices = [
            device
            for device in names.devices
            if all(word.found_in(_searched(device, "", aliases.get(device.lower(), ""))) for word in words)
        ]
        hits = tuple(Hit(self._spelled.get(device, device), name) for _, device, name in lines[:MAX_HITS])
        return SearchResult(hits, tuple(devices[:MAX_HITS]), len(lines))

    def _all_lines(self) -> list[tuple[str, str, str]]:
        """(text that is searched, device, attribute) for all attributes, in the order of the names."""
        with self._lock:
            if self._lines is None:
                self._lines = [
                    (_searched(device, name, self._aliases.get(device, "")), device, name)
                    for device, (_, names) in sorted(self._known.items())
                    for name in sorted(names, key=str.lower)
                ]
            return self._lines

    def load(self) -> None:
        """Read the file, once. It may have megabytes: `fill` and `search` read it, in their threads."""
        with self._load_lock:
            if not self._loaded:
                self._read_file()
                self._loaded = True

    def _read_file(self) -> None:
        try:
            content = json.loads(self._file.read_text("utf-8"))
            found = {str(device): (float(when), tuple(map(str, names))) for device, (when, names) in content.items()}
        except FileNotFoundError:
            return
        except (OSError, ValueError, TypeError, AttributeError) as error:
            self.trouble = f"{self._file} cannot be read and is written anew: {error}"
            return
        with self._lock:
            self._known = {**found, **self._known}
            self._lines = None

    def _save(self) -> None:
        with self._lock:
            content = json.dumps(self._known)
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.NamedTemporaryFile("w", dir=self._file.parent, delete=False, encoding="utf-8") as file:
                file.write(content)
            os.replace(file.name, self._file)
            self.trouble = ""
        except OSError as error:
            self.trouble = f"{self._file} cannot be written: {error}; each start asks all devices again"


def _searched(device: str, attribute: str, alias: str) -> str:
    """The text in which a search looks: lines with a / before and behind each part of a name."""
    end = f"/{attribute}/" if attribute else "/"
    return (f"/{device}{end}\n/{alias}{end}" if alias else f"/{device}{end}").lower()


class _Word:
    """A word of a search, in lower case. Its texts between the `*` are looked for first: that is much faster."""

    def __init__(self, word: str) -> None:
        self._word = word
        self._pattern: re.Pattern[str] | None = None
        if "*" in word:
            inner = ".*" if "/" in word else "[^/\n]*"
            pattern = f"/{word}/"
            self._texts = [text for text in pattern.split("*") if text != "/"]
            self._pattern = re.compile(inner.join(map(re.escape, pattern.split("*"))))

    def found_in(self, line: str) -> bool:
        if self._pattern is None:
            return self._word in line
        return all(text in line for text in self._texts) and self._pattern.search(line) is not None


def ask_attributes(device: str) -> list[str]:
    """The names of a device's attributes; [] if it does not answer."""
    try:
        proxy = tango.DeviceProxy(device)
        proxy.ping()  # `set_timeout_millis` of an unconnected proxy connects it with the interpreter's lock held
        proxy.set_timeout_millis(int(ASK_TIMEOUT_SECONDS * 1000))
        return [str(name) for name in proxy.get_attribute_list()]
    except tango.DevFailed:
        return []


def matching(names: Iterable[str], pattern: str) -> list[str]:
    """The names that match a pattern with `*`, whatever their case."""
    wanted = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.IGNORECASE)
    return [name for name in names if wanted.fullmatch(name)]


def _cache_file(host: str) -> Path:
    name = re.sub(r"[^\w.-]", "_", host or os.environ.get("TANGO_HOST", "") or "default")
    try:
        folder = user_cache_path("scizoo")
    except RuntimeError:  # an account without a home
        folder = Path("/var/empty/scizoo")
    return folder / f"tango-attributes-{name}.json"
