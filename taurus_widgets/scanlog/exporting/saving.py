"""Export into a file: written to a temporary file beside it, which replaces it when complete. No Qt here."""

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
    """Write the rows in the format of the file's suffix. Returns the number of rows.

    An existing file is replaced when everything is written, and left as it is otherwise. Each dataset is written
    once, since pages of a growing table overlap. With `pictures` the pictures are included (in CSV their names). Raises
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
    """The writer for the suffix of the path. Raises ValueError for an unknown suffix."""
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
    """A temporary file beside `path` that replaces it at the end, or is deleted after an error."""
    path = path.resolve()  # the target of a link is replaced, not the link
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
    """Why a file could not be written, as a text for people."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        what = "The disk is full" if error.errno == errno.ENOSPC else "Your quota of the disk is used up"
        return f"{what}: {path.name} was not written to {path.parent}"
    reason = (error.strerror or str(error)).lower()
    return f"{path.name} cannot be written to {path.parent}: {reason}"
