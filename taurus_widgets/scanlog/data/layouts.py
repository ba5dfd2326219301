"""The user's column layouts, in a file: several named ones for each beamline.

No Qt here. One file holds all beamlines, as JSON that can be read and repaired by hand.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from taurus_widgets.scanlog.data.columns import column_of, default_columns
from taurus_widgets.scanlog.data.state_folder import configFolder

Json = dict[str, Any]

STANDARD = "Standard"
"""The layout that always exists."""

LAYOUTS_VERSION = 1
MAX_WIDTH_DIGITS = 500.0
"""Larger widths in the file are cut to this."""


@dataclass(frozen=True)
class LayoutColumn:
    """One column. `width` is in digits of the table's font, so that it fits any screen; 0 is the default width."""

    key: str
    width: float = 0.0


Layout = tuple[LayoutColumn, ...]
"""From left to right."""


def default_layout() -> Layout:
    """The default layout."""
    return tuple(LayoutColumn(column.key) for column in default_columns())


@dataclass(frozen=True)
class Layouts:
    """All layouts of one beamline, and which of them is in use. `STANDARD` is always one of them."""

    current: str = STANDARD
    by_name: Mapping[str, Layout] = field(default_factory=lambda: {STANDARD: default_layout()})

    @property
    def shown(self) -> Layout:
        return self.by_name[self.current]

    def with_layout(self, name: str, layout: Layout) -> Layouts:
        """A copy with this layout changed or added, and in use."""
        return Layouts(name, {**self.by_name, name: layout})

    def using(self, name: str) -> Layouts:
        return Layouts(name, self.by_name)

    def without(self, name: str) -> Layouts:
        """A copy without this layout; if it was in use, STANDARD is. STANDARD itself is reset to the default."""
        left = {other: layout for other, layout in self.by_name.items() if other != name}
        current = STANDARD if self.current == name else self.current
        return Layouts(current, {STANDARD: default_layout(), **left})


class LayoutFile:
    """`path` is created at the first `write`. Several windows may share it: each writes its own beamline only."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, beamline: str) -> Layouts:
        """The layouts of this beamline. Raises OSError or ValueError, which name the file, if it cannot be read."""
        kept = self._content().get("beamlines", {}).get(beamline)
        if kept is None:
            return Layouts()
        try:
            by_name = {str(name): _layout(places) for name, places in kept["layouts"].items()}
            current = str(kept.get("current", STANDARD))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(
                f"{self.path}: the layouts of {beamline or 'all beamlines'} cannot be understood"
            ) from error
        by_name = {STANDARD: default_layout(), **{name: layout for name, layout in by_name.items() if layout}}
        return Layouts(current if current in by_name else STANDARD, by_name)

    def write(self, beamline: str, layouts: Layouts) -> None:
        """Save the layouts. Raises the same as `read`: an unreadable file is not overwritten."""
        with self._locked():
            self.read(beamline)
            content = self._content()
            kept = {
                name: [{"column": place.key, "width": round(place.width, 1)} for place in layout]
                for name, layout in layouts.by_name.items()
            }
            content.setdefault("beamlines", {})[beamline] = {"current": layouts.current, "layouts": kept}
            self._replace(content)

    def beamline_of(self, url: str) -> str:
        """The beamline of this catalogue's datasets when it was last read; "" if unknown."""
        return str(self._content().get("catalogues", {}).get(url, ""))

    def set_beamline_of(self, url: str, beamline: str) -> None:
        with self._locked():
            content = self._content()
            content.setdefault("catalogues", {})[url] = beamline
            self._replace(content)

    def _content(self) -> Json:
        try:
            text = self.path.read_text("utf-8")
        except FileNotFoundError:
            return {"version": LAYOUTS_VERSION}
        try:
            content = json.loads(text)
        except ValueError as error:
            raise ValueError(f"{self.path} is not JSON ({error}): repair or delete it") from error
        parts = (
            (content.get(name, {}) for name in ("beamlines", "catalogues")) if isinstance(content, dict) else (None,)
        )
        if not all(isinstance(part, dict) for part in parts):
            raise ValueError(f"{self.path} holds no layouts of a scan log: repair or delete it")
        return dict(content)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock the file: of two windows that write at the same time, one would lose its changes."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.with_suffix(".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _replace(self, content: Json) -> None:
        fresh = self.path.with_suffix(".new")
        with fresh.open("w", encoding="utf-8") as file:
            json.dump(content, file, indent=1, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(self.path)


def user_file() -> LayoutFile:
    """In the user's folder for settings: `$XDG_CONFIG_HOME/scizoo/scanlog.json`, or `~/.config/scizoo/scanlog.json`."""
    return LayoutFile(configFolder() / "scanlog.json")


def _layout(places: Any) -> Layout:
    widths = {column_of(str(place["column"])).key: float(place.get("width", 0)) for place in places}
    return tuple(LayoutColumn(key, min(max(width, 0.0), MAX_WIDTH_DIGITS)) for key, width in widths.items())
