"""The scan log as a table for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ingest.scicat import SciCat
from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.columns import Json, Kind, LogColumn
from taurus_widgets.scanlog.data.pages import Pages
from taurus_widgets.scanlog.data.query import DatasetQuery

PIPED_WIDTH = 160
"""Width of the output if it does not go to a terminal."""

LEFT_OUT_FIRST = ("numberOfFiles", "proposalId", "points", "sampleId", "duration", "creationTime")
"""Columns that a narrow terminal leaves out, in this order; never the rating and the comment of people."""

MIN_TEXT_WIDTH = 8
"""Minimum width of a text column in a narrow terminal."""

_STYLES = {
    "running": "bold blue",
    "completed": "green",
    "stopped": "dim",
    "aborted": "yellow",
    "failed": "bold red",
    "interrupted": "magenta",
}


def read_and_print(
    scicat: SciCat, columns: Sequence[LogColumn], proposal: str = "", newest: int = 200, console: Console | None = None
) -> int:
    """Print the newest datasets, newest first. Returns their number. Raises SciCatError."""
    console = console or make_console()
    datasets = Pages(scicat, DatasetQuery(proposal=proposal), tuple(cols.fields_of(columns))).page(0, newest)
    console.print(table(datasets, columns, console.width))
    return len(datasets)


def make_console() -> Console:
    """A console with the width of the terminal, or PIPED_WIDTH without one."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=PIPED_WIDTH)


def table(datasets: Sequence[Json], columns: Sequence[LogColumn], width: int = PIPED_WIDTH) -> Table:
    """A table of at most `width` characters: long texts are cut, and columns left out, with a note about them.

    Columns that are empty in all rows are left out, too: a terminal has no room to spare.
    """
    for dataset in datasets:
        columns = [column.named_by(dataset) for column in columns]
    rows = [[_cell(column, dataset) for column in columns] for dataset in datasets]
    filled = [place for place in range(len(columns)) if not rows or any(row[place].plain for row in rows)]
    natural = {place: max(len(columns[place].title), *(row[place].cell_len for row in rows), 0) for place in filled}
    spare = [place for key in LEFT_OUT_FIRST for place in filled if columns[place].key == key]
    texts = {place for place in filled if columns[place].kind in (Kind.TEXT, Kind.COMMENT)}
    widths = _fitted(natural, texts, width, spare)
    shown = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False, show_edge=False)
    for place in widths:
        right = columns[place].kind is Kind.NUMBER
        shown.add_column(
            Text(columns[place].title),
            justify="right" if right else "left",
            no_wrap=True,
            overflow="ellipsis",
            width=widths[place],
        )
    for row in rows:
        shown.add_row(*(row[place] for place in widths))
    missing = [columns[place].title for place in natural if place not in widths]
    if missing:
        shown.caption = Text(f"No room for: {', '.join(missing)}")
    return shown


def _fitted(natural: dict[int, int], texts: set[int], width: int, spare: Sequence[int]) -> dict[int, int]:
    """The widths by column. Only texts are cut: half a number would be a wrong number.

    `spare` are left out first, and then the last ones.
    """
    widths, spare = dict(natural), list(spare)
    while len(widths) > 1 and _total({place: _shortest(place, widths, texts) for place in widths}) > width:
        del widths[spare.pop(0) if spare else max(widths)]
    while _total(widths) > width:
        longest = max(texts & set(widths), key=lambda place: widths[place], default=None)
        if longest is None:
            break
        widths[longest] -= 1
    return widths


def _shortest(place: int, widths: dict[int, int], texts: set[int]) -> int:
    return min(MIN_TEXT_WIDTH, widths[place]) if place in texts else widths[place]


def _total(widths: dict[int, int]) -> int:
    return sum(widths.values()) + (len(widths) - 1) * len(" | ")


def _cell(column: LogColumn, dataset: Json) -> Text:
    # A Text and not a str: rich would read "[bold]" in a comment as its own markup.
    text = column.text(dataset)
    if column.kind is Kind.STATUS:
        return Text(f"{cols.GLYPHS.get(text, ' ')} {text}".rstrip(), _STYLES.get(text, ""))
    return Text(text, "yellow" if column.kind is Kind.RATING else "")
