"""`make faults` in its short form, as its own program: each fault once, without those that take half a minute each.

Those have tests of their own: scicow/test_standstill.py, scifish/test_refused.py, scifish/test_companion.py.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.kafka import ROOT, why_no_real_kafka

pytestmark = pytest.mark.long

SLOW = (
    *("message size lowered", "batch too large", "retention passed", "password changed", "topic made again"),
    *("clock ahead", "Kafka killed", "program and its children killed", "program ended", "PathFixer stopped"),
    *("SciCat killed", "disk refuses a start", "spool of a killed program damaged"),
    *("stranger: another topic", "stranger: another broker", "stranger: SendProprietary", "PathFixer silent"),
)


def test_nothing_is_lost_double_or_left_running(tmp_path: Path) -> None:
    if reason := why_no_real_kafka():
        pytest.skip(f"a real Kafka is needed: {reason}")
    figures = tmp_path / "faults.json"
    command = [sys.executable, "-m", "tests.faults", "--scans", "12", "--datasets", "150"]
    command += [word for name in SLOW for word in ("--without", name)]
    command += ["--folder", str(tmp_path / "faults"), "--figures", str(figures)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stdout
    found = {figure["name"]: figure["value"] for figure in json.loads(figures.read_text("utf-8"))}
    assert found["faults_scans"] >= 12
    assert found["faults_datasets"] >= 150
    assert (found["faults_lost"], found["faults_duplicates"], found["faults_running"]) == (0, 0, 0)
    assert (found["faults_silent"], found["faults_crossed"]) == (0, 0)
