"""The picture of SciDog with a mistake in its properties: `python -m tests.ui.pictures.scidog [FILE]`.

What `taurus device NAME` shows, of a real SciDog with the demo's configurations.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # before Qt is loaded

import tango

from deploy.demo.beamline import CONFIGURATIONS
from deploy.demo.stack import SCIDOG
from tests.servers.tango_system import control_system
from tests.ui.pictures.device_panel import drawPanel

MISTAKES = (
    "- {name: Cryostream, source: b311a-e/dia/cryo-01, unit: K, group: Sample environment}",
    "- {name: Beam stop, source: b311a-e/dia/bst-01/State, grup: Diagnostics}",
)


def main(file: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, control_system(Path(folder)) as stack:
        stack.start_beamline()
        stack.start_pathfixer()
        stack.start_scidog("kafka.example.org:9092")
        stack.db.put_device_property(SCIDOG, {"Config.saxs": [*CONFIGURATIONS["saxs"], *MISTAKES]})
        tango.DeviceProxy(SCIDOG).Reload()
        drawPanel(SCIDOG, file)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/pictures/scidog-alarm.png"))
