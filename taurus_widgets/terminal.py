"""The scan log as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ingest.scicat import SciCat
from taurus_widgets import columns as cols
from taurus_widgets.columns import Column, Json, Kind
from taurus_widgets.feed import Feed

PIPED_WIDTH = 160
"""Characters of a line that goes to a file and not to a terminal."""

_STYLES = {
    "running": "bold blue",
    "completed": "green",
    "stopped": "dim",
    "aborted": "yellow",
    "failed": "bold red",
    "interrupted": "magenta",
}


def read_and_print(
    scicat: SciCat, columns: Sequence[Column], proposal: str = "", newest: int = 200, console: Console | None = None
) -> int:
    """Print the newest datasets, the last one on top; their number is returned. Raises SciCatError."""
    console = console or make_console()
    datasets = Feed(scicat, cols.fields_of(columns), proposal, newest).read()
    datasets.sort(key=lambda dataset: str(dataset.get("creationTime", "")), reverse=True)
    console.print(table(datasets, columns))
    return len(datasets)


def make_console() -> Console:
    """As wide as the terminal, or wide enough where there is none."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPED_WIDTH)


def table(datasets: Sequence[Json], columns: Sequence[Column]) -> Table:
    """Columns that are empty in all rows are left out: a terminal has no room to spare."""
    shown = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False)
    for dataset in datasets:
        columns = [column.named_by(dataset) for column in columns]
    rows = [[_cell(column, dataset) for column in columns] for dataset in datasets]
    filled = [place for place in range(len(columns)) if not rows or any(row[place].plain.strip() for row in rows)]
    for place in filled:
        column = columns[place]
        shown.add_column(
            Text(column.title),
            justify="right" if column.kind is Kind.NUMBER else "left",
            no_wrap=True,
            overflow="ellipsis",
            # Only text may be cut where the terminal is narrow: half a number is a wrong number.
            min_width=None if column.kind is Kind.TEXT else max((row[place].cell_len for row in rows), default=None),
        )
    for row in rows:
        shown.add_row(*(row[place] for place in filled))
    return shown


def _cell(column: Column, dataset: Json) -> Text:
    # A Text and not a str: rich would read "[bold]" in a comment as its own markup.
    text = column.text(dataset)
    if column.kind is Kind.STATUS:
        return Text(f"{cols.GLYPHS.get(text, ' ')} {text}".rstrip(), _STYLES.get(text, ""))
    return Text(text, "yellow" if column.kind is Kind.RATING else "")
