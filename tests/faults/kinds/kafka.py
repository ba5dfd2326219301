"""Kafka stops, refuses messages, or loses them before SciCow has read them."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from uuid import uuid4

from tests.faults.chaos import Fault
from tests.faults.kinds.names import CLOCK, COW, FULL, KAFKA, LONG
from tests.faults.system import System
from tests.faults.verdict import Finding
from tests.servers.kafka import configure_topic
from tests.waiting import eventually

AHEAD = "clock ahead"

LOWERED = "1500"
"""Bytes: less than most messages have."""

BATCH = "40000"
"""Bytes: more than any message has here, and less than those together that wait after an outage."""

DRAINED, FEW = 60.0, 10
"""Seconds in which what has waited for Kafka must be sent: of a program that goes on, fewer messages wait then."""

STOPPED, KILLED, SIZE, TOGETHER, RETENTION, PASSWORD, AGAIN = KAFKA


def faults(system: System, _: random.Random) -> list[Fault]:
    return [
        Fault(STOPPED, _quiet(system.kafka.stop), system.kafka.start, (3, 20), KAFKA),
        Fault(KILLED, _quiet(system.kafka.kill), system.kafka.start, (0, 10), KAFKA),
        *_refusals(system),
        _batch_too_large(system),
        *_losses(system),
    ]


def _quiet(act: Callable[[], object]) -> Callable[[], str]:
    def begin() -> str:
        act()
        return ""

    return begin


def _limit(system: System, size: str | None) -> None:
    configure_topic(system.kafka.bootstrap, system.home.topic, max_message_bytes=size)


def _refusals(system: System) -> list[Fault]:
    def ahead() -> str:
        for clock in system.clocks:
            clock.jump(7200)
        return "+7200 s"

    def right() -> None:
        for clock in system.clocks:
            clock.jump(0)

    def lower() -> str:
        _limit(system, LOWERED)
        return f"{LOWERED} bytes"

    def change_password() -> str:
        system.kafka.stop()
        system.kafka.set_password(uuid4().hex)
        system.kafka.start()
        return ""

    return [
        Fault(AHEAD, ahead, right, LONG, (CLOCK,)),
        Fault(SIZE, lower, lambda: _limit(system, None), LONG, KAFKA),
        Fault(PASSWORD, change_password, system.write_client_files, LONG, KAFKA),
    ]


def _batch_too_large(system: System) -> Fault:
    """A batch is refused as a whole: none of its messages may be set aside for that."""
    before: set[tuple[str, int, str]] = set()

    def refused() -> set[tuple[str, int, str]]:
        """Messages that are set aside: run, number and reason."""
        return {(each.path.stem, seq, why) for each in system.summaries() for seq, _, why in each.refused}

    def stop() -> str:
        before.clear()
        before.update(refused())
        _limit(system, BATCH)
        system.kafka.stop()
        return f"{BATCH} bytes"

    def start_and_send_all() -> None:
        system.kafka.start()
        eventually(lambda: all(each.waiting < FEW for each in system.summaries()), DRAINED)
        for run, seq, why in refused() - before:
            system.wrong.append(Finding(run, f"message {seq} is refused with its batch: {why}"))
        _limit(system, None)

    return Fault(TOGETHER, stop, start_and_send_all, (8, 15), (*KAFKA, *FULL, AHEAD))


def _losses(system: System) -> list[Fault]:
    def stop_cow() -> str:
        return system.ingestion.end_cow(signal.SIGTERM)

    def pass_retention() -> None:
        system.delete_messages()
        system.ingestion.start_cow()

    others = (*KAFKA, *FULL, COW)  # on a full disk nothing is kept of what was sent
    return [
        Fault(
            RETENTION, lambda: system.ingestion.end_cow(signal.SIGTERM), pass_retention, LONG, others, brings_back=True
        ),
        Fault(AGAIN, _quiet(system.make_topic_again), lambda: None, LONG, others, brings_back=True),
    ]
