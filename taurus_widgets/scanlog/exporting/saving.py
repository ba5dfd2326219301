"""An export into a file: row by row, beside its place, and moved there when it is whole. No Qt here."""

from __future__ import annotations

import errno
import os
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from taurus_widgets.scanlog.data.cells import Sheet
from taurus_widgets.scanlog.data.columns import Json
from taurus_widgets.scanlog.exporting.csv_file import CsvWriter, Style
from taurus_widgets.scanlog.exporting.eln_file import ElnWriter
from taurus_widgets.scanlog.exporting.html_file import HtmlWriter
from taurus_widgets.scanlog.exporting.pictures import PictureFile
from taurus_widgets.scanlog.exporting.progress import ExportProgress
from taurus_widgets.scanlog.exporting.writer import RowWriter

Pages = Iterable[list[Json]]
Pictures = Callable[[Json], list[PictureFile]]


def save(
    path: Path,
    sheet: Sheet,
    pages: Pages,
    progress: ExportProgress,
    pictures: Pictures | None = None,
    style: Style = Style.POINT,
) -> int:
    """Write the rows in the format that the name ends with; their number is returned.

    What is there of this name is replaced when all is written, and left as it is otherwise. Each dataset is written
    once: pages of a table that grows overlap. With `pictures` they go along, and into CSV their names. Raises
    Cancelled, OSError, or whatever `pages` and `pictures` raise.
    """
    seen: set[str] = set()
    with replacing(path) as file, _writer(path, file, sheet, pictures is not None, style) as writer:
        for page in pages:
            for dataset in page:
                if dataset["pid"] in seen:
                    continue
                seen.add(dataset["pid"])
                progress.check()
                writer.row(dataset, pictures(dataset) if pictures else [])
                progress.step()
            progress.check()
    return len(seen)


def _writer(path: Path, file: BinaryIO, sheet: Sheet, with_pictures: bool, style: Style) -> RowWriter:
    """ValueError for a name that ends with none of the formats."""
    match path.suffix.lower():
        case ".csv":
            return CsvWriter(file, sheet, style)
        case ".html":
            return HtmlWriter(file, sheet, with_pictures)
        case ".eln":
            return ElnWriter(file, sheet, path.stem, path.parent)
    raise ValueError(f"{path.name} ends with none of .csv, .html and .eln")


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file beside `path` that takes its place if all goes well, and else is gone."""
    path = path.resolve()  # of a link, what it leads to is replaced
    beside = path.with_name(f".{path.name[:100]}.{uuid.uuid4().hex}.part")
    mode = path.stat().st_mode & 0o777 if path.exists() else None
    try:
        with beside.open("xb") as file:
            if mode is not None:
                os.fchmod(file.fileno(), mode)
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def file_problem(error: OSError, path: Path) -> str:
    """Why it could not be written, in plain words."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        what = "The disk is full" if error.errno == errno.ENOSPC else "Your quota of the disk is used up"
        return f"{what}: {path.name} was not written to {path.parent}"
    reason = (error.strerror or str(error)).lower()
    return f"{path.name} cannot be written to {path.parent}: {reason}"
