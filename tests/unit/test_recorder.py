"""The recorder when all is wrong: no exception of ours may reach Sardana."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from scifish.spool import OpenDataset, Spool, orphans
from tests.tango_system import eventually

SCAN = """
import sys
{prepare}
from sardana_recorders.scifishrecorder import SciFishRecorder

class Macro:
    said = []
    def getMacroServer(self): return type("Server", (), {{"full_name": "macroserver/x/1"}})
    def getDoorName(self): return "door/x/1"
    def warning(self, text, *values): self.said.append(text % values)

class Records:
    def getEnviron(self):
        return {environment}

macro, records = Macro(), Records()
for _ in range(2):
    recorder = SciFishRecorder(macro=macro)
    {between}
    recorder.startRecordList(records)
    recorder.writeRecord({{"point_nb": 0}})
    {end}
print(macro.said)
"""

END = "recorder.endRecordList(records)"

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


def scan(
    tmp_path: Path, prepare: str = "", environment: Any = ENVIRONMENT, end: str = END, between: str = "pass"
) -> str:
    """What two scans in a row say at the Door, in a process of its own: the recorder is one for a process."""
    program = textwrap.dedent(SCAN).format(prepare=prepare, environment=environment, end=end, between=between)
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={"XDG_STATE_HOME": str(tmp_path / "state"), "TANGO_HOST": "127.0.0.1:9", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        ("sys.modules['yaml'] = None", "SciFish cannot be loaded"),
        (
            "import scifish.settings as s, pathlib; s.state_directory = lambda: pathlib.Path('/proc/none')",
            "no spool in",
        ),
    ],
    ids=["a package is broken", "no folder can be written"],
)
def test_what_is_missing_is_said_at_the_door(tmp_path: Path, prepare: str, says: str) -> None:
    assert scan(tmp_path, prepare).count(says) == 2


def test_an_environment_of_a_strange_shape_is_said_at_the_door(tmp_path: Path) -> None:
    assert "the metadata of this scan are not recorded: KeyError" in scan(tmp_path, environment={"serialno": 1})


def test_without_a_tango_database_a_scan_waits_in_the_spool(tmp_path: Path) -> None:
    scan(tmp_path)
    (left,) = _left_open(tmp_path)  # both scans have the same number and start: they are one
    assert left.record.ending is not None
    assert (left.record.ending["status"], left.record.ending["points"]) == ("completed", 1)


def test_a_scan_that_another_recorder_broke_is_ended_by_the_next_one(tmp_path: Path) -> None:
    """Sardana calls no recorder's end when one raises at the start."""
    scan(tmp_path, "import itertools; number = itertools.count()", environment=COUNTED, end="pass")
    first, second = _left_open(tmp_path)
    assert first.record.ending is not None
    assert (first.record.ending["status"], first.record.ending["points"]) == ("failed", 1)
    assert second.record.ending is None


STOPPED = """
    from sardana.taurus.core.tango.sardana.pool import StopException
    def stop(*_): raise StopException("stopped before calling this")
    Macro.getMacroServer = Macro.getDoorName = Macro.warning = stop
    try:
        recorder.startRecordList(records)
    except StopException:
        pass
    sys.exit(0)
"""


def test_ctrl_c_while_a_scan_starts_loses_no_dataset(tmp_path: Path) -> None:
    """All methods of a macro raise then; the constructor has asked before what the begin needs."""
    scan(tmp_path, between=STOPPED.strip())
    (left,) = _left_open(tmp_path)
    assert left.record.given["datasetName"] == "ascan"


def _left_open(tmp_path: Path) -> list[OpenDataset]:
    # Its companion leaves when it sees that the program is gone.
    left: list[Spool] = []
    assert eventually(lambda: bool(left.extend(orphans(tmp_path / "state" / "scifish" / "spool")) or left), 20.0)
    (spool,) = left
    found = spool.open_datasets()
    spool.close()
    return found
