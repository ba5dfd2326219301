"""The action that compares the selected rows in a dialog."""

from __future__ import annotations

from taurus.external.qt import Qt

from taurus_widgets.scanlog.dialogs.compare import CompareDialog
from taurus_widgets.scanlog.view import LogView

MIN_COMPARED, MAX_COMPARED = 2, 50
"""Number of datasets that can be compared: more columns are unreadable."""


class Compare(Qt.QObject):
    """In the toolbar, in the menu of the rows, and by Ctrl+D."""

    def __init__(self, log: LogView) -> None:
        super().__init__(log)
        self._log = log
        self.action = Qt.QAction("Compare", self)
        self.action.setShortcut(Qt.QKeySequence("Ctrl+D"))
        self.action.setShortcutContext(Qt.Qt.WidgetWithChildrenShortcut)
        self.action.triggered.connect(lambda: self.openDialog())
        log.addAction(self.action)
        log.table.addAction(self.action)
        log.toolBar.addAction(self.action)
        log.table.selectionModel().selectionChanged.connect(lambda: self._selected())
        log.scans.modelReset.connect(self._selected)
        self._selected()

    def _selected(self) -> None:
        count = sum(map(len, self._log.selectedRanges()))
        self.action.setEnabled(MIN_COMPARED <= count <= MAX_COMPARED)
        if self.action.isEnabled():
            self.action.setToolTip(f"Show what differs between the {count} selected datasets (Ctrl+D)")
        else:
            self.action.setToolTip(
                f"Select {MIN_COMPARED} to {MAX_COMPARED} rows, to see what differs between them (Ctrl+D)"
            )

    def openDialog(self) -> CompareDialog | None:
        """Compare the selected datasets. None if they are too few or too many, or without a catalogue."""
        scicat = self._log.scicat
        if scicat is None or not self.action.isEnabled():
            return None
        pages = self._log.allRows(self._log.selectedRanges(), ["pid"])
        dialog = CompareDialog(self._log.calls, scicat, self._log.window())
        dialog.readFrom(lambda: [str(dataset["pid"]) for page in pages for dataset in page])
        dialog.show()
        return dialog
