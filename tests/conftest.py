"""Fixtures that more than one folder of tests uses."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from deploy.demo.processes import Processes
from ingest.scicat import SciCat, SciCatError
from tests import ran_on
from tests.servers.catalogue import KINDS, Catalogue, given_catalogue, start_catalogue
from tests.servers.kafka import Kafka, make_kafka
from tests.servers.sardana import FAILED
from tests.waiting import PATIENCE

# How long an example takes says as much of what else the machine does.
settings.register_profile("project", max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("thorough", settings.get_profile("project"), max_examples=400)  # `make soak`
settings.load_profile("project")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those marked `first`, then the others with servers, then the unit tests: what is short fills the end."""

    def turn(item: pytest.Item) -> tuple[bool, bool]:
        return item.get_closest_marker("first") is None, "unit" in item.path.parts

    items.sort(key=turn)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    item.stash[FAILED] = item.stash.get(FAILED, False) or report.failed
    return report


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    ran_on.long += sum(item.get_closest_marker("long") is not None for item in items)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):  # one of several processes
        session.config.workeroutput["ran_on"] = ran_on.of_this_process()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    ran_on.add(getattr(node, "workeroutput", {}).get("ran_on"))


def pytest_unconfigure(config: pytest.Config) -> None:
    """Behind pytest's own last line."""
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and not hasattr(config, "workeroutput") and not config.option.collectonly:
        skipped = [report.longrepr[2].removeprefix("Skipped: ") for report in reporter.stats.get("skipped", ())]
        for report in reporter.stats.get("rerun", ()):
            ran_on.remarks.add(f"{report.nodeid} was run again: Sardana had lost the events of its motor")
        reporter.write_line(ran_on.last_line(skipped))


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kafka]:
    """A running broker for the whole session: `bootstrap`, and start, stop and kill where `restartable`."""
    folder = tmp_path_factory.mktemp("kafka")
    with Processes(folder / "logs") as processes:
        server = make_kafka(folder / "server", processes)
        server.start()
        ran_on.servers.add(server.kind)
        yield server


# Without a parameter where there is one kind: pytest runs what shares one together, whatever the files' order.
@pytest.fixture(scope="session", params=KINDS if len(KINDS) > 1 else None)
def catalogue(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalogue]:
    """A SciCat for the whole session: who uses it keeps to datasets and proposals of its own, and goes on with it."""
    if getattr(request, "param", "embedded") == "given":
        yield given_catalogue()
        return
    folder = tmp_path_factory.mktemp("catalogue")
    with Processes(folder / "logs") as processes:
        yield start_catalogue(processes, folder)


@pytest.fixture(scope="session")
def whole_mongodb(catalogue: Catalogue) -> None:
    """Skips on a given SciCat whose database is not MongoDB, but something like it without its text search."""
    account = catalogue.ingestor
    try:
        where = {"$text": {"$search": "wafer"}}
        SciCat(catalogue.url, account.username, account.password, timeout=PATIENCE).datasets(where, ["pid"], limit=1)
    except SciCatError as error:
        if catalogue.process is not None or "$text" not in str(error):
            raise
        pytest.skip("the given SciCat's database is not MongoDB: it has no $text")
