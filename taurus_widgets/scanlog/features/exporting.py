"""The exports of the scan log: the menu, the keys and the dialogs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from taurus.external.qt import Qt

from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.cells import Sheet
from taurus_widgets.scanlog.data.columns import Json
from taurus_widgets.scanlog.exporting.clipboard import MAX_CLIPBOARD_ROWS, ClipboardContent, copied
from taurus_widgets.scanlog.exporting.csv_file import Style
from taurus_widgets.scanlog.exporting.dialog import ExportDialog, Rows, Table, reason
from taurus_widgets.scanlog.exporting.elogy_dialog import ElogyDialog
from taurus_widgets.scanlog.exporting.save_dialog import SaveDialog
from taurus_widgets.scanlog.exporting.settings import ExportSettings
from taurus_widgets.scanlog.view import LogView

NOTE_MS = 6_000
"""How long the status bar shows what was copied."""


class Exporting(Qt.QObject):
    """Copy, save, and export to Elogy: in the tool bar, in the menu of a row, and by keys."""

    def __init__(self, log: LogView) -> None:
        super().__init__(log)
        self._log = log
        self._settings = ExportSettings()
        self._elogy = ""
        self.dialog: ExportDialog | None = None
        """The open dialog, if there is one."""
        self.note = Qt.QLabel(log.statusBar)
        self.note.setTextFormat(Qt.Qt.PlainText)
        self.note.hide()
        layout = log.statusBar.layout()
        layout.insertWidget(layout.count() - 1, self.note)
        self._noteTimer = Qt.QTimer(self)
        self._noteTimer.setSingleShot(True)
        self._noteTimer.setInterval(NOTE_MS)
        self._noteTimer.timeout.connect(self.note.hide)
        self.copy = self._action("Copy rows", Qt.QKeySequence.Copy, self._copySelected)
        self.copyAll = self._action("Copy all rows", "Ctrl+Shift+C", self._copyAll)
        self.save = self._action("Save rows…", Qt.QKeySequence.Save, self._save)
        self.toElogy = self._action("Rows to Elogy…", "Ctrl+E", self._toElogy)
        # For the table only: elsewhere Ctrl+C copies the selected text.
        self.copy.setShortcutContext(Qt.Qt.WidgetShortcut)
        self.copyAll.setShortcutContext(Qt.Qt.WidgetShortcut)
        log.table.addActions([self.copy, self.save, self.toElogy])
        log.addActions([self.save, self.toElogy])
        log.table.addAction(self.copyAll)
        menu = Qt.QMenu("Export", log)
        menu.setToolTipsVisible(True)
        menu.addActions([self.copy, self.copyAll, self.save, self.toElogy])
        self.button = Qt.QToolButton(log)
        self.button.setText("Export")
        self.button.setMenu(menu)
        self.button.setPopupMode(Qt.QToolButton.InstantPopup)
        self.button.setToolTip("Copy rows, save them in a file, or put them into Elogy")
        log.toolBar.addWidget(self.button)
        menu.aboutToShow.connect(self._updateMenu)
        self._selected = Rows("Selected rows", self._countSelected, self._readSelected)
        self._all = Rows("All rows of the table", log.scans.rowCount, log.allRows)
        for signal in (
            *(log.scans.rowsInserted, log.scans.rowsRemoved, log.scans.modelReset, log.scans.headerDataChanged),
            *(log.table.selectionModel().selectionChanged, log.table.horizontalHeader().sectionMoved),
        ):
            signal.connect(self._refresh)
        log.closing.connect(self.stop)

    def setElogy(self, address: str) -> None:
        """Set the address of Elogy. It takes precedence over the environment and the last address of the user."""
        self._elogy = address

    def stop(self) -> None:
        """Stop a running export. Its incomplete file is deleted."""
        if self.dialog is not None:
            self.dialog.stop()

    # ---------------------------------------------------------------------- private

    def _action(self, text: str, keys: object, slot: Callable[[], None]) -> Qt.QAction:
        action = Qt.QAction(text, self._log)
        action.setShortcut(Qt.QKeySequence(keys))
        action.setShortcutContext(Qt.Qt.WidgetWithChildrenShortcut)
        action.triggered.connect(slot)
        return action

    def _updateMenu(self) -> None:
        self.copy.setEnabled(self._selected.count() > 0)

    def _sheet(self) -> Sheet:
        address = self._log.scicat.base_url if self._log.scicat is not None else ""
        return Sheet(self._log.shownColumns(), self._log.windowTitle(), address)

    def _countSelected(self) -> int:
        return sum(map(len, self._log.selectedRanges()))

    def _readSelected(self) -> Iterable[list[Json]]:
        """The selected datasets: from memory if all are there, else read in the thread that iterates."""
        here = self._log.selectedDatasets()
        return [here] if len(here) == self._countSelected() else self._log.allRows(self._log.selectedRanges())

    # -------------------------------------------------------------------- clipboard

    def _copySelected(self) -> None:
        if self._selected.count():
            self._copy(self._selected)
        else:
            self._say("No row is selected")

    def _copyAll(self) -> None:
        self._copy(self._all)

    def _copy(self, rows: Rows) -> None:
        count = rows.count()
        if self._log.scicat is None or not count:
            return
        if count > MAX_CLIPBOARD_ROWS:
            self._say(f"{count:,} rows are too many for the clipboard: save them in a file", problem=True)
            return
        work = partial(_copied, self._sheet().without_pictures(), rows.pages(), self._settings.style())
        self._log.calls.run(work, self._copied, self._notCopied, "copy")

    def _copied(self, answer: tuple[int, ClipboardContent]) -> None:
        count, both = answer
        data = Qt.QMimeData()
        data.setText(both.text)
        data.setHtml(both.html)
        Qt.QApplication.clipboard().setMimeData(data)
        self._say("One row copied" if count == 1 else f"{count:,} rows copied")

    def _notCopied(self, error: Exception) -> None:
        self._say(f"Not copied: {reason(error, Path())}", problem=True)

    def _say(self, text: str, problem: bool = False) -> None:
        """Show a text in the status bar, for a while; a problem stays until the next text."""
        self.note.setText(text)
        self.note.show()
        self._noteTimer.stop() if problem else self._noteTimer.start()

    # ----------------------------------------------------------------------- dialogs

    def _refresh(self) -> None:
        if self.dialog is not None:
            self.dialog.refresh()

    def _save(self) -> None:
        table = self._table()
        if table is not None:
            self._open(SaveDialog(table, self._settings, self._log))

    def _toElogy(self) -> None:
        table = self._table()
        if table is not None:
            proposals = {cols.line(dataset.get("proposalId")) for dataset in self._log.selectedDatasets()}
            known = {"proposal": proposals.pop()} if len(proposals) == 1 else {}
            self._open(ElogyDialog(table, self._settings, self._elogy, known, self._log))

    def _table(self) -> Table | None:
        """None before there is a catalogue, and while another export runs."""
        log = self._log
        if log.scicat is None or self._busy():
            return None
        return Table(self._sheet, [self._selected, self._all], log.calls, log.scicat)

    def _busy(self) -> bool:
        """Whether an export runs; then its dialog is raised. An idle dialog is closed."""
        if self.dialog is None:
            return False
        if self.dialog.progress is None:
            self.dialog.close()
            return False
        self.dialog.raise_()
        self.dialog.activateWindow()
        return True

    def _open(self, dialog: ExportDialog) -> None:
        self.dialog = dialog
        dialog.destroyed.connect(partial(self._closed, id(dialog)))
        dialog.show()

    def _closed(self, which: int, _: object = None) -> None:
        if self.dialog is not None and id(self.dialog) == which:
            self.dialog = None


def _copied(sheet: Sheet, pages: Iterable[list[Json]], style: Style) -> tuple[int, ClipboardContent]:
    datasets = {dataset["pid"]: dataset for page in pages for dataset in page}
    return len(datasets), copied(sheet, list(datasets.values()), style)
