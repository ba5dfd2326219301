"""SciCat's own proposals as the user office, for a facility that feeds them there."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sdm.office.field_mapping import Dotted, Field, members_of, samples_of
from sdm.office.model import OfficeError, OfficeRefused, Proposal
from sdm.office.rest_settings import Own, RestSettings, load, unreadable, without_file

_log = logging.getLogger(__name__)

PERIODS = "MeasurementPeriodList"

OWN = Own(
    fields={
        "id": "proposalId",
        "title": "title",
        "abstract": "abstract",
        "pi_name": ["{pi_firstname} {pi_lastname}", "{firstname} {lastname}"],
        "pi_email": ["pi_email", "email"],
        "type": "type",
        "beamline": ["instrumentIds[]", f"{PERIODS}[].instrument"],
        "members": "{firstname} {lastname}",
        "group": "ownerGroup",
        "visits": {"path": f"{PERIODS}[]", "start": "start", "end": "end", "beamline": "instrument"},
    }
)

SAMPLE = Field(Dotted("sampleId"))  # datasets name their sample by it

_API = "/api/v3"
_PAGE = 500
_MOST_PAGES = 40


class SciCatOffice:
    """Asks SciCat, version 3 of its interface."""

    def __init__(self, settings: RestSettings) -> None:
        url = settings.url if settings.url.endswith(_API) else settings.url + _API
        self._settings = replace(settings, url=url)
        self._reading = settings.reading
        self._server = self._settings.server()

    @classmethod
    def from_file(cls, file: Path) -> SciCatOffice:
        """Raises OfficeError that names the file, the line and the field."""
        return cls(load(file, OWN))

    @classmethod
    def at(cls, url: str) -> SciCatOffice:
        """With all settings by default, and without a token. Raises OfficeError."""
        return cls(without_file(url, OWN))

    @property
    def name(self) -> str:
        return self._settings.url

    def proposal(self, proposal_id: str) -> Proposal:
        unknown = self._settings.unknown(proposal_id)
        answer = self._server.get(f"/proposals/{quote(proposal_id, safe='')}")
        with unreadable(self._settings):
            found = self._reading.asked(answer, proposal_id)
        if found is None:
            self._check_token()
            raise unknown
        return replace(found, samples=self._samples(proposal_id)) if not found.samples else found

    def proposals(self, beamline: str) -> list[Proposal]:
        theirs = [name for name, ours in self._reading.beamlines.items() if ours.lower() == beamline.lower()]
        names = list(dict.fromkeys([beamline, beamline.lower(), beamline.upper(), *theirs]))
        where = {"$or": [{"instrumentIds": {"$in": names}}, {f"{PERIODS}.instrument": {"$in": names}}]}
        answer = self._list("/proposals", "proposalId", where)
        if not answer:
            self._check_token()
        with unreadable(self._settings):
            return self._reading.listed(answer, beamline)

    def _check_token(self) -> None:
        """To a token that has expired SciCat does not say so, but shows what is public. Raises OfficeRefused."""
        if self._server.has_token and not self._server.get("/auth/whoami"):
            raise OfficeRefused(self._server.refusal("/auth/whoami", "does not know us"))

    def _samples(self, proposal_id: str) -> tuple[str, ...]:
        """An aid to people, so that a proposal is not lost with them."""
        try:
            with unreadable(self._settings):
                # In a list it stays a text: alone a number like 2025-1 would be made a date.
                listed = self._list("/samples", "sampleId", {"proposalId": {"$in": [proposal_id]}})
                return samples_of(name for one in listed for name in SAMPLE.texts(one))
        except OfficeError as error:
            _log.warning("the samples of proposal %s are not known: %s", proposal_id, error)
            return ()

    def _list(self, path: str, key: str, where: dict[str, Any]) -> list[Any]:
        found: list[Any] = []
        for page in range(_MOST_PAGES):
            limits = {"limit": _PAGE, "skip": page * _PAGE, "order": f"{key}:asc"}
            asked = json.dumps({"where": where, "limits": limits})
            # The lists of datasets and samples take `filter`, that of proposals `filters`.
            answer = self._server.get(path, {"filter": asked, "filters": asked})
            with unreadable(self._settings):
                found += members_of([] if answer is None else answer)
            if not answer or len(answer) < _PAGE:
                break
        return found
