"""A device as Taurus' own panel shows it, drawn offscreen."""

from __future__ import annotations

import time
from pathlib import Path

from taurus.qt.qtgui.panel import TaurusDevicePanel

from taurus_widgets.qt.application import makeApplication


def drawPanel(device: str, file: Path) -> None:
    """Draw the panel into this file, whose folder is created."""
    app = makeApplication(dark=False)
    panel = TaurusDevicePanel()
    panel.setModel(device)
    panel.resize(900, 640)
    panel.show()
    end = time.monotonic() + 3.0  # for what Taurus reads in the background
    while time.monotonic() < end:
        app.processEvents()
        time.sleep(0.01)
    file.parent.mkdir(parents=True, exist_ok=True)
    panel.grab().save(str(file))
    panel.setModel(None)
    panel.close()
