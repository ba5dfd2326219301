"""The main job: `make demo`, as a new user runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from deploy.demo.processes import Processes
from deploy.demo.stack import OFFICE
from deploy.demo.summary import DemoComparison, Expected, wrong_owners
from ingest.scicat import SciCat
from sdm.office import YamlOffice
from tests.servers.catalogue import INGESTOR, start_catalogue
from tests.servers.kafka import Kafka
from tests.waiting import PATIENCE, eventually

FILES = ("fibre_0001", "fibre_survey")
"""What is measured beside Sardana."""

DEMO = (sys.executable, "-m", "deploy.demo")


def run_demo(folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*DEMO, "--folder", str(folder)], env=environment(more), capture_output=True, text=True, timeout=540
    )


def environment(more: Mapping[str, str]) -> dict[str, str]:
    """As a user has it: nothing of ours is set but what the test says."""
    ours = ("SCIZOO_", "SCIDOG_", "TANGO_HOST", "QT_QPA_PLATFORM")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | dict(more)


def left_over(folder: Path) -> list[str]:
    """Command lines of processes that have to do with this demo."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            spoken = command + (process / "environ").read_text(errors="replace")
        except OSError:
            continue  # it has ended, or is another user's
        if str(folder) in spoken and int(process.name) != os.getpid():
            found.append(command)
    return found


@pytest.mark.long  # the README's first command, which CI runs, too
def test_the_demo_ends_with_nothing_lost_and_nothing_running(tmp_path: Path) -> None:
    done = run_demo(tmp_path)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    summary = json.loads((tmp_path / "summary.json").read_text("utf-8"))
    assert (summary["scans"], summary["files"], summary["datasets"]) == (8, 2, 11)
    assert (summary["lost"], summary["duplicates"], summary["running"]) == (0, 0, 0)
    assert summary["wrong_owners"] == []
    assert 0 < summary["seconds_scan_end_to_row"]["median"] <= summary["seconds_scan_end_to_row"]["max"]
    by_name = {name: [one for one in summary["details"] if one["datasetName"] == name] for name in FILES}
    statuses = [detail["status"] for detail in summary["details"]]
    assert sorted(set(statuses)) == ["aborted", "completed", "failed", "stopped"]
    for detail in summary["details"]:
        assert detail["proposalId"] == "20250001"
        assert detail["principalInvestigator"] == "Astrid Lindqvist"
        assert detail["startTime"] <= detail["endTime"]
        # What cannot be read stays, with why; also with what programs of other makers have measured.
        diagnostics = detail["scientificMetadata"]["Diagnostics"]
        for name in ("Flux", "Quadrant 1"):
            assert diagnostics[name]["value"] is None
            assert diagnostics[name]["error"]
    assert [detail["numberOfFiles"] for detail in summary["details"]].count(1) == 10
    (ses,), (prodigy,) = by_name.values()
    assert (ses["dataFormat"][:11], prodigy["dataFormat"][:13]) == ("Scienta SES", "SPECS Prodigy")
    assert {one["sourceFolder"].rpartition("/")[2] for one in (ses, prodigy)} == {"fibre_B"}
    assert summary["seconds_file_written_to_row"]["max"] > 0
    assert all(f"{name}: " in done.stdout.partition("The scan log")[2] for name in FILES)
    assert summary["scifly"][0] == "The device is in ON state."
    assert (tmp_path / "scanlog.png").stat().st_size > 10_000
    assert "First look at the fibre" in done.stdout
    assert summary["pathfixer"][0] == "The device is in STANDBY state."
    assert "Proposal 20250001: Swelling of cellulose fibres during drying" in summary["pathfixer"]
    assert eventually(lambda: left_over(tmp_path) == []), left_over(tmp_path)


@pytest.fixture
def servers_of_others(tmp_path: Path) -> Iterator[SciCat]:
    with Processes(tmp_path / "log") as processes:
        catalogue = start_catalogue(processes, tmp_path / "catalogue")
        yield SciCat(catalogue.url, INGESTOR.username, INGESTOR.password)


@pytest.mark.long
def test_the_demo_on_a_kafka_and_a_scicat_of_others(tmp_path: Path, kafka: Kafka, servers_of_others: SciCat) -> None:
    done = run_demo(
        tmp_path / "demo",
        SCIZOO_KAFKA=kafka.bootstrap,
        SCIZOO_SCICAT_URL=servers_of_others.base_url,
        SCIZOO_SCICAT_USERNAME=INGESTOR.username,
        SCIZOO_SCICAT_PASSWORD=INGESTOR.password,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    summary = json.loads((tmp_path / "demo" / "summary.json").read_text("utf-8"))
    assert summary["catalogue"] == servers_of_others.base_url
    assert len(servers_of_others.datasets({})) == summary["datasets"] == 11
    assert INGESTOR.password not in done.stdout


@pytest.mark.parametrize(
    "number",
    # The others end as the demo itself does, with another status.
    [pytest.param(number, marks=pytest.mark.long) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL)],
)
def test_nothing_is_left_when_the_demo_is_stopped_in_the_middle(tmp_path: Path, number: signal.Signals) -> None:
    log = tmp_path / "out.txt"
    with log.open("w") as out:
        demo = subprocess.Popen([*DEMO, "--folder", str(tmp_path)], env=environment({}), stdout=out, stderr=out)
    assert eventually(lambda: "Door> ascan" in log.read_text() or demo.poll() is not None, 300.0), log.read_text()
    demo.send_signal(number)
    status = demo.wait(PATIENCE)
    assert status == {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGKILL: -9}[number], log.read_text()
    assert "Traceback" not in log.read_text()
    assert eventually(lambda: left_over(tmp_path) == []), left_over(tmp_path)


@pytest.mark.long
def test_the_doctor_that_keep_names_checks_the_demo(tmp_path: Path) -> None:
    log = tmp_path / "out.txt"
    with log.open("w") as out:
        command = [*DEMO, "--keep", "--folder", str(tmp_path / "demo")]
        demo = subprocess.Popen(command, env=environment({}), stdout=out, stderr=out)
    try:
        assert eventually(lambda: "  logs  " in log.read_text() or demo.poll() is not None, 540.0), log.read_text()
        lines = dict(line.strip().split("  ", 1) for line in log.read_text().splitlines() if "scizoo doctor" in line)
        lines |= dict(line.strip().split("  ", 1) for line in log.read_text().splitlines() if "TANGO_HOST=" in line)
        doctor = lines["doctor"].partition("   (")[0]
        done = subprocess.run(
            ["bash", "-c", f"{lines['Tango']}; {doctor} --json"],
            env=environment({}),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        parts = json.loads(done.stdout)["parts"]
        wrong = {name: part["text"] for name, part in parts.items() if part["state"] == "wrong"}
        wrong.pop("PathFixer", None)  # in ALARM where the group of this account has no name
        assert list(wrong) == ["Snapshot"]
        assert "b311a-e/dia/viewer-01/Flux" in wrong["Snapshot"]
        assert parts["SciCat"]["administrator"] is True
        assert done.returncode == 1
    finally:
        demo.send_signal(signal.SIGINT)
        demo.wait(PATIENCE)
    assert eventually(lambda: left_over(tmp_path) == []), left_over(tmp_path)


def test_what_is_lost_double_or_running_would_be_seen() -> None:
    """The comparison itself: the demo must be able to fail."""

    def dataset(uuid: str, status: str) -> dict[str, object]:
        return {"pid": f"scizoo/{uuid}", "scientificMetadata": {"scan": {"status": {"value": status}}}}

    class Catalogue:
        base_url = "x"
        held = [dataset("a", "completed"), dataset("b", "running"), dataset("d", "completed")]

        def datasets(self, *_: object, **__: object) -> list[dict[str, object]]:
            return self.held

    expected = [Expected(uuid, uuid, "completed", 0.0) for uuid in ("a", "b", "c")]
    found = DemoComparison(Catalogue(), expected, "/x", 0.0)  # type: ignore[arg-type]
    assert [scan.uuid for scan in found.lost] == ["b", "c"]
    assert (found.duplicates, found.running, found.complete) == (1, 1, False)


def test_an_owner_that_is_not_the_offices_would_be_seen() -> None:
    def dataset(proposal: str, leader: str, sample: str) -> dict[str, object]:
        return {"proposalId": proposal, "principalInvestigator": leader, "sampleId": sample}

    class Catalogue:
        def proposal(self, number: str) -> dict[str, object] | None:
            return {"title": "Swelling of cellulose fibres during drying"} if number == "20250001" else None

        def sample(self, name: str) -> dict[str, object] | None:
            return {} if name == "fibre_A" else None

    good = dataset("20250001", "Astrid Lindqvist", "fibre_A")
    wrong = [dataset("20250117", "Beamline staff", "cell_01"), dataset("20250001", "Astrid Lindqvist", "")]
    office = YamlOffice(OFFICE)
    assert wrong_owners([good], Catalogue(), office) == []  # type: ignore[arg-type]
    assert wrong_owners([good, *wrong], Catalogue(), office) == [  # type: ignore[arg-type]
        "the proposal 20250117 is not in the catalogue as the user office has it",
        "Beamline staff is not the leader of 20250117",
        "the sample cell_01 is not in the catalogue",
    ]
