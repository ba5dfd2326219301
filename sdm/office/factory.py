"""Chooses an office by its address, and looks up a proposal as one beamline has it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from sdm.names import check_name
from sdm.office.duo import DuoOffice
from sdm.office.model import COMMISSIONING, Office, OfficeError, Proposal, WrongBeamline, ago
from sdm.office.scicat import SciCatOffice
from sdm.office.yaml import YamlOffice

ADDRESSES = (
    "yaml:/path/proposals.yaml, duo:/path/duo.yaml, scicat:/path/scicat.yaml or scicat:https://host/api/v3; "
    "see docs/reference/user-office.md"
)


def office_from(address: str) -> Office:
    """The office of a setting. Raises OfficeError if the address or the settings file it names is wrong."""
    kind, colon, target = address.partition(":")
    if not address:
        raise OfficeError(f"the user office is not set: give its address in the form {ADDRESSES}")
    if colon and target:
        if kind == "yaml":
            return YamlOffice(Path(target))
        if kind == "duo" and not target.startswith(("http:", "https:")):
            return DuoOffice.from_file(Path(target))
        if kind == "scicat" and target.startswith(("http:", "https:")):
            return SciCatOffice.at(target)
        if kind == "scicat":
            return SciCatOffice.from_file(Path(target))
    shown = f"{kind}:..." if "@" in address else address  # it may hold a password
    raise OfficeError(f"user office {shown!r} is not of the form {ADDRESSES}")


def proposal_at(office: Office, proposal_id: str, beamline: str) -> Proposal:
    """A proposal of this beamline, with its visits there.

    Every beamline has a proposal `commissioning` for its staff, even if the office has none.
    Raises WrongBeamline, UnknownProposal, OfficeUnavailable, OfficeRefused.
    """
    try:
        return at_beamline(office.proposal(proposal_id), beamline)
    except OfficeError:
        if proposal_id != COMMISSIONING:
            raise
        here = check_name(beamline, "beamline")
        return Proposal(COMMISSIONING, f"Commissioning of {here}", here, category="staff", group=here)


def at_beamline(found: Proposal, beamline: str) -> Proposal:
    """The proposal with this beamline first, and its visits there. Raises WrongBeamline."""
    if not found.is_at(beamline):
        when = f", as the office reported {ago(found.as_of)}" if found.as_of else ""
        raise WrongBeamline(f"proposal {found.id} is for the beamline {found.beamline}, not {beamline}{when}")
    here, *others = sorted((found.beamline, *found.also_at), key=lambda name: name.lower() != beamline.lower())
    visits = tuple(one for one in found.visits if one.beamline.lower() in ("", here.lower()))
    return replace(found, beamline=here, also_at=tuple(others), visits=visits)
