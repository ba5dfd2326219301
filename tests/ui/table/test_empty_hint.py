"""A table without rows says why, and what can be done about it."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from pytestqt.qtbot import QtBot
from taurus.external.qt import Qt

from ingest.scicat import SciCat
from taurus_widgets.scanlog import ScanLog
from taurus_widgets.scanlog.features.empty_hint import EmptyHint
from tests.builders.scicat_datasets import scan
from tests.servers.catalogue import Catalogue

Shown = Callable[[int], None]


def emptyHint(log: ScanLog) -> EmptyHint:
    return log.emptyHint


def says(qtbot: QtBot, log: ScanLog, *words: str) -> None:
    hint = emptyHint(log)
    text = hint.text.text
    qtbot.waitUntil(lambda: hint.hint.isVisible() and all(word in text() for word in words))
    middle = hint.hint.mapTo(log.table, hint.hint.rect().center())
    assert (log.table.viewport().geometry().center() - middle).manhattanLength() <= 2


def test_filters_that_match_no_scan_are_cleared_by_a_click(
    qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown
) -> None:
    scicat.create_dataset(scan(1, time.time(), proposal=proposal))
    scanLog.setCatalogue(scicat, proposal)
    shown(1)
    assert not emptyHint(scanLog).hint.isVisible()
    scanLog.setQuery(replace(scanLog.query, status=("failed",)))
    says(qtbot, scanLog, f"No scan of proposal {proposal} fits the filters.")
    assert not emptyHint(scanLog).logIn.isVisible()
    qtbot.mouseClick(emptyHint(scanLog).clear, Qt.Qt.LeftButton)
    qtbot.waitUntil(lambda: scanLog.scans.rowCount() > 0)
    qtbot.waitUntil(lambda: not emptyHint(scanLog).hint.isVisible())
    assert not scanLog.query.filtered


def test_a_proposal_without_scans_waits_for_its_first(
    qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, proposal: str, shown: Shown
) -> None:
    scanLog.setCatalogue(scicat, proposal)
    says(qtbot, scanLog, f"There is no scan of proposal {proposal} yet.")
    assert emptyHint(scanLog).clear.text() == "Show all proposals"
    scicat.create_dataset(scan(1, time.time(), proposal=proposal))
    shown(1)
    qtbot.waitUntil(lambda: not emptyHint(scanLog).hint.isVisible())


def test_the_hint_offers_the_login(qtbot: QtBot, scanLog: ScanLog, catalogue: Catalogue, proposal: str) -> None:
    scanLog.setCatalogue(SciCat(catalogue.url), proposal)
    says(qtbot, scanLog, "You are not logged in, so only public scans are shown.")
    qtbot.mouseClick(emptyHint(scanLog).logIn, Qt.Qt.LeftButton)
    login = scanLog.login
    assert login.dialog is not None
    assert login.dialog.isVisible()


def test_an_unavailable_catalogue_is_reported(qtbot: QtBot, scanLog: ScanLog) -> None:
    scanLog.setCatalogue(SciCat("http://127.0.0.1:9"))
    says(qtbot, scanLog, "SciCat does not answer (connection refused).", "retries by itself")
    assert not emptyHint(scanLog).clear.isVisible()


def test_the_status_bar_names_the_proposal_of_a_query_at_once(
    qtbot: QtBot, scanLog: ScanLog, scicat: SciCat, proposal: str
) -> None:
    scanLog.setCatalogue(scicat)
    qtbot.waitUntil(lambda: scanLog.statusBar.connection.text().startswith("All proposals in"))
    scanLog.setQuery(replace(scanLog.query, proposal=proposal))
    assert scanLog.statusBar.connection.text() == f"Proposal {proposal} in {scicat.base_url}"
