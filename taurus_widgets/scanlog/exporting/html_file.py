"""Rows as a self-contained HTML page, and as the table for Word and Excel in the clipboard."""

from __future__ import annotations

import io
from collections.abc import Collection
from html import escape
from typing import BinaryIO

from taurus_widgets.scanlog.data.cells import Sheet, readable
from taurus_widgets.scanlog.data.columns import Json, Kind
from taurus_widgets.scanlog.exporting.pictures import PictureFile
from taurus_widgets.scanlog.exporting.writer import RowWriter

_HEAD = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 14px/1.4 system-ui, sans-serif; margin: 1.5em; }}
h1 {{ font-size: 1.3em; margin: 0 0 .2em; }}
p {{ margin: .2em 0 1em; opacity: .75; }}
table {{ border-collapse: collapse; }}
th, td {{ padding: .25em .6em; text-align: left; vertical-align: top; border-bottom: 1px solid #8884; }}
th {{ position: sticky; top: 0; background: Canvas; border-bottom-width: 2px; }}
tbody tr:nth-child(even) {{ background: #8881; }}
td {{ white-space: pre-wrap; mso-number-format: "\\@"; }}
.n {{ text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; mso-number-format: General; }}
img {{ max-width: 16em; max-height: 10em; display: block; margin: .2em 0; }}
@media print {{ th {{ position: static; }} tr {{ break-inside: avoid; }} }}
</style>
</head>
<body>
<h1>{title}</h1>
<p>From {catalogue}, exported {made:%Y-%m-%d %H:%M:%S %Z}</p>
<table>
<thead><tr>{headings}</tr></thead>
<tbody>
"""


class HtmlWriter(RowWriter):
    """Texts of users are escaped.

    `mso-number-format` is for Excel, which opens such pages and would take a text that begins with = for a formula.
    """

    def __init__(self, file: BinaryIO, sheet: Sheet, with_pictures: bool = False) -> None:
        self._sheet = sheet
        self._with_pictures = with_pictures
        self._rows = 0
        self._text = io.TextIOWrapper(file, "utf-8", newline="\n")
        names = [*sheet.headings, *(["Pictures"] if with_pictures else [])]
        kinds = [_class(column.kind) for column in sheet.columns] + [""]
        headings = "".join(f"<th{kind}>{escape(name)}</th>" for name, kind in zip(names, kinds, strict=False))
        self._text.write(
            _HEAD.format(
                title=escape(sheet.title), catalogue=escape(sheet.catalogue), made=sheet.made, headings=headings
            )
        )

    def row(self, dataset: Json, pictures: list[PictureFile]) -> None:
        self._rows += 1
        cells = [f"<td{_class(column.kind)}>{escape(readable(column, dataset))}</td>" for column in self._sheet.columns]
        if self._with_pictures:
            images = (f'<img src="{picture.uri}" alt="{escape(picture.caption)}">' for picture in pictures)
            cells.append(f"<td>{''.join(images)}</td>")
        self._text.write(f"<tr>{''.join(cells)}</tr>\n")

    def finish(self) -> None:
        self._text.write(f"</tbody>\n</table>\n<p>{_counted(self._rows)}</p>\n</body>\n</html>\n")
        self._text.detach()  # flushes, and leaves the file open


def _class(kind: Kind) -> str:
    return ' class="n"' if kind is Kind.NUMBER else ""


def _counted(rows: int) -> str:
    return "One row" if rows == 1 else f"{rows:,} rows"


def wide_table(headings: list[str], rows: list[list[str]], unwrapped: Collection[int]) -> str:
    """A table for a page of another program, which scrolls by itself where it is wider than the page.

    The cells of the columns at the places `unwrapped` stay on one line.
    """
    return f'<div style="overflow-x:auto">{table(headings, rows, unwrapped)}</div>'


def table(headings: list[str], rows: list[list[str]], unwrapped: Collection[int] = ()) -> str:
    """A table without styles of its own, for Word and Excel. `unwrapped` is as in `wide_table`."""
    opened = ['<td style="white-space:nowrap">' if place in unwrapped else "<td>" for place in range(len(headings))]
    head = "".join(f'<th style="text-align:left">{escape(text)}</th>' for text in headings)
    body = "".join(
        f"<tr>{''.join(f'{cell}{_lines(text)}</td>' for cell, text in zip(opened, row, strict=True))}</tr>"
        for row in rows
    )
    return (
        '<table border="1" cellpadding="4" style="border-collapse:collapse">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _lines(text: str) -> str:
    # Excel would start a new row at a plain <br>.
    return escape(text).replace("\n", '<br style="mso-data-placement:same-cell"/>')
