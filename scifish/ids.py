"""Which dataset a scan is."""

from __future__ import annotations

import uuid

_SCANS = uuid.UUID("6f2f3c1e-9d0b-5a57-8f0e-2f1d6a3b7c44")


def scan_uuid(macroserver: str, serialno: int, startts: float) -> str:
    """The dataset's uuid of a Sardana scan, out of what Sardana keeps in its environment `ScanHistory`.

    So a comment finds its scan, and an audit its dataset, with nothing else kept anywhere.
    `macroserver` is the device's full name, `serialno` the ScanID, `startts` in seconds since 1970.
    """
    return str(uuid.uuid5(_SCANS, f"{macroserver.lower()} {int(serialno)} {float(startts)!r}"))
