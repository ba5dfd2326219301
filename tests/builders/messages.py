"""Messages as the acquisition side writes them, for tests."""

from __future__ import annotations

import base64
import random
import struct
import zlib
from typing import Any
from uuid import uuid4

from scifish.message import Message


def message(kind: str = "began", uuid: str | None = None, **changes: Any) -> Message:
    """A message of the schema, of a short scan that went well."""
    found: Message = {
        "schema": "scifish/1",
        "type": kind,
        "uuid": uuid or str(uuid4()),
        "beamline": "cosaxs",
        "proposalId": "20250001",
        "creationTime": "2026-11-22T10:00:00.000Z",
        "origin": {"host": "b311a-cc-0", "program": "sardana", "version": "3.6", "run": "run-1"},
        "seq": 1,
    }
    if kind == "annotation":
        return found | {"annotation": {"comment": "fine"}} | changes
    found |= {
        "datasetName": "ascan mot01 0 1 10 0.1",
        "sampleId": "S-1",
        "sourceFolder": "/data/visitors/cosaxs/20250001/raw",
        "dataFormat": "NXsas",
        "description": "a scan",
        "environment": {
            "title": "ascan mot01 0 1 10 0.1",
            "scanID": 42,
            "motors": ["mot01"],
            "detectors": ["ct1", "ct2"],
        },
        "scientificMetadata": {"Machine": {"Ring current": value(400.5, "mA")}},
    }
    if kind in ("ended", "snapshot"):
        found |= {
            "status": "completed",
            "startTime": "2026-11-22T10:00:00.000Z",
            "endTime": "2026-11-22T10:00:11.000Z",
            "numberOfPoints": 11,
            "files": [file("/data/visitors/cosaxs/20250001/raw/scan_0042.h5")],
        }
    return found | changes


def value(given: Any, unit: str = "", **more: Any) -> Message:
    time = "2026-11-22T10:00:00.000Z"
    return {"value": given, "unit": unit, "human_name": "", "source": "", "time": time, **more}


def file(path: str, size: int = 10) -> Message:
    return {"path": path, "size": size, "time": "2026-11-22T10:00:11.000Z"}


def picture(chance: random.Random) -> str:
    """The data URI of a PNG of one pixel, each of another colour."""
    pixel = b"\x00" + chance.randbytes(3)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(pixel)),
        (b"IEND", b""),
    )
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\n" + body).decode()
