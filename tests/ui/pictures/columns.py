"""The pictures of the columns' header and chooser, and of the filter bar, for `tests.ui.pictures.scanlog`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

from taurus.external.qt import Qt

from taurus_widgets.scanlog import ScanLog
from taurus_widgets.scanlog.data.timerange import Span
from taurus_widgets.scanlog.features.columns import Columns
from taurus_widgets.scanlog.features.filters import Filters
from taurus_widgets.scanlog.parts.filter_bar import FromToDialog

LARGE = (1280, 800)
PANEL = (800, 500)

Opened = Callable[[int, int], AbstractContextManager[ScanLog]]
Picture = Callable[[Qt.QWidget, str], None]
WaitUntil = Callable[[Callable[[], bool]], None]

COLUMNS = [
    *("status", "runNumber", "creationTime", "duration", "title"),
    *("Machine/Ring current", "Optics/Energy", "Optics/Slit gap", "Optics/Shutter", "Sample environment/Pressure"),
    "dataQualityMetrics",
]


def columns_of(log: ScanLog) -> Columns:
    return log.columns


def filters_of(log: ScanLog) -> Filters:
    return log.filters


def search(log: ScanLog, text: str) -> None:
    line = filters_of(log).bar.search
    line.setText(text)
    line.returnPressed.emit()


def draw(opened: Opened, picture: Picture, wait_until: WaitUntil) -> None:
    with opened(*LARGE) as log:
        columns = columns_of(log)
        wait_until(lambda: "Optics/Energy" in columns.available.found)
        columns.showKeys(COLUMNS)
        wait_until(lambda: any("(mA)" in column.title for column in log.scans.columns))
        header = log.table.horizontalHeader()
        section = [column.key for column in log.scans.columns].index("Machine/Ring current")
        over = header.closeRect(section).center()
        move = Qt.QMouseEvent(Qt.QEvent.MouseMove, over, Qt.Qt.NoButton, Qt.Qt.NoButton, Qt.Qt.NoModifier)
        Qt.QApplication.sendEvent(header.viewport(), move)
        picture(log, "header")
        chooser = columns.openChooser()
        wait_until(lambda: chooser.tree.topLevelItemCount() > 3)
        picture(chooser, "chooser")
        chooser.search.setText("mA")
        picture(chooser, "chooser-search")
        chooser.reject()
        columns.resetLayout()
    with opened(*LARGE) as log:
        filters = filters_of(log)
        wait_until(lambda: "Optics/Energy" in columns_of(log).available.found)
        filters.setCurrentProposal("20250001", "20251123")
        filters.bar.time.setCurrentIndex(list(Span).index(Span.LAST_HOURS))
        filters.bar.time.activated.emit(filters.bar.time.currentIndex())
        filters.bar.proposal.activated.emit(1)
        search(log, "motor = mot01 and energy > 7.1 keV")
        search(log, "ascan")
        picture(log, "filters")
        search(log, "energy > 7.1 kevv")
        picture(log, "filters-mistake")
        dialog = FromToDialog(None, None, log)
        dialog.show()
        picture(dialog, "from-to")
        dialog.reject()
    with opened(*PANEL) as log:
        wait_until(lambda: "Optics/Energy" in columns_of(log).available.found)
        search(log, "motor = mot01, energy > 7.1 keV, points >= 20, sample ~ lysozyme")
        search(log, "ascan mot01")
        picture(log, "panel-filters")
