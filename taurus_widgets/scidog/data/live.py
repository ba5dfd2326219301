"""What would be recorded now: each attribute is read as a scan reads it, by `scifish.attributes`."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import tango

from scifish.attributes.reader import DeviceDescription, Reader, Reading, device_of, entry_leaf
from scifish.configurations import check
from scifish.message import plain
from scifish.settings.entries import Entry
from taurus_widgets.value_text import leaf_text, value_text

LIVE_READ_SECONDS = 2.5
"""Within which all devices must answer."""


class LiveValue(NamedTuple):
    """What an entry would record now. `seconds` is the time until its device's answer; None if there was none.

    `text` is the value after mapping; `raw` the value before it, where that differs. `error` says why there is none.
    """

    text: str
    unit: str = ""
    error: str = ""
    raw: str = ""
    quality: str = ""
    seconds: float | None = None

    @property
    def in_full(self) -> str:
        return " ".join(filter(None, (self.text, self.unit, self.quality_text)))

    @property
    def quality_text(self) -> str:
        """The quality in brackets, if it is not valid."""
        return f"({self.quality.lower()})" if self.quality else ""

    @property
    def took_text(self) -> str:
        return "no answer" if self.seconds is None else f"{1000 * self.seconds:.0f} ms"


class LiveReader:
    """Reads entries, and remembers what is known of the attributes. Its methods are for one thread at a time."""

    def __init__(self, prefix: str = "") -> None:
        """`prefix` is the database of all sources that name none: `tango://host:port/`, "" for TANGO_HOST's."""
        self._prefix = prefix
        self._reader = Reader()

    def read(self, entries: Sequence[Entry], max_array: int) -> list[LiveValue]:
        """A value for each entry, in their order. Never raises, and takes at most `LIVE_READ_SECONDS`."""
        found = [replace(entry, source=located(entry.source, self._prefix)) for entry in entries]
        reads = check.read(found, self._reader, LIVE_READ_SECONDS)
        return [
            _live(entry, reads.readings[entry.source], reads.took.get(device_of(entry.source)), max_array)
            for entry in found
        ]

    def described(self, source: str) -> DeviceDescription | None:
        """What is known of the device of a source; None if it has not answered yet."""
        return self._reader.described(device_of(located(source, self._prefix)))

    def close(self) -> None:
        """Stop, without waiting for devices that hang: their threads end by themselves."""
        threading.Thread(target=self._reader.close, name="scidog-live-end", daemon=True).start()


def located(source: str, prefix: str) -> str:
    """The source with the database in it."""
    return source if "://" in source or "/" not in source else prefix + source


def _live(entry: Entry, reading: Reading, seconds: float | None, max_array: int) -> LiveValue:
    if reading.error:
        return LiveValue("", entry.unit or reading.unit, reading.error, quality=reading.quality, seconds=seconds)
    if isinstance(reading.value, Mapping):
        return LiveValue(f"{len(reading.value)} values", "", quality=reading.quality, seconds=seconds)
    leaf = entry_leaf(entry, reading, max_array)
    unmapped = value_text(plain(reading.value)) if entry.map else ""
    text = leaf_text(leaf)
    return LiveValue(text, leaf["unit"], "", unmapped if unmapped != text else "", reading.quality, seconds)


def mapping_keys(source: str, described: DeviceDescription | None) -> list[str]:
    """The labels or states that an attribute can have, true and false for a boolean; [] for other types."""
    if described is None:
        return []
    attribute = source.rpartition("/")[2].lower()
    labels, kind = described.labels.get(attribute), described.types.get(attribute)
    if labels:
        return list(labels)
    if kind == tango.CmdArgType.DevState:
        return list(check.STATES)
    return ["true", "false"] if kind == tango.CmdArgType.DevBoolean else []
