"""The editor of what is recorded: `ScidogEditor`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from taurus.external.qt import Qt
from taurus.qt.qtgui.container import TaurusWidget

from scifish.configurations import table_file
from scifish.configurations.editor import WrongName, check_name
from taurus_widgets.qt.connection import ConnectionState
from taurus_widgets.qt.elided_label import ElidedLabel
from taurus_widgets.qt.fitting import fit
from taurus_widgets.qt.layouts import tightColumn
from taurus_widgets.qt.look import GAP, GRID, ICON_SIZE, icon, rowHeight, style
from taurus_widgets.qt.notice import Notice
from taurus_widgets.qt.painting import ConnectionSign, colours
from taurus_widgets.qt.text import tooltip
from taurus_widgets.scidog.browser.pane import BrowserPane
from taurus_widgets.scidog.data.comparison import own_changes
from taurus_widgets.scidog.data.draft import Draft
from taurus_widgets.scidog.dialogs.differences import (
    CompareConfigsDialog,
    HistoryDialog,
    SaveConfigDialog,
    SaveConflictDialog,
    when,
)
from taurus_widgets.scidog.dialogs.wizard import TemplateWizard
from taurus_widgets.scidog.entries.mapping_pane import MappingPane
from taurus_widgets.scidog.entries.view import EntryView
from taurus_widgets.scidog.session import LIVE_INTERVAL_SECONDS, EditSession, SaveConflict

FILE_TYPES = "YAML (*.yaml *.yml);;Table (*.csv);;Table with semicolons (*.csv);;Table with tabs (*.tsv);;All files (*)"
FORMATS = {"YAML": "yaml", "Table (": "csv", "Table with semicolons": "csv;", "Table with tabs": "tsv"}

SETTINGS = ("SciZoo", "SciDog")
LARGE = (1440, 900)

NO_CONFIGURATION = (
    "No configuration yet: start from the ring current, the energy, the shutter, … found in this Tango database."
)

USES = {"active": "active", "always": "always recorded", "": "not in use"}


class ScidogEditor(TaurusWidget):
    """What is recorded at the left, all that there is at the right. Its Taurus model is the SciDog device."""

    def __init__(self, parent: Qt.QWidget | None = None, designMode: bool = False) -> None:
        super().__init__(parent, designMode=designMode)
        self._device = ""
        self._styled = ""
        self._started = self._suspended = False
        self.template = ""
        """The file of a first configuration; "" for the facility's, or that of this package."""
        self.session = EditSession(self)
        self.session.watched = lambda: self.isVisible() and not self.window().isMinimized()
        self.browser = BrowserPane(self.session, self)
        self.table = EntryView(self.session, self.browser.suggestions, self)
        self.mapping = MappingPane(self.session, self)
        self.notice = Notice(self)
        self._noticeCall: Callable[[], object] = lambda: None
        self.empty = self._makeEmpty()
        self.left = Qt.QSplitter(Qt.Qt.Vertical, self)
        self.left.addWidget(self._stacked())
        self.left.addWidget(self.mapping)
        self.left.setStretchFactor(0, 1)
        self.left.setChildrenCollapsible(False)
        self.left.setHandleWidth(1)
        self.left.setSizes([600, 168])
        self.splitter = Qt.QSplitter(Qt.Qt.Horizontal, self)
        self.splitter.addWidget(self.left)
        self.splitter.addWidget(self.browser)
        self.splitter.setStretchFactor(0, 3)
        self.splitter.setStretchFactor(1, 2)
        self.splitter.setChildrenCollapsible(False)
        self.splitter.setHandleWidth(1)
        self.splitter.setSizes([830, 450])
        layout = tightColumn(self)
        layout.addWidget(self._makeBar())
        layout.addWidget(self.notice)
        layout.addWidget(self.splitter, 1)
        layout.addWidget(self._makeStatus())
        self.setWindowTitle("SciDog")
        self._makeShortcuts()
        session = self.session
        session.overviewChanged.connect(self._showAll)
        session.draftChanged.connect(self._showAll)
        session.liveChanged.connect(self._showSummary)
        session.findingsChanged.connect(self._showSummary)
        session.connectionChanged.connect(self._showConnection)
        session.failed.connect(lambda text: self._say(text, problem=True))
        session.done.connect(lambda text: self.notice.showBriefly(text))
        session.conflict.connect(self._askConflict)
        session.changedElsewhere.connect(self._tellChanged)
        self.notice.pressed.connect(lambda: self._noticeCall())
        self.table.rowsSelected.connect(self._showMapping)
        self.browser.addWanted.connect(self._add)
        Qt.QApplication.instance().aboutToQuit.connect(self._suspend)
        self._restyle()
        self._showAll()

    @classmethod
    def getQtDesignerPluginInfo(cls) -> dict[str, Any]:
        info: dict[str, Any] = TaurusWidget.getQtDesignerPluginInfo()
        info.update(module="taurus_widgets.scidog.window", group="SciZoo", icon="designer:table.png", container=False)
        return info

    # --------------------------------------------------------------------------- parts

    def _makeBar(self) -> Qt.QWidget:
        bar = Qt.QWidget(self)
        bar.setProperty("pane", True)
        bar.setAttribute(Qt.Qt.WA_StyledBackground)
        self.choice = Qt.QComboBox(bar)
        self.choice.setAccessibleName("Configuration")
        self.choice.setSizeAdjustPolicy(Qt.QComboBox.AdjustToContents)
        self.choice.activated.connect(lambda place: self.choose(self.choice.itemData(place)))
        self.menuButton = self._button(bar, "", "dots-horizontal", lambda: None)
        self.menuButton.setToolTip("New, duplicate, rename, delete, import, export, compare")
        self.menuButton.setAccessibleName("Configuration menu")
        self.menuButton.setPopupMode(Qt.QToolButton.InstantPopup)
        self.menuButton.setMenu(self._makeMenu())
        self.use = Qt.QLabel(bar)
        self.use.setProperty("chip", True)
        self.summary = ElidedLabel(bar)
        self.summary.setProperty("muted", True)
        self.historyButton = self._button(bar, "History", "history", self.showHistory)
        self.undoButton = self._button(bar, "", "undo", self.undo)
        self.redoButton = self._button(bar, "", "redo", self.redo)
        self.saveButton = Qt.QPushButton("Save", bar)
        self.saveButton.setProperty("primary", True)
        self.saveButton.clicked.connect(self.save)
        layout = Qt.QHBoxLayout(bar)
        layout.setContentsMargins(GAP, GAP, GAP, GAP)
        layout.setSpacing(GAP)
        for widget in (self.choice, self.menuButton, self.use):
            layout.addWidget(widget)
        layout.addWidget(self.summary, 1)
        for widget in (self.historyButton, self.undoButton, self.redoButton, self.saveButton):
            layout.addWidget(widget)
        height = rowHeight(bar.fontMetrics())
        for widget in (self.choice, self.menuButton, *bar.findChildren(Qt.QAbstractButton)):
            widget.setFixedHeight(height)
        return bar

    def _button(self, parent: Qt.QWidget, text: str, name: str, call: Callable[[], object]) -> Qt.QToolButton:
        button = Qt.QToolButton(parent)
        button.setText(text)
        button.setProperty("framed", True)
        button.setProperty("picture", name)
        button.setIconSize(ICON_SIZE)
        button.setToolButtonStyle(Qt.Qt.ToolButtonTextBesideIcon if text else Qt.Qt.ToolButtonIconOnly)
        button.setFocusPolicy(Qt.Qt.TabFocus)
        button.clicked.connect(lambda: call())
        return button

    def _makeMenu(self) -> Qt.QMenu:
        menu = Qt.QMenu(self)
        self.actionsOfMenu: dict[str, Qt.QAction] = {}

        def action(text: str, call: Callable[[], object]) -> None:
            self.actionsOfMenu[text] = menu.addAction(text, lambda: call())

        action("Make active", self.activate)
        menu.addSeparator()
        action("New…", self.createNew)
        action("New from the template…", self.startWizard)
        action("Duplicate…", self.duplicate)
        action("Rename…", self.rename)
        action("Delete…", self.delete)
        menu.addSeparator()
        action("Import a file…", self.importFile)
        action("Export to a file…", self.exportFile)
        action("Compare…", self.compare)
        menu.addSeparator()
        action("Undo all changes", self.revert)
        return menu

    def _makeEmpty(self) -> Qt.QWidget:
        empty = Qt.QWidget(self)
        empty.setProperty("field", True)
        empty.setAttribute(Qt.Qt.WA_StyledBackground)
        self.emptyText = Qt.QLabel(empty)
        self.emptyText.setWordWrap(True)
        self.emptyText.setAlignment(Qt.Qt.AlignCenter)
        self.emptyButton = Qt.QPushButton("Start from the template…", empty)
        self.emptyButton.setProperty("primary", True)
        self.emptyButton.clicked.connect(lambda: self.startWizard())
        layout = Qt.QVBoxLayout(empty)
        layout.addStretch(1)
        layout.addWidget(self.emptyText)
        layout.addSpacing(GAP)
        layout.addWidget(self.emptyButton, 0, Qt.Qt.AlignHCenter)
        layout.addStretch(1)
        return empty

    def _stacked(self) -> Qt.QWidget:
        self.stack = Qt.QStackedWidget(self)
        self.stack.addWidget(self.table)
        self.stack.addWidget(self.empty)
        return self.stack

    def _makeStatus(self) -> Qt.QWidget:
        bar = Qt.QWidget(self)
        bar.setProperty("pane", True)
        bar.setAttribute(Qt.Qt.WA_StyledBackground)
        self.sign = ConnectionSign(bar)
        self.where = ElidedLabel(bar)
        self.saved = Qt.QLabel(bar)
        self.saved.setTextFormat(Qt.Qt.PlainText)
        for label in (self.where, self.saved):
            label.setProperty("muted", True)
        layout = Qt.QHBoxLayout(bar)
        layout.setContentsMargins(GAP, GRID, GAP, GRID)
        layout.setSpacing(GAP)
        layout.addWidget(self.sign)
        layout.addWidget(self.where, 1)
        layout.addWidget(self.saved)
        return bar

    def _makeShortcuts(self) -> None:
        """For this widget only: other panels of a TaurusGUI may use the same keys."""
        for keys, call in (
            ("Ctrl+S", self.save),
            ("Ctrl+Z", self.undo),
            ("Ctrl+Shift+Z", self.redo),
            ("Ctrl+Y", self.redo),
            ("Ctrl+F", self._toSearch),
            ("F6", self._otherSide),
            ("Ctrl+H", self.showHistory),
            ("F10", self.menuButton.showMenu),
            ("Ctrl+Q", self._quit),
        ):
            shortcut = Qt.QShortcut(Qt.QKeySequence(keys), self, call)
            shortcut.setContext(Qt.Qt.WidgetWithChildrenShortcut)

    # ----------------------------------------------------------------------------- use

    def setDevice(self, device: str) -> None:
        """Edit this SciDog; "" for the one of SCIDOG_DEVICE, or the only one in the database."""
        if not self._mayForget():
            return
        self._device = device
        if self._started:
            self.browser.stop()
            self.session.setDevice(device)

    def setModel(self, model: str | None, **_: Any) -> None:
        """The same, as a Taurus model. Taurus' own way would ask the device here, and the window would wait for it."""
        self.setDevice(model or "")

    def getModel(self, **_: Any) -> str:
        return self._device

    def resetModel(self) -> None:
        self.setModel("")

    model = Qt.pyqtProperty("QString", getModel, setModel, resetModel)

    def restore(self) -> None:
        """The size and the sides as they were in the last window; at first one that fits a small screen."""
        fit(self, *LARGE)
        settings = Qt.QSettings(*SETTINGS)
        for name, restored in (("geometry", self.restoreGeometry), ("sides", self.splitter.restoreState)):
            state = settings.value(name)
            if isinstance(state, Qt.QByteArray):
                restored(state)

    def choose(self, name: str) -> None:
        self.commit()
        self.session.choose(name)

    def commit(self) -> None:
        """Put what is typed in an open field into the draft, as if the person had gone on to another field."""
        self.table.commit()
        self.mapping.commit()

    @property
    def draft(self) -> Draft | None:
        return self.session.draft

    def undo(self) -> None:
        self.commit()
        self.session.change(lambda draft: draft.undo())

    def redo(self) -> None:
        self.commit()
        self.session.change(lambda draft: draft.redo())

    def revert(self) -> None:
        self.commit()
        self.session.change(lambda draft: draft.revert())

    def save(self) -> None:
        """Show what would be written; write it if a person agrees."""
        self.commit()
        draft, overview = self.draft, self.session.overview
        if draft is None or not self.saveButton.isEnabled():
            return
        lines = draft.lines()
        dialog = SaveConfigDialog(draft.name, own_changes(draft), overview.use_of(draft.name) if overview else "", self)
        if dialog.exec_():
            self.session.save(draft, lines)

    def _askConflict(self, conflict: SaveConflict) -> None:
        dialog = SaveConflictDialog(conflict, self)
        chosen = dialog.exec_()
        if chosen == dialog.THEIRS:
            self.session.takeTheirs(conflict)
        elif chosen == dialog.MINE:
            self.session.save(conflict.draft, conflict.draft.lines(), conflict.theirs.revision)
        elif chosen == dialog.BOTH:
            self.session.save(conflict.draft, dialog.lines, conflict.theirs.revision, combined=True)

    def _tellChanged(self, conflict: SaveConflict) -> None:
        text = f"Somebody else has saved {conflict.draft.name} while you are changing it."
        self._say(text, "See both…", lambda: self._askConflict(conflict), problem=True)

    def _say(
        self, text: str, button: str = "Close", call: Callable[[], object] | None = None, problem: bool = False
    ) -> None:
        def pressed() -> None:
            self.notice.say("")
            if call is not None:
                call()

        self._noticeCall = pressed
        self.notice.say(text, button, problem)

    # ---------------------------------------------------------------- configurations

    def _askName(self, title: str, text: str, before: str = "") -> str:
        """A name for a configuration that is free; "" if none was given."""
        name, good = Qt.QInputDialog.getText(self, title, text, text=before)
        name = name.strip()
        if not good or not name or name == before:
            return ""
        try:
            check_name(name)
        except WrongName as wrong:
            self._say(str(wrong), problem=True)
            return ""
        if name.lower() in map(str.lower, self.session.names()) and name.lower() != before.lower():
            self._say(f"There is a configuration {name} already: choose another name.", problem=True)
            return ""
        return name

    def createNew(self) -> None:
        name = self._askName("New configuration", "Name of the new configuration:")
        if name:
            self.session.create(name)

    def duplicate(self) -> None:
        draft = self.draft
        if draft is None:
            return
        name = self._askName("Duplicate", f"Name of the copy of {draft.name}:")
        if name:
            self.session.create(name, draft.lines())

    def rename(self) -> None:
        draft = self.draft
        if draft is None:
            return
        name = self._askName("Rename", f"New name of {draft.name}. It is renamed at once:", draft.name)
        if not name:
            return
        if draft.changed:
            self._say(f"Save or undo the changes of {draft.name} first: the device renames what it has.", problem=True)
            return

        def done(_: object) -> None:
            self.session.drop(draft.name)
            self.session.choose(name)

        self.session.ask(
            partial(self.session.client.rename, draft.name, name), done, f"{draft.name} is now called {name}."
        )

    def delete(self) -> None:
        draft = self.draft
        if draft is None:
            return
        if draft.revision:
            agreed = self._agreed("Delete", f"Delete {draft.name} now? It stays in the history of SciDog.")
        else:
            agreed = self._agreed("Forget", f"Forget {draft.name}? It was never saved.")
        if not agreed:
            return
        if draft.revision:
            self.session.ask(
                partial(self.session.client.delete, draft.name, draft.revision),
                lambda _: self.session.drop(draft.name),
                f"{draft.name} is deleted.",
            )
        else:
            self.session.drop(draft.name)
            self.session.refresh()

    def activate(self) -> None:
        draft = self.draft
        if draft is None:
            return
        active = self.session.overview.active if self.session.overview else ""
        instead = f" in place of {active}" if active else ""
        if self._agreed("Make active", f"Make {draft.name} active now{instead}? The next scan records it."):
            self.session.ask(
                partial(self.session.client.activate, draft.name),
                lambda _: None,
                f"{draft.name} is active from the next scan on.",
            )

    def importFile(self, file: str = "") -> None:
        """Put the entries of a file in place of those here. Nothing is written before Save."""
        draft = self.draft
        path = file or Qt.QFileDialog.getOpenFileName(self, "Import a configuration", "", FILE_TYPES)[0]
        if path and draft is not None:

            def put(lines: list[str]) -> None:
                if self._isShown(draft, f"{Path(path).name} was not imported"):
                    self.session.change(lambda draft: draft.replace_all(lines, f"import {Path(path).name}"))
                    self._say(f"{Path(path).name} was read: see what differs before you save it.", "Close")

            self.session.ask(lambda: table_file.lines_from_text(table_file.decoded(Path(path).read_bytes())), put)

    def exportFile(self, file: str = "", form: str = "") -> None:
        """Write the saved version to a file, in a format of the device."""
        draft = self.draft
        if draft is None:
            return
        path = file
        if not path:
            path, chosen = Qt.QFileDialog.getSaveFileName(
                self, f"Export {draft.name}", f"{draft.name}.yaml", FILE_TYPES
            )
            form = next((name for begin, name in FORMATS.items() if chosen.startswith(begin)), "yaml")
        if path:
            self.session.ask(
                lambda: Path(path).write_text(self.session.client.export(draft.name, form), "utf-8"),
                lambda _: self.notice.showBriefly(
                    f"{draft.name} is in {path}" + (", without the unsaved changes." if draft.changed else ".")
                ),
            )

    def compare(self) -> None:
        draft = self.draft
        if draft is None:
            return

        def read(name: str, show: Callable[[Sequence[str]], None]) -> None:
            self.session.ask(partial(self.session.client.config, name), lambda stored: show(stored.lines))

        saved = list(self.session.overview.configs) if self.session.overview else []
        others = [name for name in saved if name != draft.name]
        if others:
            CompareConfigsDialog(draft.name, draft.lines(), others, read, self).exec_()
        else:
            self._say(f"There is no other configuration to compare {draft.name} with.")

    def showHistory(self) -> None:
        draft = self.draft
        if draft is None:
            return

        def read(number: int, show: Callable[[Sequence[str]], None]) -> None:
            self.session.ask(partial(self.session.client.lines_after, number), show)

        def opened(history: list[Any]) -> None:
            if self.draft is not draft:  # another one was chosen meanwhile
                return
            dialog = HistoryDialog(draft.name, draft.lines(), history, read, self)
            if dialog.exec_() and self._isShown(draft, f"The version of {draft.name} was not put in place"):
                self.session.change(lambda draft: draft.replace_all(dialog.lines, "go back"))

        self.session.ask(partial(self.session.client.history, draft.name), opened)

    def _isShown(self, draft: Draft, otherwise: str) -> bool:
        """Whether this is still the draft that is edited; if not, say that something was not done."""
        if self.draft is draft:
            return True
        self._say(f"{otherwise}: meanwhile another configuration, or a newer version, is shown.", problem=True)
        return False

    def startWizard(self) -> None:
        """Start a configuration from the template."""
        names = [name.lower() for name in self.session.names()]
        wizard = TemplateWizard(self.session, self.browser, names, self.template, self)
        if wizard.exec_() and wizard.lines:
            self.session.create(wizard.name, wizard.lines)

    def _add(self, sources: list[list[str]]) -> None:
        if self.draft is None:
            self._say("Choose or make a configuration first.")
            return
        self.table.addSources(sources)
        count = "1 attribute" if len(sources) == 1 else f"{len(sources)} attributes"
        self.notice.showBriefly(f"{count} added. Nothing is recorded before you save.")

    # ------------------------------------------------------------------------- showing

    def _showAll(self) -> None:
        session, draft = self.session, self.draft
        overview = session.overview
        names = session.names()
        if [self.choice.itemData(place) for place in range(self.choice.count())] != names:
            self.choice.clear()
            for name in names:
                self.choice.addItem(name, name)
        for place, name in enumerate(names):
            use = overview.use_of(name) if overview else ""
            self.choice.setItemText(place, f"{name} · {use}" if use else name)
        self.choice.setCurrentIndex(names.index(draft.name) if draft and draft.name in names else -1)
        use = overview.use_of(draft.name) if overview and draft else ""
        others = [name for name in names if overview and overview.use_of(name) == "always"]
        chip = "not saved yet" if draft and not draft.revision else USES[use]
        self.use.setText(f"{chip} · always: {', '.join(others)}" if others and use != "always" else chip)
        self.use.setVisible(draft is not None)
        self.undoButton.setEnabled(bool(draft and draft.undo_what))
        self.undoButton.setToolTip(
            f"Undo: {draft.undo_what} (Ctrl+Z)" if draft and draft.undo_what else "Nothing to undo"
        )
        self.redoButton.setEnabled(bool(draft and draft.redo_what))
        self.redoButton.setToolTip(
            f"Redo: {draft.redo_what} (Ctrl+Y)" if draft and draft.redo_what else "Nothing to redo"
        )
        self._showSave()
        self.historyButton.setEnabled(bool(draft and draft.revision))
        self._enableMenu(use)
        self._showEmpty()
        self._showSummary()
        self._showMapping()
        unsaved = [other.name for other in session.unsaved() if other is not draft]
        last = session.history[0] if session.history else None
        saved = f"last saved by {last.who}, {when(last.time)}" if last and draft and draft.revision else ""
        self.saved.setText(f"unsaved changes also in {', '.join(unsaved)}" if unsaved else saved)

    def _showSave(self) -> None:
        draft, overview = self.draft, self.session.overview
        changes = len(own_changes(draft)) if draft and draft.changed else 0
        wrong = self.session.mistakes()
        why = ""
        if overview is not None and overview.read_only:
            why = overview.read_only
        elif self.session.saving:
            why = "SciDog is saving."
        elif wrong:
            why = f"Correct {wrong} {'line' if wrong == 1 else 'lines'} first: SciDog refuses mistakes."
        elif not changes:
            why = "There is nothing to save."
        self.saveButton.setText("Save" if not changes else f"Save {changes} {'change' if changes == 1 else 'changes'}…")
        self.saveButton.setEnabled(not why)
        self.saveButton.setToolTip(tooltip(why or "Shows the difference first (Ctrl+S)"))
        if overview is not None and overview.read_only and not self.notice.isVisible():
            self._say(overview.read_only, problem=True)

    def _enableMenu(self, use: str) -> None:
        draft, overview = self.draft, self.session.overview
        may = overview is not None and not overview.read_only
        saved = bool(draft and draft.revision)
        for text, enabled in {
            "Make active": saved and use != "active" and may,
            "Duplicate…": draft is not None,
            "Rename…": saved and may,
            "Delete…": draft is not None and not use and (may or not saved),
            "Import a file…": draft is not None,
            "Export to a file…": saved,
            "Compare…": draft is not None,
            "Undo all changes": bool(draft and draft.changed),
        }.items():
            self.actionsOfMenu[text].setEnabled(enabled)

    def _showEmpty(self) -> None:
        overview, draft = self.session.overview, self.draft
        if overview is None and draft is None:
            text, button = "Waiting for SciDog.", False
        elif draft is None and not self.session.names():
            text, button = NO_CONFIGURATION, True
        elif draft is None:
            text, button = "Choose a configuration above.", False
        elif not draft.rows:
            text, button = f"{draft.name} records nothing yet. Add attributes from the right.", False
        else:
            self.stack.setCurrentWidget(self.table)
            return
        self.emptyText.setText(text)
        self.emptyButton.setVisible(button)
        self.stack.setCurrentWidget(self.empty)

    def _showSummary(self) -> None:
        draft, live = self.draft, self.session.live
        if draft is None:
            self.summary.setText("")
            return
        count = len(draft.rows)
        parts = [f"{count:,} attribute" if count == 1 else f"{count:,} attributes"]
        failed = sum(bool(value.error) for value in live.values())
        if failed:
            parts.append(f"{failed:,} cannot be read")
        wrong = self.session.mistakes()
        if wrong:
            parts.append(f"{wrong} to correct")
        slowest = max((value for value in live.values() if value.seconds is not None), key=_seconds, default=None)
        if slowest is not None:
            parts.append(f"slowest {1000 * _seconds(slowest):.0f} ms")
        self.summary.setText(" · ".join(parts))
        if slowest is not None:
            key = next(key for key, value in live.items() if value is slowest)
            source = next((row.source for row in draft.rows if row.key == key), "")
            self.summary.setToolTip(tooltip(f"The slowest device is {source.rpartition('/')[0]}"))

    def _showMapping(self) -> None:
        rows = self.table.selectedRows()
        self.mapping.showRow(rows[0] if len(rows) == 1 else None)
        if rows and self.mapping.isVisible():  # the table has become lower
            Qt.QTimer.singleShot(0, lambda: self.table.scrollTo(self.table.currentIndex()))

    def _showConnection(self, state: ConnectionState) -> None:
        self.sign.showState(state.connected, bool(state.problem))
        overview = self.session.overview
        device = overview.device if overview else self._device or "SciDog"
        if state.problem:
            since = f" since {state.since:%H:%M:%S}" if state.since else ""
            self.where.setText(f"{state.problem}{since}")
        else:
            name = device.removeprefix(self.session.prefix)
            self.where.setText(f"SciDog {name} · values of now, every {LIVE_INTERVAL_SECONDS:g} s")
        self.where.setToolTip(tooltip(f"{device}\n{state.detail}".strip()))
        palette = self.where.palette()
        shades = colours(self.palette())
        palette.setColor(Qt.QPalette.WindowText, Qt.QColor(shades.problem if state.problem else shades.muted))
        self.where.setPalette(palette)
        if state.connected and not self.browser.opened:
            self.browser.open(self.session.prefix)

    # -------------------------------------------------------------------------- events

    def _toSearch(self) -> None:
        self.browser.search.setFocus()
        self.browser.search.selectAll()

    def _quit(self) -> None:
        if self.isWindow():  # a TaurusGUI has its own key
            self.close()

    def _otherSide(self) -> None:
        left = self.table.hasFocus() or self.mapping.isAncestorOf(Qt.QApplication.focusWidget() or self.mapping)
        (self.browser.tree if left else self.table).setFocus()

    def _restyle(self) -> None:
        wanted = style(self.palette())
        if wanted == self._styled:
            return
        self._styled = wanted
        self.setStyleSheet(wanted)
        for button in self.findChildren(Qt.QToolButton):
            name = button.property("picture")
            if name:
                button.setIcon(icon(name, self.palette()))

    def changeEvent(self, event: Qt.QEvent) -> None:
        super().changeEvent(event)
        if event.type() == Qt.QEvent.PaletteChange and hasattr(self, "browser"):
            self._restyle()

    def closeEvent(self, event: Qt.QCloseEvent) -> None:
        if self.isWindow() and not self._suspended and not self._mayForget():
            event.ignore()
            return
        if self.isWindow():
            settings = Qt.QSettings(*SETTINGS)
            settings.setValue("geometry", self.saveGeometry())
            settings.setValue("sides", self.splitter.saveState())
        self._suspend()
        super().closeEvent(event)

    def eventFilter(self, watched: Qt.QObject, event: Qt.QEvent) -> bool:
        """Of the window in which this is a panel: it is asked before the window closes."""
        if event.type() == Qt.QEvent.Close and not self._suspended and not self._mayForget():
            event.ignore()
            return True
        return bool(super().eventFilter(watched, event))

    def _watchWindow(self) -> None:
        """A panel may be moved to another window, or float: then the window is that of its dock's parent."""
        window = self.window()
        while isinstance(window, Qt.QDockWidget) and window.parentWidget() is not None:
            window = window.parentWidget().window()
        if window is not self:
            window.installEventFilter(self)  # once: Qt removes an earlier one

    def _mayForget(self) -> bool:
        """Whether a person agrees to lose what is not saved."""
        self.commit()
        names = ", ".join(draft.name for draft in self.session.unsaved())
        return not names or self._agreed("Forget them", f"The changes in {names} are not saved. Forget them?")

    def _agreed(self, button: str, text: str) -> bool:
        """Ask before something that is done at once. Enter and Esc mean no."""
        box = Qt.QMessageBox(Qt.QMessageBox.NoIcon, button, text, Qt.QMessageBox.Cancel, self)
        box.setStyleSheet(style(self.palette()))
        agreed = box.addButton(button, Qt.QMessageBox.DestructiveRole)
        box.setDefaultButton(Qt.QMessageBox.Cancel)
        box.exec_()
        return box.clickedButton() is agreed

    def showEvent(self, event: Qt.QShowEvent) -> None:
        super().showEvent(event)
        self._watchWindow()
        if not self._started:
            self._started = True
            self.session.setDevice(self._device)
        elif self._suspended:
            self.session.resume()
        self._suspended = False

    def _suspend(self) -> None:
        """Stop all threads, until the widget is shown again."""
        if not self._suspended:
            self._suspended = True
            self.session.stop()
            self.browser.stop()


def _seconds(value: Any) -> float:
    return float(value.seconds or 0.0)
