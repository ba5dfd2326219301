"""SciCat's proposals as the user office, for a facility that puts its proposals into SciCat."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

from sdm.office.field_mapping import AnswerPath, FieldSource, as_list, samples_of
from sdm.office.model import OfficeError, OfficeRefused, Proposal
from sdm.office.rest_settings import OfficeDefaults, RestSettings, answer_errors, default_settings, load

_log = logging.getLogger(__name__)

PERIODS = "MeasurementPeriodList"

SCICAT_DEFAULTS = OfficeDefaults(
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

SAMPLE_SOURCE = FieldSource(AnswerPath("sampleId"))  # datasets refer to their sample by it

_API = "/api/v3"
_PAGE_SIZE = 500
_MAX_PAGES = 40


class SciCatOffice:
    """Asks SciCat, version 3 of its interface."""

    def __init__(self, settings: RestSettings) -> None:
        url = settings.file.url.removesuffix(_API) + _API
        self._settings = replace(settings, file=replace(settings.file, url=url))
        self._mapping = settings.mapping
        self._client = self._settings.client()

    @classmethod
    def from_file(cls, file: Path) -> SciCatOffice:
        """Raises OfficeError that names the file, the line and the field."""
        return cls(load(file, SCICAT_DEFAULTS))

    @classmethod
    def at(cls, url: str) -> SciCatOffice:
        """With default settings, and without a token. Raises OfficeError."""
        return cls(default_settings(url, SCICAT_DEFAULTS))

    @property
    def name(self) -> str:
        return self._settings.file.url

    def proposal(self, proposal_id: str) -> Proposal:
        unknown = self._settings.unknown(proposal_id)
        answer = self._client.get(f"/proposals/{quote(proposal_id, safe='')}")
        with answer_errors(self._settings):
            found = self._mapping.requested(answer, proposal_id)
        if found is None:
            self._check_token()
            raise unknown
        return replace(found, samples=self._samples(proposal_id)) if not found.samples else found

    def proposals(self, beamline: str) -> list[Proposal]:
        office_names = [name for name, ours in self._mapping.beamlines.items() if ours.lower() == beamline.lower()]
        names = list(dict.fromkeys([beamline, beamline.lower(), beamline.upper(), *office_names]))
        where = {"$or": [{"instrumentIds": {"$in": names}}, {f"{PERIODS}.instrument": {"$in": names}}]}
        answer = self._list("/proposals", "proposalId", where)
        if not answer:
            self._check_token()
        with answer_errors(self._settings):
            return self._mapping.listed(answer, beamline)

    def _check_token(self) -> None:
        """Raises OfficeRefused for an expired token: SciCat does not report it, but shows only what is public."""
        if self._client.has_token and not self._client.get("/auth/whoami"):
            raise OfficeRefused(self._client.refusal("/auth/whoami", "does not accept the token"))

    def _samples(self, proposal_id: str) -> tuple[str, ...]:
        """Samples only help people, so an error here does not cost the proposal."""
        try:
            with answer_errors(self._settings):
                # In a list it stays a text: SciCat would take a single 2025-1 for a date.
                listed = self._list("/samples", "sampleId", {"proposalId": {"$in": [proposal_id]}})
                return samples_of(name for one in listed for name in SAMPLE_SOURCE.texts(one))
        except OfficeError as error:
            _log.warning("the samples of proposal %s are unknown: %s", proposal_id, error)
            return ()

    def _list(self, path: str, key: str, where: dict[str, Any]) -> list[Any]:
        found: list[Any] = []
        for page in range(_MAX_PAGES):
            limits = {"limit": _PAGE_SIZE, "skip": page * _PAGE_SIZE, "order": f"{key}:asc"}
            asked = json.dumps({"where": where, "limits": limits})
            # SciCat's lists of datasets and samples use `filter`, its list of proposals uses `filters`.
            answer = self._client.get(path, {"filter": asked, "filters": asked})
            with answer_errors(self._settings):
                found += as_list([] if answer is None else answer)
            if not answer or len(answer) < _PAGE_SIZE:
                break
        return found
