"""SciFishRecorder: records each Sardana scan as a dataset.

Enable it with `senv DataRecorder "['SciFishRecorder']"`, with this folder in the MacroServer's
RecorderPath. Sardana does not shield a scan from its recorders (a raise at the start or the end
breaks it, one in a continuous scan hangs it forever), so every method here catches all.
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable
from typing import Any

from sardana.macroserver.msexception import UnknownEnv
from sardana.macroserver.scan.recorder import DataRecorder
from sardana.taurus.core.tango.sardana.pool import InterruptException
from taurus.core.util.log import Logger

__all__ = ["SciFishRecorder"]

try:
    from scifish.message.identity import scan_uuid
    from scifish.recording.recorded_scans import RecordedScan, recorded_scans
    from scifish.recording.sardana_options import OPTIONS_VARIABLE, options_from
    from scifish.recording.sardana_scan import SardanaScan
    from scifish.recording.session import recording_session, warm_up

    # A MacroServer loads this file at its start: datasets that a crash left open are ended then.
    warm_up()
    _unusable = ""
except Exception as _error:  # noqa: BLE001 - a recorder that cannot be loaded makes every scan fail
    _unusable = f"SciFish cannot be loaded: {type(_error).__name__}: {_error}"

# sardana.macroserver.scan.scandata.ScanEndStatus
STATUS_BY_END = {0: "completed", 1: "stopped", 2: "aborted", 3: "failed"}

RECORD_DATA_TYPE = "scifish"
"""The type of the record data that it sends by its Door at the start and the end of a scan: the uuid of the dataset.

Sardana's own clients ignore types that they do not know. A scan log shows the scan at once.
"""

SPOILT = (
    "timescan and the continuous scans do not work any more with this measurement group: a scan was aborted "
    "while it was starting, and Sardana cannot recover from this. Restart the MacroServer. Until then step scans and "
    "other groups work"
)
"""The warning at a scan that Sardana could not start for this reason: https://github.com/sardana-org/sardana/pull/701."""

_open: dict[str, list[SciFishRecorder]] = {}
"""The recorders of the scans that run at each Door, outermost first: a hook of a scan may run another scan."""


def _never_raises(what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Turn an exception into a warning that begins with `what`."""

    def decorated(method: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(method)
        def wrapper(self: SciFishRecorder, *args: Any, **more: Any) -> None:
            try:
                method(self, *args, **more)
            except InterruptException:
                raise  # the user's Ctrl-C must reach the macro
            except Exception as error:  # noqa: BLE001 - see above
                self.debug("in %s", method.__name__, exc_info=True)
                self._warning = f"{what}: {type(error).__name__}: {error}"

        return wrapper

    return decorated


class SciFishRecorder(DataRecorder):
    """Passes the start, the points and the end of a scan to SciFish, without waiting."""

    def __init__(self, macro: Any = None, **_: Any) -> None:
        DataRecorder.__init__(self)
        self._macro = macro
        self._session: Any = None
        self._uuid = ""
        self._recordlist: Any = None
        self._dataset: Any = None
        self._scan: Any = None
        self._has_ended = False
        self._early_custom_data: list[tuple[str, Any]] = []
        self._mistakes: list[str] = []
        self._warning = _unusable
        self._server = self._door = ""
        self._options: Any = None
        if not self._warning:
            self._read_macro()

    @_never_raises("the metadata of this scan are not recorded")
    def _read_macro(self) -> None:
        # In the constructor, not later: methods of a macro raise after the user has stopped it.
        self._server, self._door = self._macro.getMacroServer().full_name, self._macro.getDoorName()
        try:
            given = self._macro.getEnv(OPTIONS_VARIABLE)
        except UnknownEnv:
            given = None
        self._options, self._mistakes = options_from(given)

    def _startRecordList(self, recordlist: Any) -> None:
        try:
            if self._options is not None and self._options.enabled:
                self._begin(recordlist)
            self._show_warnings()
        except InterruptException:  # an abort may come at any moment
            # Sardana does not call `_endRecordList` then. The dataset may be on disk, but not yet known to this object.
            dataset = self._dataset or (self._session.recent(self._uuid) if self._session is not None else None)
            if dataset is not None:
                _retry_if_interrupted(lambda: dataset.end("aborted"))
                self._send_record_data(status="aborted", endts=time.time())
            raise

    @_never_raises("the metadata of this scan are not recorded")
    def _begin(self, recordlist: Any) -> None:
        session = self._session = recording_session()
        running = _open.setdefault(self._door, [])
        for other in [other for other in running if not _is_running(other._macro)]:
            running.remove(other)
            other._end_abandoned()
        self._recordlist = recordlist
        environment = recordlist.getEnviron()
        uuid = self._uuid = scan_uuid(self._server, environment["serialno"], environment["startts"])
        self._scan = SardanaScan(environment, self._options)
        for name, value in self._early_custom_data:
            self._scan.add_custom(name, value)
        self._mistakes += self._scan.mistakes()
        latest = self._latest if _is_running(self._macro) else self._scan.latest
        self._dataset = session.begin(self._scan.fields(), uuid, environment["startts"], latest=latest)
        running.append(self)
        self._warning = session.trouble()
        self._send_record_data(
            status="running",
            serialno=int(environment["serialno"]),
            startts=float(environment["startts"]),
            title=str(environment["title"]),
        )

    @_never_raises("the results of this scan are not complete")
    def _writeRecord(self, record: Any) -> None:
        # In a continuous scan another thread calls this.
        if self._dataset is not None:
            self._dataset.point()
            self._scan.point(record.data)

    def _addCustomData(self, value: Any, name: str, **_: Any) -> None:
        self._add(name, value)
        if self._has_ended:
            self._show_warnings()

    @_never_raises("custom data are not recorded")
    def _add(self, name: str, value: Any) -> None:
        if self._scan is None:
            self._early_custom_data.append((name, value))
            return
        added = self._scan.add_custom(name, value)
        # Macros may add custom data after the end of a scan, as Sardana's examples do: the message may have been sent.
        if self._has_ended:
            self._dataset.add(added)

    def _endRecordList(self, recordlist: Any) -> None:
        if self._dataset is None:
            return
        _retry_if_interrupted(self._end)
        running = _open.get(self._door, [])
        running[:] = [other for other in running if other is not self]
        self._has_ended = True
        self._show_warnings()

    def _end(self, at: float | None = None) -> None:
        status, fields = "failed", None
        try:
            end = self._recordlist.getEnviron().get("endstatus")
            status = STATUS_BY_END.get(int(3 if end is None else end), "failed")
            if status == "failed" and _is_aborted(self._macro):
                status = "aborted"
            elif end is None and getattr(self._macro, "_stopped", False):
                status = "stopped"  # while it began: Sardana has not ended it
            if status == "failed" and _is_spoilt(sys.exc_info()[1]):
                self._mistakes.append(SPOILT)
            fields = self._scan.fields()
            fields["plot"] = self._scan.plot()
        except InterruptException:
            raise
        except Exception as error:  # noqa: BLE001 - as in `_never_raises`
            self.debug("in _end", exc_info=True)
            self._warning = f"the results of this scan are not complete: {type(error).__name__}: {error}"
        self._dataset.end(status, fields, at)
        self._remember_scan()
        self._send_record_data(status=status, endts=time.time() if at is None else at)

    def _remember_scan(self) -> None:
        """For a comment on it."""
        try:
            environment = self._recordlist.getEnviron()
            serialno, startts = int(environment["serialno"]), float(environment["startts"])
            recorded_scans().add(RecordedScan(serialno, startts, self._uuid, self._door))
        except InterruptException:
            raise
        except Exception:  # noqa: BLE001 - as in `_never_raises`
            self.debug("in _remember_scan", exc_info=True)

    def _latest(self) -> Any:
        """The changed fields; another thread calls this once a second while the dataset is open."""
        if _is_running(self._macro):
            return self._scan.latest()
        self._end_abandoned()
        return None

    def _end_abandoned(self) -> None:
        """End the dataset of a scan whose macro has finished without ending it.

        This happens if another recorder raised an exception, or if the macro was stopped between the ends of two
        recorders: Sardana does not call the remaining ones then.
        """
        self._end(at=self._dataset.last_point)

    def _send_record_data(self, **fields: Any) -> None:
        """Send the dataset's uuid and state to the clients of the Door."""
        try:
            # Not the macro's `sendRecordData`, which raises after the user has stopped the macro.
            self._macro._sendRecordData(
                {"type": RECORD_DATA_TYPE, "data": {"uuid": self._uuid, **fields}}, codec="utf8_json"
            )
        except InterruptException:
            raise
        except Exception:  # noqa: BLE001 - the dataset is recorded anyway
            self.debug("no record data can be sent to the Door", exc_info=True)

    def _show_warnings(self) -> None:
        """Show the warnings at the Door."""
        warnings = [*self._mistakes, self._warning] if self._warning else self._mistakes
        self._mistakes, self._warning = [], ""
        for text in warnings:
            self.error("%s", text)
            try:
                # Not the macro's `warning`, which raises after the user has stopped the macro.
                Logger.warning(self._macro, "SciFish: %s", text)
            except InterruptException:
                raise
            except Exception:  # noqa: BLE001 - the server's log has it
                self.debug("no warning can be sent to the Door", exc_info=True)


def _retry_if_interrupted(work: Callable[[], None]) -> None:
    """Do repeatable work. If the user's Ctrl-C interrupts it, do it again, and then raise the interrupt."""
    try:
        work()
    except InterruptException:
        work()
        raise


def _is_spoilt(error: BaseException | None) -> bool:
    """Whether a scan has failed since its channels are still subscribed for an earlier one (taurus' EventGenerator)."""
    for _ in range(10):  # from what stopped the scan to its cause
        if error is None:
            return False
        if "valueBufferChanged" in str(error) and "already reg. on" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _is_aborted(macro: Any) -> bool:
    """Whether the user has aborted the macro, or one that it has called.

    Sardana raises the abort in the macro's thread, where it may be lost. The aborted motors then make the scan fail,
    which looks like another error. Its executor forgets the abort when the next macro begins at the Door.
    """
    return any(getattr(each, "_aborted", False) for each in (macro, getattr(macro, "_executor", None)))


def _is_running(macro: Any) -> bool:
    """Whether the Door of a macro is executing it."""
    return any(running is macro for running in getattr(getattr(macro, "_executor", None), "_macro_stack", ()))
