"""What the ledgers say of each dataset."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

from tests.faults.ledger import Entry, Place, Said

PROPRIETARY = "IN"
"""How the proposals begin whose metadata stay at the beamline."""

NOWHERE = Place("", "", "")

SECRET = "formulation"
"""The name of a value that only datasets of such proposals have."""


@dataclass
class Known:
    """What the ledgers say of one dataset."""

    uuid: str
    pid: int = 0
    name: str = ""
    place: Place = NOWHERE
    scan: bool = False
    started: bool = False
    proposal: str = ""
    """The one that the program sets, or that PathFixer will answer."""
    asked: bool = False
    """Whether PathFixer alone knows it, and does not answer at first."""
    ending: Entry = field(default_factory=dict)
    ended: Entry = field(default_factory=dict)
    said: Said = field(default_factory=Said)
    """What was set in calls that returned."""
    annotating: Entry = field(default_factory=dict)
    annotated: bool = False
    seen: float = 0.0
    """The time (monotonic) of its last entry."""

    @property
    def statuses(self) -> set[str]:
        """What the last message may say. A call that did not return may have been in time, or not."""
        if not self.ending:
            # Where the user has ended a scan while it began, Sardana calls no recorder's end.
            return {"interrupted", "stopped", "aborted"} if self.scan else {"interrupted"}
        found = {self.ending["status"]} if self.ended else {"interrupted", self.ending["status"]}
        # Of a scan whose aborted motors came before Sardana's own exception, Sardana says that it failed.
        return found | {"aborted"} if self.scan and self.ending["status"] == "failed" else found

    @property
    def points(self) -> Collection[int | None]:
        """What the last message may say, once the end has returned."""
        if self.ending["points"] is None:  # the program counts none
            return {None}
        fewest = most = self.ending["points"]
        if self.scan and self.ending["status"] != "completed":
            # Sardana writes the record that it is at in another thread, before, while or after it ends the scan.
            fewest, most = fewest - 1, max(most, self.ended["points"])
        return range(fewest, most + 1)

    @property
    def proprietary(self) -> bool:
        return self.proposal.startswith(PROPRIETARY)

    @property
    def stays(self) -> bool:
        """Whether nothing at all of it may leave the machine: it was known to be proprietary before it was killed."""
        return self.proprietary and (self.asked or bool(self.said))

    @property
    def story(self) -> str:
        """For a person."""
        if self.ended:
            done = f"it ended {self.ending['status']} with {self.ending['points']} points"
        elif self.ending:
            done = f"its end ({self.ending['status']}) was called and did not return"
        else:
            done = "it began" if self.started else "its begin did not return"
        return f"{self.name!r}: {done}"

    def learn(self, entry: Entry) -> None:
        """From the next of its entries."""
        about = entry["about"]
        self.pid, self.seen, self.place = entry["pid"], entry["monotonic"], Place(*entry["place"])
        self.name = entry.get("name", self.name)
        self.proposal = entry.get("proposal", self.proposal)
        self.asked |= bool(entry.get("asked"))
        match about:
            case "started":
                self.started = True
                self._keep(entry)
            case "announced":
                self._keep(entry)
            case "ending":
                self.ending = entry
            case "ended":
                self.ended = entry
                self._keep(self.ending)
            case "annotating":
                self.annotating = entry
            case "annotated":
                self.annotated = True

    def _keep(self, entry: Entry) -> None:
        for part, given in entry.get("said", {}).items():
            self.said[part] = {**self.said.get(part, {}), **given}  # type: ignore[dict-item, literal-required]


class Knowledge:
    """All datasets, by uuid; and by name those that were about to begin, whose uuid nobody got to know."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.datasets: dict[str, Known] = {}
        self.nameless: dict[str, Known] = {}
        self.scans = 0
        self.programs = 0
        self.learn(entries)

    def learn(self, entries: Iterable[Entry]) -> None:
        """Each program's in its order."""
        for entry in entries:
            uuid = entry.get("uuid", "")
            if entry["about"] == "closed":
                continue
            if not uuid:  # it is `starting`
                new = self.nameless[entry["name"]] = Known("")
                new.learn(entry)
                continue
            one = self.datasets.get(uuid)
            if one is None:
                one = self.nameless.pop(entry.get("name", ""), None) or Known("", scan=bool(entry.get("scan")))
                one.uuid = uuid
                self.datasets[uuid] = one
            before = one.started
            one.learn(entry)
            if one.started and not before:
                self.scans += one.scan
                self.programs += not one.scan
