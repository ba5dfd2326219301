"""A beamline without a configuration starts from a template."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from taurus.external.qt import Qt

from deploy.demo.beamline import CONFIGURATIONS
from deploy.demo.stack import SCIDOG, Stack
from taurus_widgets.scidog.dialogs.wizard import TemplateWizard
from taurus_widgets.scidog.window import ScidogEditor
from tests.servers.tango_system import patient
from tests.ui.scidog.conftest import Hand, put, stored

TEMPLATE = """
beamline:
  - {name: Ring current, find: ['*/*/dcct*/InstantaneousCurrent'], group: Machine, record: [start, end]}
  - {name: Gap, find: ['*/*/slits*/HorizontalGap', '*/*/slits*/VerticalGap'], group: Optics}
  - {name: Undulator, find: ['*/*/undulator*/Gap']}
"""


@pytest.fixture
def empty(stack: Stack, qtbot: QtBot) -> Iterator[ScidogEditor]:
    """An editor on a SciDog without a configuration."""
    names = list(stack.db.get_device_property_list(SCIDOG, "Config.*").value_string)
    stack.db.delete_device_property(SCIDOG, {name: [] for name in [*names, "ActiveConfig"]})
    patient(stack.name(SCIDOG)).Reload()
    found = ScidogEditor()
    qtbot.addWidget(found, before_close_func=lambda widget: widget._suspend())
    found.resize(1280, 800)
    found.setDevice(stack.name(SCIDOG))
    found.show()
    qtbot.waitUntil(
        lambda: found.emptyText.text().startswith("No configuration yet") and bool(found.browser.names.running)
    )
    yield found
    found._suspend()
    put(stack, ActiveConfig=["saxs"], **{f"Config.{name}": lines for name, lines in CONFIGURATIONS.items()})


def test_what_is_found_becomes_the_first_configuration(
    tmp_path: Path, stack: Stack, qtbot: QtBot, empty: ScidogEditor
) -> None:
    file = tmp_path / "facility.yaml"
    file.write_text(TEMPLATE, "utf-8")
    empty.template = str(file)
    hand = Hand(qtbot, empty)

    def act(dialog: Qt.QDialog) -> None:
        assert isinstance(dialog, TemplateWizard)
        qtbot.waitUntil(lambda: "2 of 3 are found" in dialog.state.text())
        assert dialog.nameField.text() == "beamline"
        assert dialog.table.item(2, 2).text() == "not found: */*/undulator*/Gap"
        choice = dialog.table.cellWidget(1, 2)
        assert choice.count() == 2
        choice.setCurrentIndex(1)
        qtbot.mouseClick(dialog.createButton, Qt.Qt.LeftButton)

    hand.answer(act)
    qtbot.mouseClick(empty.emptyButton, Qt.Qt.LeftButton)
    assert hand.done
    qtbot.waitUntil(lambda: empty.draft is not None and empty.draft.name == "beamline")
    assert hand.names() == ["Ring current", "Gap"]
    hand.answer(lambda dialog: dialog.accept())
    empty.save()
    qtbot.waitUntil(lambda: "is saved" in empty.notice.label.text())
    assert stored(stack, "beamline") == [
        "- {name: Ring current, source: r3-319s2/dia/dcct-01/InstantaneousCurrent, group: Machine, "
        "record: [start, end]}",
        "- {name: Gap, source: b311a-o/opt/slits-01/VerticalGap, group: Optics}",
    ]


def test_a_wrong_template_is_said(tmp_path: Path, qtbot: QtBot, empty: ScidogEditor) -> None:
    empty.template = str(tmp_path / "none.yaml")
    hand = Hand(qtbot, empty)

    def act(dialog: Qt.QDialog) -> None:
        assert isinstance(dialog, TemplateWizard)
        qtbot.waitUntil(lambda: "none.yaml cannot be read" in dialog.state.text())
        assert not dialog.createButton.isEnabled()

    hand.answer(act)
    empty.startWizard()
    assert hand.done
    assert empty.draft is None
