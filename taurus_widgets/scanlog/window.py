"""The scan log with all its features: `ScanLog`."""

from __future__ import annotations

from typing import Any

from taurus.external.qt import Qt
from taurus.qt.qtgui.container import TaurusWidget

from taurus_widgets.scanlog.features.columns import Columns
from taurus_widgets.scanlog.features.compare import Compare
from taurus_widgets.scanlog.features.details import DetailPages
from taurus_widgets.scanlog.features.editing import Editing
from taurus_widgets.scanlog.features.empty_hint import EmptyHint
from taurus_widgets.scanlog.features.exporting import Exporting
from taurus_widgets.scanlog.features.filters import Filters
from taurus_widgets.scanlog.features.live import Live
from taurus_widgets.scanlog.features.login import Login
from taurus_widgets.scanlog.features.scicat_link import ScicatLink
from taurus_widgets.scanlog.features.sorting import Sorting
from taurus_widgets.scanlog.view import LogView


class ScanLog(LogView):
    """A table of scans that fills itself. Give it a catalogue with `setCatalogue`.

    It needs no Tango: everything is read from SciCat's REST API, in threads. With a Door (`setDoor`, or as the
    Taurus model) scans are shown as soon as they start.
    """

    def __init__(self, parent: Qt.QWidget | None = None, designMode: bool = False) -> None:
        super().__init__(parent, designMode=designMode)
        self._model = ""
        # In the order of their buttons and menu entries. A feature that needs another one takes it as an argument.
        self.columns = Columns(self)
        self.filters = Filters(self, self.columns)
        self.sorting = Sorting(self)
        self.exporting = Exporting(self)
        self.editing = Editing(self)
        self.detailPages = DetailPages(self, self.editing.edits)
        self.scicatLink = ScicatLink(self)
        self.compare = Compare(self)
        self.live = Live(self)
        self.login = Login(self)
        self.emptyHint = EmptyHint(self, self.filters)

    @classmethod
    def getQtDesignerPluginInfo(cls) -> dict[str, Any]:
        info: dict[str, Any] = TaurusWidget.getQtDesignerPluginInfo()
        info.update(module="taurus_widgets.scanlog", group="SciZoo", icon="designer:table.png", container=False)
        return info

    def setDoor(self, device: str) -> None:
        """Show the scans of this Sardana Door as soon as they start; "" for none. Returns at once."""
        self.live.setDoor(device)

    def setPathFixer(self, device: str) -> None:
        """Follow the proposal and visit of this PathFixer; "" for none. Returns at once."""
        self.live.setPathFixer(device)

    def setFrontend(self, address: str) -> None:
        """Set the address of SciCat's pages; with "" it is guessed. Raises ValueError if it is not an address."""
        self.scicatLink.setFrontend(address)

    def setModel(self, model: str | None, **_: Any) -> None:
        """Set the Door, like `setDoor`.

        Taurus' own way would query the device here, and the window would wait for it.
        """
        self._model = model or ""
        self.setDoor(self._model)

    def getModel(self, **_: Any) -> str:
        return self._model

    def resetModel(self) -> None:
        self.setModel("")

    model = Qt.pyqtProperty("QString", getModel, setModel, resetModel)
