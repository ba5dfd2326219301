"""Whose a dataset is: what SciCat needs to know of it that no message says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ingest.settings import Settings
from scifish.message import Message


@dataclass(frozen=True)
class Ownership:
    """The people of a dataset and the groups that may see it. `contact_email` is one that SciCat accepts."""

    owner: str
    contact_email: str
    principal_investigator: str
    owner_group: str
    access_groups: tuple[str, ...]


Validation = Callable[[Message], Ownership]
"""Who a checked `began`, `ended` or `snapshot` belongs to. Raises Refused, NotYet, SciCatError."""


def by_settings(message: Message, settings: Settings) -> Ownership:
    """Where no user office is asked: the settings' contact, and groups after their templates."""
    names = {"proposal": message["proposalId"], "beamline": message["beamline"]}
    owner_group = settings.owner_group if message["proposalId"] else settings.no_proposal_group
    return Ownership(
        owner=settings.contact.owner,
        contact_email=settings.contact.contact_email,
        principal_investigator=settings.contact.principal_investigator,
        owner_group=owner_group.format(**names),
        access_groups=tuple(group.format(**names) for group in settings.access_groups),
    )
