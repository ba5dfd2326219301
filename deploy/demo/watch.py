r"""The scan log, drawn offscreen: it notes when each row was shown, and saves a picture at the end.

    python -m deploy.demo.watch NOTES PICTURE

The catalogue is that of SCIZOO_SCICAT_URL, SCIZOO_SCICAT_USERNAME and SCIZOO_SCICAT_PASSWORD. Each line of NOTES is
`{"pid", "status", "time"}`, with the time in seconds since 1970. On SIGTERM it saves the PICTURE and exits.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

from taurus.external.qt import Qt

from ingest.scicat import SciCat
from taurus_widgets.qt.application import makeApplication
from taurus_widgets.scanlog import ScanLog

SIZE = (1600, 320)
COLUMNS = ("Machine/Ring current", "Sample environment/Sample temperature")


def main() -> int:
    notes, picture = sys.argv[1:3]
    app = makeApplication()
    widget = ScanLog()
    for column in COLUMNS:
        widget.addColumn(column)
    widget.resize(*SIZE)
    widget.show()
    with open(notes, "a", encoding="utf-8") as file:

        def note(pid: str, status: str) -> None:
            print(json.dumps({"pid": pid, "status": status, "time": time.time()}), file=file, flush=True)

        widget.rowShown.connect(note)
        widget.setCatalogue(
            SciCat(
                os.environ["SCIZOO_SCICAT_URL"],
                os.environ["SCIZOO_SCICAT_USERNAME"],
                os.environ["SCIZOO_SCICAT_PASSWORD"],
            )
        )
        signal.signal(signal.SIGTERM, lambda *_: app.quit())
        # Python handles a signal only when it runs next, so this timer lets it run.
        turn = Qt.QTimer()
        turn.timeout.connect(lambda: None)
        turn.start(50)
        print("watching", flush=True)
        app.exec_()
        widget.grab().save(picture)
        widget.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
