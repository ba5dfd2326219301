"""The user office: proposals with their visits, samples and people.

What is imported here is public; the modules of this package are private. An office is chosen by its address,
and `RememberingOffice` keeps its answers in a file for a time when it cannot be asked:

    from datetime import date
    from sdm.office import RememberingOffice, memory_file, office_from, proposal_at, visit_on

    office = RememberingOffice(office_from("duo:/etc/scizoo/duo.yaml"), memory_file())
    proposal = proposal_at(office, "20250001", "cosaxs")  # raises an OfficeError, e.g. UnknownProposal
    print(proposal.title, visit_on(proposal, date.today()))

See docs/reference/user-office.md for the addresses, the settings files and the errors.
"""

from sdm.office.cache import RememberingOffice, memory_file
from sdm.office.factory import at_beamline, office_from, proposal_at
from sdm.office.model import (
    COMMISSIONING,
    Office,
    OfficeError,
    OfficeRefused,
    OfficeUnavailable,
    Proposal,
    UnknownProposal,
    Visit,
    WrongBeamline,
    ago,
    as_of_now,
    visit_on,
)
from sdm.office.yaml import YamlOffice

__all__ = [
    "COMMISSIONING",
    "Office",
    "OfficeError",
    "OfficeRefused",
    "OfficeUnavailable",
    "Proposal",
    "RememberingOffice",
    "UnknownProposal",
    "Visit",
    "WrongBeamline",
    "YamlOffice",
    "ago",
    "as_of_now",
    "at_beamline",
    "memory_file",
    "office_from",
    "proposal_at",
    "visit_on",
]
