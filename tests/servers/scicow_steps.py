"""A SciCow that can be killed at any step of its own: before or after a call to SciCat, a dead letter, an offset.

It is forked from a process that has imported all of it, so that hundreds cost little. `os._exit` ends it as SIGKILL
does: nothing is flushed, closed or said, and each of its threads stops where it is.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, Producer

from ingest.scicat import transport
from ingest.scicow import cli
from ingest.scicow.commands import run  # noqa: F401 - imported once, before the forks
from ingest.scicow.dead_letters import producer
from ingest.scicow.pipeline import consumer
from tests.servers.scicow import PASSWORD

KILLED = 137
"""Its exit status at that step; a shell shows the same for SIGKILL."""

Step = int | str
"""Its number, from 1 on, or the first one that is this."""

_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload([__name__])


def start_scicow(folder: Path, name: str, config: Path, password: str, last: Step = 0) -> BaseProcess:
    """`scicow run` that is killed at the step `last` (0: never). Its log and the list of its steps are in `folder`."""
    found = _forks.Process(target=_run, args=(folder, name, config, password, last), name=name, daemon=True)
    found.start()
    return found


def steps_of(folder: Path, name: str) -> list[str]:
    """What its steps were, in their order: the first is step 1."""
    file = _steps_file(folder, name)
    return file.read_text().splitlines() if file.exists() else []


def _steps_file(folder: Path, name: str) -> Path:
    return folder / f"{name}.steps"


def _end_with_parent() -> None:
    """Whoever started it may be killed; its own parent, the process that forks, lives for as long as it does."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(KILLED)


def _run(folder: Path, name: str, config: Path, password: str, last: Step) -> None:
    log = os.open(folder / f"{name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ[PASSWORD] = password
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _watch(_Steps(_steps_file(folder, name), last))
    sys.exit(cli.main(["run", "--config", str(config)]))


class _Steps:
    """Counts them in the order in which the threads come to them."""

    def __init__(self, file: Path, last: Step) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._last = last
        self._number = 0
        self._lock = threading.Lock()

    def reached(self, what: str) -> None:
        with self._lock:  # no other thread comes to a later step
            self._number += 1
            os.write(self._file, f"{what}\n".encode())
            if self._last in (self._number, what):
                os._exit(KILLED)


def _watch(steps: _Steps) -> None:
    """Note each step in `steps`, as the modules of the product itself make it."""
    fetch = transport.fetch

    def watched_fetch(session: Any, method: str, url: str, **options: Any) -> Any:
        version, *path = url.partition("/api/")[2].split("/")
        kind = "/".join([version, *filter(str.isalpha, path)])  # without keys and names
        steps.reached(f"before {method} {kind}")
        answer = fetch(session, method, url, **options)
        steps.reached(f"after {method} {kind}")
        return answer

    class WatchedProducer(Producer):
        def produce(self, *args: Any, on_delivery: Any, **more: Any) -> None:
            def reported(*report: Any) -> None:
                steps.reached("after a dead letter")
                on_delivery(*report)

            steps.reached("before a dead letter")
            super().produce(*args, on_delivery=reported, **more)

    class WatchedConsumer(Consumer):
        def __init__(self, config: dict[str, Any]) -> None:
            super().__init__({**config, "on_commit": lambda *_: steps.reached("after a commit")})

        def store_offsets(self, *args: Any, **more: Any) -> None:
            steps.reached("before an offset is stored")
            super().store_offsets(*args, **more)
            steps.reached("after an offset is stored")

        def commit(self, *args: Any, **more: Any) -> Any:
            steps.reached("before a commit")
            return super().commit(*args, **more)

    transport.fetch = watched_fetch
    producer.Producer = WatchedProducer  # type: ignore[misc]
    consumer.Consumer = WatchedConsumer  # type: ignore[misc]
