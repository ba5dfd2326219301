"""Which dataset a scan is, or a measurement that is files."""

from __future__ import annotations

import os
import uuid
from urllib.parse import quote

_SCANS = uuid.UUID("6f2f3c1e-9d0b-5a57-8f0e-2f1d6a3b7c44")


def scan_uuid(macroserver: str, serialno: int, startts: float) -> str:
    """The dataset's uuid of a Sardana scan, out of what Sardana keeps in its environment `ScanHistory`.

    So a comment finds its scan, and an audit its dataset, with nothing else kept anywhere.
    `macroserver` is the device's full name, `serialno` the ScanID, `startts` in seconds since 1970.
    """
    return str(uuid.uuid5(_SCANS, f"{macroserver.lower()} {int(serialno)} {float(startts)!r}"))


_FILES = uuid.UUID("0b8f6c1d-52a7-5d0e-9a3c-7d4e1c9b2f60")


def files_uuid(beamline: str, path: str, generation: int) -> str:
    """The dataset's uuid of a measurement that is files: found again without any memory, and on another machine.

    `path` is the measurement's, absolute, as of `os.fsdecode`: the files' common name. `generation` is 0, and
    one more each time that all files of the measurement were deleted, or written over, and others made.
    """
    # Quoted, since a name need not be UTF-8.
    return str(uuid.uuid5(_FILES, f"{beamline.lower()} {quote(os.fsencode(path))} {int(generation)}"))
