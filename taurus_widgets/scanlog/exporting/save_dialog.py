"""The dialog that exports rows to a file."""

from __future__ import annotations

import datetime as dt
from functools import partial
from html import escape
from pathlib import Path
from typing import Any

from taurus.external.qt import Qt

from taurus_widgets.qt.fitting import fit
from taurus_widgets.scanlog.data.cells import Sheet
from taurus_widgets.scanlog.exporting import pictures
from taurus_widgets.scanlog.exporting.csv_file import Style
from taurus_widgets.scanlog.exporting.dialog import ExportDialog, Table
from taurus_widgets.scanlog.exporting.eln_file import MAX_ELN_PARTS
from taurus_widgets.scanlog.exporting.progress import ExportProgress
from taurus_widgets.scanlog.exporting.saving import Pages, Pictures, save
from taurus_widgets.scanlog.exporting.settings import ExportSettings

FILE_FORMATS = {
    ".csv": "CSV, for Excel and other programs",
    ".html": "HTML, a page to read and to print",
    ".eln": "ELN archive (RO-Crate), for electronic lab notebooks",
}
NUMBER_STYLES = {
    Style.POINT: "12.5, cells apart by commas",
    Style.COMMA: "12,5, cells apart by semicolons (Excel in most of Europe)",
}


class SaveDialog(ExportDialog):
    """The format, the style of numbers, the pictures, and the file."""

    def __init__(self, table: Table, settings: ExportSettings, parent: Qt.QWidget) -> None:
        super().__init__(table, parent)
        self.setWindowTitle("Save rows")
        self._settings = settings
        self.format = Qt.QComboBox(self.body)
        for suffix, text in FILE_FORMATS.items():
            self.format.addItem(text, suffix)
        self.style = Qt.QComboBox(self.body)
        for style, text in NUMBER_STYLES.items():
            self.style.addItem(text, style)
        self.style.setCurrentIndex(self.style.findData(settings.style()))
        self.pictures = Qt.QCheckBox(self.body)
        self.file = Qt.QLineEdit(str(settings.folder() / f"{_name(table.sheet())}.csv"), self.body)
        self.browse = Qt.QPushButton("Browse…", self.body)
        self.browse.setAutoDefault(False)
        where = Qt.QWidget(self.body)
        line = Qt.QHBoxLayout(where)
        line.setContentsMargins(0, 0, 0, 0)
        line.addWidget(self.file, 1)
        line.addWidget(self.browse)
        self.note = Qt.QLabel(self.body)
        self.note.setTextFormat(Qt.Qt.PlainText)
        self.note.setWordWrap(True)
        for name, widget in (("Format", self.format), ("Numbers", self.style), ("", self.pictures), ("File", where)):
            self.form.addRow(name, widget)
        self.form.addRow("", self.note)
        fit(self, self.fontMetrics().averageCharWidth() * 92, self.sizeHint().height())
        self.format.setCurrentIndex(max(self.format.findData(settings.format()), 0))
        self.format.currentIndexChanged.connect(self._renamed)
        self.file.textChanged.connect(self.changed)
        self.browse.clicked.connect(self._browse)
        self.pictures.toggled.connect(self.changed)
        self._renamed()
        self.file.setFocus()

    def path(self) -> Path:
        """The file: with the suffix of the format, and in the last folder if none is given."""
        path = Path(self.file.text().strip()).expanduser()
        suffix = self.format.currentData()
        if path.suffix.lower() != suffix:
            path = path.with_name(path.name + suffix)
        return path if path.is_absolute() else self._settings.folder() / path

    def sheet(self) -> Sheet:
        named = self.format.currentData() == ".csv" and self._with_pictures()
        return self.table.sheet() if named else super().sheet()

    def changed(self) -> None:
        suffix = self.format.currentData()
        named = bool(Path(self.file.text().strip()).name)
        self.form.labelForField(self.style).setVisible(suffix == ".csv")
        self.style.setVisible(suffix == ".csv")
        what = "names of the pictures" if suffix == ".csv" else "pictures"
        self.pictures.setText(f"With the {what} of each dataset")
        self.pictures.setVisible(suffix != ".csv" or self.table.sheet().has_pictures)
        super().changed()
        notes = []
        if named and self.path().is_file():
            notes.append(f"{self.path().name} exists already and will be replaced.")
        if suffix == ".eln" and self.chosen().count() > MAX_ELN_PARTS:
            notes.append(f"Lab notebooks may refuse an archive of more than {MAX_ELN_PARTS:,} datasets and pictures.")
        self.note.setText(" ".join(notes))
        self.note.setVisible(bool(notes))
        self.go.setEnabled(named and any(button.isEnabled() for button in self.rows))

    def start(self) -> None:
        rows, path, style = self.chosen(), self.path(), self.style.currentData()
        self._settings.keep(self.format.currentData(), path.parent, style)
        found = partial(pictures.read, self.table.scicat) if self._with_pictures() else None
        self.run(rows.count(), partial(_save, path, self.sheet(), rows.pages(), found, style))

    def finished_with(self, answer: Any) -> None:
        path = self.path()
        folder = Qt.QUrl.fromLocalFile(str(path.parent)).toString(Qt.QUrl.FullyEncoded)
        counted = "One row is" if answer == 1 else f"{answer:,} rows are"
        self.say(f'{counted} in {escape(path.name)}, in <a href="{escape(folder)}">{escape(str(path.parent))}</a>')

    def _with_pictures(self) -> bool:
        return bool(self.pictures.isChecked() and not self.pictures.isHidden())

    def _renamed(self) -> None:
        """Change the suffix of the name after a change of the format."""
        path = Path(self.file.text())
        if path.suffix.lower() in FILE_FORMATS:
            self.file.setText(str(path.with_suffix(self.format.currentData())))
        self.changed()

    def _browse(self) -> None:
        filters = ";;".join(f"{text.partition(',')[0]} (*{suffix})" for suffix, text in FILE_FORMATS.items())
        chosen = next(one for one in filters.split(";;") if self.format.currentData() in one)
        # The note in this dialog warns about a file that will be replaced.
        name, kind = Qt.QFileDialog.getSaveFileName(
            self, "Save rows", str(self.path()), filters, chosen, Qt.QFileDialog.DontConfirmOverwrite
        )
        if name:
            suffix = next((ending for ending in FILE_FORMATS if name.lower().endswith(ending)), "")
            self.format.setCurrentIndex(self.format.findData(suffix or kind.partition("*")[2].rstrip(")")))
            self.file.setText(name)


def _save(
    path: Path, sheet: Sheet, pages: Pages, found: Pictures | None, style: Style, progress: ExportProgress
) -> int:
    return save(path, sheet, pages, progress, found, style)


def _name(sheet: Sheet) -> str:
    return f"{pictures.slug(sheet.title)}-{dt.date.today():%Y-%m-%d}"
