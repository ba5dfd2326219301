"""The editor on a real SciDog, in a real Tango database, with the simulated beamline of the demo."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
import tango
from pytestqt.qtbot import QtBot
from taurus.external.qt import Qt

from deploy.demo.beamline import CONFIGURATIONS
from deploy.demo.stack import SCIDOG, Stack
from taurus_widgets.scidog import session
from taurus_widgets.scidog.data import client
from taurus_widgets.scidog.entries.model import NAME
from taurus_widgets.scidog.window import ScidogEditor
from tests.servers.tango_system import FACILITY, control_system, patient
from tests.waiting import PATIENCE

KAFKA = "127.0.0.1:9092"
MISTAKEN = (
    "- {name: Pressure, source: b311a-o/vac/valve-01/PresureUpstream, unit: mbar, group: Vacuum}",
    "- {name: Flux, source: b311a-e/dia/viewer-01/Flux, group: Vacuum}",
)


class Beamline:
    """The control system, the server of the simulated devices, and that of SciDog."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.devices = stack.start_beamline()
        self.server = stack.start_scidog(KAFKA)

    def restart(self) -> None:
        self.server = self.stack.run_server("SciDog/demo", [SCIDOG])


@pytest.fixture(scope="session")
def beamline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beamline]:
    with control_system(tmp_path_factory.mktemp("editor"), FACILITY) as system:
        yield Beamline(system)


@pytest.fixture
def stack(beamline: Beamline) -> Stack:
    return beamline.stack


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls wait as tests do, and what a person waits for comes sooner."""
    monkeypatch.setattr(client, "TIMEOUT_SECONDS", PATIENCE)
    monkeypatch.setattr(session, "CHECK_DELAY_SECONDS", 0.05)
    monkeypatch.setattr(session, "LIVE_INTERVAL_SECONDS", 0.3)


@pytest.fixture
def device(stack: Stack) -> tango.DeviceProxy:
    """SciDog with the properties of the demo, and a configuration with mistakes."""
    put(stack, **{f"Config.{name}": lines for name, lines in CONFIGURATIONS.items()})
    names = list(stack.db.get_device_property_list(SCIDOG, "Config.*").value_string)
    gone = [name for name in names if name.removeprefix("Config.") not in CONFIGURATIONS]
    if gone:
        stack.db.delete_device_property(SCIDOG, {name: [] for name in gone})
    put(stack, ActiveConfig=["saxs"], **{"Config.wrong": MISTAKEN})
    proxy = patient(stack.name(SCIDOG))
    proxy.Reload()
    return proxy


def put(stack: Stack, **properties: Sequence[str]) -> None:
    """Write properties like jive."""
    stack.db.put_device_property(SCIDOG, {name: list(lines) for name, lines in properties.items()})


def stored(stack: Stack, name: str) -> list[str]:
    """The lines of a configuration in the database."""
    return list(stack.db.get_device_property(SCIDOG, f"Config.{name}")[f"Config.{name}"])


class Hand:
    """A person at the editor."""

    def __init__(self, qtbot: QtBot, editor: ScidogEditor) -> None:
        self.qtbot = qtbot
        self.editor = editor

    def choose(self, name: str) -> None:
        """Choose a configuration in the list above."""
        combo = self.editor.choice
        self.qtbot.waitUntil(lambda: combo.findData(name) >= 0)
        combo.setFocus()
        combo.setCurrentIndex(combo.findData(name))
        combo.activated.emit(combo.findData(name))
        self.qtbot.waitUntil(lambda: self.editor.draft is not None and self.editor.draft.name == name)
        self.editor.table.setFocus()

    def select(self, *names: str) -> None:
        """Click entries, the first one without and the others with Ctrl."""
        for number, name in enumerate(names):
            self.click(name, NAME, Qt.Qt.ControlModifier if number else Qt.Qt.NoModifier)

    def click(self, name: str, column: int, modifier: Qt.Qt.KeyboardModifier = Qt.Qt.NoModifier) -> None:
        table = self.editor.table
        index = self.index(name, column)
        table.scrollTo(index)
        place = table.visualRect(index)
        self.qtbot.mouseClick(
            table.viewport(), Qt.Qt.LeftButton, modifier, Qt.QPoint(place.left() + 8, place.top() + 8)
        )

    def index(self, name: str, column: int = NAME) -> Qt.QModelIndex:
        draft = self.editor.draft
        assert draft is not None
        return self.editor.table.entries.indexOf(next(row.key for row in draft.rows if row.name == name), column)

    def text(self, name: str, column: int) -> str:
        return str(self.index(name, column).data())

    def names(self) -> list[str]:
        assert self.editor.draft is not None
        return [row.name for row in self.editor.draft.rows]

    def type_into(self, name: str, column: int, text: str) -> None:
        """Go to a cell, press F2, type, press Enter."""
        table = self.editor.table
        table.setFocus()
        if [row.name for row in table.selectedRows()] != [name]:  # a second click would edit
            self.click(name, NAME)
        for _ in range(column - table.currentIndex().column()):
            self.qtbot.keyClick(table, Qt.Qt.Key_Right, Qt.Qt.ControlModifier)
        self.qtbot.keyClick(table, Qt.Qt.Key_F2)
        self.type_in_cell(text)

    def type_in_cell(self, text: str) -> None:
        """Type into the open cell, and press Enter."""
        table = self.editor.table
        field = table.findChild(Qt.QComboBox) or table.findChild(Qt.QLineEdit)
        line = field.lineEdit() if isinstance(field, Qt.QComboBox) else field
        line.selectAll()
        self.qtbot.keyClicks(line, text)
        self.qtbot.keyClick(field, Qt.Qt.Key_Return)
        self.qtbot.waitUntil(lambda: table.state() != table.EditingState)
        assert table.hasFocus()  # for the next key

    def answer(self, act: Callable[[Qt.QDialog], None]) -> None:
        """What the person does in the next dialog."""
        done: list[bool] = []

        def look() -> None:
            dialog = Qt.QApplication.activeModalWidget()
            if dialog is None:
                timer.start(20)
                return
            try:
                act(dialog)
            finally:
                done.append(True)
                if dialog.isVisible():
                    dialog.reject()

        timer = Qt.QTimer(self.editor)
        timer.setSingleShot(True)
        timer.timeout.connect(look)
        timer.start(0)
        self.done = done


@pytest.fixture
def editor(qtbot: QtBot, stack: Stack, device: tango.DeviceProxy) -> Iterator[ScidogEditor]:
    found = ScidogEditor()
    qtbot.addWidget(found, before_close_func=lambda widget: widget._suspend())
    found.resize(1280, 800)
    found.setDevice(stack.name(SCIDOG))
    found.show()
    qtbot.waitUntil(lambda: found.draft is not None and bool(found.session.live))
    yield found
    found._suspend()


@pytest.fixture
def hand(qtbot: QtBot, editor: ScidogEditor) -> Hand:
    return Hand(qtbot, editor)
