"""The dialog that exports rows to Elogy."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from html import escape
from typing import Any

from taurus.external.qt import Qt

from ingest.scicat import SciCat
from taurus_widgets.qt.calls import Call
from taurus_widgets.qt.fitting import fit
from taurus_widgets.scanlog.data.cells import Sheet
from taurus_widgets.scanlog.data.columns import Json
from taurus_widgets.scanlog.data.state_folder import stateFolder
from taurus_widgets.scanlog.exporting import pictures
from taurus_widgets.scanlog.exporting.dialog import ExportDialog, Table, below
from taurus_widgets.scanlog.exporting.elogy import Elogy, Headline, Logbook
from taurus_widgets.scanlog.exporting.elogy_entry import (
    DEFAULT_TITLE,
    MAX_ELOGY_ROWS,
    ElogyExport,
    ElogyTarget,
    WrittenEntry,
    send,
)
from taurus_widgets.scanlog.exporting.elogy_fields import AttributeForm, AuthorsField, EntryList, LogbookTree
from taurus_widgets.scanlog.exporting.elogy_lock import one_export_at_a_time
from taurus_widgets.scanlog.exporting.progress import ExportProgress
from taurus_widgets.scanlog.exporting.saving import Pages
from taurus_widgets.scanlog.exporting.settings import ExportSettings


class ElogyDialog(ExportDialog):
    """The dialog: the logbook on the left, the entry on the right. All calls to Elogy run in other threads."""

    def __init__(
        self, table: Table, settings: ExportSettings, address: str, known: dict[str, str], parent: Qt.QWidget
    ) -> None:
        """`known` has initial values of attributes of the entry, by name in lower case."""
        super().__init__(table, parent)
        self.setWindowTitle("Rows to Elogy")
        self._settings = settings
        self._known = known
        self._elogy: Elogy | None = None
        self._asked: dict[str, Call] = {}
        self.address = Qt.QLineEdit(address or settings.elogy(), self.body)
        self.address.setPlaceholderText("https://elogy.example.org")
        self.logbooks = LogbookTree(self.body)
        self.new = Qt.QRadioButton("A new entry", self.body)
        self.append = Qt.QRadioButton("Append to an existing entry", self.body)
        self.new.setChecked(True)
        kind = Qt.QButtonGroup(self)
        kind.addButton(self.new)
        kind.addButton(self.append)
        self.title = Qt.QLineEdit(self.body)
        self.title.setPlaceholderText(DEFAULT_TITLE)
        self.attributes = AttributeForm(self.body)
        self.entries = EntryList(self.body)
        self.authors = AuthorsField(self.body)
        self.pictures = Qt.QCheckBox("With the pictures of each dataset", self.body)
        self.pictures.setChecked(True)
        self._arrange()
        for author in settings.authors():
            self.authors.add(author)
        self.address.editingFinished.connect(self._connect)
        self.logbooks.chosen.connect(self._logbookChosen)
        self.new.toggled.connect(self._kindChosen)
        self.entries.searched.connect(self._findEntries)
        self.authors.searched.connect(self._findAuthors)
        for signal in (self.entries.chosen, self.authors.changed, self.attributes.changed):
            signal.connect(self.changed)
        self.finished.connect(self._forget)
        self._kindChosen()
        self._connect()
        (self.title if self.address.text() else self.address).setFocus()

    def _arrange(self) -> None:
        right = self.form
        right.addRow("Entry", below(self.new, self.append))
        right.addRow("", self.entries)
        right.addRow("Title", self.title)
        right.addRow("", self.attributes)
        right.addRow("Authors", self.authors)
        right.addRow("", self.pictures)
        left = Qt.QVBoxLayout()
        left.setSpacing(4)
        for name, field in (("Elogy", self.address), ("Logbook", self.logbooks)):
            left.addWidget(Qt.QLabel(name, self.body))
            left.addWidget(field, 1 if field is self.logbooks else 0)
        self.body.layout().insertLayout(0, left, 2)
        width = self.fontMetrics().averageCharWidth()
        fit(self, width * 125, self.fontMetrics().height() * 36)

    # --------------------------------------------------------------------- what is shown

    def changed(self) -> None:
        super().changed()
        lacking = self._lacking()
        self.go.setEnabled(not lacking)
        self.go.setToolTip(lacking)

    def _lacking(self) -> str:
        """What is still missing, for the button's tool tip; "" if nothing is."""
        missing = self.attributes.missing() if self.new.isChecked() else []
        if not self.chosen().count():
            return "There are no rows"
        if self.logbooks.current() is None:
            return "Choose a logbook"
        if self.append.isChecked() and self.entries.current() is None:
            return "Choose an entry"
        if not self.authors.authors():
            return "Elogy requires an author"
        return f"This logbook requires: {', '.join(missing)}" if missing else ""

    def _kindChosen(self) -> None:
        append = self.append.isChecked()
        self.entries.setVisible(append)
        self.attributes.setVisible(not append and bool(self.attributes.fields))
        self.title.setPlaceholderText("Heading above the rows (none)" if append else DEFAULT_TITLE)
        if append:
            self._findEntries(self.entries.search.text())
        self.changed()

    # ------------------------------------------------------------------- asking Elogy

    def _ask(self, key: str, work: Callable[[], Any], done: Callable[[Any], None]) -> None:
        self._asked[key] = self.table.calls.run(work, done, self._notAnswered, f"elogy-{key}")

    def _notAnswered(self, error: Exception) -> None:
        self.say(escape(str(error)), problem=True)

    def _forget(self) -> None:
        for call in self._asked.values():
            call.cancel()

    def _connect(self) -> None:
        address = self.address.text().strip()
        if not address or (self._elogy is not None and self._elogy.base_url == address.rstrip("/")):
            return
        try:
            self._elogy = Elogy(address)
        except ValueError as error:
            self._elogy = None
            self.say(escape(str(error)), problem=True)
            return
        self.say("")
        self.logbooks.setLogbooks([], 0)
        self._ask("tree", self._elogy.logbooks, self._showLogbooks)

    def _showLogbooks(self, logbooks: tuple[Logbook, ...]) -> None:
        self.say("" if logbooks else "This Elogy has no logbooks")
        self.logbooks.setLogbooks(logbooks, self._settings.logbook())
        self.changed()

    def _logbookChosen(self) -> None:
        logbook = self.logbooks.current()
        self.attributes.setAttributes((), {})
        self.entries.setEntries([])
        if logbook is not None and self._elogy is not None:
            self._ask("logbook", partial(self._elogy.logbook, logbook.id), self._showAttributes)
        self._kindChosen()

    def _showAttributes(self, logbook: Logbook) -> None:
        self.attributes.setAttributes(logbook.attributes, self._known)
        self._kindChosen()

    def _findEntries(self, words: str) -> None:
        logbook = self.logbooks.current()
        if logbook is not None and self._elogy is not None:
            self._ask("entries", partial(self._elogy.headlines, logbook.id, words), self._showEntries)

    def _showEntries(self, entries: list[Headline]) -> None:
        self.entries.setEntries(entries)
        self.changed()

    def _findAuthors(self, words: str) -> None:
        if words and self._elogy is not None:
            self._ask("users", partial(self._elogy.users, words), partial(self._showAuthors, words))

    def _showAuthors(self, words: str, found: Any) -> None:
        self.authors.offer(found, words)

    # ------------------------------------------------------------------------ exporting

    def start(self) -> None:
        logbook, entry = self.logbooks.current(), self.entries.current()
        rows, count = self.chosen(), self.chosen().count()
        assert logbook is not None
        assert self._elogy is not None
        if count > MAX_ELOGY_ROWS:
            self.say(f"{count:,} rows are too many for one entry (at most {MAX_ELOGY_ROWS:,}): choose fewer", True)
            return
        target = ElogyTarget(
            logbook.id,
            entry.id if entry is not None and self.append.isChecked() else None,
            self.title.text().strip(),
            tuple(self.authors.authors()),
            self.attributes.values() if self.new.isChecked() else {},
        )
        self._settings.keepElogy(self._elogy.base_url, logbook.id, list(target.authors))
        scicat = self.table.scicat if self.pictures.isChecked() else None
        self.run(count, partial(_send, self._elogy, target, self.sheet(), rows.pages(), scicat))

    def finished_with(self, answer: WrittenEntry) -> None:
        assert self._elogy is not None
        page = escape(self._elogy.page(answer.logbook, answer.entry))
        link = f'<a href="{page}">entry {answer.entry}</a>'
        count = answer.pictures
        along = f", with {count} picture{'s' * (count != 1)}" if count else ""
        self.say(f"These rows are in {link} already{along}" if answer.before else f"The rows are in {link}{along}")


def _send(
    elogy: Elogy, target: ElogyTarget, sheet: Sheet, pages: Pages, scicat: SciCat | None, progress: ExportProgress
) -> WrittenEntry:
    """Runs in a thread. `scicat` has the pictures; None for an export without them."""
    datasets: dict[str, Json] = {}
    found: list[tuple[str, pictures.PictureFile]] = []
    for page in pages:
        for dataset in page:
            if dataset["pid"] in datasets:
                continue
            datasets[dataset["pid"]] = dataset
            if scicat is not None:
                found += [(dataset["pid"], picture) for picture in pictures.read(scicat, dataset)]
            progress.step()
    progress.total += len(found)
    with one_export_at_a_time(stateFolder(), progress):
        return send(elogy, target, ElogyExport.of(sheet, list(datasets.values()), found), progress)
