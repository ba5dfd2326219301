"""`RestDuo`, as MXCuBE's adapter of ISPyB calls it to list a beamline's proposals.

    from duo.UO import RestDuo
    from sdm.config import DUOPASSWORD, DUOUSER

    duo = RestDuo("https://duo.example.org/api/v1")
    duo.login(DUOUSER, DUOPASSWORD)
    numbers = set(duo.get_beamline_proposals("biomax"))

For other programs `sdm.office` has the same and more.
"""

from __future__ import annotations

import os

from sdm.office import Office, office_from
from sdm.office.duo import DuoOffice


class RestDuo:
    """The user office of the environment variable SDM_OFFICE, whose settings have its token; else DUO at `url`.

    Raises `sdm.office.OfficeError` if the address is wrong.
    """

    def __init__(self, url: str) -> None:
        address = os.environ.get("SDM_OFFICE", "")
        self._office: Office = office_from(address) if address else DuoOffice.at(url)

    def login(self, user: str, password: str) -> None:
        """Does nothing: the office is asked with the token of its settings (`token_file`)."""

    def get_beamline_proposals(self, beamline: str) -> list[int | str]:
        """The numbers of the beamline's proposals; one that is not a number as text.

        Raises `sdm.office.OfficeUnavailable`, `sdm.office.OfficeRefused`.
        """
        return [int(found.id) if found.id.isdecimal() else found.id for found in self._office.proposals(beamline)]
