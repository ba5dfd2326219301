"""DUO, a digital user office, over REST. Facilities differ, so paths and fields are settings.

The defaults fit the answers of several facilities: of several sources of a field, the first one
with a value is used.
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

from sdm.office.field_mapping import DottedPath
from sdm.office.model import Proposal
from sdm.office.rest_settings import (
    OfficeDefaults,
    OfficeFile,
    RestSettings,
    answer_errors,
    default_settings,
    load,
    question,
)


@dataclass(frozen=True)
class DuoFile(OfficeFile):
    """`proposal` and `proposals` are the paths of requests; `answer` and `answers` where the answers are in theirs."""

    proposal: Annotated[str, question("proposal")] = "/proposals/{proposal}"
    proposals: Annotated[str, question("beamline", "year")] = "/proposals?beamline={beamline}"
    answer: DottedPath | None = None
    answers: DottedPath | None = None


DUO_DEFAULTS = OfficeDefaults(
    fields={
        "id": ["propid", "proposal", "proposal_id", "number", "id"],
        "title": "title",
        "abstract": "abstract",
        "pi_name": [
            *("principal.fullname", "{principal.firstname} {principal.lastname}"),
            *("{pi_firstname} {pi_lastname}", "{proposer.firstname} {proposer.lastname}"),
        ],
        "pi_email": ["principal.email", "pi_email", "proposer.email"],
        "type": ["type", "proposal_type", "category"],
        "proprietary": "proprietary",
        "beamline": ["beamline_assigned", "beamline"],
        "members": [
            *("participants[].name", "participants[].fullname", "members[]"),
            {"path": "authors[].author", "text": "{firstname} {lastname}"},
        ],
        "group": "group",
        "samples": ["samples[].name", "samples[]"],
        "visits": [
            {"path": "sessions[]", "name": "name", "start": "start", "end": "end", "beamline": "beamline"},
            {"path": "schedule[]", "start": "start", "end": "end", "beamline": "beamline"},
        ],
    },
    file=DuoFile,
)


class DuoOffice:
    """Asks DUO. The settings `proposal` and `proposals` are the paths of its requests, below `url`."""

    def __init__(self, settings: RestSettings) -> None:
        self._settings = settings
        self._mapping = settings.mapping
        self._client = settings.client()

    @classmethod
    def from_file(cls, file: Path) -> DuoOffice:
        """Raises OfficeError that names the file, the line and the field."""
        return cls(load(file, DUO_DEFAULTS))

    @classmethod
    def at(cls, url: str) -> DuoOffice:
        """With default settings, and without a token. Raises OfficeError."""
        return cls(default_settings(url, DUO_DEFAULTS))

    @property
    def name(self) -> str:
        return self._settings.file.url

    def proposal(self, proposal_id: str) -> Proposal:
        unknown = self._settings.unknown(proposal_id)
        answer = self._ask("proposal", "answer", proposal=proposal_id)
        with answer_errors(self._settings):
            found = self._mapping.requested(answer, proposal_id)
        if found is None:
            raise unknown
        return found

    def proposals(self, beamline: str) -> list[Proposal]:
        office_name = {ours.lower(): name for name, ours in self._mapping.beamlines.items()}.get(
            beamline.lower(), beamline
        )
        answer = self._ask("proposals", "answers", beamline=office_name, year=str(dt.date.today().year))
        with answer_errors(self._settings):
            return self._mapping.listed([] if answer is None else answer, beamline)

    def _ask(self, question: str, setting: str, **names: str) -> Any:
        quoted = {name: quote(value, safe="") for name, value in names.items()}
        answer = self._client.get(getattr(self._settings.file, question).format(**quoted))
        where = getattr(self._settings.file, setting)
        if where is None or answer is None:
            return answer
        with answer_errors(self._settings):
            found = where.values(answer)
            if question == "proposals":
                return found
            return found[0] if found else None
