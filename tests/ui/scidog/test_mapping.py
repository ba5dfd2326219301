"""The mapping of the chosen entry."""

from __future__ import annotations

from taurus.external.qt import Qt

from taurus_widgets.scidog.entries.model import NOW
from taurus_widgets.scidog.window import ScidogEditor
from tests.ui.scidog.conftest import Hand


def test_labels_that_the_attribute_has_are_offered(editor: ScidogEditor, hand: Hand) -> None:
    hand.choose("beamline")
    hand.qtbot.waitUntil(lambda: hand.text("Mode", NOW) == "DELIVERY")
    hand.select("Mode")
    pane = editor.mapping
    assert pane.isVisible()
    assert list(pane.fields) == ["shutdown", "injection", "delivery"]
    field = pane.fields["delivery"]
    field.setFocus()
    hand.qtbot.keyClicks(field, "beam")
    hand.qtbot.keyClick(field, Qt.Qt.Key_Return)
    hand.qtbot.waitUntil(lambda: hand.text("Mode", NOW) == "beam")
    assert editor.draft is not None
    assert next(row.lines for row in editor.draft.rows if row.name == "Mode")[-1].endswith("map: {DELIVERY: beam}}")
    field = pane.fields["delivery"]
    field.clear()
    hand.qtbot.keyClick(field, Qt.Qt.Key_Return)
    assert not editor.draft.changed or not next(row.map for row in editor.draft.rows if row.name == "Mode")


def test_states_and_a_key_of_its_own(editor: ScidogEditor, hand: Hand) -> None:
    hand.choose("beamline")
    hand.qtbot.waitUntil(lambda: hand.text("Safety shutter", NOW) == "open")
    hand.select("Safety shutter")
    pane = editor.mapping
    assert "it can be: ON, OFF, CLOSE, OPEN" in pane.about.text()
    assert pane.newKey.findText("FAULT") >= 0
    pane.newKey.setEditText("FAULT")
    hand.qtbot.keyClicks(pane.newText, "broken")
    hand.qtbot.keyClick(pane.newText, Qt.Qt.Key_Return)
    assert editor.draft is not None
    shutter = next(row for row in editor.draft.rows if row.name == "Safety shutter")
    assert dict(shutter.map) == {"OPEN": "open", "CLOSE": "closed", "FAULT": "broken"}


def test_a_number(editor: ScidogEditor, hand: Hand) -> None:
    hand.select("Sample temperature")
    pane = editor.mapping
    pane.newKey.setEditText("4")
    hand.qtbot.keyClicks(pane.newText, "in")
    hand.qtbot.keyClick(pane.newText, Qt.Qt.Key_Return)
    assert editor.draft is not None
    row = next(row for row in editor.draft.rows if row.name == "Sample temperature")
    assert row.map == ((4, "in"),)
    hand.select("Sample temperature", "Cold finger")
    assert not pane.isVisible()


def test_a_typed_text_is_taken_before_a_button_acts(editor: ScidogEditor, hand: Hand) -> None:
    hand.choose("beamline")
    hand.qtbot.waitUntil(lambda: hand.text("Safety shutter", NOW) == "open")
    hand.select("Safety shutter")
    pane = editor.mapping

    def shutter() -> dict[object, object]:
        assert editor.draft is not None
        return dict(next(row.map for row in editor.draft.rows if row.name == "Safety shutter"))

    editor.session.change(lambda draft: draft.edit({draft.rows[0].key}, {"unit": "A"}))  # something to undo
    field = pane.fields["open"]
    field.setFocus()
    field.selectAll()
    hand.qtbot.keyClicks(field, "free")  # without Enter
    editor.session.liveChanged.emit()
    assert shutter() == {"OPEN": "open", "CLOSE": "closed"}  # new values take nothing that is being typed
    hand.qtbot.mouseClick(editor.undoButton, Qt.Qt.LeftButton)
    assert shutter() == {"OPEN": "open", "CLOSE": "closed"}
    assert pane.fields["open"].text() == "open"
    hand.qtbot.mouseClick(editor.redoButton, Qt.Qt.LeftButton)
    assert shutter() == {"OPEN": "free", "CLOSE": "closed"}

    field = pane.fields["close"]
    field.setFocus()
    field.selectAll()
    hand.qtbot.keyClicks(field, "shut")
    remove = pane._grid.itemAtPosition(0, 3).widget()
    assert remove.toolTip() == "Show OPEN as it is"
    hand.qtbot.waitUntil(remove.isVisible)
    hand.qtbot.mouseClick(remove, Qt.Qt.LeftButton)
    assert shutter() == {"CLOSE": "shut"}
    assert pane.fields["close"].text() == "shut"
