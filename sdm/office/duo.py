"""DUO, a digital user office, over REST. Facilities differ, so paths and fields are settings.

The defaults know the answers of more than one: of several places for a field the first that
has something counts.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sdm.office.field_mapping import Dotted
from sdm.office.model import Proposal
from sdm.office.rest_settings import Own, RestSettings, load, unreadable

OWN = Own(
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
    questions={
        "proposal": ("/proposals/{proposal}", ("proposal",)),
        "proposals": ("/proposals?beamline={beamline}", ("beamline", "year")),
    },
    places=("answer", "answers"),
)


class DuoOffice:
    """Asks DUO. `proposal` and `proposals` of the settings are its questions, below `url`."""

    def __init__(self, settings: RestSettings) -> None:
        self._settings = settings
        self._reading = settings.reading
        self._server = settings.server()

    @classmethod
    def from_file(cls, file: Path) -> DuoOffice:
        """Raises OfficeError that names the file, the line and the field."""
        return cls(load(file, OWN))

    @property
    def name(self) -> str:
        return self._settings.url

    def proposal(self, proposal_id: str) -> Proposal:
        unknown = self._settings.unknown(proposal_id)
        answer = self._ask("proposal", "answer", proposal=proposal_id)
        with unreadable(self._settings):
            found = self._reading.asked(answer, proposal_id)
        if found is None:
            raise unknown
        return found

    def proposals(self, beamline: str) -> list[Proposal]:
        theirs = {ours.lower(): name for name, ours in self._reading.beamlines.items()}.get(beamline.lower(), beamline)
        answer = self._ask("proposals", "answers", beamline=theirs, year=str(dt.date.today().year))
        with unreadable(self._settings):
            return self._reading.listed([] if answer is None else answer, beamline)

    def _ask(self, question: str, place: str, **names: str) -> Any:
        quoted = {name: quote(value, safe="") for name, value in names.items()}
        answer = self._server.get(self._settings.own[question].format(**quoted))
        where = self._settings.own.get(place, "")
        if not where or answer is None:
            return answer
        with unreadable(self._settings):
            found = Dotted(where).values(answer)
            if question == "proposals":
                return found
            return found[0] if found else None
