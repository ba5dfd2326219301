"""What the dialogs of an export have in common: which rows, how far it is, and what came of it."""

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
"""Milliseconds between looks at how far it is. The thread itself never speaks to the window for each row."""

CLOSE_WAIT_SECONDS = 1.0
"""Seconds that a closing window waits for an export to take its half-written file away."""


NOTHING_WRITTEN = "Nothing was written."


@dataclass(frozen=True)
class Rows:
    """Which rows there are, now. Both are called in the window's thread; what `pages` gives is read in another."""

    label: str
    count: Callable[[], int]
    pages: Callable[[], Iterable[list[Json]]]


@dataclass(frozen=True)
class Table:
    """What an export is of. `sheet` is called in the window's thread."""

    sheet: Callable[[], Sheet]
    rows: list[Rows]
    calls: Calls
    scicat: SciCat


class ExportDialog(Qt.QDialog):
    """Beside the window and not over it: the scan log goes on, and what is exported is what it shows at the time."""

    def __init__(self, table: Table, parent: Qt.QWidget) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.Qt.WA_DeleteOnClose)
        self.table = table
        self.progress: ExportProgress | None = None
        """Of an export that runs."""
        self.body = Qt.QWidget(self)
        """All that is chosen in: it can be changed while nothing runs."""
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
        """The table, or what is selected in it, is another by now."""
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
        """What is exported but the rows."""
        return self.table.sheet().without_pictures()

    def changed(self) -> None:
        """Something was chosen: say what it means, and whether it can be exported."""
        self.columns.setText(", ".join(self.sheet().headings))

    def start(self) -> None:
        """Begin, by `run`."""

    def finished_with(self, answer: Any) -> None:
        """It is done, with what the work returned."""

    def chosen(self) -> Rows:
        return next(rows for button, rows in zip(self.rows, self.table.rows, strict=True) if button.isChecked())

    def run(self, total: int, work: Callable[[ExportProgress], Any]) -> None:
        """Do it in a thread."""
        progress = self.progress = ExportProgress(total)

        def whole() -> Any:
            with progress:
                progress.check()
                return work(progress)

        self.destroyed.connect(progress.cancel)  # with its panel, which nobody has closed
        self.say("")
        self._setRunning(True)
        self.table.calls.run(whole, self._done, self._failed)

    def say(self, text: str, problem: bool = False) -> None:
        """Below the form. Links can be in it: what others wrote has to be escaped."""
        palette = self.message.palette()
        role = Qt.QPalette.WindowText
        shade = Qt.QColor(colours(self.palette()).problem) if problem else self.palette().color(role)
        palette.setColor(role, shade)
        self.message.setPalette(palette)
        self.message.setText(text)
        self.message.setVisible(bool(text))

    # ------------------------------------------------------------------------ events

    def reject(self) -> None:
        """Esc, Cancel and Close: at first it stops what runs, and then it closes."""
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
        """The window closes: nobody will hear the end of it."""
        self._timer.stop()
        if self.progress is not None:
            self.progress.cancel()
            self.progress.ended.wait(CLOSE_WAIT_SECONDS)
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
        """The file that an error is about, if it is about one."""
        return Path()


def below(*widgets: Qt.QWidget) -> Qt.QVBoxLayout:
    """One below the other."""
    layout = Qt.QVBoxLayout()
    layout.setSpacing(2)
    for widget in widgets:
        layout.addWidget(widget)
    return layout


def reason(error: Exception, path: Path) -> str:
    """Why an export has failed, in plain words."""
    if isinstance(error, OSError):
        return file_problem(error, path)
    if isinstance(error, SciCatError):
        return f"{problem_text(error)}. Nothing was exported"
    return str(error) or type(error).__name__
