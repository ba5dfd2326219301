"""Made-up datasets with all that a scan log has to show, as SciCow writes them."""

from __future__ import annotations

import uuid
from typing import Any

from scifish.message import iso

Json = dict[str, Any]

NAMESPACE = uuid.UUID("5a6c1c56-0f2b-4b0e-9d4e-3f5b1f0e7c11")


def required_fields(pid: str) -> Json:
    """A raw dataset of v3 with the fields that SciCat requires."""
    return {
        "pid": pid,
        "type": "raw",
        "owner": "Ada",
        "contactEmail": "ada@example.org",
        "sourceFolder": "/data",
        "creationTime": "2026-11-22T10:00:00Z",
        "ownerGroup": "g",
        "principalInvestigator": "Ada",
        "creationLocation": "/SITE/BL",
    }


def scan(
    number: int,
    start: float,
    title: str = "ascan mot01 0 10 20 0.1",
    status: str = "completed",
    seconds: float = 12.3,
    proposal: str = "20250001",
    points: int = 21,
    **fields: Any,
) -> Json:
    """A raw dataset of v3. `start` is in seconds since 1970; the pid follows from the number."""
    known: Json = {
        "pid": f"scizoo/{uuid.uuid5(NAMESPACE, f'{proposal}-{number}')}",
        "type": "raw",
        "owner": "Beamline CoSAXS",
        "contactEmail": "cosaxs@example.org",
        "principalInvestigator": "Ada Example",
        "creationLocation": "cosaxs",
        "ownerGroup": f"{proposal}-group",
        "accessGroups": [],
        "datasetName": title,
        "sourceFolder": f"/data/visitors/cosaxs/{proposal}/raw/scan-{number:04d}",
        "creationTime": iso(start),
        "proposalId": proposal,
        "runNumber": str(number),
        "scientificMetadata": {"scan": scan_group(number, title, status, points), **metadata(number, start)},
    }
    if status != "running":
        known["endTime"] = iso(start + seconds)
    return known | fields


def scan_group(number: int, title: str, status: str, points: int) -> Json:
    values: Json = {
        "status": ("Status", status),
        "title": ("Title", title),
        "scan_id": ("Scan ID", number),
        "motors": ("Motors", "mot01, mot02"),
        "detectors": ("Detectors", "ct01, ct02, eiger"),
        "user": ("User", "ada"),
        "program": ("Program", "sardana"),
    }
    if status != "running":
        values["points"] = ("Points", points)
    return {name: {"value": value, "unit": "", "human_name": human} for name, (human, value) in values.items()}


def metadata(number: int, start: float) -> Json:
    time = iso(start)

    def leaf(name: str, value: Any, unit: str = "", source: str = "", **more: Any) -> Json:
        return {"value": value, "unit": unit, "human_name": name, "source": source, "time": time, **more}

    current = 500.12 - number % 7 * 0.0371
    return {
        "Machine": {
            "Ring current": leaf("Ring current", current, "mA", "r3-319s2/dia/dcct-01/InstantaneousCurrent"),
            "Lifetime": leaf("Lifetime", 12.4 + number % 3, "h", "r3-319s2/dia/dcct-01/Lifetime"),
            "Orbit": leaf(
                "Orbit", None, "um", "r3-a110711cab08/dia/orbit/x", shape=[200], min=-3.1, max=2.9, mean=0.02
            ),
        },
        "Optics": {
            "Energy": leaf("Energy", 12.4, "keV", "b311a/opt/mono-01/Energy", end=12.65),
            "Shutter": leaf("Shutter", "open", source="b311a/o/shutter-01/State"),
            "Slit gap": leaf("Slit gap", [0.5, 0.25], "mm", "b311a/opt/slit-01/Gap"),
        },
        "Sample environment": {
            "Temperature": leaf(
                "Temperature",
                293.1523,
                "K",
                "b311a/ea/lakeshore/T1",
                end=318.7,
                min=293.1,
                max=318.9,
                mean=305.98,
                std=7.4,
                samples=126,
            ),
            "Pressure": leaf(
                "Pressure", None, "", "b311a/ea/gauge-07/Pressure", error="DEVICE_TIMEOUT: no answer after 3 s"
            ),
            "Feed-back loop": leaf("Feed-back loop", True, source="b311a/ea/lakeshore/Loop"),
        },
    }
