"""A backlog, and new datasets while it is worked off: `python -m tests.soak.backlog`.

The messages of one beamline wait in Kafka: datasets that begin, get three comments and end, and among them one with
`--one` comments. Then a SciCow starts, and each second a dataset comes from another beamline, and one behind the
backlog. In the end each dataset must be complete, with its comments in their order and the last one on top.
"""

from __future__ import annotations

import argparse
import datetime as dt
import itertools
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import requests

from deploy.demo.processes import Process, Processes
from ingest.scicat import SciCat
from scifish.message import Message, encode
from tests.benchmarks.figures import Figure, report
from tests.builders.messages import message
from tests.paths import ROOT
from tests.servers.catalogue import Catalogue, start_catalogue
from tests.servers.kafka import free_ports, make_kafka, make_topic, send
from tests.servers.scicow import start_scicow, write_settings

COMMENTS = 3
PARTITIONS = 4
AT_A_TIME = 200
"""Datasets whose messages are mixed."""

SENT_AT_ONCE = 5000
KEPT_ANNOTATIONS = 50
"""A dataset remembers the last ones."""

BACKLOG, OTHER = "scifish-busy", "scifish-quiet"
TIMEOUT = 60.0


def story(uuid: str, comments: int) -> Iterator[Message]:
    """A dataset's messages, in their order."""
    about: dict[str, Any] = {"beamline": "busy", "origin": {"host": "h", "program": "p", "version": "1", "run": uuid}}
    yield message("began", uuid, seq=1, **about)
    for number in range(1, comments + 1):
        when = dt.datetime(2026, 11, 22, 10, tzinfo=dt.UTC) + dt.timedelta(seconds=number)
        said = {"creationTime": when.isoformat().replace("+00:00", "Z"), "annotation": {"comment": f"comment {number}"}}
        yield message("annotation", uuid, seq=1 + number, **about, **said)
    yield message("ended", uuid, seq=2 + comments, **about)


def mixed(messages: int, one: int) -> tuple[dict[str, int], Iterator[Message]]:
    """How many comments each dataset gets, by uuid, and all messages."""
    datasets = {str(uuid4()): COMMENTS for _ in range(messages // (COMMENTS + 2))}
    hot = {str(uuid4()): one} if one else {}

    def all_of_them() -> Iterator[Message]:
        rows = [story(uuid, comments) for uuid, comments in datasets.items()]
        own = itertools.chain.from_iterable(story(uuid, comments) for uuid, comments in hot.items())
        share = one / messages
        due = 0.0
        for first in range(0, len(rows), AT_A_TIME):
            for each in _in_turns(rows[first : first + AT_A_TIME]):
                yield each
                due += share
                while due >= 1:
                    due -= 1
                    yield from itertools.islice(own, 1)
        yield from own

    return datasets | hot, all_of_them()


def _in_turns(rows: list[Iterator[Message]]) -> Iterator[Message]:
    for together in itertools.zip_longest(*rows):
        yield from (each for each in together if each is not None)


class Backlog:
    """`folder` gets all state and all logs."""

    def __init__(self, folder: Path, messages: int, one: int) -> None:
        self._folder = folder
        self._comments, self._backlog = mixed(messages, one)
        self._count = sum(comments + 2 for comments in self._comments.values())
        self._new: dict[str, list[tuple[str, dt.datetime]]] = {BACKLOG: [], OTHER: []}
        self._most_megabytes = 0.0

    def run(self) -> list[Figure]:
        with Processes(self._folder / "logs") as processes:
            kafka = make_kafka(self._folder / "kafka", processes)
            kafka.start()
            self._bootstrap = kafka.bootstrap
            catalogue = start_catalogue(processes, self._folder / "catalogue")
            for topic in (BACKLOG, OTHER):
                make_topic(self._bootstrap, topic, PARTITIONS)
            while some := [*itertools.islice(self._backlog, SENT_AT_ONCE)]:
                self._send(BACKLOG, *some)
            self._port = free_ports(1)[0]
            config = write_settings(
                self._folder,
                self._bootstrap,
                catalogue,
                "backlog",
                kafka={"topics": "^scifish-.*", "beamline_topics": {"*": ["scifish-{beamline}"]}},
                http={"port": self._port},
            )
            cow = start_scicow(processes, "scicow", config, catalogue, "--log-level", "warning")
            begun = time.monotonic()
            self._work_off(cow)
            seconds = time.monotonic() - begun
            return self._figures(catalogue, seconds)

    def _send(self, topic: str, *messages: Message) -> None:
        send(self._bootstrap, topic, [(each["uuid"], encode(each)) for each in messages])

    def _work_off(self, cow: Process) -> None:
        """Until nothing waits. New datasets come as long as more than these wait."""
        memory = psutil.Process(cow.pid)
        say = 0.0
        while (left := self._left(cow)) > 0:
            self._most_megabytes = max(self._most_megabytes, memory.memory_info().rss / 1e6)
            if left > len(self._new[BACKLOG]):
                self._send_new()
            if time.monotonic() > say:
                say = time.monotonic() + 10
                print(f"{left} of {self._count} wait, {self._most_megabytes:.0f} MB", flush=True)
            time.sleep(1)

    def _send_new(self) -> None:
        for topic, new in self._new.items():
            given = message("snapshot", beamline=topic.removeprefix("scifish-"))
            new.append((given["uuid"], dt.datetime.now(dt.UTC)))
            self._send(topic, given)

    def _left(self, cow: Process) -> int:
        """How many messages are not done."""
        if not cow.running:
            raise RuntimeError(f"SciCow has ended: see {cow.log}")
        sent = self._count + sum(map(len, self._new.values()))
        try:
            found = requests.get(f"http://127.0.0.1:{self._port}/status", timeout=TIMEOUT).json()["beamlines"]
        except requests.ConnectionError:
            return sent  # it starts
        return sent - sum(each["ingested"] + each["dead"] for each in found.values())

    # ------------------------------------------------------------------- in the end

    def _figures(self, catalogue: Catalogue, seconds: float) -> list[Figure]:
        account = catalogue.ingestor
        scicat = SciCat(catalogue.url, account.username, account.password)
        wrong = [uuid for uuid, comments in self._comments.items() if not _is_right(scicat, uuid, comments)]
        waits = {
            topic: [_created(scicat, uuid) - sent.timestamp() for uuid, sent in new] for topic, new in self._new.items()
        }
        return [
            Figure("backlog_messages", self._count, "messages", {"one_dataset": max(self._comments.values())}),
            Figure("backlog_wrong", len(wrong), "datasets"),
            Figure("backlog_per_s", round(self._count / seconds, 1), "1/s"),
            Figure("backlog_memory_mb", round(self._most_megabytes), "MB"),
            _wait("backlog_other_beamline_s", waits[OTHER]),
            _wait("backlog_behind_it_s", waits[BACKLOG]),
        ]


def _wait(name: str, waits: list[float]) -> Figure:
    longest = {"longest": round(max(waits), 2), "datasets": len(waits)}
    return Figure(name, round(statistics.median(waits), 2), "s", longest)


def _created(scicat: SciCat, uuid: str) -> float:
    """In seconds since 1970."""
    found = scicat.dataset(f"scizoo/{uuid}")
    assert found is not None, f"{uuid} is not in the catalogue"
    return dt.datetime.fromisoformat(found["createdAt"]).timestamp()


def _is_right(scicat: SciCat, uuid: str, comments: int) -> bool:
    found = scicat.dataset(f"scizoo/{uuid}")
    if found is None:
        return False
    scan = found["scientificMetadata"]["scan"]
    ids = [f"{uuid}:{number}" for number in range(2, comments + 2)][-KEPT_ANNOTATIONS:]
    annotations = scan["annotations"]["value"].split()
    return bool(
        (scan["status"]["value"], found["comment"], found["numberOfFiles"]) == ("completed", f"comment {comments}", 1)
        and annotations == ids
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak.backlog", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=30_000, help="that wait (30000)")
    parser.add_argument("--one", type=int, default=2000, help="comments of one dataset besides (2000)")
    parser.add_argument("--figures", type=Path, default=ROOT / "build" / "backlog.json", help="where the figures go")
    parser.add_argument("--folder", type=Path, help="for state and logs; kept (one in the temporary folder)")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp(prefix="backlog-"))
    folder.mkdir(parents=True, exist_ok=True)
    print(f"everything is in {folder}", flush=True)
    figures = Backlog(folder.resolve(), options.messages, options.one).run()
    report(figures, options.figures)
    wrong = {figure.name: figure.value for figure in figures}["backlog_wrong"]
    if not wrong and options.folder is None:
        shutil.rmtree(folder)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
