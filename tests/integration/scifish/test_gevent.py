"""Recording in programs that gevent has patched, in each way in which programs do it, with two versions of gevent.

MXCuBE's front end begins with `patch_all(thread=False)`, and its mxcubecore needs gevent 23.9.
"""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from uuid import uuid4

import pytest

from tests.environments import gevent_folder
from tests.servers.kafka import Kafka
from tests.servers.recording_program import recording_settings, run_until_sent
from tests.servers.topic import Topic

pytestmark = pytest.mark.first

NEWEST, MXCUBES = "newest", "mxcubecore's"

PROGRAM = """
import json, logging, sys
logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
{before}
import scifish.spool.executor
from scifish import SciFish
from scifish.settings import Settings
scifish.spool.executor.DISK_WAIT_SECONDS = 60.0  # a busy machine's slow disk is not to be reported
{after_import}
fish = SciFish(Settings(**json.loads(sys.argv[1])), program="test")
{after_start}
import gevent
def collect(number):
    fish = SciFish(Settings(**json.loads(sys.argv[1])), program="test") if number > 5 else mine
    fish.start_scan(datasetName=f"lysozyme_{{number}}")
    fish.scicat_data.proposalId = 20250001
    fish.sampleId = "lysozyme"
    gevent.sleep(0.05)
    fish.scicat_data.scientificMetadata["photon flux"] = {{"value": 1e12, "unit": "s^-1"}}
    fish.end_scan()
mine = fish
for number in range(5):
    collect(number)
gevent.joinall([gevent.spawn(collect, number) for number in range(6, 11)], raise_error=True)
print("measured", flush=True)
sys.stdin.readline()  # it goes on: what was recorded is sent while it lives
"""

WITHOUT_THREADS = "from gevent import monkey; monkey.patch_all(thread=False)"
ALL = "from gevent import monkey; monkey.patch_all()"
SOME = "from gevent import monkey; monkey.patch_time(); monkey.patch_socket(); monkey.patch_select()"

WAYS = {
    "as MXCuBE": (WITHOUT_THREADS, "", ""),
    "all": (ALL, "", ""),
    "some": (SOME, "", ""),
    "not": ("", "", ""),
    "without threads after the import": ("", WITHOUT_THREADS, ""),
    "all after the import": ("", ALL, ""),
    "without threads after the start": ("", "", WITHOUT_THREADS),
    "all after the start": ("", "", ALL),
    "twice": (WITHOUT_THREADS, "", ALL),
}


def cases() -> list[object]:
    each_time = {("as MXCuBE", MXCUBES), ("as MXCuBE", NEWEST), ("all", NEWEST), ("twice", NEWEST)}
    both = [(way, version) for version in (NEWEST, MXCUBES) for way in WAYS]
    return [pytest.param(*case, marks=() if case in each_time else pytest.mark.long) for case in both]


@pytest.mark.parametrize(("way", "version"), cases())
def test_all_is_sent_while_the_program_lives_and_the_log_says_nothing(
    way: str, version: str, kafka: Kafka, tmp_path: Path
) -> None:
    topic = Topic(kafka.bootstrap, f"scifish-gevent-{uuid4().hex[:8]}")
    settings = recording_settings(kafka, topic, tmp_path)
    before, after_import, after_start = WAYS[way]
    program = PROGRAM.format(before=before, after_import=after_import, after_start=after_start)
    path = [str(gevent_folder())] if version == MXCUBES else []
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([*path, *filter(None, [os.environ.get("PYTHONPATH")])]),
    }
    # gevent itself warns of a late patch
    command = [sys.executable, "-W", "ignore", "-c", program, json.dumps(asdict(settings))]
    names = {f"lysozyme_{number}" for number in range(11) if number != 5}
    assert run_until_sent(command, topic, names, tmp_path, environment) == (0, "measured\n", "")
    topic.close()
    assert {m["datasetName"] for m in topic.messages} == names
    assert {(m["type"], m["status"]) for m in topic.messages if m["type"] == "ended"} == {("ended", "completed")}
