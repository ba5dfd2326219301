"""The picture of the device SciCow in ALARM: `python -m tests.ui.pictures.scicow [FILE]`.

What `taurus device NAME` shows, of a real device that asks what a SciCow serves; only the consumer is made up.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # before Qt is loaded

from ingest.scicow.monitoring.server import MonitoringServer
from ingest.scicow.monitoring.status import ReplicaStatus
from ingest.scicow.pipeline.counters import Progress
from ingest.scicow.settings import HttpSettings
from tests.servers.kafka import free_ports
from tests.servers.tango_system import control_system
from tests.ui.pictures.device_panel import drawPanel

DEVICE = "b311a-e/ctl/scicow-01"


class Consumer:
    last_poll = time.monotonic()
    assigned = True
    stopping = False

    def lag_by_partition(self) -> dict[tuple[str, int], tuple[int, float]]:
        return {("scifish-cosaxs", 0): (41, 914.0), ("scifish-femtomax", 0): (0, 0.0)}


def main(file: Path) -> None:
    progress = Progress(held="SciCat does not answer")
    progress.count("scifish-cosaxs", "ingested", 2118)
    progress.count("scifish-cosaxs", "retried", 12)
    server = MonitoringServer(HttpSettings(port=free_ports(1)[0]), ReplicaStatus(Consumer(), progress, lambda: 3))
    with tempfile.TemporaryDirectory() as folder, control_system(Path(folder)) as stack, server:
        command = [sys.executable, "-m", "tango_servers.SciCow"]
        stack.start_server("SciCow/demo", {DEVICE: ("SciCow", {"Urls": [server.url]})}, command)
        drawPanel(DEVICE, file)


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "build/pictures/scicow-alarm.png"))
