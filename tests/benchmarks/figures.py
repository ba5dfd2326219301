"""Figures: measured in one run beside what they are compared with."""

from __future__ import annotations

import json
import random
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

BUILD = Path(__file__).parents[2] / "build"
RESAMPLES = 1000
QUIET = 10.0
"""Seconds between two lines of progress where there is no terminal."""


class NotMeasured(RuntimeError):
    """What was to be measured did not happen."""


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


def percentile(values: Sequence[float], percent: int) -> float:
    """`percent` from 1 to 99, between two values where it falls between them."""
    return statistics.quantiles(values, n=100, method="inclusive")[percent - 1]


def difference(
    name: str, unit: str, measured: tuple[str, Sequence[float]], reference: tuple[str, Sequence[float]]
) -> Figure:
    """What one costs more than the other: the median over the rounds of the difference within a round.

    Both are a name and a value for each round. A small difference of large values is worth no
    more than its standard error, which is beside it (by bootstrap over the rounds).
    """
    differences = [ours - theirs for ours, theirs in zip(measured[1], reference[1], strict=True)]
    low, middle, high = statistics.quantiles(differences, n=4)
    beside = {
        "standard_error": round(standard_error(differences), 4),
        "q1": round(low, 4),
        "q3": round(high, 4),
        **spread(*measured),
        **spread(*reference),
        "rounds": len(differences),
    }
    return Figure(name, round(middle, 4), unit, beside)


def standard_error(values: Sequence[float]) -> float:
    """Of the median, by bootstrap; the same for the same values."""
    chance = random.Random(1)
    return statistics.stdev(statistics.median(chance.choices(values, k=len(values))) for _ in range(RESAMPLES))


def report(figures: Sequence[Figure], file: Path) -> None:
    """Print a table and write the figures as a JSON list."""
    table = Table("Figure", "Value", "Unit", "Beside it, in the same run", show_lines=True)
    table.columns[0].no_wrap = True
    for figure in figures:
        beside = ", ".join(f"{name} {value:g}" for name, value in figure.beside.items())
        table.add_row(figure.name, f"{figure.value:g}", escape(figure.unit), beside)
    console = Console()
    console.print("")
    console.print(table)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps([asdict(figure) for figure in figures], indent=2) + "\n", "utf-8")


def load(file: Path) -> list[Figure]:
    """What `report` wrote."""
    return [Figure(**figure) for figure in json.loads(file.read_text("utf-8"))]


def alone(name: str, measure: Callable[[], list[Figure]]) -> None:
    """Run one benchmark by itself: its table, and build/<name>.json. Ctrl-C and SIGTERM end it tidily."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    try:
        report(measure(), BUILD / f"{name}.json")
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
        sys.exit(130)


@contextmanager
def scratch(name: str) -> Iterator[Path]:
    """A folder on the disk of this repository: /tmp may be in memory, where an fsync costs nothing."""
    BUILD.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-", dir=BUILD, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


_said = 0.0


def progress(text: str) -> None:
    """Where we are, on stderr: one line that changes on a terminal, else a line now and then."""
    global _said
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text} ", end="", file=sys.stderr, flush=True)
    elif time.monotonic() - _said > QUIET:
        _said = time.monotonic()
        print(text, file=sys.stderr, flush=True)
