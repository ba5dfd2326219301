"""Save, conflicts, history, and all that is done with a whole configuration."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tango
from taurus.external.qt import Qt

from deploy.demo.beamline import CONFIGURATIONS
from deploy.demo.stack import SCIDOG, Stack
from scifish.settings.devices import NotReachable
from taurus_widgets.scidog import session
from taurus_widgets.scidog.dialogs.differences import (
    CompareConfigsDialog,
    HistoryDialog,
    SaveConfigDialog,
    SaveConflictDialog,
)
from taurus_widgets.scidog.entries.model import NAME, UNIT
from taurus_widgets.scidog.window import ScidogEditor
from tests.ui.scidog.conftest import Beamline, Hand, put, stored

RENAMED = [
    "- {name: Finger, source: b311a-e/dia/lakeshore-01/T2, group: Sample environment, unit: K}"
    if "Cold finger" in line
    else line
    for line in CONFIGURATIONS["saxs"]
]
"""The lines after `rename_entry`: all others as they were written."""


def rename_entry(hand: Hand) -> None:
    hand.type_into("Cold finger", NAME, "Finger")


def accept(dialog: Qt.QDialog) -> None:
    dialog.accept()


def test_save_shows_the_difference_and_writes_the_lines_that_were_changed(
    stack: Stack, editor: ScidogEditor, hand: Hand, device: tango.DeviceProxy
) -> None:
    rename_entry(hand)
    assert stored(stack, "saxs") == list(CONFIGURATIONS["saxs"])  # nothing before Save
    shown: list[list[list[str]]] = []

    def act(dialog: Qt.QDialog) -> None:
        assert isinstance(dialog, SaveConfigDialog)
        assert "1 change in saxs. It is active" in dialog.heading.text()
        shown.append(dialog.table.texts())
        hand.qtbot.keyClick(dialog.saveButton, Qt.Qt.Key_Space)

    hand.answer(act)
    hand.qtbot.keyClick(editor.table, Qt.Qt.Key_S, Qt.Qt.ControlModifier)
    assert shown == [[["name", "Sample environment: Finger", "Cold finger", "Finger"]]]
    hand.qtbot.waitUntil(lambda: not editor.draft.changed)  # type: ignore[union-attr]
    assert stored(stack, "saxs") == RENAMED
    assert "Finger" in [entry["name"] for entry in json.loads(device.Entries)]
    change = json.loads(device.History("saxs"))[0]
    assert change["what"] == "saved"
    hand.qtbot.waitUntil(lambda: "last saved by" in editor.saved.text())


def test_cancel_writes_nothing(stack: Stack, editor: ScidogEditor, hand: Hand) -> None:
    rename_entry(hand)
    hand.answer(lambda dialog: dialog.reject())
    editor.saveButton.click()
    assert hand.done
    assert stored(stack, "saxs") == list(CONFIGURATIONS["saxs"])
    assert editor.draft is not None
    assert editor.draft.changed


class TestConflict:
    @pytest.fixture
    def theirs(self, stack: Stack, device: tango.DeviceProxy) -> list[str]:
        """What somebody else saves."""
        return [*CONFIGURATIONS["saxs"], "- {name: Theirs, source: b311a-o/opt/mono-01/Energy, group: Optics}"]

    def save_and_meet(self, hand: Hand, choose: str, seen: list[list[list[list[str]]]]) -> None:
        def save(dialog: Qt.QDialog) -> None:
            assert isinstance(dialog, SaveConfigDialog)
            dialog.accept()
            hand.answer(conflict)

        def conflict(dialog: Qt.QDialog) -> None:
            assert isinstance(dialog, SaveConflictDialog)
            seen.append([table.texts() for table in dialog.tables])
            next(button for button in dialog.findChildren(Qt.QPushButton) if button.text() == choose).click()

        hand.answer(save)
        hand.editor.save()
        hand.qtbot.waitUntil(lambda: bool(seen))

    @pytest.mark.parametrize("choice", ["Save both", "Use theirs", "Save mine over theirs"])
    def test_both_are_shown_and_one_chooses(
        self, stack: Stack, editor: ScidogEditor, hand: Hand, device: tango.DeviceProxy, theirs: list[str], choice: str
    ) -> None:
        rename_entry(hand)
        # The editor has not heard of it: no event comes for a property that somebody writes until SciDog looks.
        editor.session._listener.stop()  # type: ignore[union-attr]
        put(stack, **{"Config.saxs": theirs})
        device.Reload()
        seen: list[list[list[list[str]]]] = []
        self.save_and_meet(hand, choice, seen)
        mine, other = seen[0]
        assert [line[0] for line in mine] == ["added", "removed"]
        assert other == [["added", "Optics: Theirs", "", "b311a-o/opt/mono-01/Energy"]]
        hand.qtbot.waitUntil(lambda: not editor.draft.changed)  # type: ignore[union-attr]
        found = stored(stack, "saxs")
        if choice == "Use theirs":
            assert found == theirs
            editor.undo()
            assert "Finger" in hand.names()
        elif choice == "Save both":
            assert sorted(found) == sorted([*RENAMED, theirs[-1]])
        else:
            assert found == RENAMED

    def test_an_event_tells_it_before_save(
        self, stack: Stack, editor: ScidogEditor, hand: Hand, device: tango.DeviceProxy, theirs: list[str]
    ) -> None:
        rename_entry(hand)
        put(stack, **{"Config.saxs": theirs})
        device.Reload()
        hand.qtbot.waitUntil(lambda: "Somebody else has saved saxs" in editor.notice.label.text())
        hand.answer(lambda dialog: dialog.done(SaveConflictDialog.THEIRS))
        editor.notice.button.click()
        assert "Theirs" in hand.names()
        assert "Finger" not in hand.names()

    def test_without_own_changes_theirs_is_just_shown(
        self, stack: Stack, editor: ScidogEditor, hand: Hand, device: tango.DeviceProxy, theirs: list[str]
    ) -> None:
        put(stack, **{"Config.saxs": theirs})
        device.Reload()
        hand.qtbot.waitUntil(lambda: "Theirs" in hand.names())
        assert not editor.notice.isVisible()


def test_history_and_going_back(stack: Stack, editor: ScidogEditor, hand: Hand, device: tango.DeviceProxy) -> None:
    before = stored(stack, "saxs")
    hand.type_into("Cold finger", UNIT, "mK")
    hand.answer(accept)
    editor.save()
    hand.qtbot.waitUntil(lambda: not editor.draft.changed)  # type: ignore[union-attr]
    seen: list[str] = []

    def act(dialog: Qt.QDialog) -> None:
        assert isinstance(dialog, HistoryDialog)
        seen.append(dialog.changes.item(0, 2).text())
        dialog.changes.selectRow(1)
        hand.qtbot.waitUntil(dialog.restoreButton.isEnabled)
        assert dialog.table.texts() == [["unit", "Sample environment: Cold finger", "K", "mK"]]
        dialog.restoreButton.click()

    hand.answer(act)
    hand.qtbot.mouseClick(editor.historyButton, Qt.Qt.LeftButton)
    hand.qtbot.waitUntil(lambda: bool(hand.done))
    assert seen == ["saved"]
    hand.qtbot.waitUntil(lambda: editor.draft.lines() == before)  # type: ignore[union-attr]
    assert stored(stack, "saxs") != before  # not before Save
    assert editor.saveButton.text() == "Save 1 change…"


def test_compare_two(editor: ScidogEditor, hand: Hand) -> None:
    found: list[list[list[str]]] = []

    def act(dialog: Qt.QDialog) -> None:
        assert isinstance(dialog, CompareConfigsDialog)
        dialog.choice.setCurrentText("spectroscopy")
        hand.qtbot.waitUntil(lambda: any("Bragg angle" in line[1] for line in dialog.table.texts()))
        found.append(dialog.table.texts())

    hand.answer(act)
    editor.compare()
    what = {line[1]: line[0] for line in found[0]}
    assert what["Optics: Bragg angle"] == "added"
    assert what["Sample environment: Cold finger"] == "removed"


def name_it(name: str):  # type: ignore[no-untyped-def]
    def act(dialog: Qt.QDialog) -> None:
        assert isinstance(dialog, Qt.QInputDialog)
        dialog.setTextValue(name)
        dialog.accept()

    return act


def press(text: str):  # type: ignore[no-untyped-def]
    def act(dialog: Qt.QDialog) -> None:
        assert isinstance(dialog, Qt.QMessageBox)
        next(button for button in dialog.buttons() if button.text() == text).click()

    return act


def test_duplicate_save_activate_rename_delete(
    stack: Stack, editor: ScidogEditor, hand: Hand, device: tango.DeviceProxy
) -> None:
    menu = editor.actionsOfMenu
    hand.answer(name_it("waxs"))
    menu["Duplicate…"].trigger()
    assert editor.draft is not None
    assert editor.draft.name == "waxs"
    assert editor.use.text().startswith("not saved yet")
    assert "waxs" not in device.Configs
    hand.answer(accept)
    editor.save()
    hand.qtbot.waitUntil(lambda: "waxs" in device.Configs)
    assert stored(stack, "waxs") == list(CONFIGURATIONS["saxs"])

    hand.qtbot.waitUntil(lambda: menu["Make active"].isEnabled())
    hand.answer(lambda dialog: dialog.reject())
    menu["Make active"].trigger()
    assert hand.done  # it is asked
    hand.answer(press("Make active"))
    menu["Make active"].trigger()
    hand.qtbot.waitUntil(lambda: editor.use.text().startswith("active"))
    assert device.ActiveConfig == "waxs"
    assert not menu["Delete…"].isEnabled()

    hand.answer(name_it("waxs-2"))
    menu["Rename…"].trigger()
    hand.qtbot.waitUntil(lambda: editor.draft is not None and editor.draft.name == "waxs-2")
    assert device.ActiveConfig == "waxs-2"

    device.ActiveConfig = "saxs"
    hand.qtbot.waitUntil(lambda: menu["Delete…"].isEnabled())

    hand.answer(press("Delete"))
    menu["Delete…"].trigger()
    hand.qtbot.waitUntil(lambda: "waxs-2" not in device.Configs)


def test_a_name_that_is_taken_is_refused_at_once(editor: ScidogEditor, hand: Hand) -> None:
    hand.answer(name_it("Beamline"))
    editor.actionsOfMenu["Duplicate…"].trigger()
    assert "There is a configuration Beamline already" in editor.notice.label.text()
    hand.answer(name_it("two words"))
    editor.actionsOfMenu["New…"].trigger()
    assert "is not a valid name" in editor.notice.label.text()


@pytest.mark.parametrize(("name", "form"), [("saxs.yaml", "yaml"), ("saxs.csv", "csv"), ("saxs.tsv", "tsv")])
def test_export_and_import(tmp_path: Path, editor: ScidogEditor, hand: Hand, name: str, form: str) -> None:
    file = tmp_path / name
    editor.exportFile(str(file), form)
    hand.qtbot.waitUntil(lambda: file.exists() and file.read_text("utf-8").count("Cold finger") == 1)
    file.write_text(file.read_text("utf-8").replace("Cold finger", "Finger"), "utf-8")
    editor.importFile(str(file))
    hand.qtbot.waitUntil(lambda: "Finger" in hand.names())
    assert editor.draft is not None
    assert editor.draft.changed
    editor.undo()
    assert not editor.draft.changed


def test_a_file_with_mistakes_says_where(tmp_path: Path, editor: ScidogEditor, hand: Hand) -> None:
    file = tmp_path / "wrong.csv"
    file.write_text("name,source\nA,a/b/c/d\nB,a/b/c\n", "utf-8")
    editor.importFile(str(file))
    hand.qtbot.waitUntil(lambda: "line 3" in editor.notice.label.text())
    assert editor.draft is not None
    assert not editor.draft.changed


def test_the_devices_refusal_is_shown(stack: Stack, editor: ScidogEditor, hand: Hand) -> None:
    key = next(row.key for row in editor.draft.rows if row.name == "Cold finger")  # type: ignore[union-attr]
    editor.session.change(lambda draft: draft.edit({key}, {"name": "x" * 70_000}))
    hand.answer(accept)
    editor.save()
    hand.qtbot.waitUntil(lambda: "saxs was not saved" in editor.notice.label.text())
    assert "65535" in editor.notice.label.text().replace(",", "")
    assert stored(stack, "saxs") == list(CONFIGURATIONS["saxs"])


def test_a_scidog_that_dies_is_said_and_found_again(beamline: Beamline, editor: ScidogEditor, hand: Hand) -> None:
    rename_entry(hand)
    beamline.server.kill()
    hand.qtbot.waitUntil(lambda: "does not answer" in editor.where.text())
    assert "Finger" in hand.names()  # what was changed is still here
    beamline.restart()
    hand.qtbot.waitUntil(lambda: "does not answer" not in editor.where.text())
    hand.answer(accept)
    editor.save()
    hand.qtbot.waitUntil(lambda: editor.draft is not None and not editor.draft.changed)
    assert any("Finger" in line for line in stored(beamline.stack, "saxs"))


def open_cell(hand: Hand, name: str, text: str) -> None:
    """Type into the name of an entry, without Enter."""
    table = hand.editor.table
    hand.click(name, NAME)
    hand.qtbot.keyClick(table, Qt.Qt.Key_F2)
    line = table.findChild(Qt.QLineEdit)
    line.selectAll()
    hand.qtbot.keyClicks(line, text)


def test_an_open_cell_belongs_to_what_save_shows_and_writes(stack: Stack, editor: ScidogEditor, hand: Hand) -> None:
    open_cell(hand, "Cold finger", "Finger")
    shown: list[list[list[str]]] = []

    def act(dialog: Qt.QDialog) -> None:
        assert isinstance(dialog, SaveConfigDialog)
        shown.append(dialog.table.texts())
        dialog.accept()

    hand.answer(act)
    editor.save()
    assert shown == [[["name", "Sample environment: Finger", "Cold finger", "Finger"]]]
    hand.qtbot.waitUntil(lambda: stored(stack, "saxs") == RENAMED)
    assert editor.table.state() != editor.table.EditingState


def test_a_window_with_an_open_cell_asks_before_it_closes(editor: ScidogEditor, hand: Hand) -> None:
    open_cell(hand, "Cold finger", "Finger")
    hand.answer(lambda dialog: dialog.reject())
    assert not editor.close()
    assert hand.done
    assert "Finger" in hand.names()


def test_a_panel_asks_before_its_window_closes_and_before_another_device(
    stack: Stack, editor: ScidogEditor, hand: Hand
) -> None:
    window = Qt.QMainWindow()
    hand.qtbot.addWidget(window)
    dock = Qt.QDockWidget("SciDog", window)
    dock.setWidget(editor)
    window.addDockWidget(Qt.Qt.LeftDockWidgetArea, dock)
    window.show()
    editor.show()
    hand.qtbot.waitUntil(editor.isVisible)
    key = next(row.key for row in editor.draft.rows if row.name == "Cold finger")  # type: ignore[union-attr]
    editor.session.change(lambda draft: draft.edit({key}, {"name": "Finger"}))
    hand.answer(lambda dialog: dialog.reject())
    assert not window.close()
    assert window.isVisible()
    hand.answer(lambda dialog: dialog.reject())
    editor.setModel("")
    assert "Finger" in hand.names()
    assert editor.getModel() == stack.name(SCIDOG)
    hand.answer(press("Forget them"))
    assert window.close()
    window.takeCentralWidget()
    editor.setParent(None)


def test_what_is_changed_here_survives_that_somebody_deletes_it(
    stack: Stack, editor: ScidogEditor, hand: Hand, device: tango.DeviceProxy
) -> None:
    hand.choose("wrong")
    hand.choose("spectroscopy")
    hand.qtbot.waitUntil(lambda: editor.draft is not None and editor.draft.name == "spectroscopy")
    name = hand.names()[0]
    editor.session.change(lambda draft: draft.edit({draft.rows[0].key}, {"unit": "GeV"}))
    stack.db.delete_device_property(SCIDOG, {"Config.spectroscopy": [], "Config.wrong": []})
    device.Reload()
    hand.qtbot.waitUntil(lambda: "deleted or renamed spectroscopy" in editor.notice.label.text())
    assert hand.names()[0] == name
    assert editor.choice.currentData() == "spectroscopy"
    assert editor.choice.findData("wrong") < 0  # it had no changes
    hand.answer(accept)
    editor.save()
    hand.qtbot.waitUntil(lambda: "spectroscopy" in device.Configs)
    assert any("unit: GeV" in line for line in stored(stack, "spectroscopy"))


def test_one_saves_only_when_the_device_has_answered(editor: ScidogEditor, hand: Hand) -> None:
    rename_entry(hand)
    hand.answer(accept)
    editor.save()
    assert not editor.saveButton.isEnabled()
    assert "SciDog is saving" in editor.saveButton.toolTip()
    key = editor.draft.rows[0].key  # type: ignore[union-attr]
    editor.session.change(lambda draft: draft.edit({key}, {"unit": "mK"}))
    hand.qtbot.waitUntil(editor.saveButton.isEnabled)
    assert editor.saveButton.text() == "Save 1 change…"  # the second one


def test_an_answer_goes_to_the_configuration_it_was_asked_for(tmp_path: Path, editor: ScidogEditor, hand: Hand) -> None:
    hand.choose("spectroscopy")
    hand.choose("saxs")
    file = tmp_path / "file.yaml"
    file.write_text("- {name: A, source: a/b/c/d}\n", "utf-8")
    editor.importFile(str(file))
    editor.choose("spectroscopy")
    hand.qtbot.waitUntil(lambda: "file.yaml was not imported" in editor.notice.label.text())
    assert editor.session.unsaved() == []


def test_an_unexpected_error_of_a_command_is_said(editor: ScidogEditor, hand: Hand) -> None:
    def broken() -> None:
        raise KeyError("lines")

    editor.session.ask(broken, lambda _: None)
    hand.qtbot.waitUntil(lambda: "KeyError: 'lines'" in editor.notice.label.text())


def test_a_slow_answer_is_asked_for_again(editor: ScidogEditor, hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "RETRY_SECONDS", 0.05)
    client = editor.session.client
    failing = iter([NotReachable("the database is slow")])

    def overview() -> object:
        for error in failing:
            raise error
        return type(client).overview(client)

    monkeypatch.setattr(client, "overview", overview)
    seen: list[str] = []
    editor.session.connectionChanged.connect(lambda state: seen.append(state.problem))
    editor.session.refresh()
    hand.qtbot.waitUntil(lambda: seen == ["the database is slow", ""])
    assert "values of now" in editor.where.text()


def test_values_are_not_read_while_nobody_sees_them(editor: ScidogEditor, hand: Hand) -> None:
    editor.hide()
    hand.qtbot.waitUntil(lambda: not editor.session._reading)
    editor.session._tick()
    assert not editor.session._reading
    before = editor.session.liveTime
    editor.show()
    hand.qtbot.waitUntil(lambda: editor.session.liveTime != before)
