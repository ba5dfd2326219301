"""The owner of a dataset by its proposal in the user office, and what happens if the proposal is not accepted."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

from ingest.scicat import SciCat
from ingest.scicow.catalogue.office_cache import SharedOffice
from ingest.scicow.catalogue.references import ReferenceRegistry
from ingest.scicow.errors import MessageRefused, NotYet
from ingest.scicow.mapping.ownership import (
    Ownership,
    Validation,
    beamline_of,
    by_settings,
    is_name,
    of_the_fallback,
    of_the_proposal,
)
from ingest.scicow.settings import SciCowSettings, SciCowSettingsError
from scifish.message import Message
from sdm.office import (
    Office,
    OfficeError,
    Proposal,
    RememberingOffice,
    UnknownProposal,
    WrongBeamline,
    at_beamline,
    memory_file,
    office_from,
    proposal_at,
)
from sdm.office.model import COMMISSIONING

log = logging.getLogger(__name__)

Objection = tuple[str, str]
"""What the settings require (`refuse`, `hold`, `fallback`), and why."""


def validation_from(settings: SciCowSettings, client: SciCat | None = None) -> Validation:
    """The validation by these settings; with `client` it creates in SciCat what a dataset refers to.

    Raises SciCowSettingsError.
    """
    registry = ReferenceRegistry(client, settings.proposals.create) if client else None
    if not settings.user_office:
        log.warning("user_office is not set: proposals are not checked, and datasets get the contact of the settings")
        return Validator(settings, None, registry)
    try:
        memory = Path(settings.office_memory) if settings.office_memory else memory_file()
        office = RememberingOffice(office_from(settings.user_office), memory)
    except OfficeError as error:
        raise SciCowSettingsError(f"user_office: {error}") from error
    return Validator(settings, SharedOffice(office), registry)


class Validator:
    """A `Validation` that asks this office, which must not block for long. Threads may share it."""

    def __init__(self, settings: SciCowSettings, office: Office | None, registry: ReferenceRegistry | None) -> None:
        self._settings = settings
        self._office = office
        self._registry = registry

    def __call__(self, message: Message) -> Ownership:
        beamline, number = beamline_of(message), message["proposalId"]
        proposal, objections = self._examined(number, beamline)
        if objections:
            self._stop(objections)
            return self._registered(of_the_fallback(beamline, self._settings), beamline)
        whose = of_the_proposal(proposal, self._settings) if proposal else by_settings(message, self._settings)
        whose = self._registered(whose, beamline)
        if self._registry:
            if proposal and proposal.id != COMMISSIONING:  # one number at all beamlines, with as many owners
                self._registry.proposal(proposal, whose)
            self._registry.sample(message["sampleId"], number, whose)
        return whose

    def _registered(self, whose: Ownership, beamline: str) -> Ownership:
        return replace(whose, instrument_id=self._registry.instrument(beamline)) if self._registry else whose

    def _examined(self, number: str, beamline: str) -> tuple[Proposal | None, list[Objection]]:
        """The proposal at this beamline, if the office has it, and the objections to it."""
        rules = self._settings.proposals
        objections: list[Objection] = []
        if not number:
            return None, objections
        shown = repr(number[:100])
        if Proposal(number, "", beamline).proprietary:  # also where the office does not say so, or is not asked
            objections.append((rules.proprietary, f"proposal {shown} is proprietary"))
        if self._office is None or (rules.proprietary == "refuse" and objections):
            return None, objections
        if not is_name(number):
            why = f"proposal {shown} cannot be the number of a proposal"
            return None, [*objections, ("refuse" if rules.unknown == "hold" else rules.unknown, why)]
        try:
            found = _found(self._office, number, beamline)
        except UnknownProposal as error:
            return None, [*objections, (rules.unknown, str(error))]
        except OfficeError as error:
            raise NotYet(str(error)) from error
        if found.proprietary and not objections:
            objections.append((rules.proprietary, f"proposal {shown} is proprietary according to the user office"))
        try:
            return at_beamline(found, beamline), objections
        except WrongBeamline as error:
            return None, [*objections, (rules.foreign, str(error))]

    def _stop(self, objections: list[Objection]) -> None:
        """Raises MessageRefused or NotYet, by the strictest; returns if all of them allow the fallback group."""
        reasons = dict(reversed(objections))
        if "refuse" in reasons:
            raise MessageRefused(f"{reasons['refuse']}: change that or `proposals` in the settings, then replay it")
        if "hold" in reasons:
            raise NotYet(reasons["hold"], self._settings.proposals.hold_for)
        log.info("%s: the dataset gets the fallback group", reasons["fallback"])


def _found(office: Office, number: str, beamline: str) -> Proposal:
    """The proposal of any beamline, as it may be proprietary; `commissioning` exists at each beamline."""
    return proposal_at(office, number, beamline) if number == COMMISSIONING else office.proposal(number)
