"""Readers of other vendors' files: they read the headers, never the data.

`read` returns for any contents of a file, in limited time and memory, and reports what it could not read.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Sequence
from datetime import tzinfo

from scifly.model import Header
from scifly.readers import igor, prodigy_sle, prodigy_xml, prodigy_xy, ses_text, ses_zip
from scifly.readers.fragment import FileHeader, composed
from scifly.readers.source import Source, UnfinishedError, UnreadableError, opened, shown

READERS = ("ses", "prodigy", "none")

READ_SECONDS = 20.0
"""Maximum seconds for all files of a measurement, enough to search some gigabytes of text."""

MIN_SIGNATURE_BYTES = 4
"""Bytes that are needed to recognise the type of a file."""

_Read = Callable[[Source, tzinfo], FileHeader]

# The spectrum's name (it ends with its number) directly follows the file's running number: Ag_0001 Ag__001
_OF_SPECTRUM = re.compile(r".*_\d{4}(?=[^\W\d_].*\d{3}$)", re.DOTALL)


def read(reader: str, files: Sequence[str], zone: tzinfo, root: str) -> Header:
    """The header of the measurement that consists of these files below `root`. Dates without a zone are in `zone`.

    No link below the root is followed.

    Raises ValueError for an unknown reader, but never because of a file's contents, or for a missing file.
    """
    if reader not in READERS:
        raise ValueError(f"there is no reader {reader!r}, there are {', '.join(READERS)}")
    if reader == "none":
        return Header()
    choose = _of_ses if reader == "ses" else _of_prodigy
    deadline = time.monotonic() + READ_SECONDS
    parts: list[FileHeader] = []
    problems: list[str] = []
    # The text files first: they have all regions in order.
    ordered = sorted(files, key=lambda path: (not path.lower().endswith((".txt", ".xy")), path))
    for count, path in enumerate(ordered):
        if time.monotonic() > deadline:
            problems.append(f"{len(ordered) - count} files were not read, because there was no time left")
            break
        try:
            with opened(root, path, deadline) as source:
                parts.append(_part(source, choose, zone))
        except UnreadableError as error:
            problems.append(f"{shown(path)}: {error}")
        except OSError as error:
            problems.append(f"{shown(path)}: {error.strerror or error}")
        except Exception as error:  # noqa: BLE001 - whatever is in a file, a dataset there must be
            problems.append(f"{shown(path)}: cannot be read: {type(error).__name__} {error}")
    return composed(parts, problems)


def _part(source: Source, choose: Callable[[bytes, str], _Read], zone: tzinfo) -> FileHeader:
    name = source.name
    if source.size < MIN_SIGNATURE_BYTES:
        says = f"has only {source.size} bytes" if source.size else "is empty"
        return FileHeader("", complete=False, problems=[f"{name}: {says}"])
    head = source.up_to(64)
    try:
        part = choose(head, name.lower())(source, zone)
    except UnfinishedError as error:
        part = FileHeader("", complete=False, problems=[str(error)])
    except UnreadableError as error:
        part = FileHeader("", problems=[str(error)])
    part.problems = [f"{name}: {problem}" for problem in part.problems]
    return part


def _of_ses(head: bytes, name: str) -> _Read:
    if head.startswith(b"PK") or name.endswith(".zip"):
        return ses_zip.read
    if name.endswith((".pxt", ".pxp")):
        return igor.read_packed
    return igor.read_wave if name.endswith(".ibw") else ses_text.read


def _of_prodigy(head: bytes, name: str) -> _Read:
    if head.startswith(prodigy_sle.MAGIC) or name.endswith(".sle"):
        return prodigy_sle.read
    if head.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n").startswith(b"<") or name.endswith(".xml"):
        return prodigy_xml.read
    return prodigy_xy.read


def stem(reader: str, name: str) -> str:
    """The name of the measurement that a file belongs to: `Ag_0001` for `Ag_0001.txt` and `Ag_0001Ag__001.ibw`.

    SES names a wave by the file, directly followed by the spectrum. A folder before the name is kept.
    """
    root, suffix = os.path.splitext(name)
    if reader == "ses" and suffix.lower() == ".ibw":
        folder, file = os.path.split(root)
        found = _OF_SPECTRUM.match(file)
        if found:
            return os.path.join(folder, found[0])
    return root
