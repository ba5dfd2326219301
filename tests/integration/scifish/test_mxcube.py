"""The real mxcubecore beside this project: its session makes folders, its adapter asks DUO, and datasets are recorded.

In an environment of its own, which also shows that both can be installed together, and that this project without an
extra needs neither Sardana nor Taurus nor Qt.
"""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

import pytest

from scifish.settings import Settings
from tests.environments import mxcube_python
from tests.servers.kafka import Kafka
from tests.servers.topic import Topic
from tests.servers.user_office import DUO_PROPOSAL, user_office

pytestmark = pytest.mark.long  # it installs 80 packages

COLLECTIONS = 50

PROGRAM = """
from gevent import monkey
monkey.patch_all(thread=False)  # as MXCuBE's front ends begin
import datetime, importlib.util, json, logging, pathlib, sys, types
import gevent, sdm.storage, tango
logging.basicConfig(level=logging.WARNING)
from mxcubecore.HardwareObjects.MAXIV.MAXIVPyISPYyBDataAdapter import MAXIVPyISPyBDataAdapter
from mxcubecore.HardwareObjects.MAXIV.session import Session
from scifish import SciFish
from scifish.settings import Settings
import scifish.spool.executor
scifish.spool.executor.DISK_WAIT_SECONDS = 60.0  # a busy machine's slow disk is not to be reported

settings, duo_url, root, collections = json.loads(sys.argv[1])
sdm.storage.DEFAULT_ROOT = pathlib.Path(root)  # in place of /data
answer = {"versions": [gevent.__version__, tango.__version__]}
answer["installed"] = [name for name in ("sardana", "taurus", "PyQt5") if importlib.util.find_spec(name)]

session = Session("session")
session._config = types.SimpleNamespace(
    beamline_name="BioMAX", endstation_name="biomax", synchrotron_name="MAXIV", exporter_address=None,
    file_info={
        "base_directory": root, "processed_data_base_directory": root, "archive_base_directory": "",
        "file_template": "MAXIV",
    },
)
session.get_property = lambda name, default=None: default
session.init()
session.proposal_code, session.proposal_number = "MX", "20250001"
session.prepare_directories(types.SimpleNamespace(number="20250001", start_datetime=datetime.datetime(2025, 3, 10)))
answer["folder"] = session.get_base_data_directory()

client = types.SimpleNamespace(get=lambda path: [
    {"proposalCode": "MX", "proposalNumber": str(number), "state": "Open", "title": "t", "proposalId": 1}
    for number in (20250001, 20250002)
])
adapter = MAXIVPyISPyBDataAdapter(duo_url, client=client, beamline_name="CoSAXS")
answer["proposals"] = [proposal.number for proposal in adapter.get_proposals()]

fish = SciFish(Settings(**settings), program="mxcube")
for number in range(collections):
    fish.start_scan(datasetName=f"lysozyme_{number}")
    fish.scicat_data.proposalId = 20250001
    fish.scicat_data.sourceFolder = answer["folder"]
    fish.sampleId = "lysozyme"
    gevent.sleep(0.01)
    fish.scicat_data.scientificMetadata["photon flux"] = {"value": 1e12, "unit": "s^-1"}
    fish.end_scan()
print(json.dumps(answer), flush=True)
sys.stdin.readline()
"""


def test_mxcubecore_records_lists_its_proposals_and_makes_its_folders(kafka: Kafka, tmp_path: Path) -> None:
    topic = Topic(kafka.bootstrap, f"scifish-mxcube-{uuid4().hex[:8]}")
    settings = Settings(
        beamline="lab",
        topic=topic.name,
        kafka_bootstrap_servers=kafka.bootstrap,
        spool_directory=str(tmp_path / "spool"),
    )
    (tmp_path / "visitors" / "biomax").mkdir(parents=True)
    with user_office() as office:
        office.says("/proposals", [DUO_PROPOSAL])
        arguments = json.dumps([asdict(settings), office.url, str(tmp_path), COLLECTIONS])
        environment = {
            **os.environ,
            "XDG_STATE_HOME": str(tmp_path / "state"),
        }
        environment.pop("SDM_OFFICE", None)
        with subprocess.Popen(
            [mxcube_python(), "-c", PROGRAM, arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as running:
            assert running.stdout is not None
            wanted = {f"lysozyme_{number}" for number in range(COLLECTIONS)}
            try:
                line = running.stdout.readline()
                if line:
                    topic.wait_until(lambda messages: {m["datasetName"] for m in messages} >= wanted)
            finally:
                _, errors = running.communicate("\n", timeout=60)
    topic.close()
    # What mxcubecore logs, and that 20250001-group is no group of this machine.
    ours = [one for one in errors.splitlines() if not one.startswith(("INFO:HWR", "WARNING:sdm.storage"))]
    assert (running.returncode, ours) == (0, [])
    answer = json.loads(line)
    assert answer["versions"][0].startswith("23.9.")
    assert answer["versions"][1].startswith("10.0.")
    assert answer["installed"] == []
    assert answer["folder"] == f"{tmp_path}/visitors/biomax/20250001/20250310"
    assert (Path(answer["folder"]) / "raw").is_dir()
    assert answer["proposals"] == ["20250001"]
    assert {m["datasetName"] for m in topic.messages} == wanted
