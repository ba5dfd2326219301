"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

from deploy.demo.processes import Processes
from tests.kafka import Kafka, make_kafka

KAFKA_KIND = pytest.StashKey[str]()

# How long an example takes says as much of what else the machine does.
settings.register_profile("project", deadline=None)
settings.load_profile("project")


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    kind = getattr(node, "workeroutput", {}).get("kafka")
    if kind:
        node.config.stash[KAFKA_KIND] = kind


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if KAFKA_KIND in config.stash:
        terminalreporter.write_line(f"Kafka of these tests: {config.stash[KAFKA_KIND]}")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config) -> Iterator[Kafka]:
    """A running broker for the whole session: `bootstrap`, and start, stop and kill where `restartable`."""
    folder = tmp_path_factory.mktemp("kafka")
    with Processes(folder / "logs") as processes:
        server = make_kafka(folder / "server", processes)
        server.start()
        pytestconfig.stash[KAFKA_KIND] = server.kind
        if hasattr(pytestconfig, "workeroutput"):  # one of several processes
            pytestconfig.workeroutput["kafka"] = server.kind
        yield server
