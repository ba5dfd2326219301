"""Pictures of the detail pane's pages, the viewer and the comparison: called by tests.ui.pictures.scanlog."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import AbstractContextManager

from taurus.external.qt import Qt

from ingest.scicat import SciCat
from scifish.message import iso
from taurus_widgets.qt import imaging
from taurus_widgets.scanlog import ScanLog
from taurus_widgets.scanlog.data.columns import column_of
from taurus_widgets.scanlog.parts.whole_value import WholeValue
from tests.builders.scicat_datasets import Json
from tests.ui.pictures.columns import columns_of

LARGE = (1280, 800)
PANEL = (800, 500)

Opened = Callable[[int, int], AbstractContextManager[ScanLog]]
Picture = Callable[[Qt.QWidget, str], None]
WaitUntil = Callable[[Callable[[], bool]], None]


def drawDetails(scicat: SciCat, opened: Opened, picture: Picture, waitUntil: WaitUntil) -> None:
    with opened(*LARGE) as log:
        first = _prepared(scicat, log)
        pages = log.detailPages
        shown = log.shownColumns()
        log.setColumns([shown[0], column_of("page"), *shown[1:]])
        log.table.selectRow(3)
        waitUntil(lambda: log.details.tree.topLevelItemCount() > 4)
        log.details.openSearch()
        log.details.metadata.search.setText("temp")
        picture(log, "details-search")
        log.details.metadata.search.setText("spectrum")
        (spectrum,) = log.details.tree.findItems("Spectrum", Qt.Qt.MatchExactly | Qt.Qt.MatchRecursive)
        log.details.tree.setCurrentItem(spectrum)
        log.details.metadata.showWhole()
        (whole,) = log.findChildren(WholeValue)
        picture(whole, "whole-value")
        whole.close()
        log.details.metadata.search.clear()
        log.details.pages.setCurrentWidget(pages.files)
        waitUntil(lambda: pages.files.files.rowCount() > 0)
        picture(log, "details-files")
        log.details.pages.setCurrentWidget(pages.pictures)
        waitUntil(lambda: len(pages.pictures.pictures) >= 4)
        picture(log, "details-pictures")
        pages.pictures.openViewer(0)
        viewer = pages.pictures.viewer
        assert viewer is not None
        waitUntil(lambda: "by" in viewer.caption.text())
        picture(viewer, "dataset-pictures-viewer")
        viewer.close()
        log.details.pages.setCurrentWidget(pages.history)
        waitUntil(lambda: "does not tell" in pages.history.state.label.text())
        picture(log, "details-history-not-told")
        pages.history.setDataset({**first, "updatedAt": iso(1.76e9), "history": _history()})
        picture(log, "details-history")
        columns_of(log).resetLayout()
    with opened(*LARGE) as log:
        for rows, name in ((4, "compare"), (2, "compare-two")):
            log.table.clearSelection()
            log.table.selectionModel().select(
                Qt.QItemSelection(log.scans.index(2, 0), log.scans.index(1 + rows, 0)),
                Qt.QItemSelectionModel.ClearAndSelect | Qt.QItemSelectionModel.Rows,
            )
            part = log.compare
            dialog = part.openDialog()
            assert dialog is not None
            waitUntil(lambda: dialog.table.isVisible())  # noqa: B023 - it is called at once
            picture(dialog, name)
            dialog.close()
    with opened(*PANEL) as log:
        log.table.selectRow(3)
        waitUntil(lambda: log.details.tree.topLevelItemCount() > 0)
        pages = log.detailPages
        log.details.pages.setCurrentWidget(pages.pictures)
        waitUntil(lambda: len(pages.pictures.pictures) >= 4)
        picture(log, "panel-pictures")


def _prepared(scicat: SciCat, log: ScanLog) -> Json:
    """The fourth row gets pictures, thousands of files and a spectrum."""
    row = log.scans.dataset(3)
    assert row is not None
    dataset = scicat.dataset(row["pid"])
    assert dataset is not None
    spectrum = [round(1000 * math.exp(-(((place - 90) / 20) ** 2)), 1) for place in range(200)]
    scicat.merge_dataset(
        dataset["pid"], {"scientificMetadata": {"Detector": {"Spectrum": {"value": spectrum, "unit": "counts"}}}}
    )
    for block in range(6):
        files = [
            {"path": f"eiger/scan-1266-{number:06d}.h5", "size": 3_911_204 + number, "time": iso(1.76e9 + number)}
            for number in range(block * 500, block * 500 + 500)
        ]
        scicat.add_files(dataset["pid"], files)
    for caption, width, height in (
        ("ct01 over mot01", 900, 600),
        ("The sample after the scan: the crack is at the left", 640, 640),
        ("Beam on the screen", 300, 200),
    ):
        scicat.attach(dataset["pid"], dataset["ownerGroup"], caption, imaging.fromImage(_plot(width, height)))
    scicat.attach(dataset["pid"], dataset["ownerGroup"], "broken.png", "data:image/png;base64,AAAA")
    return dataset


def _plot(width: int, height: int) -> Qt.QImage:
    image = Qt.QImage(width, height, Qt.QImage.Format_RGB32)
    image.fill(Qt.Qt.white)
    painter = Qt.QPainter(image)
    painter.setRenderHint(Qt.QPainter.Antialiasing)
    painter.setPen(Qt.QPen(Qt.QColor("#0072b2"), 3))
    heights = [height * (0.9 - 0.8 * math.exp(-(((place - width / 2) / width * 6) ** 2))) for place in range(width)]
    painter.drawPolyline(Qt.QPolygonF([Qt.QPointF(place, height) for place, height in enumerate(heights)]))
    painter.end()
    return image


def _history() -> list[Json]:
    def change(seconds: float, user: str, **fields: tuple[object, object]) -> Json:
        changes = {name: {"previousValue": before, "currentValue": after} for name, (before, after) in fields.items()}
        return {"updatedAt": iso(seconds), "updatedBy": user, **changes}

    temperature = {"Sample environment": {"Temperature": {"value": 293.1, "unit": "K"}}}
    later = {"Sample environment": {"Temperature": {"value": 293.1, "unit": "K", "end": 318.7}}}
    return [
        change(1.76e9, "ada", comment=("good one", "good one, use this for the mask"), dataQualityMetrics=(None, 3)),
        change(1.76e9 - 3600, "ingestor", numberOfFiles=(0, 3000), scientificMetadata=(temperature, later)),
        change(1.76e9 - 3700, "ben", comment=(None, "good one")),
    ]
