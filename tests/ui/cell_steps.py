"""Ratings and comments as users enter them in the cells of a row, and where they arrive."""

from __future__ import annotations

from pathlib import Path

from pytestqt.qtbot import QtBot
from taurus.external.qt import Qt

from ingest.scicat import SciCat
from taurus_widgets.scanlog import ScanLog
from taurus_widgets.scanlog.data.columns import Json
from taurus_widgets.scanlog.editing.delegates import CommentField
from taurus_widgets.scanlog.features.editing import Editing


def editing(log: ScanLog) -> Editing:
    return log.editing


def cell(log: ScanLog, key: str, row: int = 0) -> Qt.QModelIndex:
    place = [column.key for column in log.scans.columns].index(key)
    return log.scans.index(row, place)


def place(log: ScanLog, key: str, row: int = 0) -> Qt.QRect:
    """The place of a cell, scrolled into view if needed."""
    log.table.scrollTo(cell(log, key, row))
    return log.table.visualRect(cell(log, key, row))


def star(log: ScanLog, rating: float, row: int = 0) -> Qt.QPoint:
    """Where to click for this number of stars: in the middle of the last half star."""
    area = place(log, "dataQualityMetrics", row)
    metrics = log.table.fontMetrics()
    width = metrics.ascent() * 1.1 * 17 / 16
    return Qt.QPoint(round(area.x() + metrics.averageCharWidth() + width * (rating - 0.25)), area.center().y())


def rate(qtbot: QtBot, log: ScanLog, rating: float, row: int = 0) -> None:
    qtbot.mouseClick(log.table.viewport(), Qt.Qt.LeftButton, pos=star(log, rating, row))


def editor(log: ScanLog) -> CommentField:
    found = [field for field in log.table.findChildren(CommentField) if field.isVisible()]
    assert len(found) == 1
    return found[0]


def comment(qtbot: QtBot, log: ScanLog, text: str, row: int = 0) -> None:
    """Replace the comment of this row by typing."""
    with qtbot.waitActive(log):  # a dialog may have been closed just now
        log.activateWindow()
    log.table.setCurrentIndex(cell(log, "comment", row))
    qtbot.keyClick(log.table, Qt.Qt.Key_F2)
    field = editor(log)
    field.selectAll()
    qtbot.keyClicks(field, text)
    qtbot.keyClick(field, Qt.Qt.Key_Return)


def there(scicat: SciCat, pid: str) -> Json:
    found = scicat.dataset(pid)
    assert found is not None
    return found


def outbox(state_home: Path) -> list[Path]:
    return sorted((state_home / "scanlog" / "outbox").glob("*.json"))
