"""Rows as CSV that Excel opens correctly with a double click, and the cells of the clipboard's text."""

from __future__ import annotations

import csv
import enum
import io
from typing import BinaryIO

from taurus_widgets.scanlog.data.cells import PLAIN_NUMBER, Sheet, exact, guarded
from taurus_widgets.scanlog.data.columns import Json, Kind
from taurus_widgets.scanlog.exporting.pictures import PictureFile
from taurus_widgets.scanlog.exporting.writer import RowWriter


class Style(enum.Enum):
    """How the spreadsheet writes numbers.

    With a comma as the decimal sign, Excel separates by `;`, and would read 12.4 as the 12th of April.
    """

    POINT = (",", ".")
    COMMA = (";", ",")

    @property
    def separator(self) -> str:
        return self.value[0]

    @property
    def decimal(self) -> str:
        return self.value[1]


class CsvWriter(RowWriter):
    """UTF-8 with a byte order mark: without it Excel reads Latin-1.

    There is no `sep=` line: with it Excel ignores the byte order mark, and other programs read it as data.
    """

    def __init__(self, file: BinaryIO, sheet: Sheet, style: Style = Style.POINT) -> None:
        self._sheet = sheet
        self._style = style
        self._text = io.TextIOWrapper(file, "utf-8-sig", newline="")
        self._csv = csv.writer(self._text, delimiter=style.separator, lineterminator="\r\n")
        self._csv.writerow(map(guarded, sheet.headings))

    def row(self, dataset: Json, pictures: list[PictureFile]) -> None:
        names = ", ".join(picture.name for picture in pictures)
        texts = (names if column.kind is Kind.PICTURE else exact(column, dataset) for column in self._sheet.columns)
        self._csv.writerow(spreadsheet(text, self._style) for text in texts)

    def finish(self) -> None:
        self._text.detach()  # flushes, and leaves the file open


def spreadsheet(text: str, style: Style) -> str:
    """The text of a cell: a number in the spreadsheet's style, anything else guarded against formulas."""
    if PLAIN_NUMBER.fullmatch(text):
        return text.replace(".", style.decimal)
    return guarded(text)
