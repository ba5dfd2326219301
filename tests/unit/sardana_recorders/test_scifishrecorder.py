"""The recorder when everything fails: no exception of ours may reach Sardana."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from scifish.spool.database import OpenDataset, Spool
from tests.spools import adopted
from tests.waiting import eventually

WARM = """
import json, os, sys
import sardana.macroserver.msexception
import sardana.macroserver.scan.recorder
import sardana.taurus.core.tango.sardana.pool
import taurus.core.util.log

for line in sys.stdin:
    process = os.fork()
    if not process:
        break
    _, status = os.waitpid(process, 0)
    print(os.waitstatus_to_exitcode(status), flush=True)
else:
    sys.exit()
asked = json.loads(line)
for number, path in enumerate((os.devnull, asked["out"], asked["errors"])):
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.dup2(file, number)
    os.close(file)
os.environ["XDG_STATE_HOME"] = asked["state"]
sys.executable = asked["python"]
exec(asked["program"], {"__name__": "__main__"})
"""
"""A process that has loaded Sardana, which takes long; of it each case has a fork, which ends as any process does."""

SCAN = """
import logging, sys, types
{prepare}
from sardana.macroserver.msexception import UnknownEnv
from sardana_recorders.scifishrecorder import SciFishRecorder
from taurus.core.util.log import Logger
if "scifish.spool.executor" in sys.modules:  # else SciFish cannot be loaded
    sys.modules["scifish.spool.executor"].DISK_WAIT_SECONDS = 60.0  # no warning of a slow disk on a busy machine

class Macro(Logger):
    warnings = []
    environment = {{}}
    def __init__(self):
        Logger.__init__(self, "macro")
        handler = logging.Handler()
        handler.emit = lambda record: self.warnings.append(record.getMessage())
        self.addLogHandler(handler)
    def getMacroServer(self): return type("Server", (), {{"full_name": "macroserver/x/1"}})
    def getDoorName(self): return "door/x/1"
    def getEnv(self, name):
        try:
            return self.environment[name]
        except KeyError:
            raise UnknownEnv(name)

class Records:
    def getEnviron(self):
        return {environment}

macro, records = Macro(), Records()
{option}
for _ in range(2):
    recorder = SciFishRecorder(macro=macro)
    {between}
    recorder.startRecordList(records)
    recorder.writeRecord({record})
    {end}
print(macro.warnings)
"""

END = "recorder.endRecordList(records)"
RECORD = "types.SimpleNamespace(data={'point_nb': 0})"

ENVIRONMENT = {
    "serialno": 1,
    "startts": 1_700_000_000.5,
    "title": "ascan",
    "user": "u",
    "datadesc": [],
    "counters": [],
    "ref_moveables": [],
    "endstatus": 0,
}

COUNTED = f"{{**{ENVIRONMENT!r}, 'serialno': next(number)}}"


@pytest.fixture(scope="module")
def warm() -> Iterator[subprocess.Popen[str]]:
    environment = {"TANGO_HOST": "127.0.0.1:9", "PATH": "/usr/bin:/bin"}
    with subprocess.Popen(
        [sys.executable, "-c", WARM], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield process


class Scan(Protocol):
    """The warnings of two successive scans at the Door, in a process of their own: a process has one recorder."""

    def __call__(
        self,
        prepare: str = "",
        environment: Any = ENVIRONMENT,
        end: str = END,
        between: str = "pass",
        option: str = "",
        record: str = RECORD,
        companion: bool = False,
    ) -> str: ...


@pytest.fixture
def scan(warm: subprocess.Popen[str], tmp_path: Path) -> Scan:
    # Replaces Python in tests without the companion: it runs until the program closes the pipe.
    idle = tmp_path / "python-idle"
    idle.write_text("#!/bin/sh\nexec cat > /dev/null\n")
    idle.chmod(0o700)

    def scan(
        prepare: str = "",
        environment: Any = ENVIRONMENT,
        end: str = END,
        between: str = "pass",
        option: str = "",
        record: str = RECORD,
        companion: bool = False,
    ) -> str:
        parts = {"prepare": prepare, "environment": environment, "end": end, "between": between}
        program = SCAN.format(**parts, option=option, record=record)
        return _run(warm, tmp_path, program, sys.executable if companion else str(idle))

    return scan


def _run(warm: subprocess.Popen[str], folder: Path, program: str, python: str = sys.executable) -> str:
    """Run the scans to the end of the process, and return its output."""
    out, errors = folder / "out", folder / "errors"
    asked = {"out": str(out), "errors": str(errors), "state": str(folder / "state"), "python": python}
    assert warm.stdin is not None
    assert warm.stdout is not None
    print(json.dumps({**asked, "program": program}), file=warm.stdin, flush=True)
    status = warm.stdout.readline()
    assert status == "0\n", errors.read_text()
    return out.read_text()


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        ("sys.modules['yaml'] = None", "SciFish cannot be loaded"),
        (
            "import pathlib, scifish.settings as s, scifish.settings.paths as p; "
            "s.state_directory = p.state_directory = lambda: pathlib.Path('/proc/none')",
            "no spool can be created in",
        ),
    ],
    ids=["a package is broken", "no folder can be written"],
)
def test_a_missing_package_is_reported_at_the_door(scan: Scan, prepare: str, says: str) -> None:
    assert scan(prepare).count(says) == 2


def test_a_malformed_environment_is_reported_at_the_door(scan: Scan) -> None:
    assert "the metadata of this scan are not recorded: KeyError" in scan(environment={"serialno": 1})


def test_without_a_tango_database_a_scan_waits_in_the_spool(scan: Scan, tmp_path: Path) -> None:
    scan(companion=True)
    (left,) = _left_open(tmp_path)  # both scans have the same number and start, so they are one dataset
    assert left.record.ending is not None
    assert (left.record.ending["status"], left.record.ending["points"]) == ("completed", 1)


def test_a_scan_that_another_recorder_broke_is_ended_by_the_next_one(scan: Scan, tmp_path: Path) -> None:
    """Sardana calls no recorder's end if one raises an exception at the start."""
    begun = f"{{name: value for name, value in {COUNTED}.items() if name != 'endstatus'}}"
    scan("import itertools; number = itertools.count()", environment=begun, end="pass")
    first, second = _left_open(tmp_path)
    assert first.record.ending is not None
    assert (first.record.ending["status"], first.record.ending["points"]) == ("failed", 1)
    assert second.record.ending is None


STOPPED = """
    from sardana.taurus.core.tango.sardana.pool import StopException
    def stop(*_): raise StopException("stopped before calling this")
    Macro.getMacroServer = Macro.getDoorName = Macro.getEnv = Macro.warning = stop
    recorder.startRecordList(records)
    sys.exit(0)
"""


def test_ctrl_c_while_a_scan_starts_loses_no_dataset(scan: Scan, tmp_path: Path) -> None:
    """All methods of a macro raise then, so the constructor reads what the start needs."""
    scan(between=STOPPED.strip())
    (left,) = _left_open(tmp_path)
    assert left.record.given["datasetName"] == "ascan"


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ("{'plto': False}", "SciFish: the variable SciFish: there is no option 'plto'; did you mean 'plot'?"),
        ("{'plot': 'no'}", "SciFish: the variable SciFish: plot is 'no'; it must be True or False"),
        ("'plot off'", "write for example: senv SciFish"),
        ("{'plot_counter': 'ct07'}", "SciFish: the variable SciFish: this scan has no 'ct07' to plot; there are: none"),
    ],
)
def test_a_mistake_in_the_options_is_reported_at_the_door(scan: Scan, tmp_path: Path, given: str, says: str) -> None:
    assert scan(option=f"macro.environment['SciFish'] = {given}").count(says) == 2
    (left,) = _left_open(tmp_path)
    assert left.record.ending is not None  # the scan is still recorded


def test_a_recorder_that_is_switched_off_records_nothing(scan: Scan, tmp_path: Path) -> None:
    """Its process still has a spool, to end what a crash left open; without a database, a dataset would stay open."""
    assert scan(option="macro.environment['SciFish'] = {'enabled': False}", companion=True) == "[]\n"
    assert eventually(lambda: _files(tmp_path) == [])


ENDS_WHILE_IT_STARTS = """
import threading, time
import scifish.recording.session
really = scifish.recording.session.CompanionProcess
def link(*given):
    threading.main_thread().join()
    time.sleep(0.5)  # a slow disk
    return really(*given)
scifish.recording.session.CompanionProcess = link
scifish.recording.session.CLOSE_TIMEOUT_SECONDS = 60.0
scifish.recording.session.warm_up()
while not list(scifish.recording.session.state_directory().rglob("*.spool")):
    time.sleep(0.01)
"""

ENDS_BEFORE_ITS_COMPANION = """
import scifish.recording.companion_process
really = scifish.recording.companion_process.CompanionProcess._start
def start(self):
    self._closing.wait()
    return really(self)
scifish.recording.companion_process.CompanionProcess._start = start
from scifish.recording.session import recording_session
recording_session()
"""


HAS_NO_COMPANION = """
import scifish.recording.companion_process
scifish.recording.companion_process._python = lambda: "/no/such/python"
from scifish.recording.session import recording_session
recording_session()
"""


@pytest.mark.parametrize(
    "program",
    [ENDS_WHILE_IT_STARTS, ENDS_BEFORE_ITS_COMPANION, HAS_NO_COMPANION],
    ids=["before its session is made", "before its companion is there", "without a companion"],
)
def test_a_process_that_ends_early_leaves_no_empty_spool(
    warm: subprocess.Popen[str], tmp_path: Path, program: str
) -> None:
    _run(warm, tmp_path, program)
    assert eventually(lambda: _files(tmp_path) == [])


def _files(tmp_path: Path) -> list[Path]:
    return list((tmp_path / "state" / "scifish" / "spool").iterdir())


def test_a_malformed_point_is_reported_at_the_end_and_counted(scan: Scan, tmp_path: Path) -> None:
    warnings = scan(record="{'point_nb': 0}")
    assert warnings.count("the results of this scan are not complete: AttributeError") == 2
    (left,) = _left_open(tmp_path)
    assert left.record.ending is not None
    assert left.record.ending["points"] == 1


ABORTED = """
    from sardana.taurus.core.tango.sardana.pool import AbortException
    def abort(*_): raise AbortException()
    recorder.error = abort
    try:
        recorder.startRecordList(records)
    except AbortException:
        sys.exit(0)
"""


def test_an_abort_while_a_scan_starts_ends_its_dataset(scan: Scan, tmp_path: Path) -> None:
    """It may be raised anywhere; Sardana then calls no recorder's end."""
    scan(between=ABORTED.strip(), option="macro.environment['SciFish'] = {'plto': 1}")
    (left,) = _left_open(tmp_path)
    assert left.record.ending is not None
    assert left.record.ending["status"] == "aborted"


@pytest.mark.parametrize(("aborted", "status"), [(True, "aborted"), (False, "failed")])
def test_an_error_caused_by_an_abort_is_an_abort(scan: Scan, tmp_path: Path, aborted: bool, status: str) -> None:
    """The end of an aborted motion is an error of the scan if it comes before Sardana's exception."""
    option = f"macro._executor = types.SimpleNamespace(_aborted={aborted}, _macro_stack=[macro])"
    scan(environment={**ENVIRONMENT, "endstatus": 3}, option=option)
    (left,) = _left_open(tmp_path)
    assert left.record.ending is not None
    assert left.record.ending["status"] == status


ABORTED_BEGIN = """
    from sardana.taurus.core.tango.sardana.pool import AbortException
    from scifish.recording.session import recording_session
    keep = recording_session()._executor.submit_and_wait
    def abort(work):
        keep(work)
        recording_session()._executor.submit_and_wait = keep
        raise AbortException()
    recording_session()._executor.submit_and_wait = abort
    try:
        recorder.startRecordList(records)
    except AbortException:
        sys.exit(0)
"""


def test_an_abort_while_a_start_waits_for_the_disk_ends_its_dataset(scan: Scan, tmp_path: Path) -> None:
    scan(between=ABORTED_BEGIN.strip())
    (left,) = _left_open(tmp_path)
    assert left.record.ending is not None
    assert left.record.ending["status"] == "aborted"


ABORTED_END = """
    from sardana.taurus.core.tango.sardana.pool import AbortException
    from scifish.recording.session import recording_session
    def abort(*given):
        {owner}.{name} = really
        raise AbortException()
    really, {owner}.{name} = {owner}.{name}, abort
    try:
        recorder.endRecordList(records)
    except AbortException:
        sys.exit(0)
"""


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        ("records", "getEnviron"),
        ("recorder._scan", "plot"),
        ("recorder._dataset", "end"),
        ("recording_session()._executor", "submit_and_wait"),
        ("recording_session()._companion", "send"),
    ],
)
def test_an_abort_during_an_end_leaves_nothing_open(scan: Scan, tmp_path: Path, owner: str, name: str) -> None:
    end = ABORTED_END.format(owner=owner, name=name)
    scan(end=end.strip())
    (left,) = _left_open(tmp_path)
    assert left.record.ending is not None
    assert (left.record.ending["status"], left.record.ending["points"]) == ("completed", 1)


LEFT = """
import scifish.recording.session, time
scifish.recording.session.PROGRESS_SECONDS = 0.02
looks, latest = [], SciFishRecorder._latest
def look(self):
    found = latest(self)
    looks.append(found)
    return found
SciFishRecorder._latest = look
stack = [macro]
macro._executor = types.SimpleNamespace(_macro_stack=stack)
recorder = SciFishRecorder(macro=macro)
recorder.startRecordList(records)
recorder.writeRecord(types.SimpleNamespace(data={'point_nb': 0}))
so_far = len(looks)
while len(looks) < so_far + 3:
    time.sleep(0.01)
assert recorder._dataset.record.ending is None
stack.clear()
while recorder._dataset.record.ending is None:
    time.sleep(0.01)
assert recorder._scan is not None
sys.exit(0)
"""


def test_a_scan_stopped_between_the_ends_of_two_recorders_is_ended_with_its_macro(scan: Scan, tmp_path: Path) -> None:
    scan(option=LEFT)
    (left,) = _left_open(tmp_path)
    assert left.record.ending is not None
    assert (left.record.ending["status"], left.record.ending["points"]) == ("completed", 1)


def test_custom_data_of_any_kind_and_at_any_time_are_kept(scan: Scan, tmp_path: Path) -> None:
    between = "recorder.addCustomData('early', 'a', nxpath='x'); recorder.addCustomData(object, 3)"
    custom = """recorder.addCustomData([1.5] * 1000, "b"); recorder.addCustomData({'value': 2, 'unit': 'mm'}, 'value')
    """
    assert scan(between=between, end=custom + END) == "[]\n"
    (left,) = _left_open(tmp_path)
    found = left.record.given["scientificMetadata"]["Custom data"]
    assert (found["a"]["value"], found["3"]["value"]) == ("early", "<class 'object'>")
    assert (found["b"]["shape"], found["b"]["mean"]) == ([1000], 1.5)
    assert (found["value "]["value"], found["value "]["unit"]) == (2, "mm")


def test_custom_data_before_a_scan_that_cannot_be_recorded_do_no_harm(scan: Scan) -> None:
    early = "recorder.addCustomData(1, 'a')"
    assert scan("sys.modules['yaml'] = None", between=early).count("cannot be loaded") == 2


def test_custom_data_that_cannot_be_sent_after_a_scan_are_reported_at_the_door(scan: Scan) -> None:
    warnings = scan(end=f"{END}; recorder.addCustomData(1, 'a')")
    assert warnings.count("custom data are not recorded: NotRecorded: the beamline is not known") == 2


def test_a_scan_in_the_hook_of_another_leaves_that_one_open(scan: Scan, tmp_path: Path) -> None:
    running = "macro._executor = types.SimpleNamespace(_macro_stack=[macro])"
    scan("import itertools; number = itertools.count()", environment=COUNTED, end="pass", option=running)
    assert [left.record.ending for left in _left_open(tmp_path)] == [None, None]


def _left_open(tmp_path: Path) -> list[OpenDataset]:
    # Its companion exits when it sees that the program is gone.
    left: list[Spool] = []
    assert eventually(lambda: bool(left.extend(adopted(tmp_path / "state" / "scifish" / "spool")) or left))
    (spool,) = left
    found = spool.open_datasets()
    spool.close()
    return found
