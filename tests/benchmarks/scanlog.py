"""The scan log on a catalogue of 244,781 datasets, beside the naive way: fetch all, and fill a QTableWidget.

    python -m tests.benchmarks.scanlog

Both are windows in a process of their own, drawn offscreen, on the same embedded catalogue. A time ends when all rows
on the screen have their values and are painted. What of it the catalogue itself took is measured in the same process
as the time from each question to its answer, and is beside it: the figures of scrolling, sorting and filtering are what
the scan log adds. Live updates, half of them new datasets, come from a third process.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")  # before Qt is loaded

import psutil
from taurus.external.qt import Qt

from deploy.demo.processes import Processes
from ingest.scicat import SciCat
from taurus_widgets.qt.application import makeApplication
from taurus_widgets.scanlog import ScanLog
from taurus_widgets.scanlog.data import columns as cols
from taurus_widgets.scanlog.data.pages import Pages
from taurus_widgets.scanlog.data.query import DatasetQuery, QueryCondition, Relation, metadata_field, order_of
from tests.benchmarks.figures import Figure, NotMeasured, alone, progress, scratch
from tests.benchmarks.filled import dataset, fill
from tests.benchmarks.ingest import TABLE_1
from tests.servers.catalogue import INGESTOR, start_catalogue

Json = dict[str, Any]

SIZE = (1280, 800)
EXTRA = ("Optics/Energy", "Machine/Ring current")
"""Columns beside the usual ones."""

PLACES = 30
RATE = 20.0
"""Live updates a second."""

PATIENCE = 60.0
TICK = 2
"""Milliseconds from one look at the clock to the next; what keeps the window longer is a frame."""


class Timed(SciCat):
    """Knows when it asked and had its answer."""

    def __init__(self, url: str) -> None:
        super().__init__(url, INGESTOR.username, INGESTOR.password)
        self.calls: list[tuple[float, float]] = []

    def call(self, *what: Any, **more: Any) -> Any:
        begin = time.perf_counter()
        try:
            return super().call(*what, **more)
        finally:
            self.calls.append((begin, time.perf_counter()))

    def busy(self, begin: float, end: float) -> float:
        """Seconds between these two in which a question was open."""
        total, reached = 0.0, begin
        for first, last in sorted(self.calls):
            total += max(0.0, min(last, end) - max(first, reached))
            reached = max(reached, min(last, end))
        return total


class Frames(Qt.QObject):
    """Watches for how long the window's thread is kept at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.longest = 0.0
        self._last = time.perf_counter()
        self._timer = Qt.QTimer(self)
        self._timer.setTimerType(Qt.Qt.PreciseTimer)
        self._timer.timeout.connect(self._tick)
        self._timer.start(TICK)

    def _tick(self) -> None:
        now = time.perf_counter()
        self.longest = max(self.longest, now - self._last - TICK / 1000)
        self._last = now

    def begin(self) -> None:
        self._last, self.longest = time.perf_counter(), 0.0


def wait(reached: Callable[[], bool], what: str) -> float:
    """The moment when it is reached. Qt goes on meanwhile."""
    deadline = time.perf_counter() + PATIENCE
    while not reached():
        Qt.QApplication.processEvents(Qt.QEventLoop.WaitForMoreEvents | Qt.QEventLoop.AllEvents, 5)
        if time.perf_counter() > deadline:
            raise NotMeasured(f"{what}: not reached in {PATIENCE:.0f} s")
    Qt.QApplication.processEvents()
    return time.perf_counter()


def idle(seconds: float) -> None:
    end = time.perf_counter() + seconds
    wake = Qt.QTimer()
    wake.start(5)
    while time.perf_counter() < end:
        Qt.QApplication.processEvents(Qt.QEventLoop.WaitForMoreEvents)


def memory() -> float:
    """This process's resident memory in MB."""
    return float(psutil.Process().memory_info().rss) / 1e6


# ------------------------------------------------------------------------------- ours


def ours(url: str, count: int) -> Json:
    """All measurements of the scan log, on a catalogue with so many datasets."""
    app = makeApplication()
    log = ScanLog()
    log.resize(*SIZE)
    for path in EXTRA:
        log.addColumn(path)
    log.show()
    idle(0.5)
    empty = memory()
    frames, found = Frames(), {}
    scicat = Timed(url)
    wake = Qt.QTimer()
    wake.start(5)

    def painted() -> bool:
        rows = log.table.shownRows()
        return bool(rows) and all(log.scans.dataset(row) is not None for row in rows)

    def shown() -> bool:
        pages = log.loader.pages
        return pages is not None and pages.query is log.query and painted()

    begin = time.perf_counter()
    log.setCatalogue(scicat)
    end = wait(shown, "the first rows")
    found["first"] = [end - begin, scicat.busy(begin, end)]
    wait(lambda: log.scans.rowCount() == count, "all rows counted")
    idle(1.0)

    def timed(do: Callable[[], None], reached: Callable[[], bool]) -> list[float]:
        begin = time.perf_counter()
        do()
        end = wait(reached, "the rows")
        result = [end - begin, scicat.busy(begin, end)]
        idle(0.7)
        return result

    bar = log.table.verticalScrollBar()
    chance = random.Random(1)
    found["scroll"] = []
    for place in [count - 1, count // 2, *(chance.randrange(count) for _ in range(PLACES))]:
        found["scroll"].append(timed(lambda place=place: bar.setValue(place), painted))  # type: ignore[misc]
    frames.begin()
    for place in range(0, count, count // 400):  # the bar dragged from top to end
        bar.setValue(place)
        idle(0.01)
    wait(painted, "the rows where the bar was let go")
    found["drag_frame"] = frames.longest

    found["sort"] = [timed(lambda query=query: log.setQuery(query), shown) for query in _orders()]  # type: ignore[misc]
    found["filter"] = [timed(lambda query=query: log.setQuery(query), shown) for query in _filters()]  # type: ignore[misc]
    timed(lambda: log.setQuery(DatasetQuery()), shown)
    wait(lambda: log.scans.rowCount() == count, "all rows counted")
    found["memory"] = memory() - empty
    found |= _live(frames, url, lambda: log.scans.rowCount())
    found["memory_live"] = memory() - empty
    log.close()
    del app
    return found


def _orders() -> list[DatasetQuery]:
    columns = {column.key: column for column in cols.default_columns()}
    orders = [order_of(columns[key]) for key in ("points", "sampleId", "title")]
    orders.append(order_of(cols.metadata_column("Optics/Energy")))
    return [DatasetQuery(order=order, descending=way) for order in orders for way in (False, True)]


def _filters() -> list[DatasetQuery]:
    energy = QueryCondition(metadata_field(("Optics", "Energy")), Relation.GREATER, 24_900.0, "eV")
    sample = QueryCondition("sampleId", Relation.EQUAL, "ferritin")
    return [
        DatasetQuery(text="ferritin mesh"),
        DatasetQuery(status=("failed",)),
        DatasetQuery(where=(energy,)),
        DatasetQuery(where=(sample,), status=("aborted",)),
        DatasetQuery(proposal="20240007"),
    ]


def _live(frames: Frames, url: str, rows: Callable[[], int], seconds: float = 20.0) -> Json:
    """The longest frame while the window idles, and while it gets updates."""
    idle(1.0)
    frames.begin()
    idle(5.0)
    quiet, before = frames.longest, rows()
    command = [sys.executable, "-m", "tests.benchmarks.scanlog", "--update", url, "--seconds", str(seconds)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as updates:
        idle(1.5)  # it begins
        frames.begin()
        idle(seconds - 2)
        live = frames.longest
        sent, _ = updates.communicate(timeout=PATIENCE)
    wait(lambda: rows() == before + int(sent) // 2, "the new rows")
    return {"live_frame": live, "quiet_frame": quiet, "updates": int(sent), "seconds": seconds}


def update(url: str, seconds: float) -> int:
    """Write `RATE` times a second: a new dataset, then the end of it. How often it was."""
    scicat = SciCat(url, INGESTOR.username, INGESTOR.password)
    begin, sent, pid = time.monotonic(), 0, ""
    while time.monotonic() - begin < seconds:
        if sent % 2 == 0:
            made = dataset(10_000_000 + sent, time.time(), f"live-{os.getpid()}")
            scicat.create_dataset(made)
            pid = made["pid"]
        else:
            scicat.patch_dataset(pid, {"comment": f"update {sent}"})
        sent += 1
        time.sleep(max(0.0, begin + sent / RATE - time.monotonic()))
    return sent + sent % 2


# ------------------------------------------------------------------------------ naive


class Naive(Qt.QTableWidget):
    """All datasets as items of a table, and again what has changed each second."""

    def __init__(self, scicat: SciCat) -> None:
        super().__init__()
        self._columns = [*cols.default_columns(), *map(cols.metadata_column, EXTRA)]
        self._pages = Pages(scicat, DatasetQuery(), tuple(cols.fields_of(self._columns)))
        self._items: dict[str, Qt.QTableWidgetItem] = {}
        self._since = ""
        self._timer = Qt.QTimer(self)
        self._timer.timeout.connect(self._look)
        self.setColumnCount(len(self._columns))

    def fill(self, count: int) -> None:
        found = []
        for skip in range(0, count, 5000):
            found += self._pages.page(skip, 5000)
            progress(f"scanlog, the naive way: {len(found)} of {count} datasets")
        self.setRowCount(len(found))
        for row, one in enumerate(found):
            self._fillRow(row, one)
        self._since = max(one["updatedAt"] for one in found)

    def follow(self) -> None:
        self._timer.start(1000)

    def find(self, text: str) -> None:
        for row in range(self.rowCount()):
            self.setRowHidden(row, not any(text in self.item(row, place).text() for place in range(self.columnCount())))

    def _fillRow(self, row: int, one: Json) -> None:
        for place, column in enumerate(self._columns):
            item = Qt.QTableWidgetItem(column.text(one))
            self.setItem(row, place, item)
            if place == 0:
                self._items[one["pid"]] = item

    def _look(self) -> None:
        after = {"updatedAt": {"$gt": self._since}}
        for one in reversed(self._pages.page(0, 100, after)):
            if one["pid"] not in self._items:
                self.insertRow(0)
                self._fillRow(0, one)
            else:
                self._fillRow(self._items[one["pid"]].row(), one)
            self._since = max(self._since, one["updatedAt"])


def naive(url: str, count: int) -> Json:
    """The same of the naive way."""
    app = makeApplication()
    empty = memory()
    table = Naive(SciCat(url, INGESTOR.username, INGESTOR.password))
    table.resize(*SIZE)
    table.show()
    frames, found = Frames(), {}

    def timed(do: Callable[[], None]) -> float:
        begin = time.perf_counter()
        do()
        table.viewport().repaint()
        Qt.QApplication.processEvents()
        return time.perf_counter() - begin

    found["first"] = timed(lambda: table.fill(count))
    chance = random.Random(1)
    places = [chance.randrange(count) for _ in range(PLACES)]
    found["scroll"] = [timed(lambda place=place: table.verticalScrollBar().setValue(place)) for place in places]  # type: ignore[misc]
    ways = (Qt.Qt.AscendingOrder, Qt.Qt.DescendingOrder)
    found["sort"] = [timed(lambda way=way: table.sortItems(4, way)) for way in ways]  # type: ignore[misc]
    found["filter"] = [timed(lambda: table.find("ferritin"))]
    found["memory"] = memory() - empty
    table.find("")
    table.follow()
    found |= _live(frames, url, table.rowCount)
    del app
    return found


# ---------------------------------------------------------------------------- figures


@contextmanager
def catalogue(count: int, folder: Path | None) -> Iterator[str]:
    """The URL of one that is full. A folder given is filled once, and used again."""
    with scratch("scanlog") as own, Processes(own / "log") as processes:
        place = folder or own
        if not (place / "catalogue.sqlite").exists():
            fill(place, count, time.time() - 3600)
        yield start_catalogue(processes, place).url


def measure(count: int = TABLE_1, folder: Path | None = None) -> list[Figure]:
    with catalogue(count, folder) as url:
        there = SciCat(url, INGESTOR.username, INGESTOR.password).count()
        progress(f"scanlog: {there} datasets are in the catalogue")
        ours = _child("--ours", url, there)
        there = SciCat(url, INGESTOR.username, INGESTOR.password).count()
        naive = _child("--naive", url, there)
    return _figures(ours, naive, there)


def _child(what: str, url: str, count: int) -> Json:
    command = [sys.executable, "-m", "tests.benchmarks.scanlog", what, url, "--count", str(count)]
    with tempfile.TemporaryFile("w+", encoding="utf-8") as output:
        subprocess.run(command, stdout=output, check=True)
        output.seek(0)
        return dict(json.loads(output.read().splitlines()[-1]))


def _figures(ours: Json, naive: Json, count: int) -> list[Figure]:
    def added(name: str) -> Figure:
        """What the scan log adds to the catalogue's own time, the worst of all; and the medians."""
        more = [total - server for total, server in ours[name]]
        beside = {
            "median": statistics.median(more),
            "server_median": statistics.median(server for _, server in ours[name]),
            "server_worst": max(server for _, server in ours[name]),
            "total_median": statistics.median(total for total, _ in ours[name]),
            "naive_median": statistics.median(naive[name]),
            "times": len(more),
        }
        return Figure(
            f"scanlog_{name}_s", round(max(more), 3), "s", {key: round(value, 3) for key, value in beside.items()}
        )

    first, server = ours["first"]
    return [
        Figure(
            "scanlog_first_rows_s",
            round(first, 3),
            "s",
            {"server": round(server, 3), "naive": round(naive["first"], 1), "datasets": count},
        ),
        *map(added, ("scroll", "sort", "filter")),
        Figure(
            "scanlog_memory_mb",
            round(max(ours["memory"], ours["memory_live"]), 1),
            "MB",
            {"before_live": round(ours["memory"], 1), "naive": round(naive["memory"], 1)},
        ),
        Figure(
            "scanlog_worst_frame_ms",
            round(1000 * ours["live_frame"], 1),
            "ms",
            {
                "without_updates": round(1000 * ours["quiet_frame"], 1),
                "dragging": round(1000 * ours["drag_frame"], 1),
                "naive": round(1000 * naive["live_frame"], 1),
                "updates_per_s": round(ours["updates"] / ours["seconds"], 1),
            },
        ),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=TABLE_1, help=f"datasets (default: {TABLE_1})")
    parser.add_argument("--folder", type=Path, help="fill this folder once, and use it again")
    parser.add_argument("--ours", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("--naive", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("--update", metavar="URL", help=argparse.SUPPRESS)
    parser.add_argument("--seconds", type=float, default=20.0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.update:
        print(update(options.update, options.seconds))
    elif options.ours or options.naive:
        print(json.dumps(ours(options.ours, options.count) if options.ours else naive(options.naive, options.count)))
    else:
        alone("scanlog", lambda: measure(options.count, options.folder))


if __name__ == "__main__":
    main()
