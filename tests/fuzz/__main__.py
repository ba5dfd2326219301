"""`make fuzz`: whatever may come out of Kafka, through a real Kafka and two SciCows into a real catalogue.

Each message must in the end be in the catalogue or in the dead-letter topic. No SciCow may end, or call anything
a mistake of its own.
"""

from __future__ import annotations

import argparse
import re
import secrets
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import KafkaError, Message, Producer
from hypothesis import HealthCheck, Phase, given, seed, settings

from deploy.demo.processes import Processes
from scifish.message import MessageError, decode
from tests.benchmarks.figures import Figure, progress, report
from tests.fuzz.messages import BEAMLINE, headers, payloads
from tests.servers.kafka import ROOT, why_no_real_kafka
from tests.soak.plan import Plan
from tests.soak.system import REPLICAS, System

AHEAD = 2000
"""Messages that may wait before no more are made for now."""

LONGEST = 60.0
"""Seconds in which at least one message must be done; an annotation waits 20 s for its dataset."""

MISTAKE = re.compile(r"^.*internal error in SciCow.*$", re.MULTILINE)


@dataclass
class Fuzz:
    """`uuids` is what the messages that are of the schema are about, by their place in Kafka; "" of the others."""

    folder: Path
    uuids: dict[tuple[str, str, str], str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    dead: int = 0

    def run(self, count: int, number: int) -> None:
        with Processes(self.folder / "logs") as processes:
            system = System(self.folder, processes, f"f{number}")
            system.start()
            self._send(system, count, number)
            self._wait(system, 0)
            for slot in range(REPLICAS):
                status = system.stop_cow(slot)
                if status != 0:
                    self.wrong.append(f"SciCow {slot + 1} ended with status {status} when it was stopped")
            found = system.found(Plan([], {}))
            for log in (self.folder / "logs").glob("scicow-*.log"):
                self.wrong += [f"{log.name}: {line}" for line in MISTAKE.findall(log.read_text("utf-8", "replace"))]
        dead = {letter.origin for letter in found.dead}
        self.dead = len(dead)
        there = {each["pid"] for each in found.datasets}
        for place, uuid in self.uuids.items():
            if place not in dead and f"scizoo/{uuid}" not in there:
                self.wrong.append(
                    f"{'/'.join(place)} is neither a dead letter nor in the catalogue: {uuid or 'no JSON'}"
                )

    def _send(self, system: System, count: int, number: int) -> None:
        producer = Producer(
            {
                "bootstrap.servers": system.kafka.bootstrap,
                "compression.type": "lz4",
                "message.max.bytes": 4_000_000,
                "linger.ms": 20,
                "log_level": 0,
            }
        )
        sent = 0

        @seed(number)
        @settings(
            max_examples=count,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(payloads, headers)
        def send(data: bytes, head: list[tuple[str, bytes | None]]) -> None:
            nonlocal sent
            sent += 1
            uuid = _uuid(data)

            def told(error: KafkaError | None, event: Message) -> None:
                if error is not None:
                    self.wrong.append(f"Kafka refused a message: {error}")
                else:
                    place = (str(event.topic()), str(event.partition()), str(event.offset()))
                    self.uuids[place] = uuid

            producer.produce(f"scifish-{system.run}-{BEAMLINE}", value=data, key=uuid, headers=head, on_delivery=told)
            producer.poll(0)
            if sent % (AHEAD // 4) == 0:
                producer.flush(30)
                self._wait(system, AHEAD)
                progress(f"fuzz: {sent} of {count} messages are sent")

        send()
        producer.flush(30)

    def _wait(self, system: System, most: int) -> None:
        """Until at most so many messages wait."""
        fewest, since = None, time.monotonic()
        while (left := system.unread()) is None or left > most:
            if ended := system.ended_by_themselves():
                raise RuntimeError(f"{ended[0][1]} has ended by itself, see its log in {self.folder}")
            if left is not None and (fewest is None or left < fewest):
                fewest, since = left, time.monotonic()
            if time.monotonic() - since > LONGEST:
                raise RuntimeError(f"{left} messages wait, and nothing has gone on for {LONGEST:g} s")
            time.sleep(0.2)


def _uuid(data: bytes) -> str:
    """What the message is about; "" if it is none."""
    try:
        return str(decode(data)["uuid"])
    except (MessageError, RecursionError):
        return ""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--messages", type=int, default=100_000, help="so many (100000)")
    parser.add_argument("--seed", type=int, default=None, help="the same messages (random)")
    parser.add_argument("--figures", type=Path, default=ROOT / "build" / "fuzz.json", help="where the figures go")
    parser.add_argument("--folder", type=Path, help="for state and logs; kept (one in the temporary folder)")
    options = parser.parse_args()
    if reason := why_no_real_kafka():
        parser.error(f"a real Kafka is needed: {reason}")
    number = secrets.randbelow(10**6) if options.seed is None else options.seed
    folder = options.folder or Path(tempfile.mkdtemp(prefix="scicow-fuzz-"))
    folder.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(f"seed {number}, everything is in {folder}", flush=True)
    fuzz = Fuzz(folder.resolve())
    try:
        fuzz.run(options.messages, number)
    except KeyboardInterrupt:
        print(f"\nstopped; its logs are in {folder}", file=sys.stderr)
        return 130
    beside = {"dead_letters": fuzz.dead, "of_the_schema": sum(map(bool, fuzz.uuids.values()))}
    figures = [Figure("fuzz_messages", len(fuzz.uuids), "messages", beside), Figure("fuzz_wrong", len(fuzz.wrong), "")]
    report(figures, options.figures)
    print(*(fuzz.wrong[:50] or ["Each message is in the catalogue or a dead letter."]), sep="\n")
    if not fuzz.wrong and options.folder is None:
        shutil.rmtree(folder)
    return 1 if fuzz.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
