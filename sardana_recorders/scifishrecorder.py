"""SciFishRecorder: a Sardana scan becomes a dataset.

Enable it with `senv DataRecorder "['SciFishRecorder']"`, with this folder in the MacroServer's
RecorderPath. Sardana does not shield a scan from its recorders (a raise at the start or the end
breaks it, one in a continuous scan hangs it for ever), so every method here catches all.
"""

from __future__ import annotations

import functools
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
    from scifish.recording.sardana_options import OPTIONS_VARIABLE, options_from
    from scifish.recording.sardana_scan import SardanaScan
    from scifish.recording.session import recording_session, warm_up

    # A MacroServer loads this file when it starts: what a crash left open is ended then.
    warm_up()
    _unusable = ""
except Exception as _error:  # noqa: BLE001 - a recorder that cannot be loaded fails every scan
    _unusable = f"SciFish cannot be loaded: {type(_error).__name__}: {_error}"

# sardana.macroserver.scan.scandata.ScanEndStatus
STATUS_BY_END = {0: "completed", 1: "stopped", 2: "aborted", 3: "failed"}

RECORD_DATA_TYPE = "scifish"
"""The type of what it sends as RecordData of its Door: which dataset a scan is, at its start and again at its end.

Sardana's own clients pass over types that they do not know. A scan log shows the scan by it at once.
"""

_open: dict[str, list[SciFishRecorder]] = {}
"""Those of the scans that run at each Door, outermost first: a scan's hook may run another scan."""


def _never_raises(what: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Make of an exception the warning that `what` went wrong."""

    def decorated(method: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(method)
        def quiet(self: SciFishRecorder, *args: Any, **more: Any) -> None:
            try:
                method(self, *args, **more)
            except InterruptException:
                raise  # the user's Ctrl-C: not ours to swallow
            except Exception as error:  # noqa: BLE001 - see above
                self.debug("in %s", method.__name__, exc_info=True)
                self._warning = f"{what}: {type(error).__name__}: {error}"

        return quiet

    return decorated


class SciFishRecorder(DataRecorder):
    """Hands the begin, the points and the end of a scan to SciFish, and waits for nothing."""

    def __init__(self, macro: Any = None, **_: Any) -> None:
        DataRecorder.__init__(self)
        self._macro = macro
        self._here: Any = None
        self._uuid = ""
        self._recordlist: Any = None
        self._dataset: Any = None
        self._scan: Any = None
        self._is_over = False
        self._early: list[tuple[str, Any]] = []
        self._mistakes: list[str] = []
        self._warning = _unusable
        self._server = self._door = ""
        self._options: Any = None
        if not self._warning:
            self._ask_macro()

    @_never_raises("the metadata of this scan are not recorded")
    def _ask_macro(self) -> None:
        # In the constructor and not later: methods of a macro raise when the user has stopped it.
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
            self._tell()
        except InterruptException:  # an abort comes in the midst of anything
            # Sardana will not call `_endRecordList` then. It may be on disk, and not yet known here.
            dataset = self._dataset or (self._here.recent(self._uuid) if self._here is not None else None)
            if dataset is not None:
                _twice_if_interrupted(lambda: dataset.end("aborted"))
                self._announce(status="aborted", endts=time.time())
            raise

    @_never_raises("the metadata of this scan are not recorded")
    def _begin(self, recordlist: Any) -> None:
        here = self._here = recording_session()
        running = _open.setdefault(self._door, [])
        for left in [left for left in running if not _is_running(left._macro)]:
            running.remove(left)
            left._left_open()
        self._recordlist = recordlist
        environment = recordlist.getEnviron()
        uuid = self._uuid = scan_uuid(self._server, environment["serialno"], environment["startts"])
        self._scan = SardanaScan(environment, self._options)
        for name, value in self._early:
            self._scan.add_custom(name, value)
        self._mistakes += self._scan.mistakes()
        latest = self._latest if _is_running(self._macro) else self._scan.latest
        self._dataset = here.begin(self._scan.fields(), uuid, environment["startts"], latest=latest)
        running.append(self)
        self._warning = here.trouble()
        self._announce(
            status="running",
            serialno=int(environment["serialno"]),
            startts=float(environment["startts"]),
            title=str(environment["title"]),
        )

    @_never_raises("the results of this scan are not complete")
    def _writeRecord(self, record: Any) -> None:
        # In a continuous scan this is another thread than the scan's own.
        if self._dataset is not None:
            self._dataset.point()
            self._scan.point(record.data)

    def _addCustomData(self, value: Any, name: str, **_: Any) -> None:
        self._add(name, value)
        if self._is_over:
            self._tell()

    @_never_raises("custom data are not recorded")
    def _add(self, name: str, value: Any) -> None:
        if self._scan is None:
            self._early.append((name, value))
            return
        added = self._scan.add_custom(name, value)
        # Macros may add to a scan that is over, as those among Sardana's examples do: its message may be on its way.
        if self._is_over:
            self._dataset.add(added)

    def _endRecordList(self, recordlist: Any) -> None:
        if self._dataset is None:
            return
        _twice_if_interrupted(self._end)
        running = _open.get(self._door, [])
        running[:] = [other for other in running if other is not self]
        self._is_over = True
        self._tell()

    def _end(self, at: float | None = None) -> None:
        status, said = "failed", None
        try:
            status = STATUS_BY_END.get(int(self._recordlist.getEnviron().get("endstatus", 3)), "failed")
            if status == "failed" and _is_aborted(self._macro):
                status = "aborted"
            said = self._scan.fields()
            said["plot"] = self._scan.plot()
        except InterruptException:
            raise
        except Exception as error:  # noqa: BLE001 - as in `_never_raises`
            self.debug("in _end", exc_info=True)
            self._warning = f"the results of this scan are not complete: {type(error).__name__}: {error}"
        self._dataset.end(status, said, at)
        self._announce(status=status, endts=time.time() if at is None else at)

    def _latest(self) -> Any:
        """Asked once a second by another thread, while the dataset is open."""
        if _is_running(self._macro):
            return self._scan.latest()
        self._left_open()
        return None

    def _left_open(self) -> None:
        """Its macro is over, and nobody has ended it.

        Another recorder has raised, at its start or at its end, or the macro was stopped between two recorders'
        ends: Sardana then does not call those that are left.
        """
        self._end(at=self._dataset.last_point)

    def _announce(self, **said: Any) -> None:
        """Tell the Door's clients which dataset this is, and how it stands with it."""
        try:
            # Not the macro's own `sendRecordData`: that raises when the user has stopped the macro.
            self._macro._sendRecordData(
                {"type": RECORD_DATA_TYPE, "data": {"uuid": self._uuid, **said}}, codec="utf8_json"
            )
        except InterruptException:
            raise
        except Exception:  # noqa: BLE001 - the dataset is recorded all the same
            self.debug("the Door's clients cannot be told", exc_info=True)

    def _tell(self) -> None:
        """Say what is wrong at the Door."""
        wrong = [*self._mistakes, self._warning] if self._warning else self._mistakes
        self._mistakes, self._warning = [], ""
        for text in wrong:
            self.error("%s", text)
            try:
                # Not the macro's own `warning`: that raises when the user has stopped the macro.
                Logger.warning(self._macro, "SciFish: %s", text)
            except InterruptException:
                raise
            except Exception:  # noqa: BLE001 - the server's log has it
                self.debug("the Door cannot be told", exc_info=True)


def _twice_if_interrupted(work: Callable[[], None]) -> None:
    """Do what can be repeated: the user's Ctrl-C may come in the midst of it, and only then it is let through."""
    try:
        work()
    except InterruptException:
        work()
        raise


def _is_aborted(macro: Any) -> bool:
    """Whether the user has aborted what runs at the macro's Door.

    Sardana raises that in the macro's thread, where it may get lost; what the aborted motors then cost the scan looks
    like a failure of its own.
    """
    return bool(getattr(getattr(macro, "_executor", None), "_aborted", False))


def _is_running(macro: Any) -> bool:
    """Whether a macro is among those that its Door is executing."""
    return any(running is macro for running in getattr(getattr(macro, "_executor", None), "_macro_stack", ()))
