"""The first configuration: entries of a template, as they are found in this Tango database."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from taurus.external.qt import Qt

from scifish.configurations.editor import WrongName, check_name
from taurus_widgets.qt.fitting import fit
from taurus_widgets.qt.layouts import flatten
from taurus_widgets.qt.look import GAP
from taurus_widgets.qt.painting import colours
from taurus_widgets.scidog.browser.pane import BrowserPane
from taurus_widgets.scidog.data.tango_names import ask_attributes
from taurus_widgets.scidog.data.template import Suggestion, TemplateItem, read_template, suggestions, template_file
from taurus_widgets.scidog.dialogs.differences import EditorDialog
from taurus_widgets.scidog.session import EditSession


class TemplateWizard(EditorDialog):
    """Accepted: `lines` are those of the configuration `name`. Nothing is written."""

    def __init__(
        self,
        session: EditSession,
        browser: BrowserPane,
        taken: Collection[str],
        template: str = "",
        parent: Qt.QWidget | None = None,
    ) -> None:
        """`taken` are the names of configurations that there are, in lower case."""
        super().__init__("Start from the template", parent)
        self._session, self._browser, self._taken = session, browser, taken
        self._suggestions: list[Suggestion] = []
        self._templates: dict[str, list[TemplateItem]] = {}
        self.name = ""
        self.lines: list[str] = []
        file = template_file(template)
        self.heading.setText(
            "What of this is found in your Tango database? Choose; you can change all of it afterwards."
        )
        self.nameField = Qt.QLineEdit(self)
        self.nameField.setAccessibleName("Name of the configuration")
        self.choice = Qt.QComboBox(self)
        self.choice.setAccessibleName("Template")
        head = Qt.QHBoxLayout()
        head.setSpacing(GAP)
        head.addWidget(Qt.QLabel("Template", self))
        head.addWidget(self.choice)
        head.addWidget(Qt.QLabel("Name", self))
        head.addWidget(self.nameField, 1)
        self.body.addLayout(head)
        self.table = Qt.QTableWidget(0, 3, self)
        self.table.setHorizontalHeaderLabels(["Entry", "Group", "Attribute in this database"])
        flatten(self.table)
        self.table.setAlternatingRowColors(False)
        self.table.setEditTriggers(self.table.NoEditTriggers)
        self.table.setSelectionMode(self.table.NoSelection)
        self.table.verticalHeader().hide()
        header = self.table.horizontalHeader()
        header.setHighlightSections(False)
        header.setDefaultAlignment(Qt.Qt.AlignLeft | Qt.Qt.AlignVCenter)
        for column, mode in enumerate((header.ResizeToContents, header.ResizeToContents, header.Stretch)):
            header.setSectionResizeMode(column, mode)
        self.body.addWidget(self.table, 1)
        self.state = Qt.QLabel(str(file or "The template of SciZoo; a facility can have its own."), self)
        self.state.setProperty("muted", True)
        self.state.setWordWrap(True)
        self.body.addWidget(self.state)
        self.addButton("Cancel", self.reject)
        self.createButton = self.addButton("Create", self._create, primary=True)
        self.createButton.setEnabled(False)
        self.choice.currentTextChanged.connect(self._chosen)
        self.nameField.textChanged.connect(self._enable)
        fit(self, 860, 560)
        session.calls.run(partial(read_template, file), self._read, self._failed, "template")

    def _failed(self, error: Exception) -> None:
        self.state.setText(str(error))

    def _read(self, templates: dict[str, list[TemplateItem]]) -> None:
        self._templates = templates
        self.choice.addItems(list(templates))

    def _chosen(self, name: str) -> None:
        self.nameField.setText(name)
        self.state.setText("Looking in the Tango database…")
        names, index, prefix = self._browser.names, self._browser.index, self._session.prefix
        items = self._templates[name]
        self._session.calls.run(
            lambda: suggestions(items, names, index.attributes_of, lambda device: ask_attributes(prefix + device)),
            self._found,
            self._failed,
            "suggestions",
        )

    def _found(self, found: list[Suggestion]) -> None:
        self._suggestions = found
        items = self._templates[self.choice.currentText()]
        muted = Qt.QColor(colours(self.palette()).muted)
        self.table.setRowCount(len(found))
        for row, suggestion in enumerate(found):
            entry = Qt.QTableWidgetItem(suggestion.row.name)
            there = bool(suggestion.candidates)
            entry.setFlags(Qt.Qt.ItemIsUserCheckable | (Qt.Qt.ItemIsEnabled if there else Qt.Qt.NoItemFlags))
            entry.setCheckState(Qt.Qt.Checked if there else Qt.Qt.Unchecked)
            self.table.setItem(row, 0, entry)
            self.table.setItem(row, 1, Qt.QTableWidgetItem(suggestion.row.group))
            if len(suggestion.candidates) > 1:
                choice = Qt.QComboBox(self.table)
                choice.addItems(suggestion.candidates)
                choice.setAccessibleName(f"Attribute for {suggestion.row.name}")
                self.table.setCellWidget(row, 2, choice)
            else:
                text = suggestion.candidates[0] if there else f"not found: {', '.join(items[row].patterns)}"
                item = Qt.QTableWidgetItem(text)
                if not there:
                    item.setForeground(muted)
                self.table.setItem(row, 2, item)
        self.table.resizeRowsToContents()
        count = sum(bool(suggestion.candidates) for suggestion in found)
        self.state.setText(f"{count} of {len(found)} are found.")
        self._enable()

    def _enable(self) -> None:
        name = self.nameField.text().strip()
        why = ""
        try:
            check_name(name)
        except WrongName as wrong:
            why = str(wrong)
        if name.lower() in self._taken:
            why = f"There is a configuration {name} already: choose another name."
        if why:
            self.state.setText(why)
        self.createButton.setEnabled(not why and bool(self._suggestions))

    def _create(self) -> None:
        self.name = self.nameField.text().strip()
        self.lines = []
        for row, suggestion in enumerate(self._suggestions):
            if self.table.item(row, 0).checkState() == Qt.Qt.Checked:
                choice = self.table.cellWidget(row, 2)
                source = choice.currentText() if choice is not None else suggestion.candidates[0]
                self.lines += suggestion.with_source(source).lines
        self.accept()
