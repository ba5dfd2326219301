"""A program of its own that records datasets and goes on, as instruments' programs do."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from scifish.settings import Settings
from tests.servers.kafka import Kafka
from tests.servers.topic import Topic
from tests.waiting import PATIENCE


class Ended(NamedTuple):
    """A program that has ended: its exit status, the line that it printed, and its standard error."""

    status: int
    line: str
    errors: str


def recording_settings(kafka: Kafka, topic: Topic, folder: Path) -> Settings:
    return Settings(
        beamline="lab",
        topic=topic.name,
        kafka_bootstrap_servers=kafka.bootstrap,
        spool_directory=str(folder / "spool"),
    )


def run_until_sent(
    command: Sequence[str], topic: Topic, names: set[str], folder: Path, environment: Mapping[str, str] = os.environ
) -> Ended:
    """Run a program that prints a line when it has recorded these datasets, and ends when it can read a line.

    That is when Kafka has the datasets: what was recorded is sent while the program lives.
    """
    with subprocess.Popen(
        command,
        env={**environment, "XDG_STATE_HOME": str(folder / "state")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        assert running.stdout is not None
        try:
            line = running.stdout.readline()
            if line:
                topic.wait_until(lambda messages: {m["datasetName"] for m in messages} >= names)
        finally:
            _, errors = running.communicate("\n", timeout=PATIENCE)
    return Ended(running.returncode, line, errors)
