"""Figures: measured in one run beside what they are compared with."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class Figure:
    """One measured value, and what was measured beside it in the same run, in the same unit."""

    name: str
    value: float
    unit: str
    beside: Mapping[str, float] = field(default_factory=dict)


def spread(name: str, values: Sequence[float]) -> dict[str, float]:
    """Median, first and third quartile under names that begin with `name`."""
    low, middle, high = statistics.quantiles(values, n=4)
    return {f"{name}_median": round(middle, 4), f"{name}_q1": round(low, 4), f"{name}_q3": round(high, 4)}


def report(figures: Sequence[Figure], file: Path) -> None:
    """Print a table and write the figures as a JSON list."""
    table = Table("Figure", "Value", "Unit", "Beside it, in the same run")
    for figure in figures:
        beside = ", ".join(f"{name} {value:g}" for name, value in figure.beside.items())
        table.add_row(figure.name, f"{figure.value:g}", figure.unit, beside)
    Console().print(table)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n", "utf-8")
