"""The columns of the scan log: the user chooses, moves, resizes and hides them, and layouts are saved."""

from __future__ import annotations

from collections.abc import Callable

from taurus.external.qt import Qt

from taurus_widgets.scanlog.data import available_fields, layouts
from taurus_widgets.scanlog.data.available_fields import AvailableFields
from taurus_widgets.scanlog.data.columns import column_of
from taurus_widgets.scanlog.data.feed import problem_text
from taurus_widgets.scanlog.data.layouts import STANDARD, Layout, LayoutColumn, LayoutFile, Layouts
from taurus_widgets.scanlog.data.query import DatasetQuery
from taurus_widgets.scanlog.dialogs.columns import ColumnChooser
from taurus_widgets.scanlog.view import LogView

WIDTH_STEP_LETTERS = 2
"""Width change of a column for each press of the key."""

SAVE_DELAY_MS = 300
"""Delay from the last change of a width to the save."""


class Columns(Qt.QObject):
    """The button Columns with its menu, the header's cross and drag, and the file with the layouts.

    Every change is saved at once in the layout in use, for the beamline of the datasets: that of `setBeamline`,
    else the one where all the newest datasets of the catalogue were made.
    """

    availableChanged = Qt.Signal(object)
    """AvailableFields: the fields that can be chosen as columns and used in filters."""

    def __init__(self, log: LogView, file: LayoutFile | None = None) -> None:
        super().__init__(log)
        self._log = log
        self._file = file or layouts.user_file()
        self._beamline = ""
        self._beamlineGiven = False
        self._proposal = ""  # whose datasets were read for `available`
        self._layouts = Layouts()
        self._applied: set[str] = set()  # keys of the columns that were applied here
        self._applying = False
        self.problem = ""
        """Why the layouts cannot be read or saved; "" if they can."""
        self.available = available_fields.default_fields()
        self._availableProblem = ""  # why the fields of the catalogue could not be read
        self.chooser: ColumnChooser | None = None
        self._saving = Qt.QTimer(self)
        self._saving.setSingleShot(True)
        self._saving.setInterval(SAVE_DELAY_MS)
        self._saving.timeout.connect(self._save)
        self._makeMenu()
        header = log.table.horizontalHeader()
        header.hideWanted.connect(self._hideSection)
        header.orderChosen.connect(self._changed)
        header.setContextMenuPolicy(Qt.Qt.CustomContextMenu)
        header.customContextMenuRequested.connect(self._headerMenu)
        log.table.widthChosen.connect(self._changed)
        log.catalogueChanged.connect(self._catalogueChanged)
        log.queryChanged.connect(self._queryChanged)
        log.closing.connect(self._saveNow)
        self._load()

    # -------------------------------------------------------------------------- menu

    def _makeMenu(self) -> None:
        self.menu = Qt.QMenu(self._log)
        self.menu.setToolTipsVisible(True)
        self.button = Qt.QToolButton(self._log)
        self.button.setText("&Columns")
        self.button.setToolTip("Choose, save and restore columns (Alt+C)")
        self.button.setPopupMode(self.button.InstantPopup)
        self.button.setMenu(self.menu)
        self._log.toolBar.addWidget(self.button)
        self.choose = self._action("Choose columns\u2026", self.openChooser, "Ctrl+K")
        self.new = self._action("New layout\u2026", self._new)
        self.rename = self._action("Rename layout\u2026", self._rename)
        self.delete = self._action("Delete layout", self._delete)
        self.wider = self._action("Wider column", lambda: self._size(WIDTH_STEP_LETTERS), "Alt+Shift+Right")
        self.narrower = self._action("Narrower column", lambda: self._size(-WIDTH_STEP_LETTERS), "Alt+Shift+Left")
        for action in (self.wider, self.narrower):
            action.setToolTip("The column of the current cell")
        self.fit = self._action("Fit widths to the content", self._log.table.fitWidths)
        self.reset = self._action("Reset to the usual columns", self.resetLayout)
        self.menu.aboutToShow.connect(self._fillMenu)
        self._fillMenu()

    def _action(self, text: str, slot: Callable[[], object], key: str = "") -> Qt.QAction:
        action = Qt.QAction(text, self)
        action.triggered.connect(lambda: slot())
        if key:
            action.setShortcut(Qt.QKeySequence(key))
            action.setShortcutContext(Qt.Qt.WidgetWithChildrenShortcut)
            self._log.addAction(action)
        return action

    def _fillMenu(self) -> None:
        self.menu.clear()
        self.menu.addAction(self.choose)
        self.menu.addSection(f"Layouts of {self._beamline}" if self._beamline else "Layouts")
        group = Qt.QActionGroup(self.menu)
        for name in self._layouts.by_name:
            action = group.addAction(name.replace("&", "&&"))
            action.setCheckable(True)
            action.setChecked(name == self._layouts.current)
            action.triggered.connect(lambda _, name=name: self.useLayout(name))
            self.menu.addAction(action)
        self.menu.addSeparator()
        standard = self._layouts.current == STANDARD
        self.rename.setEnabled(not standard)
        self.delete.setEnabled(not standard)
        self.menu.addActions([self.new, self.rename, self.delete])
        self.menu.addSeparator()
        self.menu.addActions([self.wider, self.narrower, self.fit, self.reset])
        if self.problem:
            self.menu.addSeparator()
            unsaved = self.menu.addAction("The columns are not saved: the tool tip has the reason")
            unsaved.setToolTip(self.problem)

    def _headerMenu(self, place: Qt.QPoint) -> None:
        header = self._log.table.horizontalHeader()
        section = header.logicalIndexAt(place)
        menu = Qt.QMenu(self._log)
        menu.setAttribute(Qt.Qt.WA_DeleteOnClose)
        if section >= 0:
            title = self._log.scans.columns[section].title.replace("&", "&&")
            hide = menu.addAction(f"Hide {title}")
            hide.triggered.connect(lambda: self._hideSection(section))
            hide.setEnabled(len(self._log.shownColumns()) > 1)
        menu.addActions([self.choose, self.fit, self.reset])
        menu.popup(header.viewport().mapToGlobal(place))

    # ------------------------------------------------------------------------ layouts

    def setBeamline(self, beamline: str) -> None:
        """Use the layouts of this beamline, whatever beamline the datasets have."""
        self._beamlineGiven = True
        self._switch(beamline)

    def useLayout(self, name: str) -> None:
        """Show the columns of this layout. Raises KeyError if there is none of this name."""
        self._save()
        self._layouts = self._layouts.using(name)
        self._apply(self._layouts.shown)
        self._write()

    def resetLayout(self) -> None:
        """Set the layout in use to the default columns with their default widths."""
        self._show(layouts.default_layout())

    def showKeys(self, keys: list[str]) -> None:
        """Show these columns in this order; those that were shown keep their width."""
        widths = {place.key: place.width for place in self._shown()}
        self._show(tuple(LayoutColumn(key, widths.get(key, 0.0)) for key in keys))

    def _show(self, layout: Layout) -> None:
        self._layouts = self._layouts.with_layout(self._layouts.current, layout)
        self._apply(layout)
        self._write()

    def _load(self) -> None:
        """Load the layouts of the beamline. Columns that were added from outside (by an option) stay."""
        applied = self._applied or {place.key for place in layouts.default_layout()}
        added = [column.key for column in self._log.shownColumns() if column.key not in applied]
        try:
            self._layouts = self._file.read(self._beamline)
        except (OSError, ValueError) as error:
            self._reportProblem(error)
            self._layouts = Layouts()
        layout = self._layouts.shown
        kept = {place.key for place in layout}
        more = tuple(LayoutColumn(key) for key in added if key not in kept)
        self._apply((*layout[:-1], *more, *layout[-1:]))
        self._applied = kept

    def _apply(self, layout: Layout) -> None:
        self._applying = True
        current = {column.key: column for column in self._log.scans.columns}
        self._log.setColumns([current.get(place.key) or column_of(place.key) for place in layout])
        self._log.table.setChosenWidths({place.key: place.width for place in layout if place.width})
        self._applied = {place.key for place in layout}
        self._applying = False

    def _shown(self) -> Layout:
        widths = self._log.table.chosenWidths()
        return tuple(LayoutColumn(column.key, widths.get(column.key, 0.0)) for column in self._log.shownColumns())

    def _changed(self) -> None:
        if not self._applying:
            self._saving.start()

    def _save(self) -> None:
        """Save the shown columns as the layout in use."""
        self._saving.stop()
        shown = self._shown()
        if shown != self._layouts.shown:
            self._layouts = self._layouts.with_layout(self._layouts.current, shown)
            self._write()

    def _saveNow(self) -> None:
        """Save a change that is still delayed."""
        if self._saving.isActive():
            self._save()

    def _write(self) -> None:
        try:
            self._file.write(self._beamline, self._layouts)
        except (OSError, ValueError) as error:
            self._reportProblem(error)
        else:
            self.problem = ""

    def _reportProblem(self, error: Exception) -> None:
        self.problem = str(error)
        self._log.warning("Cannot save the columns of the scan log: %s", error)

    def _size(self, letters: int) -> None:
        if self._log.table.currentIndex().isValid():
            self._log.table.sizeColumn(letters)
        else:
            self._log.statusBar.showWork("Go to a cell of the column with the arrow keys first")

    def _hideSection(self, section: int) -> None:
        key = self._log.scans.columns[section].key
        keys = [column.key for column in self._log.shownColumns() if column.key != key]
        if keys:
            self.showKeys(keys)

    # -------------------------------------------------------------------- named layouts

    def _ask(self, title: str, name: str) -> str:
        """Ask for an unused name; "" if the user cancels."""
        label = "Name of the layout:"
        while True:
            name, good = Qt.QInputDialog.getText(self._log, title, label, text=name)
            name = " ".join(name.split())
            if not good or not name:
                return ""
            if name not in self._layouts.by_name:
                return name
            label = f"There is a layout {name!r}. Another name:"

    def _new(self) -> None:
        self._save()
        name = self._ask("New layout", "")
        if name:
            self._layouts = self._layouts.with_layout(name, self._shown())
            self._write()

    def _rename(self) -> None:
        self._save()
        old = self._layouts.current
        name = self._ask(f"Rename {old}", old)
        if name:
            self._layouts = self._layouts.with_layout(name, self._layouts.shown).without(old)
            self._write()

    def _delete(self) -> None:
        self._layouts = self._layouts.without(self._layouts.current)
        self._apply(self._layouts.shown)
        self._write()

    # ------------------------------------------------------------------------- chooser

    def openChooser(self) -> ColumnChooser:
        """Open the dialog. It does not block the window."""
        if self.chooser is None:
            self.chooser = ColumnChooser(self.available, self._log.shownColumns(), self._log)
            self.chooser.setAttribute(Qt.Qt.WA_DeleteOnClose)
            self.chooser.searched.connect(self._search)
            self.chooser.usual.clicked.connect(self._chooseUsual)
            self.chooser.accepted.connect(self._chosen)
            self.chooser.finished.connect(self._closed)
            self.chooser.say(self.problem)
            self.chooser.open()
            self._readAvailable()
            self._search("")
        return self.chooser

    def _chooseUsual(self) -> None:
        assert self.chooser is not None
        self.chooser.setKeys(place.key for place in layouts.default_layout())

    def _chosen(self) -> None:
        assert self.chooser is not None
        self.showKeys(self.chooser.keys())

    def _closed(self) -> None:
        self.chooser = None

    # ---------------------------------------------------------------- what there is

    def _catalogueChanged(self) -> None:
        self.available = available_fields.default_fields()
        scicat = self._log.scicat
        if scicat is None:
            return
        if not self._beamlineGiven:
            try:
                # Until the catalogue has answered, use its last beamline, so that the columns stay the same.
                self._switch(self._file.beamline_of(scicat.base_url))
            except (OSError, ValueError) as error:
                self._reportProblem(error)
        self._readAvailable()

    def _queryChanged(self, query: DatasetQuery) -> None:
        if query.proposal != self._proposal:
            self._readAvailable()

    def _readAvailable(self) -> None:
        """Read the newest datasets, for their fields and their beamline."""
        scicat, proposal = self._log.scicat, self._log.query.proposal
        self._proposal, self._availableProblem = proposal, ""
        if scicat is not None:
            self._log.calls.run(
                lambda: available_fields.read_newest(scicat, proposal),
                self._availableRead,
                self._availableNotRead,
                key="found",
            )

    def _availableRead(self, available: AvailableFields) -> None:
        # Fields of other proposals stay available.
        self.available = AvailableFields({**self.available.found, **available.found}, available.beamline)
        scicat = self._log.scicat
        if (
            not self._beamlineGiven
            and available.beamline
            and scicat is not None
            and available.beamline != self._beamline
        ):
            self._switch(available.beamline)
            try:
                self._file.set_beamline_of(scicat.base_url, available.beamline)
            except (OSError, ValueError) as error:
                self._reportProblem(error)
        self._showAvailable()

    def _availableNotRead(self, error: Exception) -> None:
        self._availableProblem = f"{problem_text(error)}: these are only the columns that are known already."
        self._showAvailable()

    def _search(self, text: str) -> None:
        scicat, proposal = self._log.scicat, self._log.query.proposal
        if scicat is not None:
            available = self.available
            self._log.calls.run(
                lambda: available_fields.search(scicat, available, proposal, text),
                self._searched,
                self._availableNotRead,
                "found keys",
            )

    def _searched(self, available: AvailableFields) -> None:
        # The newest datasets may have been read in the meantime.
        self.available = AvailableFields({**available.found, **self.available.found}, self.available.beamline)
        self._showAvailable()

    def _showAvailable(self) -> None:
        if self.chooser is not None:
            self.chooser.say(self._availableProblem or self.problem)
            self.chooser.setAvailable(self.available)
        self.availableChanged.emit(self.available)

    def _switch(self, beamline: str) -> None:
        if beamline != self._beamline:
            self._saveNow()
            self._beamline = beamline
            self._load()
