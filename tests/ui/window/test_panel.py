"""The scan log as a panel of a TaurusGUI."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from pytestqt.qtbot import QtBot
from taurus.external.qt import Qt

from ingest.scicat import SciCat
from taurus_widgets.panel import ScanLogPanel
from tests.builders.scicat_datasets import scan
from tests.paths import ROOT
from tests.waiting import PATIENCE

AWAY = "tango://127.0.0.1:9/door/demo/1#dbase=no"

CONFIG = """
    from taurus.qt.qtgui.taurusgui.utils import PanelDescription

    GUI_NAME = "SCANLOGTEST"
    ORGANIZATION = "SciZoo"
    by_module = PanelDescription("By module", classname="taurus_widgets.panel:ScanLogPanel", model="{away}")
    by_class = PanelDescription("By class", classname="ScanLogPanel", model="{away}")  # found by the entry point
"""

RUN = """
    import sys, time
    from taurus.qt.qtgui import scizoo  # the entry point's module
    from taurus.qt.qtgui.application import TaurusApplication
    from taurus.qt.qtgui.taurusgui import TaurusGui

    app = TaurusApplication([], cmd_line_parser=None, app_name="scanlogtest", org_name="SciZoo")
    gui = TaurusGui(None, confname=sys.argv[1])
    made = scizoo.ScanLogPanel()
    made.setModel("{away}")
    gui.createPanel(made, "Made")
    panels = [gui.getPanel(name).widget() for name in ("By module", "By class", "Made")]
    deadline = time.monotonic() + {patience}
    while not all(panel.scans.rowCount() for panel in panels) and time.monotonic() < deadline:
        app.processEvents()
        time.sleep(0.01)
    for panel in panels:
        print(type(panel).__name__, panel.getModel(), panel.scans.rowCount())
        panel.close()
"""


def in_gui(folder: Path, account: dict[str, str]) -> list[str]:
    """The output of a TaurusGUI in a process of its own, with the entry points of setup.cfg."""
    (folder / "scanlogtest.py").write_text(textwrap.dedent(CONFIG).format(away=AWAY), "utf-8")
    program = folder / "program.py"
    program.write_text(textwrap.dedent(RUN).format(away=AWAY, patience=PATIENCE), "utf-8")
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    info = folder / "scizoo_under_test-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: scizoo-under-test\nVersion: 1\n")
    group = setup["options.entry_points"]["taurus.qt.qtgui"]
    (info / "entry_points.txt").write_text(f"[taurus.qt.qtgui]\n{group.strip()}\n")
    variables = {**os.environ, **account, "PYTHONPATH": f"{ROOT}:{folder}", "XDG_CONFIG_HOME": str(folder)}
    variables |= {"HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    command = [sys.executable, str(program), str(folder / "scanlogtest.py")]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=4 * PATIENCE, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip().splitlines()[-3:]


def test_a_taurusgui_creates_it_by_module_and_by_class(
    tmp_path: Path, scicat: SciCat, account: dict[str, str], proposal: str
) -> None:
    scicat.create_dataset(scan(1, time.time(), proposal=proposal))
    for line in in_gui(tmp_path, account):
        name, model, rows = line.split()
        assert (name, model) == ("ScanLogPanel", AWAY)
        assert int(rows) > 0


def test_its_properties_are_the_catalogue_and_the_proposal(
    qtbot: QtBot, scicat: SciCat, account: dict[str, str], proposal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (1, 2):
        scicat.create_dataset(scan(number, time.time(), proposal=proposal))
    for name in ("SCIZOO_SCICAT_USERNAME", "SCIZOO_SCICAT_PASSWORD"):
        monkeypatch.setenv(name, account[name])
    panel = ScanLogPanel()
    qtbot.addWidget(panel)
    assert panel.scicat is None
    panel.setProperty("proposal", proposal)
    panel.setProperty("url", account["SCIZOO_SCICAT_URL"])
    qtbot.waitUntil(lambda: panel.scans.rowCount() == 2)
    assert (panel.property("url"), panel.property("proposal")) == (account["SCIZOO_SCICAT_URL"], proposal)
    panel.close()


def test_the_beamline_of_the_columns_can_be_set(
    qtbot: QtBot, scicat: SciCat, account: dict[str, str], proposal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    scicat.create_dataset(scan(1, time.time(), proposal=proposal))  # of cosaxs
    for name, value in (account | {"SCIZOO_BEAMLINE": "femtomax"}).items():
        monkeypatch.setenv(name, value)
    panel = ScanLogPanel()
    qtbot.addWidget(panel)
    columns = panel.columns
    qtbot.waitUntil(lambda: columns.available.beamline == "cosaxs")
    columns.menu.aboutToShow.emit()
    assert "Layouts of femtomax" in [action.text() for action in columns.menu.actions()]
    panel.close()


def test_in_qt_designer_it_makes_no_call(
    qtbot: QtBot, account: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SCIZOO_SCICAT_URL", account["SCIZOO_SCICAT_URL"])
    panel = ScanLogPanel(designMode=True)
    qtbot.addWidget(panel)
    assert panel.scicat is None
    assert panel.getQtDesignerPluginInfo()["module"] == "taurus_widgets.panel"


def test_a_removed_panel_reads_no_more(qtbot: QtBot, account: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in account.items():
        monkeypatch.setenv(name, value)
    before = set(threading.enumerate())
    dock = Qt.QDockWidget()
    dock.setWidget(ScanLogPanel())
    dock.show()
    dock.setAttribute(Qt.Qt.WA_DeleteOnClose)  # like TaurusGui.removePanel
    began = set(threading.enumerate()) - before
    assert "SciCat" in {thread.name for thread in began}
    with qtbot.waitSignal(dock.destroyed):
        dock.close()
    qtbot.waitUntil(lambda: not any(thread.is_alive() for thread in began))
