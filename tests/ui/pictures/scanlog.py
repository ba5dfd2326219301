"""Pictures of the scan log's states: `python -m tests.ui.pictures.scanlog [FOLDER]` (build/pictures).

Made-up scans in a real embedded catalogue, drawn by the real widget offscreen.
"""

from __future__ import annotations

import datetime as dt
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # before Qt is loaded

from taurus.external.qt import Qt

from deploy.demo.processes import Processes
from ingest.scicat import SciCat
from scifish.message import iso
from taurus_widgets.qt.application import makeApplication
from taurus_widgets.qt.connection import ConnectionState
from taurus_widgets.qt.tango_listener import TangoListener
from taurus_widgets.scanlog import ScanLog
from taurus_widgets.scanlog.data.door_scans import DoorScan
from taurus_widgets.scanlog.data.query import DatasetQuery, order_of
from tests.builders.scicat_datasets import Json, scan
from tests.servers.catalogue import INGESTOR, start_catalogue
from tests.ui.pictures import exporting
from tests.ui.pictures.columns import draw
from tests.ui.pictures.details import drawDetails
from tests.ui.pictures.editing import drawEditing

LARGE = (1280, 800)
WIDE = (1600, 800)
PANEL = (800, 500)

TITLES = [
    "ascan mot01 0 10 20 0.1",
    "mesh mot01 0 1 10 mot02 0 1 10 0.1",
    "timescan 60 0.5",
    "ascanct mot01 0 10 200 0.01",
    "d2scan mot01 -1 1 mot02 -2 2 40 0.2",
    "scisnap beamstop_alignment",
]
STATUSES = [*["completed"] * 6, "failed", *["completed"] * 4, "aborted", *["completed"] * 5, "stopped", "interrupted"]
SECONDS = [12.34, 88.0, 3.2, 61.8, 75.5, 0.0]
POINTS = [21, 121, 60, 200, 41, 1]
RATINGS = [0, 0, 2, 0, 1.5, 0, 0, 3, 0, 0.5]
SAMPLES = ["lysozyme-3", "lysozyme-3", "Cu foil 25 µm", "empty cell", ""]
COMMENTS = {
    2: "good one, use this for the mask",
    5: "beam dump at point 14: the second half cannot be used, repeat it tomorrow with the new shutter settings",
    9: "détecteur à 2,5 m, longueur d'onde 1.0 Å",
    12: "<b>not bold</b>: what people write is shown as it is",
    17: "sample looks dry",
}


def scans(now: float, count: int = 70) -> list[Json]:
    """The scans; the last one is running, and a quarter are of the day before."""
    made = []
    for number in range(count):
        back = count - number
        start = now - back * 97 - (86_400 if back > count * 0.75 else 0)
        kind = number % len(TITLES)
        made.append(
            scan(
                1201 + number,
                start,
                TITLES[kind],
                STATUSES[back % len(STATUSES)] if back > 1 else "running",
                seconds=SECONDS[kind],
                points=POINTS[kind],
                sampleId=SAMPLES[number // 9 % len(SAMPLES)],
                dataQualityMetrics=RATINGS[back % len(RATINGS)],
                comment=COMMENTS.get(back, ""),
            )
        )
    return [{name: value for name, value in dataset.items() if value != ""} for dataset in made]


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for theme in ("light", "dark"):
        app = makeApplication(dark=theme == "dark")
        with tempfile.TemporaryDirectory() as state, Processes(Path(state) / "logs") as processes:
            os.environ["XDG_CONFIG_HOME"] = f"{state}/config"  # nobody's own columns
            _draw_all(processes, Path(state) / "catalogue", folder, theme)
    del app  # it must live as long as there are widgets
    print(f"The pictures are in {folder}")


def _draw_all(processes: Processes, state: Path, folder: Path, theme: str) -> None:
    os.environ["XDG_STATE_HOME"] = str(state)  # and not whoever draws them
    catalogue = start_catalogue(processes, state, failing=True)
    scicat = SciCat(catalogue.url, INGESTOR.username, INGESTOR.password)
    now = time.time()
    made = scans(now)
    for dataset in made:
        scicat.create_dataset(dataset)
    for dataset in made[-40:-1:2]:
        files = [{"path": f"eiger-{number}.h5", "size": 10**6, "time": iso(now)} for number in range(3)]
        scicat.add_files(dataset["pid"], files)

    exporting.attach(scicat, made[-7:])

    def picture(widget: Qt.QWidget, name: str) -> None:
        wait_until(lambda: False, seconds=0.2)  # so that all that is to be drawn has been
        drawn = widget.grab().toImage().convertToFormat(Qt.QImage.Format_RGB888)
        drawn.save(str(folder / f"scanlog-{name}-{theme}.png"), "PNG", 0)  # 0: the smallest file

    with opened(scicat, *LARGE) as log:
        picture(log, "table")
    with opened(scicat, *WIDE) as log:
        for path in ("Machine/Ring current", "Optics/Energy", "Sample environment/Pressure"):
            log.addColumn(path)
        wait_until(lambda: any("(mA)" in column.title for column in log.scans.columns))
        picture(log, "columns")
    with opened(scicat, *LARGE) as log:
        log.table.selectRow(4)
        wait_until(lambda: log.details.tree.topLevelItemCount() > 0)
        picture(log, "details")
    with opened(scicat, *LARGE) as log:
        exporting.draw(log, state, picture, wait_until)
    with opened(scicat, *LARGE) as log:
        drawEditing(log, catalogue, picture, wait_until)
    with opened(scicat, *PANEL) as log:
        log.table.selectRow(2)
        wait_until(lambda: log.details.tree.topLevelItemCount() > 0)
        picture(log, "panel-details")
    draw(lambda width, height: opened(scicat, width, height), picture, wait_until)
    with opened(scicat, *LARGE) as log:
        log.setQuery(DatasetQuery(order=order_of(log.scans.columns[5]), descending=True))
        wait_until(lambda: log.loader.pages is not None and log.loader.pages.query is log.query)
        late = scan(1299, now - 1, "timescan 60 0.5", seconds=0.9)
        scicat.create_dataset(late)
        wait_until(lambda: not log.statusBar.news.isHidden())
        picture(log, "sorted")
        log.scans.keep(lambda row: row < 12)  # as where one has just scrolled to
        picture(log, "unread")
    drawDetails(scicat, lambda width, height: opened(scicat, width, height), picture, wait_until)
    with opened(scicat, *PANEL) as log:
        log.table.verticalScrollBar().setValue(7)
        count = log.scans.rowCount()
        for number in (1, 2):
            scicat.create_dataset(scan(1300 + number, now + number, seconds=0.9))
        wait_until(lambda: log.scans.rowCount() == count + 2)
        picture(log, "panel-new-rows")
    with opened(scicat, *LARGE) as log:
        scansOfTheDoor(log, now)
        picture(log, "live")
    with opened(scicat, *PANEL) as log:
        scansOfTheDoor(log, now)
        picture(log, "panel-live")
    with opened(scicat, *PANEL) as log:
        log.setQuery(replace(log.query, text="no such words", status=("failed",)))
        wait_until(lambda: log.scans.rowCount() == 0)
        picture(log, "empty-filters")
        log.setCatalogue(SciCat(catalogue.url))
        wait_until(lambda: log.loader.pages is not None)
        picture(log, "empty-login")
        log.setCatalogue(SciCat("http://127.0.0.1:9"))
        wait_until(lambda: "does not answer" in log.statusBar.connection.text())
        picture(log, "empty-away")
    with opened(scicat, *PANEL) as log:
        assert catalogue.process is not None
        catalogue.process.kill()
        wait_until(lambda: "does not answer" in log.statusBar.connection.text())
        picture(log, "panel-away")


def scansOfTheDoor(log: ScanLog, now: float) -> None:
    """Report two scans that are not in the catalogue, one of them for a long time; then the Door dies."""
    live = log.live
    command = "timescan 600 0.5"
    lost = DoorScan(1300, "ascan mot02 0 5 50 0.1", now - 40, "0" * 8, "completed", now - 5)
    running = DoorScan(1301, command, now, "1" * 8)
    for reported in (replace(lost, status="running", end=None), lost, running):
        live._scanned([reported])
    live._expected[lost.key].late = True
    since = dt.datetime.fromtimestamp(now)
    watch = TangoListener("door/cosaxs/1", (), live)
    live._connectionChanged(watch, ConnectionState(problem="door/cosaxs/1 does not answer", since=since))


@contextmanager
def opened(scicat: SciCat, width: int, height: int) -> Iterator[ScanLog]:
    """A scan log with its rows."""
    log = ScanLog()
    log.resize(width, height)
    log.show()
    log.setCatalogue(scicat)
    wait_until(lambda: log.scans.rowCount() > 0)
    log.table.doItemsLayout()
    yield log
    log.close()
    log.deleteLater()


def wait_until(reached: Callable[[], bool], seconds: float = 10.0) -> None:
    """Let Qt work until the condition is true, or the time is over."""
    deadline = time.monotonic() + seconds
    while not reached() and time.monotonic() < deadline:
        Qt.QApplication.processEvents()
        time.sleep(0.01)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("build/pictures"))
