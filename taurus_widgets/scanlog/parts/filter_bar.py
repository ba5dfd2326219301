"""The widgets of the filter bar: time, proposal, status, search, and a chip for each filter in use."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

from taurus.external.qt import Qt

from taurus_widgets.qt.flow_layout import FlowLayout
from taurus_widgets.qt.layouts import tightColumn
from taurus_widgets.qt.painting import colours
from taurus_widgets.qt.text import tooltip
from taurus_widgets.scanlog.data.timerange import Span, TimeRange

MAX_CHIP_LETTERS = 60
"""Longer texts are cut; the tool tip has the whole text."""


SEARCH_HELP = (
    "Words to look for, or a comparison: motor = mot01, energy > 7.1 keV, comment ~ good (contains).\n"
    "Several with and between them. Enter applies it. (Ctrl+F)"
)


def now() -> dt.datetime:
    """The local time, with its zone."""
    return dt.datetime.now().astimezone()


class Chip(Qt.QToolButton):
    """An active filter. A click removes it."""

    def __init__(self, text: str, clear: Callable[[], object], parent: Qt.QWidget) -> None:
        super().__init__(parent)
        self.filter = text
        short = text if len(text) <= MAX_CHIP_LETTERS else text[: MAX_CHIP_LETTERS - 1] + "\u2026"
        self.setText(f"{short.replace('&', '&&')}  \u00d7")
        self.setToolTip(tooltip(f"{text}\nClick to show the others again"))
        self.setAccessibleName(f"Filter: {text}")
        self.setFocusPolicy(Qt.Qt.StrongFocus)
        self.setCursor(Qt.Qt.PointingHandCursor)
        shade = colours(self.palette()).selection
        self.setStyleSheet(
            f"QToolButton {{ background: {shade}; border: 1px solid {shade}; border-radius: 3px; padding: 1px 6px; }}"
            "QToolButton:hover, QToolButton:focus { border-color: palette(window-text); }"
        )
        self.clicked.connect(lambda: clear())  # without `checked`

    def keyPressEvent(self, event: Qt.QKeyEvent) -> None:
        if event.key() in (Qt.Qt.Key_Delete, Qt.Qt.Key_Backspace, Qt.Qt.Key_Return, Qt.Qt.Key_Enter):
            self.click()
        else:
            super().keyPressEvent(event)


class FromToDialog(Qt.QDialog):
    """Asks for a start and an end, of which one may be left empty."""

    def __init__(self, begin: dt.datetime | None, end: dt.datetime | None, parent: Qt.QWidget) -> None:
        super().__init__(parent)
        self.setWindowTitle("Scans from \u2013 to")
        self.message = Qt.QLabel(self)
        self.message.setTextFormat(Qt.Qt.PlainText)
        self.buttons = Qt.QDialogButtonBox(Qt.QDialogButtonBox.Ok | Qt.QDialogButtonBox.Cancel, self)
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        midnight = now().replace(hour=0, minute=0, second=0, microsecond=0)
        self.fromBox, self.begin = self._row("&From", begin, midnight)
        self.toBox, self.end = self._row("&To", end, now())
        self.fromBox.setChecked(begin is not None or end is None)
        for box, edit in ((self.fromBox, self.begin), (self.toBox, self.end)):
            edit.dateTimeChanged.connect(lambda _, box=box: box.setChecked(True))
            edit.dateTimeChanged.connect(self._check)
            box.toggled.connect(self._check)
        form = Qt.QFormLayout(self)
        form.addRow(self.fromBox, self.begin)
        form.addRow(self.toBox, self.end)
        form.addRow(self.message)
        form.addRow(self.buttons)
        self._check()

    def _row(self, text: str, given: dt.datetime | None, usual: dt.datetime) -> tuple[Qt.QCheckBox, Qt.QDateTimeEdit]:
        box, edit = Qt.QCheckBox(text, self), Qt.QDateTimeEdit(self)
        edit.setDisplayFormat("yyyy-MM-dd HH:mm")
        edit.setCalendarPopup(True)
        edit.setDateTime(Qt.QDateTime.fromSecsSinceEpoch(int((given or usual).timestamp())))
        box.setChecked(given is not None)
        return box, edit

    def _check(self) -> None:
        chosen = self.range()
        wrong = chosen.begin is not None and chosen.end is not None and chosen.begin >= chosen.end
        empty = chosen.begin is None and chosen.end is None
        self.message.setText("The end must be after the start" if wrong else "Tick one of them" if empty else "")
        self.buttons.button(Qt.QDialogButtonBox.Ok).setEnabled(not wrong and not empty)

    def range(self) -> TimeRange:
        def time(box: Qt.QCheckBox, edit: Qt.QDateTimeEdit) -> dt.datetime | None:
            if not box.isChecked():
                return None
            chosen = dt.datetime.fromtimestamp(edit.dateTime().toSecsSinceEpoch()).astimezone()
            return chosen.replace(second=0, microsecond=0)

        return TimeRange(Span.FROM_TO, time(self.fromBox, self.begin), time(self.toBox, self.end))


class FilterBar(Qt.QWidget):
    """The widgets of the filter bar; the feature `Filters` makes a query of them."""

    cleared = Qt.Signal()
    """Remove all filters."""

    def __init__(self, parent: Qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self.time = Qt.QComboBox(self)
        self.time.setToolTip("When a scan has started (Alt+T)")
        for span in Span:
            self.time.addItem(span.value, span)
        self.proposal = Qt.QComboBox(self)
        self.proposal.setToolTip("Choose a proposal, or type its number (Alt+P)")
        self.proposal.setEditable(True)
        self.proposal.setInsertPolicy(self.proposal.NoInsert)
        self.proposal.completer().setFilterMode(Qt.Qt.MatchContains)
        self.proposal.completer().setCompletionMode(Qt.QCompleter.PopupCompletion)
        self.proposal.setMinimumContentsLength(16)
        self.proposal.setSizeAdjustPolicy(self.proposal.AdjustToMinimumContentsLengthWithIcon)
        self.status = Qt.QPushButton(self)
        self.status.setToolTip("How a scan has ended (Alt+U)")
        self.status.setAutoDefault(False)
        self.status.setMenu(Qt.QMenu(self.status))
        self.search = Qt.QLineEdit(self)
        self.search.setPlaceholderText("Text, or motor = mot01, energy > 7.1 keV")
        self.search.setToolTip(tooltip(SEARCH_HELP))
        self.search.setClearButtonEnabled(True)
        self.message = Qt.QLabel(self)
        self.message.setTextFormat(Qt.Qt.PlainText)
        self.message.setWordWrap(True)
        self.message.hide()
        self.chips = Qt.QWidget(self)
        self.flow = FlowLayout(self.chips)
        self.chips.hide()
        row = Qt.QHBoxLayout()
        row.setContentsMargins(6, 3, 6, 3)
        row.setSpacing(6)
        row.addWidget(self.time)
        row.addWidget(self.proposal)
        row.addWidget(self.status)
        row.addWidget(self.search, 1)
        layout = tightColumn(self)
        layout.addLayout(row)
        layout.addWidget(self.message)
        layout.addWidget(self.chips)
        self.message.setContentsMargins(8, 0, 8, 3)
        self.chips.setContentsMargins(0, 0, 0, 0)
        self.flow.setContentsMargins(6, 1, 6, 4)

    def say(self, text: str) -> None:
        """Show what is wrong with the typed text; "" hides it."""
        palette = self.message.palette()
        palette.setColor(Qt.QPalette.WindowText, Qt.QColor(colours(self.palette()).problem))
        self.message.setPalette(palette)
        self.message.setText(text)
        self.message.setVisible(bool(text))

    def showChips(self, filters: Sequence[tuple[str, Callable[[], None]]]) -> None:
        """Show a chip for each filter, and with several chips also a button that removes all."""
        while (item := self.flow.takeAt(0)) is not None:
            item.widget().hide()
            item.widget().deleteLater()
        for text, clear in filters:
            self.flow.addWidget(Chip(text, clear, self.chips))
        if len(filters) > 1:
            self.flow.addWidget(self._clearAllButton())
        self.chips.setVisible(bool(filters))
        self.chips.updateGeometry()

    def allChips(self) -> list[Chip]:
        items = [self.flow.itemAt(place) for place in range(self.flow.count())]
        return [item.widget() for item in items if item is not None and isinstance(item.widget(), Chip)]

    def _clearAllButton(self) -> Qt.QToolButton:
        button = Qt.QToolButton(self.chips)
        button.setText("Clear all")
        button.setToolTip("Show all datasets again (Ctrl+Shift+F)")
        button.setAutoRaise(True)
        button.setFocusPolicy(Qt.Qt.StrongFocus)
        button.clicked.connect(self.cleared)
        return button
