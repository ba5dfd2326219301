"""The owner of a dataset and its groups, which SciCat needs and no message says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ingest.scicow.errors import ForeignMessage, MessageRefused
from ingest.scicow.settings import SciCowSettings, wrong_email
from scifish.message import Message
from sdm.names import NameRefused, check_name
from sdm.office import Proposal
from sdm.office.model import COMMISSIONING


@dataclass(frozen=True)
class Ownership:
    """The people of a dataset and the groups that may see it. `contact_email` is one that SciCat accepts.

    `instrument_id` is the pid of the beamline in SciCat, "" if it has none. With `alone` no other group
    may see it, also if one could before.
    """

    owner: str
    contact_email: str
    principal_investigator: str
    owner_group: str
    access_groups: tuple[str, ...]
    instrument_id: str = ""
    alone: bool = False


Validation = Callable[[Message], Ownership]
"""Who a checked `began`, `ended` or `snapshot` belongs to. Raises MessageRefused, NotYet, SciCatError."""


def by_settings(message: Message, settings: SciCowSettings) -> Ownership:
    """Without a user office: the contact of the settings, and groups by their templates.

    Raises MessageRefused for a beamline that no group can be named after. A number that none can be named
    after gives the dataset to the beamline's staff.
    """
    number, beamline = message["proposalId"], beamline_of(message)
    if not number or not is_name(number):
        return of_the_beamline(beamline, settings)
    return of_the_proposal(Proposal(number, "", beamline), settings)


def of_the_proposal(proposal: Proposal, settings: SciCowSettings) -> Ownership:
    """That of an accepted proposal, whose `beamline` is the one where the data are taken.

    Its principal investigator and their address, where the office names one and SciCat takes it, else the
    settings' contact. `commissioning` is one number at all beamlines, so a group named after it would
    be one for all: its datasets are the beamline's.
    """
    contact = settings.contact
    group = proposal.group or f"{proposal.id}-group"  # as `sdm` takes where an office names none
    names = {"proposal": proposal.id, "beamline": proposal.beamline, "group": group}
    of_beamline = of_the_beamline(proposal.beamline, settings)
    commissioning = proposal.id == COMMISSIONING
    return Ownership(
        owner=proposal.pi_name or contact.owner,
        contact_email=contact.contact_email if wrong_email(proposal.pi_email) else proposal.pi_email,
        principal_investigator=proposal.pi_name or contact.principal_investigator,
        owner_group=of_beamline.owner_group if commissioning else settings.owner_group.format(**names),
        access_groups=of_beamline.access_groups if commissioning else _filled(settings.access_groups, names),
    )


def of_the_beamline(beamline: str, settings: SciCowSettings) -> Ownership:
    """That of a dataset without a proposal: `no_proposal_group`, and the access groups that name no proposal."""
    without = tuple(one for one in settings.access_groups if "{proposal}" not in one and "{group}" not in one)
    return Ownership(
        owner=settings.contact.owner,
        contact_email=settings.contact.contact_email,
        principal_investigator=settings.contact.principal_investigator,
        owner_group=settings.no_proposal_group.format(beamline=beamline),
        access_groups=_filled(without, {"beamline": beamline}),
    )


def of_the_fallback(beamline: str, settings: SciCowSettings) -> Ownership:
    """That of a dataset whose proposal does not count: one group sees it, and no name of its people is in it."""
    return Ownership(
        owner=settings.contact.owner,
        contact_email=settings.contact.contact_email,
        principal_investigator=settings.contact.principal_investigator,
        owner_group=settings.proposals.fallback_group.format(beamline=beamline),
        access_groups=(),
        alone=True,
    )


def check_topic(message: Message, topic: str, settings: SciCowSettings) -> None:
    """Raises ForeignMessage for a message in a topic that its beamline does not write to.

    The rights on a topic decide who may write as this beamline: what a message says of itself is not proved.
    """
    beamline, kafka = message["beamline"], settings.kafka
    if not kafka.may_write(beamline, topic):
        known = ", ".join(kafka.topics_of(beamline))
        raise ForeignMessage(
            f"topic {topic} is not one of beamline {beamline!r} ({known}): if it is, add it to SciCow's settings, "
            f"kafka.beamline_topics: {{{beamline}: [{topic}]}}, restart SciCow and replay this letter; if not, find "
            "out who writes there, and drop it"
        )


def check_same_beamline(message: Message, recorded: str) -> None:
    """Raises ForeignMessage for a message about a dataset that another beamline recorded; "" if it does not say which.

    A dataset's uuid is not secret.
    """
    if recorded and recorded.lower() != message["beamline"].lower():
        raise ForeignMessage(
            f"{message['uuid']} is a dataset of the beamline {recorded[:100]!r}, and this message is "
            f"from {message['beamline'][:100]!r}, which cannot change it"
        )


def beamline_of(message: Message) -> str:
    """The message's, as groups can be named after it. Raises MessageRefused."""
    beamline: str = message["beamline"]
    if not is_name(beamline):
        raise MessageRefused(f"beamline {beamline[:100]!r} is not valid: use letters, digits, '_', '-' and '.'")
    return beamline


def is_name(text: str) -> bool:
    """Whether this can be a beamline's name or a proposal's number, for offices and for groups."""
    try:
        check_name(text, "name")
    except NameRefused:
        return False
    return True


def _filled(templates: tuple[str, ...], names: dict[str, str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(template.format(**names) for template in templates))
