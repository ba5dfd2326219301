"""Pictures of the dialogs of an export, made with those of the scan log (tests.ui.pictures.scanlog)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import requests
from taurus.external.qt import Qt

from ingest.scicat import SciCat
from taurus_widgets.scanlog import ScanLog
from taurus_widgets.scanlog.exporting.dialog import ExportDialog
from taurus_widgets.scanlog.exporting.elogy_dialog import ElogyDialog
from taurus_widgets.scanlog.exporting.save_dialog import SaveDialog
from taurus_widgets.scanlog.features.exporting import Exporting
from tests.builders.scicat_datasets import Json
from tests.servers.elogy import stand_in

BOOKS = {"Beamlines": ["CoSAXS", "BALDER", "BLOCH"], "Machine": ["Operation", "Linac"], "Safety": []}
WANTED = [
    {"name": "Proposal", "type": "text", "required": True},
    {"name": "Kind", "type": "option", "required": False, "options": ["Commissioning", "User time"]},
]

Picture = Callable[[Qt.QWidget, str], None]
Wait = Callable[[Callable[[], bool]], object]


def attach(scicat: SciCat, datasets: list[Json]) -> None:
    """Attach a plot to each dataset, as scans have."""
    for dataset in datasets:
        scicat.attach(dataset["pid"], dataset["ownerGroup"], "ct01 against mot01", plot())


def plot() -> str:
    """A small picture, as a `data:` URI."""
    image = Qt.QImage(160, 90, Qt.QImage.Format_RGB32)
    image.fill(Qt.QColor("white"))
    painter = Qt.QPainter(image)
    painter.setPen(Qt.QPen(Qt.QColor("#0072b2"), 2))
    painter.drawPolyline(Qt.QPolygon([Qt.QPoint(x, 80 - 70 * 400 // (400 + (x - 80) ** 2)) for x in range(0, 160, 4)]))
    painter.end()
    data = Qt.QByteArray()
    buffer = Qt.QBuffer(data)
    buffer.open(Qt.QBuffer.WriteOnly)
    image.save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(bytes(data)).decode()}"


def draw(log: ScanLog, folder: Path, picture: Picture, wait: Wait) -> None:
    """Draw the menu, the dialog for files in its states, and the one for Elogy."""
    part = log.exporting
    log.table.selectRow(1)
    log.table.selectionModel().select(
        Qt.QItemSelection(log.scans.index(1, 0), log.scans.index(5, 0)),
        Qt.QItemSelectionModel.Select | Qt.QItemSelectionModel.Rows,
    )
    part.button.menu().popup(log.mapToGlobal(Qt.QPoint(0, 20)))
    picture(part.button.menu(), "export-menu")
    part.button.menu().close()
    part.save.trigger()
    dialog = opened(part, SaveDialog)
    dialog.file.setText("/home/ada/night-shift.csv")
    picture(dialog, "export-save")
    dialog.file.setText(str(folder / "rows.csv"))
    dialog.go.click()
    wait(lambda: "rows are in" in dialog.message.text())
    dialog.message.setText(dialog.message.text().replace(str(folder), "/home/ada"))
    dialog.file.setText("/home/ada/night-shift.csv")
    picture(dialog, "export-saved")
    dialog.file.setText("/nowhere/night-shift.csv")
    dialog.go.click()
    wait(lambda: "cannot be written" in dialog.message.text())
    picture(dialog, "export-failed")
    dialog.close()
    with stand_in() as elogy:
        for name, inside in BOOKS.items():
            parent = _logbook(elogy.url, name, None)
            for inner in inside:
                _logbook(elogy.url, inner, parent)
        part.setElogy(elogy.url)
        part.toElogy.trigger()
        form = opened(part, ElogyDialog)
        wait(lambda: form.logbooks.tree.topLevelItemCount() == len(BOOKS))
        form.address.setText("https://elogy.example.org")
        form.logbooks.search.setText("cosaxs")
        form.logbooks.tree.setCurrentItem(form.logbooks.tree.topLevelItem(0).child(0))
        wait(lambda: bool(form.attributes.fields))
        form.title.setText("Detector alignment")
        with suppress(StopIteration):
            form.authors.add(next(iter(form._elogy.users("ada"))))  # type: ignore[union-attr]
        picture(form, "export-elogy")
        form.go.click()
        wait(lambda: "The rows are in" in form.message.text())
        form.append.setChecked(True)
        wait(lambda: form.entries.list.count() > 0)
        form.entries.list.setCurrentRow(0)
        picture(form, "export-elogy-append")
        form.close()


def opened(part: Exporting, kind: type[ExportDialog]) -> Any:
    assert isinstance(part.dialog, kind)
    return part.dialog


def _logbook(url: str, name: str, parent: int | None) -> int:
    body = {"name": name, "parent_id": parent, "attributes": WANTED}
    answer = requests.post(f"{url}/api/logbooks/", json=body, timeout=10)
    return int(answer.json()["logbook"]["id"])
