"""A recorder for the tests of scans."""

import time

from sardana.macroserver.scan.recorder import DataRecorder

PATIENCE = 60.0
"""Seconds; of a test that does not end the scan."""


class EndlessStart(DataRecorder):
    """Its start lasts until the user ends the scan: of such a scan Sardana calls no recorder's end."""

    def __init__(self, macro=None, **_):
        super().__init__()
        self._macro = macro

    def _startRecordList(self, recordlist):
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self._macro.checkPoint()
            time.sleep(0.01)
