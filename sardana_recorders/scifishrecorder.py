"""SciFishRecorder: a Sardana scan becomes a dataset.

Enable it with `senv DataRecorder "['SciFishRecorder']"`, with this folder in the MacroServer's
RecorderPath. Sardana does not shield a scan from its recorders (a raise at the start or the end
breaks it, one in a continuous scan hangs it for ever), so every method here catches all.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

from sardana.macroserver.scan.recorder import DataRecorder
from sardana.taurus.core.tango.sardana.pool import InterruptException

__all__ = ["SciFishRecorder"]

try:
    from scifish.ids import scan_uuid
    from scifish.station import station, warm_up

    # A MacroServer loads this file when it starts: what a crash left open is ended then.
    warm_up()
    _unusable = ""
except Exception as _error:  # noqa: BLE001 - a recorder that cannot be loaded fails every scan
    _unusable = f"SciFish cannot be loaded: {type(_error).__name__}: {_error}"

# sardana.macroserver.scan.scandata.ScanEndStatus
STATUS = {0: "completed", 1: "stopped", 2: "aborted", 3: "failed"}

FORMATS = {".h5": "HDF5", ".hdf5": "HDF5", ".nxs": "NeXus", ".nx": "NeXus", ".dat": "SPEC", ".spec": "SPEC"}

_open: dict[str, Any] = {}
"""The dataset of the scan that runs at each Door."""


def _never_raises(method: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(method)
    def quiet(self: SciFishRecorder, *args: Any) -> None:
        try:
            method(self, *args)
        except InterruptException:
            raise  # the user's Ctrl-C: not ours to swallow
        except Exception as error:  # noqa: BLE001 - see above
            self.debug("in %s", method.__name__, exc_info=True)
            self._warning = f"the metadata of this scan are not recorded: {type(error).__name__}: {error}"

    return quiet


class SciFishRecorder(DataRecorder):
    """Hands the begin, the points and the end of a scan to SciFish, and waits for nothing."""

    def __init__(self, macro: Any = None, **_: Any) -> None:
        DataRecorder.__init__(self)
        self._macro = macro
        self._dataset: Any = None
        self._warning = _unusable
        self._server = self._door = ""
        try:
            # Here and not later: methods of a macro raise when the user has stopped it.
            self._server, self._door = macro.getMacroServer().full_name, macro.getDoorName()
        except InterruptException:
            raise
        except Exception as error:  # noqa: BLE001 - a constructor that raises fails the scan
            self._warning = f"the metadata of this scan are not recorded: {type(error).__name__}: {error}"

    def _startRecordList(self, recordlist: Any) -> None:
        if not self._warning:
            self._begin(recordlist)
        if not self._warning:
            return
        self.error("%s", self._warning)
        try:
            self._macro.warning("SciFish: %s", self._warning)
        except InterruptException:
            if self._dataset is not None:  # Sardana will not call `_endRecordList` then
                self._dataset.end("stopped")
            raise
        except Exception:  # noqa: BLE001 - the server's log has it
            self.debug("the Door cannot be told", exc_info=True)

    @_never_raises
    def _begin(self, recordlist: Any) -> None:
        here = station()
        left = _open.pop(self._door, None)
        if left is not None:
            # Another recorder raised at its start: Sardana then ends none of them.
            left.end("failed", at=left.seen)
        environment = recordlist.getEnviron()
        uuid = scan_uuid(self._server, environment["serialno"], environment["startts"])
        self._dataset = here.begin(_said(environment), uuid, environment["startts"])
        _open[self._door] = self._dataset
        self._warning = here.trouble()

    @_never_raises
    def _writeRecord(self, record: Any) -> None:
        if self._dataset is not None:
            self._dataset.point()

    @_never_raises
    def _endRecordList(self, recordlist: Any) -> None:
        if self._dataset is None:
            return
        _open.pop(self._door, None)
        status, said = "failed", None
        try:
            environment = recordlist.getEnviron()
            status = STATUS.get(int(environment.get("endstatus", 3)), "failed")
            said = _said(environment)
        finally:
            self._dataset.end(status, said)


def _said(environment: Any) -> dict[str, Any]:
    """The dataset's fields out of the scan's environment."""
    columns = {column.name: column.label for column in environment["datadesc"]}
    files = _files(environment)
    extension = os.path.splitext(files[0])[1].lower() if files else ""
    return {
        "datasetName": environment["title"],
        # Where the files are, even if that is not where PathFixer would have them.
        "sourceFolder": environment.get("ScanDir") if files else "",
        "dataFormat": FORMATS.get(extension, extension.lstrip(".")),
        "files": files,
        "environment": {
            "title": environment["title"],
            "scanID": int(environment["serialno"]),
            "user": str(environment["user"]),
            "detectors": sorted(columns.get(name, name) for name in environment["counters"]),
            "motors": [str(name) for name in environment["ref_moveables"]],
        },
    }


def _files(environment: Any) -> list[str]:
    """The scan files' full paths: ScanFile is a name, a list of names, or nothing."""
    names = environment.get("ScanFile") or []
    folder = environment.get("ScanDir")
    if not folder:
        return []
    return [os.path.join(folder, name) for name in ([names] if isinstance(names, str) else names)]
