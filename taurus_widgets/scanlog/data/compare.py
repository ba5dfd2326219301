"""The differences between datasets. No Qt here.

Values that only identify a dataset (pid, scan number, times) are not compared, because they always differ; they are in
the headings of the columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scifish.message import is_leaf
from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.cells import guarded
from taurus_widgets.scanlog.data.columns import Json, line
from taurus_widgets.scanlog.data.detail_lines import DETAIL_DIGITS, MAX_LINE_VALUES, own_lines

MISSING = "\u2013"
"""In place of a value that a dataset does not have."""

_NAMES_ONLY = frozenset({"Pid", "Started", "Ended"})
_EXTRAS = {"end": "end", "min": "minimum", "max": "maximum", "mean": "mean", "std": "standard deviation"}

Path = tuple[str, ...]


@dataclass(frozen=True)
class Cell:
    """The value of one dataset. `sameness` is equal in two cells if their values do not differ."""

    text: str = MISSING
    whole: Any = None
    numeric: bool = False
    unit: str = ""
    sameness: Any = None

    @property
    def missing(self) -> bool:
        return self.sameness is None


@dataclass(frozen=True)
class Row:
    """One value in all datasets. If the units differ, each cell has its own unit and `unit` is ""."""

    group: str
    name: str
    unit: str
    cells: tuple[Cell, ...]

    @property
    def label(self) -> str:
        """The label of the row, such as `Machine / Ring current (mA)`."""
        name = f"{self.group} / {self.name}" if self.group else self.name
        return f"{name} ({self.unit})" if self.unit else name

    def differs(self, place: int, reference: int) -> bool:
        """Whether the value of the dataset at `place` differs from that of the one at `reference`."""
        return bool(self.cells[place].sameness != self.cells[reference].sameness)


@dataclass(frozen=True)
class Comparison:
    """The values that differ, and the number of compared values."""

    rows: tuple[Row, ...]
    compared: int


def compare(datasets: Sequence[Json]) -> Comparison:
    """The values that differ between these datasets, in the order of the first one."""
    found: dict[Path, dict[int, tuple[str, Cell]]] = {}
    for place, dataset in enumerate(datasets):
        for path, name, cell in _values(dataset):
            found.setdefault(path, {})[place] = (name, cell)
    rows = [_row(path, held, len(datasets)) for path, held in _grouped(found)]
    different = tuple(row for row in rows if any(row.differs(place, 0) for place in range(len(datasets))))
    return Comparison(different, len(rows))


def _grouped(found: dict[Path, dict[int, tuple[str, Cell]]]) -> list[tuple[Path, dict[int, tuple[str, Cell]]]]:
    """The values sorted by group, including values that only later datasets have."""
    groups = {group: place for place, group in enumerate(dict.fromkeys(path[:-1] for path in found))}
    return sorted(found.items(), key=lambda each: groups[each[0][:-1]])


def _row(path: Path, held: Mapping[int, tuple[str, Cell]], count: int) -> Row:
    cells = [held[place][1] if place in held else Cell() for place in range(count)]
    units = {cell.unit for cell in cells if not cell.missing}
    one = units.pop() if len(units) == 1 else ""
    if not one:
        cells = [_with_unit(cell) for cell in cells]
    name = next(iter(held.values()))[0]
    return Row(" / ".join(map(cols.group_name, path[:-1])), name, one, tuple(cells))


def _with_unit(cell: Cell) -> Cell:
    if not cell.unit:
        return cell
    return Cell(f"{cell.text} {cell.unit}", cell.whole, cell.numeric, cell.unit, cell.sameness)


def _values(dataset: Json) -> Iterator[tuple[Path, str, Cell]]:
    for detail in own_lines(dataset):
        if detail.name not in _NAMES_ONLY:
            whole = detail.value if detail.whole is None else detail.whole
            yield ("Dataset", detail.name), detail.name, Cell(detail.value, whole, _numeric(whole), "", _same(whole))
    metadata = dataset.get("scientificMetadata")
    if isinstance(metadata, Mapping):
        yield from _inside(metadata, ())


def _inside(group: Mapping[str, Any], above: Path) -> Iterator[tuple[Path, str, Cell]]:
    for key, inner in group.items():
        path = (*above, str(key))
        if path in (("scan", "scan_id"), ("scan", "status")):  # the status is among the dataset's own values
            continue
        if is_leaf(inner):
            yield from _leaf(path, inner)
        elif isinstance(inner, Mapping):
            yield from _inside(inner, path)
        else:
            text = cols.value_text(inner, DETAIL_DIGITS, MAX_LINE_VALUES)
            yield path, line(key), Cell(text, inner, _numeric(inner), "", _same(inner))


def _leaf(path: Path, leaf: Mapping[str, Any]) -> Iterator[tuple[Path, str, Cell]]:
    name, unit, value = line(leaf.get("human_name")) or line(path[-1]), line(leaf.get("unit")), leaf["value"]
    if leaf.get("error"):
        # Two unread values are equal, even if the texts of the errors differ.
        yield path, name, Cell(cols.NOT_READ, leaf["error"], False, "", ("not read",))
        return
    text = cols.leaf_text(
        {"value": value, **{key: leaf[key] for key in ("shape",) if key in leaf}}, DETAIL_DIGITS, MAX_LINE_VALUES
    )
    sameness = _same_quantity(leaf) or (_same(leaf.get("shape") if value is None else value), unit)
    yield path, name, Cell(text, value, _numeric(value), unit, sameness)
    for key, called in _EXTRAS.items():
        extra = leaf.get(key)
        if extra is not None:
            text = cols.value_text(extra, DETAIL_DIGITS, MAX_LINE_VALUES)
            yield (
                (*path[:-1], f"{path[-1]}, {called}"),
                f"{name}, {called}",
                Cell(text, extra, _numeric(extra), unit, (_same(extra), unit)),
            )


def _same_quantity(leaf: Mapping[str, Any]) -> Any:
    """The value in SI units by SciCat's `valueSI`, so that 7.1 keV equals 7100 eV; None without it."""
    number, unit = leaf.get("valueSI"), leaf.get("unitSI")
    if not _numeric(number) or not isinstance(unit, str) or not unit:
        return None
    return (_same(float(f"{float(number or 0):.9g}")), unit)


def _same(value: Any) -> Any:
    """A key that is equal for equal values, and for numbers that are equal to 15 digits. Never None."""
    if isinstance(value, bool) or value is None:
        return ("", value)
    if isinstance(value, float):
        return float(f"{value:.{DETAIL_DIGITS}g}") if math.isfinite(value) else str(value)
    if isinstance(value, list):
        return tuple(map(_same, value))
    if isinstance(value, Mapping):
        return tuple(sorted((str(name), _same(inner)) for name, inner in value.items() if name not in _BY_SCICAT))
    return value


_BY_SCICAT = frozenset({"valueSI", "unitSI"})


def _numeric(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def heading(dataset: Json) -> str:
    """The heading of a column: scan number and time, and below them the command as typed."""
    first = "   ".join(filter(None, (cols.scan_number(dataset), cols.clock(dataset.get("creationTime")))))
    return "\n".join(filter(None, (first, cols.title(dataset))))


def as_text(comparison: Comparison, datasets: Sequence[Json]) -> str:
    """The whole comparison with tabs between the columns, for pasting into spreadsheets."""
    titles = [heading(dataset).replace("\n", ", ") for dataset in datasets]
    lines = [["Group", "Name", "Unit", *map(guarded, titles)]]
    for row in comparison.rows:
        lines.append([*map(guarded, (row.group, row.name, row.unit)), *map(cell_text, row.cells)])
    return "\n".join("\t".join(texts) for texts in lines)


def cell_text(cell: Cell) -> str:
    return cell.text if cell.numeric else "" if cell.missing else guarded(cell.text)
