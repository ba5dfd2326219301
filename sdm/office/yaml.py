"""The user office as a YAML file: for a demo, a laboratory, or a beamline without a user office."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, ValidationInfo

from sdm.names import check_category, check_name, check_sample, check_visit
from sdm.office.model import (
    CATEGORY_OF,
    MAX_ABSTRACT_LENGTH,
    BeamlineName,
    OfficeUnavailable,
    Proposal,
    UnknownProposal,
    Visit,
    category_of,
    one_line,
)
from sdm.yaml_document import FORBID_EXTRA, YamlDocument, check, read_text


class YamlOffice:
    """A YAML file in place of the user office: a list `proposals`, see docs/reference/user-office.md.

    The file is read again when it has changed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_as: tuple[int, int, int] | None = None
        self._proposals: dict[str, Proposal] = {}

    @property
    def name(self) -> str:
        return str(self._path.absolute())

    def proposal(self, proposal_id: str) -> Proposal:
        found = self._current().get(proposal_id)
        if found is None:
            raise UnknownProposal(f"the user office ({self._path}) has no proposal {proposal_id!r}")
        return found

    def proposals(self, beamline: str) -> list[Proposal]:
        return sorted((one for one in self._current().values() if one.is_at(beamline)), key=lambda one: one.id)

    def _current(self) -> dict[str, Proposal]:
        try:
            status = self._path.stat()
        except OSError as error:
            raise OfficeUnavailable(f"{self._path} cannot be read: {error}") from error
        read_as = (status.st_mtime_ns, status.st_size, status.st_ino)
        if read_as != self._read_as:
            self._proposals = proposals_of(str(self._path), read_text(self._path, OfficeUnavailable))
            self._read_as = read_as
        return self._proposals


def proposals_of(where: str, content: str) -> dict[str, Proposal]:
    """Raises OfficeUnavailable that names the file, the line and the field."""
    document = YamlDocument(where, content, OfficeUnavailable)
    found: dict[str, Proposal] = {}
    for number, entry in enumerate(document.validated(_ProposalsFile).proposals):
        if entry.id in found:
            document.refuse(("proposals", number, "id"), f"proposal {entry.id} is given twice: keep one")
        found[entry.id] = entry.proposal()
    return found


def _day(given: str) -> str:
    try:
        return dt.date.fromisoformat(given).isoformat()
    except ValueError as error:
        raise ValueError(f"{given!r} is not a date (YYYY-MM-DD)") from error


def _not_before_start(end: str, info: ValidationInfo) -> str:
    if end < info.data.get("start", ""):
        raise ValueError(f"the end {end} is before the start {info.data['start']}")
    return end


_Line = Annotated[str, AfterValidator(lambda text: one_line(text))]
_Day = Annotated[str, AfterValidator(_day)]


@dataclass(frozen=True)
class _VisitEntry:
    """`{name, start, end, beamline}` with a name or a start; a name alone, such as `20250310`, needs no braces."""

    name: Annotated[str, AfterValidator(check_visit)] = ""
    start: _Day = ""
    end: Annotated[_Day, AfterValidator(_not_before_start)] = ""
    beamline: BeamlineName = ""

    def visit(self) -> Visit:
        return Visit(self.name or self.start.replace("-", ""), self.start, self.end, self.beamline)


_VisitOrName = Annotated[
    _VisitEntry,
    BeforeValidator(lambda given: {"name": given} if isinstance(given, str) else given),
    check(lambda visit: "" if visit.name or visit.start else "a visit needs a name or a start"),
]


@dataclass(frozen=True)
class _Leader:
    name: _Line = ""
    email: _Line = ""


@dataclass(frozen=True)
class _ProposalEntry:
    id: Annotated[str, AfterValidator(lambda name: check_name(name, "id"))]
    title: _Line
    beamline: BeamlineName
    abstract: Annotated[str, AfterValidator(lambda text: one_line(text, MAX_ABSTRACT_LENGTH))] = ""
    principal_investigator: _Leader = _Leader()
    type: _Line = ""
    category: Annotated[str, AfterValidator(check_category)] = ""
    also_at: tuple[BeamlineName, ...] = ()
    members: tuple[_Line, ...] = ()
    group: Annotated[str, AfterValidator(lambda name: check_name(name, "group"))] = ""
    visits: tuple[_VisitOrName, ...] = ()
    samples: tuple[Annotated[str, AfterValidator(check_sample)], ...] = ()

    def proposal(self) -> Proposal:
        given = vars(self) | {
            "category": self.category or category_of(self.type, self.id, CATEGORY_OF),
            "group": self.group or f"{self.id}-group",
            "visits": tuple(entry.visit() for entry in self.visits),
        }
        leader = given.pop("principal_investigator")
        return Proposal(**given, pi_name=leader.name, pi_email=leader.email)


@dataclass(frozen=True)
class _ProposalsFile:
    __pydantic_config__ = FORBID_EXTRA

    proposals: tuple[_ProposalEntry, ...] = ()
