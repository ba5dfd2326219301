"""The results of a scan: a few numbers for each counter, and the data of a small plot.

Points arrive in the thread that measures, so each costs a few microseconds, and memory is bounded.
This module does not know Sardana. One thread adds points; another one may ask for the results so far.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

from scifish.message import Message

MAX_COUNTERS = 64
"""Maximum number of counters with results; of a scan with more, the first ones have them."""

MAX_PLOT_POINTS = 2000
"""Maximum number of points in a plot. Beyond it every second point is dropped, and every second new one is skipped."""

RESULTS_GROUP = "Scan results"


@dataclass(frozen=True)
class Column:
    """A scalar column of a scan: its key in each point, what people call it, and its unit ("" if not known)."""

    name: str
    label: str
    unit: str = ""

    @property
    def title(self) -> str:
        return f"{self.label} ({self.unit})" if self.unit else self.label


class _Counter:
    """The numbers of one counter. Values that are not finite numbers are ignored."""

    __slots__ = ("column", "count", "first", "last", "max", "max_at", "min", "total")

    def __init__(self, column: Column) -> None:
        self.column = column
        self.count = 0
        self.total = 0.0
        self.first = self.last = math.nan
        self.min, self.max = math.inf, -math.inf
        self.max_at: tuple[float, ...] = ()


class ScanResults:
    """The results of one scan.

    `axes` are the scanned motors, in the order of the scan; for a scan in time, only the time.
    """

    def __init__(self, counters: Sequence[Column], axes: Sequence[Column], title: str = "") -> None:
        self.title = title
        self._counters = [_Counter(column) for column in counters[:MAX_COUNTERS]]
        self._axes = list(axes)
        self._names = [column.name for column in self._axes] + [counter.column.name for counter in self._counters]
        self._rows: list[tuple[float, ...]] = []
        self._stride = 1
        self._points = 0

    def add(self, values: Mapping[str, Any]) -> None:
        """Add a point: values by the names of the columns. What is missing, or not a number, is left out."""
        row = tuple([_number(values.get(name)) for name in self._names])
        axes = len(self._axes)
        for counter, value in zip(self._counters, row[axes:], strict=True):
            if value != value:  # NaN
                continue
            counter.count += 1
            counter.total += value
            counter.last = value
            if counter.count == 1:
                counter.first = value
            if value < counter.min:
                counter.min = value
            if value > counter.max:
                counter.max, counter.max_at = value, row[:axes]
        if self._points % self._stride == 0:
            self._rows.append(row)
            if len(self._rows) >= MAX_PLOT_POINTS:
                self._rows = self._rows[::2]
                self._stride *= 2
        self._points += 1

    def as_metadata(self) -> Message:
        """A group `Scan results` with a group for each counter, in the form of `scientificMetadata`.

        {} if there are no results.
        """
        found: Message = {}
        for counter in self._counters:
            if counter.count:
                label = counter.column.label
                found[group_name(counter.column.name if label in found else label)] = self._of(counter)
        return {RESULTS_GROUP: found} if found else {}

    def _of(self, counter: _Counter) -> Message:
        numbers = {
            "first": counter.first,
            "last": counter.last,
            "min": counter.min,
            "max": counter.max,
            "mean": counter.total / counter.count,
        }
        found: Message = {name: {"value": value, "unit": counter.column.unit} for name, value in numbers.items()}
        found["points"] = {"value": counter.count}
        at = {
            group_name(axis.label): {"value": position, "unit": axis.unit}
            for axis, position in zip(self._axes, counter.max_at, strict=True)
            if position == position
        }
        return found | ({"position of max": at} if at else {})

    def plot(self, counter: str = "", axis: str = "", marked: Sequence[str] = ()) -> Message | None:
        """The data that `scifish.dataset.plot` draws; None if there is nothing to draw.

        `counter` and `axis` are labels or names. By default the counter is the first one whose value changes, those
        in `marked` (names) before all others; the axis is the first motor. If two motors cover an area, the values
        are colours over both.
        """
        rows = list(self._rows)
        y = self._plotted(rows, counter, marked)
        if y is None:
            return None
        x = self.find_axis(axis) or (self._axes[0] if self._axes else None)
        found = self._line(rows, x, y)
        if not axis and len(self._axes) > 1:
            found = self._area(rows, y) or found
        return found

    def find_counter(self, name: str) -> Column | None:
        """The counter with this label or name."""
        return _find((counter.column for counter in self._counters), name)

    def find_axis(self, name: str) -> Column | None:
        """The motor, or the time, with this label or name."""
        return _find(self._axes, name)

    @property
    def labels(self) -> tuple[list[str], list[str]]:
        """The labels of the counters, and of the axes."""
        return [counter.column.label for counter in self._counters], [axis.label for axis in self._axes]

    def _plotted(self, rows: list[tuple[float, ...]], asked: str, marked: Sequence[str]) -> Column | None:
        if (found := self.find_counter(asked)) is not None:
            return found
        columns = [counter.column for counter in self._counters if counter.count]
        columns.sort(key=lambda column: column.name not in marked)
        varying = (column for column in columns if len(_distinct(self._values(rows, column))) > 1)
        return next(varying, columns[0] if columns else None)

    def _values(self, rows: list[tuple[float, ...]], column: Column) -> list[float]:
        place = self._names.index(column.name)
        return [row[place] for row in rows]

    def _line(self, rows: list[tuple[float, ...]], x: Column | None, y: Column) -> Message | None:
        ys = self._values(rows, y)
        xs = self._values(rows, x) if x else []
        if x is None or not any(map(math.isfinite, xs)):
            x, xs = Column("", "point"), [float(number * self._stride) for number in range(len(rows))]
        pairs = [pair for pair in zip(xs, ys, strict=True) if all(map(math.isfinite, pair))]
        if not pairs:
            return None
        return {
            "title": self.title,
            "x": [pair[0] for pair in pairs],
            "y": [pair[1] for pair in pairs],
            "x_label": x.title,
            "y_label": y.title,
        }

    def _area(self, rows: list[tuple[float, ...]], z: Column) -> Message | None:
        first, second = self._axes[:2]
        triples = [
            found
            for found in zip(*(self._values(rows, column) for column in (first, second, z)), strict=True)
            if all(map(math.isfinite, found))
        ]
        xs, ys, zs = (list(values) for values in zip(*triples, strict=True)) if triples else ([], [], [])
        if not _covers_area(xs, ys):
            return None
        return {
            "title": self.title,
            "x": xs,
            "y": ys,
            "z": zs,
            "x_label": first.title,
            "y_label": second.title,
            "z_label": z.title,
        }


def _number(value: Any) -> float:
    """The value as a finite float; NaN for anything else: a missing value, a text, an array."""
    if isinstance(value, Real):
        number = float(value)
        return number if math.isfinite(number) else math.nan
    return math.nan


def _find(columns: Iterable[Column], name: str) -> Column | None:
    return next((column for column in columns if name and name in (column.label, column.name)), None)


def _distinct(values: Iterable[float]) -> set[float]:
    return {value for value in values if value == value}


def _covers_area(xs: list[float], ys: list[float]) -> bool:
    """Whether the points cover an area (a mesh), and do not lie on a line (an a2scan)."""
    if len(xs) < 4:
        return False
    us, vs = _scaled(xs), _scaled(ys)
    uu, vv, uv = (sum(a * b for a, b in zip(*both, strict=True)) for both in ((us, us), (vs, vs), (us, vs)))
    # Share of the smaller axis of the cloud of points: 0 on a line, 0.5 in a disk or a square.
    spread = math.sqrt((uu - vv) ** 2 / 4 + uv**2)
    return bool(uu + vv) and ((uu + vv) / 2 - spread) / (uu + vv) > 0.01


def _scaled(values: list[float]) -> list[float]:
    low, high = min(values), max(values)
    middle = sum(values) / len(values)
    return [(value - middle) / (high - low or 1.0) for value in values]


def group_name(label: str) -> str:
    """A label as the name of a group. A group with the name `value` would look like a value, so it gets a space."""
    return "value " if label == "value" else label
