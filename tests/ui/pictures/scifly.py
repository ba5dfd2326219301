"""The picture of SciFly with a mistake in its properties: `python -m tests.ui.pictures.scifly [FILE]`.

What `taurus device NAME` shows, of a real SciFly that has recorded what two analysers have written, and whose
PathFixer has stopped since.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # before Qt is loaded

import tango

from deploy.demo.analysers import write_prodigy, write_ses
from deploy.demo.stack import PATHFIXER, SCIFLY
from tests.servers.tango_system import control_system
from tests.ui.pictures.device_panel import drawPanel
from tests.waiting import eventually

PROFILES = ("ses", "prodigy", "{name: frames, patern: 'eiger/*.h5', group: folder, settle: 10}")


def main(file: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="demo-") as folder, control_system(Path(folder)) as stack:
        pathfixer = stack.start_pathfixer()
        stack.start_scidog(stack.start_mock_kafka())
        stack.start_scifly(Profiles=PROFILES)
        proxy, scifly = tango.DeviceProxy(PATHFIXER), tango.DeviceProxy(SCIFLY)
        proxy.Proposal, proxy.Sample = "20250001", "fibre_A"
        eventually(lambda: scifly.Sample == "fibre_A")
        write_ses(Path(proxy.SamplePath), "fibre_0001", pace=0.0)
        write_prodigy(Path(proxy.SamplePath), "fibre_survey", pace=0.0)
        eventually(lambda: scifly.Recorded == 2)
        pathfixer.kill()
        time.sleep(2.0)  # it is asked twice a second
        drawPanel(SCIFLY, file)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/pictures/scifly-alarm.png"))
