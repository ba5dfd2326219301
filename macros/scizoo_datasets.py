"""Macros that record a dataset without a scan, and that comment or rate one."""

from __future__ import annotations

import time
from typing import Any

from sardana.macroserver.macro import Optional, Type, macro

from scifish.message.identity import scan_uuid
from scifish.recording.recorded_scans import RecordedScan, recorded_scans
from scifish.recording.session import recording_session
from scifish.recording.spock import last_snapshots, printable, remember_snapshot, table, variable

__all__ = ["scicomment", "scirate", "scisnap"]


class NoSuchDataset(ValueError):
    """The scan is not in Sardana's history."""


@macro([["words", [["word", Type.String, "", "A word"], {"min": 0}], None, "The dataset's name (default: snapshot)"]])
def scisnap(self: Any, words: list[str]) -> None:
    """Record all configured attributes now, as a dataset of its own."""
    name = " ".join(filter(None, words)) or "snapshot"  # Sardana gives no word as one empty word
    session = recording_session()
    dataset = session.record_snapshot(
        {"datasetName": name, "environment": {"title": f"scisnap {name}", "user": _user(self)}}
    )
    remember_snapshot(self, dataset.uuid, name)
    settings = session.settings.known()
    if not dataset.observed.wait((settings.snapshot_timeout if settings else 3.0) + 2.0):
        self.output("%s is recorded; its values are still being read.", printable(name))
        return
    seen = dataset.snapshot
    if seen.withheld:
        self.warning(
            "The proposal is proprietary: this snapshot stays at the beamline, and the scan log does not show it."
        )
    if seen.waits:
        self.warning("PathFixer does not answer, so the proposal is not known: this snapshot waits here until it is.")
    failed = seen.failed
    self.output("%s is recorded: %d values, %d of them could not be read.", printable(name), seen.values, len(failed))
    if failed:
        table(self, ["Not read", "Why"], failed)


@macro(
    [["words", [["word", Type.String, None, "A word"], {"min": 1}], None, "The comment; #12 before it means scan 12"]]
)
def scicomment(self: Any, words: list[str]) -> None:
    """Set the comment of the last scan or snapshot of this Door; an earlier comment is replaced.

    `scicomment #12 beam was lost at the end` sets the comment of scan 12, whichever Door it ran at.
    """
    scan = None
    if words[0].startswith("#") and words[0][1:].isdigit():
        scan, words = int(words[0][1:]), words[1:]
    if not words:
        raise ValueError("the comment is empty")
    uuid, name = _find(self, scan)
    recording_session().annotate(uuid, {"comment": " ".join(words)})
    self.output("Comment on %s: %s", name, printable(" ".join(words)))


@macro(
    [
        ["rating", Type.Float, None, "0.5 to 3 stars in halves; 0 removes the rating"],
        ["scan", Type.Integer, Optional, "The scan's number (default: the last scan or snapshot of this Door)"],
    ]
)
def scirate(self: Any, rating: float, scan: int | None) -> None:
    """Rate a scan or snapshot from half a star to three stars."""
    if not 0 <= rating <= 3 or rating * 2 != int(rating * 2):
        raise ValueError(f"{rating:g} is not a rating: it is from 0.5 to 3 stars in halves; 0 removes the rating")
    uuid, name = _find(self, scan)
    recording_session().annotate(uuid, {"rating": rating})
    if rating:
        self.output("%s is rated %g of 3 stars", name, rating)
    else:
        self.output("The rating of %s is removed", name)


def _find(self: Any, scan: int | None) -> tuple[str, str]:
    """uuid and name of a scan in Sardana's history; without a number, of this Door's last scan or snapshot."""
    history, known, door = variable(self, "ScanHistory", []), recorded_scans().known(), self.getDoorName()

    def recorded(entry: dict[str, Any]) -> RecordedScan | None:
        return known.get((entry["serialno"], entry["startts"]))

    if scan is not None:
        history = [entry for entry in history if entry["serialno"] == scan]
        if not history:
            raise NoSuchDataset(f"scan {scan} is not in the ScanHistory (see `lsenv`); use the scan log instead")
    else:
        # Of scans before the first known one the Door is not known: an earlier version has recorded them. A later one
        # that is not known was not recorded.
        first = min((one.startts for one in known.values()), default=float("inf"))
        history = [
            entry
            for entry in history
            if (found.door == door if (found := recorded(entry)) else entry["startts"] < first)
        ]
    last = history[-1] if history else None
    snapshot = last_snapshots(self).get(door)
    if scan is None and snapshot and (last is None or snapshot["time"] > last["endts"]):
        return snapshot["uuid"], printable(f"snapshot {snapshot['name']!r} of {_moment(snapshot['time'])}")
    if last is None:
        raise NoSuchDataset(f"nothing was recorded at {door} yet; `scicomment #12 ...` is for a scan of another Door")
    found = recorded(last)
    if found is None:
        self.warning(
            "Scan %d is not in the list of scans that this account has recorded here; "
            "check in the scan log whether its dataset has this.",
            last["serialno"],
        )
    uuid = found.uuid if found else scan_uuid(self.getMacroServer().full_name, last["serialno"], last["startts"])
    return uuid, printable(f"scan {last['serialno']} ({last['title']}) of {_moment(last['startts'])}")


def _moment(seconds: float) -> str:
    """Seconds since 1970 as local time."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _user(self: Any) -> str:
    return str(variable(self, "ScanUser", ""))
