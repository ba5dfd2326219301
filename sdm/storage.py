"""The storage of a beamline, with the interface that MXCuBE and other programs use.

from sdm import storage
beamline = storage.Storage(user_type="visitors", beamline="biomax")
group = beamline.get_proposal_group(20250001)
raw = beamline.create_path(20250001, group, "20250310")
"""

from __future__ import annotations

import logging
import os
from pathlib import Path

from sdm import folders
from sdm.layout import DEFAULT_ROOT, layout_from
from sdm.names import DataLocation, NameRefused, check_category, check_name

_log = logging.getLogger(__name__)


class StorageException(Exception):
    """The folder could not be made, or a name was refused. The text says why."""


class Storage:
    """The part of the storage with one beamline's data of one category.

    `user_type` is visitors, proprietary or staff; `service_account` is the account that
    owns the folders (None: the account of this process); `prefix` replaces `/data`. The environment
    variable SDM_LAYOUT sets another layout, in the form of `layout_from`.
    """

    def __init__(
        self, user_type: str, beamline: str, service_account: str | None = None, prefix: str | None = None
    ) -> None:
        try:
            self._category = check_category(user_type)
            self._beamline = check_name(_text(beamline, "beamline").lower(), "beamline")
            self._layout = layout_from(os.environ.get("SDM_LAYOUT", ""), Path(prefix) if prefix else DEFAULT_ROOT)
        except NameRefused as error:
            raise StorageException(str(error)) from error
        self._owner = service_account or ""

    @property
    def beamline_path(self) -> str:
        """The folder of the beamline, which contains the proposals."""
        return str(self._layout.beamline(DataLocation(self._category, self._beamline, "any", "any")))

    def get_proposal_group(self, proposal: str | int, admin: bool = False) -> str:
        """The group of the proposal's folders; with `admin`, the group of the beamline's staff."""
        return self._beamline if admin else f"{proposal}-group"

    def create_path(self, proposal: str | int, group: str, visit: str | int, username: str | None = None) -> str:
        """Make the visit's missing folders, and return the path of its raw folder.

        `username` is the account that owns them, instead of the service account.
        Raises StorageException.
        """
        try:
            location = DataLocation(self._category, self._beamline, _text(proposal, "proposal"), _text(visit, "visit"))
            done = folders.make(self._layout, location, _text(group, "group"), owner=username or self._owner)
        except (NameRefused, folders.FolderError) as error:
            raise StorageException(str(error)) from error
        for note in done.notes:
            _log.warning("%s", note)
        return str(done.raw)


def _text(value: object, what: str) -> str:
    # A session without a proposal passes None, which must not become a folder named None.
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise NameRefused(f"{what} {value!r} refused: it is neither a text nor a number")
    return str(value)
