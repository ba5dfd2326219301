"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import settings

from deploy.demo.processes import Processes
from tests import ran_on
from tests.kafka import Kafka, make_kafka

# How long an example takes says as much of what else the machine does.
settings.register_profile("project", deadline=None)
settings.load_profile("project")

LONG = (
    *("demo", "recording", "pathfixer_consumers", "pathfixer_restart", "recorder", "companion"),
    *("faults", "scicow", "scicow_looking", "soak", "scan_families", "fish", "pathfixer_sardana", "snapshot"),
    *("scicow_device", "scifly_device", "scicow_validation", "scicow_seen", "live_door", "editing"),
)
"""The files that take longest, by their names without `test_`: those that need the processor among those that wait."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first, then the others with servers: at the end, what is short keeps all processes busy."""

    def turn(item: pytest.Item) -> tuple[int, bool]:
        name = item.path.stem.removeprefix("test_")
        return (LONG.index(name) if name in LONG else len(LONG)), item.path.parent.name == "unit"

    items.sort(key=turn)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # one of several processes
        session.config.workeroutput["ran_on"] = sorted(ran_on.servers)
        session.config.workeroutput["incidents"] = sorted(ran_on.incidents)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    output = getattr(node, "workeroutput", {})
    ran_on.servers.update(output.get("ran_on", ()))
    ran_on.incidents.update(output.get("incidents", ()))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for server in sorted(ran_on.servers):
        terminalreporter.write_line(f"These tests ran on {server}")
    for incident in sorted(ran_on.incidents):
        terminalreporter.write_line(incident, yellow=True)


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A running broker for the whole session: `bootstrap`, and start, stop and kill where `restartable`."""
    folder = tmp_path_factory.mktemp("kafka")
    with Processes(folder / "logs") as processes:
        server = make_kafka(folder / "server", processes)
        server.start()
        ran_on.servers.add(f"Kafka: {server.kind}")
        yield server
