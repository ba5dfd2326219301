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
from sardana.taurus.core.tango.sardana.pool import ReleaseException

from scifish.ids import scan_uuid
from scifish.station import Dataset, station, warm_up

__all__ = ["SciFishRecorder"]

# A MacroServer loads this file when it starts: what a crash left open is ended then.
warm_up()

# sardana.macroserver.scan.scandata.ScanEndStatus
STATUS = {0: "completed", 1: "stopped", 2: "aborted", 3: "failed"}

FORMATS = {".h5": "HDF5", ".hdf5": "HDF5", ".nxs": "NeXus", ".nx": "NeXus", ".dat": "SPEC", ".spec": "SPEC"}


def _never_raises(method: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(method)
    def quiet(self: SciFishRecorder, *args: Any) -> None:
        try:
            method(self, *args)
        except ReleaseException:
            raise  # the user's third Ctrl-C, thrown once into this thread: not ours to swallow
        except Exception as error:  # noqa: BLE001 - see above
            self.error("the metadata of this scan are not recorded: %s: %s", type(error).__name__, error)
            self.debug("in %s", method.__name__, exc_info=True)

    return quiet


class SciFishRecorder(DataRecorder):
    """Hands the begin, the points and the end of a scan to SciFish, and waits for nothing."""

    def __init__(self, macro: Any = None, **_: Any) -> None:
        DataRecorder.__init__(self)
        self._macro = macro
        self._dataset: Dataset | None = None

    @_never_raises
    def _startRecordList(self, recordlist: Any) -> None:
        environment = recordlist.getEnviron()
        here = station()
        server = self._macro.getMacroServer().full_name
        uuid = scan_uuid(server, environment["serialno"], environment["startts"])
        self._dataset = here.begin(_given(environment), uuid, environment["startts"])
        trouble = here.waiting()
        if trouble:
            self._macro.warning("SciFish: metadata are kept on this machine until Kafka takes them (%s)", trouble)

    @_never_raises
    def _writeRecord(self, record: Any) -> None:
        if self._dataset is not None:
            self._dataset.points += 1

    @_never_raises
    def _endRecordList(self, recordlist: Any) -> None:
        if self._dataset is not None:
            environment = recordlist.getEnviron()
            self._dataset.end(STATUS.get(int(environment.get("endstatus", 3)), "failed"), _given(environment))


def _given(environment: Any) -> dict[str, Any]:
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
