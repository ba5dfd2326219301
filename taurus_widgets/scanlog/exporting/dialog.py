"""The base of the export dialogs: the choice of rows, the progress and the result."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from taurus.external.qt import Qt

from ingest.scicat import SciCat, SciCatError
from taurus_widgets.qt.calls import Calls
from taurus_widgets.qt.fitting import Scrolled
from taurus_widgets.qt.painting import colours
from taurus_widgets.scanlog.data.cells import Sheet
from taurus_widgets.scanlog.data.columns import Json
from taurus_widgets.scanlog.data.feed import problem_text
from taurus_widgets.scanlog.exporting.progress import Cancelled, ExportProgress
from taurus_widgets.scanlog.exporting.saving import file_problem

PROGRESS_INTERVAL_MS = 100
"""Time between updates of the progress bar. The thread does not signal each row to the window."""

EXPORT_CLOSE_SECONDS = 1.0
"""How long a closing window waits for an export to delete its incomplete file."""


NOTHING_WRITTEN = "Nothing was written."


@dataclass(frozen=True)
class Rows:
    """Rows that can be exported. Both functions are called in the window's thread; the pages are read in another."""

    label: str
    count: Callable[[], int]
    pages: Callable[[], Iterable[list[Json]]]


@dataclass(frozen=True)
class Table:
    """The table to export. `sheet` is called in the window's thread."""

    sheet: Callable[[], Sheet]
    rows: list[Rows]
    calls: Calls
    scicat: SciCat


class ExportDialog(Qt.QDialog):
    """Not modal: the scan log continues, and the rows are those that it shows when the export starts."""

    def __init__(self, table: Table, parent: Qt.QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.Qt.WA_DeleteOnClose)
        self.table = table
        self.progress: ExportProgress | None = None
        """The progress of a running export; None otherwise."""
        self.body = Qt.QWidget(self)
        """The form. It is disabled while an export runs."""
        self.rows = [Qt.QRadioButton(self.body) for _ in table.rows]
        which = Qt.QButtonGroup(self)
        for button in self.rows:
            which.addButton(button)
        self.columns = Qt.QLabel(self.body)
        self.columns.setTextFormat(Qt.Qt.PlainText)
        self.columns.setWordWrap(True)
        self.columns.setToolTip("The columns of the table, in their order")
        self._count()
        ([button for button in self.rows if button.isEnabled()] or self.rows)[0].setChecked(True)
        which.buttonToggled.connect(lambda *_: self.changed())
        self.bar = Qt.QProgressBar(self)
        self.bar.setFormat("%v of %m")
        self.bar.hide()
        self.message = Qt.QLabel(self)
        self.message.setWordWrap(True)
        self.message.setTextInteractionFlags(Qt.Qt.TextBrowserInteraction)
        self.message.setOpenExternalLinks(True)
        self.message.hide()
        self.go = Qt.QPushButton("Export", self)
        self.go.setDefault(True)
        self.go.clicked.connect(self.start)
        self.closeButton = Qt.QPushButton("Close", self)
        self.closeButton.setAutoDefault(False)
        self.closeButton.clicked.connect(self.reject)
        inner = Qt.QWidget(self.body)
        self.form = Qt.QFormLayout(inner)
        self.form.setContentsMargins(0, 0, 0, 0)
        columns = Qt.QHBoxLayout(self.body)
        columns.setContentsMargins(0, 0, 0, 0)
        columns.setSpacing(16)
        columns.addWidget(Scrolled(inner, self.body), 3)
        self.form.setFieldGrowthPolicy(self.form.AllNonFixedFieldsGrow)
        self.form.setVerticalSpacing(8)
        self.form.addRow("Rows", below(*self.rows))
        self.form.addRow("Columns", self.columns)
        buttons = Qt.QHBoxLayout()
        buttons.addWidget(self.bar, 1)
        buttons.addStretch()
        buttons.addWidget(self.go)
        buttons.addWidget(self.closeButton)
        layout = Qt.QVBoxLayout(self)
        layout.setSpacing(10)
        layout.addWidget(self.body, 1)
        layout.addWidget(self.message)
        layout.addLayout(buttons)
        self._timer = Qt.QTimer(self)
        self._timer.setInterval(PROGRESS_INTERVAL_MS)
        self._timer.timeout.connect(self._showProgress)

    def refresh(self) -> None:
        """Update the dialog after a change of the table or of the selection."""
        if self.progress is None:
            self._count()
            self.changed()

    def _count(self) -> None:
        for button, rows in zip(self.rows, self.table.rows, strict=True):
            count = rows.count()
            button.setText(f"{rows.label} ({count:,})")
            button.setEnabled(count > 0)

    # ------------------------------------------------------------------ for subclasses

    def sheet(self) -> Sheet:
        """The sheet that is exported."""
        return self.table.sheet().without_pictures()

    def changed(self) -> None:
        """Update the texts and the buttons after a choice."""
        self.columns.setText(", ".join(self.sheet().headings))

    def start(self) -> None:
        """Start the export with `run`."""

    def finished_with(self, answer: Any) -> None:
        """The export is finished; `answer` is the result of the work."""

    def chosen(self) -> Rows:
        return next(rows for button, rows in zip(self.rows, self.table.rows, strict=True) if button.isChecked())

    def run(self, total: int, work: Callable[[ExportProgress], Any]) -> None:
        """Run the export in a thread."""
        progress = self.progress = ExportProgress(total)

        def whole() -> Any:
            with progress:
                progress.check()
                return work(progress)

        self.destroyed.connect(progress.cancel)  # for a panel that is deleted without being closed
        self.say("")
        self._setRunning(True)
        self.table.calls.run(whole, self._done, self._failed)

    def say(self, text: str, problem: bool = False) -> None:
        """Show a text below the form. It may contain links, so texts of other people must be escaped."""
        palette = self.message.palette()
        role = Qt.QPalette.WindowText
        shade = Qt.QColor(colours(self.palette()).problem) if problem else self.palette().color(role)
        palette.setColor(role, shade)
        self.message.setPalette(palette)
        self.message.setText(text)
        self.message.setVisible(bool(text))

    # ------------------------------------------------------------------------ events

    def reject(self) -> None:
        """Esc, Cancel and Close: stop a running export, otherwise close the dialog."""
        if self.progress is not None:
            self.progress.cancel()
            self.closeButton.setEnabled(False)
            self.say("Stopping…")
        else:
            super().reject()

    def closeEvent(self, event: Qt.QCloseEvent) -> None:
        if self.progress is not None:
            self.reject()
            event.ignore()
        else:
            super().closeEvent(event)

    def stop(self) -> None:
        """The window closes: cancel the export and drop its result."""
        self._timer.stop()
        if self.progress is not None:
            self.progress.cancel()
            self.progress.ended.wait(EXPORT_CLOSE_SECONDS)
            self.progress = None
        self.close()

    def _setRunning(self, running: bool) -> None:
        self.body.setEnabled(not running)
        self.go.setVisible(not running)
        self.bar.setVisible(running)
        self.closeButton.setEnabled(True)
        self.closeButton.setText("Cancel" if running else "Close")
        if running:
            self._timer.start()
            self._showProgress()
        else:
            self._timer.stop()

    def _showProgress(self) -> None:
        if self.progress is not None:
            self.bar.setMaximum(self.progress.total)
            self.bar.setValue(min(self.progress.done, self.progress.total))

    def _ended(self) -> None:
        self.progress = None
        self._setRunning(False)
        self.refresh()

    def _done(self, answer: Any) -> None:
        self._ended()
        self.finished_with(answer)

    def _failed(self, error: Exception) -> None:
        self._ended()
        if isinstance(error, Cancelled):
            self.say(f"Stopped. {escape(str(error) or NOTHING_WRITTEN)}")
        else:
            self.say(escape(reason(error, self.path())), problem=True)

    def path(self) -> Path:
        """The file of the export, for the texts of errors."""
        return Path()


def below(*widgets: Qt.QWidget) -> Qt.QVBoxLayout:
    """A layout with the widgets below each other."""
    layout = Qt.QVBoxLayout()
    layout.setSpacing(2)
    for widget in widgets:
        layout.addWidget(widget)
    return layout


def reason(error: Exception, path: Path) -> str:
    """Why an export has failed, as a text for people."""
    if isinstance(error, OSError):
        return file_problem(error, path)
    if isinstance(error, SciCatError):
        return f"{problem_text(error)}. Nothing was exported"
    return str(error) or type(error).__name__
