"""The left side: entries in groups, edited as a person does."""

from __future__ import annotations

import pytest
from pytestqt.qtbot import QtBot
from taurus.external.qt import Qt

from taurus_widgets.scidog.entries.model import NAME, NOW, RECORD, SOURCE, UNIT, EntryModel
from taurus_widgets.scidog.window import ScidogEditor
from tests.ui.scidog.conftest import Hand


def test_it_opens_with_the_active_configuration(editor: ScidogEditor, hand: Hand) -> None:
    assert editor.draft is not None
    assert editor.draft.name == "saxs"
    assert editor.use.text() == "active · always: beamline"
    assert [editor.choice.itemText(place) for place in range(editor.choice.count())] == [
        "beamline · always",
        "saxs · active",
        "spectroscopy",
        "wrong",
    ]
    assert hand.text("Sample temperature", SOURCE) == "b311a-e/dia/lakeshore-01/T1"
    assert hand.text("Sample temperature", RECORD) == "start · end · statistics"
    assert editor.table.entries.groups[0][0] == "Sample environment"
    assert not editor.saveButton.isEnabled()


def test_the_keyboard_edits_a_cell(editor: ScidogEditor, hand: Hand) -> None:
    hand.type_into("Sample temperature", NAME, "Holder")
    assert "Holder" in hand.names()
    assert editor.saveButton.text() == "Save 1 change…"
    hand.type_into("Holder", UNIT, "degC")
    assert editor.draft is not None
    assert next(row for row in editor.draft.rows if row.name == "Holder").unit == "degC"
    hand.qtbot.keyClick(editor.table, Qt.Qt.Key_Z, Qt.Qt.ControlModifier)
    hand.qtbot.keyClick(editor.table, Qt.Qt.Key_Z, Qt.Qt.ControlModifier)
    assert not editor.draft.changed
    assert not editor.saveButton.isEnabled()
    hand.qtbot.keyClick(editor.table, Qt.Qt.Key_Y, Qt.Qt.ControlModifier)
    assert "Holder" in hand.names()


@pytest.mark.parametrize("column", [NAME, SOURCE, UNIT])
def test_new_values_of_now_leave_what_is_being_typed(editor: ScidogEditor, hand: Hand, column: int) -> None:
    hand.select("Sample temperature")
    index = hand.index("Sample temperature", column)
    editor.table.selectionModel().setCurrentIndex(index, Qt.QItemSelectionModel.NoUpdate)
    hand.qtbot.keyClick(editor.table, Qt.Qt.Key_F2)
    field = editor.table.findChild(Qt.QComboBox) or editor.table.findChild(Qt.QLineEdit)
    line = field.lineEdit() if isinstance(field, Qt.QComboBox) else field
    line.setText("typed")
    moment, value = editor.session.liveTime, hand.text("Sample temperature", NOW)
    hand.qtbot.waitUntil(lambda: editor.session.liveTime != moment and hand.text("Sample temperature", NOW) != value)
    assert line.text() == "typed"


def test_one_unit_for_several(editor: ScidogEditor, hand: Hand) -> None:
    hand.select("Sample temperature", "Cold finger")
    first = hand.index("Sample temperature", UNIT)
    editor.table.selectionModel().setCurrentIndex(first, Qt.QItemSelectionModel.NoUpdate)
    hand.qtbot.keyClick(editor.table, Qt.Qt.Key_F2)
    hand.type_in_cell("degC")
    assert editor.draft is not None
    changed = {row.name for row in editor.draft.rows if row.unit == "degC"}
    assert changed == {"Sample temperature", "Cold finger"}
    assert {row.name for row in editor.table.selectedRows()} == changed


def test_when_to_record_is_chosen(editor: ScidogEditor, hand: Hand) -> None:
    hand.select("Cold finger")
    index = hand.index("Cold finger", RECORD)
    editor.table.selectionModel().setCurrentIndex(index, Qt.QItemSelectionModel.NoUpdate)
    hand.qtbot.keyClick(editor.table, Qt.Qt.Key_F2)
    choice = editor.table.findChild(Qt.QComboBox)
    choice.setCurrentIndex(choice.findText("start · end"))
    choice.activated.emit(choice.currentIndex())
    hand.qtbot.waitUntil(lambda: hand.text("Cold finger", RECORD) == "start · end")


def test_remove_duplicate_and_new(editor: ScidogEditor, hand: Hand) -> None:
    before = hand.names()
    hand.select("Cold finger")
    hand.qtbot.keyClick(editor.table, Qt.Qt.Key_D, Qt.Qt.ControlModifier)
    assert hand.names()[hand.names().index("Cold finger") + 1] == "Cold finger 2"
    assert [row.name for row in editor.table.selectedRows()] == ["Cold finger 2"]
    hand.qtbot.keyClick(editor.table, Qt.Qt.Key_Delete)
    assert hand.names() == before
    assert len(editor.table.selectedRows()) == 1  # the next one: Del again removes it
    hand.qtbot.keyClick(editor.table, Qt.Qt.Key_Insert)
    hand.type_in_cell("b311a-o/opt/mono-01/Energy")
    assert len(hand.names()) == len(before) + 1
    hand.qtbot.waitUntil(lambda: hand.text("New", NOW) == "12.4")


def test_move_by_keys(editor: ScidogEditor, hand: Hand) -> None:
    names = hand.names()
    hand.select(names[1])
    hand.qtbot.keyClick(editor.table, Qt.Qt.Key_Up, Qt.Qt.AltModifier)
    assert hand.names()[:2] == [names[1], names[0]]
    hand.qtbot.keyClick(editor.table, Qt.Qt.Key_Down, Qt.Qt.AltModifier)
    assert hand.names() == names
    groups = editor.table.entries.groups
    last = groups[0][1][-1].name
    hand.select(last)
    hand.qtbot.keyClick(editor.table, Qt.Qt.Key_Down, Qt.Qt.AltModifier)
    assert editor.draft is not None
    assert next(row.group for row in editor.draft.rows if row.name == last) == groups[1][0]


def test_move_to_a_new_group(editor: ScidogEditor, hand: Hand) -> None:
    hand.select("Cold finger")
    hand.answer(_type_group)
    hand.qtbot.keyClick(editor.table, Qt.Qt.Key_G, Qt.Qt.ControlModifier)
    assert hand.done
    assert editor.table.entries.groups[-1][0] == "Cryostat"


def _type_group(dialog: Qt.QDialog) -> None:
    assert isinstance(dialog, Qt.QInputDialog)
    dialog.setTextValue("Cryostat")
    dialog.accept()


def test_drag_to_reorder_and_regroup(qtbot: QtBot, editor: ScidogEditor, hand: Hand) -> None:
    groups = editor.table.entries.groups
    moved, target = groups[0][1][0].name, groups[1][1][1].name
    hand.select(moved)
    drop(editor, editor.table.entries.mimeData(editor.table.selectedIndexes()), target)
    assert editor.draft is not None
    row = next(row for row in editor.draft.rows if row.name == moved)
    assert row.group == groups[1][0]
    assert hand.names().index(moved) == hand.names().index(target) - 1


def test_drag_a_group(editor: ScidogEditor, hand: Hand) -> None:
    model = editor.table.entries
    groups = [group for group, _ in model.groups]
    drop(editor, model.mimeData([model.indexOfGroup(groups[-1])]), model.groups[0][1][0].name)
    assert [group for group, _ in model.groups] == [groups[-1], *groups[:-1]]


def drop(editor: ScidogEditor, data: Qt.QMimeData, on: str) -> None:
    """Drag something from elsewhere over an entry, and drop it in its upper half: Qt's events of a drag."""
    table = editor.table
    row = next(row for row in editor.draft.rows if row.name == on)  # type: ignore[union-attr]
    index = table.entries.indexOf(row.key)
    table.scrollTo(index)
    place = table.visualRect(index).center()
    view = table.viewport()
    buttons, none = Qt.Qt.LeftButton, Qt.Qt.NoModifier
    for kind in (Qt.QDragEnterEvent, Qt.QDragMoveEvent):
        event = kind(place, Qt.Qt.MoveAction, data, buttons, none)
        Qt.QApplication.sendEvent(view, event)
        assert event.isAccepted()
    Qt.QApplication.sendEvent(view, Qt.QDropEvent(Qt.QPointF(place), Qt.Qt.MoveAction, data, buttons, none))


def test_folded_groups_and_the_selection_stay(editor: ScidogEditor, hand: Hand) -> None:
    model: EntryModel = editor.table.entries
    editor.table.collapse(model.indexOfGroup(model.groups[-1][0]))
    hand.type_into("Sample temperature", NAME, "Holder")
    assert not editor.table.isExpanded(model.indexOfGroup(model.groups[-1][0]))
    assert editor.table.isExpanded(model.index(0, 0))
    assert [row.name for row in editor.table.selectedRows()] == ["Holder"]


def test_a_group_is_renamed(editor: ScidogEditor, hand: Hand) -> None:
    model = editor.table.entries
    editor.table.setFocus()
    editor.table.setCurrentIndex(model.indexOfGroup("Sample environment"))
    hand.qtbot.keyClick(editor.table, Qt.Qt.Key_F2)
    hand.type_in_cell("Sample")
    assert model.groups[0][0] == "Sample"


class TestMistakes:
    def test_as_they_are_typed(self, editor: ScidogEditor, hand: Hand) -> None:
        hand.type_into("Cold finger", SOURCE, "b311a-e/dia/lakeshore-01")
        assert editor.draft is not None
        row = next(row for row in editor.draft.rows if row.name == "Cold finger")
        finding = editor.table.entries.finding(row)
        assert finding is not None
        assert "is not of the form domain/family/member/attribute" in finding.text
        assert not editor.saveButton.isEnabled()
        assert "Correct 1 line first" in editor.saveButton.toolTip()

    def test_the_suggestion_of_the_device_is_taken(self, editor: ScidogEditor, hand: Hand) -> None:
        hand.choose("wrong")
        model = editor.table.entries
        hand.qtbot.waitUntil(lambda: bool(_finding(editor, "Pressure").fix))
        assert _finding(editor, "Pressure").text.endswith("did you mean PressureUpstream?")
        hand.select("Pressure")
        hand.qtbot.keyClick(editor.table, Qt.Qt.Key_Period, Qt.Qt.ControlModifier)
        assert hand.text("Pressure", SOURCE) == "b311a-o/vac/valve-01/PressureUpstream"
        hand.qtbot.waitUntil(lambda: hand.text("Pressure", NOW).endswith("e-09"))
        assert model.finding(model.row(hand.index("Pressure"))) is None  # type: ignore[arg-type]

    def test_or_by_a_click_on_it(self, editor: ScidogEditor, hand: Hand) -> None:
        hand.choose("wrong")
        hand.qtbot.waitUntil(lambda: bool(_finding(editor, "Pressure").fix))
        table = editor.table
        key = next(row.key for row in editor.draft.rows if row.name == "Pressure")  # type: ignore[union-attr]
        hand.qtbot.waitUntil(lambda: not table._links.get(key, Qt.QRect()).isEmpty())
        hand.qtbot.mouseClick(table.viewport(), Qt.Qt.LeftButton, pos=table._links[key].center())
        assert hand.text("Pressure", SOURCE) == "b311a-o/vac/valve-01/PressureUpstream"


def _finding(editor: ScidogEditor, name: str):  # type: ignore[no-untyped-def]
    row = next(row for row in editor.draft.rows if row.name == name)  # type: ignore[union-attr]
    found = editor.table.entries.finding(row)
    assert found is not None
    return found


class TestLive:
    def test_each_line_shows_what_would_be_recorded(self, editor: ScidogEditor, hand: Hand) -> None:
        hand.choose("beamline")
        hand.qtbot.waitUntil(lambda: hand.text("Safety shutter", NOW) == "open")  # after the mapping
        assert "before the mapping: OPEN" in hand.index("Safety shutter", NOW).data(Qt.Qt.ToolTipRole)
        assert hand.text("Mode", NOW) == "DELIVERY"
        assert hand.text("Fill pattern", NOW).startswith("176 values")
        assert hand.text("Ring current", UNIT) == "mA"
        assert "its device: " in hand.index("Ring current", NOW).data(Qt.Qt.ToolTipRole)
        before = hand.text("Ring current", NOW)
        hand.qtbot.waitUntil(lambda: hand.text("Ring current", NOW) != before)
        assert "slowest" in editor.summary.text()

    def test_why_one_cannot_be_read(self, editor: ScidogEditor, hand: Hand) -> None:
        hand.choose("wrong")
        hand.qtbot.waitUntil(lambda: hand.text("Flux", NOW) == "not read")
        assert "the calibration of the screen has not been loaded" in _finding(editor, "Flux").text
        assert "2 cannot be read" in editor.summary.text()


@pytest.mark.parametrize("unit", ["MV", "G", "H", "S", "m"])
def test_a_unit_is_taken_as_it_is_typed(editor: ScidogEditor, hand: Hand, unit: str) -> None:
    hand.type_into("Cold finger", UNIT, unit)
    assert editor.draft is not None
    assert next(row.unit for row in editor.draft.rows if row.name == "Cold finger") == unit
