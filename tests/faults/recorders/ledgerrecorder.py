"""Two Sardana recorders that note a scan, one before SciFishRecorder has been called and one after.

`senv DataRecorder "['LedgerBefore', 'SciFishRecorder', 'LedgerAfter']"`; they are called in this order.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from sardana.macroserver.scan.recorder import DataRecorder

from scifish.message.identity import scan_uuid
from tests.faults.ledger import SUFFIX, Ledger, Said

# sardana.macroserver.scan.scandata.ScanEndStatus
STATUS = {0: "completed", 1: "stopped", 2: "aborted", 3: "failed"}

_ledger = Ledger(Path(os.environ["SCIFISH_FAULTS_LEDGERS"]) / f"sardana{SUFFIX}")


class _LedgerRecorder(DataRecorder):
    def __init__(self, macro: Any = None, **_: Any) -> None:
        DataRecorder.__init__(self)
        self._server = macro.getMacroServer().full_name
        self._points = 0

    def _writeRecord(self, record: Any) -> None:
        self._points += 1

    def _note(self, about: str, recordlist: Any, **fields: Any) -> None:
        scan = recordlist.getEnviron()
        uuid = scan_uuid(self._server, scan["serialno"], scan["startts"])
        _ledger.note(about, uuid=uuid, name=scan["title"], scan=True, **fields)


class LedgerBefore(_LedgerRecorder):
    def _startRecordList(self, recordlist: Any) -> None:
        self._note("starting", recordlist)

    def _endRecordList(self, recordlist: Any) -> None:
        status = STATUS[int(recordlist.getEnviron()["endstatus"])]
        self._note("ending", recordlist, status=status, points=self._points)


class LedgerAfter(_LedgerRecorder):
    def _startRecordList(self, recordlist: Any) -> None:
        self._note("started", recordlist, said=_said(recordlist.getEnviron()))

    def _endRecordList(self, recordlist: Any) -> None:
        self._note("ended", recordlist, points=self._points)


def _said(scan: Any) -> Said:
    """What Sardana and the user's `setproposal` and `setsample` say of a scan. Sardana's file grows: it has no size."""
    folder, name = scan["ScanDir"], scan["ScanFile"]
    return {
        "fields": {"proposalId": "20250001", "sampleId": "fibre_A", "sourceFolder": folder},
        "environment": {"title": scan["title"], "scanID": int(scan["serialno"]), "user": str(scan["user"])},
        "files": {os.path.join(folder, each): None for each in ([name] if isinstance(name, str) else name)},
    }
