"""The real mxcubecore beside this project: its session makes folders, its adapter asks DUO, and datasets are recorded.

In an environment of its own, which also shows that both can be installed together, and that this project without an
extra needs neither Sardana nor Taurus nor Qt.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

import pytest

from tests.environments import mxcube_python
from tests.servers.kafka import Kafka
from tests.servers.recording_program import recording_settings, run_until_sent
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
    settings = recording_settings(kafka, topic, tmp_path)
    (tmp_path / "visitors" / "biomax").mkdir(parents=True)
    names = {f"lysozyme_{number}" for number in range(COLLECTIONS)}
    environment = {name: value for name, value in os.environ.items() if name != "SDM_OFFICE"}
    with user_office() as office:
        office.says("/proposals", [DUO_PROPOSAL])
        arguments = json.dumps([asdict(settings), office.url, str(tmp_path), COLLECTIONS])
        ended = run_until_sent([mxcube_python(), "-c", PROGRAM, arguments], topic, names, tmp_path, environment)
    topic.close()
    # What mxcubecore logs, and that 20250001-group is no group of this machine.
    ours = [one for one in ended.errors.splitlines() if not one.startswith(("INFO:HWR", "WARNING:sdm.storage"))]
    assert (ended.status, ours) == (0, [])
    answer = json.loads(ended.line)
    assert answer["versions"][0].startswith("23.9.")
    assert answer["versions"][1].startswith("10.0.")
    assert answer["installed"] == []
    assert answer["folder"] == f"{tmp_path}/visitors/biomax/20250001/20250310"
    assert (Path(answer["folder"]) / "raw").is_dir()
    assert answer["proposals"] == ["20250001"]
    assert {m["datasetName"] for m in topic.messages} == names
