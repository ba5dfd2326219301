"""SciCow while SciCat is killed during writes: `python -m tests.soak.catalogue_kills`.

Datasets with files, comments and pictures go through Kafka and one SciCow into a SciCat that is killed (SIGKILL) and
started again, each time while messages are being written. In the end all of it is compared with what was sent: nothing
may be lost, double or still running, and SciCat's own totals of files and bytes must be right.

The embedded catalogue, or a SciCat that a command line starts:

    SCIZOO_SCICAT_URL=http://127.0.0.1:3000 SCIZOO_SCICAT_USERNAME=... SCIZOO_SCICAT_PASSWORD=... \\
        python -m tests.soak.catalogue_kills --start "node dist/main"
"""

from __future__ import annotations

import argparse
import os
import random
import secrets
import shlex
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID, uuid4

import requests
from confluent_kafka.admin import AdminClient, NewTopic

from deploy.demo.processes import Process, Processes
from ingest.scicat import SciCat
from scifish.message import encode
from tests.benchmarks.figures import Figure, report
from tests.builders.messages import file, message
from tests.contract.api import PNG
from tests.faults.verdict import Finding
from tests.paths import ROOT
from tests.servers.catalogue import Catalogue, given_catalogue, start_catalogue
from tests.servers.kafka import free_ports, make_kafka
from tests.servers.kafka import send as send_to_kafka
from tests.servers.scicow import start_scicow, write_settings
from tests.soak.plan import Expected, Plan, Sent
from tests.soak.verdict import Found, by_kind, judge
from tests.waiting import eventually

PREFIX = "kills"
"""What the pids of these datasets begin with."""

PARTITIONS = 4
STALLED_SECONDS = 300.0
"""Seconds without progress after which nothing goes on any more."""

FOLDER = "/data/visitors/cosaxs/20250001/raw/"


def made(number: int, topic: str, chance: random.Random) -> tuple[str, Expected, list[Sent]]:
    """One dataset: its uuid, what SciCat must have of it in the end, and its messages."""
    uuid = str(UUID(int=chance.getrandbits(128), version=4))
    sizes = {f"{uuid}/{index}.h5": index + 1 for index in range(1 + number % 4)}
    expected = Expected("cosaxs", "20250001", f"ascan mot01 0 1 10 {number}", "a scan", "completed", sizes)
    expected.comment, expected.pictures = f"comment {number}", {"plot": PNG}
    files = [file(FOLDER + path, size) for path, size in sizes.items()]
    origin = {"host": "h", "program": "p", "version": "1", "run": f"run-{uuid}"}
    image = {"caption": "plot", "uri": PNG}
    messages = [
        message("began", uuid, datasetName=expected.name, origin=origin),
        message("ended", uuid, seq=2, files=files, datasetName=expected.name, origin=origin),
        message("annotation", uuid, seq=3, annotation={"comment": expected.comment}, origin=origin),
        message("annotation", uuid, seq=4, annotation={"image": image}, origin=origin),
    ]
    return uuid, expected, [Sent(topic, uuid, encode(each)) for each in messages]


class KilledCatalogue:
    """The SciCat that is killed. `start` is the command line of a given one, "" for the embedded one."""

    def __init__(self, folder: Path, processes: Processes, start: str) -> None:
        self._folder = folder
        self._processes = processes
        self._start = shlex.split(start)
        self._port = free_ports(1)[0]
        self._starts = 0
        self._process: Process | None = None
        self.catalogue = self.start()

    def start(self) -> Catalogue:
        self._starts += 1
        name = f"scicat-{self._starts:03}"
        if not self._start:
            found = start_catalogue(self._processes, self._folder / "catalogue", port=self._port, name=name)
            self._process = found.process
            return found
        found = given_catalogue()
        self._process = self._processes.start(name, self._start)
        self._process.wait_for(lambda: _answers(found.url))
        return found

    def kill(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._processes.running.remove(self._process)


def _answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/api/v3/health", timeout=5).ok
    except requests.RequestException:
        return False


class KillRun:
    """`folder` gets all state and all logs."""

    def __init__(self, folder: Path, datasets: int, kills: int, seed: int, start: str) -> None:
        self._folder = folder
        self._kills = kills
        self._chance = random.Random(seed)
        self._start = start
        self._run = f"k{uuid4().hex[:8]}"
        self._topic = f"scifish-{self._run}"
        made_datasets = [made(number, self._topic, self._chance) for number in range(datasets)]
        sent = [each for _, _, messages in made_datasets for each in messages]
        self._plan = Plan(sent, {uuid: expected for uuid, expected, _ in made_datasets})

    def run(self) -> list[Figure]:
        begun = time.monotonic()
        with Processes(self._folder / "logs") as processes:
            kafka = make_kafka(self._folder / "kafka", processes)
            kafka.start()
            admin = AdminClient({"bootstrap.servers": kafka.bootstrap, "log_level": 0})
            topics = [NewTopic(self._topic, PARTITIONS), NewTopic(f"dead-{self._run}", 1)]
            for each in admin.create_topics(topics).values():
                each.result(60)
            scicat = KilledCatalogue(self._folder, processes, self._start)
            config = write_settings(self._folder, kafka.bootstrap, scicat.catalogue, self._run, pid_prefix=PREFIX)
            cow = start_scicow(processes, "scicow", config, scicat.catalogue)
            send_to_kafka(kafka.bootstrap, self._topic, [(each.key, each.value or b"") for each in self._plan.sent])
            for number, threshold in enumerate(self._thresholds(), start=1):
                self._wait_for(cow, threshold)
                scicat.kill()
                print(f"killed {number} times, after {_ingested(cow)} of {len(self._plan.sent)} messages", flush=True)
                scicat.start()
            self._wait_for(cow, len(self._plan.sent))
            findings = self._judged(scicat.catalogue)
        return self._figures(findings, (time.monotonic() - begun) / 60)

    def _thresholds(self) -> Iterator[int]:
        """After how many messages it is killed: spread over the run, never when all is done."""
        part = len(self._plan.sent) / (self._kills + 1)
        return (int(part * (number + self._chance.random())) for number in range(self._kills))

    def _wait_for(self, cow: Process, count: int) -> None:
        """Until SciCow has ingested so many messages. RuntimeError if it does not go on."""
        before = -1
        while (now := _ingested(cow)) < count:
            if now == before:
                raise RuntimeError(f"SciCow has ingested {now} messages and does not go on: see {cow.log}")
            before = now
            eventually(lambda now=now: _ingested(cow) > now, STALLED_SECONDS)  # type: ignore[misc]

    def _judged(self, catalogue: Catalogue) -> list[Finding]:
        account = catalogue.ingestor
        scicat = SciCat(catalogue.url, account.username, account.password)
        scicat.login()
        pids = [f"{PREFIX}/{uuid}" for uuid in self._plan.datasets]
        datasets = [found for pid in pids if (found := scicat.dataset(pid)) is not None]
        blocks = [block for pid in pids for block in scicat.blocks(pid)]
        attachments = {found["pid"]: scicat.attachments(found["pid"]) for found in datasets}
        verdict = judge(self._plan, Found(datasets, blocks, attachments, []), PREFIX)
        return [*verdict.lost, *verdict.duplicates]

    def _figures(self, findings: list[Finding], minutes: float) -> list[Figure]:
        with (self._folder / "findings.txt").open("w") as out:
            out.writelines(f"{each.who}: {each.what}\n" for each in findings)
        wrong = by_kind(findings)
        return [
            Figure("catalogue_kills", self._kills, "kills", {"datasets": len(self._plan.datasets)}),
            *(Figure(f"catalogue_kills_{kind}", number, "datasets") for kind, number in wrong.items()),
            Figure("catalogue_kills_minutes", round(minutes, 1), "min"),
        ]


def _ingested(cow: Process) -> int:
    """Messages that SciCow's log says are done."""
    return cow.text.count(f": {PREFIX}/")


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak.catalogue_kills",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--datasets", type=int, default=200, help="so many (200)")
    parser.add_argument("--kills", type=int, default=10, help="so often SciCat is killed (10)")
    parser.add_argument("--seed", type=int, default=None, help="the same datasets and moments (random)")
    parser.add_argument("--start", default="", help="the command line that starts a given SciCat (the embedded one)")
    parser.add_argument(
        "--figures", type=Path, default=ROOT / "build" / "catalogue_kills.json", help="where the figures go"
    )
    parser.add_argument("--folder", type=Path, help="for state and logs; kept (one in the temporary folder)")
    options = parser.parse_args()
    if options.start and "SCIZOO_SCICAT_URL" not in os.environ:
        parser.error("--start needs SCIZOO_SCICAT_URL, SCIZOO_SCICAT_USERNAME and SCIZOO_SCICAT_PASSWORD")
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    folder = options.folder or Path(tempfile.mkdtemp(prefix="catalogue-kills-"))
    folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(f"seed {seed}, everything is in {folder}", flush=True)
    figures = KillRun(folder.resolve(), options.datasets, options.kills, seed, options.start).run()
    report(figures, options.figures)
    wrong = sum(figure.value for figure in figures[1:-1])
    print((folder / "findings.txt").read_text(), end="")
    if not wrong and options.folder is None:
        shutil.rmtree(folder)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
