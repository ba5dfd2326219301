"""A dialog that shows the whole of a value that does not fit into a line."""

from __future__ import annotations

from typing import Any

from taurus.external.qt import Qt

from taurus_widgets.qt.fitting import fit
from taurus_widgets.scanlog.data.columns import line
from taurus_widgets.scanlog.data.detail_lines import whole_text


class WholeValue(Qt.QDialog):
    """Shows a value as wrapped text, to read and to copy."""

    def __init__(self, name: str, value: Any, unit: str = "", parent: Qt.QWidget | None = None) -> None:
        super().__init__(parent)
        self.setAttribute(Qt.Qt.WA_DeleteOnClose)
        self.setWindowTitle(line(name))
        self.heading = Qt.QLabel(self)
        self.heading.setTextFormat(Qt.Qt.PlainText)
        self.heading.setWordWrap(True)
        self.heading.setText(_heading(line(name), value, unit))
        self.text = Qt.QPlainTextEdit(self)
        self.text.setReadOnly(True)
        self.text.setTextInteractionFlags(Qt.Qt.TextSelectableByMouse | Qt.Qt.TextSelectableByKeyboard)
        self.text.setWordWrapMode(Qt.QTextOption.WrapAtWordBoundaryOrAnywhere)
        self.text.setPlainText(whole_text(value))
        buttons = Qt.QDialogButtonBox(Qt.QDialogButtonBox.Close, self)
        self.copy = buttons.addButton("&Copy all", Qt.QDialogButtonBox.ActionRole)
        self.copy.clicked.connect(lambda: Qt.QApplication.clipboard().setText(self.text.toPlainText()))
        buttons.rejected.connect(self.reject)
        layout = Qt.QVBoxLayout(self)
        layout.addWidget(self.heading)
        layout.addWidget(self.text, 1)
        layout.addWidget(buttons)
        metrics = self.fontMetrics()
        fit(self, metrics.averageCharWidth() * 70, metrics.height() * 22)
        self.text.setFocus()


def _heading(name: str, value: Any, unit: str) -> str:
    size = ""
    if isinstance(value, list):
        size = f"{len(value):,} rows" if value and isinstance(value[0], list) else f"{len(value):,} values"
    return ", ".join(part for part in (name, size, f"in {unit}" if unit else "") if part)
