"""A user office's answers: proposals with their visits, and the errors in place of an answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Protocol

from pydantic import AfterValidator

from sdm.names import CATEGORIES, check_name

PROPRIETARY_CODE = "IN"
"""How the number of a proprietary proposal begins."""

COMMISSIONING = "commissioning"
"""In place of a proposal's number when the staff take data: `staff/<beamline>/commissioning/<date>`."""

CATEGORY_OF = {PROPRIETARY_CODE: "proprietary", COMMISSIONING: "staff", **{name: name for name in CATEGORIES}}
"""Category by an office's type of proposal, or by the beginning of its number. An office's settings add to it."""


BeamlineName = Annotated[str, AfterValidator(lambda name: check_name(name, "beamline"))]
"""As a field of a file."""


class OfficeError(Exception):
    """The office has given no answer. The text says what to do."""


class UnknownProposal(OfficeError):
    """The office has no such proposal."""


class WrongBeamline(OfficeError):
    """The proposal is for another beamline."""


class OfficeUnavailable(OfficeError):
    """The office cannot be asked now, or its answer cannot be understood."""


class OfficeRefused(OfficeError):
    """The office refuses access. The text names the file of the token."""


@dataclass(frozen=True)
class Visit:
    """A time at the beamline. `start` and `end` are its first and its last day, YYYY-MM-DD, "" if unknown.

    `beamline` is "" if the proposal has time at one beamline only.
    """

    name: str
    start: str = ""
    end: str = ""
    beamline: str = ""


@dataclass(frozen=True)
class Proposal:
    """One proposal, of one of the categories of `sdm.layout`.

    `type` is the office's own word. `also_at` are further beamlines where it has time. `as_of` is ""
    for a current answer; for a stored answer it is when the office gave it (UTC, ISO 8601), and `trouble`
    then says why the office could not be asked.
    """

    id: str
    title: str
    beamline: str
    category: str = "visitors"
    abstract: str = ""
    pi_name: str = ""
    pi_email: str = ""
    members: tuple[str, ...] = ()
    group: str = ""
    visits: tuple[Visit, ...] = ()
    samples: tuple[str, ...] = ()
    type: str = ""
    also_at: tuple[str, ...] = ()
    as_of: str = ""
    trouble: str = ""

    @property
    def proprietary(self) -> bool:
        """Whether its metadata stays out of the catalogue: by its category, or by its number."""
        return self.category == "proprietary" or self.id.upper().startswith(PROPRIETARY_CODE)

    @property
    def visit_names(self) -> tuple[str, ...]:
        return tuple(visit.name for visit in self.visits)

    def is_at(self, beamline: str) -> bool:
        return beamline.lower() in (name.lower() for name in (self.beamline, *self.also_at))


class Office(Protocol):
    @property
    def name(self) -> str:
        """Its URL or its file. Its answers are stored under this name."""

    def proposal(self, proposal_id: str) -> Proposal:
        """One proposal. Raises UnknownProposal, OfficeUnavailable, OfficeRefused."""

    def proposals(self, beamline: str) -> list[Proposal]:
        """The beamline's proposals, by their number. Raises OfficeUnavailable, OfficeRefused."""


def visit_on(proposal: Proposal, day: date) -> str:
    """The name of the visit on this day, else the day as YYYYMMDD.

    Of several visits, it is the one that began last. A visit without an end lasts one day.
    """
    today = day.isoformat()
    running = [one for one in proposal.visits if one.start and one.start <= today <= (one.end or one.start)]
    return max(running, key=lambda one: one.start).name if running else day.strftime("%Y%m%d")


def category_of(kind: str, number: str, table: Mapping[str, str]) -> str:
    """The category by the office's type of proposal, else by the beginning of its number, else visitors."""
    known = {name.lower(): category for name, category in table.items()}
    if kind.lower() in known:
        return known[kind.lower()]
    begins = [name for name in known if number.lower().startswith(name)]
    return known[max(begins, key=len)] if begins else "visitors"


def as_of_now() -> str:
    """The current time in the form of `Proposal.as_of`."""
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


def ago(as_of: str, now: datetime | None = None) -> str:
    """How old an answer is, for people: "3 h ago"."""
    passed = (now or datetime.now(UTC)) - datetime.fromisoformat(as_of)
    minutes = max(0, int(passed.total_seconds() // 60))
    if minutes < 1:
        return "just now"
    if minutes < 60:
        return f"{minutes} min ago"
    hours = minutes // 60
    return f"{hours} h ago" if hours < 48 else f"{hours // 24} days ago"


def one_line(text: str, longest: int = 500) -> str:
    """A text on one line, without control characters, cut to `longest` characters."""
    plain = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    return plain if len(plain) <= longest else f"{plain[: longest - 3]}..."


MAX_ABSTRACT_LENGTH = 20_000
