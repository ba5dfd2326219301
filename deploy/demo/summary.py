"""Compares Sardana's scan history with the catalogue."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ingest.scicat import SciCat
from scifish.message import iso
from scifish.message.identity import scan_uuid
from sdm.office import Office

# sardana.macroserver.scan.scandata.ScanEndStatus
STATUS = {"Normal": "completed", "Stop": "stopped", "Abort": "aborted", "Exception": "failed"}


@dataclass(frozen=True)
class Expected:
    """A dataset that must be in the catalogue once.

    `end` is in seconds since 1970; `kind` is scan, snapshot or file.
    """

    uuid: str
    title: str
    status: str
    end: float
    kind: str = "scan"


def expected_scans(history: Sequence[dict[str, Any]], macroserver: str) -> list[Expected]:
    """One dataset for each scan of Sardana's ScanHistory. `macroserver` is its device's full name."""
    return [
        Expected(
            uuid=scan_uuid(macroserver, scan["serialno"], scan["startts"]),
            title=scan["title"],
            status=STATUS[str(scan["endstatus"])],
            end=scan["endts"],
        )
        for scan in history
    ]


def status(dataset: dict[str, Any]) -> str:
    """The scan's status, "" for a dataset that was not written by SciCow."""
    value = dataset.get("scientificMetadata", {}).get("scan", {}).get("status", {}).get("value", "")
    return str(value)


def wrong_owners(datasets: Sequence[dict[str, Any]], scicat: SciCat, office: Office) -> list[str]:
    """Differences between SciCat and the user office in the datasets' proposals and samples, one line for each."""
    wrong = []
    for number in sorted({str(dataset.get("proposalId", "")) for dataset in datasets}):
        expected, there = office.proposal(number), scicat.proposal(number)
        if there is None or there["title"] != expected.title:
            wrong.append(f"the proposal {number} is not in the catalogue as the user office has it")
        leaders = {dataset["principalInvestigator"] for dataset in datasets if dataset.get("proposalId") == number}
        wrong += [f"{name} is not the leader of {number}" for name in sorted(leaders - {expected.pi_name})]
    for sample in sorted({str(dataset.get("sampleId") or "") for dataset in datasets} - {""}):
        if scicat.sample(sample) is None:
            wrong.append(f"the sample {sample} is not in the catalogue")
    return wrong


class DemoComparison:
    """The datasets since `start` (seconds since 1970), compared with `expected`."""

    def __init__(self, scicat: SciCat, expected: Sequence[Expected], location: str, start: float) -> None:
        self.catalogue = scicat.base_url
        self.expected = {scan.uuid: scan for scan in expected}
        where = {"creationLocation": location, "creationTime": {"gte": iso(start)}}
        self.found = scicat.datasets(where, order="creationTime:asc", limit=1000)

    @property
    def lost(self) -> list[Expected]:
        """Datasets that are missing, or have another status than in Sardana."""
        there = {(_uuid(dataset), status(dataset)) for dataset in self.found}
        return [
            scan
            for scan in self.expected.values()
            if (scan.uuid, scan.status) not in there
            # If the aborted motors end before Sardana raises its own exception, it reports the abort as a failure.
            and (scan.status != "failed" or (scan.uuid, "aborted") not in there)
        ]

    @property
    def duplicates(self) -> int:
        """The datasets beyond one for each expected one."""
        return len(self.found) - len({_uuid(dataset) for dataset in self.found} & set(self.expected))

    @property
    def running(self) -> int:
        return sum(status(dataset) == "running" for dataset in self.found)

    @property
    def complete(self) -> bool:
        return not (self.lost or self.running)

    def all_shown(self, notes: Path) -> bool:
        """Whether the scan log has shown each dataset as completed, stopped, ..."""
        return len(self._delays(notes)) == len(self.expected)

    def summary(self, notes: Path) -> dict[str, Any]:
        kinds = Counter(one.kind for one in self.expected.values())
        return {
            "scans": kinds["scan"],
            "files": kinds["file"],
            "datasets": len(self.found),
            "lost": len(self.lost),
            "duplicates": self.duplicates,
            "running": self.running,
            "catalogue": self.catalogue,
            "seconds_scan_end_to_row": _figures(self._delays(notes, "scan", "snapshot")),
            "seconds_file_written_to_row": _figures(self._delays(notes, "file")),
            "details": [_detail(dataset) for dataset in self.found],
        }

    def _delays(self, notes: Path, *kinds: str) -> list[float]:
        """Seconds from the end of each dataset of these kinds (default: all) to its completed row in the scan log."""
        shown: dict[str, float] = {}
        for line in notes.read_text("utf-8").splitlines():
            note = json.loads(line)
            if note["status"] != "running":
                shown.setdefault(note["pid"].rpartition("/")[2], note["time"])
        return [max(shown[uuid] - scan.end, 0.0) for uuid, scan in self._of(kinds) if uuid in shown]

    def _of(self, kinds: Sequence[str]) -> list[tuple[str, Expected]]:
        return [(uuid, one) for uuid, one in self.expected.items() if not kinds or one.kind in kinds]


def _figures(delays: Sequence[float]) -> dict[str, float | None]:
    return {
        "median": round(statistics.median(delays), 3) if delays else None,
        "max": round(max(delays), 3) if delays else None,
    }


def _uuid(dataset: dict[str, Any]) -> str:
    return str(dataset["pid"]).rpartition("/")[2]


def _detail(dataset: dict[str, Any]) -> dict[str, Any]:
    return {
        "pid": dataset["pid"],
        "datasetName": dataset.get("datasetName"),
        "proposalId": dataset.get("proposalId"),
        "principalInvestigator": dataset.get("principalInvestigator"),
        "status": status(dataset),
        "startTime": dataset.get("creationTime"),
        "endTime": dataset.get("endTime"),
        "dataFormat": dataset.get("dataFormat"),
        "sourceFolder": dataset.get("sourceFolder"),
        "numberOfFiles": dataset.get("numberOfFiles"),
        "scientificMetadata": dataset.get("scientificMetadata"),
    }
