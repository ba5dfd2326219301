"""Rows for the clipboard: as text for spreadsheets, and as a table for Word and mail."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass

from taurus_widgets.scanlog.data.cells import Sheet, exact, guarded, readable
from taurus_widgets.scanlog.data.columns import Json
from taurus_widgets.scanlog.exporting.csv_file import Style, spreadsheet
from taurus_widgets.scanlog.exporting.html_file import table

MAX_CLIPBOARD_ROWS = 20_000
"""More rows belong into a file: the clipboard is in memory, twice."""


@dataclass(frozen=True)
class ClipboardContent:
    """The same rows in both forms."""

    text: str
    html: str


def copied(sheet: Sheet, rows: list[Json], style: Style) -> ClipboardContent:
    """Copy rows in Excel's own format, with tabs and quotes. No cell is a formula in either form."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, dialect="excel-tab")
    writer.writerow(map(guarded, sheet.headings))
    writer.writerows([spreadsheet(exact(column, row), style) for column in sheet.columns] for row in rows)
    cells = [[spreadsheet(readable(column, row), style) for column in sheet.columns] for row in rows]
    return ClipboardContent(
        text.getvalue(), f"<html><body>{table(list(map(guarded, sheet.headings)), cells)}</body></html>"
    )
