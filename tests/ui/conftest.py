"""Widgets are drawn offscreen, on a real catalogue."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # before Qt is loaded by any test

import pytest
from pytestqt.qtbot import QtBot
from taurus.external.qt import Qt

from deploy.demo.processes import Processes
from ingest.scicat import SciCat
from taurus_widgets.scanlog import ScanLog
from tests.catalogue import INGESTOR, Catalogue, start_catalogue
from tests.waiting import PATIENCE

Json = dict[str, object]


class PatientBot(QtBot):
    """A QtBot that waits as all tests do, where a test says no time."""

    def waitUntil(self, callback: Callable[[], object], *, timeout: int = int(PATIENCE * 1000)) -> None:
        super().waitUntil(callback, timeout=timeout)

    def waitSignal(self, signal: Any, *, timeout: int = int(PATIENCE * 1000), **options: Any) -> Any:
        return super().waitSignal(signal, timeout=timeout, **options)


@pytest.fixture
def qtbot(qapp: Qt.QApplication, request: pytest.FixtureRequest) -> QtBot:
    return PatientBot(request)


@pytest.fixture(scope="module")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with Processes(tmp_path_factory.mktemp("logs")) as running:
        yield running


@pytest.fixture(scope="module")
def catalogue(processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """One for all tests of a module: each keeps to a proposal of its own."""
    return start_catalogue(processes, tmp_path_factory.mktemp("catalogue"))


@pytest.fixture
def scicat(catalogue: Catalogue) -> SciCat:
    return SciCat(catalogue.url, INGESTOR.username, INGESTOR.password)


@pytest.fixture
def proposal() -> str:
    """One that no other test uses."""
    return f"P-{time.time_ns() % 10**8:08d}"


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the scan log keeps what its user has arranged."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "scizoo" / "scanlog.json"


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is kept in, or taken from, the home folder of whoever runs the tests."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def scanLog(qtbot: QtBot, state_home: Path) -> Iterator[ScanLog]:
    log = ScanLog()
    qtbot.addWidget(log)
    log.resize(1280, 800)
    log.show()
    yield log
    log.stop()


@pytest.fixture
def shown(qtbot: QtBot, scanLog: ScanLog) -> Callable[[int], None]:
    """Wait until so many rows are in the table."""

    def wait(count: int) -> None:
        qtbot.waitUntil(lambda: scanLog.scans.rowCount() == count)

    return wait


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.touch(mode=0o600)
    file.write_text(INGESTOR.password + "\n", "utf-8")
    return file
