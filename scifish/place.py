"""What PathFixer says of where an experiment stands: proposal, sample, path."""

from __future__ import annotations

from scifish.message import Message
from scifish.settings import Settings
from scifish.snapshot import Reading

_FIELDS = {"Proposal": "proposalId", "Sample": "sampleId", "SamplePath": "sourceFolder", "Type": "category"}


def sources(settings: Settings) -> list[str]:
    """The attributes of PathFixer that a dataset needs, by their full names."""
    return [f"{settings.path_fixer}/{attribute}" for attribute in _FIELDS] if settings.path_fixer else []


class Place:
    """Keeps what PathFixer said last, for a time when it does not answer."""

    def __init__(self) -> None:
        self.last: Message = {}

    def understood(self, settings: Settings, readings: dict[str, Reading]) -> tuple[Message, list[str]]:
        """The fields of a dataset that PathFixer knows, and warnings, from a reading of `sources`."""
        if not settings.path_fixer:
            return {}, ["the property PathFixer of SciDog is empty: proposal, sample and path are not known"]
        of_field = {name: readings[f"{settings.path_fixer}/{attribute}"] for attribute, name in _FIELDS.items()}
        errors = [reading.error for reading in of_field.values() if reading.error]
        found = {name: str(reading.value or "") for name, reading in of_field.items() if not reading.error}
        if not errors:
            self.last = found
            return found, []
        warning = f"{settings.path_fixer} does not answer ({errors[0]})"
        if self.last:
            return {**self.last, **found}, [f"{warning}: proposal, sample and path are those it said last"]
        return found, [f"{warning}: proposal, sample and path are not known"]


def is_proprietary(proposal: str, category: str) -> bool:
    """Whether its metadata stays at the beamline. Proposals that begin with IN are proprietary at MAX IV."""
    return category == "proprietary" or proposal.upper().startswith("IN")
