"""The uuid of a dataset: of a Sardana scan, or of a measurement that consists of files."""

from __future__ import annotations

import os
import uuid
from urllib.parse import quote

_SCANS = uuid.UUID("6f2f3c1e-9d0b-5a57-8f0e-2f1d6a3b7c44")


def scan_uuid(macroserver: str, serialno: int, startts: float) -> str:
    """The dataset's uuid of a Sardana scan, computed from what Sardana keeps in the environment variable `ScanHistory`.

    A comment finds its scan by it, and an audit its dataset; nothing else has to be stored.
    `macroserver` is the device's full name, `serialno` the ScanID, `startts` in seconds since 1970.
    """
    return str(uuid.uuid5(_SCANS, f"{macroserver.lower()} {int(serialno)} {float(startts)!r}"))


_FILES = uuid.UUID("0b8f6c1d-52a7-5d0e-9a3c-7d4e1c9b2f60")


def files_uuid(beamline: str, path: str, generation: int) -> str:
    """The dataset's uuid of a measurement that consists of files: the same on any machine, with nothing stored.

    `path` is the absolute path of the measurement, the common part of its files' names, as `os.fsdecode` returns it.
    `generation` is 0, and one more each time that all its files are deleted or overwritten, and new ones are written.
    """
    # Quoted, because a file name need not be UTF-8.
    return str(uuid.uuid5(_FILES, f"{beamline.lower()} {quote(os.fsencode(path))} {int(generation)}"))
