"""`make soak` of SciCow in its short form, as its own program."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.kafka import ROOT, why_no_real_kafka
from tests.soak.verdict import KINDS


@pytest.mark.long
@pytest.mark.parametrize("kind", ["soak", "week"])
def test_every_message_gets_into_the_catalogue_once(tmp_path: Path, kind: str) -> None:
    if reason := why_no_real_kafka():
        pytest.skip(f"a real Kafka is needed: {reason}")
    figures = tmp_path / "soak.json"
    command = [sys.executable, "-m", "tests.soak", "--messages", "360", "--rate", "40", "--gap", "2"]
    command += ["--week"] if kind == "week" else []
    command += ["--folder", str(tmp_path / "soak"), "--figures", str(figures)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print(done.stdout)
    assert done.returncode == 0, done.stdout
    found = {figure["name"]: figure["value"] for figure in json.loads(figures.read_text("utf-8"))}
    assert found[f"{kind}_messages"] >= 360
    assert found[f"{kind}_faults"] > 0
    assert {name: found[f"{kind}_{name}"] for name in KINDS} == dict.fromkeys(KINDS, 0)
    assert found[f"{kind}_dead_letters_unexpected"] == 0


@pytest.mark.long
def test_a_catalogue_that_is_killed_while_it_writes_loses_and_doubles_nothing(tmp_path: Path) -> None:
    figures = tmp_path / "kills.json"
    command = [sys.executable, "-m", "tests.soak.catalogue_kills", "--datasets", "40", "--kills", "3"]
    command += ["--folder", str(tmp_path / "kills"), "--figures", str(figures)]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    found = {figure["name"]: figure["value"] for figure in json.loads(figures.read_text("utf-8"))}
    assert found["catalogue_kills"] == 3
    assert {name: found[f"catalogue_kills_{name}"] for name in KINDS} == dict.fromkeys(KINDS, 0)
