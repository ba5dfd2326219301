"""Widgets are drawn offscreen, on a real catalogue."""

from __future__ import annotations

import itertools
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
from taurus_widgets.scanlog.dialogs import login
from taurus_widgets.scanlog.editing import edits
from taurus_widgets.scanlog.exporting import dialog
from taurus_widgets.scanlog.features import filters, picture_import
from taurus_widgets.scanlog.table import loader, poller
from tests.servers.catalogue import Catalogue, start_catalogue
from tests.ui.accounts import GIVEN, INGESTOR
from tests.waiting import PATIENCE

Json = dict[str, object]


class PatientBot(QtBot):
    """A QtBot that waits as long as all tests do, unless a test gives a time."""

    def waitUntil(self, callback: Callable[[], object], *, timeout: int = int(PATIENCE * 1000)) -> None:
        super().waitUntil(callback, timeout=timeout)

    def waitSignal(self, signal: Any, *, timeout: int = int(PATIENCE * 1000), **options: Any) -> Any:
        return super().waitSignal(signal, timeout=timeout, **options)

    def waitActive(self, widget: Any, *, timeout: int = int(PATIENCE * 1000)) -> Any:
        return super().waitActive(widget, timeout=timeout)

    def waitExposed(self, widget: Any, *, timeout: int = int(PATIENCE * 1000)) -> Any:
        return super().waitExposed(widget, timeout=timeout)


@pytest.fixture
def qtbot(qapp: Qt.QApplication, request: pytest.FixtureRequest) -> QtBot:
    return PatientBot(request)


@pytest.fixture(autouse=True)
def paces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorter intervals between checks, and longer limits for waiting.

    The intervals are for a catalogue with many users, and the limits for people who wait.
    """
    monkeypatch.setattr(poller, "POLL_INTERVAL_SECONDS", 0.2)
    monkeypatch.setattr(poller, "POLL_RETRY_SECONDS", 0.2)
    monkeypatch.setattr(loader, "PAGE_RETRY_MS", 200)
    monkeypatch.setattr(edits, "RETRY_PAUSES_SECONDS", (0.2,))
    monkeypatch.setattr(edits, "CONFIRM_SECONDS", 0.2)
    monkeypatch.setattr(filters, "FIRST_ROWS_MS", 100)
    for module, name in (
        (edits, "DISK_CLOSE_SECONDS"),
        (picture_import, "IMPORT_CLOSE_SECONDS"),
        (dialog, "EXPORT_CLOSE_SECONDS"),
        (login, "LOGIN_TIMEOUT_SECONDS"),
    ):
        monkeypatch.setattr(module, name, PATIENCE)


@pytest.fixture(scope="session")
def processes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Processes]:
    with Processes(tmp_path_factory.mktemp("logs")) as running:
        yield running


@pytest.fixture(scope="session")
def catalogue(processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Catalogue:
    """One catalogue for all tests, each with its own proposal: that of SCIZOO_SCICAT_URL, if it is set."""
    if GIVEN is not None:
        return GIVEN
    return start_catalogue(processes, tmp_path_factory.mktemp("catalogue"), failing=True)


@pytest.fixture
def account(catalogue: Catalogue) -> dict[str, str]:
    """The environment variables of a program that uses the catalogue."""
    return {
        "SCIZOO_SCICAT_URL": catalogue.url,
        "SCIZOO_SCICAT_USERNAME": INGESTOR.username,
        "SCIZOO_SCICAT_PASSWORD": INGESTOR.password,
    }


@pytest.fixture
def scicat(catalogue: Catalogue) -> SciCat:
    return client(catalogue)


def client(catalogue: Catalogue) -> SciCat:
    """A client with time-outs for a busy machine."""
    account = catalogue.ingestor  # a test may have a catalogue of its own
    return SciCat(catalogue.url, account.username, account.password, timeout=PATIENCE)


_proposals = itertools.count(1)
_RUN = f"{time.time_ns() // 10**9 % 10**8:08d}"


@pytest.fixture
def proposal() -> str:
    """A proposal that no other test, and no earlier run on the same catalogue, uses."""
    return f"P-{_RUN}{next(_proposals):04d}"


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file with the user's layouts of the scan log."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    return tmp_path / "config" / "scizoo" / "scanlog.json"


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nothing is written to, or read from, the home folder of the user who runs the tests."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """The variables that name the given SciCat also name the one that a window logs in to by itself."""
    for name in ("URL", "USERNAME", "PASSWORD"):
        monkeypatch.delenv(f"SCIZOO_SCICAT_{name}", raising=False)


@pytest.fixture(autouse=True)
def qt_settings(tmp_path: Path) -> Iterator[None]:
    """Qt's own settings as well."""
    Qt.QSettings.setPath(Qt.QSettings.NativeFormat, Qt.QSettings.UserScope, str(tmp_path / "settings"))
    yield
    Qt.QSettings.setPath(Qt.QSettings.NativeFormat, Qt.QSettings.UserScope, "")


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
    """Wait until the table has this number of rows."""

    def wait(count: int) -> None:
        qtbot.waitUntil(lambda: scanLog.scans.rowCount() == count)

    return wait


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    file = tmp_path / "password"
    file.touch(mode=0o600)
    file.write_text(INGESTOR.password + "\n", "utf-8")
    return file
