"""SciCat stops, or something else answers in its place; SciCow is killed."""

from __future__ import annotations

import random
import signal
from collections.abc import Callable
from typing import Any

from tests.faults.chaos import Fault
from tests.faults.kinds.names import CATALOGUE, COW, KAFKA
from tests.faults.system import System

SCICATS = "^/api/"

ANSWERS: dict[str, dict[str, Any]] = {
    '{"status":"ok"}': {"do": "answer", "body": '{"status":"ok"}'},
    "null": {"do": "answer", "body": "null"},
    "an empty list": {"do": "answer", "body": "[]"},
    "nothing": {"do": "answer", "body": ""},
    "a page": {"do": "html"},
}
"""What a proxy, or another program at SciCat's address, answers with status 200."""


def faults(system: System, chance: random.Random) -> list[Fault]:
    def end(how: signal.Signals) -> Callable[[], str]:
        def begin() -> str:
            system.ingestion.end_catalogue(how)
            return how.name

        return begin

    def answer() -> str:
        name, rule = chance.choice(sorted(ANSWERS.items()))
        system.ingestion.tell_catalogue([{**rule, "status": 200, "path": SCICATS}])
        return name

    stopped, killed, proxy = CATALOGUE
    ingestion = system.ingestion
    return [
        Fault(stopped, end(signal.SIGTERM), ingestion.start_catalogue, (3, 15), CATALOGUE),
        Fault(killed, end(signal.SIGKILL), ingestion.start_catalogue, (0, 10), CATALOGUE),
        Fault(proxy, answer, lambda: ingestion.tell_catalogue([]), (8, 20), CATALOGUE),
        Fault(COW, lambda: ingestion.end_cow(signal.SIGKILL), ingestion.start_cow, (0, 8), KAFKA),
    ]
