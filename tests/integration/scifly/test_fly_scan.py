"""`scifly scan`: lists or records existing files, each once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from scifish.message.identity import files_uuid
from scifly.cli import main
from scifly.model import ProposalContext
from scifly.scan import PROPOSAL_IN_PATH, PathRule, UnknownProposalError
from tests.integration.scifly.test_flying import SES
from tests.servers.kafka import Kafka
from tests.servers.topic import Topic


class Beamtime:
    """Files of last week below a path in PathFixer's layout."""

    def __init__(self, folder: Path, kafka: Kafka) -> None:
        self.visitors = folder / "data" / "visitors" / "lab" / "20250001" / "2025112308" / "raw"
        self.secret = folder / "data" / "proprietary" / "lab" / "20250007" / "2025112408" / "raw"
        self.topic = Topic(kafka.bootstrap, f"scifish-scan-{uuid4().hex[:8]}")
        self.settings = folder / "scifish.yaml"
        settings = {
            "Beamline": "lab",
            "Topic": self.topic.name,
            "KafkaBootstrapServers": kafka.bootstrap,
            "SpoolDirectory": str(folder / "spool"),
        }
        self.settings.write_text(yaml.safe_dump(settings))

    def write(self, root: Path, name: str, content: str | None = None, ago: float = 7 * 86_400.0) -> Path:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(SES.format(name="Ag3d", clock="10:00:00") if content is None else content)
        os.utime(path, (time.time() - ago,) * 2)
        return path

    def command(self, *more: str) -> list[str]:
        data = str(self.visitors.parents[4])
        code = "import sys; from scifly.cli import main; sys.exit(main())"
        return [sys.executable, "-c", code, "scan", data, "--settings", str(self.settings), *more]

    def run(self, *more: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*more), capture_output=True, text=True, timeout=300)


@pytest.fixture
def beamtime(tmp_path: Path, kafka: Kafka, monkeypatch: pytest.MonkeyPatch) -> Iterator[Beamtime]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("TZ", "Europe/Stockholm")
    monkeypatch.delenv("TANGO_HOST", raising=False)
    found = Beamtime(tmp_path, kafka)
    yield found
    found.topic.close()


def test_a_beamtime_is_shown_and_then_recorded_once(beamtime: Beamtime) -> None:
    beamtime.write(beamtime.visitors, "fibre/Ag_0001.txt")
    beamtime.write(beamtime.visitors, "fibre/Ag_0001Ag__001.ibw", "no wave")
    beamtime.write(beamtime.visitors, "fibre/.Ag_0001.txt.swp", "hidden")
    beamtime.write(beamtime.visitors, "notes.txt", "milk")
    beamtime.write(beamtime.secret, "chip_0001.txt")
    shown = beamtime.run("--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert "Ag_0001: new; 2 files" in shown.stdout
    assert "2025-11-23 10:00:00, proposal 20250001" in shown.stdout
    assert "SES" in shown.stdout
    assert "Lens Mode" in shown.stdout or "Lens mode" in shown.stdout
    assert "! " in shown.stdout
    assert "proposal 20250007, proprietary: it stays at the beamline" in shown.stdout
    assert "3 measurements; nothing is recorded" in shown.stderr
    done = beamtime.run()
    assert done.returncode == 0, done.stderr
    assert "3 of 3 measurements are recorded now" in done.stderr
    for name in ("Ag_0001", "notes"):
        beamtime.topic.wait_for(lambda message, name=name: message["datasetName"] == name)  # type: ignore[misc]
    beamtime.topic.take_what_is_there()
    by_name = {message["datasetName"]: message for message in beamtime.topic.messages}
    assert set(by_name) == {"Ag_0001", "notes"}
    found = by_name["Ag_0001"]
    assert found["uuid"] == files_uuid("lab", str(beamtime.visitors / "fibre" / "Ag_0001"), 0)
    assert (found["proposalId"], found["startTime"]) == ("20250001", "2025-11-23T09:00:00.000Z")
    assert len(found["files"]) == 2
    again = beamtime.run()
    assert "0 of 3 measurements are recorded now; 3 were recorded before" in again.stderr
    assert "Ag_0001: is recorded" in beamtime.run("--dry-run").stdout
    beamtime.topic.take_what_is_there()
    assert len(beamtime.topic.messages) == 2


def test_a_stopped_scan_is_continued_by_the_next_run(beamtime: Beamtime) -> None:
    for number in range(1500):
        beamtime.write(beamtime.visitors, f"Ag_{number:04}.txt")
    with subprocess.Popen(beamtime.command(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "[1/1500]" in process.stdout.readline()
        process.send_signal(signal.SIGTERM)
        lines = process.stdout.readlines()
        assert "the next run continues" in process.stderr.read()
    assert process.returncode == 130
    first = sum("recorded" in line for line in lines) + 1
    assert first < 1500
    done = beamtime.run()
    assert done.returncode == 0, done.stderr
    assert f"{1500 - first} of 1500 measurements are recorded now" in done.stderr
    beamtime.topic.wait_until(lambda messages: len(messages) >= 1500)
    beamtime.topic.take_what_is_there()
    assert len(beamtime.topic.messages) == 1500
    assert len({message["uuid"] for message in beamtime.topic.messages}) == 1500


def test_the_json_output_can_be_read_by_a_program(beamtime: Beamtime, capsys: pytest.CaptureFixture[str]) -> None:
    beamtime.write(beamtime.visitors, "Ag_0001.txt")
    beamtime.write(beamtime.visitors, "Ag_0002.txt", ago=30 * 86_400.0)
    since = time.strftime("%Y-%m-%d", time.gmtime(time.time() - 8 * 86_400))
    command = ["scan", str(beamtime.visitors), "--dry-run", "--beamline", "lab", "--json", "--since", since]
    assert main([*command, "--profile", "{name: ses, settle: 1}"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    assert found["uuid"] == files_uuid("lab", str(beamtime.visitors / "Ag_0001"), 0)
    assert (found["name"], found["state"], found["proposal"], found["problems"]) == ("Ag_0001", "new", "20250001", [])


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--profile", "sees", "--beamline", "lab"], "--profile: sees: pattern is missing; did you mean 'ses'?"),
        (["--since", "yesterday", "--beamline", "lab"], "--since 'yesterday' is not a date such as 2025-11-23"),
        (["--layout", "(", "--beamline", "lab"], "--layout '('"),
        (["--beamline", "a lab"], "the beamline 'a lab' is not a short name"),
        (["--settings", "/none.yaml"], "the settings /none.yaml cannot be read"),
    ],
)
def test_a_wrong_command_is_refused_with_the_reason(
    beamtime: Beamtime, more: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["scan", str(beamtime.settings.parent), "--dry-run", *more]) == 2
    assert reason in capsys.readouterr().err


def test_without_a_proposal_nothing_is_recorded(beamtime: Beamtime, capsys: pytest.CaptureFixture[str]) -> None:
    beamtime.write(beamtime.settings.parent / "elsewhere", "Ag_0001.txt")
    where = str(beamtime.settings.parent / "elsewhere")
    assert main(["scan", where, "--settings", str(beamtime.settings)]) == 1
    assert "the path does not contain the proposal: give --proposal, or --layout" in capsys.readouterr().err
    assert main(["scan", where, "--settings", str(beamtime.settings), "--proposal", "20250009", "--sample", "S"]) == 0
    found = beamtime.topic.wait_for(lambda m: m["datasetName"] == "Ag_0001")
    assert (found["proposalId"], found["sampleId"]) == ("20250009", "S")
    assert main(["scan", where, "--dry-run"]) == 2
    assert main(["scan", str(beamtime.settings), "--dry-run", "--beamline", "lab"]) == 2


def test_files_still_being_written_are_left_to_a_later_run(
    beamtime: Beamtime, capsys: pytest.CaptureFixture[str]
) -> None:
    beamtime.write(beamtime.visitors, "Ag_0001.txt", ago=0.0)
    two = SES.format(name="Ag3d", clock="10:00:00").replace("Regions=1", "Regions=2")
    beamtime.write(beamtime.visitors, "Ag_0002.txt", two, ago=60.0)
    beamtime.write(beamtime.visitors, "Ag_0003.txt", two)
    assert main(["scan", str(beamtime.visitors), "--settings", str(beamtime.settings)]) == 1
    output = capsys.readouterr()
    assert "Ag_0001: is not finished" in output.err
    assert "Ag_0002: is not finished" in output.err
    assert "1 of 3 measurements are recorded now" in output.err
    assert beamtime.topic.wait_for(lambda m: True)["status"] == "interrupted"


@pytest.mark.parametrize(
    ("path", "place"),
    [
        ("/data/visitors/lab/20250001/2025112308/raw/a/b", ProposalContext("20250001", "", "visitors")),
        ("/data/visitors/lab/20250001/2025112308/raw", ProposalContext("20250001", "", "visitors")),
        ("/data/proprietary/lab/20250007/20251123/raw/x", ProposalContext("20250007", "", "proprietary")),
        ("/data/visitors/lab/20250001/2025112308/process/x", None),
        ("/data/visitors/balder/20250001/2025112308/raw/x", None),
        ("/home/x", None),
    ],
)
def test_the_proposal_of_a_path(path: str, place: ProposalContext | None) -> None:
    import re

    rule = PathRule(re.compile(PROPOSAL_IN_PATH), "lab")
    if place is None:
        with pytest.raises(UnknownProposalError):
            rule.place_of(path)
    else:
        assert rule.place_of(path) == place
    # Data in a proprietary folder stays, whatever proposal is given.
    assert PathRule(re.compile("x"), "lab", "20250001").place_of("/data/proprietary/lab/q/raw/x").proprietary
