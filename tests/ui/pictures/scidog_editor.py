"""Pictures of the editor's states: `python -m tests.ui.pictures.scidog_editor [FOLDER]` (build/pictures).

A real SciDog with the demo's beamline and some mistakes, in the real window, drawn offscreen.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # before Qt is loaded

import tango
from taurus.external.qt import Qt

from deploy.demo.beamline import CONFIGURATIONS
from deploy.demo.stack import SCIDOG, Stack
from taurus_widgets.qt.application import makeApplication
from taurus_widgets.scidog.dialogs.differences import (
    CompareConfigsDialog,
    HistoryDialog,
    SaveConfigDialog,
    SaveConflictDialog,
)
from taurus_widgets.scidog.dialogs.wizard import TemplateWizard
from taurus_widgets.scidog.entries.model import NAME
from taurus_widgets.scidog.window import ScidogEditor
from tests.servers.tango_system import control_system
from tests.ui.pictures.scanlog import wait_until

SIZES = ((1280, 800), (1920, 1080))
MIXED = (
    *CONFIGURATIONS["saxs"],
    "- {name: Safety shutter, source: b311a-o01/pss/bst-01/State, group: Front end, map: {OPEN: open, CLOSE: closed}}",
    "- {name: Pressure, source: b311a-o/vac/valve-01/PresureUpstream, unit: mbar, group: Front end}",
)

Picture = Callable[[Qt.QWidget, str], None]


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as state, control_system(Path(state)) as stack:
        os.environ["XDG_CONFIG_HOME"] = os.environ["XDG_CACHE_HOME"] = state  # and not those of whoever draws them
        stack.start_beamline()
        stack.start_scidog("kafka.example.org:9092")
        stack.db.put_device_alias("b311a-o/opt/slits-01", "slits")
        stack.add_device("Pool/demo", "Motor", "motor/demo/1")
        stack.db.put_device_alias("motor/demo/1", "mot01")
        app = makeApplication()
        light = app.palette()
        for theme in ("light", "dark"):
            if theme == "dark":
                app = makeApplication(dark=True)
            else:
                app.setPalette(light)
            for width, height in SIZES:
                _draw(stack, width, height, _saver(folder, f"{theme}-{width}"), first=width == SIZES[0][0])
    print(f"The pictures are in {folder}")


def _saver(folder: Path, suffix: str) -> Picture:
    def picture(widget: Qt.QWidget, name: str) -> None:
        wait_until(lambda: False, seconds=0.2)  # so that all that is to be drawn has been
        drawn = widget.grab().toImage().convertToFormat(Qt.QImage.Format_RGB888)
        drawn.save(str(folder / f"scidog-{name}-{suffix}.png"), "PNG", 0)  # 0: the smallest file

    return picture


def _put(stack: Stack, **properties: tuple[str, ...]) -> None:
    stack.db.put_device_property(SCIDOG, {name: list(lines) for name, lines in properties.items()})
    tango.DeviceProxy(stack.name(SCIDOG)).Reload()


def _draw(stack: Stack, width: int, height: int, picture: Picture, first: bool) -> None:
    _put(stack, ActiveConfig=("saxs",), **{"Config.saxs": MIXED})
    with opened(stack, width, height) as editor:
        table, browser = editor.table, editor.browser
        wait_until(lambda: len(editor.session.live) == len(editor.draft.rows), 20)  # type: ignore[union-attr]
        wait_until(lambda: bool(_row(editor, "Pressure") in editor.session.findings), 20)
        table.selectKeys([_row(editor, "Safety shutter")])
        _open(editor, "b311a-e", "dia / lakeshore-01")
        table.setFocus()
        picture(editor, "editor")
        if not first:
            return
        browser.search.setText("gap")
        wait_until(lambda: "attributes" in browser.state.text(), 5)
        browser.search.setFocus()
        browser.tree.setCurrentIndex(browser.model.index(0, 0, browser.model.index(0, 0)))
        wait_until(lambda: False, 1)
        picture(editor, "search")
        session = editor.session
        session.change(lambda draft: draft.edit({_row(editor, "Cold finger")}, {"name": "Finger", "unit": "mK"}))
        session.change(lambda draft: draft.remove({_row(editor, "Pressure")}))
        browser.addSelected()
        table.edit(table.entries.indexOf(_row(editor, "Finger"), NAME))
        picture(editor, "changed")
        dialog = SaveConfigDialog("saxs", _changes(editor), "active", editor)
        _shown(dialog, picture, "save")
        from taurus_widgets.scidog.data.client import Stored
        from taurus_widgets.scidog.session import SaveConflict

        theirs = Stored("saxs", "x", (*MIXED, "- {name: Theirs, source: b311a-o/opt/mono-01/Energy}"))
        _shown(SaveConflictDialog(SaveConflict(editor.draft, theirs, ""), editor), picture, "conflict")  # type: ignore[arg-type]
        history = session.client.history("saxs")
        _shown(
            HistoryDialog(
                "saxs", MIXED, history, lambda number, show: show(session.client.lines_after(number)), editor
            ),
            picture,
            "history",
        )
        lines = session.client.config("spectroscopy").lines
        _shown(
            CompareConfigsDialog("saxs", MIXED, ["spectroscopy"], lambda name, show: show(lines), editor),
            picture,
            "compare",
        )
        wizard = TemplateWizard(session, browser, [], "", editor)
        wait_until(lambda: "are found" in wizard.state.text(), 10)
        _shown(wizard, picture, "wizard")
        while editor.draft is not None and editor.draft.undo_what:
            editor.undo()
    properties = [f"Config.{name}" for name in CONFIGURATIONS]
    stack.db.delete_device_property(SCIDOG, {name: [] for name in [*properties, "ActiveConfig"]})
    tango.DeviceProxy(stack.name(SCIDOG)).Reload()
    with opened(stack, width, height) as editor:
        wait_until(lambda: editor.emptyText.text().startswith("No configuration yet"), 10)
        picture(editor, "empty")
    _put(stack, **{f"Config.{name}": lines for name, lines in CONFIGURATIONS.items()})


def _changes(editor: ScidogEditor):  # type: ignore[no-untyped-def]
    from taurus_widgets.scidog.data.comparison import own_changes

    assert editor.draft is not None
    return own_changes(editor.draft)


def _shown(dialog: Qt.QDialog, picture: Picture, name: str) -> None:
    dialog.show()
    picture(dialog, name)
    dialog.close()
    dialog.deleteLater()


def _row(editor: ScidogEditor, name: str) -> int:
    assert editor.draft is not None
    return next(row.key for row in editor.draft.rows if row.name == name)


def _open(editor: ScidogEditor, *path: str) -> None:
    browser = editor.browser
    wait_until(lambda: browser.model.rowCount() > 2, 10)
    index = Qt.QModelIndex()
    for name in path:
        rows = range(browser.model.rowCount(index))
        index = next(child for row in rows if (child := browser.model.index(row, 0, index)).data() == name)
        browser.tree.expand(index)
    wait_until(lambda: browser.model.rowCount(index) > 0, 10)
    browser.tree.setCurrentIndex(browser.model.index(1, 0, index))
    wait_until(lambda: False, 1)


@contextmanager
def opened(stack: Stack, width: int, height: int) -> Iterator[ScidogEditor]:
    editor = ScidogEditor()
    editor.resize(width, height)
    editor.setDevice(stack.name(SCIDOG))
    editor.show()
    wait_until(
        lambda: editor.draft is not None or (editor.session.overview is not None and not editor.session.names()), 30
    )
    yield editor
    editor._suspend()
    editor.close()
    editor.deleteLater()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("build/pictures"))
