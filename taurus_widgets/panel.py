"""The scan log and the editor of SciDog as panels of a TaurusGUI, which creates them from module and class only.

The editor's Taurus model is the SciDog device, by default that of SCIDOG_DEVICE or the only one in the Tango database.
The scan log's is the Door. All other settings are Qt properties; the environment variables of the command are used
for those that are not given. SCIZOO_SCICAT_USERNAME and SCIZOO_SCICAT_PASSWORD are the account; without a password the
panel asks for it.
"""

from __future__ import annotations

import os
from typing import Any

from taurus.external.qt import Qt

from ingest.scicat import SciCat
from taurus_widgets.scanlog.window import ScanLog
from taurus_widgets.scidog.window import ScidogEditor


class ScidogPanel(ScidogEditor):
    """The editor of what is recorded."""

    @classmethod
    def getQtDesignerPluginInfo(cls) -> dict[str, Any]:
        return {**super().getQtDesignerPluginInfo(), "module": "taurus_widgets.panel"}


class ScanLogPanel(ScanLog):
    """A scan log that opens its catalogue when it is created, from its properties or the environment."""

    def __init__(self, parent: Qt.QWidget | None = None, designMode: bool = False) -> None:
        super().__init__(parent, designMode=designMode)
        self._url = self._proposal = self._pathfixer = ""
        if designMode:
            return
        beamline = os.environ.get("SCIZOO_BEAMLINE", "")
        if beamline:
            self.columns.setBeamline(beamline)
        self.setUrl(os.environ.get("SCIZOO_SCICAT_URL", ""))
        self.setModel(os.environ.get("SCIZOO_DOOR", ""))
        self.setPathFixerName(os.environ.get("SCIZOO_PATHFIXER", ""))

    @classmethod
    def getQtDesignerPluginInfo(cls) -> dict[str, Any]:
        return {**super().getQtDesignerPluginInfo(), "module": "taurus_widgets.panel"}

    def getUrl(self) -> str:
        return self._url

    def setUrl(self, url: str) -> None:
        """The address of SciCat, for example https://scicat.example.org. A new address reads all rows again."""
        if url != self._url:
            self._url = url
            self._open()

    def getProposal(self) -> str:
        return self._proposal

    def setProposal(self, proposal: str) -> None:
        """Show the datasets of this proposal only; "" for all."""
        if proposal != self._proposal:
            self._proposal = proposal
            self._open()

    def getPathFixerName(self) -> str:
        return self._pathfixer

    def setPathFixerName(self, device: str) -> None:
        """The same as `setPathFixer`, under the name of the Qt property."""
        self._pathfixer = device
        self.setPathFixer(device)

    url = Qt.pyqtProperty("QString", getUrl, setUrl)
    proposal = Qt.pyqtProperty("QString", getProposal, setProposal)
    pathfixer = Qt.pyqtProperty("QString", getPathFixerName, setPathFixerName)

    def _open(self) -> None:
        if self._url:
            username = os.environ.get("SCIZOO_SCICAT_USERNAME", "")
            password = os.environ.get("SCIZOO_SCICAT_PASSWORD", "")
            self.login.expect("" if password else username)
            self.setCatalogue(SciCat(self._url, username if password else "", password), self._proposal)
